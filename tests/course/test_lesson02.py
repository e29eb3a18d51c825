"""Lesson 2: the course's own answers against the definitions in loops, and its formula against an experiment."""

from __future__ import annotations

import numpy as np
import pytest
from wrong_answers.lesson02 import loops_average, loops_ccf, loops_rotation

from cryoedu.course import lesson02 as L
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import carry_on, judged


@pytest.mark.parametrize(("number", "answer"), [("2.2", loops_ccf), ("2.3", loops_rotation), ("2.4", loops_average)])
def test_independent_solutions_written_in_loops_pass_too(number, answer):
    """A learner's way need not be the course's: the definition, taken literally, is right as well."""
    assert judged(exercise(number), answer)[0] == "right"


def test_whole_numbers_of_images_are_right_too():
    assert [judged(exercise("2.6"), n)[0] for n in (187, 188, 180, 195)] == ["right", "right", "wrong", "wrong"]
    assert judged(exercise("2.1"), 400)[0] == "right"


def test_the_predicted_correlation_is_what_noise_gives():
    """The formula of the lesson, for references at right angles to one another, where it should hold exactly."""
    rng = np.random.default_rng(2)
    d, hypotheses, count = 400, 60, 200
    noise = rng.normal(size=(count, d))
    values = noise[:, :hypotheses]  # CCF with unit vectors as references
    best = values.argmax(axis=1)
    average = np.mean([np.roll(x, -b) for x, b in zip(noise, best)], axis=0)  # moves the chosen vector to place 0
    measured = average[0] / np.linalg.norm(average)
    assert measured == pytest.approx(L.predicted_correlation(values.max(axis=1).mean(), d, count), abs=0.02)


def test_averaging_the_stated_number_of_images_leaves_the_stated_noise():
    noise = np.random.default_rng(3).normal(size=(round(L.IMAGES_TO_AVERAGE), 5000))
    assert noise.mean(axis=0).std() == pytest.approx(L.NOISE_LEFT, rel=0.05)


def test_later_cells_get_arrays_and_plain_numbers():
    """`best == angle` is False for a list, so that the next exercise would average nothing."""
    images, reference, angles = L.particles(9)
    for number, answer, inputs in (
            ("2.2", lambda *given: loops_ccf(*given).tolist(), (images, images[:4])),
            ("2.3", lambda *given: list(loops_rotation(*given)), (images, reference, angles)),
            ("2.4", lambda *given: loops_average(*given).tolist(), (images, reference, angles))):
        found = carry_on(number, answer)(*inputs)
        assert isinstance(found, np.ndarray) and np.array_equal(found, np.array(answer(*inputs)))
    assert isinstance(carry_on("2.5", lambda *given: [L.predicted_correlation(*given)])(2.0, 4000, 100), float)
