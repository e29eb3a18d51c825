"""Lesson 8: the course's own answers against the definitions, written in loops."""

from __future__ import annotations

import numpy as np
import pytest
from wrong_answers.lesson08 import noise, score

from cryoedu.course import lesson08 as L
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import judged


def test_independent_solutions_written_in_loops_pass_too():
    """A learner's way need not be the course's: the definition, taken literally, is right as well."""
    assert judged(exercise("8.3"), score)[0] == "right"
    assert judged(exercise("8.5"), noise)[0] == "right"
    assert judged(exercise("8.2"), np.exp(-(2 + 3)) / np.exp(-(200 / 120 + 6)))[0] == "right"


def test_the_noise_spectrum_is_that_which_was_put_in():
    """A learner who simulates noise of σ² must find σ² again, not half or twice of it."""
    rng, shell = np.random.default_rng(0), np.repeat([0, 1, 2], (50, 100, 200))
    sigma2 = np.array([4.0, 1.0, 0.25])[shell]
    A = rng.normal(size=(3, 350)) + 1j * rng.normal(size=(3, 350))
    drawn = rng.integers(3, size=400)
    noise_only = (rng.normal(size=(400, 350)) + 1j * rng.normal(size=(400, 350))) * np.sqrt(sigma2)
    X = A[drawn] + noise_only
    assert L.power_spectrum(noise_only, shell) == pytest.approx([4, 1, 0.25], rel=0.03)
    assert L.noise_spectrum(X, A, np.eye(3)[drawn], shell) == pytest.approx([4, 1, 0.25], rel=0.03)


def test_the_optimal_filter_has_the_smallest_error():
    """Any other weight of a noisy value is worse, on average: that is what its name promises."""
    rng = np.random.default_rng(1)
    signal, noise_power = rng.normal(0, np.sqrt(2.0), 200_000), 3.0
    seen = signal + rng.normal(0, np.sqrt(noise_power), signal.size)
    (best,) = L.optimal_filter(np.array([5.0]), np.array([noise_power]))
    error = {w: np.mean((w * seen - signal) ** 2) for w in (best - 0.05, best, best + 0.05)}
    assert min(error, key=error.get) == best
