"""The expectation step: every particle against every hypothesis, as two matrix products, in blocks.

With B = CTF · (X shifted back) / σ² (a row for each image and shift, real and imaginary parts side by side),
C = CTF² / σ² and A the predictions (a row for each map and orientation),

    log P(X | h, s) = B · Aᵀ - ½ C · |A|²ᵀ  + a constant of the image

and after the softmax the sums that the maximisation needs are the same products transposed,

    numerator = Γᵀ · B        denominator = (Σ_s Γ)ᵀ · C

Bytes (float32; D real numbers in J columns, D = 2 J in Fourier space; t threads): O' orientations held at once take
about 4 · K · O' · ((4 + t) D + (1 + t) J), a block of N' images 4 · N' · S · (4 D + 3 K · O'), transients included. The
budget decides O' and N'. If not all orientations fit they are visited twice: once for the evidence of every image, once
for the weights. Images × shifts × hypotheses is never held for more than a block of each thread.

On the CPU every core has a block of its own, so small that its scores stay in fast memory from the product through the
softmax to the next product: one large product in all threads would leave the cores but one idle in between. Blocks do
not depend on the number of cores, unless memory is short, and are added in their order: neither do results.

Where memory runs out all the same, because other programs fill a GPU too, a block goes on as two halves, and the blocks
after it keep that size; predictions that do not fit halve the budget. Nothing of a failed try is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, groupby
from types import ModuleType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, attempt, namespace, to_numpy
from cryoedu.geometry.grids import Search
from cryoedu.inference.assignment import Assignment
from cryoedu.inference.blocks import (
    Block,
    Loaded,
    absolute2,
    as_columns,
    as_reals,
    block_sizes,
    in_pieces,
    load,
    prepared,
)
from cryoedu.inference.memory import slice_sums, transforming
from cryoedu.inference.model import Floats, Model, Posterior
from cryoedu.inference.priors import distances2, log_priors, log_shift_prior, prior_centres
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.sums import SliceSums
from cryoedu.particles.particles import Particles
from cryoedu.threads import in_threads

Tick = Callable[[float], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Predictions:
    """A for the orientations ``lot`` of every map: reals (H, D), |A|² (H, J), and log P(h, s) (1, S, H)."""

    lot: slice
    reals: Array
    power: Array
    log_prior: Array


@dataclass(frozen=True)
class BlockPosterior:
    """A block of images of one noise group before a lot of hypotheses: Γ (N', S, H) and the evidence (N',)."""

    group: int
    block: Block
    predicted: Predictions
    gamma: Array
    evidence: Array


@dataclass(frozen=True)
class _BlockSums:
    """What a visit says: sums over its images, and of each of them what `Posterior` tells.

    numerator: (H, D).  denominator: (H, J).  shift_square: Å², Σ Γ |s|².
    classes: (N', K).  best: (N', 3) class, orientation and shift of the largest Γ, which is weight (N',).
    contrast: overlap and energy (N',), if they were asked for.
    """

    group: int
    predicted: Predictions
    rows: NDArray[np.int64]
    numerator: Array
    denominator: Array
    power: Floats
    shift_square: float
    evidence: Floats
    classes: Floats
    best: NDArray[np.int64]
    weight: Floats
    contrast: tuple[Floats, Floats] | None


def expectation(particles: Particles, model: Model, search: Search, space: FourierSpace, assignment: Assignment, *,
                xp: ModuleType, budget: int, contrast: bool = False,
               tick: Tick = lambda share: None) -> tuple[Posterior, SliceSums]:
    """One expectation step over all particles; ``tick`` is called with the share of the work done (0 to 1).

    contrast: also find each particle's overlap with its predictions, which takes one matrix product more.
    """
    sigma2 = model.sigma2[:, space.bins]
    tally = Tally(len(particles), model.classes)
    centres = prior_centres(particles)
    centres = np.zeros((len(particles), 2)) if centres is None else centres
    squares, power = np.zeros(sigma2.shape), np.zeros(sigma2.shape)
    shift_square = 0.0
    orientations, columns = len(search.angles), len(space.bins)
    held = slice_sums(space, model.classes, orientations)
    numerators = xp.empty((model.classes, orientations, columns), dtype=xp.complex64 if space.unknowns == 2
                          else xp.float32)
    denominators = xp.empty(numerators.shape, dtype=xp.float32)

    def products(visit: BlockPosterior) -> _BlockSums:
        block, over_shifts = visit.block, xp.sum(visit.gamma, axis=1)
        c = xp.broadcast_to(block.c, (len(block.rows), block.c.shape[1]))
        distance2 = xp.asarray(distances2(search.shifts, centres[block.rows]), dtype=xp.float32)
        shift_square = float(xp.sum(xp.sum(visit.gamma, axis=2) * distance2))
        per_class = xp.sum(xp.reshape(over_shifts, (len(block.rows), model.classes, -1)), axis=2)
        return _BlockSums(visit.group, visit.predicted, block.rows, _merged(visit.gamma).T @ _merged(block.b),
                     over_shifts.T @ c, block.power, shift_square, to_numpy(visit.evidence), to_numpy(per_class),
                     *_best(visit, model.classes, xp), _contrast(visit, over_shifts, space, xp) if contrast else None)

    every = block_posteriors(particles, model, search, space, assignment, products, xp=xp, budget=budget, beside=held,
                             tick=tick)
    with closing(every):  # its threads too, if Ctrl-C comes while nobody waits for them
        for lot, of_lot in groupby(every, key=lambda told: told.predicted.lot.start):
            numerator, denominator = None, None
            for group, of_group in groupby(of_lot, key=lambda told: told.group):
                mine, weight = None, None
                for told in of_group:
                    predicted = told.predicted
                    mine, weight = _plus(mine, told.numerator), _plus(weight, told.denominator)
                    shift_square += told.shift_square
                    tally.add(told)
                    power[group] += told.power if lot == 0 else 0.0
                squares[group] += _fit(mine, weight, predicted, sigma2[group], space, xp)
                numerator, denominator = _plus(numerator, mine), _plus(denominator, weight)
            at, shape = predicted.lot, (model.classes, -1, columns)
            numerators[:, at, :] = xp.reshape(as_columns(numerator, space, xp), shape)
            denominators[:, at, :] = xp.reshape(denominator, shape)
    posterior = tally.posterior(search)
    sizes = np.bincount(particles.optics_group, minlength=len(particles.optics)).astype(np.float64)
    binned, counts, log_likelihood = residuals(squares, power, sizes, sigma2, posterior, space, assignment)
    return posterior, SliceSums(numerators, denominators, binned, counts, shift_square, log_likelihood,
                                search.rotations, search.symmetry)


def block_posteriors(particles: Particles, model: Model, search: Search, space: FourierSpace, assignment: Assignment,
           then: Callable[[BlockPosterior], T], *, xp: ModuleType, budget: int, beside: int = 0,
           among: NDArray[np.int64] | None = None,
           tick: Tick = lambda share: None) -> Generator[T]:
    """``then`` of every block's Γ: lots of orientations outermost, then noise groups, then blocks of images.

    beside: bytes of the budget that others hold.  among: rows of the particles that are looked at; None means all.

    ``then`` may run more than once on an image, where memory runs out in it, and must only return; what is yielded
    holds every image once for each lot.
    """
    orientations = len(search.angles)
    beside += transforming(space, model.classes)
    images, size, threads = block_sizes(space, model.classes, orientations, len(search.shifts), budget, xp, beside)
    among = np.arange(len(particles)) if among is None else among
    members = [among[particles.optics_group[among] == group] for group in range(len(particles.optics))]
    joined = np.full(len(particles), -np.inf, dtype=np.float32)
    origin = np.full(len(particles), -1)  # the first lot with the best hypothesis
    centres = prior_centres(particles)
    done = 0.0

    def look(loaded: Loaded, group: int, predicted: Predictions, last: bool) -> list[T]:
        """What ``then`` makes of these images, or, before the last pass, nothing but their evidence until here."""
        rows = loaded.rows
        block = prepared(particles, loaded, group, model.sigma2[group, space.bins], search.shifts, space, xp)
        priors = [predicted.log_prior]
        if centres is not None:  # less the prior around the known centre, which is in there already
            tilt = log_shift_prior(distances2(search.shifts, centres[rows]), model.offset_sigma)
            tilt = tilt - log_shift_prior(distances2(search.shifts, np.zeros((1, 2))), model.offset_sigma)
            priors.append(xp.asarray(tilt[:, :, None], dtype=xp.float32))
        scores = _scores(block, predicted, priors, space, assignment, xp)
        if not (alone or last):
            so_far = joined[rows]
            now = to_numpy(assignment.combine(xp.asarray(so_far), assignment.reduce(scores)))
            origin[rows[now > so_far]], joined[rows] = predicted.lot.start, now
            return []
        if alone:
            return [then(BlockPosterior(group, block, predicted, *assignment.settle(scores)))]
        evidence = xp.asarray(joined[rows])
        elsewhere = xp.asarray(assignment.single & (origin[rows] != predicted.lot.start))
        reached = xp.where(elsewhere, xp.asarray(np.inf, dtype=evidence.dtype), evidence)
        return [then(BlockPosterior(group, block, predicted, assignment.weigh(scores, reached), evidence))]

    reads = in_pieces(lambda rows, group: load(particles, rows, group, space), images, xp)
    pieces = in_pieces(look, images, xp)
    alone = False
    for last in (False, True):
        start = 0
        while start < orientations:
            lot = slice(start, min(start + size, orientations))
            predicted = attempt(xp, _predict, model, search, lot, space, xp)
            if predicted is None:
                budget = beside + (budget - beside) // 2
                fewer, size, threads = block_sizes(space, model.classes, orientations, len(search.shifts), budget, xp,
                                                   beside)
                images = min(images, fewer)
                continue
            alone = lot == slice(0, orientations)  # one lot is all: one visit tells everything
            for group, rows in enumerate(members):
                blocks = [rows[first : first + images] for first in range(0, len(rows), images)]

                def fetch(rows: NDArray[np.int64], group: int = group) -> list[Loaded]:
                    return reads(rows, group)

                def work(loaded: list[Loaded], group: int = group, predicted: Predictions = predicted,
                         last: bool = last) -> list[T]:
                    found = chain.from_iterable(pieces(some, group, predicted, last) for some in loaded)
                    return list(chain.from_iterable(found))

                every = in_threads(work, blocks, xp, fetch=fetch, most=threads, ahead=1)
                for some, found in zip(blocks, every, strict=True):
                    yield from found
                    done += len(some) * (lot.stop - lot.start)
                    tick(done / (len(among) * orientations * (1 if alone else 2)))
            start = lot.stop
        if alone:
            return


def residuals(squares: Floats, power: Floats, sizes: Floats, sigma2: Floats, posterior: Posterior,
              space: FourierSpace, assignment: Assignment) -> tuple[Floats, Floats, float]:
    """Σ Γ |X - CTF A|² and its number of columns, each (G, bins), and the log-likelihood.

    squares: (G, J) Σ Γ (|CTF A|² - 2 Re X* CTF A).  power: (G, J) Σ |X|².  sizes: (G,) images.  sigma2: (G, J).
    """
    left = squares + power
    densities = [_log_gaussian(s, sizes, sigma2, space) for s in (power, left)]
    log_likelihood = assignment.log_likelihood(float(np.sum(posterior.log_evidence)), *densities)
    binned: Floats = np.stack([np.bincount(space.bins, row, space.bin_count) for row in left]).astype(np.float64)
    counts: Floats = np.outer(sizes, np.bincount(space.bins, minlength=space.bin_count).astype(np.float64))
    return binned, counts, log_likelihood


def _predict(model: Model, search: Search, lot: slice, space: FourierSpace, xp: ModuleType) -> Predictions:
    a = space.project(xp.asarray(model.maps), search.rotations[lot])
    a = xp.reshape(a, (-1, a.shape[-1]))
    prior = xp.asarray(np.repeat(log_priors(model, search), lot.stop - lot.start, axis=1), dtype=xp.float32)
    return Predictions(lot, as_reals(a, xp), absolute2(a, xp), prior[None, ...])


def _scores(block: Block, predicted: Predictions, priors: list[Array], space: FourierSpace, assignment: Assignment,
            xp: ModuleType) -> Array:
    """Scores (N', S, H); the unscored columns (DC) come first and are left out."""
    images, shifts, _ = block.b.shape
    u = space.unscored
    match = xp.reshape(_merged(block.b)[:, u:] @ predicted.reals[:, u:].T, (images, shifts, -1))
    energy = block.c[:, u:] @ predicted.power[:, u:].T
    return assignment.score(match, energy[:, None, :], *priors)


def _fit(numerator: Array, denominator: Array, predicted: Predictions, sigma2: Floats, space: FourierSpace,
         xp: ModuleType) -> Floats:
    """Σ_i Σ_h Γ (|CTF A|² - 2 Re X* CTF A) of each column (J,): with Σ |X|² added, the squared residuals."""
    cross = to_numpy(xp.sum(numerator * predicted.reals, axis=0)).astype(np.float64)
    energy = to_numpy(xp.sum(denominator * predicted.power, axis=0)).astype(np.float64)
    return np.asarray((energy - 2 * cross.reshape(-1, space.unknowns).sum(axis=1)) * sigma2)


def _best(visit: BlockPosterior, classes: int, xp: ModuleType) -> tuple[NDArray[np.int64], Floats]:
    """Class, orientation and shift (N', 3) of each image's largest Γ, and that (N',)."""
    images, _, hypotheses = visit.gamma.shape
    flat = xp.reshape(visit.gamma, (images, -1))
    top, weight = to_numpy(xp.argmax(flat, axis=1)), to_numpy(xp.max(flat, axis=1))
    shift, hypothesis = np.divmod(top, hypotheses)
    k, orientation = np.divmod(hypothesis, hypotheses // classes)
    return np.stack([k, orientation + visit.predicted.lot.start, shift], axis=1), weight


def _contrast(visit: BlockPosterior, over_shifts: Array, space: FourierSpace, xp: ModuleType) -> tuple[Floats, Floats]:
    """Σ Γ Re X* CTF A / σ² and Σ Γ |CTF A|² / σ² of each image (N',), over the scored columns."""
    u, images, a = space.unscored, len(visit.block.rows), visit.predicted
    expected = _merged(visit.gamma) @ a.reals
    columns = expected.shape[1] // space.unknowns
    both = xp.reshape(expected * _merged(visit.block.b), (images, -1, columns, space.unknowns))
    energy = (over_shifts @ a.power[:, u:]) * visit.block.c[:, u:]
    return (to_numpy(xp.sum(both[..., u:, :], axis=(1, 2, 3))).astype(np.float64),
            to_numpy(xp.sum(energy, axis=1)).astype(np.float64))


def _log_gaussian(squares: Floats, sizes: Floats, sigma2: Floats, space: FourierSpace) -> float:
    """log of the Gaussian density of residuals whose squares sum to (G, J), over the scored columns."""
    density = -0.5 * squares / sigma2 - 0.5 * space.unknowns * sizes[:, None] * np.log(2 * np.pi * sigma2)
    return float(np.sum(density[:, space.unscored :]))


def _plus(total: Array | None, more: Array) -> Array:
    """total + more, in place; the first one is taken as it is."""
    if total is None:
        return more
    total += more
    return total


def _merged(x: Array) -> Array:
    """(N, S, …) as (N · S, …)."""
    return namespace(x).reshape(x, (x.shape[0] * x.shape[1], x.shape[2]))


class Tally:
    """Collects, block by block, what `Posterior` tells of each particle."""

    def __init__(self, particles: int, classes: int) -> None:
        self.log_evidence = np.zeros(particles)
        self.class_probability = np.zeros((particles, classes))
        self.contrast = np.zeros((2, particles))  # overlap, energy
        self.best = np.full(particles, -1.0)
        self.where = np.zeros((particles, 3), dtype=np.int64)  # class, orientation, shift

    def add(self, told: _BlockSums) -> None:
        """Take note of one visit."""
        rows, better = told.rows, told.weight > self.best[told.rows]
        if told.contrast is not None:
            self.contrast[:, rows] += told.contrast
        self.log_evidence[rows] = told.evidence
        self.class_probability[rows] += told.classes
        self.best[rows[better]] = told.weight[better]
        self.where[rows[better]] = told.best[better]

    def posterior(self, search: Search) -> Posterior:
        """What was collected, in the terms of the grid."""
        _, orientation, shift = self.where.T
        return Posterior(self.log_evidence, self.class_probability, np.argmax(self.class_probability, axis=1),
                         search.angles[orientation], search.shifts[shift], self.best, *self.contrast)
