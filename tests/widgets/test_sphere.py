"""The map of viewing directions: a posterior painted at the wrong place would teach the wrong geometry."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.geometry.grids import search_3d
from cryoedu.widgets.sphere import WIDTH, mollweide, mollweide_pixels, unit_vectors, views


def test_directions_of_a_grid_are_told_apart_from_its_turns_in_the_plane():
    search = search_3d(1)
    directions, place = views(search.angles)
    assert len(directions) == 48 and np.bincount(place).tolist() == [12] * 48
    assert unit_vectors(directions)[place] == pytest.approx(unit_vectors(search.angles), abs=1e-5)


def test_the_pole_is_one_direction_and_a_negative_tilt_is_the_other_side():
    directions, place = views([[0, 0, 0], [90, 0, 10], [20, 30, 0], [200, -30, 0]])
    assert len(directions) == 2 and place[0] == place[1] and place[2] == place[3]


def test_equal_areas_on_the_sphere_are_equal_on_the_map():
    """HEALPix directions stand for equal areas: each must get as many pixels, at the poles too."""
    lookup = mollweide(views(search_3d(1).angles)[0])
    counts = np.bincount(lookup[lookup >= 0])
    assert lookup.shape == (WIDTH // 2, WIDTH) and len(counts) == 48
    assert counts == pytest.approx(counts.mean(), rel=0.2)  # nearest-neighbour cells are not quite equal
    assert (lookup < 0).mean() == pytest.approx(1 - np.pi / 4, abs=0.01)


def test_a_direction_is_marked_where_its_pixels_are():
    directions = views(search_3d(2).angles)[0]
    lookup, marks = mollweide(directions), mollweide_pixels(directions)
    x, y = np.floor(marks).astype(int).T
    inside = np.linalg.norm((marks - [WIDTH / 2, WIDTH / 4]) / [WIDTH / 2, WIDTH / 4], axis=1) < 0.98
    assert inside.sum() > 170
    assert (lookup[y[inside], x[inside]] == np.flatnonzero(inside)).all()


def test_known_places():
    places = mollweide_pixels([[0, 90], [0, 0], [0, 180], [179.999, 90], [-90, 90], [270, 90], [90, -90]])
    expected = [[96, 48], [96, 0], [96, 96], [192, 48], [48, 48], [48, 48], [48, 48]]
    assert places == pytest.approx(np.array(expected, dtype=float), abs=0.05)
