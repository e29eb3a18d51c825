"""Turn one map onto another, whichever hand it has.

What is maximised is the information that one map holds on the other: for Gaussian maps of correlation F_l on shell l
it is -½ Σ n_l ln(1 - F_l²) over the shells that correlate. Shells of noise say nothing, whatever their power, so that
no resolution needs to be given. The search is global at low resolution (all orientations of a HEALPix grid, all shifts
by FFT), then local with more and more shells for fewer and fewer candidates.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.geometry import trilinear
from cryoedu.geometry.euler import Floats, angular_distance
from cryoedu.geometry.fourier import fourier, resize
from cryoedu.geometry.grids import search_3d
from cryoedu.geometry.masks import soft_sphere
from cryoedu.geometry.turning import Map, check_map, mirrored, turned
from cryoedu.validation.fsc import fsc
from cryoedu.validation.fsc import resolution as resolution_of

Hands = Literal["both", "same", "mirrored"]
COARSE, COARSE_ORDER = 5, 2  # shells that 15° apart can be told from each other, and that HEALPix order
STAGES = ((7, 24), (12, 4), (20, 2), (48, 1))  # shells looked at and candidates kept, one after the other
PADDING = 2
STEP = 0.05  # by which a pose is varied to see where it gets better, in radians of the finest wave


@dataclass(frozen=True)
class MapAlignment:
    """How the moving map comes onto the fixed one: mirrored (z to -z) or not, then turned, then shifted.

    rotation: (3, 3), p to R p.  shift: (3,) x, y, z in Å.  correlation: of the two maps inside the aligned sphere up
    to the finest shell used, -1 to 1.  information: nats that decided; other_hand: those of the best pose of the other
    hand, or None if it was not tried.  aligned: (n, n, n) float32, the moving map on the fixed one.
    """

    rotation: Floats
    shift: Floats
    mirrored: bool
    correlation: float
    information: float
    other_hand: float | None
    aligned: Map


@dataclass(frozen=True)
class _Fit:
    """One candidate: rotation (3, 3), shift (3,) in pixels of the original map, and its score."""

    rotation: Floats
    shift: Floats
    score: float


def align_maps(moving: ArrayLike, fixed: ArrayLike, pixel_size: float, *, diameter: float | None = None,
               resolution: float | None = None, hands: Hands = "both") -> MapAlignment:
    """Align ``moving`` (n, n, n) to ``fixed`` (n, n, n), both of ``pixel_size`` Å.

    diameter: Å of the sphere about the centre that is compared (default: 0.9 of the box). resolution: Å up to which
    (default: Nyquist; shells of noise do not count anyway). hands: "both" tries the mirror image too and takes the hand
    that holds more information on the fixed map; "same" and "mirrored" try one only.
    Takes some seconds on one core. Raises InputError if the maps differ in shape or one of them is empty.
    """
    from threadpoolctl import threadpool_limits

    move, fix = check_map(moving, "moving map"), check_map(fixed, "fixed map")
    n = len(fix)
    if move.shape != fix.shape:
        raise InputError(f"a map of {len(move)} voxels cannot be aligned to one of {n}: resample one of them")
    if hands not in ("both", "same", "mirrored"):
        raise InputError(f"hands is {hands!r}: choose 'both', 'same' or 'mirrored'")
    diameter = 0.9 * n * pixel_size if diameter is None else diameter
    mask = soft_sphere(n, pixel_size, diameter)
    side = min(n, 2 * ceil(diameter / pixel_size / 2 + 4))  # voxels that hold the mask: shells count in its widths
    limit = side // 2 - 1 if resolution is None else min(int(side * pixel_size / resolution), side // 2 - 1)
    if limit < 2:
        raise InputError(f"up to {resolution} Å these maps have {limit} shells to align by: give a finer resolution or "
                         "a larger diameter")
    limit = min(limit, STAGES[-1][0])
    mask = _cut(mask, side)
    work = min(side, 2 * (limit + 2))  # a smaller box holds all the shells that are looked at
    target = _Target(_prepared(fix, mask, work, "fixed map"), limit)
    found = []
    with threadpool_limits(1, "blas"):  # thousands of tiny products: threads only wait for each other
        for flip in [h == "mirrored" for h in (("same", "mirrored") if hands == "both" else (hands,))]:
            source = mirrored(move) if flip else move
            found.append((flip, _best(_prepared(source, mask, work, "moving map"), target)))
    found.sort(key=lambda pair: -pair[1][0].score)
    flip, (fit, correlation) = found[0]
    shift = fit.shift * (side / work)
    aligned = turned(mirrored(move) if flip else move, fit.rotation, shift)
    return MapAlignment(fit.rotation, shift * pixel_size, flip, correlation, fit.score,
                        found[1][1][0].score if len(found) > 1 else None, aligned)


def _cut(density: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The middle ``side`` voxels each way."""
    start = len(density) // 2 - side // 2
    return density[(slice(start, start + side),) * 3]


def _prepared(density: Map, mask: NDArray[np.float32], box: int, what: str) -> NDArray[np.float32]:
    """The map under the mask in ``box`` voxels, less its level at the mask's edge: a ball would fit a ball."""
    density, edge = _cut(density, len(mask)), mask * (1 - mask)
    inside = density - (density * edge).sum() / max(edge.sum(), 1e-9)
    if np.abs(inside * mask).max() <= 1e-5 * np.abs(density).max():
        raise InputError(f"the {what} is the same everywhere inside the mask: there is nothing to align")
    return np.asarray(resize(inside * mask, box, 3), dtype=np.float32)


class _Target:
    """The fixed map's components up to a radius, each independent one once, in the order of their shells."""

    def __init__(self, density: NDArray[np.float32], radius: int) -> None:
        axis = np.arange(-radius, radius + 1)
        z, y, x = (a.ravel() for a in np.meshgrid(axis, axis, np.arange(radius + 1), indexing="ij"))
        shell = np.floor(np.sqrt(x * x + y * y + z * z) + 0.5).astype(np.int64)
        half = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
        chosen = np.flatnonzero(half & (shell <= radius))
        chosen = chosen[np.argsort(shell[chosen], kind="stable")]
        self.box = len(density)
        self.points = np.stack([x, y, z], axis=1)[chosen].astype(np.float64)
        self.values = fourier(density, 3)[z[chosen], y[chosen], x[chosen]].astype(np.complex64)
        self._limit(shell[chosen], radius)

    def _limit(self, shell: NDArray[np.int64], radius: int) -> None:
        self.shell, self.radius = shell, radius
        self.count = np.bincount(shell, minlength=radius + 1).astype(np.float64)
        self.power = self._sums(np.abs(self.values) ** 2)

    def up_to(self, radius: int) -> _Target:
        """The same with no more than ``radius`` shells."""
        part = copy(self)
        inside = int(np.searchsorted(self.shell, radius, side="right"))
        part.points, part.values = self.points[:inside], self.values[:inside]
        part._limit(self.shell[:inside], min(radius, self.radius))
        return part

    def _sums(self, values: NDArray[np.floating]) -> Floats:
        """Of ``values`` (..., components) over each shell (..., radius + 1); DC, the first, is not among them."""
        first = np.searchsorted(self.shell, np.arange(1, self.radius + 1))
        sums = np.zeros((*values.shape[:-1], self.radius + 1))
        np.add.reduceat(values, first, axis=-1, dtype=np.float64, out=sums[..., 1:])
        return sums

    def products(self, values: NDArray[np.complex64], shift: Floats) -> tuple[Floats, Floats]:
        """Cross terms (..., radius + 1) on each shell with another map's components, turned in some ways (...,
        components) and moved by ``shift`` (..., 3) pixels, and that map's power there."""
        phases = np.exp(-2j * np.pi / self.box * (shift @ self.points.T)).astype(np.complex64)
        return self._sums((values * phases * np.conj(self.values)).real), self._sums(np.abs(values) ** 2)

    def correlation(self, values: NDArray[np.complex64], shift: Floats) -> Floats:
        """FSC (..., radius + 1) with another map's components moved by ``shift`` (..., 3) pixels; 0 at DC."""
        cross, power = self.products(values, shift)
        return cross / np.sqrt(np.maximum(power * self.power, 1e-30))

    def information(self, values: NDArray[np.complex64], shift: Floats) -> Floats:
        """Nats (...) that the other map's components, moved by ``shift`` (..., 3) pixels, tell of these."""
        f = np.clip(self.correlation(values, shift), 0.0, 0.9999)
        return -np.sum(self.count * np.log(1 - f * f), axis=-1)

    def agreed(self, values: NDArray[np.complex64], shift: Floats) -> int:
        """The last shell that correlates by three times more than chance."""
        above = self.correlation(values, shift) > 3 / np.sqrt(2 * np.maximum(self.count, 1))
        return int(np.flatnonzero(above).max(initial=1))


class _Source:
    """The moving map's padded transform, read at turned points by trilinear interpolation."""

    def __init__(self, density: NDArray[np.float32], radius: int) -> None:
        box = len(density)
        sinc = np.sinc((np.arange(box) - box // 2) / (box * PADDING)) ** 2
        corrected = density / (sinc[:, None, None] * sinc[:, None] * sinc)
        before = (PADDING - 1) * box // 2
        wide = fourier(np.pad(corrected.astype(np.float32), before), 3)
        self.reach = PADDING * radius + 2
        axis = np.arange(-self.reach, self.reach + 1)
        right = wide[np.ix_(axis, axis, np.arange(self.reach + 1))].astype(np.complex64)
        left = np.conj(right[::-1, ::-1, :0:-1])  # the full transform: no conjugates to look up while reading
        self.cube = np.concatenate([left, right], axis=2)[None]

    def read(self, points: Floats) -> NDArray[np.complex64]:
        """Values (...) at the frequencies ``points`` (..., 3) x, y, z in Fourier pixels of the unpadded map."""
        return np.asarray(trilinear.read(self.cube, points * PADDING + self.reach)[0])


def _best(density: NDArray[np.float32], whole: _Target) -> tuple[_Fit, float]:
    """The best pose of one hand, and the correlation of the maps there."""
    source = _Source(density, whole.radius)
    target = whole.up_to(COARSE)
    candidates = _coarse(source, target, STAGES[0][1])
    agreed = COARSE
    for shells, keep in STAGES:
        target = whole.up_to(min(shells, 2 * agreed + 2))
        fits = [_refined(source, target, fit) for fit in candidates[:keep]]
        candidates = _distinct(sorted(fits, key=lambda fit: -fit.score))
        agreed = target.agreed(source.read(target.points @ candidates[0].rotation), candidates[0].shift)
    fit = candidates[0]
    cross, power = target.products(source.read(target.points @ fit.rotation), fit.shift)
    return fit, float(cross.sum() / np.sqrt(power.sum() * target.power.sum()))


def _coarse(source: _Source, target: _Target, count: int) -> list[_Fit]:
    """The ``count`` best orientations of a HEALPix grid, each with its best shift, by whitened correlation."""
    rotations = search_3d(COARSE_ORDER).rotations
    side = 4 * (target.radius // 2 + 2)  # at least two samples across the finest wave
    z, y, x = np.moveaxis(np.rint(target.points).astype(np.int64), -1, 0)[::-1]
    white = np.conj(target.values) / np.sqrt(np.maximum(target.power, 1e-30))[target.shell]
    best = np.empty(len(rotations))
    where = np.empty(len(rotations), dtype=np.int64)
    for start in range(0, len(rotations), 256):
        rows = slice(start, start + 256)
        values = source.read(target.points @ rotations[rows])
        scale = np.stack([np.bincount(target.shell, row, target.radius + 1) for row in np.abs(values) ** 2])
        product = np.zeros((len(values), side, side, side // 2 + 1), dtype=np.complex64)
        # moved by t the map has the phase exp(-2πi k·t/n): a forward transform of the products, so conjugates go in
        product[:, z, y, x] = np.conj(values * white / np.sqrt(np.maximum(scale, 1e-30))[:, target.shell])
        plane = x == 0
        product[:, -z[plane], -y[plane], 0] = np.conj(product[:, z[plane], y[plane], 0])
        peaks = scipy.fft.irfftn(product, s=(side,) * 3, axes=(1, 2, 3)).reshape(len(values), -1)
        where[rows] = peaks.argmax(axis=1)
        best[rows] = peaks.max(axis=1)
    chosen = np.argsort(-best)[:count]
    offsets = np.stack(np.unravel_index(where[chosen], (side,) * 3), axis=1)[:, ::-1]
    offsets = (offsets + side // 2) % side - side // 2
    return [_Fit(rotations[i], offset * (target.box / side), float(best[i])) for i, offset in zip(chosen, offsets)]


def _refined(source: _Source, target: _Target, start: _Fit) -> _Fit:
    """The pose near ``start`` that tells most."""
    from scipy.optimize import minimize
    from scipy.spatial.transform import Rotation

    pixels = target.box / (2 * np.pi * target.radius)  # a radian of the finest wave
    turn = 2.0 / target.radius  # and about as much at the particle's edge

    def poses(x: Floats) -> tuple[Floats, Floats]:
        return Rotation.from_rotvec(x[:, :3] * turn).as_matrix() @ start.rotation, start.shift + x[:, 3:] * pixels

    def cost(x: Floats) -> tuple[float, Floats]:
        """What the pose lacks, and its slope: all six steps aside at once, so small maps take half the time."""
        rotations, shifts = poses(x + np.vstack([np.zeros(6), STEP * np.eye(6)]))
        here, *aside = -target.information(source.read(target.points @ rotations), shifts)
        return float(here), (np.array(aside) - here) / STEP

    found = minimize(cost, np.zeros(6), jac=True, method="L-BFGS-B", options={"maxiter": 12, "ftol": 1e-4})
    (rotation,), (shift,) = poses(found.x[None])
    return _Fit(rotation, shift, float(-found.fun))


def _distinct(fits: list[_Fit]) -> list[_Fit]:
    """Without those that came to the same place as a better one."""
    kept: list[_Fit] = []
    for fit in fits:
        if all(angular_distance(fit.rotation, other.rotation) > 3 for other in kept):
            kept.append(fit)
    return kept


@dataclass(frozen=True)
class MapScore:
    """How near a map comes to the truth in the frame and hand that suit it best.

    alignment: of the map to the truth.  fsc: (n//2 + 1,) with the truth after it.  resolution: Å where that falls below
    0.5, None at or beyond Nyquist.  success: whether it is as fine as was wanted.
    """

    alignment: MapAlignment
    fsc: Floats
    resolution: float | None
    success: bool


def score_map(density: ArrayLike, truth: ArrayLike, pixel_size: float, *, wanted: float,
              diameter: float | None = None, hands: Hands = "both") -> MapScore:
    """Align ``density`` (n, n, n) to ``truth`` (n, n, n), both of ``pixel_size`` Å: are ``wanted`` Å reached?

    What a start from scratch is judged by: no data tell its frame, and projections alone do not tell its hand
    (hands="same" counts the wrong one as a failure). diameter: Å of the soft sphere in which maps are compared, as in
    `align_maps`, which says what else can be raised.
    """
    alignment = align_maps(density, truth, pixel_size, diameter=diameter, hands=hands)
    n = len(alignment.aligned)
    mask = soft_sphere(n, pixel_size, 0.9 * n * pixel_size if diameter is None else diameter)
    curve = fsc(alignment.aligned, truth, mask=mask)
    reached = resolution_of(curve, pixel_size, threshold=0.5)
    return MapScore(alignment, curve, reached, reached is None or reached <= wanted)
