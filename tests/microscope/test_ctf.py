"""The CTF against closed forms, published numbers and a picture measured by brute force.

RELION's own CTFs are in test_relion_projections.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import constants

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import components, frequencies
from cryoedu.microscope.ctf import (
    check_sampling,
    ctf,
    ctf_components,
    ctf_half_planes,
    ctf_image,
    wavelength,
)
from cryoedu.particles.particles import CTFParameters, Optics

OPTICS = Optics(2.0)
IDEAL = Optics(2.0, spherical_aberration=0.0, amplitude_contrast=0.0)
U = np.linspace(0, 0.25, 400)


@pytest.mark.parametrize(("voltage", "published"), [(100, 0.0370), (200, 0.0251), (300, 0.0197)])
def test_wavelengths_are_the_published_ones(voltage, published):
    """Textbooks print these, and students look them up."""
    assert wavelength(voltage) == pytest.approx(published, abs=5e-5)
    energy = constants.e * voltage * 1e3
    momentum = np.sqrt(2 * constants.m_e * energy * (1 + energy / (2 * constants.m_e * constants.c**2)))
    assert wavelength(voltage) == pytest.approx(1e10 * constants.h / momentum, rel=1e-5)


def test_without_lens_errors_only_amplitude_contrast_is_left():
    """In focus the contrast is sin(asin Q0 + phase), the same at every frequency, and positive."""
    optics = replace(OPTICS, spherical_aberration=0.0, amplitude_contrast=0.07)
    values = ctf(U, 0.0, optics, CTFParameters.of([0.0, 0.0, 0.0], phase_shift=[0.0, 90.0, 30.0]))
    q = np.arcsin(0.07)
    np.testing.assert_allclose(values, np.sin(q + np.radians([0, 90, 30]))[:, None] * np.ones(len(U)))
    np.testing.assert_allclose(values[0], 0.07)


def test_defocus_alone_oscillates_with_the_square_of_the_frequency():
    """sin(π λ Δf u²): the zeros are where whole numbers of waves fit."""
    values = ctf(U, 0.0, IDEAL, CTFParameters.of(12_000.0))[0]
    np.testing.assert_allclose(values, np.sin(np.pi * wavelength(300) * 12_000 * U**2), atol=1e-12)
    zeros = np.sqrt(np.arange(1, 10) / (wavelength(300) * 12_000))
    np.testing.assert_allclose(ctf(zeros, 0.0, IDEAL, CTFParameters.of(12_000.0)), 0, atol=1e-12)
    assert (values[1:20] > 0).all()  # underfocus: white on dark stays white
    np.testing.assert_allclose(ctf(U, 0.0, IDEAL, CTFParameters.of(-12_000.0))[0], -values, atol=1e-12)


def test_spherical_aberration_alone_has_the_fourth_power_and_the_other_sign():
    """Cs comes in millimetres; a factor of ten here shows only at high resolution."""
    optics = replace(IDEAL, spherical_aberration=2.7)
    expected = -np.sin(np.pi / 2 * 2.7e7 * wavelength(300) ** 3 * U**4)
    np.testing.assert_allclose(ctf(U, 0.0, optics, CTFParameters.of(0.0))[0], expected, atol=1e-12)
    # at the Scherzer defocus both nearly cancel: the phase stays between its turning points
    scherzer = np.sqrt(2.7e7 * wavelength(300))
    at = np.sqrt(1 / np.sqrt(2.7e7 * wavelength(300) ** 3))
    assert ctf([at], 0.0, optics, CTFParameters.of(scherzer))[0, 0] == pytest.approx(np.sin(np.pi / 2))


def test_the_envelope_has_its_four_and_scale_multiplies():
    """exp(-B u²/4): programs that leave out the 4 disagree fourfold about the same micrograph."""
    plain = ctf(U, 0.0, OPTICS, CTFParameters.of(15_000.0))
    damped = ctf(U, 0.0, OPTICS, CTFParameters.of(15_000.0, b_factor=80.0, scale=0.6))
    np.testing.assert_allclose(damped, 0.6 * plain * np.exp(-80.0 * U**2 / 4), atol=1e-15)
    u = 2 / np.sqrt(80.0)  # where B u²/4 is 1
    one = ctf([u], 0.0, OPTICS, CTFParameters.of(15_000.0, b_factor=80.0))
    assert one[0, 0] == pytest.approx(np.exp(-1) * ctf([u], 0.0, OPTICS, CTFParameters.of(15_000.0))[0, 0])


@pytest.mark.parametrize("angle", [0.0, 25.0, 90.0, 140.0])
def test_the_axis_of_defocus_u_is_at_the_astigmatism_angle_from_x_to_y(angle):
    """An angle counted from y, or clockwise, turns the ellipse of every micrograph."""
    parameters = CTFParameters.of(18_000.0, 12_000.0, angle)
    for turn, defocus in ((0, 18_000.0), (180, 18_000.0), (90, 12_000.0), (45, 15_000.0), (-45, 15_000.0)):
        expected = ctf(U, 0.0, OPTICS, CTFParameters.of(defocus))
        np.testing.assert_allclose(ctf(U, angle + turn, OPTICS, parameters), expected, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 30.0, 100.0])
def test_rings_are_narrowest_along_the_axis_of_the_larger_defocus(angle):
    """Measured on the picture, pixel by pixel: the first zero comes earliest in the direction of U."""
    n = 256
    picture = ctf_image(n, IDEAL, CTFParameters.of(24_000.0, 12_000.0, angle))
    azimuths = np.arange(0, 180, 5)
    first = []
    for azimuth in np.radians(azimuths):
        r = np.arange(1.0, n // 2 - 1, 0.1)
        x, y = np.rint(n // 2 + r * np.cos(azimuth)).astype(int), np.rint(n // 2 + r * np.sin(azimuth)).astype(int)
        first.append(r[np.flatnonzero(picture[y, x] < 0)[0]])
    second_moment = np.sum(1 / np.square(first) * np.exp(2j * np.radians(azimuths)))  # defocus is as 1 / radius²
    assert abs(np.angle(second_moment * np.exp(-2j * np.radians(angle)), deg=True) / 2) < 4
    assert max(first) / min(first) == pytest.approx(np.sqrt(2), rel=0.06)


def test_pictures_half_planes_and_components_are_one_function():
    """Simulation, inference and figures each take the CTF in another layout."""
    n = 16
    parameters = CTFParameters.of([9_000.0, 20_000.0], [8_000.0, 15_000.0], [40.0, -75.0], [0.0, 30.0], [10.0, 0.0])
    half = ctf_half_planes(n, OPTICS, parameters)
    parts = components(n)
    assert half.shape == (2, n, n // 2 + 1)
    np.testing.assert_allclose(ctf_components(parts, OPTICS, parameters), half.reshape(2, -1)[:, parts.index])
    ky, kx = np.broadcast_arrays(*frequencies(n, 2))
    for i in range(2):
        picture = ctf_image(n, OPTICS, parameters[i : i + 1])
        inside = kx < n // 2  # the picture ends with -Nyquist
        np.testing.assert_allclose(picture[ky + n // 2, np.minimum(kx, n // 2 - 1) + n // 2][inside], half[i][inside])
        u = np.hypot(kx, ky) / (n * OPTICS.pixel_size)
        one = ctf(u, np.degrees(np.arctan2(ky, kx)), OPTICS, parameters[i : i + 1])[0]
        np.testing.assert_allclose(one, half[i])


def test_impossible_optics_are_a_sentence():
    """Percent for a fraction, or volts for kilovolts of nothing: named with the group and the column."""
    for optics, column in ((replace(OPTICS, amplitude_contrast=10.0), "rlnAmplitudeContrast"),
                           (replace(OPTICS, amplitude_contrast=float("nan")), "rlnAmplitudeContrast"),
                           (replace(OPTICS, voltage=0.0), "rlnVoltage"),
                           (replace(OPTICS, voltage=-300.0), "rlnVoltage")):
        with pytest.raises(InputError, match=f"opticsGroup1.*{column}"):
            ctf(U, 0.0, optics, CTFParameters.of(10_000.0))


def test_a_box_too_small_for_the_defocus_is_refused():
    """Where the CTF turns by more than half a wave between two Fourier pixels, its sign is lost between them."""
    n = 64
    edge = 1 / (2 * OPTICS.pixel_size)  # Nyquist, 1/Å
    limit = n * OPTICS.pixel_size / (2 * wavelength(300) * edge)  # the defocus that spreads a point to half the box
    check_sampling(n, OPTICS, CTFParameters.of([0.99 * limit, 1000.0]))
    for parameters in (CTFParameters.of([1000.0, 1.01 * limit]), CTFParameters.of(1000.0, 1.01 * limit),
                       CTFParameters.of(-1.01 * limit)):
        with pytest.raises(InputError, match=rf"opticsGroup1: .* {1.01 * limit:.0f} Å .*64-pixel box.*larger box"):
            check_sampling(n, OPTICS, parameters)
    # what the limit means, by brute force: the phase steps of the CTF between the last two Fourier pixels
    u = np.array([n / 2 - 0.5, n / 2 + 0.5]) / (n * OPTICS.pixel_size)
    gamma = np.pi * wavelength(300) * limit * u**2
    assert gamma[1] - gamma[0] == pytest.approx(np.pi)
