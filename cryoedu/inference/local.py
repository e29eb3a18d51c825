"""The expectation step around poses that are nearly known: a few turns and shifts for every particle.

Every particle has its own slices here, so that the two products of the dense search become one small product for each
particle: for a block of them at once, or, with maximum likelihood on the CPU, one after the other in compiled loops.
Their sums are kept on the padded grid (`VolumeSums`). Poses that are known are a search of one turn and no shift; then
only the class is uncertain.

Bytes: a block of N' images with T turns of K maps and S shifts takes 24 · N' · J · (K · T + S), J columns.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import chain
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, namespace, to_numpy
from cryoedu.geometry.euler import Floats, matrix_to_euler
from cryoedu.geometry.fourier import shift_phases
from cryoedu.geometry.grids import LocalSearch
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD, Assignment
from cryoedu.inference.blocks import (
    FAST_BLOCK,
    Loaded,
    absolute2,
    as_columns,
    as_reals,
    block_size,
    in_pieces,
    load,
    prepared,
)
from cryoedu.inference.expectation import Tick, residuals
from cryoedu.inference.memory import room_beside_grid
from cryoedu.inference.model import Model, Posterior, unseen
from cryoedu.inference.priors import log_class_prior, log_shift_prior, prior_centres
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.sums import Inserter, VolumeSums
from cryoedu.microscope.projection import PADDING
from cryoedu.microscope.slices import COMPILES, extract, in_loops
from cryoedu.particles.particles import Particles
from cryoedu.threads import in_threads, workers

if COMPILES:
    from cryoedu.inference import kernels

IN_LOOPS = 2**24  # bytes of a block in compiled loops, which look at one image at a time
LEFT_OUT = 1e-3  # of a particle's weight: how much the lightest slices may hold together that do not enter the sums


@dataclass(frozen=True)
class _BlockSums:
    """What a block of images of one noise group says.

    rows: (N',) which.  posterior: of these images.  power: (J,) Σ |X|².
    squares: (J,) Σ Γ (|CTF A|² - 2 Re X* CTF A) / σ².  shift_square: Å², Σ Γ |s|².
    slices: numerators and denominators (M, J) of a class, and their rotations (M, 3, 3).
    """

    rows: NDArray[np.int64]
    posterior: Posterior
    power: Floats
    squares: Floats
    shift_square: float
    slices: list[tuple[int, Array, Array, Floats]]


@dataclass(frozen=True)
class _Weighed:
    """What Γ (N', S, K T) of a block of images adds up to.

    log_evidence: (N',).  best: (N',) the most likely hypothesis h and shift s, as h S + s, and its Γ, ``largest``.
    of_classes: (N', K) and of_shifts: (N', S) Σ Γ.
    overlap, energy: (N', J) Σ Γ Re X* CTF A / σ² and Σ Γ |CTF A|² / σ², of hypotheses that count.
    slices: of these, as in `_BlockSums`.
    """

    log_evidence: Floats
    best: NDArray[np.int64]
    largest: Floats
    of_classes: Floats
    of_shifts: Floats
    overlap: Floats
    energy: Floats
    slices: list[tuple[int, Array, Array, Floats]]


def local_expectation(particles: Particles, model: Model, search: LocalSearch, space: FourierSpace,
                      assignment: Assignment, *, xp: ModuleType, budget: int,
                      tick: Tick = lambda share: None) -> tuple[Posterior, VolumeSums]:
    """One expectation step over all particles, each around its own pose."""
    half = space.sliceable(xp.asarray(model.maps))
    sigma2 = model.sigma2[:, space.bins]
    count, classes = len(particles), model.classes
    posterior = unseen(count, classes)
    squares, power = np.zeros(sigma2.shape), np.zeros(sigma2.shape)
    shift_square, done = 0.0, 0
    least = least_local(search, space, classes)
    each, free = least // 4, room_beside_grid(space, classes, budget, least)
    size = block_size(each, free, xp, IN_LOOPS if assignment is MAXIMUM_LIKELIHOOD else FAST_BLOCK)
    threads = max(min(free // 4 // each, workers(xp)), 1)
    inserter = Inserter(space, classes, xp, search.symmetry, free // 4)

    def look(loaded: Loaded, group: int) -> _BlockSums:
        return _look(particles, loaded, group, model, search, half, space, assignment, xp)

    reads = in_pieces(lambda rows, group: load(particles, rows, group, space), size, xp)
    pieces = in_pieces(look, size, xp)
    for group in range(len(particles.optics)):
        of_group = np.flatnonzero(particles.optics_group == group)
        blocks = [of_group[first : first + size] for first in range(0, len(of_group), size)]

        def fetch(rows: NDArray[np.int64], group: int = group) -> list[Loaded]:
            return reads(rows, group)

        def work(loaded: list[Loaded], group: int = group) -> list[_BlockSums]:
            return [found for some in loaded for found in pieces(some, group)]

        for found in chain.from_iterable(in_threads(work, blocks, xp, fetch=fetch, most=threads, ahead=2)):
            for name in (f.name for f in fields(Posterior)):
                getattr(posterior, name)[found.rows] = getattr(found.posterior, name)
            power[group] += found.power
            squares[group] += found.squares * sigma2[group]
            shift_square += found.shift_square
            for slices in found.slices:
                inserter.add(*slices)
            done += len(found.rows)
            tick(done / count)
    sizes = np.bincount(particles.optics_group, minlength=len(particles.optics)).astype(np.float64)
    binned, counts, log_likelihood = residuals(squares, power, sizes, sigma2, posterior, space, assignment)
    return posterior, inserter.sums(binned, counts, shift_square, log_likelihood)


def least_local(search: LocalSearch, space: FourierSpace, classes: int) -> int:
    """Bytes that the search needs beside what is held all the time: four times those of an image."""
    hypotheses, steps = classes * len(search.turns), len(search.shifts)
    each = 24 * len(space.bins) * (hypotheses + steps) + 16 * steps * hypotheses + 20 * space.box**2
    return 4 * each


def _look(particles: Particles, loaded: Loaded, group: int, model: Model, search: LocalSearch, half: Array,
          space: FourierSpace, assignment: Assignment, xp: ModuleType) -> _BlockSums:
    """Every image before the slices of the maps ``half`` around its own pose."""
    rows = loaded.rows
    block = prepared(particles, loaded, group, model.sigma2[group, space.bins], np.zeros((1, 2)), space, xp)
    b, c = block.b[:, 0, :], xp.broadcast_to(block.c, (len(rows), len(space.bins)))
    rotations = search.turns @ search.rotations[rows, None]  # (N', T, 3, 3)
    places = search.centres[rows, None] + search.shifts  # (N', S, 2)
    centres = prior_centres(particles)
    off = places if centres is None else places - centres[rows, None]  # from where the prior is centred
    distances = np.sum(off**2, axis=2)
    log_priors = (log_class_prior(model.class_weights) - np.log(len(search.turns)),
                  log_shift_prior(distances, model.offset_sigma))
    if in_loops(b) and assignment is MAXIMUM_LIKELIHOOD:
        found = _in_loops(b, c, half, rotations, places, log_priors, space)
    else:
        found = _in_arrays(b, c, half, rotations, places, log_priors, space, assignment)
    image, (hypothesis, step) = np.arange(len(rows)), np.divmod(found.best, len(search.shifts))
    angles = matrix_to_euler(rotations[image, hypothesis % len(search.turns)])
    posterior = Posterior(found.log_evidence, found.of_classes, found.of_classes.argmax(axis=1), angles,
                          places[image, step], found.largest, found.overlap[:, 1:].sum(axis=1),
                          found.energy[:, 1:].sum(axis=1))
    return _BlockSums(rows, posterior, block.power, np.sum(found.energy - 2 * found.overlap, axis=0),
                   float(np.sum(found.of_shifts * distances)), found.slices)


def _in_loops(b: Array, c: Array, half: Array, rotations: Floats, places: Floats, log_priors: tuple[Floats, Floats],
              space: FourierSpace) -> _Weighed:
    """What `_in_arrays` says with maximum likelihood, on the CPU, in compiled loops over the images."""
    (count, columns), classes, parts = c.shape, len(half), space.parts
    rows = count * rotations.shape[1]
    numerators, denominators = (np.empty((classes, rows, n), np.float32) for n in (2 * columns, columns))
    which = np.empty((classes, rows), np.int64)
    of_classes, of_shifts = (prior.astype(np.float32) for prior in log_priors)
    sizes, evidence, best, largest, of_classes, of_shifts, overlap, energy = kernels.around(
        b, np.ascontiguousarray(c), -places / space.pixel_size, of_classes, of_shifts, rotations, as_reals(half, np),
        parts.kx.astype(np.float64), parts.ky.astype(np.float64), space.box, PADDING, LEFT_OUT, numerators,
        denominators, which)
    every, slices = rotations.reshape(-1, 3, 3), []
    for k, size in enumerate(sizes):
        lot = numerators[k, :size], denominators[k, :size]
        if 2 * sum(sizes) < which.size:  # or all that was not filled would wait with them to be inserted
            lot = lot[0].copy(), lot[1].copy()
        slices.append((k, as_columns(lot[0], space, np), lot[1], every[which[k, :size]]))
    overlap, energy = (x.reshape(count, columns, 2).sum(axis=2) for x in (overlap, energy))
    return _Weighed(evidence, best, largest, of_classes, of_shifts, overlap, energy, slices)


def _in_arrays(b: Array, c: Array, half: Array, rotations: Floats, places: Floats, log_priors: tuple[Floats, Floats],
               space: FourierSpace, assignment: Assignment) -> _Weighed:
    """Images b (N', 2 J), c (N', J), at ``places`` (N', S, 2) Å before all maps at rotations (N', T, 3, 3).

    log_priors: of classes with a turn (K,), and of shifts (N', S).
    """
    xp, (count, columns), split, classes = namespace(b), c.shape, rotations.shape[1], half.shape[0]
    every = rotations.reshape(-1, 3, 3)
    slices = extract(half, every, space.parts.kx, space.parts.ky, PADDING)
    slices = xp.permute_dims(xp.reshape(slices, (classes, count, split, -1)), (1, 0, 2, 3))
    slices = xp.reshape(slices, (count, classes * split, -1))
    b = as_columns(b, space, xp)
    phases = shift_phases(-places.reshape(-1, 2) / space.pixel_size, space.parts, b)
    moved = b[:, None, :] * xp.reshape(phases, (count, -1, columns))

    prior = np.repeat(log_priors[0], split) + log_priors[1][:, :, None]
    scores = _scores(moved, slices, c, xp.asarray(prior, dtype=c.dtype), assignment, xp)
    gamma, evidence = assignment.settle(scores)

    weights = xp.sum(gamma, axis=1)  # (N', K T)
    of_classes = xp.sum(xp.reshape(weights, (count, classes, -1)), axis=2)
    flat = xp.reshape(xp.permute_dims(gamma, (0, 2, 1)), (count, -1))
    evidence, largest, of_classes, of_shifts = (
        to_numpy(x).astype(np.float64) for x in (evidence, xp.max(flat, axis=1), of_classes, xp.sum(gamma, axis=2)))
    overlap, energy, to_insert = _products(gamma, weights, moved, slices, c, every, split, xp)
    return _Weighed(evidence, to_numpy(xp.argmax(flat, axis=1)), largest, of_classes, of_shifts, overlap, energy,
                    to_insert)


def _scores(moved: Array, slices: Array, c: Array, prior: Array, assignment: Assignment, xp: ModuleType) -> Array:
    """Scores (N', S, K T) of ``moved`` (N', S, J) before ``slices`` (N', K T, J), without DC."""
    predicted = as_reals(slices, xp)[..., 1:]
    match = xp.matmul(as_reals(moved, xp)[..., 1:], xp.permute_dims(predicted, (0, 2, 1)))
    energy = xp.matmul(absolute2(slices[..., 1:], xp), c[:, 1:, None])[..., 0]
    return assignment.score(match, energy[:, None, :], prior)


def heavy(weights: NDArray[np.floating], left_out: float) -> NDArray[np.bool_]:
    """Which of each image's weights (N', H) count: all but the lightest, which hold no more than ``left_out``. Equal
    ones count or not together."""
    light, more = np.zeros((len(weights), 1)), np.full((len(weights), 1), left_out)  # the threshold is between these
    for _ in range(50):
        middle = (light + more) / 2
        held = np.sum(weights, axis=1, keepdims=True, where=weights <= middle, dtype=np.float64)
        light, more = np.where(held <= left_out, [middle, more], [light, middle])
    return np.asarray(weights > light)


def _products(gamma: Array, weights: Array, moved: Array, slices: Array, c: Array, rotations: Floats, turns: int,
              xp: ModuleType) -> tuple[Floats, Floats, list[tuple[int, Array, Array, Floats]]]:
    """Σ Γ Re X* CTF A / σ² and Σ Γ |CTF A|² / σ² of each column (N', J), and the slices, of hypotheses that count."""
    counts = heavy(to_numpy(weights), LEFT_OUT)
    kept = np.flatnonzero(counts.any(axis=0))  # a peaked posterior leaves few
    counts, at = counts[:, kept], xp.asarray(kept)
    mask = xp.asarray(counts, dtype=weights.dtype)
    gamma, slices = xp.take(gamma, at, axis=2) * mask[:, None, :], xp.take(slices, at, axis=1)
    weights = xp.take(weights, at, axis=1) * mask
    numerator = xp.matmul(xp.permute_dims(xp.astype(gamma, moved.dtype), (0, 2, 1)), moved)  # (N', K T, J)
    denominator = weights[:, :, None] * c[:, None, :]
    cross = xp.real(numerator) * xp.real(slices) + xp.imag(numerator) * xp.imag(slices)
    overlap, energy = xp.sum(cross, axis=1), xp.sum(denominator * absolute2(slices, xp), axis=1)
    image, hypothesis = np.nonzero(counts)
    k, turn = np.divmod(kept[hypothesis], turns)
    flat = [xp.reshape(part, (-1, c.shape[1])) for part in (numerator, denominator)]
    out = []
    for m in np.unique(k):
        mine = np.flatnonzero(k == m)
        at = xp.asarray(image[mine] * weights.shape[1] + hypothesis[mine])
        out.append((int(m), *(xp.take(part, at, axis=0) for part in flat), rotations[image[mine] * turns + turn[mine]]))
    return to_numpy(overlap).astype(np.float64), to_numpy(energy).astype(np.float64), out
