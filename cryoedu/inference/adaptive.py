"""Adaptive search: all orientations coarsely, then only the neighbourhood of what still counts, finer and finer.

A coarse pass scores the whole grid at the few frequencies that can tell its points apart. For each image the
hypotheses that hold nearly all the weight are kept, each is split into eight smaller turns (two in the plane) and
each shift into four, and these are scored with more frequencies; and so on for ``levels`` levels. As in RELION
(Scheres 2012, J Struct Biol 180:519), but image by image: the union over many images would be nearly the whole grid.
How many are kept hangs on the images alone. At an SNR of 0.03 it may be nearly all, and no number bounds it: what would
be dropped is weight of the posterior, and the rest would be too sure.

Only hypotheses that hold weight on the last level are inserted. They are many and all different, so their sums are
kept on the padded grid (`GridSums`), where the normal equations are a convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, attempt, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.euler import Floats, matrix_to_euler
from cryoedu.geometry.fourier import shift_phases
from cryoedu.geometry.grids import Search, shift_subdivision, subdivision
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.blocks import as_columns, as_reals, half_as_many, prepare
from cryoedu.inference.expectation import Tick, Visit, residuals, visits
from cryoedu.inference.gridsums import GridSums, Inserter
from cryoedu.inference.model import Model, Posterior, unseen
from cryoedu.inference.offsets import prior_centres
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.projection import PADDING
from cryoedu.microscope.slices import extract
from cryoedu.particles.particles import Particles
from cryoedu.threads import in_threads, workers

PIECE = 2**22  # bytes of slices that are looked at together, which stay in fast memory
LIGHTEST = 0.1  # of what may be lost: how much of it may go to hypotheses that are too light to be listed
REUSED = 4  # times that slices are asked for, on average, below which it costs more to keep them than to make them
# classes, numbers and rotations of hypotheses -> their slices as reals (H, 2 J)
Slices = Callable[[NDArray[np.int64], NDArray[np.int64], Floats], Array]


@dataclass(frozen=True)
class Adaptive:
    """How to search adaptively.

    levels: how often the steps of the coarse grid are halved around what counts.
    share: of the weight that is followed from each level to the next (RELION's adaptive fraction), of orientations and
        classes as of shifts.
    diameter: Å of the particle, from which each level knows how many frequencies can tell its orientations apart.
    """

    levels: int = 1
    share: float = 0.999
    diameter: float = 300.0

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= 6 or not 0 < self.share < 1:
            raise InputError(f"an adaptive search with levels={self.levels}, share={self.share} is not possible: give "
                             "1 to 6 levels, and a share between 0 and 1")

    def space(self, level: int, finest: FourierSpace, step: float) -> FourierSpace:
        """The shells for ``level`` of a grid of ``step`` degrees (0: the coarse grid itself): as many as move by less
        than half a wavelength at the particle's edge when it turns by half a step; on the last level all."""
        if level == self.levels:
            return finest
        arc = np.radians(step / 2**level) / 2 * self.diameter / 2
        radius = np.ceil(finest.box * finest.pixel_size / (2 * arc))
        return replace(finest, radius=int(min(max(radius, 3), finest.radius)))


@dataclass(frozen=True)
class _Level:
    """How hypotheses are split to reach a level: into ``turns`` (T, 3, 3) and ``steps`` (S, 2) Å, seen up to the shells
    of ``space``."""

    space: FourierSpace
    turns: Floats
    steps: Floats
    slices: Slices


@dataclass(frozen=True)
class _Candidates:
    """Points of the coarse grid that one image follows: class · O + orientation (H,), in order, and shift (S,), as
    indices."""

    hypotheses: NDArray[np.int32]
    shifts: NDArray[np.int32]


@dataclass(frozen=True)
class _Found:
    """What the last level says of one image: the hypotheses (H,) that hold its weight, and their sums over shifts.

    overlap, energy: (J,) Σ Γ Re X* CTF A / σ² and Σ Γ |CTF A|² / σ² of each column.
    """

    classes: NDArray[np.int64]
    rotations: Floats
    numerator: Array
    denominator: Array
    overlap: Floats
    energy: Floats
    log_evidence: float
    class_probability: Floats
    best: int
    shift: Floats
    max_probability: float
    shift_square: float


def adaptive_expectation(particles: Particles, model: Model, search: Search, adaptive: Adaptive, space: FourierSpace, *,
                         xp: ModuleType, budget: int,
                         tick: Tick = lambda share: None) -> tuple[Posterior, GridSums]:
    """The expectation step of a maximum-likelihood refinement from the coarse grid ``search`` to its finest level."""
    count, coarse = len(particles), adaptive.space(0, space, search.angular_step)
    half = space.sliceable(xp.asarray(model.maps))
    sigma2 = model.sigma2[:, space.bins]
    inserter = Inserter(space, model.classes, xp, search.symmetry)
    centres = prior_centres(particles)
    centres = np.zeros((count, 2)) if centres is None else centres
    posterior, best = unseen(count, model.classes), np.zeros((count, 3, 3))
    squares, power = np.zeros(sigma2.shape), np.zeros(sigma2.shape)
    shift_square = 0.0
    size = int(max(min(budget // 4 // (64 * len(space.bins)), 256), 1))
    grid = search.rotations
    started: dict[int, _Candidates] = {}
    levels: list[_Level] = []
    at_once = max(budget // 8 // (16 * model.classes * len(grid)), 1)  # images whose candidates are listed
    for among in np.array_split(np.arange(count), -(-count // at_once)):
        before, more = int(among[0]), len(among)

        def listed(share: float, before: int = before, more: int = more) -> None:
            tick((before + 0.5 * share * more) / count)

        started.clear()
        started.update(_significant(particles, model, search, adaptive, coarse, among, xp, budget, listed))
        if not levels:
            families = sum(len(image.hypotheses) for image in started.values()) * count // more
            levels.extend(_levels(half, search, adaptive, space, model.classes, families, budget // 2, xp))
        largest = max(len(image.hypotheses) * len(levels[0].turns) for image in started.values())
        ahead = int(np.clip(budget // 8 // workers(xp) // (12 * largest * len(space.bins)), 1, 8))
        done = 0
        for group in range(len(particles.optics)):
            rows = among[particles.optics_group[among] == group]
            first = 0
            while first < len(rows):
                some = rows[first : first + size]
                block = attempt(xp, prepare, particles, some, group, sigma2[group], np.zeros((1, 2)), space, xp)
                if block is None:
                    size = half_as_many(len(some))
                    continue
                first += len(some)
                b, c = as_columns(block.b[:, 0, :], space, xp), xp.broadcast_to(block.c, (len(some), len(space.bins)))
                power[group] += block.power

                def follow(k: int, some: NDArray[np.int64] = some, b: Array = b, c: Array = c) -> _Found:
                    i = some[k]
                    return _explore(b[k, :], c[k, :], started[i], centres[i], grid, levels, model, search, adaptive, xp)

                for i, found in zip(some, in_threads(follow, range(len(some)), xp, ahead=ahead), strict=True):
                    ends = np.searchsorted(found.classes, np.arange(model.classes + 1))  # hypotheses come in order
                    for m, (start, stop) in enumerate(pairwise(ends)):
                        if start < stop:
                            mine = slice(start, stop)
                            inserter.add(m, found.numerator[mine, :], found.denominator[mine, :], found.rotations[mine])
                    squares[group] += (found.energy - 2 * found.overlap) * sigma2[group]
                    shift_square += found.shift_square
                    posterior.overlap[i], posterior.energy[i] = found.overlap[1:].sum(), found.energy[1:].sum()
                    posterior.log_evidence[i], posterior.max_probability[i] = found.log_evidence, found.max_probability
                    posterior.class_probability[i], posterior.shifts[i] = found.class_probability, found.shift
                    best[i] = found.rotations[found.best]
                done += len(some)
                tick((before + 0.5 * (more + done)) / count)
    posterior.classes[:], posterior.angles[:] = posterior.class_probability.argmax(axis=1), matrix_to_euler(best)
    sizes = np.bincount(particles.optics_group, minlength=len(particles.optics)).astype(np.float64)
    binned, counts, log_likelihood = residuals(squares, power, sizes, sigma2, posterior, space, MAXIMUM_LIKELIHOOD)
    return posterior, inserter.sums(binned, counts, shift_square, log_likelihood)


def _levels(half: Array, search: Search, adaptive: Adaptive, space: FourierSpace, classes: int, families: int,
            budget: int, xp: ModuleType) -> list[_Level]:
    """How to come from the coarse grid to the finest level.

    families: points of the coarse grid that all images together follow.  budget: bytes for slices that are kept.
    """
    levels = []
    for level in range(1, adaptive.levels + 1):
        turns = subdivision(search.angular_step / 2 ** (level - 1), in_plane=space.ndim == 2)
        steps = shift_subdivision(search.shift_step / 2 ** (level - 1)) if len(search.shifts) > 1 else np.zeros((1, 2))
        orientations, at = len(search.angles) * len(turns) ** level, adaptive.space(level, space, search.angular_step)
        rows = classes * orientations
        table = 8 * rows * len(at.parts)  # bytes
        kept = families * len(turns) > REUSED * rows and table <= budget
        levels.append(_Level(at, turns, steps, _slices(half, orientations, len(turns), at, kept, xp)))
        budget -= table if kept else 0
    return levels


def _significant(particles: Particles, model: Model, search: Search, adaptive: Adaptive, space: FourierSpace,
                 among: NDArray[np.int64], xp: ModuleType, budget: int, tick: Tick) -> dict[int, _Candidates]:
    """For each of the particles ``among`` all the orientations and shifts of the coarse grid that hold its weight."""
    kept: dict[int, list[tuple[NDArray[np.int32], NDArray[np.float32]]]] = {int(i): [] for i in among}
    shift_weight = {i: np.zeros(len(search.shifts)) for i in kept}
    least = LIGHTEST * (1 - adaptive.share) / (model.classes * len(search.angles))

    def margins(visit: Visit) -> tuple[NDArray[np.int64], slice, Floats, Floats]:
        """Rows, lot, and Γ summed over shifts (N', K · O'), classes outermost, and over all else (N', S)."""
        return (visit.block.rows, visit.predicted.lot, to_numpy(xp.sum(visit.gamma, axis=1)),
                to_numpy(xp.sum(visit.gamma, axis=2)))

    for rows, lot, weights, of_shifts in visits(particles, model, search, space, MAXIMUM_LIKELIHOOD, margins, xp=xp,
                                                budget=budget, among=among, tick=tick):
        for i, of_image, of_shift in zip(rows, weights, of_shifts, strict=True):
            columns = np.flatnonzero(of_image >= least)
            k, orientation = np.divmod(columns, lot.stop - lot.start)
            hypotheses = k * len(search.angles) + orientation + lot.start
            kept[i].append((hypotheses.astype(np.int32), of_image[columns]))
            shift_weight[i] += of_shift
    out = {}
    for i, lots in kept.items():
        hypotheses, weights = (np.concatenate(part) for part in zip(*lots, strict=True))
        chosen = np.sort(hypotheses[_holding(weights, adaptive.share)])
        out[i] = _Candidates(chosen, _holding(shift_weight[i], adaptive.share).astype(np.int32))
        lots.clear()
    return out


def _slices(half: Array, orientations: int, split: int, space: FourierSpace, kept: bool, xp: ModuleType) -> Slices:
    """Slices of the maps ``half`` at some points of a grid: asked for by their classes, numbers in it, and rotations.

    Many images may ask for the same ones, so that each is computed once, if they are ``kept``. They are asked for in
    families: the ``split`` children of a point of the coarser grid, one after the other.
    """
    parts, rows = space.parts, half.shape[0] * orientations if kept else 0
    values = xp.empty((rows, 2 * len(parts)), dtype=xp.float32)
    known = np.zeros(rows // split, dtype=bool)

    def computed(classes: NDArray[np.int64], rotations: Floats) -> Array:
        order = np.argsort(classes, kind="stable")
        each = [extract(half[m : m + 1, ...], rotations[classes == m], parts.kx, parts.ky, PADDING)[0, ...]
                for m in np.unique(classes)]
        if len(each) == 1:
            return as_reals(each[0], xp)
        return as_reals(xp.take(xp.concat(each, axis=0), xp.asarray(np.argsort(order)), axis=0), xp)

    def slices(classes: NDArray[np.int64], numbers: NDArray[np.int64], rotations: Floats) -> Array:
        if not kept:
            return computed(classes, rotations)
        rows = classes * orientations + numbers
        family = rows[::split] // split
        if len(new := np.flatnonzero(~known[family])):
            members = (new[:, None] * split + np.arange(split)).ravel()
            found = computed(classes[members], rotations[members])
            for i, f in enumerate(family[new]):
                values[f * split : (f + 1) * split, ...] = found[i * split : (i + 1) * split, ...]
            known[family[new]] = True
        return xp.take(values, xp.asarray(rows), axis=0)

    return slices


def _explore(b: Array, c: Array, start: _Candidates, centre: Floats, grid: Floats, levels: Sequence[_Level],
             model: Model, search: Search, adaptive: Adaptive, xp: ModuleType) -> _Found:
    """Follow the candidates of one image, b and c (J,), from the coarse ``grid`` (O, 3, 3) down to the finest level.

    centre: (2,) Å of its prior.
    """
    classes, numbers = np.divmod(start.hypotheses.astype(np.int64), len(grid))
    rotations, shifts = grid[numbers], search.shifts[start.shifts]
    variance = max(model.offset_sigma, 1e-3) ** 2
    with np.errstate(divide="ignore"):
        class_prior = np.maximum(np.log(model.class_weights), -80.0)
    nearness = -np.sum((search.shifts - centre) ** 2, axis=1) / (2 * variance)
    constant = -np.log(len(grid)) - np.logaddexp.reduce(nearness)
    pairs = xp.reshape(xp.stack([c, c], axis=-1), (-1,))  # of each real number of a column
    for level in levels:
        turns, parts = level.turns, level.space.parts
        rotations = (turns[None] @ rotations[:, None]).reshape(-1, 3, 3)
        classes = np.repeat(classes, len(turns))
        numbers = (numbers[:, None] * len(turns) + np.arange(len(turns))).ravel()
        shifts = (shifts[:, None] + level.steps[None]).reshape(-1, 2)
        constant -= np.log(len(turns) * len(level.steps))
        phases = shift_phases(-shifts / level.space.pixel_size, parts, b)
        moved = as_reals(b[None, : len(parts)] * phases, xp)
        gamma = _scores(level, classes, numbers, rotations, moved, pairs, xp)
        gamma += (class_prior[classes] + constant).astype(gamma.dtype)[:, None]
        gamma -= (np.sum((shifts - centre) ** 2, axis=1) / (2 * variance)).astype(gamma.dtype)
        top = gamma.max()
        np.exp(np.subtract(gamma, top, out=gamma), out=gamma)
        evidence = gamma.sum(dtype=np.float64)
        gamma /= evidence.astype(gamma.dtype)
        keep = np.sort(_holding(gamma.sum(axis=1), adaptive.share))
        classes, numbers, rotations = classes[keep], numbers[keep], rotations[keep]
        if level is not levels[-1]:
            shifts = shifts[_holding(gamma.sum(axis=0), adaptive.share)]
    gamma = gamma[keep] / gamma[keep].sum()
    best, shift = np.unravel_index(gamma.argmax(), gamma.shape)
    weights = xp.asarray(gamma, dtype=c.dtype)
    over_shifts = xp.sum(weights, axis=1)
    numerator, denominator = weights @ moved, over_shifts[:, None] * c[None, ...]
    overlap, energy = np.zeros(moved.shape[1]), np.zeros(moved.shape[1])
    for piece in _pieces(len(keep), moved.shape[1]):
        flat = level.slices(classes[piece], numbers[piece], rotations[piece])
        overlap += to_numpy(xp.sum(numerator[piece, :] * flat, axis=0))
        energy += to_numpy(over_shifts[piece] @ (flat * flat) * pairs)
    per_class: Floats = np.bincount(classes, gamma.sum(axis=1), model.classes).astype(np.float64)
    return _Found(classes, rotations, as_columns(numerator, level.space, xp), denominator,
                  overlap.reshape(-1, 2).sum(axis=1), energy.reshape(-1, 2).sum(axis=1), float(top + np.log(evidence)),
                  per_class, int(best), shifts[shift], float(gamma.max()),
                  float(gamma.sum(axis=0) @ np.sum((shifts - centre) ** 2, axis=1)))


def _scores(level: _Level, classes: NDArray[np.int64], numbers: NDArray[np.int64], rotations: Floats, moved: Array,
            pairs: Array, xp: ModuleType) -> NDArray[np.float32]:
    """B · A - ½ C · |A|² (H, S) without DC, of ``moved`` images (S, 2 J); ``pairs`` (2 J,) is C of each real number."""
    out = np.empty((len(classes), moved.shape[0]), dtype=np.float32)
    for piece in _pieces(len(classes), moved.shape[1], len(level.turns)):
        flat = level.slices(classes[piece], numbers[piece], rotations[piece])[:, 2:]
        # the longer matrix comes first: BLAS fills the core better
        match = flat @ moved[:, 2:].T
        match -= 0.5 * ((flat * flat) @ pairs[2 : moved.shape[1]])[:, None]
        out[piece] = to_numpy(match)
    return out


def _pieces(rows: int, reals: int, split: int = 1) -> list[slice]:
    """Slices of ``rows`` whose ``reals`` float32 numbers each take `PIECE` bytes at most, in multiples of ``split``."""
    size = max(PIECE // (4 * reals * split), 1) * split
    return [slice(first, min(first + size, rows)) for first in range(0, rows, size)]


def _holding(weights: Floats, share: float) -> NDArray[np.int64]:
    """Indices of the largest weights that together hold ``share``, or of all if these sum to less."""
    order = np.argsort(-weights, kind="stable")
    return order[: int(np.searchsorted(np.cumsum(weights[order], dtype=np.float64), share)) + 1]
