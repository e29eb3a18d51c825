"""Adaptive search: all orientations coarsely, then only the neighbourhood of what still counts, finer and finer.

A coarse pass scores the whole grid at the few frequencies that can tell its points apart. For each image the
hypotheses that hold nearly all the weight are kept, each is split into eight smaller turns (two in the plane) and
each shift into four, and these are scored with more frequencies; and so on for ``levels`` levels. As in RELION
(Scheres 2012, J Struct Biol 180:519), but image by image: the union over many images would be nearly the whole grid.
How many are kept hangs on the images alone. At an SNR of 0.03 it may be nearly all, and no number bounds it: what would
be dropped is weight of the posterior, and the rest would be too sure.

Only hypotheses that hold weight on the last level are summed, first at the points of the finest grid (`Points`), from
there on the padded grid (`VolumeSums`), where the normal equations are a convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby
from types import ModuleType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, attempt, namespace, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.euler import Floats, matrix_to_euler
from cryoedu.geometry.grids import Search, shift_subdivision, subdivision
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.blocks import as_columns, as_memory_allows, half_as_many, least_block, prepare
from cryoedu.inference.expectation import BlockPosterior, Tick, block_posteriors, residuals
from cryoedu.inference.following import Seen, seen, summed
from cryoedu.inference.memory import room_beside_grid, transforming
from cryoedu.inference.model import Model, Posterior, unseen
from cryoedu.inference.points import FEWEST, PIECE, REUSED, Grid, Keys, Points, family_bytes
from cryoedu.inference.priors import distances2, log_class_prior, log_shift_prior, prior_centres
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.sums import Inserter, VolumeSums
from cryoedu.microscope.slices import in_loops
from cryoedu.particles.particles import Particles
from cryoedu.threads import workers

T = TypeVar("T")
LIGHTEST = 0.1  # of what may be lost: how much of it may go to hypotheses that are too light to be listed
BLOCK = 256  # images that are read at a time, at the most


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
    """Points of the grid of a level, and how shifts are split to reach it, into ``steps`` (S, 2) Å."""

    points: Points
    steps: Floats


@dataclass(frozen=True)
class _Candidates:
    """Points of a grid that one image follows, by their keys (F,), in order, and shifts, as rows of the coarse grid
    (S,) or in Å (S, 2)."""

    families: Keys
    shifts: NDArray[np.int64] | Floats


@dataclass(frozen=True)
class _ImageSums:
    """What the last level says of one image: the points (M,) that hold its weight, numbered as in `Seen` and by key.

    families: (F,) whose children were looked at.  gamma: (M, S) of sum 1, with each of the shifts (S, 2) Å.
    images: (S, 2 J) moved by each shift.  best: key and shift of the largest weight.
    """

    families: Keys
    children: NDArray[np.int64]
    gamma: NDArray[np.float32]
    images: Array
    keys: Keys
    shifts: Floats
    best: tuple[int, int]
    log_evidence: float


def adaptive_expectation(particles: Particles, model: Model, search: Search, adaptive: Adaptive, space: FourierSpace, *,
                         xp: ModuleType, budget: int,
                         tick: Tick = lambda share: None) -> tuple[Posterior, VolumeSums]:
    """The expectation step of a maximum-likelihood refinement from the coarse grid ``search`` to its finest level."""
    count, coarse = len(particles), adaptive.space(0, space, search.angular_step)
    least = least_adaptive(search, adaptive, space, model.classes, xp)
    free = room_beside_grid(space, model.classes, budget, least)
    for_coarse = max(free // 4, least // 2)
    free -= for_coarse
    half = space.sliceable(xp.asarray(model.maps))
    sigma2 = model.sigma2[:, space.bins]
    inserter = Inserter(space, model.classes, xp, search.symmetry, free // 8)
    centres = prior_centres(particles)
    centres = np.zeros((count, 2)) if centres is None else centres
    posterior, best = unseen(count, model.classes), np.zeros((count, 3, 3))
    squares, power = np.zeros(sigma2.shape), np.zeros(sigma2.shape)
    shift_square = 0.0
    size = int(max(min(free // 16 // (64 * len(space.bins) + 20 * space.box**2), BLOCK), 1))
    levels: list[_Level] = []
    at_once = max(free // 16 // (16 * model.classes * len(search.angles)), 1)  # images whose candidates are listed
    for among in np.array_split(np.arange(count), -(-count // at_once)):
        before, more, done = int(among[0]), len(among), 0

        def listed(share: float, before: int = before, more: int = more) -> None:
            tick((before + 0.5 * share * more) / count)

        started = _significant(particles, model, search, adaptive, coarse, among, xp, budget, budget - for_coarse,
                               listed)
        if not levels:
            asked = sum(len(image.families) for image in started.values()) * count // more
            levels.extend(_levels(half, search, adaptive, space, model.classes, asked, free // 2, inserter,
                                  int(np.clip(free // 16 // (4 * workers(xp)), 2**14, PIECE))))
        for group in range(len(particles.optics)):
            rows = among[particles.optics_group[among] == group]
            while len(rows):
                block = attempt(xp, prepare, particles, rows[:size], group, sigma2[group], np.zeros((1, 2)), space, xp)
                if block is None:
                    size = half_as_many(len(rows[:size]))
                    continue
                some, rows = rows[:size], rows[size:]
                b, c = as_columns(block.b[:, 0, :], space, xp), xp.broadcast_to(block.c, (len(some), len(space.bins)))
                power[group] += block.power
                every = _follow(b, c, [started[i] for i in some], centres[some], levels, model, search, adaptive, xp,
                                free // 8)
                for k, found, overlap, energy in every:
                    i, over_shifts = some[k], found.gamma.sum(axis=1)
                    squares[group] += (energy - 2 * overlap) * sigma2[group]
                    shift_square += float(found.gamma.sum(axis=0)
                                          @ np.sum((found.shifts - centres[i]) ** 2, axis=1))
                    posterior.overlap[i], posterior.energy[i] = overlap[1:].sum(), energy[1:].sum()
                    posterior.log_evidence[i], posterior.max_probability[i] = found.log_evidence, found.gamma.max()
                    grid = levels[-1].points.grid
                    posterior.class_probability[i] = np.bincount(grid.classes(found.keys), over_shifts, model.classes)
                    key, shift = found.best
                    posterior.shifts[i], best[i] = found.shifts[shift], grid.rotations(np.array([key]))[0]
                    done += 1
                tick((before + 0.5 * (more + done)) / count)
    if levels:
        levels[-1].points.flush()
    posterior.classes[:], posterior.angles[:] = posterior.class_probability.argmax(axis=1), matrix_to_euler(best)
    sizes = np.bincount(particles.optics_group, minlength=len(particles.optics)).astype(np.float64)
    binned, counts, log_likelihood = residuals(squares, power, sizes, sigma2, posterior, space, MAXIMUM_LIKELIHOOD)
    return posterior, inserter.sums(binned, counts, shift_square, log_likelihood)


def least_adaptive(search: Search, adaptive: Adaptive, space: FourierSpace, classes: int, xp: ModuleType) -> int:
    """Bytes that the search needs beside what is held all the time; half of them for the coarse pass."""
    coarse = adaptive.space(0, space, search.angular_step)
    return 2 * (least_block(coarse, classes, len(search.shifts), xp) + transforming(coarse, classes))


def _levels(half: Array, search: Search, adaptive: Adaptive, space: FourierSpace, classes: int, asked: int,
            budget: int, inserter: Inserter, piece: int) -> list[_Level]:
    """How to come from the coarse grid to the finest level.

    asked: families that all images together ask for on the first one.  budget: bytes for points that are kept.
    piece: bytes of slices that are looked at together.
    """
    levels, parents = [], Grid(search.rotations)
    for level in range(1, adaptive.levels + 1):
        turns = subdivision(search.angular_step / 2 ** (level - 1), in_plane=space.ndim == 2)
        steps = shift_subdivision(search.shift_step / 2 ** (level - 1)) if len(search.shifts) > 1 else np.zeros((1, 2))
        at, last = adaptive.space(level, space, search.angular_step), level == adaptive.levels
        each = family_bytes(at, len(turns), last)
        room = int(min(max(asked // REUSED, FEWEST // each), classes * len(parents), budget // adaptive.levels // each))
        levels.append(_Level(Points(half, parents, turns, at, room, piece, inserter if last else None), steps))
        parents = parents.finer(turns)
    return levels


def _significant(particles: Particles, model: Model, search: Search, adaptive: Adaptive, space: FourierSpace,
                 among: NDArray[np.int64], xp: ModuleType, budget: int, beside: int,
                 tick: Tick) -> dict[int, _Candidates]:
    """For each of the particles ``among`` all the orientations and shifts of the coarse grid that hold its weight."""
    kept: dict[int, list[tuple[NDArray[np.int32], NDArray[np.float32]]]] = {int(i): [] for i in among}
    shift_weight = {i: np.zeros(len(search.shifts)) for i in kept}
    least = LIGHTEST * (1 - adaptive.share) / (model.classes * len(search.angles))

    def margins(visit: BlockPosterior) -> tuple[NDArray[np.int64], slice, Floats, Floats]:
        """Rows, lot, and Γ summed over shifts (N', K · O'), classes outermost, and over all else (N', S)."""
        return (visit.block.rows, visit.predicted.lot, to_numpy(xp.sum(visit.gamma, axis=1)),
                to_numpy(xp.sum(visit.gamma, axis=2)))

    for rows, lot, weights, of_shifts in block_posteriors(particles, model, search, space, MAXIMUM_LIKELIHOOD, margins,
                                                          xp=xp, budget=budget, beside=beside, among=among, tick=tick):
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
        out[i] = _Candidates(chosen.astype(np.int64), _holding(shift_weight[i], adaptive.share))
        lots.clear()
    return out


def _follow(b: Array, c: Array, starts: Sequence[_Candidates], centres: Floats, levels: Sequence[_Level], model: Model,
            search: Search, adaptive: Adaptive, xp: ModuleType,
            budget: int) -> Iterator[tuple[int, _ImageSums, Floats, Floats]]:
    """Follow the candidates of some images, b and c (N', J), down to the finest level.

    centres: (N', 2) Å of the priors of the shifts.  budget: bytes for weights.
    Yields each image's number, what was found, and its sums over points of Re Γ B* A and Γ C |A|² in each column.
    """
    class_prior, sigma = log_class_prior(model.class_weights), model.offset_sigma
    squares = distances2(search.shifts, centres)
    states = [_Candidates(start.families, search.shifts[start.shifts]) for start in starts]
    spread = 0.0  # of the prior of a point of the coarse grid over those that it was split into

    def look(some: Sequence[int], states: Sequence[_Candidates], level: _Level,
             spread: float) -> list[_Candidates | _ImageSums]:
        points, at = level.points, np.asarray(some)
        families = np.stack([states[i].families for i in some])
        shifts = np.stack([(states[i].shifts[:, None] + level.steps[None]).reshape(-1, 2) for i in some])
        of_families = class_prior[points.parents.classes(families)] - np.log(len(search.angles)) + spread
        of_shifts = log_shift_prior(np.sum((shifts - centres[at, None]) ** 2, axis=2), sigma, squares[at])
        every = seen(xp.take(b, xp.asarray(at), axis=0), xp.take(c, xp.asarray(at), axis=0), points, families, shifts,
                     of_families, of_shifts)
        return [_narrowed(*image, len(points.turns), adaptive.share, last=level is levels[-1])
                for image in zip(every, families, shifts, strict=True)]

    for level in levels:
        points, split, reals = level.points, len(level.points.turns), 2 * len(level.points.space.bins)
        spread -= np.log(split * len(level.steps))
        # weights, those that are kept, and the moved images
        each = [4 * len(state.shifts) * len(level.steps) * (2 * split * len(state.families) + reals)
                for state in states]
        following: list[_Candidates] = []
        for _, batch in groupby(range(len(states)), key=_in_batches(each, budget)):
            some = list(batch)
            points.ask(np.unique(np.concatenate([states[i].families for i in some])))
            most = int(max(budget // max(each[i] for i in some), 1))
            sizes = [(len(states[i].families), len(states[i].shifts)) for i in some]
            lots = [[some[k] for k in lot] for lot in _alike(sizes, _together(points))]
            here = partial(look, states=states, level=level, spread=spread)
            found = as_memory_allows(partial(_in_halves, here, xp=xp), lots, xp, most=most, ahead=1)
            by_image = dict(zip(chain.from_iterable(lots), chain.from_iterable(found), strict=True))
            looked = [by_image[i] for i in some]
            yield from _summed([x for x in looked if isinstance(x, _ImageSums)], some, c, points, xp)
            following.extend(x for x in looked if isinstance(x, _Candidates))
        states = following


def _narrowed(image: Seen, families: Keys, shifts: Floats, split: int, share: float, *,
              last: bool) -> _Candidates | _ImageSums:
    """What of an image is followed to the next level, or, on the last one, is summed."""
    kept = np.sort(_holding(image.of_points, share))
    keys = families[kept // split] * split + kept % split
    if not last:
        return _Candidates(keys, shifts[_holding(image.of_shifts, share)])
    xp = namespace(image.gamma)
    gamma = to_numpy(xp.take(image.gamma, xp.asarray(kept), axis=0))
    gamma = gamma / gamma.sum()
    point, shift = np.unravel_index(gamma.argmax(), gamma.shape)
    return _ImageSums(families, kept, gamma, image.images, keys, shifts, (int(keys[point]), int(shift)),
                  image.log_evidence)


def _summed(looked: Sequence[_ImageSums], some: Sequence[int], c: Array, points: Points,
            xp: ModuleType) -> Iterator[tuple[int, _ImageSums, Floats, Floats]]:
    """The sums of images ``some`` are added to the points; yields as `_follow`."""
    lots = _alike([(*found.gamma.shape, len(found.families)) for found in looked], _together(points))
    pieces = []
    for lot in lots:
        size = max(points.at_once // len(lot), 1)
        pieces += [(lot, slice(first, first + size)) for first in range(0, len(looked[lot[0]].keys), size)]

    def add_up(piece: tuple[list[int], slice]) -> tuple[Array, Floats, Floats]:
        lot, part = piece
        found = [looked[k] for k in lot]
        return summed(np.stack([f.gamma[part] for f in found]), _stacked([f.images for f in found], xp),
                      xp.take(c, xp.asarray([some[k] for k in lot]), axis=0), points,
                      np.stack([f.families for f in found]), np.stack([f.children[part] for f in found]))

    every = zip(pieces, as_memory_allows(add_up, pieces, xp, ahead=2), strict=True)
    for _, of_lot in groupby(every, key=lambda each: each[0][0]):
        overlap, energy = np.zeros((2, 1, 1))
        for (lot, part), (numerator, match, own) in of_lot:
            overlap, energy = overlap + match, energy + own
            for n, k in enumerate(lot):
                points.add(looked[k].keys[part], numerator[n, ...], looked[k].gamma[part].sum(axis=1), c[some[k], :])
        for k, *sums in zip(lot, overlap, energy, strict=True):
            yield some[k], looked[k], *sums


def _together(points: Points) -> int:
    """How many images are looked at together: on the CPU one in each thread, elsewhere as many as fit a piece."""
    return 1 if in_loops(points.values) else max(points.at_once // len(points.turns), 1)


def _in_halves(look: Callable[[Sequence[int]], list[T]], lot: Sequence[int], xp: ModuleType) -> list[T]:
    """``look`` at a lot of images, or, where memory runs out, at its halves; a single one may raise."""
    found = attempt(xp, look, lot) if len(lot) > 1 else look(lot)
    if found is None:
        half = half_as_many(len(lot))
        return _in_halves(look, lot[:half], xp) + _in_halves(look, lot[half:], xp)
    return found


def _alike(sizes: Sequence[Hashable], most: int) -> list[list[int]]:
    """Numbers of ``sizes``, in lots of no more than ``most`` that are equal; one by one they keep their order."""
    waiting: dict[Hashable, list[int]] = {}
    full = []
    for i, size in enumerate(sizes):
        lot = waiting.setdefault(size, [])
        lot.append(i)
        if len(lot) == most:
            full.append(waiting.pop(size))
    return full + list(waiting.values())


def _stacked(arrays: Sequence[Array], xp: ModuleType) -> Array:
    return xp.stack(arrays) if len(arrays) > 1 else arrays[0][None, ...]  # no copy of a single one


def _in_batches(sizes: Sequence[int], budget: int) -> Callable[[int], int]:
    """The batch of each image, so that the ``sizes`` of one, in bytes, fit ``budget``, or are those of one image."""
    batches, batch, held = [], 0, 0
    for size in sizes:
        if held and held + size > budget:
            batch, held = batch + 1, 0
        held += size
        batches.append(batch)
    return batches.__getitem__


def _holding(weights: NDArray[np.floating], share: float) -> NDArray[np.int64]:
    """Indices of the largest weights that together hold ``share``, or of all if these sum to less."""
    order = np.argsort(-weights, kind="stable")
    return order[: int(np.searchsorted(np.cumsum(weights[order], dtype=np.float64), share)) + 1]
