"""Noise with the spectrum and the variance that were asked for: measured, and summed up by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, radial_mean
from cryoedu.microscope.noise import add_noise, circle, coloured, noise_spectrum, signal_variance, white

BOX, PIXEL = 24, 3.0


@pytest.mark.parametrize("spectrum", [white, coloured, lambda u: np.exp(-20 * u), lambda u: 3.0], ids=range(4))
@pytest.mark.parametrize("variance", [1.0, 2.5])
def test_the_spectrum_adds_up_to_the_variance_of_a_pixel(spectrum, variance):
    """Parseval over the whole square, corners included: what "noise of variance 1" promises."""
    sigma2 = noise_spectrum(BOX, PIXEL, spectrum, variance)
    assert sigma2.shape == (BOX // 2 + 1,)
    total = 0.0
    for ky in range(-BOX // 2, BOX // 2):
        for kx in range(-BOX // 2, BOX // 2):
            total += 2 * sigma2[min(int(np.hypot(kx, ky) + 0.5), BOX // 2)]
    assert total / BOX**4 == pytest.approx(variance)
    u = np.arange(BOX // 2 + 1) / (BOX * PIXEL)
    np.testing.assert_allclose(sigma2 / sigma2[0], spectrum(u) / spectrum(u)[0] if np.ndim(spectrum(u)) else 1)


def test_white_noise_is_n2_half_and_coloured_noise_falls_twelvefold():
    """The two spectra by their documented numbers."""
    np.testing.assert_allclose(noise_spectrum(BOX, PIXEL, white, 1.7), 1.7 * BOX**2 / 2)
    assert coloured(np.array([0.0]))[0] == 12.0
    assert coloured(np.array([1 / 40]))[0] == pytest.approx(6.5)
    assert coloured(np.array([10.0]))[0] == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("spectrum", [white, coloured])
def test_what_is_added_has_the_spectrum_that_is_stated(spectrum):
    """The truth that estimated noise is compared with has to be true."""
    count = 600
    sigma2 = noise_spectrum(BOX, PIXEL, spectrum, 1.5)
    noise = add_noise(np.zeros((count, BOX, BOX), dtype=np.float32), sigma2, np.random.default_rng(1))
    assert noise.dtype == np.float32
    measured = radial_mean(np.abs(fourier(noise)) ** 2, BOX, 2).mean(axis=0) / 2
    components = np.array([1] + [2 * np.pi * r for r in range(1, BOX // 2 + 1)]) / 2
    assert (np.abs(measured / sigma2 - 1) < 5 * np.sqrt(1 / (count * components))).all()
    assert noise.var() == pytest.approx(1.5, rel=0.02)
    assert abs(noise.mean()) < 5 * np.sqrt(2 * sigma2[0] / count) / BOX**2


def test_noise_is_added_to_the_images_and_the_seed_decides_it():
    """The same seed gives the same noise whatever the images are; another seed, another noise."""
    sigma2 = noise_spectrum(BOX, PIXEL, coloured, 1.0)
    images = np.random.default_rng(2).standard_normal((4, BOX, BOX)).astype(np.float32)
    alone = add_noise(np.zeros_like(images), sigma2, np.random.default_rng(3))
    np.testing.assert_allclose(add_noise(images, sigma2, np.random.default_rng(3)), images + alone, atol=1e-6)
    other = add_noise(np.zeros_like(images), sigma2, np.random.default_rng(4))
    assert abs(np.corrcoef(alone.ravel(), other.ravel())[0, 1]) < 0.2
    np.testing.assert_array_equal(add_noise(images, np.zeros(BOX // 2 + 1), np.random.default_rng(3)), images)


@pytest.mark.parametrize("spectrum", [lambda u: -np.ones_like(u), lambda u: 0 * u, lambda u: u * np.nan,
                                      lambda u: 0.1 - u, lambda u: 1 / u, lambda u: np.ones(3), lambda u: "white"],
                         ids=range(7))
def test_what_is_no_spectrum_is_a_sentence(spectrum):
    """People write their own: 1/u is infinite at 0, and a slip gives a negative power."""
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(InputError, match="noise spectrum"):
        noise_spectrum(BOX, PIXEL, spectrum, 1.0)


@pytest.mark.parametrize("fraction", [0.25, 0.8, 1.0])
def test_the_circle_is_a_circle_about_the_centre(fraction):
    """Every SNR in the package is measured in it."""
    inside = circle(BOX, fraction)
    for y in range(BOX):
        for x in range(BOX):
            assert inside[y, x] == (np.hypot(x - BOX // 2, y - BOX // 2) <= fraction * BOX / 2)


def test_signal_variance_is_the_mean_variance_of_the_pixels_inside():
    """Within each image, about its own mean: a background that differs between images is no signal."""
    images = np.random.default_rng(5).standard_normal((3, BOX, BOX)).astype(np.float32)
    images += np.array([0.0, 100.0, -7.0], dtype=np.float32)[:, None, None]
    inside = circle(BOX)
    expected = np.mean([np.var([float(v) for v in image[inside]]) for image in images])
    assert signal_variance(images, inside) == pytest.approx(expected, rel=1e-5)
