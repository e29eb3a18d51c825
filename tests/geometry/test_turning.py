"""Turning maps: Gaussians, whose turned forms are known, and the projector, which turns in its own way."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix, random_rotations
from cryoedu.geometry.fourier import components, fourier, gather, inverse, shells
from cryoedu.geometry.masks import soft_sphere
from cryoedu.geometry.turning import mirrored, turned, turned_each
from cryoedu.microscope.projection import project
from cryoedu.validation.fsc import fsc

BOX = 32
R = euler_to_matrix([25.0, 60.0, -100.0])


def blobs(places, box=BOX, sigma=1.5):
    """Gaussians at ``places`` (M, 3) x, y, z in pixels from the centre, of different weights."""
    axis = np.arange(box) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return sum((1 + i) * np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / (2 * sigma**2))
               for i, (a, b, c) in enumerate(places)).astype(np.float32)


PLACES = np.array([[6.0, 1.0, -2.0], [-3.0, 5.5, 2.0], [0.0, -4.0, 5.0]])


def test_what_was_at_p_comes_to_r_p_plus_shift():
    """Every comparison of maps rests on this sentence; with the inverse rotation all angles come out reversed."""
    shift = np.array([1.3, -2.0, 0.6])
    found = turned(blobs(PLACES), R, 2.5 * shift, pixel_size=2.5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, blobs(PLACES @ R.T + shift), atol=0.004)


def test_the_other_hand_keeps_its_centre():
    """A mirror image that is off by a voxel costs half a voxel in every shift found afterwards."""
    np.testing.assert_allclose(mirrored(blobs(PLACES)), blobs(PLACES * [1, 1, -1]), atol=1e-6)
    noise = np.random.default_rng(1).standard_normal((BOX,) * 3).astype(np.float32)
    np.testing.assert_array_equal(mirrored(mirrored(noise)), noise)


def test_a_turned_map_projects_as_the_map_does_from_there():
    """One meaning of an orientation for maps and for particles."""
    parts = components(BOX, 8)
    there = project(blobs(PLACES)[None], R[None], parts)[0, 0, 1:]
    here = gather(turned(blobs(PLACES), R).sum(axis=0)[None], parts)[0, 1:]
    assert np.abs(there - here).max() < 0.02 * np.abs(here).max()


def test_turning_there_and_back_keeps_the_details():
    """Blurring by interpolation would be taken for a lack of resolution when maps are compared."""
    rng = np.random.default_rng(2)
    noise = fourier(rng.standard_normal((BOX,) * 3), 3)
    detail = inverse(noise * (shells(BOX, 3) < 0.8 * BOX / 2), 3) * soft_sphere(BOX, 1, 22, edge_pixels=4)
    there = turned(detail, R)
    back = turned(there, R.T)
    inner = soft_sphere(BOX, 1, 22, edge_pixels=4)
    assert (fsc(back * inner, detail * inner)[1:14] > 0.998).all()
    assert np.linalg.norm(back * inner) == pytest.approx(np.linalg.norm(detail * inner), rel=0.02)
    for one, other in zip(turned_each(detail, np.stack([R, R.T])), (there, turned(detail, R.T))):
        np.testing.assert_array_equal(one, other)


def test_the_identity_and_whole_voxels_change_nothing():
    smooth = blobs(PLACES)
    np.testing.assert_allclose(turned(smooth, np.eye(3)), smooth, atol=0.002)
    np.testing.assert_allclose(turned(smooth, np.eye(3), [3, 0, -2]), np.roll(smooth, (-2, 3), (0, 2)), atol=0.002)


@pytest.mark.parametrize(("density", "rotation", "message"), [
    (np.zeros((8, 8)), R, "cubic"), (np.zeros((7, 7, 7)), R, "even"), (np.full((8, 8, 8), np.nan), R, "NaN"),
    (np.zeros((8, 8, 8)), 2 * R, "rotation matrix"), (np.zeros((8, 8, 8)), [10, 20, 30], "rotation matrix")])
def test_what_cannot_be_turned_is_a_sentence(density, rotation, message):
    with pytest.raises(InputError, match=message):
        turned(density, rotation)
    with pytest.raises(InputError, match=message):
        list(turned_each(density, [rotation]))


def test_random_rotations_turn_without_growing():
    """Turned about the centre, a ball stays the ball it is."""
    ball = soft_sphere(BOX, 1, 18, edge_pixels=5)
    for turn in random_rotations(3, np.random.default_rng(3)):
        np.testing.assert_allclose(turned(ball, turn), ball, atol=0.02)
