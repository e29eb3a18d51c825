"""Slices and their adjoint: against loops over the whole transform, inner products, and real space."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

from cryoedu.geometry.euler import euler_to_matrix, random_rotations
from cryoedu.geometry.fourier import components, fourier, gather, scatter
from cryoedu.microscope.projection import (
    backproject,
    half_shape,
    padded_fourier,
    project,
    transform,
    transform_adjoint,
)
from cryoedu.microscope.realspace import project_by_sums, rotate
from cryoedu.microscope.slices import extract, insert, insert_into


def poses(ndim, count, seed=1):
    rng = np.random.default_rng(seed)
    if ndim == 3:
        return random_rotations(count, rng)
    return euler_to_matrix(np.column_stack([np.zeros((count, 2)), rng.uniform(-180, 180, count)]))


def blobs(n, ndim, seed=2):
    """An asymmetric, smooth density that ends well inside the box."""
    rng = np.random.default_rng(seed)
    axis = np.arange(n) - n // 2
    out = np.zeros((n,) * ndim)
    for _ in range(6):
        centre, sigma, mass = rng.uniform(-n / 5, n / 5, ndim), rng.uniform(1.5, 2.5), rng.uniform(0.5, 2)
        r2 = sum((g - c) ** 2 for g, c in zip(np.meshgrid(*[axis] * ndim, indexing="ij", sparse=True), centre))
        out += mass * np.exp(-r2 / (2 * sigma**2))
    return out


def inner(a, b):
    return float(np.sum(np.conj(a) * b).real)


@pytest.mark.parametrize("padding", [1, 2, 3])
@pytest.mark.parametrize("ndim", [2, 3])
def test_projection_and_insertion_are_adjoint(ndim, padding):
    """The maximisation step's gradient: unless it is the adjoint, refinement converges to the wrong map."""
    n, rng = 12, np.random.default_rng(3)
    parts, rotations = components(n), poses(ndim, 80)
    maps = rng.standard_normal((2, *(n,) * ndim))
    slices = rng.standard_normal((2, 80, len(parts))) + 1j * rng.standard_normal((2, 80, len(parts)))
    forward = project(maps, rotations, parts, padding)
    back = backproject(slices, rotations, parts, ndim, padding)
    assert forward.shape == slices.shape and back.shape == maps.shape
    size = np.linalg.norm(forward) * np.linalg.norm(slices)
    assert abs(inner(forward, slices) - inner(maps, back)) < 1e-10 * size


@pytest.mark.parametrize("most", [None, 1, 4])
@pytest.mark.parametrize("padding", [1, 2, 3])
@pytest.mark.parametrize("ndim", [2, 3])
def test_transform_and_its_adjoint(ndim, padding, most):
    """Each half of the adjoint by itself, so that a failure says which."""
    n, rng = 10, np.random.default_rng(4)
    maps = rng.standard_normal((2, *(n,) * ndim))
    half = transform(maps, padding, most)
    assert half.shape == (2, *half_shape(n, ndim, padding, most))
    other = rng.standard_normal(half.shape) + 1j * rng.standard_normal(half.shape)
    back = transform_adjoint(other, n, ndim, padding)
    assert abs(inner(half, other) - inner(maps, back)) < 1e-10 * np.linalg.norm(half) * np.linalg.norm(other)


@pytest.mark.parametrize("most", [None, 3, 9])
@pytest.mark.parametrize("ndim", [2, 3])
def test_products_with_waves_are_a_padded_fft(ndim, most):
    """A product that counts voxels from elsewhere than the FFT does would turn the phases of every slice."""
    n, wide = 10, 20
    maps = np.random.default_rng(12).standard_normal((2, *(n,) * ndim))
    shape = half_shape(n, ndim, 2, most)
    expected = fourier(np.pad(maps, [(0, 0)] + [(n // 2, n // 2)] * ndim), ndim)
    kept = np.arange(wide) if most is None else np.r_[: most + 1, wide - most : wide]
    for axis in range(1, ndim):
        expected = np.take(expected, kept, axis=axis)
    np.testing.assert_allclose(padded_fourier(maps, shape, 2), expected[..., : shape[-1]], atol=1e-12)


@pytest.mark.parametrize("radius", [1, 4, 7])
@pytest.mark.parametrize("ndim", [2, 3])
def test_slices_need_no_frequency_beyond_their_reach(ndim, radius):
    """Half volumes hold what slices touch and no more: one voxel less would read the wrong side of the map."""
    n = 16
    parts, rotations = components(n, radius), poses(ndim, 60)
    maps = np.random.default_rng(13).standard_normal((2, *(n,) * ndim))
    whole = extract(transform(maps), rotations, parts.kx, parts.ky, 2)
    np.testing.assert_allclose(project(maps, rotations, parts), whole, atol=1e-11)
    sums, _ = insert(whole, None, rotations, parts.kx, parts.ky, 2, half_shape(n, ndim))
    np.testing.assert_allclose(backproject(whole, rotations, parts, ndim), transform_adjoint(sums, n, ndim), atol=1e-9)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("ndim", [2, 3])
def test_extraction_and_insertion_are_adjoint_and_weights_are_spread_alike(ndim, threads):
    """Numerator and denominator of the map must be spread over the same voxels in the same shares, by any number
    of threads."""
    import numba

    n, rng = 8, np.random.default_rng(5)
    parts, rotations = components(n), poses(ndim, 200)
    shape = half_shape(n, ndim)
    volume = rng.standard_normal((2, *shape)) + 1j * rng.standard_normal((2, *shape))
    slices = rng.standard_normal((2, 200, len(parts))) + 1j * rng.standard_normal((2, 200, len(parts)))
    weights = rng.random((2, 200, len(parts)))
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    try:
        sums, totals = insert(slices, weights, rotations, parts.kx, parts.ky, 2, shape)
        read = extract(volume, rotations, parts.kx, parts.ky, 2)
    finally:
        numba.set_num_threads(before)
    assert inner(read, slices) == pytest.approx(inner(volume, sums), rel=1e-12)
    assert totals.sum() == pytest.approx(weights.sum())  # eight shares of each make one
    # weights are real, so a map whose values are the weights themselves receives the same shares
    without_mates, none = insert(weights.astype(np.complex128), None, rotations, parts.kx, parts.ky, 2, shape)
    assert none is None
    np.testing.assert_allclose(without_mates.real, totals, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_inserted_into_a_sum_adds_to_it(threads):
    """A batch is inserted lot by lot: a lot that replaced the one before would lose its images, without a word."""
    import numba

    n, rng = 8, np.random.default_rng(6)
    parts, rotations, shape = components(n), poses(3, 200), half_shape(n, 3)
    slices = (rng.standard_normal((1, 200, len(parts))) + 1j * rng.standard_normal((1, 200, len(parts))))
    slices, weights = slices.astype(np.complex64), rng.random((1, 200, len(parts)))
    sums, totals = np.ones((1, *shape), dtype=np.complex64), np.full((1, *shape), 2, dtype=np.float32)
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    try:
        for lot in (slice(0, 150), slice(150, 200)):
            insert_into(sums, totals, slices[:, lot], weights[:, lot], rotations[lot], parts.kx, parts.ky, 2)
        insert_into(sums, None, slices, None, rotations, parts.kx, parts.ky, 2)
    finally:
        numba.set_num_threads(before)
    whole, whole_totals = insert(slices, weights, rotations, parts.kx, parts.ky, 2, shape)
    np.testing.assert_allclose(sums, 1 + 2 * whole, atol=1e-4)
    np.testing.assert_allclose(totals, 2 + whole_totals, atol=1e-4)


@pytest.mark.parametrize("ndim", [2, 3])
def test_slices_are_trilinear_readings_of_the_whole_transform(ndim):
    """Half volumes and conjugate mates save memory; what is read must be as if there were no such trick."""
    n, padding = 8, 2
    wide = n * padding
    parts, rotations = components(n), poses(ndim, 6)
    density = np.random.default_rng(6).standard_normal((n,) * ndim)
    axis = (np.arange(n) - n // 2) / wide
    correction = np.ones((n,) * ndim)
    for k in range(ndim):
        correction = correction / np.sinc(axis).reshape([-1 if i == k else 1 for i in range(ndim)]) ** 2
    padded = np.pad(density * correction, (wide - n) // 2)
    whole = np.fft.fftn(np.fft.ifftshift(padded))
    if ndim == 2:
        whole = whole[None]
    found = project(density[None], rotations, parts, padding)[0]
    for o, rotation in enumerate(rotations):
        for j in range(len(parts)):
            x, y, z = padding * (rotation.T @ [parts.kx[j], parts.ky[j], 0])
            value = 0j
            for dx in (0, 1):
                for dy in (0, 1):
                    for dz in (0, 1):
                        cx, cy, cz = (int(np.floor(v)) + d for v, d in ((x, dx), (y, dy), (z, dz)))
                        share = (1 - abs(x - cx)) * (1 - abs(y - cy)) * (1 - abs(z - cz))
                        if share > 0:
                            value += share * whole[cz % whole.shape[0], cy % wide, cx % wide]
            assert found[o, j] == pytest.approx(value, abs=1e-10)


@pytest.mark.parametrize("ndim", [2, 3])
def test_float32_agrees_with_float64(ndim):
    """Everything is computed in float32: projections and insertions keep to 1e-6 of their largest value."""
    n, rng = 16, np.random.default_rng(7)
    parts, rotations = components(n), poses(ndim, 200)
    maps = blobs(n, ndim)[None]
    double = project(maps, rotations, parts)
    single = project(maps.astype(np.float32), rotations, parts)
    assert single.dtype == np.complex64 and double.dtype == np.complex128
    assert np.abs(single - double).max() < 1e-6 * np.abs(double).max()
    slices = (rng.standard_normal(double.shape) + 1j * rng.standard_normal(double.shape)).astype(np.complex64)
    back = backproject(slices, rotations, parts, ndim)
    exact = backproject(slices.astype(np.complex128), rotations, parts, ndim)
    assert back.dtype == np.float32
    assert np.abs(back - exact).max() < 2e-6 * np.abs(exact).max()


def test_the_view_along_z_is_the_sum_along_z():
    """Grey values add up voxel by voxel: the scale between images and maps.

    A slice through grid points is where the correction of the interpolation is too strong: by less the more padding.
    """
    n = 16
    density, parts = blobs(n, 3), components(n)
    sums = gather(density.sum(axis=0)[None], parts)[0]
    off = [np.abs(project(density[None], np.eye(3)[None], parts, padding)[0, 0] - sums).max() / sums[0].real
           for padding in (2, 4, 8)]
    assert off[0] < 0.08 and off[1] < off[0] / 3.5 and off[2] < off[1] / 3.5


@pytest.mark.parametrize("psi", [90.0, 33.0, -70.0])
def test_turning_an_image_by_hand_is_what_its_slices_do(psi):
    """Lesson and engine must turn the same way round: an opposite sense would look right and never align."""
    n = 32
    parts = components(n)
    image = blobs(n, 2, seed=8)
    by_hand = rotate(image, psi)
    by_slices = scatter(project(image[None], euler_to_matrix([[0, 0, psi]]), parts)[0], parts)[0]
    size = np.linalg.norm(by_hand)
    assert np.linalg.norm(by_slices - by_hand) < 0.04 * size  # trilinear interpolation at padding 2; measured 0.02
    assert np.linalg.norm(by_slices - rotate(image, -psi)) > 0.5 * size


@pytest.mark.parametrize("angles", [[0, 0, 40.0], [20.0, 0, 0], [40.0, 70.0, -25.0], [0, 180.0, 0]])
def test_slices_are_the_sums_along_the_line_of_sight(angles):
    """The fast projector and the one that turns voxels and adds columns see the same view."""
    n = 32
    parts = components(n)
    density = blobs(n, 3, seed=9)
    found = scatter(project(density[None], euler_to_matrix([angles]), parts)[0], parts)[0]
    expected = project_by_sums(density, angles)[0]
    assert np.linalg.norm(found - expected) < 0.06 * np.linalg.norm(expected)  # measured: 0.02, along the axes 0.055


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_strict_array_standard_goes_in_and_comes_out(ndim):
    """What only NumPy accepts would fail on a GPU, where no continuous integration looks."""
    n = 8
    parts, rotations = components(n), poses(ndim, 5)
    maps = np.random.default_rng(10).standard_normal((2, *(n,) * ndim))
    strict = array_api_strict.asarray(maps)
    slices = project(strict, rotations, parts)
    back = backproject(slices, rotations, parts, ndim)
    assert isinstance(slices, type(strict)) and isinstance(back, type(strict))
    expected = project(maps, rotations, parts)
    np.testing.assert_allclose(np.asarray(slices), expected, atol=1e-12)
    np.testing.assert_allclose(np.asarray(back), backproject(expected, rotations, parts, ndim), atol=1e-10)
    weights = array_api_strict.asarray(np.ones(expected.shape))
    _, totals = insert(slices, weights, rotations, parts.kx, parts.ky, 2, half_shape(n, ndim))
    assert isinstance(totals, type(strict))


def test_a_map_turned_and_projected_is_the_map_projected_from_there():
    """Projection knows only the product of the two rotations; the frame of the map is nobody's business."""
    n = 24
    parts = components(n, 8)
    density = blobs(n, 3, seed=11)
    density[:, 0] = density[:, :, 0] = 0  # faces without a mate across the centre
    quarter = euler_to_matrix([90.0, 0.0, 0.0])  # (x, y) -> (y, -x)
    turned = np.zeros_like(density)
    turned[:, 1:, 1:] = density.transpose(0, 2, 1)[:, ::-1, :][:, :-1, 1:]
    rotations = poses(3, 10)
    expected = project(density[None], rotations @ quarter, parts)
    np.testing.assert_allclose(project(turned[None], rotations, parts), expected, atol=1e-10 * np.abs(expected).max())
