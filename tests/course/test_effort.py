"""What a learner's function costs is counted, whatever it gives."""

from __future__ import annotations

import numpy as np

from cryoedu.course.effort import peak_bytes, turns
from cryoedu.microscope.realspace import rotate


def test_bytes_that_are_held_are_counted_and_those_that_were_let_go_are_not():
    images = np.ones((20, 30, 30))
    at_once = peak_bytes(lambda x: (x[:, None] * x).sum(axis=(2, 3)), images)
    each_fold = peak_bytes(lambda x: np.array([(x * one).sum(axis=(1, 2)) for one in x]), images)
    assert at_once > 20 * images.nbytes and each_fold < 4 * images.nbytes


def test_each_turned_picture_counts():
    image, angles = np.ones((8, 8)), np.arange(5.0)
    assert turns(lambda x, a: rotate(x, a), image, angles) == 5
    assert turns(lambda x, a: [rotate(x, angle) for angle in a[:3]], image, angles) == 3
    assert turns(lambda x, a: x.sum(), image, angles) == 0
