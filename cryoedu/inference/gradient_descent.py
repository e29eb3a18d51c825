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

from cryoedu.errors import InputError
from cryoedu.geometry.grids import Search, perturbed
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.estep import each_fold, estep
from cryoedu.inference.expectation import Tick
from cryoedu.inference.loop import Stage, State, Update, iterate, turn_of
from cryoedu.inference.model import After, Iteration, Model, Posterior, signal_power
from cryoedu.inference.mstep import maximisation
from cryoedu.inference.settings import HERE, Compute, GradientDescent, told
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import checked_start, random_start
from cryoedu.inference.sums import SliceSums, VolumeSums
from cryoedu.particles.particles import Particles


def stochastic_gradient_descent(
        particles: Particles, search: Search | Sequence[Search], settings: GradientDescent = GradientDescent(), *,
        seed: int, model: Model | None = None, state: State | None = None, compute: Compute = HERE,
        after: After | None = None, tick: Tick = lambda share: None, **named: Any) -> Iterator[Iteration]:
    """Maps from particles of unknown orientation, without a reference; yields an `Iteration` after each batch.

    search: the hypotheses, turned a little in each iteration; several are for iteration 1, 2, …, the last for the rest.
    settings, compute: what to do, and where; fields of `GradientDescent` and `Compute` may also be given by name.
    model: a start of one's own.  state: what else the first step looks back to.
    after, tick: as in `refine`.

    Before the last iteration, a particle that was never looked at has max_probability 0. log_likelihood is that of the
    batch, scaled to all particles. The hand of the maps is a matter of chance: projections do not tell it.
    Raises InputError before the first iteration if particles and settings do not fit together, TypeError for a name
    that is no setting.
    """
    settings, compute = told(settings, compute, named)
    xp, iterations, classes, rate, momentum = (compute.xp, settings.iterations, settings.classes, settings.rate,
                                               settings.momentum)
    batches, tau2_fudge = settings.batches, settings.tau2_fudge
    model, state = (model, state) if after is None else (after.model, after.state)
    searches, shells, ball = checked_start(particles, search, settings.radii, settings.mask, model, iterations)
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
    look = estep(MAXIMUM_LIKELIHOOD, xp, compute.budget)
    if model is None:
        model = random_start(particles, classes, shells[0], ball, seed=seed, xp=xp, budget=compute.budget)
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
               ticked: Tick) -> tuple[Posterior, SliceSums | VolumeSums]:
        batch = drawn(stage.number)[1]
        found, sums = look(every.subset_of(batch), batch, at, stage, space, before, ticked)
        return _updated(before, batch, found), replace(sums, log_likelihood=sums.log_likelihood * (count / len(batch)))

    def update(found: Sequence[SliceSums | VolumeSums], posterior: Posterior, models: Sequence[Model], stage: Stage,
               space: FourierSpace, before: State) -> Update:
        (sums,), (at,), batch = found, models, drawn(stage.number)[1]
        fudge = None if tau2_fudge is None else tau2_fudge * count / len(batch)  # the prior belongs to all of them
        best, ssnr = maximisation(sums, posterior.class_probability[batch].sum(axis=0), at, stage.search, space, fudge,
                                  ball, (), 1, xp)
        step = rate * (1 - momentum)
        velocity = (momentum * before["velocity"] + np.float32(step) * (best.maps - at.maps)).astype(np.float32)
        return Update(blended(at, best, min(step, 1.0), at.maps + velocity, space.radius), ssnr,
                      state={"velocity": velocity} | _columns(posterior))

    return iterate([particles], [np.arange(count)], [model], schedule, update, expect=each_fold(expect),
                   space_name="fourier", tick=tick, state=state,
                   numbers=range(1 if after is None else after.number + 1, iterations + 1))


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
