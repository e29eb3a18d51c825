"""The shaded surface: where it is, how it is lit, from which side it is seen."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.figures.surface import MARGIN, shaded
from cryoedu.microscope.realspace import project_by_sums


def test_a_ball_is_as_large_as_its_level_says_and_lit_from_the_upper_left():
    n = 32
    z, y, x = np.indices((n, n, n)) - n // 2
    picture = shaded(-np.sqrt(x**2 + y**2 + z**2), -10.0, (20, 30, 40), pixels=120)
    radius = np.sqrt(np.isfinite(picture).sum() / np.pi) * n * MARGIN / 120
    assert radius == pytest.approx(10, abs=0.3)
    row, column = np.unravel_index(np.nanargmax(picture), picture.shape)
    assert row < 55 and column < 55
    assert np.nanmin(picture) >= 0.25 and np.nanmax(picture) <= 1


@pytest.mark.parametrize("angles", [(15, 0, 50), (40, 60, 0), (-70, 130, 25)])
def test_its_outline_is_that_of_the_projection(angles):
    """A surface that is turned in another sense than the projections beside it teaches the wrong hand."""
    ribosome = load("ribosome-80S", box=32)
    projection = project_by_sums(ribosome.density, angles)[0]
    outline = np.isfinite(shaded(ribosome.density, 0.3 * ribosome.density.max(), angles, pixels=32))
    both = np.corrcoef(outline.ravel(), (projection > 0.15 * projection.max()).ravel())[0, 1]
    mirrored = np.corrcoef(outline.ravel(), (projection > 0.15 * projection.max())[:, ::-1].ravel())[0, 1]
    assert both > 0.8 and both > mirrored + 0.05


def test_the_near_side_hides_the_far_side():
    density = np.zeros((16, 16, 16))
    density[4:6, 4:12, 4:12] = 1.0  # a plate at small z, the viewer's side
    density[10:12, 6:10, 6:10] = 1.0
    near, far = shaded(density, 0.5, pixels=16), shaded(density, 0.5, (0, 180, 0), pixels=16)
    assert np.nanstd(near[6:10, 6:10]) < 0.02  # the plate is even
    assert np.nanstd(far[4:12, 4:12]) > 0.02  # the small one stands before it


def test_nothing_above_the_level_is_an_empty_picture():
    assert np.isnan(shaded(np.zeros((8, 8, 8)), 1.0, pixels=8)).all()
