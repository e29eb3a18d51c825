"""Portraits: from a package that is installed anyway, of a free licence, ready to be a reference."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.datasets.portraits import PORTRAITS, portrait
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
