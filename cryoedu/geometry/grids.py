"""The hypotheses: which orientations and which shifts are tried for a particle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.euler import Floats, euler_to_matrix, matrix_to_euler


@dataclass(frozen=True)
class Search:
    """Orientations × shifts, every pair of which is one hypothesis.

    angles: (O, 3) rot, tilt, psi in degrees.  shifts: (S, 2) x, y in Å.
    angular_step: degrees and shift_step: Å between neighbours.
    symmetry: the point group of which the grid holds one pose among all that show the same; C1 if it holds all.
    """

    angles: Floats
    shifts: Floats
    angular_step: float
    shift_step: float
    symmetry: str = "C1"

    @property
    def rotations(self) -> Floats:
        """Matrices (O, 3, 3) from map to image coordinates."""
        return euler_to_matrix(self.angles)

    @property
    def in_plane(self) -> bool:
        """Whether the orientations only turn in the image plane (a 2D search)."""
        return not self.angles[:, :2].any()


@dataclass(frozen=True)
class LocalSearch:
    """Orientations and shifts around what is known of each particle: turns × steps, the same for all of them.

    rotations: (N, 3, 3) and centres: (N, 2) Å from the known centre, the poses so far.
    turns: (T, 3, 3); particle i is tried at ``turns @ rotations[i]``.  shifts: (S, 2) Å, added to its centre.
    angular_step: degrees and shift_step: Å between neighbours.
    symmetry: the point group of the map; mates of a pose are not searched.
    """

    rotations: Floats
    centres: Floats
    turns: Floats
    shifts: Floats
    angular_step: float
    shift_step: float
    symmetry: str = "C1"

    in_plane = False

    def of(self, rows: NDArray[np.int64]) -> LocalSearch:
        """The search of the particles ``rows``."""
        return replace(self, rotations=self.rotations[rows], centres=self.centres[rows])


def shift_grid(reach: float, step: float) -> Floats:
    """Shifts (S, 2) x, y in Å: all points of a square grid of ``step`` Å within ``reach`` Å of the centre.

    The centre itself comes first. Raises InputError for a negative reach, a step that is not positive, or a grid of
    more than a thousand steps each way.
    """
    if not (reach >= 0 and step > 0):
        raise InputError(f"shifts up to {reach} Å in steps of {step} Å make no grid: give a reach of 0 or more "
                         "and a positive step")
    if not reach <= 1000 * step:
        raise InputError(f"shifts up to {reach} Å in steps of {step} Å are millions: give a smaller reach or a larger "
                         "step")
    k = np.arange(-int(reach / step + 1e-9), int(reach / step + 1e-9) + 1) * step
    y, x = np.meshgrid(k, k, indexing="ij")
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    distance = np.hypot(grid[:, 0], grid[:, 1])
    inside = np.flatnonzero(distance <= reach + 1e-9)
    return grid[inside[np.argsort(distance[inside], kind="stable")]]


def search_2d(angular_step: float = 5.0, *, shift_range: float = 0.0, shift_step: float = 1.0) -> Search:
    """In-plane rotations every ``angular_step`` degrees (rounded so that they divide the circle) × shifts in Å."""
    if not 0 < angular_step <= 360:
        raise InputError(f"an angular step of {angular_step}° makes no grid: give between 0 and 360")
    count = max(round(360.0 / angular_step), 1)
    psi = np.arange(count) * (360.0 / count)
    angles = np.stack([np.zeros(count), np.zeros(count), psi], axis=1)
    return Search(angles, shift_grid(shift_range, shift_step), 360.0 / count, shift_step)


def search_3d(healpix_order: int = 2, *, shift_range: float = 0.0, shift_step: float = 1.0) -> Search:
    """HEALPix directions × in-plane angles × shifts, as RELION samples them.

    ``healpix_order`` 0, 1, 2, 3… gives 12·4^order directions (Górski et al. 2005, ApJ 622:759) and in-plane
    angles every 60/2^order degrees: 576, 4608, 36864… orientations for 1, 2, 3 (30°, 15°, 7.5° apart).
    """
    if healpix_order not in range(7):  # the next one has 150 million orientations
        raise InputError(f"HEALPix order {healpix_order} is out of range: choose 0 (60° apart) to 6 (0.9° apart)")
    import healpix

    nside = 2 ** int(healpix_order)
    theta, phi = healpix.pix2ang(nside, np.arange(12 * nside**2), nest=True)
    count = 6 * nside
    psi = np.arange(count) * (360.0 / count)
    angles = np.empty((len(theta), count, 3))
    angles[..., 0] = np.degrees(phi)[:, None]
    angles[..., 1] = np.degrees(theta)[:, None]
    angles[..., 2] = psi[None, :]
    return Search(angles.reshape(-1, 3), shift_grid(shift_range, shift_step), 360.0 / count, shift_step)


def local_search(angles: ArrayLike, shifts: ArrayLike, *, angular_range: float = 0.0, angular_step: float = 1.0,
                 shift_range: float = 0.0, shift_step: float = 1.0) -> LocalSearch:
    """Turns by up to ``angular_range`` degrees about any axis, and shifts, around poses: angles (N, 3), shifts (N, 2).

    With ranges of 0 the poses are taken as they are. The turns are rotation vectors on a cubic grid.
    Raises InputError for a step that is not positive, or a range of more than 20 steps.
    """
    from scipy.spatial.transform import Rotation

    if not (angular_step > 0 and 0 <= angular_range <= 20 * angular_step):
        raise InputError(f"turns up to {angular_range}° in steps of {angular_step}° make no grid: give a positive step "
                         "and a range of 0 to 20 steps")
    k = np.arange(-int(angular_range / angular_step + 1e-9), int(angular_range / angular_step + 1e-9) + 1)
    vectors = np.stack(np.meshgrid(k, k, k, indexing="ij"), axis=-1).reshape(-1, 3) * angular_step
    vectors = vectors[np.linalg.norm(vectors, axis=1) <= angular_range + 1e-9]
    turns = np.asarray(Rotation.from_rotvec(vectors, degrees=True).as_matrix())
    return LocalSearch(euler_to_matrix(angles), np.asarray(shifts, dtype=np.float64), turns,
                       shift_grid(shift_range, shift_step), float(angular_step), float(shift_step))


@overload
def perturbed(search: Search, rng: np.random.Generator) -> Search: ...
@overload
def perturbed(search: LocalSearch, rng: np.random.Generator) -> LocalSearch: ...
def perturbed(search: Search | LocalSearch, rng: np.random.Generator) -> Search | LocalSearch:
    """The same grid turned and moved as a whole, by up to half a step each way.

    Each iteration of a refinement then looks between the points of the last one. Distances inside the grid
    do not change. A 2D search stays in the plane, and poses that are taken as they are stay.
    """
    half = search.angular_step / 2
    offset = rng.uniform(-half, half, 3)
    if isinstance(search, LocalSearch):
        from scipy.spatial.transform import Rotation

        turn = Rotation.from_rotvec(offset if len(search.turns) > 1 else np.zeros(3), degrees=True).as_matrix()
        step = rng.uniform(-search.shift_step / 2, search.shift_step / 2, 2) if len(search.shifts) > 1 else 0.0
        return replace(search, turns=search.turns @ turn, shifts=search.shifts + step)
    move = rng.uniform(-search.shift_step / 2, search.shift_step / 2, 2) if len(search.shifts) > 1 else 0.0
    if search.in_plane:
        angles = search.angles + [0.0, 0.0, offset[2]]
    else:
        towards = rng.uniform(0, 360)  # tilted to any side, or views along one axis would stay where they are
        turn = euler_to_matrix([towards, offset[1], offset[2] - towards])
        angles = matrix_to_euler(search.rotations @ turn)
    return replace(search, angles=angles, shifts=search.shifts + move)


def subdivision(step: float, *, in_plane: bool = False) -> Floats:
    """Small turns (8, 3, 3), or (2, 3, 3) in the plane, that split an orientation of a grid of ``step`` degrees.

    Each goes a quarter of a step along all three axes, so that ``turns @ rotation`` are points of a grid with half the
    step, whatever the grid.
    """
    from scipy.spatial.transform import Rotation

    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    axes = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]) if in_plane else signs
    return np.asarray(Rotation.from_rotvec(axes * step / 4, degrees=True).as_matrix())


def shift_subdivision(step: float) -> Floats:
    """Small shifts (4, 2) Å that split a shift of a grid of ``step`` Å into four of half the step."""
    return np.array([[x, y] for x in (-step / 4, step / 4) for y in (-step / 4, step / 4)])
