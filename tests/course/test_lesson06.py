"""Lesson 6: the course's own answers against the definitions in loops and the package's own measures."""

from __future__ import annotations

import numpy as np
import pytest
from wrong_answers.lesson06 import correct, loops_accuracy, naive_posterior, naive_supervised

from cryoedu.course import lesson06 as L
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import judged
from cryoedu.validation.classes import agreement


def test_the_solutions_are_the_definitions_in_loops():
    log_p, weights = L.scores(7)
    assert L.class_posterior(log_p, weights) == pytest.approx(naive_posterior(log_p, weights))
    found, truth = L.naming(7)
    assert L.accuracy(found, truth) == pytest.approx(loops_accuracy(found, truth))
    assert L.accuracy(found, truth) == pytest.approx(agreement(found, truth))
    one, two = np.random.default_rng(7).normal(-20, 2, (2, 9))
    assert L.supervised(one, two, 0.3) == pytest.approx(naive_supervised(one, two, 0.3))


def test_independent_solutions_written_in_loops_pass_too():
    assert judged(exercise("6.4"), loops_accuracy)[0] == "right"
    assert judged(exercise("6.6"), lambda p, t: np.mean([row.max() for row in p]) - correct(p, t))[0] == "right"


def test_a_class_without_weight_gets_nothing():
    """In the lesson with K = 4 one class all but dies; its logarithm must not spoil the others."""
    log_p, _ = L.scores(8)
    p = L.class_posterior(log_p, np.array([0.5, 0.5, 0.0]))
    assert (p[:, 2] == 0).all() and p.sum(axis=1) == pytest.approx(np.ones(len(p)))
