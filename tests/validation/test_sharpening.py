"""B-factors: white maps with a known decay put in, the same decay found and taken out."""

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


@pytest.mark.parametrize("b", [0.0, 60.0, 200.0])
def test_a_known_decay_is_found(b):
    """The number that says how much detail a microscope and a refinement have lost."""
    fit = guinier_fit(damped(white(), b), PIXEL, 3.2)
    assert fit.b_factor == pytest.approx(b, abs=4)
    assert fit.s2[0] >= 0.01 - 1e-9 and fit.s2[-1] <= 1 / 3.2**2 + 1e-9
    if b:
        assert fit.correlation < -0.98
        line = fit.intercept - b / 4 * fit.s2
        np.testing.assert_allclose(line, fit.log_amplitude, atol=0.15)


def test_noise_flattens_the_decay_unless_the_halves_weigh_it():
    """Without the weights a noisy map seems to have lost less than it has, and would be sharpened too little."""
    b, signal = 150.0, white()
    noise = [0.12 * white(2), 0.12 * white(3)]
    halves = [damped(signal, b) + n for n in noise]
    whole = (halves[0] + halves[1]) / 2
    ssnr = np.exp(-b * S**2 / 2) / 0.12**2
    curve = ssnr / (1 + ssnr)
    plain, weighed = (guinier_fit(whole, PIXEL, 3.2, fsc=c).b_factor for c in (None, curve))
    assert plain < 125
    assert weighed == pytest.approx(b, abs=8)


def test_sharpening_undoes_the_decay_and_stops_at_the_resolution():
    """A sharpened map has its amplitudes back up to the resolution, and none of the noise beyond it."""
    source = white()
    found = sharpen(damped(source, 120.0), PIXEL, 120.0, 4.5)
    assert found.dtype == np.float32
    kept = np.arange(BOX // 2 + 1) <= BOX * PIXEL / 4.5 - 1
    gone = np.arange(BOX // 2 + 1) >= BOX * PIXEL / 4.5 + 1
    np.testing.assert_allclose(amplitudes(found)[kept], amplitudes(source)[kept], rtol=1e-3)
    assert (amplitudes(found)[gone] < 1e-3 * amplitudes(source)[gone]).all()
    assert (fsc(found, source)[kept] > 0.9999).all()
    np.testing.assert_allclose(amplitudes(sharpen(source, PIXEL, -120.0, None)), amplitudes(damped(source, 120.0)),
                               rtol=1e-3)


def test_shells_are_weighed_by_what_their_halves_agree_on():
    """√(2F/(1 + F)), and nothing beyond the first shell without agreement, whatever chance brings later."""
    curve = np.linspace(1, 0.1, BOX // 2 + 1)
    source = white()
    found = amplitudes(sharpen(source, PIXEL, 0.0, None, fsc=curve)) / amplitudes(source)
    np.testing.assert_allclose(found[1:], fsc_to_whole(curve)[1:], rtol=1e-3)
    curve[10] = -0.02
    found = amplitudes(sharpen(source, PIXEL, 0.0, None, fsc=curve)) / amplitudes(source)
    assert (found[10:] < 1e-4).all() and found[9] > 0.5


@pytest.mark.parametrize(("call", "message"), [
    (lambda: guinier_fit(white(), PIXEL, 9.5), "cannot be fitted"),
    (lambda: guinier_fit(np.zeros((BOX,) * 3), PIXEL, 4.0), "cannot be fitted"),
    (lambda: guinier_fit(white(), PIXEL, 4.0, fsc=np.ones(5)), "5 shells"),
    (lambda: sharpen(white(), PIXEL, np.nan, 4.0), "B-factor"),
    (lambda: sharpen(white(), PIXEL, 10.0, 0.0), "resolution"),
    (lambda: sharpen(white(), PIXEL, 10.0, None, fsc=np.ones(5)), "5 shells"),
    (lambda: sharpen(white()[0], PIXEL, 10.0, None), "cubic")])
def test_what_cannot_be_sharpened_is_a_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()
