"""Stochastic hill climbing: of the poses that fit better than the last one, each particle takes the first it meets.

A greedy search gives each particle its best pose, and may so confirm whatever the map happens to show. Here a particle
visits the orientations in a random order and stops at the first that correlates better than its own does now (after
Elmlund, Elmlund & Bengio 2013, Structure 21:1299). It climbs all the same, but by another way each time. As the better
ones get fewer, it comes to be greedy all by itself. (Greedy from the start arrived as often, in the one case where
that was counted: benchmarks/bad_starts.md.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.euler import Floats, angular_distance, euler_to_matrix
from cryoedu.geometry.grids import Search, local_search
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION
from cryoedu.inference.estep import each_fold
from cryoedu.inference.expectation import BlockPosterior, Tick, block_posteriors
from cryoedu.inference.local import local_expectation
from cryoedu.inference.loop import Stage, State, Update, iterate, turn_of, turned_grid
from cryoedu.inference.model import After, Iteration, Model, Posterior, signal_power
from cryoedu.inference.mstep import maximisation
from cryoedu.inference.settings import HERE, Compute, HillClimbing, told
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import checked_start, random_angles, random_start, random_subsets
from cryoedu.inference.sums import SliceSums, VolumeSums
from cryoedu.particles.particles import Particles

FOLDS = 4  # of the particles, each of which is compared with a map that it had no part in
NOT_MAPS = ("sigma2", "class_weights", "offset_sigma")  # estimated once, for all folds
# the correlations as they are, for whoever chooses among them
CORRELATIONS = replace(MAXIMUM_CROSS_CORRELATION, name="correlations", weigh=lambda scores, best: scores,
                       settle=lambda scores: (scores, MAXIMUM_CROSS_CORRELATION.reduce(scores)))


def stochastic_hill_climbing(
        particles: Particles, search: Search | Sequence[Search], settings: HillClimbing = HillClimbing(), *, seed: int,
        model: Model | None = None, compute: Compute = HERE, after: After | None = None,
        tick: Tick = lambda share: None, **named: Any) -> Iterator[Iteration]:
    """A map from particles of unknown orientation, without a reference; yields an `Iteration` each time round.

    Each particle belongs to one of four folds, and is compared with a map of the other three: in one that it is part of
    its own noise speaks for the pose that it has, and hardly anyone would ever move.

    For images of high SNR, as class averages are, on which SIMPLE climbs: the noise of an image also decides where it
    gets stuck. Success rates are in docs/initial_models.md; where they are low, use gradient descent.

    search: the hypotheses, turned a little in each iteration; several are for iteration 1, 2, …, the last for the rest.
    settings, compute: what to do, and where; fields of `HillClimbing` and `Compute` may also be given by name.
    model: a start of one's own.  after, tick: as in `refine`.

    log_evidence of the posterior holds the normalised cross-correlations, log_likelihood is that of the chosen poses.
    The hand of the map is a matter of chance: projections do not tell it.
    Raises InputError before the first iteration if particles and settings do not fit together, TypeError for a name
    that is no setting.
    """
    settings, compute = told(settings, compute, named)
    xp, budget, few, steps = compute.xp, compute.budget, settings.few, settings.steps
    model = model if after is None else after.model
    searches, shells, ball = checked_start(particles, search, settings.radii, settings.mask, model, settings.iterations)
    if len(particles) < FOLDS:
        raise InputError(f"{len(particles)} particles cannot be split into {FOLDS} folds: give more")
    if not 0 <= few < 1 or steps < 1:
        raise InputError(f"few={few}, steps={steps}: give a share from 0 up to, but not including, 1, and at least 1 "
                         "step")
    count = len(particles)
    rows = random_subsets(count, FOLDS, seed)
    if model is None:
        model = random_start(particles, 1, shells[0], ball, seed=seed, xp=xp, budget=budget)
    if after is None:
        parts: Sequence[Model] = [model] * FOLDS
        state: State = {"angles": random_angles(count, seed), "shifts": np.zeros((count, 2)), "moved": np.asarray(1.0)}
    else:
        parts, state = after.folds, after.state

    def schedule(number: int, before: State) -> Stage | None:
        if number > max(len(shells), len(searches)) and before["moved"] <= few:
            return None
        return Stage(number, turned_grid(turn_of(searches, number), seed, number), turn_of(shells, number))

    def expect(part: Particles, mine: NDArray[np.int64], at: Model, stage: Stage, space: FourierSpace, before: State,
               ticked: Tick) -> tuple[Posterior, VolumeSums]:
        assert isinstance(stage.search, Search)
        poses = first_better(part, mine, at, stage.search, before["angles"][mine], before["shifts"][mine], space,
                             seed=(seed, stage.number), greedy=settings.greedy, xp=xp, budget=budget, tick=ticked)
        return local_expectation(part, at, local_search(*poses), space, MAXIMUM_CROSS_CORRELATION, xp=xp,
                                 budget=budget)

    def update(found: Sequence[SliceSums | VolumeSums], posterior: Posterior, models: Sequence[Model], stage: Stage,
               space: FourierSpace, before: State) -> Update:
        sums = [s.on_grid(space) for s in found]
        total = reduce(add, sums)

        def best(mine: VolumeSums, at: Model, fixed: Collection[str]) -> tuple[Model, Floats]:
            return maximisation(mine, np.array([count]), at, stage.search, space, settings.tau2_fudge, ball, fixed,
                                steps, xp)

        middle = np.asarray(np.mean([m.maps for m in models], axis=0), dtype=np.float32)
        after, ssnr = best(total, with_maps(models[0], middle), ())
        others = [best(total - mine, m, NOT_MAPS)[0].maps for mine, m in zip(sums, models, strict=True)]
        turned = angular_distance(euler_to_matrix(posterior.angles), euler_to_matrix(before["angles"]))
        return Update(after, ssnr, [with_maps(after, maps) for maps in others], {
            "angles": posterior.angles, "shifts": posterior.shifts,
            "moved": np.asarray(np.mean(turned > stage.search.angular_step))})

    return iterate([particles.subset_of(mine) for mine in rows], rows, parts, schedule, update,
                   expect=each_fold(expect), space_name="fourier", tick=tick, before=model, state=state,
                   numbers=range(1 if after is None else after.number + 1, settings.iterations + 1))


def with_maps(model: Model, maps: NDArray[np.float32]) -> Model:
    """The model with another map (1, n, n, n), known up to the same shell."""
    radius = int(np.flatnonzero(model.tau2[0]).max(initial=0))
    return replace(model, maps=maps, tau2=signal_power(maps, radius))


def first_better(particles: Particles, rows: NDArray[np.int64], model: Model, search: Search, angles: Floats,
                 shifts: Floats, space: FourierSpace, *, seed: tuple[int, int], greedy: bool = False, xp: ModuleType,
                 budget: int, tick: Tick = lambda share: None) -> tuple[Floats, Floats]:
    """Poses, angles (N, 3) in degrees and shifts (N, 2) in Å, after each particle has looked for a better one.

    It visits the orientations of ``search`` in a random order of its own, drawn from ``seed`` and its number in
    ``rows`` (N,), each with the shift that suits it best, and takes the first that correlates better with its image
    than its pose does now; without one it stays. If ``greedy``, the best of all comes first in its order.
    """
    known, _ = local_expectation(particles, model, local_search(angles, shifts), space, MAXIMUM_CROSS_CORRELATION,
                                 xp=xp, budget=budget)
    now, met = known.log_evidence, np.full(len(particles), np.inf)
    angles, shifts = angles.copy(), shifts.copy()

    def best_shifts(visit: BlockPosterior) -> tuple[NDArray[np.int64], slice, Floats, NDArray[np.int64]]:
        """Rows, lot, and of each orientation (N', O') the highest correlation over shifts, and that shift."""
        return (visit.block.rows, visit.predicted.lot, to_numpy(xp.max(visit.gamma, axis=1)),
                to_numpy(xp.argmax(visit.gamma, axis=1)))

    for block, lot, score, shift in block_posteriors(particles, model, search, space, CORRELATIONS, best_shifts, xp=xp,
                                           budget=budget, tick=tick):
        order = -score if greedy else np.stack(
            [np.random.default_rng([*seed, i]).random(len(search.angles))[lot] for i in rows[block]])
        order = np.where(score > now[block, None], order, np.inf)
        first = np.argmin(order, axis=1)
        turn = order[np.arange(len(block)), first]
        taken = np.flatnonzero(turn < met[block])
        met[block[taken]] = turn[taken]
        angles[block[taken]] = search.angles[lot][first[taken]]
        shifts[block[taken]] = search.shifts[shift[taken, first[taken]]]
    return angles, shifts
