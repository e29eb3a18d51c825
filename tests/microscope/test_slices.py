"""Slices by each of the bodies that a CPU has: what one machine reads, and adds up, another one has to find too."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from cryoedu.geometry import trilinear
from cryoedu.geometry.euler import euler_to_matrix, random_rotations
from cryoedu.geometry.fourier import components
from cryoedu.microscope import slices, slices_numpy
from cryoedu.microscope.projection import PADDING, half_shape, reach, transform

BOX = 12
CASES = [(ndim, most) for ndim in (2, 3) for most in (3, None)]  # few shells, and all of them, where an axis is even



def problem(ndim, radius):
    rng = np.random.default_rng(1)
    parts = components(BOX, radius)
    in_plane = euler_to_matrix(np.outer(rng.uniform(-180, 180, 23), [0, 0, 1]))
    rotations = random_rotations(23, rng) if ndim == 3 else in_plane
    rotations[:2] = np.eye(3), np.diag([-1.0, -1.0, 1.0])  # exactly on the grid
    maps = rng.standard_normal((2, *(BOX,) * ndim)).astype(np.float32)
    values = (rng.standard_normal((2, 23, len(parts), 2)) @ [1, 1j]).astype(np.complex64)
    return transform(maps, most=reach(parts)), values, rng.random(values.shape).astype(np.float32), rotations, parts


@pytest.mark.parametrize(("ndim", "radius"), CASES)
def test_whole_arrays_read_what_compiled_loops_read(ndim, radius, monkeypatch):
    half, _, _, rotations, parts = problem(ndim, radius)
    compiled = slices.extract(half, rotations, parts.kx, parts.ky, PADDING)
    monkeypatch.setattr(slices, "on_cpu", slices_numpy)
    monkeypatch.setattr(slices_numpy, "POINTS", 100)
    plain = slices.extract(half, rotations, parts.kx, parts.ky, PADDING)
    assert plain.dtype == compiled.dtype
    np.testing.assert_allclose(plain, compiled, atol=1e-5 * np.abs(compiled).max())


@pytest.mark.parametrize(("ndim", "radius"), CASES)
@pytest.mark.parametrize("weighed", [True, False])
def test_whole_arrays_add_up_what_compiled_loops_add_up(ndim, radius, weighed, monkeypatch):
    _, values, weights, rotations, parts = problem(ndim, radius)
    shape = half_shape(BOX, ndim, most=reach(parts))
    work = values, weights if weighed else None, rotations, parts.kx, parts.ky, PADDING, shape
    compiled, compiled_weights = slices.insert(*work)
    monkeypatch.setattr(slices, "on_cpu", slices_numpy)
    monkeypatch.setattr(slices_numpy, "POINTS", 100)
    plain, plain_weights = slices.insert(*work)
    np.testing.assert_allclose(plain, compiled, atol=1e-5 * np.abs(compiled).max())
    assert (plain_weights is None) == (compiled_weights is None) == (not weighed)
    if weighed:
        np.testing.assert_allclose(plain_weights, compiled_weights, atol=1e-5 * compiled_weights.max())


def test_each_image_gets_the_slice_of_its_class():
    half, _, _, rotations, parts = problem(3, None)
    classes = np.array([1, 0] * 12)[:23]
    each = slices.extract_each(half, classes, rotations, parts.kx, parts.ky, PADDING)
    for one, k, rotation in zip(each, classes, rotations, strict=True):
        alone = slices.extract(half[k : k + 1], rotation[None], parts.kx, parts.ky, PADDING)[0, 0]
        np.testing.assert_array_equal(one, alone)


@pytest.mark.parametrize("shape", [(7, 6, 5), (1, 6, 5)])
def test_between_voxels_is_what_scipy_finds_there(shape):
    rng = np.random.default_rng(2)
    volumes = rng.standard_normal((2, *shape))
    points = rng.uniform(0, [4, 5, max(shape[0] - 1, 0)], (50, 3))
    found = trilinear.read(volumes, points.reshape(5, 10, 3))
    for one, volume in zip(found, volumes, strict=True):
        expected = map_coordinates(volume, points.T[::-1], order=1, mode="nearest")
        np.testing.assert_allclose(one.ravel(), expected, atol=1e-12)
    values = rng.standard_normal((2, 5, 10)) + 1j * rng.standard_normal((2, 5, 10))
    sums = np.zeros(volumes.shape, dtype=complex)
    trilinear.spread(sums, values, points.reshape(5, 10, 3))
    assert np.sum(sums * volumes) == pytest.approx(np.sum(values * found))  # the adjoint
