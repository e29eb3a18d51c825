"""Lesson 3: the course's own answers against the definitions, written in loops."""

from __future__ import annotations

import numpy as np
import pytest
from wrong_answers.lesson03 import loops_noise, naive_likelihood, naive_posterior

from cryoedu.course import lesson03 as L
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import carry_on, judged


def test_independent_solutions_written_in_loops_pass_too():
    """A learner's way need not be the course's: the definition, taken literally, is right as well."""
    assert judged(exercise("3.5"), loops_noise)[0] == "right"
    images, references, sigma = L.example(7)
    assert L.log_likelihood(images, references, sigma) == pytest.approx(naive_likelihood(images, references, sigma))
    assert L.posterior(images, references, sigma) == pytest.approx(naive_posterior(images, references, sigma))


@pytest.mark.parametrize("seed", [511, 571])
def test_no_two_mistakes_in_sigma_give_the_same_number(seed):
    """Numbers that meet by accident would name the wrong mistake."""
    images, references, _ = L.example(seed)
    gamma = L.random_gamma(seed, len(images), len(references))
    found = L.noise_mistakes(images, 2 * references, gamma)
    values = np.sort([L.noise(images, 2 * references, gamma), *found.values()])
    assert np.isfinite(values).all() and (np.diff(values) > 2e-3 * values[1:]).all()


@pytest.mark.parametrize(("number", "shaped", "kind"), [
    ("3.2", lambda result: result.tolist(), np.ndarray), ("3.3", list, np.ndarray), ("3.4", list, np.ndarray),
    ("3.5", lambda result: np.array([[result]]), float), ("3.6", lambda result: [result], float)])
def test_later_cells_get_arrays_and_plain_numbers(number, shaped, kind):
    """A list has no .mean(), and an array of one element cannot be printed with two digits."""
    solution = exercise(number).solution
    images, references, sigma = L.example(5)
    gamma = L.posterior(images, references, sigma)
    inputs = {"3.2": (images, references, sigma), "3.3": (gamma,), "3.4": (images, gamma, np.arange(7.0)),
              "3.5": (images, references, gamma), "3.6": (images, references, sigma)}[number]
    mine = carry_on(number, lambda *given: shaped(solution(*given)))
    assert isinstance(mine(*inputs), kind) and np.allclose(mine(*inputs), solution(*inputs))
