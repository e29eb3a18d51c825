"""The expectation step around poses that are nearly known: a few turns and shifts for every particle.

Every particle has its own slices here, so that the two products of the dense search become one small product for each
particle, done for a block of them at once. Their sums are kept on the padded grid (`GridSums`). Poses that are known
are a search of one turn and no shift; then only the class is uncertain.

Bytes: a block of N' images with T turns of K maps and S shifts takes 24 · N' · J · (K · T + S), J columns.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from cryoedu.arrays import Array, to_numpy
from cryoedu.geometry.euler import Floats, matrix_to_euler
from cryoedu.geometry.fourier import shift_phases
from cryoedu.geometry.grids import LocalSearch
from cryoedu.inference.assignment import Assignment
from cryoedu.inference.blocks import absolute2, as_columns, prepare, side_by_side
from cryoedu.inference.expectation import Tick, residuals
from cryoedu.inference.gridsums import GridSums, Inserter
from cryoedu.inference.model import Model, Posterior
from cryoedu.inference.offsets import prior_centres
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.projection import PADDING, transform
from cryoedu.microscope.slices import extract
from cryoedu.particles.particles import Particles

LEAST = 1e-4  # share of a particle's weight below which a slice is not worth inserting


def local_expectation(particles: Particles, model: Model, search: LocalSearch, space: FourierSpace,
                      assignment: Assignment, *, xp: ModuleType, budget: int,
                      tick: Tick = lambda share: None) -> tuple[Posterior, GridSums]:
    """One expectation step over all particles, each around its own pose."""
    half = transform(xp.asarray(model.maps), PADDING)
    sigma2 = model.sigma2[:, space.bins]
    inserter = Inserter(space, model.classes, xp, search.symmetry)
    prior_at = prior_centres(particles)
    count, classes, turns, steps = len(particles), model.classes, len(search.turns), len(search.shifts)
    posterior = Posterior(np.zeros(count), np.zeros((count, classes)), np.zeros(count, dtype=np.int64),
                          np.zeros((count, 3)), np.zeros((count, 2)), *np.zeros((3, count)))
    squares, power = np.zeros(sigma2.shape), np.zeros(sigma2.shape)
    shift_square, done = 0.0, 0
    each = 24 * len(space.bins) * (classes * turns + steps) + 16 * steps * classes * turns
    size = int(np.clip(budget // 4 // each, 1, 1024))
    with np.errstate(divide="ignore"):
        class_prior = np.maximum(np.log(model.class_weights), -80.0)
    for group in range(len(particles.optics)):
        of_group = np.flatnonzero(particles.optics_group == group)
        for first in range(0, len(of_group), size):
            rows = of_group[first : first + size]
            block = prepare(particles, rows, group, sigma2[group], np.zeros((1, 2)), space, xp)
            power[group] += block.power
            c = xp.broadcast_to(block.c, (len(rows), len(space.bins)))
            rotations = (search.turns[None] @ search.rotations[rows, None]).reshape(-1, 3, 3)
            slices = extract(half, rotations, space.parts.kx, space.parts.ky, PADDING)
            slices = xp.reshape(slices, (classes, len(rows), turns, -1))
            slices = xp.reshape(xp.permute_dims(slices, (1, 0, 2, 3)), (len(rows), classes * turns, -1))
            places = search.centres[rows, None] + search.shifts  # (N', S, 2)
            b = as_columns(block.b[:, 0, :], space, xp)
            phases = shift_phases(-places.reshape(-1, 2) / space.pixel_size, space.parts)
            moved = b[:, None, :] * xp.reshape(xp.asarray(phases, dtype=b.dtype), (len(rows), steps, -1))

            off = places if prior_at is None else places - prior_at[rows, None]  # from where the prior is centred
            prior = np.repeat(class_prior, turns) - np.log(turns) + _shift_prior(off, model)[:, :, None]
            scores = _scores(moved, slices, c, xp.asarray(prior, dtype=c.dtype), assignment, xp)
            evidence = assignment.reduce(scores)
            gamma = assignment.weigh(scores, evidence)

            weights = xp.sum(gamma, axis=1)  # (N', K T)
            posterior.log_evidence[rows] = to_numpy(evidence)
            posterior.class_probability[rows] = to_numpy(xp.sum(xp.reshape(weights, (len(rows), classes, -1)), axis=2))
            flat = xp.reshape(gamma, (len(rows), -1))
            step, best = np.divmod(to_numpy(xp.argmax(flat, axis=1)), classes * turns)
            posterior.max_probability[rows] = to_numpy(xp.max(flat, axis=1))
            posterior.shifts[rows] = places[np.arange(len(rows)), step]
            turned = rotations.reshape(len(rows), turns, 3, 3)[np.arange(len(rows)), best % turns]
            posterior.angles[rows] = matrix_to_euler(turned)
            over_turns = to_numpy(xp.sum(gamma, axis=2)).astype(np.float64)
            shift_square += float(np.sum(over_turns * np.sum(off**2, axis=2)))

            overlap, energy = _insert(inserter, gamma, weights, moved, slices, c, rotations, turns, xp)
            squares[group] += np.sum(energy - 2 * overlap, axis=0) * sigma2[group]
            posterior.overlap[rows], posterior.energy[rows] = overlap[:, 1:].sum(axis=1), energy[:, 1:].sum(axis=1)
            done += len(rows)
            tick(done / count)
    posterior.classes[:] = posterior.class_probability.argmax(axis=1)
    sizes = np.bincount(particles.optics_group, minlength=len(particles.optics)).astype(np.float64)
    binned, counts, log_likelihood = residuals(squares, power, sizes, sigma2, posterior, space, assignment)
    return posterior, inserter.sums(binned, counts, shift_square, log_likelihood)


def _shift_prior(places: Floats, model: Model) -> Floats:
    """log P(s) (N, S) of shifts (N, S, 2) Å from the prior's centre, normalised over each particle's own grid."""
    value = -np.sum(places**2, axis=2) / (2 * max(model.offset_sigma, 1e-3) ** 2)
    top = value.max(axis=1, keepdims=True)
    return np.asarray(value - top - np.log(np.sum(np.exp(value - top), axis=1, keepdims=True)))


def _scores(moved: Array, slices: Array, c: Array, prior: Array, assignment: Assignment, xp: ModuleType) -> Array:
    """Scores (N', S, K T) of ``moved`` (N', S, J) before ``slices`` (N', K T, J), without DC."""
    predicted = side_by_side(slices[..., 1:], xp)
    match = xp.matmul(side_by_side(moved[..., 1:], xp), xp.permute_dims(predicted, (0, 2, 1)))
    energy = xp.matmul(absolute2(slices[..., 1:], xp), c[:, 1:, None])[..., 0]
    return assignment.score(match, energy[:, None, :], prior)


def _insert(inserter: Inserter, gamma: Array, weights: Array, moved: Array, slices: Array, c: Array,
            rotations: Floats, turns: int, xp: ModuleType) -> tuple[Floats, Floats]:
    """Add numerators and denominators of a block; Σ Γ Re X* CTF A / σ² and Σ Γ |CTF A|² / σ² of each column (N', J)."""
    numerator = xp.matmul(xp.permute_dims(xp.astype(gamma, moved.dtype), (0, 2, 1)), moved)  # (N', K T, J)
    denominator = weights[:, :, None] * c[:, None, :]
    cross = xp.real(numerator) * xp.real(slices) + xp.imag(numerator) * xp.imag(slices)
    overlap, energy = xp.sum(cross, axis=1), xp.sum(denominator * absolute2(slices, xp), axis=1)
    image, hypothesis = np.nonzero(to_numpy(weights) > LEAST)
    k, turn = np.divmod(hypothesis, turns)
    for m in np.unique(k):
        i, h, t = image[k == m], hypothesis[k == m], turn[k == m]
        at = xp.asarray(i * weights.shape[1] + h)
        inserter.add(int(m), xp.take(xp.reshape(numerator, (-1, c.shape[1])), at, axis=0),
                     xp.take(xp.reshape(denominator, (-1, c.shape[1])), at, axis=0), rotations[i * turns + t])
    return to_numpy(overlap).astype(np.float64), to_numpy(energy).astype(np.float64)
