"""Lesson 4: the course's own answers against the definitions, written in loops."""

from __future__ import annotations

import re

import numpy as np
import pytest
from wrong_answers.lesson04 import loops_averages, loops_purity, naive_posterior

from cryoedu.course import build
from cryoedu.course import lesson04 as L
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import judged
from cryoedu.validation import classes as engine


def test_solutions_agree_with_the_definitions():
    """A learner's way need not be the course's: the definitions, taken literally, give the same numbers."""
    images, references, sigma, weights = L.example(7)
    assert L.posterior(images, references, sigma, weights) == pytest.approx(
        naive_posterior(images, references, sigma, weights))
    gamma, angles = L.random_gamma(8, 5, 3, 4), np.array([0.0, 50.0, 120.0, 300.0])
    assert L.weighted_averages(images, gamma, angles) == pytest.approx(loops_averages(images, gamma, angles), abs=1e-6)
    assert L.class_weights(gamma).sum() == pytest.approx(1)
    assert judged(exercise("4.5"), loops_purity)[0] == "right"


def test_purity_is_the_engines():
    rng = np.random.default_rng(3)
    classes, truth = rng.choice([0, 1, 4], 60), rng.integers(0, 3, 60)
    assert L.purity(classes, truth) == pytest.approx(engine.purity(classes, truth))


def test_one_class_is_lesson_3():
    """With a single class the hidden data are the rotations again."""
    from cryoedu.course import lesson03

    images, references, sigma, _ = L.example(9)
    mine = L.posterior(images, references[:1], sigma, np.ones(1))
    assert mine[:, 0] == pytest.approx(lesson03.posterior(images, references[0], sigma))


def test_lists_are_taken_where_the_lesson_gives_lists():
    classes, particle = np.array([0, 0, 1, 1, 2]), np.array([True, True, True, False, False])
    assert L.selection(classes, [0, 1], particle) == pytest.approx((1.0, 0.25))


def test_nothing_hangs_on_the_number_of_a_class():
    """Chance numbers the classes: on another machine, or with another seed, the junk is in others."""
    cells = build.read_source(build.source_of("4")).cells
    told = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert not [text for text in told if re.search(r"[Cc]lass(es)? \d", text)]
    done = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert not re.search(r"^good = \[\d", done, flags=re.MULTILINE)
