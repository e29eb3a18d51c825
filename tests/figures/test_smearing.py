"""The picture of smeared lines shows what it says: a halo that falls as one over the distance, and how it goes."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.figures import show
from cryoedu.figures.smearing import WIDTH, divided, point_smeared, smeared_point


def test_the_halo_falls_with_the_distance_and_division_takes_it_away():
    pile = point_smeared(64, 100)
    assert pile[32, 40] / pile[32, 48] == pytest.approx(2, rel=0.05)  # 8 and 16 pixels from the point
    y, x = np.mgrid[:64, :64] - 32
    point = np.exp(-(x**2 + y**2) / (2 * WIDTH**2))
    assert np.corrcoef(pile.ravel(), point.ravel())[0, 1] < 0.9
    assert np.corrcoef(divided(pile, 100).ravel(), point.ravel())[0, 1] > 0.999


@pytest.mark.slow
def test_the_picture_names_its_lines():
    assert "1, 3 and 10 lines" in show(smeared_point((1, 3, 10))).alt
