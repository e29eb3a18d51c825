"""Portraits: of a free licence, small, ready to be a reference."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.datasets.portraits import PORTRAITS, portrait, resized
from cryoedu.errors import InputError


@pytest.mark.parametrize("name", PORTRAITS)
@pytest.mark.parametrize("box", [40, 64])
def test_a_portrait_is_a_unit_vector_of_mean_zero(name, box):
    """The lesson's m is in units of the noise only if the reference has length 1."""
    face = portrait(name, box)
    assert face.shape == (box, box) and face.dtype == np.float32
    assert face.mean() == pytest.approx(0, abs=1e-6) and np.linalg.norm(face) == pytest.approx(1, abs=1e-5)


def test_the_two_differ():
    a, b = (portrait(name).ravel() for name in PORTRAITS)
    assert abs(float(a @ b)) < 0.3


@pytest.mark.parametrize(("name", "box", "says"), [("einstein", 64, "astronaut, cat"), ("cat", 65, "even"),
                                                   ("cat", 8, "even"), ("cat", 500, "190")])
def test_what_there_is_not_is_said(name, box, says):
    with pytest.raises(InputError, match=says):
        portrait(name, box)


def test_what_shrinks_is_blurred_first():
    """Stripes finer than the new pixels would become stripes of another width."""
    x = np.arange(120) / 120
    slope = np.broadcast_to(x, (120, 120))
    shrunk = resized(slope, (20, 30))
    assert shrunk.shape == (20, 30)
    np.testing.assert_allclose(shrunk[:, 4:-4], np.broadcast_to((np.arange(30) * 4 + 1.5)[4:-4] / 120, (20, 22)),
                               atol=1e-9)
    stripes = np.broadcast_to(np.arange(120) % 5 == 0, (120, 120)).astype(float)
    assert np.ptp(resized(stripes, (30, 30))[5:-5, 5:-5]) < 0.15
