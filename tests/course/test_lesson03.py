"""Lesson 3: the course's own answers against the definitions, written in loops."""

from __future__ import annotations

import pytest
from wrong_answers.lesson03 import loops_noise, naive_likelihood, naive_posterior

from cryoedu.course import lesson03 as L
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import judged


def test_independent_solutions_written_in_loops_pass_too():
    """A learner's way need not be the course's: the definition, taken literally, is right as well."""
    assert judged(exercise("3.5"), loops_noise)[0] == "right"
    images, references, sigma = L.example(7)
    assert L.log_likelihood(images, references, sigma) == pytest.approx(naive_likelihood(images, references, sigma))
    assert L.posterior(images, references, sigma) == pytest.approx(naive_posterior(images, references, sigma))
