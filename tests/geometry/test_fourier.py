"""Fourier coordinates against sums written out, closed forms, and what must be conserved."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import (
    components,
    fourier,
    frequencies,
    gather,
    inverse,
    multiplicity,
    radial_mean,
    resize,
    scatter,
    shells,
    shift_phases,
)


def gaussian(n, centre, sigma, view=1.0):
    """exp(-|r - centre|² / 2σ²) on n pixels across a periodic ``view``; centre is x, y[, z] from the box centre."""
    axis = (np.arange(n) - n // 2) * view / n
    out = np.ones((n,) * len(centre))
    for i, c in enumerate(centre):
        shape = [1] * len(centre)
        shape[len(centre) - 1 - i] = n  # x is the last axis
        one = sum(np.exp(-((axis - c + lap * view) ** 2) / (2 * sigma**2)) for lap in (-1, 0, 1))
        out = out * one.reshape(shape)
    return out


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_transform_is_the_sum_with_its_origin_at_voxel_n_half(ndim):
    """Sign and origin of the transform carry every shift and every CTF phase of the package."""
    n = 6
    x = np.random.default_rng(1).standard_normal((n,) * ndim)
    f = fourier(x, ndim)
    place = np.stack(np.meshgrid(*[np.arange(n) - n // 2] * ndim, indexing="ij"))
    ks = np.broadcast_arrays(*frequencies(n, ndim))
    assert f.shape == (n,) * (ndim - 1) + (n // 2 + 1,) == ks[0].shape
    for index in np.ndindex(*f.shape):
        turns = sum(k[index] * r for k, r in zip(ks, place)) / n
        assert f[index] == pytest.approx(np.sum(x * np.exp(-2j * np.pi * turns)), abs=1e-12)


@pytest.mark.parametrize(("shape", "ndim"), [((8, 8), 2), ((3, 10, 10), 2), ((6, 6, 6), 3), ((2, 4, 4, 4), 3)])
def test_there_and_back(shape, ndim):
    """Whatever goes through Fourier space untouched comes back untouched, in its own precision."""
    x = np.random.default_rng(2).standard_normal(shape)
    np.testing.assert_allclose(inverse(fourier(x, ndim), ndim), x, atol=1e-14)
    single = x.astype(np.float32)
    back = inverse(fourier(single, ndim), ndim)
    assert fourier(single, ndim).dtype == np.complex64 and back.dtype == np.float32
    np.testing.assert_allclose(back, single, atol=1e-6)


def test_white_noise_has_the_power_that_sigma2_means():
    """σ² = n² s²/2 per real component: a factor of two here halves or doubles every weight of the likelihood."""
    n, count, s2 = 16, 2000, 2.5
    parts = components(n)
    noise = np.random.default_rng(3).standard_normal((count, n, n)) * np.sqrt(s2)
    values = gather(noise, parts)[:, 1:]
    sigma2 = n**2 * s2 / 2
    spread = np.sqrt(2 / count)  # of a variance measured `count` times
    for part in (values.real, values.imag):
        assert np.abs(np.mean(part**2, axis=0) / sigma2 - 1).max() < 5 * spread
        assert np.mean(part**2) / sigma2 == pytest.approx(1, abs=5 * spread / np.sqrt(values.shape[1]))
    # independent: real with imaginary parts, and neighbours with neighbours
    assert abs(np.mean(values.real * values.imag)) / sigma2 < 5 / np.sqrt(count * values.shape[1])
    assert np.abs(np.corrcoef(values.real.T) - np.eye(values.shape[1])).max() < 6 / np.sqrt(count)


@pytest.mark.parametrize(("box", "radius"), [(4, None), (6, None), (12, None), (16, None), (16, 5), (16, 0), (10, 99)])
def test_components_are_each_pair_of_conjugates_once(box, radius):
    """A component missed is data thrown away; one counted twice makes the posterior too sure of itself."""
    parts = components(box, radius)
    top = min(box // 2 if radius is None else radius, box // 2)
    assert (parts.kx[0], parts.ky[0], parts.shell[0]) == (0, 0, 0)  # DC first
    assert len(parts) == len(parts.kx) == len(parts.ky) == len(parts.shell) == len(parts.index)
    listed = set(zip(parts.kx.tolist(), parts.ky.tolist()))
    assert len(listed) == len(parts)
    for kx in range(-box // 2, box // 2 + 1):
        for ky in range(-box // 2, box // 2 + 1):
            length = np.hypot(kx, ky)
            wanted = length < box / 2 and int(length + 0.5) <= top  # Nyquist itself is out
            both = ((kx, ky) in listed) + ((-kx, -ky) in listed)
            assert both == (0 if not wanted else 2 if kx == ky == 0 else 1)
    np.testing.assert_array_equal(parts.shell, np.floor(np.hypot(parts.kx, parts.ky) + 0.5))
    assert (np.diff(parts.shell) >= 0).all()  # so that a smaller radius is a shorter list
    rows, columns = np.unravel_index(parts.index, (box, box // 2 + 1))
    np.testing.assert_array_equal(columns, parts.kx)
    np.testing.assert_array_equal(rows, parts.ky % box)


def test_a_smaller_radius_is_the_beginning_of_a_larger_one():
    """Refinements grow their radius from iteration to iteration and compare what they find."""
    small, large = components(20, 4), components(20, 9)
    np.testing.assert_array_equal(small.index, large.index[: len(small)])


@settings(max_examples=30, deadline=None)
@given(box=st.integers(2, 12).map(lambda h: 2 * h), seed=st.integers(0, 2**31))
def test_scatter_and_gather_undo_each_other_and_keep_the_energy(box, seed):
    """Parseval: n² pixels hold exactly what DC once and every other component twice holds."""
    parts = components(box)
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((2, len(parts))) + 1j * rng.standard_normal((2, len(parts)))
    values[:, 0] = values[:, 0].real
    images = scatter(values, parts)
    assert images.shape == (2, box, box) and images.dtype == np.float64
    np.testing.assert_allclose(gather(images, parts), values, atol=1e-12)
    power = np.abs(values) ** 2
    np.testing.assert_allclose(np.sum(images**2, axis=(1, 2)), (2 * power.sum(axis=1) - power[:, 0]) / box**2)
    # nothing but the listed components is in them
    whole = np.abs(np.fft.fft2(images)) ** 2
    np.testing.assert_allclose(whole.sum(axis=(1, 2)), 2 * power.sum(axis=1) - power[:, 0])


@pytest.mark.parametrize(("x", "y"), [(1, 0), (0, 1), (3, -2), (-5, 7), (16, 0)])
def test_whole_pixels_move_as_np_roll(x, y):
    """+x moves the content towards larger x: every shift in the package has this sign."""
    n = 16
    parts = components(n)
    image = scatter(gather(np.random.default_rng(4).standard_normal((1, n, n)), parts), parts)
    moved = scatter(gather(image, parts) * shift_phases([[x, y]], parts), parts)
    np.testing.assert_allclose(moved[0], np.roll(image[0], (y, x), axis=(0, 1)), atol=1e-12)


def test_parts_of_pixels_move_a_gaussian_where_the_formula_says():
    """Sub-pixel shifts are most of the shifts there are."""
    n, sigma = 32, 2.5
    parts = components(n)
    image = gaussian(n, (1.0, -2.0), sigma, view=n)
    shifts = np.array([[0.37, -1.81], [2.5, 0.5], [-0.25, 0.0]])
    moved = scatter(gather(image[None], parts) * shift_phases(shifts, parts), parts)
    for found, (x, y) in zip(moved, shifts):
        np.testing.assert_allclose(found, gaussian(n, (1.0 + x, -2.0 + y), sigma, view=n), atol=1e-7)


def test_shifts_add_up():
    """Undoing a known shift and searching around it is one shift, however it is split."""
    parts = components(12)
    a, b = np.random.default_rng(5).uniform(-3, 3, (2, 4, 2))
    np.testing.assert_allclose(shift_phases(a, parts) * shift_phases(b, parts), shift_phases(a + b, parts), atol=1e-13)
    np.testing.assert_allclose(shift_phases(-a, parts), np.conj(shift_phases(a, parts)), atol=1e-15)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(("n", "box"), [(32, 48), (32, 20), (32, 22), (30, 44), (26, 32), (28, 18), (24, 24)])
def test_resized_gaussians_keep_grey_values_and_centre(ndim, n, box):
    """A map brought to another pixel size must lie where it lay, as bright as it was."""
    centre = (0.07, -0.11, 0.05)[:ndim]
    found = resize(gaussian(n, centre, 0.1)[None], box, ndim)[0]
    np.testing.assert_allclose(found, gaussian(box, centre, 0.1), atol=1e-6)


@pytest.mark.parametrize("ndim", [2, 3])
def test_resizing_up_and_down_again_changes_only_the_nyquist_row(ndim):
    """Padding a transform adds nothing, so cutting it again has to give back what was there."""
    n = 10
    x = np.random.default_rng(6).standard_normal((2, *(n,) * ndim))
    same = resize(x, n, ndim)
    f, g = fourier(x, ndim), fourier(same, ndim)
    nyquist = np.zeros(f.shape[1:], dtype=bool)
    for k in frequencies(n, ndim):
        nyquist |= np.abs(k) == n // 2
    np.testing.assert_allclose(g[:, ~nyquist], f[:, ~nyquist], atol=1e-12)
    np.testing.assert_allclose(g[:, nyquist], 0, atol=1e-12)
    np.testing.assert_allclose(resize(resize(x, 16, ndim), n, ndim), same, atol=1e-13)
    np.testing.assert_allclose(same.mean(), x.mean(), atol=1e-14)


@pytest.mark.parametrize(("n", "box"), [(8, 7), (7, 8), (8, 0)])
def test_an_odd_box_is_refused(n, box):
    """An odd box has its centre and its Nyquist elsewhere: a map would come back moved by half a pixel."""
    with pytest.raises(InputError, match="even"):
        resize(np.ones((1, n, n)), box)


@pytest.mark.parametrize("ndim", [2, 3])
def test_radial_mean_is_the_mean_over_the_whole_transform(ndim):
    """Spectra, FSCs and noise estimates are all such means; half planes must count as whole ones."""
    n = 8
    x = np.random.default_rng(7).standard_normal((2, *(n,) * ndim))
    found = radial_mean(np.abs(fourier(x, ndim)) ** 2, n, ndim)
    assert found.shape == (2, n // 2 + 1)
    whole = np.abs(np.fft.fftn(x, axes=tuple(range(1, ndim + 1)))) ** 2
    k = np.fft.fftfreq(n, 1 / n)
    sums, counts = np.zeros((2, n)), np.zeros(n)
    for index in np.ndindex(*(n,) * ndim):
        shell = int(np.sqrt(sum(k[i] ** 2 for i in index)) + 0.5)
        sums[:, shell] += whole[(slice(None), *index)]
        counts[shell] += 1
    np.testing.assert_allclose(found, sums[:, : n // 2 + 1] / counts[: n // 2 + 1])


@pytest.mark.parametrize("ndim", [2, 3])
def test_multiplicity_counts_the_whole_transform(ndim):
    """A half plane weighed by it is the full plane: what goes wrong here goes wrong in Parseval's sum."""
    n = 10
    assert multiplicity(n, ndim).sum() == n**ndim
    x = np.random.default_rng(8).standard_normal((n,) * ndim)
    energy = np.sum(multiplicity(n, ndim) * np.abs(fourier(x, ndim)) ** 2) / n**ndim
    assert energy == pytest.approx(np.sum(x**2))
    assert shells(n, ndim).max() == int(np.sqrt(ndim) * n / 2 + 0.5)


def test_the_strict_array_standard_goes_in_and_comes_out():
    """What only NumPy accepts would fail on a GPU, where no continuous integration looks."""
    n = 12
    parts = components(n)
    image = np.random.default_rng(9).standard_normal((2, n, n))
    strict = array_api_strict.asarray(image)
    values = gather(strict, parts)
    for found, expected in ((values, gather(image, parts)),
                            (scatter(values, parts), scatter(gather(image, parts), parts)),
                            (resize(strict, 16), resize(image, 16)), (resize(strict, 8), resize(image, 8)),
                            (fourier(strict), fourier(image)), (inverse(fourier(strict)), image)):
        assert isinstance(found, type(strict))
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-13)


def test_what_is_shared_cannot_be_written_to():
    """These tables are kept and handed out again: one caller's scratch work would spoil everybody's geometry."""
    parts = components(8)
    for table in (shells(8), multiplicity(8), *frequencies(8), parts.index, parts.kx, parts.ky, parts.shell):
        with pytest.raises(ValueError, match="read-only"):
            table[...] = 0
