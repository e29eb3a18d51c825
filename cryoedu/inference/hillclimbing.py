"""Stochastic hill climbing: of the poses that fit better than the last one, each particle takes the first it meets.

A greedy search gives each particle its best pose, and so confirms whatever the map happens to show. Here a particle
visits the orientations in a random order and stops at the first that correlates better than its own does now (Elmlund &
Elmlund 2013, Structure 21:1299). It climbs all the same, but by another way each time, and is not caught by the first
hill. As the better ones get fewer, it comes to be greedy all by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, library, memory_budget, namespace, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.euler import Floats, angular_distance, euler_to_matrix
from cryoedu.geometry.grids import Search, perturbed
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION
from cryoedu.inference.expectation import Tick, Visit, visits
from cryoedu.inference.gridsums import GridSums
from cryoedu.inference.initial import parts_of, prepared, random_start, turn_of
from cryoedu.inference.loop import State, maximisation
from cryoedu.inference.model import Iteration, Model, signal_power
from cryoedu.inference.posed import at_poses, sums_at_poses
from cryoedu.inference.spaces import FourierSpace
from cryoedu.particles.particles import Particles

PARTS = 4  # of the particles, each of which is compared with a map that it had no part in
# the correlations as they are, for whoever chooses among them
CORRELATIONS = replace(MAXIMUM_CROSS_CORRELATION, name="correlations", weigh=lambda scores, best: scores)


def stochastic_hill_climbing(
        particles: Particles, search: Search | Sequence[Search], *, seed: int, iterations: int = 60,
        radii: Sequence[int] | None = None, tau2_fudge: float | None = None,
        mask: NDArray[np.floating] | None = None, few: float = 0.02, steps: int = 2, model: Model | None = None,
        state: State | None = None, number_from: int = 1, memory: str | int | None = None,
        array_library: str = "auto", tick: Tick = lambda share: None) -> Iterator[Iteration]:
    """A map from particles of unknown orientation, without a reference; yields an `Iteration` each time round.

    Each particle belongs to one of four parts, and is compared with a map of the other three: in one that it is part of
    its own noise speaks for the pose that it has, and hardly anyone would ever move. At low SNR (0.25 here) that is not
    enough, as the noise also decides who gets stuck where: use gradient descent there, or class averages.

    search: the hypotheses, turned a little in each iteration; several are for iteration 1, 2, …, the last for the rest.
    radii: shells used in iteration 1, 2, …, the last for the rest (default: open from 3 to 10 over all iterations).
    tau2_fudge: T of the prior, None for none.  mask: (n, n, n) from 0 to 1 on the maps (default: the sphere that fits).
    few: it has converged once all searches and radii have been used and no larger share of the particles turns by more
        than a step of the grid.  steps: conjugate-gradient steps in each maximisation.
    model, state: those of iteration number_from - 1, to go on from there to the same bits.

    log_evidence of the posterior holds the normalised cross-correlations, log_likelihood is that of the chosen poses.
    The hand of the map is a matter of chance: projections do not tell it.
    Raises InputError before the first iteration if particles and options do not fit together.
    """
    xp = library(array_library)
    budget = memory_budget(memory, xp)
    searches, shells, ball = prepared(particles, search, radii, mask, model, iterations)
    if len(particles) < PARTS:
        raise InputError(f"{len(particles)} particles cannot be split into {PARTS} parts: give more")
    if not 0 <= few < 1 or steps < 1:
        raise InputError(f"few={few}, steps={steps}: give a share from 0 up to, but not including, 1, and at least 1 "
                         "step")
    return _climb(particles, searches, shells, range(number_from, iterations + 1), seed, tau2_fudge, ball, few, steps,
                  model, state or {}, xp, budget, tick)


def _climb(particles: Particles, searches: Sequence[Search], radii: Sequence[int], numbers: range, seed: int,
           tau2_fudge: float | None, mask: NDArray[np.float32], few: float, steps: int, model: Model | None,
           state: State, xp: ModuleType, budget: int, tick: Tick) -> Iterator[Iteration]:
    count = len(particles)
    part = parts_of(count, PARTS, seed)
    if model is None:
        model, angles = random_start(particles, 1, radii[0], mask, seed=seed, xp=xp, budget=budget)
        state = {"angles": angles, "shifts": np.zeros((count, 2)), "without": np.repeat(model.maps, PARTS, axis=0)}
    for number in numbers:
        t0 = time.perf_counter()
        grid = perturbed(turn_of(searches, number), np.random.default_rng([seed, number]))
        space = FourierSpace(model.box, 3, model.pixel_size, turn_of(radii, number))
        without = with_maps(model, state["without"])
        angles, shifts = first_better(particles, without, part, grid, state["angles"], state["shifts"], space,
                                      seed=(seed, number), xp=xp, budget=budget, tick=tick)
        moved = angular_distance(euler_to_matrix(angles), euler_to_matrix(state["angles"])) > grid.angular_step
        posterior, sums = sums_at_poses(particles, without, part, angles, shifts, space, xp=xp, budget=budget)
        t1 = time.perf_counter()
        every = with_maps(model, np.concatenate([model.maps, state["without"]]))
        both, ssnr = maximisation(left_out(sums), np.full(1 + PARTS, count / (1 + PARTS)), every, grid, space,
                                  tau2_fudge, mask, (), steps, xp)
        after = with_maps(both, both.maps[:1])
        posterior = replace(posterior, classes=np.zeros_like(part), class_probability=np.ones((count, 1)))
        state = {"angles": angles, "shifts": shifts, "without": both.maps[1:]}
        seconds = {"expectation": t1 - t0, "maximisation": time.perf_counter() - t1}
        yield Iteration(number, model, after, posterior, sums.log_likelihood, space.radius, ssnr[:1], seconds,
                        state=state)
        model = after
        if number >= max(len(radii), len(searches)) and np.mean(moved) <= few:
            return


def with_maps(model: Model, maps: NDArray[np.float32]) -> Model:
    """The model with other maps (K, n, n, n), all equally likely."""
    return replace(model, maps=maps, tau2=signal_power(maps), class_weights=np.full(len(maps), 1.0 / len(maps)))


def left_out(sums: GridSums) -> GridSums:
    """From the sums of each part those of all, then those of all but one part: as they are sums, by subtraction."""
    def without(of_parts: Array) -> Array:
        whole = namespace(of_parts).sum(of_parts, axis=0, keepdims=True)
        return namespace(of_parts).concat([whole, whole - of_parts], axis=0)

    xp, weights = namespace(sums.weights), without(sums.weights)
    weights = xp.maximum(weights, xp.asarray(0.0, dtype=weights.dtype))  # what cancels may come out below zero
    return replace(sums, inserted=without(sums.inserted), weights=weights, dc=without(sums.dc))


def first_better(particles: Particles, model: Model, part: NDArray[np.int64], search: Search, angles: Floats,
                 shifts: Floats, space: FourierSpace, *, seed: tuple[int, int], xp: ModuleType, budget: int,
                 tick: Tick = lambda share: None) -> tuple[Floats, Floats]:
    """Poses, angles (N, 3) in degrees and shifts (N, 2) in Å, after each particle has looked for a better one.

    It looks at map ``part`` (N,) of the model only. It visits the orientations of ``search`` in a random order of its
    own, each with the shift that suits it best, and takes the first that correlates better with its image than its pose
    does now; without one it stays.
    """
    now, met = np.empty(len(particles)), np.full(len(particles), np.inf)
    for posed in at_poses(particles, model, part, angles, shifts, space, xp=xp, budget=budget):
        now[posed.rows] = posed.correlation()
    angles, shifts = angles.copy(), shifts.copy()

    def best_shifts(visit: Visit) -> tuple[NDArray[np.int64], slice, Floats, NDArray[np.int64]]:
        """Rows, lot, and of each orientation (N', O') the highest correlation over shifts, and that shift."""
        return (visit.block.rows, visit.predicted.lot, to_numpy(xp.max(visit.gamma, axis=1)),
                to_numpy(xp.argmax(visit.gamma, axis=1)))

    for p in range(model.classes):
        mine = np.flatnonzero(part == p)
        one = with_maps(model, model.maps[p : p + 1])

        def ticked(share: float, p: int = p) -> None:
            tick((p + share) / model.classes)

        for block, lot, score, shift in visits(particles.subset_of(mine), one, search, space, CORRELATIONS, best_shifts,
                                               xp=xp, budget=budget, tick=ticked):
            rows = mine[block]
            order = np.stack([np.random.default_rng([*seed, i]).random(len(search.angles))[lot] for i in rows])
            order = np.where(score > now[rows, None], order, np.inf)
            first = np.argmin(order, axis=1)
            turn = order[np.arange(len(rows)), first]
            taken = np.flatnonzero(turn < met[rows])
            met[rows[taken]] = turn[taken]
            angles[rows[taken]] = search.angles[lot][first[taken]]
            shifts[rows[taken]] = search.shifts[shift[taken, first[taken]]]
    return angles, shifts
