"""Lesson 7: the course's own answers against definitions written in another way, and against the engine."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.course import lesson07 as L
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import judged
from cryoedu.microscope.ctf import ctf, wavelength
from cryoedu.microscope.realspace import shift
from cryoedu.particles.particles import CTFParameters, Optics


def test_the_ctf_is_the_engine_s():
    u = np.linspace(0, 0.4, 50)
    optics = Optics(1.0, voltage=200.0, spherical_aberration=2.1, amplitude_contrast=0.07)
    theirs = ctf(u, 0.0, optics, CTFParameters.of(13_000.0, b_factor=40.0))[0]
    assert L.my_ctf(u, 13_000.0, wavelength(200.0), 2.1, 0.07, 40.0) == pytest.approx(theirs, abs=1e-9)


def test_the_ramp_is_the_engine_s_shift():
    image = L.random_image(5)
    assert L.move(image, 1.7, -2.4) == pytest.approx(shift(image[None], (1.7, -2.4))[0], abs=1e-5)


def test_the_filter_keeps_a_coarse_wave_and_drops_a_fine_one():
    """Waves whose spacing is known without any transform."""
    x = np.arange(32) * 2.0  # Å
    coarse, fine = np.cos(2 * np.pi * x / 16) * np.ones((32, 1)), np.cos(2 * np.pi * x / 6.4)[:, None] * np.ones(32)
    assert L.low_pass(coarse + fine, 10.0, 2.0) == pytest.approx(coarse, abs=1e-9)


def test_flipping_gives_every_wave_the_particle_s_sign():
    particle = L.random_image(6)
    c = L.my_ctf(L.spatial_frequency(16, 3.0), 15_000.0, 0.0197, 2.7, 0.1, 0.0)
    image = np.fft.ifft2(np.fft.fft2(particle) * c).real
    agreement = np.fft.fft2(L.flip_phases(image, c)) * np.conj(np.fft.fft2(particle))
    assert agreement.real.min() > -1e-6 and np.abs(agreement.imag).max() < 1e-6
    signs = np.fft.fft2(image) * np.conj(np.fft.fft2(particle))
    assert signs.real.min() < -1


def test_other_ways_of_writing_it_pass_too():
    for line in (lambda F: np.fft.ifft(F)[0].real, lambda F: np.fft.irfft(F[0, : len(F) // 2 + 1], len(F)),
                 lambda F: len(F) * np.fft.ifft2(np.where(np.arange(len(F))[:, None] == 0, F, 0))[3].real):
        assert judged(exercise("7.4"), line)[0] == "right"

    def by_hand(image, x, y):
        n = len(image)
        k = np.arange(n)
        k[n // 2:] -= n
        ramp_x, ramp_y = np.exp(-2j * np.pi * k * x / n), np.exp(-2j * np.pi * k * y / n)
        return np.real(np.fft.ifft2(np.fft.fft2(image) * np.outer(ramp_y, ramp_x)))

    assert judged(exercise("7.3"), by_hand)[0] == "right"
