"""Turning and moving pixels: against exact quarter turns, closed forms, and each other."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.microscope.realspace import project_by_sums, rotate, rotate_map, shift


def gaussian(n, centre, sigma):
    """exp(-|r - centre|² / 2σ²), pixels from the box centre, x first."""
    axis = np.arange(n) - n // 2
    grids = np.meshgrid(*[axis] * len(centre), indexing="ij")[::-1]
    return np.exp(-sum((g - c) ** 2 for g, c in zip(grids, centre)) / (2 * sigma**2))


@pytest.mark.parametrize("psi", [0.0, 15.0, 90.0, -120.0])
def test_a_spot_goes_where_the_matrix_sends_it(psi):
    """The sense of psi, on a picture that students see: lesson, slices and RELION have to agree."""
    n, place = 32, np.array([5.0, 2.0])
    there = euler_to_matrix([0, 0, psi])[:2, :2] @ place
    np.testing.assert_allclose(rotate(gaussian(n, place, 2.0), psi), gaussian(n, there, 2.0), atol=2e-3)
    assert np.abs(rotate(gaussian(n, place, 2.0), psi, order=1) - gaussian(n, there, 2.0)).max() < 0.06


@pytest.mark.parametrize(("shape", "says"), [((5, 8, 8), "one by one"), ((8, 6), r"\(8, 6\)"), ((8,), "one square")])
def test_what_is_not_one_image_is_refused_in_our_own_words(shape, says):
    """A learner who hands over a whole stack would meet SciPy's words about the rows of an affine matrix."""
    with pytest.raises(InputError, match=says):
        rotate(np.zeros(shape), 30.0)


def test_one_angle_gives_an_image_and_several_give_a_stack():
    """Shapes that depend on the question, as documented."""
    image = gaussian(8, (1.0, 0.0), 1.5)
    assert rotate(image, 30.0).shape == (8, 8) and rotate(image, 30.0).dtype == np.float32
    stack = rotate(image, [0.0, 30.0, 60.0])
    assert stack.shape == (3, 8, 8)
    np.testing.assert_array_equal(stack[1], rotate(image, 30.0))
    np.testing.assert_allclose(stack[0], image, atol=1e-6)


@pytest.mark.parametrize("angles", [[30.0, 0, 0], [0, 50.0, 0], [20.0, 110.0, -75.0]])
def test_a_blob_of_a_map_goes_where_the_matrix_sends_it(angles):
    """Rotating the map and reading its projections must mean the same pose."""
    n, place, sigma = 24, np.array([3.0, -2.0, 1.0]), 2.0
    there = euler_to_matrix(angles) @ place
    np.testing.assert_allclose(rotate_map(gaussian(n, place, sigma), angles), gaussian(n, there, sigma), atol=3e-3)
    projected = gaussian(n, there[:2], sigma) * sigma * np.sqrt(2 * np.pi)
    found = project_by_sums(gaussian(n, place, sigma), [angles, [0, 0, 0]])
    assert found.shape == (2, n, n)
    np.testing.assert_allclose(found[0], projected, atol=0.002 * projected.max())


def test_no_rotation_adds_up_the_columns():
    """The first projection that anybody makes."""
    density = np.random.default_rng(1).random((8, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(project_by_sums(density, [0, 0, 0])[0], density.sum(axis=0), rtol=1e-5)


def test_whole_pixels_move_as_np_roll():
    """To the last pixel, noise and Nyquist included; +x is to the right and +y is down the rows."""
    images = np.random.default_rng(2).standard_normal((3, 12, 12)).astype(np.float32)
    moves = np.array([[2, -1], [0, 5], [-3, 4]])
    for image, found, (x, y) in zip(images, shift(images, moves), moves):
        np.testing.assert_allclose(found, np.roll(image, (y, x), axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(shift(images, (1, 2)), np.roll(images, (2, 1), axis=(1, 2)), atol=1e-6)


def test_parts_of_pixels_move_a_gaussian_where_the_formula_says():
    """Interpolation without loss, for an image that ends before Nyquist."""
    found = shift(gaussian(32, (1.0, -2.0), 2.5)[None], (0.3, -0.7))
    np.testing.assert_allclose(found[0], gaussian(32, (1.3, -2.7), 2.5), atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("move", [(0.5, 0.0), (0.0, 0.5), (0.25, -1.75)])
def test_rows_and_columns_are_alike(move):
    """Half a pixel breaks what is at Nyquist: x and y, and both signs, have to treat it in the same way."""
    images = np.random.default_rng(3).standard_normal((2, 8, 8)).astype(np.float32)
    swapped = shift(images.transpose(0, 2, 1), move[::-1]).transpose(0, 2, 1)
    np.testing.assert_allclose(shift(images, move), swapped, atol=1e-6)
    flipped = np.roll(images[:, ::-1, ::-1], (1, 1), axis=(1, 2))  # (x, y) -> (-x, -y), centre kept
    back = np.roll(shift(flipped, (-move[0], -move[1]))[:, ::-1, ::-1], (1, 1), axis=(1, 2))
    np.testing.assert_allclose(shift(images, move), back, atol=1e-6)
