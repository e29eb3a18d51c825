"""Errors of poses: known errors put in, the same errors measured."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoedu.errors import InputError
from cryoedu.geometry.euler import angular_distance, euler_to_matrix, matrix_to_euler, random_rotations, rotation_angle
from cryoedu.geometry.symmetry import symmetry_operators
from cryoedu.validation.poses import pose_errors

COUNT = 150


def some_poses(seed=1, count=COUNT):
    return random_rotations(count, np.random.default_rng(seed))


def jitter(degrees, seed=2, count=COUNT):
    """Rotations by exactly ``degrees`` about random axes."""
    axes = np.random.default_rng(seed).standard_normal((count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return Rotation.from_rotvec(np.radians(degrees) * axes).as_matrix()


FRAME = euler_to_matrix([40.0, 70.0, -25.0])


def test_known_errors_are_measured_as_they_are():
    """Without a common frame: the estimate was made from the true map, and a frame would hide a real error."""
    true = some_poses()
    found = pose_errors(matrix_to_euler(jitter(7.0) @ true), matrix_to_euler(true), common_frame=False)
    np.testing.assert_allclose(found.angles, 7.0, atol=1e-6)
    assert found.median_angle == pytest.approx(7.0)
    np.testing.assert_array_equal(found.frame, np.eye(3))
    turned = pose_errors(matrix_to_euler(true @ FRAME.T), matrix_to_euler(true), common_frame=False)
    np.testing.assert_allclose(turned.angles, rotation_angle(FRAME), atol=1e-6)


def test_the_frame_of_a_map_from_scratch_is_found_and_taken_out():
    """A map that is turned as a whole is as right as any: no particle's pose is wrong for it."""
    true = some_poses()
    exact = pose_errors(matrix_to_euler(true @ FRAME.T), matrix_to_euler(true))
    np.testing.assert_allclose(exact.angles, 0, atol=1e-6)
    np.testing.assert_allclose(exact.frame, FRAME, atol=1e-9)
    noisy = pose_errors(matrix_to_euler(jitter(5.0) @ true @ FRAME.T), matrix_to_euler(true))
    assert angular_distance(noisy.frame, FRAME) < 5 * 5.0 / np.sqrt(COUNT)
    assert noisy.median_angle == pytest.approx(5.0, abs=0.5)


def test_outliers_spoil_neither_frame_nor_offset():
    """Half the particles of a hard data set may be lost; the others' errors must not be blamed on them."""
    rng = np.random.default_rng(3)
    true, offset = some_poses(), np.array([6.0, -4.0, 9.0])
    found = jitter(3.0) @ true @ FRAME.T
    moves = rng.normal(0, 3, (COUNT, 2))
    shifts = moves - ((found @ FRAME)[:, :2] @ offset)
    lost = np.arange(COUNT) % 2 == 0
    found[lost] = some_poses(4)[lost]
    shifts[lost] = rng.uniform(-40, 40, (lost.sum(), 2))
    errors = pose_errors(matrix_to_euler(found), matrix_to_euler(true), shifts, moves)
    assert angular_distance(errors.frame, FRAME) < 1.5
    np.testing.assert_allclose(errors.offset, offset, atol=0.5)
    assert np.median(errors.angles[~lost]) == pytest.approx(3.0, abs=0.5)
    assert np.median(errors.shifts[~lost]) < 0.5
    assert np.median(errors.angles[lost]) > 90


def test_an_offset_of_the_map_in_space_is_no_error_of_the_shifts():
    """A map off its centre moves each image by its own view of that offset: three numbers explain them all."""
    true, offset = some_poses(), np.array([5.0, -3.0, 8.0])
    moves = np.random.default_rng(5).normal(0, 4, (COUNT, 2))
    found = true @ FRAME.T
    shifts = moves - (true[:, :2] @ offset)
    errors = pose_errors(matrix_to_euler(found), matrix_to_euler(true), shifts, moves)
    np.testing.assert_allclose(errors.offset, offset, atol=1e-6)
    np.testing.assert_allclose(errors.shifts, 0, atol=1e-6)
    kept = pose_errors(matrix_to_euler(true), matrix_to_euler(true), moves + [3.0, -4.0], moves, common_frame=False)
    np.testing.assert_allclose(kept.shifts, 5.0)
    assert kept.median_shift == pytest.approx(5.0)


def test_poses_in_the_plane():
    """2D alignment: one angle and one offset of the reference, which an average from scratch has too."""
    rng = np.random.default_rng(6)
    flat = lambda psi: np.column_stack([np.zeros((COUNT, 2)), psi])  # noqa: E731
    psi, moves = rng.uniform(-180, 180, COUNT), rng.normal(0, 4, (COUNT, 2))
    offset = np.array([4.0, -2.0, 0.0])
    shifts = moves - euler_to_matrix(flat(psi))[:, :2] @ offset
    errors = pose_errors(flat(psi + 100 + rng.choice([-2, 2], COUNT)), flat(psi), shifts, moves)
    np.testing.assert_allclose(errors.angles, 2.0, atol=0.5)
    np.testing.assert_allclose(errors.shifts, 0, atol=0.4)
    np.testing.assert_allclose(errors.frame[2], [0, 0, 1], atol=1e-9)


@pytest.mark.parametrize("group", ["C1", "C4", "D3", "T", "O", "I", "I1"])
def test_poses_that_symmetry_cannot_tell_apart_are_no_errors(group):
    """Half of a D-symmetric particle's poses come out as a mate of the true one, and both are right."""
    rng = np.random.default_rng(7)
    operators = symmetry_operators(group)
    true = some_poses()
    mates = true @ operators[rng.integers(0, len(operators), COUNT)]
    errors = pose_errors(matrix_to_euler(jitter(2.0) @ mates @ FRAME.T), matrix_to_euler(true), symmetry=group)
    assert np.median(errors.angles) == pytest.approx(2.0, abs=0.3) and errors.angles.max() < 4
    if group != "C1":
        assert np.median(pose_errors(matrix_to_euler(mates), matrix_to_euler(true), common_frame=False).angles) > 30


@pytest.mark.parametrize(("angles", "true", "shifts", "moves"), [
    (np.zeros((3, 3)), np.zeros((2, 3)), None, None), (np.zeros((0, 3)), np.zeros((0, 3)), None, None),
    (np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((2, 2)), np.zeros((3, 2))),
    (np.full((3, 3), np.nan), np.zeros((3, 3)), None, None)])
def test_poses_that_cannot_be_compared_are_a_sentence(angles, true, shifts, moves):
    """Other particles, none at all, or NaN for those that a program gave up."""
    with pytest.raises(InputError):
        pose_errors(angles, true, shifts, moves)
