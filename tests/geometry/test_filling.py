"""Slices and what they fill: the cone, the wedge, and the law of how the shells fill up."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix, random_rotations
from cryoedu.geometry.filling import VIEWS, reached, views

BOX = 32
K = np.arange(BOX) - BOX // 2
Z, Y, X = np.meshgrid(K, K, K, indexing="ij")
RADIUS = np.sqrt(X**2 + Y**2 + Z**2)


def test_a_view_along_z_reaches_the_plane_of_x_and_y():
    alone = reached(BOX, euler_to_matrix([[40.0, 0.0, 10.0]]))
    assert np.array_equal(alone, (Z == 0) & (RADIUS < BOX // 2))


def test_views_from_the_top_leave_a_cone_and_a_tilt_series_a_wedge():
    top = reached(BOX, euler_to_matrix(views("top", 400)))
    angle_from_z = np.degrees(np.arctan2(np.hypot(X, Y), np.abs(Z)))
    far = (RADIUS > 6) & (RADIUS < 15)
    assert not top[far & (angle_from_z < 50)].any() and top[far & (angle_from_z > 68)].mean() > 0.99
    series = reached(BOX, euler_to_matrix(views("tilt series", 200)))
    in_plane = np.degrees(np.arctan2(np.abs(X), np.abs(Z)))
    wedge = np.hypot(X, Z) > 6
    assert not series[far & wedge & (in_plane < 22)].any() and series[far & wedge & (in_plane > 38)].mean() > 0.99


def test_shells_fill_as_the_law_of_chance_says():
    """A slice takes a band one voxel thick out of a shell of radius k: 1/2k of its surface."""
    share = np.mean([reached(BOX, random_rotations(20, np.random.default_rng(s)))[np.rint(RADIUS) == 12].mean()
                     for s in range(8)])
    assert share == pytest.approx(1 - (1 - 1 / 24) ** 20, abs=0.03)


@pytest.mark.parametrize("kind", VIEWS)
def test_more_views_are_the_same_and_some_more(kind):
    assert np.array_equal(views(kind, 7), views(kind, 40)[:7])
    directions = euler_to_matrix(views(kind, 40))[:, 2]
    assert len(np.unique(np.round(directions, 6), axis=0)) == 40 and views(kind, 0).shape == (0, 3)


def test_unknown_views_are_refused():
    with pytest.raises(InputError, match="tilt series"):
        views("bottom", 3)
