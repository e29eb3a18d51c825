"""The likeness of averages: a ring does not win, a turn does not count, and a known correlation is found."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.microscope.realspace import rotate
from cryoedu.validation.averages import contrast, likeness, off_rings

BOX = 40


@pytest.fixture(scope="module")
def truth():
    return load("protein2d", box=BOX).density


def plain(a, b):
    return np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b)


def test_what_has_no_features_is_nothing_like_the_particle(truth):
    """The particle's own rotational average correlates with it by 0.8: a score that it wins says nothing."""
    ring = rotate(truth, np.arange(0, 360, 3.0)).mean(axis=0)
    y, x = np.indices((BOX, BOX)) - BOX // 2
    disc = (np.hypot(x, y) < 0.3 * BOX).astype(float)
    assert plain(ring, truth) > 0.75 and plain(disc, truth) > 0.75
    assert abs(likeness(ring, truth)) < 0.15 and abs(likeness(disc, truth)) < 0.15
    assert contrast(ring, truth) < 0.02
    assert likeness(np.ones((BOX, BOX)), truth) == pytest.approx(0, abs=0.15)


def test_adding_a_ring_or_turning_as_a_whole_changes_nothing(truth):
    ring = rotate(truth, np.arange(0, 360, 3.0)).mean(axis=0)
    for angle in (0.0, 33.0, 271.0):
        turned = rotate(truth, angle)
        assert likeness(turned, truth) > 0.995 and likeness(turned + 5 * ring, truth) > 0.99
    assert contrast(3 * truth + ring, truth) == pytest.approx(3, rel=0.01)


def test_a_known_share_of_something_else_is_found(truth):
    """Half of the power from the particle and half from a picture at right angles to it: 1/√2."""
    rng = np.random.default_rng(4)
    other = rng.normal(size=truth.shape)
    mine, its = off_rings(truth), off_rings(other)
    other = other - truth * np.sum(its * mine) / np.sum(mine**2)
    mixture = truth / contrast(truth, truth) + other / contrast(other, truth)
    assert likeness(mixture, truth) == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert likeness(other, truth) < 0.3  # in the best of all rotations, by accident


def test_sums_over_the_samples_are_sums_over_the_disc(truth):
    """Weighted with the rings' lengths: else the middle would count for more than the edge."""
    ring = rotate(truth, np.arange(0, 360, 3.0)).mean(axis=0)
    y, x = np.indices((BOX, BOX)) - BOX // 2
    inside = np.hypot(x, y) < BOX // 2
    per_pixel = np.sum(((truth - ring) * inside) ** 2)
    assert np.sum(off_rings(truth) ** 2) * 2 * np.pi / 360 == pytest.approx(per_pixel, rel=0.05)


def test_noise_is_not_smoothed_away():
    """Splines that read between the pixels would lose a quarter of it, and call an average of noise too faint."""
    rings = BOX // 2 - 1  # of each, the mean goes
    inside = np.hypot(*(np.indices((BOX, BOX)) - BOX // 2)) < rings + 0.5
    noise = np.random.default_rng(5).normal(size=(30, BOX, BOX))
    kept = np.mean([np.sum(off_rings(image) ** 2) for image in noise]) * 2 * np.pi / 360
    assert kept == pytest.approx(np.sum(inside) - rings, rel=0.1)


def test_what_cannot_be_compared_is_refused(truth):
    with pytest.raises(InputError, match="square"):
        off_rings(np.zeros((40, 38)))
    with pytest.raises(InputError, match="cannot be compared"):
        likeness(truth[4:-4, 4:-4], truth)
