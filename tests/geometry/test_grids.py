"""The grids of hypotheses: as many, as far apart and as evenly spread as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from cryoedu.errors import InputError
from cryoedu.geometry.euler import angular_distance, matrix_to_euler, random_rotations
from cryoedu.geometry.grids import perturbed, search_2d, search_3d, shift_grid


@pytest.mark.parametrize(("order", "orientations", "step"), [(0, 72, 60.0), (1, 576, 30.0), (2, 4608, 15.0)])
def test_healpix_orders_have_relion_s_counts_and_steps(order, orientations, step):
    """RELION's users choose their sampling by these numbers."""
    search = search_3d(order)
    assert search.angles.shape == (orientations, 3) and search.rotations.shape == (orientations, 3, 3)
    assert search.angular_step == step
    directions = np.unique(search.angles[:, :2], axis=0)
    assert len(directions) == 12 * 4**order
    assert search_3d(3).angles.shape == (36864, 3)


@pytest.mark.parametrize("order", [1, 2])
def test_healpix_directions_cover_the_sphere_evenly(order):
    """A direction that no hypothesis is near is a view that no particle can be given."""
    rot, tilt = np.radians(np.unique(search_3d(order).angles[:, :2], axis=0)).T
    points = np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], axis=1)
    # equal areas: first and second moments of the uniform sphere
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(points.T @ points / len(points), np.eye(3) / 3, atol=0.02)
    # a pixel is as wide as the square root of its area
    width = np.degrees(np.sqrt(4 * np.pi / len(points)))
    nearest = np.degrees(2 * np.arcsin(cKDTree(points).query(points, 2)[0][:, 1] / 2))
    assert 0.6 * width < nearest.min() <= nearest.max() < 1.1 * width
    everywhere = random_rotations(2000, np.random.default_rng(1))[:, 2]
    assert np.degrees(2 * np.arcsin(cKDTree(points).query(everywhere)[0] / 2)).max() < width


def test_every_orientation_has_a_hypothesis_near():
    """The best of all hypotheses is at most about a step from the truth, whatever the truth is."""
    search = search_3d(1)
    truth = random_rotations(300, np.random.default_rng(2))
    best = np.array([angular_distance(search.rotations, t).min() for t in truth])
    assert best.max() < search.angular_step
    assert best.mean() < 0.6 * search.angular_step


def test_a_2d_search_divides_the_circle():
    """A step that does not divide 360 would leave a gap, and one angle with fewer neighbours."""
    for asked, count in ((5.0, 72), (7.0, 51), (360.0, 1), (0.5, 720)):
        search = search_2d(asked)
        assert len(search.angles) == count and search.in_plane
        psi = np.sort(search.angles[:, 2])
        np.testing.assert_allclose(np.diff(psi, append=psi[0] + 360), search.angular_step)


@pytest.mark.parametrize(("reach", "step"), [(0.0, 1.0), (3.0, 1.0), (5.0, 2.0), (0.3, 0.1), (4.9, 5.0), (12.0, 4.0)])
def test_shift_grid_holds_every_point_of_the_circle_once(reach, step):
    """A shift that is missing is a particle that stays off its place; the centre first is what searches rely on."""
    found = shift_grid(reach, step)
    np.testing.assert_array_equal(found[0], [0, 0])
    expected = {(i, j) for i in range(-50, 51) for j in range(-50, 51) if np.hypot(i * step, j * step) <= reach + 1e-9}
    counted = [tuple(p) for p in np.rint(found / step).astype(int).tolist()]
    assert len(counted) == len(set(counted)) and set(counted) == expected
    np.testing.assert_allclose(found, np.array(counted) * step, atol=1e-12)
    assert (np.diff(np.hypot(*found.T)) >= -1e-12).all()


def test_shifts_are_x_and_y_in_angstrom():
    """x first: exchanged axes are found by no symmetric test."""
    search = search_2d(90, shift_range=3.0, shift_step=3.0)
    assert sorted(map(tuple, search.shifts.tolist())) == [(-3, 0), (0, -3), (0, 0), (0, 3), (3, 0)]
    assert search.shift_step == 3.0


def test_a_perturbed_grid_is_the_same_grid_elsewhere():
    """Distances inside the grid hold the prior and the resolution of the search: only its place may change."""
    search = search_3d(1, shift_range=4.0, shift_step=2.0)
    turned = perturbed(search, np.random.default_rng(3))
    some = np.random.default_rng(4).integers(0, len(search.angles), (200, 2))
    before = angular_distance(search.rotations[some[:, 0]], search.rotations[some[:, 1]])
    after = angular_distance(turned.rotations[some[:, 0]], turned.rotations[some[:, 1]])
    np.testing.assert_allclose(after, before, atol=1e-9)
    moves = turned.shifts - search.shifts
    np.testing.assert_allclose(moves, np.broadcast_to(moves[0], moves.shape))
    assert (np.abs(moves[0]) <= 1.0).all() and np.abs(moves[0]).min() > 0
    distance = angular_distance(search.rotations, turned.rotations)
    assert distance.min() > 0 and distance.max() < search.angular_step
    assert (turned.angular_step, turned.shift_step) == (search.angular_step, search.shift_step)
    again = perturbed(search, np.random.default_rng(3))
    np.testing.assert_array_equal(again.angles, turned.angles)


def test_perturbations_reach_half_a_step_each_way():
    """Too small a range looks at the same points again, too large a one skips some."""
    search = search_2d(10.0, shift_range=2.0, shift_step=2.0)
    rng = np.random.default_rng(5)
    grids = [perturbed(search, rng) for _ in range(400)]
    psi = np.array([g.angles[0, 2] for g in grids])
    move = np.array([g.shifts[0] for g in grids])
    for values, half in ((psi, 5.0), (move[:, 0], 1.0), (move[:, 1], 1.0)):
        assert np.abs(values).max() <= half
        assert values.max() > 0.95 * half and values.min() < -0.95 * half and abs(values.mean()) < 0.1 * half


def test_perturbations_in_space_reach_half_a_step_too():
    """The whole grid tilts by up to half a step and turns by up to half a step; no more, and in every direction."""
    search = search_3d(0)
    rng = np.random.default_rng(7)
    turns = np.array([search.rotations[5].T @ perturbed(search, rng).rotations[5] for _ in range(400)])
    rot, tilt, psi = matrix_to_euler(turns).T
    half = search.angular_step / 2
    turned = (rot + psi + 180) % 360 - 180
    assert tilt.max() <= half + 1e-9 and np.abs(turned).max() <= half + 1e-9
    assert tilt.max() > 0.95 * half and turned.max() > 0.95 * half and turned.min() < -0.95 * half
    sides = turns[:, 2, :2]  # where the tilted axis points to: no side is preferred
    assert np.abs(sides.mean(axis=0)).max() < 0.05
    np.testing.assert_allclose(sides.T @ sides / np.mean(np.sum(sides**2, axis=1)) / 400, np.eye(2) / 2, atol=0.08)


def test_a_perturbed_2d_search_stays_in_the_plane():
    """A tilted hypothesis would read a 2D reference off its one layer."""
    turned = perturbed(search_2d(10.0), np.random.default_rng(6))
    assert turned.in_plane
    np.testing.assert_array_equal(turned.shifts, [[0, 0]])  # a single shift is no grid to look between


@pytest.mark.parametrize("call", [
    lambda: shift_grid(-1.0, 1.0), lambda: shift_grid(1.0, 0.0), lambda: shift_grid(1.0, -2.0),
    lambda: shift_grid(np.nan, 1.0), lambda: shift_grid(np.inf, 1.0), lambda: shift_grid(1.0, np.nan),
    lambda: search_2d(0.0), lambda: search_2d(-5.0), lambda: search_2d(400.0), lambda: search_2d(np.nan),
    lambda: search_3d(-1), lambda: search_3d(9), lambda: search_3d(1.5)])
def test_impossible_grids_are_refused_in_a_sentence(call):
    """A user's slip of the keyboard must not end in a traceback from inside NumPy."""
    with pytest.raises(InputError, match=r".+: (give|choose) .+"):
        call()


def test_a_grid_that_no_memory_holds_is_refused():
    """A range in pixels times a step in the wrong unit asks for billions of shifts."""
    with pytest.raises(InputError, match="shifts"):
        shift_grid(1e6, 0.01)
