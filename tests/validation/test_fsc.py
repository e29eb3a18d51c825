"""Fourier shell correlation against closed forms and RELION's own curves."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, inverse, shells
from cryoedu.geometry.masks import soft_sphere
from cryoedu.validation.fsc import fsc, fsc_to_whole, resolution, resolution_text

RELION = Path(__file__).resolve().parents[1] / "data" / "relion"
BOX = 24


def noise(ndim, seed, box=BOX):
    return np.random.default_rng(seed).standard_normal((box,) * ndim)


def components(ndim, box=BOX):
    """Independent components in each shell: half of those in the whole transform."""
    return np.bincount(shells(box, ndim).ravel())[: box // 2 + 1] * 1.0


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_map_with_itself_is_1_whatever_its_scale(ndim):
    """Brightness is no resemblance, and a negative is a negative."""
    a = noise(ndim, 1)
    for b, expected in ((a, 1), (3.7 * a, 1), (-a, -1)):
        curve = fsc(a, b)
        assert curve.shape == (BOX // 2 + 1,)
        np.testing.assert_allclose(curve, expected)
    np.testing.assert_allclose(fsc(a, a + 5)[1:], 1)  # a background is in DC alone


@pytest.mark.parametrize("ndim", [2, 3])
def test_independent_noise_scatters_about_0_by_one_over_root_n(ndim):
    """The level below which a correlation means nothing."""
    curves = np.array([fsc(noise(ndim, seed), noise(ndim, 1000 + seed)) for seed in range(60)])
    spread = 1 / np.sqrt(2 * components(ndim))  # real and imaginary parts
    assert (np.abs(curves.mean(axis=0))[2:] < 5 * spread[2:] / np.sqrt(60)).all()
    assert (np.abs(curves.std(axis=0) / spread - 1)[2:] < 0.45).all()


@pytest.mark.parametrize("ssnr", [0.2, 1.0, 5.0])
def test_signal_with_noise_correlates_as_ssnr_over_one_plus_ssnr(ssnr):
    """The sentence that turns an FSC into a signal-to-noise ratio and a prior for refinement."""
    curves = []
    for seed in range(40):
        signal = noise(3, seed) * np.sqrt(ssnr)
        curves.append(fsc(signal + noise(3, 100 + seed), signal + noise(3, 200 + seed)))
    mean, spread = np.mean(curves, axis=0), 1 / np.sqrt(2 * components(3) * 40)
    assert (np.abs(mean - ssnr / (1 + ssnr))[3:] < 5 * spread[3:] + 0.005).all()
    truth = [fsc(s := noise(3, seed) * np.sqrt(ssnr), s + noise(3, 300 + seed)) for seed in range(40)]
    np.testing.assert_allclose(np.mean(truth, axis=0)[5:], np.sqrt(ssnr / (1 + ssnr)), atol=0.03)


def test_it_is_the_sum_written_out():
    """Brute force over the whole transform, no half planes."""
    n = 8
    a, b = noise(3, 1, n), noise(3, 2, n) + 0.5 * noise(3, 1, n)
    f, g = np.fft.fftn(a), np.fft.fftn(b)
    k = np.fft.fftfreq(n, 1 / n)
    shell = np.floor(np.sqrt(sum(np.meshgrid(k**2, k**2, k**2, indexing="ij"))) + 0.5).astype(int)
    expected = [np.sum(f[shell == s] * np.conj(g[shell == s])).real
                / np.linalg.norm(f[shell == s]) / np.linalg.norm(g[shell == s]) for s in range(n // 2 + 1)]
    np.testing.assert_allclose(fsc(a, b), expected)
    np.testing.assert_allclose(fsc(b, a), expected)


def test_relion_s_curve_is_ours():
    """The two programs' resolutions can be compared only if their curves are the same.

    RELION goes through its half volume, where the plane kx = 0 holds both members of each pair; counted so, its curve
    comes out to the last digit. Ours counts every pair once, and so differs by what that plane happens to say.
    """
    expected = starfile.read(RELION / "fsc_map.star")["rlnFourierShellCorrelation"].to_numpy()
    a, b = (mrcfile.read(RELION / name).astype(np.float64) for name in ("reconstruction.mrc", "map.mrc"))
    curve = fsc(a, b)
    np.testing.assert_allclose(curve, expected, atol=0.012)
    assert resolution(curve, 4.0) == pytest.approx(resolution(expected, 4.0), rel=0.02)
    f, g, shell = fourier(a, 3), fourier(b, 3), shells(32, 3)
    half = [np.sum(f[shell == s] * np.conj(g[shell == s])).real / np.linalg.norm(f[shell == s])
            / np.linalg.norm(g[shell == s]) for s in range(17)]
    np.testing.assert_allclose(half, expected, atol=2e-6)


def test_shells_without_signal_are_0_and_faint_ones_are_not():
    """A low-passed map says nothing beyond its edge; a map on a large background says all it says."""
    a = noise(3, 1)
    low = inverse(fourier(a, 3) * (shells(BOX, 3) <= 6), 3)
    curve = fsc(low, a)
    np.testing.assert_allclose(curve[:7], 1)
    np.testing.assert_array_equal(curve[7:], 0)
    np.testing.assert_array_equal(fsc(np.zeros_like(a), a), 0)
    b = a + 0.5 * noise(3, 2)
    np.testing.assert_allclose(fsc(a + 1e5, b + 1e5)[1:], fsc(a, b)[1:], atol=1e-6)
    faint = inverse(fourier(a, 3) * 10.0 ** -(shells(BOX, 3) / 1.5), 3)  # eight powers of ten, as a B factor leaves
    np.testing.assert_allclose(fsc(faint, faint), 1)


def test_a_mask_is_multiplied_into_both():
    """What lies outside has no say."""
    a, b = noise(3, 1), noise(3, 2)
    mask = soft_sphere(BOX, 1.0, 10.0)
    outside = np.where(mask > 0, 0.0, 1.0)
    np.testing.assert_allclose(fsc(a, b, mask=mask), fsc(a + 9 * outside * b, b - 7 * outside * a, mask=mask))
    np.testing.assert_allclose(fsc(a, b, mask=mask), fsc(a * mask, b * mask))
    np.testing.assert_allclose(fsc(a, b, mask=np.ones_like(mask)), fsc(a, b))


@pytest.mark.parametrize(("a", "b", "mask"), [
    (np.zeros((8, 8, 8)), np.zeros((6, 6, 6)), None), (np.zeros((8, 8)), np.zeros((8, 8, 8)), None),
    (np.zeros(8), np.zeros(8), None), (np.zeros((8, 6)), np.zeros((8, 6)), None),
    (np.zeros((7, 7)), np.zeros((7, 7)), None),
    (np.full((8, 8), np.nan), np.zeros((8, 8)), None), (np.ones((8, 8)), np.ones((8, 8)), np.ones((6, 6))),
    (np.ones((8, 8)), np.ones((8, 8)), np.full((8, 8), 7.0))])
def test_maps_that_cannot_be_compared_are_a_sentence(a, b, mask):
    """Other boxes, other dimensions, NaN, a density instead of a mask."""
    with pytest.raises(InputError):
        fsc(a, b, mask=mask)


def test_resolution_is_read_between_the_shells():
    """By hand: 10 shells of 100 Å box length; 0.143 is crossed a third of the way from shell 4 to 5."""
    curve = np.array([1, 1, 1, 0.9, 0.343, -0.257, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert resolution(curve, 5.0) == pytest.approx(100 / (4 + 1 / 3))
    assert resolution(curve, 5.0, threshold=0.5) == pytest.approx(100 / (3 + 0.4 / 0.557))
    assert resolution(curve, 10.0) == pytest.approx(2 * resolution(curve, 5.0))
    assert resolution_text(curve, 5.0) == "23.1 Å"
    # the first crossing counts, also where the curve comes back; DC is never looked at
    assert resolution(np.array([0, 1, 0.0, 1, 1]), 5.0) == pytest.approx(40 / (1 + 0.857))
    for background in (1.0, 0.0, -1.0):
        assert resolution(np.array([background, 0.0, 0, 0, 0]), 5.0) == pytest.approx(40 / 0.857)


def test_a_curve_that_never_falls_gives_no_number():
    """A number there would be a resolution that nobody measured."""
    curve = np.linspace(1, 0.2, 11)
    assert resolution(curve, 5.0) is None
    assert resolution_text(curve, 5.0) == "at or beyond Nyquist (10.0 Å)"


@given(st.floats(0, 100))
def test_half_maps_to_whole_map(ssnr):
    """Half the data have half the SSNR; against the truth a map of SSNR s correlates by √(s/(1 + s))."""
    half = (ssnr / 2) / (1 + ssnr / 2)
    assert float(fsc_to_whole(half)) == pytest.approx(np.sqrt(ssnr / (1 + ssnr)), abs=1e-7)


def test_0143_between_halves_is_05_against_the_truth():
    """The threshold that everybody quotes, and why."""
    assert float(fsc_to_whole(0.143)) == pytest.approx(0.5, abs=5e-4)
    np.testing.assert_array_equal(fsc_to_whole([-0.3, 0.0, 1.0]), [0, 0, 1])


def test_equal_maps_correlate_by_no_more_than_one():
    """Rounding made it 1 and a little, which STAR readers and arccos refuse."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        a = rng.standard_normal((8, 8, 8))
        assert np.abs(fsc(a, 3.7 * a)).max() <= 1 and np.abs(fsc(a, -0.3 * a)).max() <= 1
