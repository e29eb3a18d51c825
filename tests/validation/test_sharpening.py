"""B-factors: halves of white maps with a known decay put in, the same decay found and taken out."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, inverse, radial_mean, shells
from cryoedu.validation.fsc import fsc, fsc_to_whole
from cryoedu.validation.sharpening import guinier_fit, sharpen

BOX, PIXEL = 48, 1.5
S = np.arange(BOX // 2 + 1) / (BOX * PIXEL)


def white(seed=1):
    return np.random.default_rng(seed).standard_normal((BOX,) * 3)


def damped(density, b):
    radius = shells(BOX, 3) / (BOX * PIXEL)
    return inverse(fourier(density, 3) * np.exp(-b * radius**2 / 4), 3)


def amplitudes(density):
    return radial_mean(np.abs(fourier(np.asarray(density, dtype=np.float64), 3)), BOX, 3)


def noisy_halves(signal, sigma):
    return [signal + sigma * white(seed) for seed in (2, 3)]


@pytest.mark.parametrize("b", [0.0, 60.0, 200.0])
def test_a_known_decay_is_found(b):
    """The number that says how much detail a microscope and a refinement have lost."""
    half = damped(white(), b)
    fit = guinier_fit(half, half, PIXEL, 3.2)
    assert fit.b_factor == pytest.approx(b, abs=4)
    assert fit.s2[0] >= 0.01 - 1e-9 and fit.s2[-1] <= 1 / 3.2**2 + 1e-9
    if b:
        assert fit.correlation < -0.98
        line = fit.intercept - b / 4 * fit.s2
        np.testing.assert_allclose(line, fit.log_amplitude, atol=0.15)


@pytest.mark.parametrize("given", [True, False])
def test_noise_does_not_flatten_the_decay(given):
    """Without the weights a noisy map seems to have lost less than it has, and would be sharpened too little."""
    b, signal, sigma = 150.0, white(), 0.12
    halves = noisy_halves(damped(signal, b), sigma)
    ssnr = np.exp(-b * S**2 / 2) / sigma**2
    curve = ssnr / (1 + ssnr) if given else None
    assert guinier_fit(*halves, PIXEL, 3.2, fsc=np.ones(BOX // 2 + 1)).b_factor < 125
    assert guinier_fit(*halves, PIXEL, 3.2, fsc=curve).b_factor == pytest.approx(b, abs=8)


def share_of(source, density):
    """What part of the source each shell of a map has: the slope of a line through their components."""
    f, g = fourier(source, 3), fourier(np.asarray(density, dtype=np.float64), 3)
    return radial_mean((g * np.conj(f)).real, BOX, 3) / radial_mean(np.abs(f) ** 2, BOX, 3)


def test_a_sharpened_map_has_of_each_shell_what_the_weight_leaves():
    """With the right B the decay is gone, and √(2F/(1 + F)) is all that is lost. A map that its prior has filtered is
    weighed a second time, and keeps an eighth of the detail at F = 0.143 instead of a half."""
    b, signal, sigma = 120.0, white(), 0.6
    halves = noisy_halves(damped(signal, b), sigma)
    ssnr = np.exp(-b * S**2 / 2) / sigma**2  # of a half
    curve = ssnr / (1 + ssnr)
    found = share_of(signal, sharpen(*halves, PIXEL, b, None, fsc=curve))
    left = fsc_to_whole(curve)
    np.testing.assert_allclose(found[4:], left[4:], atol=0.06)  # what chance leaves of the noise in a shell
    assert (np.abs(found - left**3)[left < 0.9] > 0.06).sum() > 10


def test_sharpening_undoes_the_decay_and_stops_at_the_resolution():
    """A sharpened map has its amplitudes back up to the resolution, and none of the noise beyond it."""
    source = white()
    half = damped(source, 120.0)
    found = sharpen(half, half, PIXEL, 120.0, 4.5)
    assert found.dtype == np.float32
    kept = np.arange(BOX // 2 + 1) <= BOX * PIXEL / 4.5 - 1
    gone = np.arange(BOX // 2 + 1) >= BOX * PIXEL / 4.5 + 1
    np.testing.assert_allclose(amplitudes(found)[kept], amplitudes(source)[kept], rtol=1e-3)
    assert (amplitudes(found)[gone] < 1e-3 * amplitudes(source)[gone]).all()
    assert (fsc(found, source)[kept] > 0.9999).all()
    np.testing.assert_allclose(amplitudes(sharpen(source, source, PIXEL, -120.0, None)), amplitudes(half), rtol=1e-3)


def test_shells_are_weighed_by_what_their_halves_agree_on():
    """√(2F/(1 + F)), and nothing beyond the first shell without agreement, whatever chance brings later."""
    curve = np.linspace(1, 0.1, BOX // 2 + 1)
    source = white()
    found = amplitudes(sharpen(source, source, PIXEL, 0.0, None, fsc=curve)) / amplitudes(source)
    np.testing.assert_allclose(found[1:], fsc_to_whole(curve)[1:], rtol=1e-3)
    curve[10] = -0.02
    found = amplitudes(sharpen(source, source, PIXEL, 0.0, None, fsc=curve)) / amplitudes(source)
    assert (found[10:] < 1e-4).all() and found[9] > 0.5


@pytest.mark.parametrize(("call", "message"), [
    (lambda: guinier_fit(white(), white(), PIXEL, 9.5), "cannot be fitted"),
    (lambda: guinier_fit(*np.zeros((2, BOX, BOX, BOX)), PIXEL, 4.0), "cannot be fitted"),
    (lambda: guinier_fit(white(), white(), PIXEL, 4.0, fsc=np.ones(5)), "5 shells"),
    (lambda: guinier_fit(white(), white()[:8, :8, :8], PIXEL, 4.0), "two halves"),
    (lambda: sharpen(white(), white(), PIXEL, np.nan, 4.0), "B-factor"),
    (lambda: sharpen(white(), white(), PIXEL, 10.0, 0.0), "resolution"),
    (lambda: sharpen(white(), white(), PIXEL, 10.0, None, fsc=np.ones(5)), "5 shells"),
    (lambda: sharpen(white(), white()[:8, :8, :8], PIXEL, 10.0, None), "two halves"),
    (lambda: sharpen(white()[0], white()[0], PIXEL, 10.0, None), "cubic")])
def test_what_cannot_be_sharpened_is_a_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()
