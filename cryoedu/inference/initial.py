"""From a random start to a map: stochastic gradient descent, and what it shares with stochastic hill climbing.

A refinement is a local optimiser: what it ends in depends on what it starts from. Where nothing is known, the steps
themselves have to be random. Gradient descent takes each of its steps for the sake of another small batch of particles
(Punjani et al. 2017, Nat Methods 14:290; Zivanov et al. 2018, eLife 7:e42166), and is told to look at low frequencies
first. A step is one turn of the loop on the batch: its gradient, scaled by the curvature of each frequency, up to where
it is best for the batch; and the map goes a part of that way, with some of the way it went before (momentum).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import library, memory_budget, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.euler import Floats, matrix_to_euler, random_rotations
from cryoedu.geometry.grids import Search, perturbed
from cryoedu.geometry.masks import check_mask, soft_sphere
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.expectation import Tick, expectation
from cryoedu.inference.jobs import random_subsets
from cryoedu.inference.loop import State, checked, checked_radii, maximisation, opening, start_model
from cryoedu.inference.maximisation import solve
from cryoedu.inference.model import Iteration, Model, Posterior, signal_power
from cryoedu.inference.posed import sums_at_poses
from cryoedu.inference.spaces import FourierSpace
from cryoedu.particles.particles import Particles

RANDOM_STEPS = 2  # conjugate-gradient steps for maps that mean nothing yet


def stochastic_gradient_descent(
        particles: Particles, search: Search | Sequence[Search], *, seed: int, classes: int = 1, iterations: int = 200,
        batches: Sequence[int] | None = None, radii: Sequence[int] | None = None, rate: float = 0.9,
        momentum: float = 0.5, tau2_fudge: float | None = None, mask: NDArray[np.floating] | None = None,
        model: Model | None = None, state: State | None = None, number_from: int = 1, memory: str | int | None = None,
        array_library: str = "auto", tick: Tick = lambda share: None) -> Iterator[Iteration]:
    """Maps from particles of unknown orientation, without a reference; yields an `Iteration` after each batch.

    search: the hypotheses, turned a little in each iteration; several are for iteration 1, 2, …, the last for the rest.
    batches: particles looked at in iteration 1, 2, …, the last for the rest (default: `growing` batches). All particles
        are looked at in the last iteration, so that each has a pose in the end; before, one that was never looked at
        has max_probability 0. log_likelihood is that of the batch, scaled to all particles.
    radii: shells used in iteration 1, 2, …, the last for the rest (default: open from 3 to 10 over all iterations).
    rate: share of the way to the best map for the batch that is gone in all; momentum: what part of it is left to later
        iterations, 0 to 1.  tau2_fudge: T of the prior, None for none.
    mask: (n, n, n) from 0 to 1 on the maps (default: the sphere that fits the box).
    model, state: those of iteration number_from - 1, to go on from there to the same bits.

    The hand of the maps is a matter of chance: projections do not tell it.
    Raises InputError before the first iteration if particles and options do not fit together.
    """
    xp = library(array_library)
    budget = memory_budget(memory, xp)
    searches, shells, ball = prepared(particles, search, radii, mask, model, iterations)
    sizes = growing(len(particles), iterations) if batches is None else list(batches)
    if not sizes or min(sizes) < 1:
        raise InputError(f"batches {sizes[:5]}: give at least 1 particle for each iteration")
    if not (rate > 0 and 0 <= momentum < 1):
        raise InputError(f"rate={rate} and momentum={momentum} make no step: give a positive rate, and a momentum from "
                         "0 up to, but not including, 1")
    if not 1 <= classes <= len(particles):
        raise InputError(f"{classes} classes for {len(particles)} particles: ask for at least 1 and at most as many "
                         "classes as particles")
    return _descend(particles, searches, shells, sizes, range(number_from, iterations + 1), seed, classes, rate,
                    momentum, tau2_fudge, ball, model, state or {}, xp, budget, tick)


def _descend(particles: Particles, searches: Sequence[Search], radii: Sequence[int], batches: Sequence[int],
             numbers: range, seed: int, classes: int, rate: float, momentum: float, tau2_fudge: float | None,
             mask: NDArray[np.float32], model: Model | None, state: State, xp: ModuleType, budget: int,
             tick: Tick) -> Iterator[Iteration]:
    count = len(particles)
    if model is None:
        model = random_start(particles, classes, radii[0], mask, seed=seed, xp=xp, budget=budget)[0]
        state = {"velocity": np.zeros_like(model.maps)} | _columns(_unknown(count, model))
    for number in numbers:
        t0 = time.perf_counter()
        rng = np.random.default_rng([seed, number])
        grid = perturbed(turn_of(searches, number), rng)
        size = count if number == numbers.stop - 1 else min(int(turn_of(batches, number)), count)
        rows = np.sort(rng.choice(count, size, replace=False))
        batch = particles.subset_of(rows)
        space = FourierSpace(model.box, 3, model.pixel_size, turn_of(radii, number))
        found, sums = expectation(batch, model, grid, space, MAXIMUM_LIKELIHOOD, xp=xp, budget=budget, tick=tick)
        t1 = time.perf_counter()
        fudge = None if tau2_fudge is None else tau2_fudge * count / size  # the prior belongs to all, not to each batch
        best, ssnr = maximisation(sums, found.class_probability.sum(axis=0), model, grid, space, fudge, mask, (), 1, xp)
        share = min(rate * (1 - momentum), 1.0)
        velocity = momentum * state["velocity"] + np.float32(rate * (1 - momentum)) * (best.maps - model.maps)
        after = blended(model, best, share, model.maps + velocity.astype(np.float32))
        posterior = _updated(state, rows, found)
        state = {"velocity": velocity.astype(np.float32)} | _columns(posterior)
        seconds = {"expectation": t1 - t0, "maximisation": time.perf_counter() - t1}
        yield Iteration(number, model, after, posterior, sums.log_likelihood * count / size, space.radius, ssnr,
                        seconds, state=state)
        model = after


def blended(model: Model, best: Model, share: float, maps: NDArray[np.float32]) -> Model:
    """``model`` with these maps, its noise, weights and spread of shifts gone the ``share`` of the way to ``best``."""
    def between(name: str) -> Any:
        return (1 - share) * getattr(model, name) + share * getattr(best, name)

    return replace(model, maps=maps, tau2=signal_power(maps), sigma2=between("sigma2"),
                   class_weights=between("class_weights"), offset_sigma=float(between("offset_sigma")))


def random_start(particles: Particles, classes: int, radius: int, mask: NDArray[np.float32], *, seed: int,
                 xp: ModuleType, budget: int) -> tuple[Model, Floats]:
    """Maps of particles at random orientations, each of a random part of them, and those angles (N, 3).

    Such a map is a ball, but for what chance adds.
    """
    count = len(particles)
    space = FourierSpace(particles.box, 3, particles.pixel_size, radius)
    empty = start_model(particles, np.zeros((classes, *mask.shape), dtype=np.float32))
    angles = matrix_to_euler(random_rotations(count, np.random.default_rng([seed, 0])))
    _, sums = sums_at_poses(particles, empty, parts_of(count, classes, seed), angles, np.zeros((count, 2)), space,
                            xp=xp, budget=budget)
    maps = solve(space, sums.equations(space), None, xp.asarray(empty.maps), RANDOM_STEPS)
    return replace(start_model(particles, to_numpy(maps) * mask), sigma2=empty.sigma2), angles


def parts_of(count: int, parts: int, seed: int) -> NDArray[np.int64]:
    """For each of ``count`` particles its part (N,), at random, all parts equally large."""
    part = np.zeros(count, dtype=np.int64)
    for p, rows in enumerate(random_subsets(count, parts, seed)):
        part[rows] = p
    return part


def growing(count: int, iterations: int) -> list[int]:
    """Sizes of batches that grow in even ratios from 50 to 200 particles, but never beyond ``count``."""
    return [int(n) for n in np.minimum(np.geomspace(50, 200, max(iterations, 1)).round(), count)]


def turn_of(plan: Sequence[Any], number: int) -> Any:
    """What ``plan`` has for iteration ``number``, from 1; its last entry holds for the rest."""
    return plan[min(number, len(plan)) - 1]


def prepared(particles: Particles, search: Search | Sequence[Search], radii: Sequence[int] | None,
             mask: NDArray[np.floating] | None, model: Model | None,
             iterations: int) -> tuple[list[Search], list[int], NDArray[np.float32]]:
    """Searches, radii and mask of a start from scratch, or InputError if they do not fit the particles."""
    box, pixel = particles.box, particles.pixel_size
    searches = [search] if isinstance(search, Search) else list(search)
    if not searches or any(s.in_plane for s in searches):
        raise InputError("an initial model is a map: give 3D searches (search_3d), at least one")
    shells = checked_radii(radii or opening(3, 10, iterations), box)
    if model is not None:
        checked(particles, model, searches[0], "fourier", (), start=False)
    if len(particles) < 2:
        raise InputError(f"{len(particles)} particles make no map: give at least 2")
    ball = soft_sphere(box, pixel, (box - 6) * pixel) if mask is None else check_mask(mask, (box,) * 3)
    return searches, shells, ball


def _columns(posterior: Posterior) -> dict[str, NDArray[Any]]:
    return {part.name: getattr(posterior, part.name) for part in fields(Posterior)}


def _unknown(count: int, model: Model) -> Posterior:
    """Of particles that nobody has looked at yet."""
    return Posterior(np.zeros(count), np.tile(model.class_weights, (count, 1)), np.zeros(count, dtype=np.int64),
                     np.zeros((count, 3)), np.zeros((count, 2)), *np.zeros((3, count)))


def _updated(state: State, rows: NDArray[np.int64], found: Posterior) -> Posterior:
    """What is known of all particles, once ``rows`` have been looked at again."""
    known = {}
    for name, values in _columns(found).items():
        known[name] = state[name].copy()
        known[name][rows] = values
    return Posterior(**known)
