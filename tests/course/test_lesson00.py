"""Lesson 0: the course's own answers against the plainest ways to write them."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.course import lesson00 as L
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import judged


def test_a_normalised_image_is_what_it_says():
    image = np.random.default_rng(0).uniform(5, 9, (16, 16))
    made = L.normalise(image)
    assert made.mean() == pytest.approx(0, abs=1e-12) and made.std() == pytest.approx(1)
    assert np.corrcoef(made.ravel(), image.ravel())[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("answer", [[5 * k for k in range(72)], tuple(range(0, 360, 5)), range(0, 360, 5),
                                    np.linspace(0, 360, 72, endpoint=False), np.linspace(0, 355, 72)])
def test_any_list_of_the_right_angles_is_right(answer):
    assert judged(exercise("0.3"), answer)[0] == "right"


@pytest.mark.parametrize("answer", [352, 352.0, np.float32(352), np.array([352])])
def test_a_number_may_come_in_any_coat(answer):
    assert judged(exercise("0.1"), answer)[0] == "right"
