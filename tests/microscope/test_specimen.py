"""A specimen is a square or cubic even box of finite numbers with a pixel size, or a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.microscope.specimen import Specimen


@pytest.mark.parametrize("shape", [(8, 8), (6, 6, 6)])
def test_box_and_dimension(shape):
    """What every program that takes a specimen asks it first."""
    specimen = Specimen(np.zeros(shape, dtype=np.float32), 2.0)
    assert (specimen.box, specimen.ndim) == (shape[0], len(shape))


@pytest.mark.parametrize(("density", "pixel_size", "word"), [
    (np.zeros((8, 6)), 1.0, "shape"), (np.zeros((7, 7)), 1.0, "even"), (np.zeros(8), 1.0, "shape"),
    (np.zeros((4, 8, 8)), 1.0, "shape"), (np.full((8, 8), np.nan), 1.0, "NaN"),
    (np.full((8, 8), np.inf), 1.0, "infinite"), (np.zeros((8, 8)), 0.0, "positive"),
    (np.zeros((8, 8)), -1.0, "positive"), (np.zeros((8, 8)), np.nan, "positive")])
def test_what_cannot_be_looked_at_is_refused_by_name(density, pixel_size, word):
    """A bad map must be named before hours of computing, not found in a picture of noise afterwards."""
    with pytest.raises(InputError, match=f"^ribosome: .*{word}"):
        Specimen(density, pixel_size, "ribosome")
