"""From a random start to a map: stochastic gradient descent, and what it shares with stochastic hill climbing.

A refinement is a local optimiser: what it ends in depends on what it starts from. Where nothing is known, the steps
themselves have to be random. Gradient descent takes each of its steps for the sake of another small batch of particles
(Punjani et al. 2017, Nat Methods 14:290; Zivanov et al. 2018, eLife 7:e42166), and is told to look at low frequencies
first. A step is one turn of the loop on the batch: its gradient, scaled by the curvature of each frequency, up to where
it is best for the batch; and the map goes a part of that way, with some of the way it went before (momentum).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import library
from cryoedu.errors import InputError
from cryoedu.geometry.grids import Search, perturbed
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.estep import in_turn, searched
from cryoedu.inference.expectation import Sums, Tick
from cryoedu.inference.gridsums import GridSums
from cryoedu.inference.loop import Stage, State, Update, iterate, turn_of
from cryoedu.inference.model import Iteration, Model, Posterior, signal_power
from cryoedu.inference.mstep import maximisation
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import checked_start, random_start
from cryoedu.machine import memory_budget
from cryoedu.particles.particles import Particles


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
    model, state: those of iteration number_from - 1, to go on from there to the same bits. A model alone is a start of
        one's own.

    The hand of the maps is a matter of chance: projections do not tell it.
    Raises InputError before the first iteration if particles and options do not fit together.
    """
    xp = library(array_library)
    budget = memory_budget(memory, xp)
    searches, shells, ball = checked_start(particles, search, radii, mask, model, iterations)
    sizes = growing(len(particles), iterations) if batches is None else list(batches)
    if not sizes or min(sizes) < 1:
        raise InputError(f"batches {sizes[:5]}: give at least 1 particle for each iteration")
    if not (rate > 0 and 0 <= momentum < 1):
        raise InputError(f"rate={rate} and momentum={momentum} make no step: give a positive rate, and a momentum from "
                         "0 up to, but not including, 1")
    if not 1 <= classes <= len(particles):
        raise InputError(f"{classes} classes for {len(particles)} particles: ask for at least 1 and at most as many "
                         "classes as particles")
    count = len(particles)
    look = searched(MAXIMUM_LIKELIHOOD, xp, budget)
    if model is None:
        model = random_start(particles, classes, shells[0], ball, seed=seed, xp=xp, budget=budget)
    if state is None:
        state = {"velocity": np.zeros_like(model.maps)} | _columns(_unknown(count, model))

    def drawn(number: int) -> tuple[Search, NDArray[np.int64]]:
        """Grid and batch of an iteration."""
        rng = np.random.default_rng([seed, number])
        grid = perturbed(turn_of(searches, number), rng)
        size = count if number == iterations else min(int(turn_of(sizes, number)), count)
        return grid, np.sort(rng.choice(count, size, replace=False))

    def schedule(number: int, before: State) -> Stage:
        return Stage(number, drawn(number)[0], turn_of(shells, number))

    def expect(every: Particles, rows: NDArray[np.int64], at: Model, stage: Stage, space: FourierSpace, before: State,
               ticked: Tick) -> tuple[Posterior, Sums | GridSums]:
        batch = drawn(stage.number)[1]
        found, sums = look(every.subset_of(batch), batch, at, stage, space, before, ticked)
        return _updated(before, batch, found), replace(sums, log_likelihood=sums.log_likelihood * (count / len(batch)))

    def update(found: Sequence[Sums | GridSums], posterior: Posterior, models: Sequence[Model], stage: Stage,
               space: FourierSpace, before: State) -> Update:
        (sums,), (at,), batch = found, models, drawn(stage.number)[1]
        fudge = None if tau2_fudge is None else tau2_fudge * count / len(batch)  # the prior belongs to all of them
        best, ssnr = maximisation(sums, posterior.class_probability[batch].sum(axis=0), at, stage.search, space, fudge,
                                  ball, (), 1, xp)
        step = rate * (1 - momentum)
        velocity = (momentum * before["velocity"] + np.float32(step) * (best.maps - at.maps)).astype(np.float32)
        return Update(blended(at, best, min(step, 1.0), at.maps + velocity, space.radius), ssnr,
                      state={"velocity": velocity} | _columns(posterior))

    return iterate([particles], [np.arange(count)], [model], schedule, update, expect=in_turn(expect),
                   space_name="fourier", numbers=range(number_from, iterations + 1), tick=tick, state=state)


def blended(model: Model, best: Model, share: float, maps: NDArray[np.float32], radius: int) -> Model:
    """``model`` with these maps, known up to shell ``radius``, and its noise, weights and spread of shifts gone the
    ``share`` of the way to ``best``."""
    def between(name: str) -> Any:
        return (1 - share) * getattr(model, name) + share * getattr(best, name)

    return replace(model, maps=maps, tau2=signal_power(maps, radius), sigma2=between("sigma2"),
                   class_weights=between("class_weights"), offset_sigma=float(between("offset_sigma")))


def growing(count: int, iterations: int) -> list[int]:
    """Sizes of batches that grow in even ratios from 50 to 200 particles, but never beyond ``count``."""
    return [int(n) for n in np.minimum(np.geomspace(50, 200, max(iterations, 1)).round(), count)]


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
