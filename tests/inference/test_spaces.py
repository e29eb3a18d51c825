"""Where images are compared: pixels that are moved must be those that a transform would move."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoedu.geometry.fourier import components, gather, scatter, shift_phases
from cryoedu.inference.spaces import RealSpace

BOX, PIXEL = 8, 2.7  # Å: a size by which multiples of it do not divide without rounding
STEPS = st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=1, max_size=9)


@settings(deadline=None)
@given(steps=STEPS, per_pixel=st.sampled_from([1, 2, 3, 4]))
def test_pixels_move_as_through_the_transform(steps, per_pixel):
    """Whole pixels change places, parts of one are shared among shifts: every shift, on any grid, must be that of its
    own transform. A part found just below 1 in place of 0 would move the image by a pixel."""
    shifts = np.array(steps) * (PIXEL / per_pixel)
    images = np.random.default_rng(1).standard_normal((2, BOX, BOX))
    parts = components(BOX)
    phases = shift_phases(shifts / PIXEL, parts)
    expected = scatter((gather(images, parts)[:, None, :] * phases).reshape(-1, len(parts)), parts)
    found = RealSpace(BOX, 2, PIXEL, BOX // 2).shifted(images.reshape(2, -1), shifts)
    np.testing.assert_allclose(found, expected.reshape(2, len(shifts), -1), atol=1e-5)


def test_the_shifts_of_a_grid_need_one_transform_of_an_image(monkeypatch):
    """One for each shift of each image took most of the time of lesson 3's long cell."""
    from cryoedu.inference import spaces

    seen = []
    monkeypatch.setattr(spaces, "scatter", lambda values, parts: seen.append(len(values)) or scatter(values, parts))
    shifts = PIXEL * np.stack(np.meshgrid(np.arange(-4.0, 5), np.arange(-4.0, 5)), axis=-1).reshape(-1, 2)
    RealSpace(BOX, 2, PIXEL, BOX // 2).shifted(np.zeros((5, BOX * BOX), dtype=np.float32), shifts)
    assert seen == [5]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_pixels_of_the_strict_standard_move_and_keep_their_precision(kind):
    images, shifts = np.ones((3, BOX * BOX), dtype=kind), np.array([[0, 0], [PIXEL, -PIXEL / 2]])
    found = RealSpace(BOX, 2, PIXEL, BOX // 2).shifted(array_api_strict.asarray(images), shifts)
    assert found.shape == (3, 2, BOX * BOX) and np.asarray(found).dtype == kind
