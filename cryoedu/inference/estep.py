"""The expectation step, as its `Stage` asks for it: on all of a grid, from there to finer steps around what counts, or
around known poses."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cryoedu.geometry.grids import LocalSearch
from cryoedu.inference.adaptive import adaptive_expectation, least_adaptive
from cryoedu.inference.assignment import Assignment
from cryoedu.inference.blocks import least_block
from cryoedu.inference.expectation import Tick, expectation
from cryoedu.inference.local import least_local, local_expectation
from cryoedu.inference.loop import EStep, Expectation, Expecter, Fold, Stage, State
from cryoedu.inference.memory import reading_grid, room_beside_folds, transforming
from cryoedu.inference.model import Model
from cryoedu.inference.spaces import FourierSpace
from cryoedu.particles.particles import Particles


def estep(assignment: Assignment, xp: ModuleType, budget: int) -> Expecter:
    """The expectation step of one fold as its `Stage` says: on all of a grid, from there to finer steps around what
    counts, or around known poses."""
    def expect(particles: Particles, rows: NDArray[np.int64], model: Model, stage: Stage, space: FourierSpace,
               state: State, tick: Tick) -> EStep:
        if isinstance(stage.search, LocalSearch):
            return local_expectation(particles, model, stage.search.of(rows), space, assignment, xp=xp, budget=budget,
                                     tick=tick)
        if stage.adaptive is None:
            return expectation(particles, model, stage.search, space, assignment, xp=xp, budget=budget,
                               contrast=stage.contrast, tick=tick)
        return adaptive_expectation(particles, model, stage.search, stage.adaptive, space, xp=xp, budget=budget,
                                    tick=tick)

    return expect


def within(budget: int, assignment: Assignment, xp: ModuleType) -> Expectation:
    """The expectation step of `estep` for one fold after the other, of which the sums are kept: ``budget`` bytes for
    it all, and for solving for the maps."""
    def each(folds: Sequence[Fold], stage: Stage, space: FourierSpace, state: State, tick: Tick) -> Sequence[EStep]:
        classes, search = folds[0][2].classes, stage.search
        orientations = None
        if isinstance(search, LocalSearch):
            least = reading_grid(space, classes) + least_local(search, space, classes)
        elif stage.adaptive is None:
            least = transforming(space, classes) + least_block(space, classes, len(search.shifts), xp)
            orientations = len(search.angles)
        else:
            least = reading_grid(space, classes) + least_adaptive(search, stage.adaptive, space, classes, xp)
        left = room_beside_folds(space, classes, budget, len(folds), least, orientations)
        return each_fold(estep(assignment, xp, left))(folds, stage, space, state, tick)

    return each


def each_fold(expect: Expecter) -> Expectation:
    """``expect`` of one fold after the other."""
    def each(folds: Sequence[Fold], stage: Stage, space: FourierSpace, state: State, tick: Tick) -> list[EStep]:
        def share_of(fold: int) -> Tick:
            return lambda share: tick((fold + share) / len(folds))

        return [expect(*fold, stage, space, state, share_of(f)) for f, fold in enumerate(folds)]

    return each
