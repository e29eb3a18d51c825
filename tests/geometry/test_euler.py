"""Euler angles, matrices and random orientations, against closed forms and SciPy's own rotations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from cryoedu.geometry.euler import (
    angular_distance,
    euler_to_matrix,
    matrix_to_euler,
    random_rotations,
    rotation_angle,
)

turn = st.floats(-720, 720)
tilts = st.one_of(turn, st.sampled_from([0.0, 180.0, -180.0, 360.0, 1e-9, 180 - 1e-9, 1e-6, 180 - 1e-6, 90.0]))


@settings(max_examples=300, deadline=None)
@given(rot=turn, tilt=tilts, psi=turn)
def test_angles_survive_the_way_through_a_matrix(rot, tilt, psi):
    """Every pose is converted on reading and on writing: an error here turns particles between two programs."""
    matrix = euler_to_matrix([rot, tilt, psi])
    angles = matrix_to_euler(matrix)
    np.testing.assert_allclose(euler_to_matrix(angles), matrix, atol=2e-9)  # rot is dropped within 1e-9 of a pole
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(matrix) == pytest.approx(1)
    assert 0 <= angles[1] <= 180 and abs(angles[0]) <= 180 and abs(angles[2]) <= 180


@settings(max_examples=100, deadline=None)
@given(rot=st.floats(-179.9, 179.9), tilt=st.floats(0.1, 179.9), psi=st.floats(-179.9, 179.9))
def test_away_from_the_poles_the_angles_themselves_come_back(rot, tilt, psi):
    """A STAR file that changed its angles by being read and written could not be compared with its source."""
    np.testing.assert_allclose(matrix_to_euler(euler_to_matrix([rot, tilt, psi])), [rot, tilt, psi], atol=1e-9)


@pytest.mark.parametrize("tilt", [0.0, 180.0])
def test_at_the_poles_rot_is_zero_and_psi_takes_it_over(tilt):
    """At a pole only one combination of rot and psi turns the image; the convention must not depend on rounding."""
    rot, _, psi = matrix_to_euler(euler_to_matrix([25.0, tilt, 40.0]))
    assert rot == 0.0
    assert psi == pytest.approx(40.0 + 25.0 if tilt == 0 else 40.0 - 25.0)


def test_rounding_near_a_pole_does_not_turn_the_particle():
    """Where tilt is within rounding of a pole, rot is noise; psi has to make up for it, or top views spin at random."""
    rng = np.random.default_rng(1)
    matrices = euler_to_matrix(np.column_stack([rng.uniform(-180, 180, 200), np.repeat([0.0, 180.0], 100),
                                                rng.uniform(-180, 180, 200)]))
    rounded = matrices + rng.uniform(-1e-7, 1e-7, matrices.shape)  # what float32 leaves
    assert angular_distance(euler_to_matrix(matrix_to_euler(rounded)), matrices).max() < 1e-4


def test_one_angle_alone_is_the_rotation_that_the_convention_says():
    """By hand: coordinates turn about z by rot, about the new y by tilt, about the new z by psi."""
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    about_z = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    about_y = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    np.testing.assert_allclose(euler_to_matrix([30, 0, 0]), about_z, atol=1e-15)
    np.testing.assert_allclose(euler_to_matrix([0, 30, 0]), about_y, atol=1e-15)
    np.testing.assert_allclose(euler_to_matrix([0, 0, 30]), about_z, atol=1e-15)
    np.testing.assert_allclose(euler_to_matrix([30, 30, 30]), about_z @ about_y @ about_z, atol=1e-15)


def test_scipy_s_zyz_is_the_transpose():
    """Who builds poses with SciPy needs to know this, and the module says so."""
    angles = np.random.default_rng(2).uniform(-180, 180, (50, 3))
    scipy = Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix()
    np.testing.assert_allclose(euler_to_matrix(angles), np.swapaxes(scipy, 1, 2), atol=1e-14)


def test_leading_axes_are_kept():
    """Stacks of stacks of poses go through in one call."""
    angles = np.random.default_rng(3).uniform(-180, 180, (2, 5, 3))
    matrices = euler_to_matrix(angles)
    assert matrices.shape == (2, 5, 3, 3) and matrix_to_euler(matrices).shape == (2, 5, 3)
    np.testing.assert_array_equal(matrices[1, 3], euler_to_matrix(angles[1, 3]))


def test_random_rotations_are_uniform():
    """Crowded random poses would bias every simulated data set and every starting point drawn from them."""
    count = 20_000
    matrices = random_rotations(count, np.random.default_rng(4))
    np.testing.assert_allclose(matrices @ np.swapaxes(matrices, 1, 2) - np.eye(3), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(matrices), 1)
    assert np.abs(matrices.mean(axis=0)).max() < 5 / np.sqrt(3 * count)  # each entry has variance 1/3
    # the angle of a uniform rotation has the density (1 - cos θ)/π
    angle = np.radians(rotation_angle(matrices))
    assert kstest(angle, lambda t: (t - np.sin(t)) / np.pi).pvalue > 1e-3
    rot, tilt, psi = matrix_to_euler(matrices).T
    assert kstest(np.cos(np.radians(tilt)), "uniform", (-1, 2)).pvalue > 1e-3
    assert kstest(rot, "uniform", (-180, 360)).pvalue > 1e-3
    assert kstest(psi, "uniform", (-180, 360)).pvalue > 1e-3
    np.testing.assert_array_equal(matrices[:5], random_rotations(count, np.random.default_rng(4))[:5])


@pytest.mark.parametrize("angle", [0.0, 1e-6, 0.01, 45.0, 90.0, 179.99, 180 - 1e-6, 180.0])
def test_angular_distance_is_the_angle_about_any_axis(angle):
    """Tiny and half-turn errors are where acos of the trace loses half its digits."""
    axes = np.random.default_rng(5).standard_normal((20, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    first = Rotation.random(20, random_state=6)
    second = Rotation.from_rotvec(np.radians(angle) * axes) * first
    np.testing.assert_allclose(angular_distance(first.as_matrix(), second.as_matrix()), angle, atol=1e-12, rtol=1e-9)


def test_angular_distance_depends_only_on_the_difference():
    """Poses of one map in another frame are as far apart as they were."""
    rng = np.random.default_rng(7)
    a, b, frame = random_rotations(30, rng), random_rotations(30, rng), random_rotations(1, rng)[0]
    plain = angular_distance(a, b)
    np.testing.assert_allclose(angular_distance(b, a), plain)
    np.testing.assert_allclose(angular_distance(a @ frame, b @ frame), plain)
    np.testing.assert_allclose(angular_distance(frame @ a, frame @ b), plain)
    assert angular_distance(a[:, None], b[None]).shape == (30, 30)
    # of in-plane rotations it is the difference of psi
    assert angular_distance(euler_to_matrix([0, 0, 350]), euler_to_matrix([0, 0, 20])) == pytest.approx(30)
