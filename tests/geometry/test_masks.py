"""Masks: 1 inside, 0 outside, a cosine between, and a sentence for what is no mask."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.masks import check_mask, radius_from_centre, soft_sphere


@pytest.mark.parametrize("ndim", [2, 3])
def test_radius_is_the_distance_from_voxel_n_half(ndim):
    """A centre half a pixel off shifts every map that a mask touches."""
    n = 8
    found = radius_from_centre(n, ndim)
    for index in np.ndindex(*(n,) * ndim):
        assert found[index] == pytest.approx(np.sqrt(sum((i - n // 2) ** 2 for i in index)))


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_soft_sphere_is_one_inside_and_falls_as_a_cosine(ndim):
    """The profile decides how much of the solvent's noise leaks into a reference."""
    n, pixel, diameter, edge = 32, 2.5, 45.0, 4.0
    mask = soft_sphere(n, pixel, diameter, edge_pixels=edge, ndim=ndim)
    assert mask.shape == (n,) * ndim and mask.dtype == np.float32
    for index in np.random.default_rng(1).integers(0, n, (200, ndim)):
        r = np.sqrt(np.sum((index - n // 2) ** 2)) - diameter / 2 / pixel
        expected = 1.0 if r <= 0 else 0.0 if r >= edge else 0.5 * (1 + np.cos(np.pi * r / edge))
        assert mask[tuple(index)] == pytest.approx(expected, abs=1e-6)


def test_without_an_edge_the_sphere_is_hard():
    """Zero for the edge is a fair request and must not divide by zero."""
    mask = soft_sphere(16, 1.0, 10.0, edge_pixels=0, ndim=2)
    np.testing.assert_array_equal(mask, radius_from_centre(16, 2) <= 5.0)


@pytest.mark.parametrize("diameter", [0.0, -3.0, 33.0, np.nan])
def test_a_diameter_that_does_not_fit_is_refused(diameter):
    """Å for pixels, or the other way round, is the usual reason: the sentence gives the box in Å."""
    with pytest.raises(InputError, match="32 Å"):
        soft_sphere(16, 2.0, diameter)


def test_a_user_s_mask_is_checked():
    """A mask of another box, of densities, of NaN or of nothing would spoil the map without a word."""
    good = soft_sphere(8, 1.0, 4.0)
    np.testing.assert_array_equal(check_mask(good.astype(np.float64), (8, 8, 8)), good)
    np.testing.assert_array_equal(check_mask(good * 1.0005 - 0.0002, (8, 8, 8)).clip(0, 1).max(), 1)  # rounding passes
    for bad, word in ((good[:4], "shape"), (good * 3, "threshold"), (good - 0.5, "threshold"), (good * 0, "zero"),
                      (np.where(good > 0, np.nan, good), "threshold")):
        with pytest.raises(InputError, match=word):
            check_mask(bad, (8, 8, 8))
