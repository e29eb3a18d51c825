"""Lesson 9: the course's solutions against loops, closed forms and the engine."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.course import lesson09 as L
from cryoedu.course.lesson09_fsc import BEYOND
from cryoedu.inference.model import signal_power
from cryoedu.validation import fsc as engine_fsc


def whole(x):
    return np.fft.fftn(np.fft.ifftshift(x))


def shell_numbers(box, ndim):
    k = np.meshgrid(*[np.fft.fftfreq(box, 1 / box)] * ndim, indexing="ij")
    return np.rint(np.sqrt(sum(x**2 for x in k))).astype(int)


def test_the_shrunken_mean_is_the_posterior_mean():
    """Integrated on a grid: prior N(0, τ²) times the likelihood of every measurement."""
    x, sigma, tau = np.array([[0.4, 1.7, 0.2], [-2.0, -0.3, -1.1]]), 1.3, 0.7
    mu = np.linspace(-8, 8, 16001)
    for row, found in zip(x, L.shrunken(x, sigma, tau), strict=True):
        log = -(mu**2) / (2 * tau**2) - sum((v - mu) ** 2 for v in row) / (2 * sigma**2)
        weight = np.exp(log - log.max())
        assert found == pytest.approx(np.sum(weight * mu) / weight.sum(), rel=1e-6)


def test_the_shrunken_mean_has_the_smallest_error_of_all_factors():
    rng = np.random.default_rng(3)
    mu = 0.8 * rng.normal(size=20000)
    x = mu[:, None] + 2.0 * rng.normal(size=(20000, 5))
    best = np.mean((L.shrunken(x, 2.0, 0.8) - mu) ** 2)
    for factor in (0.7, 0.9, 1.1, 1.4):
        assert np.mean((factor * L.shrunken(x, 2.0, 0.8) - mu) ** 2) > best
    assert best == pytest.approx(1 / (1 / 0.8**2 + 5 / 2.0**2), rel=0.03)  # variance of the posterior


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_fsc_is_the_engine_s(ndim):
    rng = np.random.default_rng(ndim)
    a = rng.normal(size=(16,) * ndim)
    b = a + rng.normal(size=a.shape)
    assert L.fsc(whole(a), whole(b), shell_numbers(16, ndim))[:9] == pytest.approx(engine_fsc.fsc(a, b), abs=1e-9)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_power_is_the_engine_s(ndim):
    maps = np.random.default_rng(ndim).normal(size=(1, *(16,) * ndim))
    found = L.signal_power(whole(maps[0]), shell_numbers(16, ndim))[:9]
    assert found == pytest.approx(signal_power(maps)[0], rel=1e-6)


def test_the_resolution_is_the_shell_before_the_crossing():
    curve = np.array([1.0, 0.9, 0.7, 0.4, 0.1, 0.2, 0.05])
    assert L.resolution(curve, 120.0, 0.5) == 60.0
    assert L.resolution(curve, 120.0, 0.143) == 40.0
    assert L.resolution(curve, 120.0, 0.01) == BEYOND
    engine = engine_fsc.resolution(curve, 10.0, threshold=0.143)
    assert 30.0 < engine < 40.0  # interpolated, between that shell and the next


def test_the_wiener_filter_has_the_highest_posterior():
    """Likelihood times prior, term by term; any step away from the solution lowers it."""
    x, ctfs, sigma2, tau2, fudge = L.wiener_data(5)
    found = L.wiener(x, ctfs, sigma2, tau2, fudge)

    def log_posterior(v):
        total = -np.sum(np.abs(v) ** 2 / (2 * fudge * tau2))
        for image, ctf in zip(x, ctfs, strict=True):
            total -= np.sum(np.abs(image - ctf * v) ** 2 / (2 * sigma2))
        return total

    rng = np.random.default_rng(1)
    top = log_posterior(found)
    for _ in range(20):
        step = 0.1 * (rng.normal(size=found.shape) + 1j * rng.normal(size=found.shape))
        assert log_posterior(found + step) < top


def test_the_wiener_filter_is_the_shrunken_mean_of_each_component():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(4, 6, 6))
    flat = np.ones((6, 6))
    found = L.wiener(x, np.ones_like(x), 2.0**2 * flat, 0.9**2 * flat, 1.0)
    assert found.real.ravel() == pytest.approx(L.shrunken(x.reshape(4, -1).T, 2.0, 0.9))


def test_the_ssnr_of_two_noisy_halves_is_signal_over_noise():
    """Signal of power 2 and noise of power 0.5 in each half, many components."""
    rng = np.random.default_rng(9)
    signal = np.sqrt(2) * rng.normal(size=100000)
    a, b = (signal + np.sqrt(0.5) * rng.normal(size=signal.size) for _ in range(2))
    curve = L.fsc(a, b, np.zeros(signal.size, dtype=int))
    assert L.ssnr(curve)[0] == pytest.approx(4.0, rel=0.03)
    both = L.fsc((a + b) / 2, signal, np.zeros(signal.size, dtype=int))[0]
    assert both == pytest.approx(engine_fsc.fsc_to_whole(curve)[0], abs=0.002)


def test_a_shell_that_judges_itself_survives_above_4_over_t_minus_1():
    """The loop of section 5 on one shell: τ² ← (S + n) (Tτ²/(Tτ² + n))²."""
    for fudge in (1.0, 2.0, 3.0):
        limit = 4 / fudge - 1
        for ratio, lives in ((0.9 * limit, False), (1.1 * limit, True)):
            tau2 = ratio + 1.0  # n = 1
            for _ in range(3000):
                tau2 = (ratio + 1) * (fudge * tau2 / (fudge * tau2 + 1)) ** 2
            assert (tau2 > 1e-3) == lives
