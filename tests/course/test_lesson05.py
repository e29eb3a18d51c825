"""Lesson 5: the course's own answers against the engine, and against the definitions, written in loops."""

from __future__ import annotations

import numpy as np
import pytest
from wrong_answers.lesson05 import looped_directions

from cryoedu.course import lesson05 as L
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import judged
from cryoedu.geometry.grids import search_3d
from cryoedu.geometry.turning import mirrored


def test_independent_solutions_written_in_loops_pass_too():
    assert judged(exercise("5.2"), looped_directions)[0] == "right"

    def walk(scores, present):
        for place, score in enumerate(scores):
            if score > present:
                return place
        return -1

    assert judged(exercise("5.4"), walk)[0] == "right"
    assert judged(exercise("5.6"), lambda a, n: [(a + 1) / (n + 2), L.success_rate(a, n)[1]])[0] == "right"


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_count_is_that_of_the_engine_s_grid(order):
    search = search_3d(order, shift_range=10, shift_step=5)
    assert L.hypotheses(order, len(search.shifts)) == len(search.angles) * len(search.shifts)


def test_directions_are_those_of_the_engine_s_grid():
    """The exercise says in which order the orientations stand: it must be that of `search_3d`."""
    search = search_3d(1)
    chosen = 31
    gamma = np.all(search.angles[:, :2] == search.angles[chosen * 12, :2], axis=1)[:, None] / 12.0
    assert L.over_directions(gamma, 12) == pytest.approx(np.eye(48)[chosen])


def test_the_success_rate_is_the_mean_of_its_posterior():
    """Every rate equally likely before: the posterior is rate^a (1 - rate)^(n - a), summed here on a grid."""
    rates = np.linspace(0, 1, 100_001)
    for arrived, starts in ((4, 4), (2, 10), (0, 3)):
        weights = rates**arrived * (1 - rates) ** (starts - arrived)
        mean = np.average(rates, weights=weights)
        spread = np.sqrt(np.average((rates - mean) ** 2, weights=weights))
        assert L.success_rate(arrived, starts) == pytest.approx((mean, spread), rel=1e-4)


def test_the_hand_is_the_larger_of_the_two():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(8, 8, 8))
    assert L.hands(truth, truth)[0] == pytest.approx(1) and L.hands(mirrored(truth), truth)[1] == pytest.approx(1)
