"""Point groups: their operators, what they leave to search, and maps that obey them.

An operator S takes a point of the map to one that looks the same: poses R and R S give the same image.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from cryoedu.errors import InputError
from cryoedu.geometry.euler import Floats, rotation_angle
from cryoedu.geometry.grids import Search
from cryoedu.geometry.turning import Map, check_map, turned_each

# From SciPy's settings, which have two-fold axes along x, y and z, to RELION's.
_QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
_ON_ITS_FACE = np.array([[-1.0, 1.0, 0.0], [-1.0, -1.0, 2.0], [1.0, 1.0, 1.0]]) / np.sqrt([[2], [6], [3]])
_SETTINGS = {"T": ("T", _ON_ITS_FACE), "I": ("I", _QUARTER), "I2": ("I", _QUARTER), "I1": ("I", np.eye(3))}
HOLE = 0.7  # of an angular step: how far a direction of the sphere may be from the nearest of a HEALPix grid
_GENERIC = np.array([0.2113, 0.0871, 0.9735])  # a direction on no axis and in no plane of any group


def symmetry_operators(group: str) -> Floats:
    """Rotations (M, 3, 3) of the point group C1, C2, … D2, … T, O or I, its axes where RELION has them; identity first.

    Cn, Dn: the n-fold axis is z; Dn has a two-fold one along x. T: a three-fold axis is z. O: the four-fold axes are
    x, y and z. I or I2: the two-fold axes are x, y and z, and the five-fold one nearest to z is in the plane y = 0;
    I1: it is in the plane x = 0. Raises InputError if ``group`` is none of these.
    """
    name, setting = _SETTINGS.get(group.upper(), (group.upper(), np.eye(3)))
    if not re.fullmatch(r"[CD][1-9]\d{0,2}|T|O|I", name):
        raise InputError(f"{group!r} is not a point group: write C1, C4, D7, T, O, I or I1")
    if name == "C1":
        return np.eye(3)[None]  # what follows takes as long to import as a thousand particles to insert
    from scipy.spatial.transform import Rotation

    operators = setting @ np.asarray(Rotation.create_group(name).as_matrix()) @ setting.T
    return operators[np.argsort(rotation_angle(operators) > 1e-4, kind="stable")]


def symmetrised_rotations(rotations: ArrayLike, group: str) -> Floats:
    """Matrices (M·O, 3, 3) of all poses that show the same as ``rotations`` (O, 3, 3), these themselves first.

    Slices repeated M times and inserted there give the sums of the symmetric map.
    """
    poses = np.asarray(rotations, dtype=np.float64)
    mates = poses[None] @ symmetry_operators(group)[1:, None]
    return np.concatenate([poses, mates.reshape(-1, 3, 3)])


def asymmetric_unit(search: Search, group: str) -> Search:
    """The part of a 3D grid that ``group`` leaves to search: of mates one direction only, with all in-plane angles.

    Kept are those nearest to one fixed direction among their mates, and where the border of that cell leaves a hole
    (a HEALPix grid obeys few groups itself) one more, so that kept directions and their mates lie as close as the whole
    grid does. Turn a grid (`perturbed`) before it is reduced, not after. Raises InputError for a 2D grid.
    """
    operators = symmetry_operators(group)
    if search.in_plane:
        raise InputError("a search in the plane has one direction, and symmetry leaves it as it is: reduce 3D grids")
    if len(operators) == 1:
        return search
    directions, member = np.unique(np.round(search.rotations[:, 2], 9), axis=0, return_inverse=True)
    height = directions @ _GENERIC
    mates = np.einsum("mij,dj->dmi", operators, directions)
    inside = height >= (mates @ _GENERIC).max(axis=1) - 1e-9
    kept = directions[inside]
    keep = inside.copy()
    limit = np.cos(np.radians(HOLE * search.angular_step))
    near = np.einsum("dmi,ki->dmk", mates, kept).max(axis=(1, 2), initial=-1.0)
    for d in np.flatnonzero(~inside & (near < limit)):
        if len(extra := directions[keep & ~inside]) == 0 or (mates[d] @ extra.T).max() < limit:
            keep[d] = True
    return replace(search, angles=search.angles[keep[member.ravel()]], symmetry=group)


def symmetrise(density: ArrayLike, group: str, *, progress: bool = True) -> Map:
    """The mean (n, n, n) of a map turned by all operators of ``group``; about its box centre, where the axes meet.

    Raises InputError if the map is no cube or ``group`` no point group.
    """
    from tqdm.auto import tqdm

    operators = symmetry_operators(group)
    source = check_map(density)
    if len(operators) == 1:
        return source
    total = source.astype(np.float64)
    rest = turned_each(source, operators[1:])
    for mate in tqdm(rest, total=len(operators) - 1, desc="symmetrising", delay=2, leave=False, disable=not progress):
        total += mate
    return (total / len(operators)).astype(np.float32)
