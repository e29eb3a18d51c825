"""The expectation step: every particle against every hypothesis, as two matrix products, in blocks.

With B = CTF · (X shifted back) / σ² (a row for each image and shift, real and imaginary parts side by side),
C = CTF² / σ² and A the predictions (a row for each map and orientation),

    log P(X | h, s) = B · Aᵀ - ½ C · |A|²ᵀ  + a constant of the image

and after the softmax the sums that the maximisation needs are the same products transposed,

    numerator = Γᵀ · B        denominator = (Σ_s Γ)ᵀ · C

Bytes (float32; D real numbers in J columns, D = 2 J in Fourier space): O' orientations held at once take about
4 · K · O' · (5 D + 2 J), a block of N' images 4 · N' · S · (4 D + 3 K · O'), transients included. The budget decides
O' and N'. If not all orientations fit they are visited twice: once for the evidence of every image, once for the
weights. Images × shifts × hypotheses is never held for more than one block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, namespace, to_numpy
from cryoedu.geometry.grids import Search
from cryoedu.inference.assignment import Assignment
from cryoedu.inference.blocks import Block, absolute2, as_columns, block_sizes, prepare, side_by_side
from cryoedu.inference.model import Floats, Model, Posterior
from cryoedu.inference.spaces import FourierSpace
from cryoedu.particles.particles import Particles

Tick = Callable[[float], None]


@dataclass(frozen=True)
class Sums:
    """What the maximisation needs, summed over all particles.

    numerator, denominator: (K, O, J), on the array library's device.
    squares: (G, bins) Σ Γ |X - CTF A|², and counts: (G, bins) how many columns stand behind it.
    shift_square: Å², Σ Γ |s|².  log_likelihood: of the particles under the model.
    """

    numerator: Array
    denominator: Array
    squares: Floats
    counts: Floats
    shift_square: float
    log_likelihood: float


@dataclass(frozen=True)
class _Predictions:
    """A for the orientations ``lot`` of every map: reals (H, D), |A|² (H, J), and log P(h, s) (1, S, H)."""

    lot: slice
    reals: Array
    power: Array
    log_prior: Array


def expectation(particles: Particles, model: Model, search: Search, space: FourierSpace, assignment: Assignment, *,
                xp: ModuleType, budget: int, tick: Tick = lambda share: None) -> tuple[Posterior, Sums]:
    """One expectation step over all particles; ``tick`` is called with the share of the work done (0 to 1)."""
    orientations = len(search.angles)
    images, size = block_sizes(space, model.classes, orientations, len(search.shifts), budget)
    lots = [slice(o, min(o + size, orientations)) for o in range(0, orientations, size)]
    groups = [np.flatnonzero(particles.optics_group == g) for g in range(len(particles.optics))]
    visits = sum(-(-len(rows) // images) for rows in groups) * (len(lots) if len(lots) == 1 else 2 * len(lots))
    columns_sigma2 = model.sigma2[:, space.bins]
    done = 0

    def blocks(group: int) -> Iterator[Block]:
        nonlocal done
        rows = groups[group]
        for first in range(0, len(rows), images):
            some = rows[first : first + images]
            yield prepare(particles, some, group, columns_sigma2[group], search.shifts, space, xp)
            done += 1
            tick(done / visits)

    joined = None
    if len(lots) > 1:
        joined = np.full(len(particles), -np.inf, dtype=np.float32)
        for lot in lots:
            predicted = _predict(model, search, lot, space, xp)
            for group in range(len(groups)):
                for block in blocks(group):
                    evidence = assignment.reduce(_scores(block, predicted, space, assignment, xp))
                    joined[block.rows] = to_numpy(assignment.combine(xp.asarray(joined[block.rows]), evidence))

    tally = _Tally(len(particles), model.classes)
    distance2 = xp.asarray(np.sum(search.shifts**2, axis=1), dtype=xp.float32)
    squares, power = np.zeros(columns_sigma2.shape), np.zeros(columns_sigma2.shape)
    shift_square = 0.0
    sums: list[tuple[Array, Array]] = []
    for lot in lots:
        predicted = _predict(model, search, lot, space, xp)
        numerator, denominator = xp.zeros_like(predicted.reals), xp.zeros_like(predicted.power)
        for group in range(len(groups)):
            mine, weight = xp.zeros_like(predicted.reals), xp.zeros_like(predicted.power)
            for block in blocks(group):
                scores = _scores(block, predicted, space, assignment, xp)
                evidence = assignment.reduce(scores) if joined is None else xp.asarray(joined[block.rows])
                gamma = assignment.weigh(scores, evidence)
                over_shifts = xp.sum(gamma, axis=1)
                mine += _merged(gamma).T @ _merged(block.b)
                weight += over_shifts.T @ xp.broadcast_to(block.c, (len(block.rows), block.c.shape[1]))
                shift_square += float(xp.sum(xp.sum(gamma, axis=2) * distance2[None, :]))
                tally.add(block.rows, gamma, over_shifts, evidence, lot, xp)
                power[group] += block.power if lot is lots[0] else 0.0
            squares[group] += _fit(mine, weight, predicted, columns_sigma2[group], space, xp)
            numerator += mine
            denominator += weight
        shape = (model.classes, -1, len(space.bins))
        sums.append((xp.reshape(as_columns(numerator, space, xp), shape), xp.reshape(denominator, shape)))
    squares += power
    sizes = np.asarray([len(rows) for rows in groups], dtype=np.float64)
    posterior = tally.posterior(search)
    densities = [_log_gaussian(s, sizes, columns_sigma2, space) for s in (power, squares)]
    log_likelihood = assignment.log_likelihood(float(np.sum(posterior.log_evidence)), *densities)
    binned: Floats = np.stack([np.bincount(space.bins, row, space.bin_count) for row in squares]).astype(np.float64)
    counts: Floats = np.outer(sizes, np.bincount(space.bins, minlength=space.bin_count).astype(np.float64))
    numerator, denominator = (xp.concat(part, axis=1) for part in zip(*sums, strict=True))
    return posterior, Sums(numerator, denominator, binned, counts, shift_square, log_likelihood)


def log_priors(model: Model, search: Search) -> Floats:
    """log P(k, φ, s) (S, K): class weights, uniform orientations, Gaussian shifts, normalised over the grid."""
    with np.errstate(divide="ignore"):
        classes = np.maximum(np.log(model.class_weights), -80.0)
    distance2 = np.sum(search.shifts**2, axis=1)
    shifts = -distance2 / (2 * max(model.offset_sigma, 1e-3) ** 2)
    shifts -= np.log(np.sum(np.exp(shifts - shifts.max()))) + shifts.max()
    return np.asarray(shifts[:, None] + classes[None, :] - np.log(len(search.angles)))


def _predict(model: Model, search: Search, lot: slice, space: FourierSpace, xp: ModuleType) -> _Predictions:
    a = space.project(xp.asarray(model.maps), search.rotations[lot])
    a = xp.reshape(a, (-1, a.shape[-1]))
    prior = xp.asarray(np.repeat(log_priors(model, search), lot.stop - lot.start, axis=1), dtype=xp.float32)
    return _Predictions(lot, side_by_side(a, xp), absolute2(a, xp), prior[None, ...])


def _scores(block: Block, predicted: _Predictions, space: FourierSpace, assignment: Assignment,
            xp: ModuleType) -> Array:
    """Scores (N', S, H); the unscored columns (DC) come first and are left out."""
    images, shifts, _ = block.b.shape
    u = space.unscored
    match = xp.reshape(_merged(block.b)[:, u:] @ predicted.reals[:, u:].T, (images, shifts, -1))
    energy = block.c[:, u:] @ predicted.power[:, u:].T
    return assignment.score(match, energy[:, None, :], predicted.log_prior)


def _fit(numerator: Array, denominator: Array, predicted: _Predictions, sigma2: Floats, space: FourierSpace,
         xp: ModuleType) -> Floats:
    """Σ_i Σ_h Γ (|CTF A|² - 2 Re X* CTF A) of each column (J,): with Σ |X|² added, the squared residuals."""
    cross = to_numpy(xp.sum(numerator * predicted.reals, axis=0)).astype(np.float64)
    energy = to_numpy(xp.sum(denominator * predicted.power, axis=0)).astype(np.float64)
    return np.asarray((energy - 2 * cross.reshape(space.unknowns, -1).sum(axis=0)) * sigma2)


def _log_gaussian(squares: Floats, sizes: Floats, sigma2: Floats, space: FourierSpace) -> float:
    """log of the Gaussian density of residuals whose squares sum to (G, J), over the scored columns."""
    density = -0.5 * squares / sigma2 - 0.5 * space.unknowns * sizes[:, None] * np.log(2 * np.pi * sigma2)
    return float(np.sum(density[:, space.unscored :]))


def _merged(x: Array) -> Array:
    """(N, S, …) as (N · S, …)."""
    return namespace(x).reshape(x, (x.shape[0] * x.shape[1], x.shape[2]))


class _Tally:
    """Collects, block by block, what `Posterior` tells of each particle."""

    def __init__(self, particles: int, classes: int) -> None:
        self.log_evidence = np.zeros(particles)
        self.class_probability = np.zeros((particles, classes))
        self.best = np.full(particles, -1.0)
        self.where = np.zeros((particles, 3), dtype=np.int64)  # class, orientation, shift

    def add(self, rows: NDArray[np.int64], gamma: Array, over_shifts: Array, evidence: Array, lot: slice,
            xp: ModuleType) -> None:
        images, _, hypotheses = gamma.shape
        classes = self.class_probability.shape[1]
        self.log_evidence[rows] = to_numpy(evidence)
        self.class_probability[rows] += to_numpy(xp.sum(xp.reshape(over_shifts, (images, classes, -1)), axis=2))
        flat = xp.reshape(gamma, (images, -1))
        top, weight = to_numpy(xp.argmax(flat, axis=1)), to_numpy(xp.max(flat, axis=1))
        shift, hypothesis = np.divmod(top, hypotheses)
        k, orientation = np.divmod(hypothesis, hypotheses // classes)
        better = weight > self.best[rows]
        self.best[rows[better]] = weight[better]
        self.where[rows[better]] = np.stack([k, orientation + lot.start, shift], axis=1)[better]

    def posterior(self, search: Search) -> Posterior:
        _, orientation, shift = self.where.T
        return Posterior(self.log_evidence, self.class_probability, np.argmax(self.class_probability, axis=1),
                         search.angles[orientation], search.shifts[shift], self.best)
