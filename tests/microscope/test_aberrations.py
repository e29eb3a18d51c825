"""Aberrations against RELION's own maps, and against their definition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import components
from cryoedu.geometry.grids import search_2d
from cryoedu.inference import refine
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.inference.start import start_model
from cryoedu.microscope import read_map
from cryoedu.microscope.aberrations import even_phase, odd_phase, phase_factor, zernike
from cryoedu.microscope.ctf import ctf, wavelength
from cryoedu.microscope.experiment import simulate
from cryoedu.particles import CTFParameters, Optics, read_particles
from cryoedu.validation.fsc import fsc

RELION = Path(__file__).parents[1] / "data" / "relion"
STRONG = Optics(4.0, beam_tilt=(20.0, -10.0), odd_zernike=(10, -20, 300, 5, 0, -200),
                even_zernike=(0, 20, 0, 30, 1500, -1000))
NONE = {"beam_tilt": (0, 0), "odd_zernike": (), "even_zernike": ()}


def test_the_map_is_that_of_relion():
    """Wrong signs leave hardly anything in common at 8 Å; aberrations that are ignored, as they were, little."""
    particles, theirs = read_particles(RELION / "aberrated.star"), read_map(RELION / "aberrated.mrc").density
    strong, *others = particles.optics
    assert strong.odd_zernike[2] == 300 and strong.even_zernike[4] == 1500

    def likeness(**changed):
        made = replace(particles, optics=(replace(strong, **changed), *others))
        density = reconstruct(made, wiener=False, progress=False, array_library="numpy").density
        return float(np.mean(fsc(density, theirs)[8:15]))

    right = likeness()
    assert right > 0.7  # of the same images without aberrations: 0.77
    for name in NONE:
        assert likeness(**{name: NONE[name]}) < right - 0.02
        assert likeness(**{name: tuple(-value for value in getattr(strong, name))}) < right - 0.05
    assert likeness(**NONE) < 0.3


@pytest.mark.parametrize(("i", "m", "n"), [(0, -1, 1), (1, 1, 1), (2, -3, 3), (3, -1, 3), (4, 1, 3), (5, 3, 3)])
def test_odd_polynomials_come_in_relion_s_order(i, m, n):
    x, y = np.meshgrid(*[np.linspace(-0.2, 0.2, 7)] * 2)
    alone = Optics(4.0, odd_zernike=(0,) * i + (2.0,))
    np.testing.assert_allclose(odd_phase(alone, x, y), 2 * zernike(m, n, x, y), atol=1e-12)
    np.testing.assert_allclose(odd_phase(alone, -x, -y), -odd_phase(alone, x, y), atol=1e-12)


@pytest.mark.parametrize(("i", "m", "n"), [(0, 0, 0), (1, -2, 2), (2, 0, 2), (3, 2, 2), (4, -4, 4), (6, 0, 4)])
def test_even_polynomials_come_in_relion_s_order(i, m, n):
    x, y = np.meshgrid(*[np.linspace(-0.2, 0.2, 7)] * 2)
    alone = Optics(4.0, even_zernike=(0,) * i + (2.0,))
    np.testing.assert_allclose(even_phase(alone, x, y), 2 * zernike(m, n, x, y), atol=1e-12)
    np.testing.assert_allclose(even_phase(alone, -x, -y), even_phase(alone, x, y), atol=1e-12)


def test_polynomials_by_their_definition():
    x, y = np.array([0.3, -0.1, 0.0]), np.array([0.2, 0.4, 0.0])
    r2 = x * x + y * y
    for (m, n), expected in {(1, 1): x, (-1, 1): y, (0, 2): 2 * r2 - 1, (2, 2): x * x - y * y, (-2, 2): 2 * x * y,
                             (1, 3): (3 * r2 - 2) * x, (-1, 3): (3 * r2 - 2) * y, (3, 3): x**3 - 3 * x * y * y,
                             (0, 4): 6 * r2 * r2 - 6 * r2 + 1}.items():
        np.testing.assert_allclose(zernike(m, n, x, y), expected, atol=1e-12)


def test_beam_tilt_is_the_polynomials_that_relion_makes_of_it():
    tilted = Optics(2.0, beam_tilt=(0.4, -0.3))
    slope = 2.7 * 20000 * wavelength(300) ** 2 * np.pi
    z3x, z3y = -slope * 0.4 / 3, slope * 0.3 / 3
    as_zernike = Optics(2.0, odd_zernike=(2 * z3y, 2 * z3x, 0, z3y, z3x, 0))
    x, y = np.array([0.05, -0.1, 0.2]), np.array([0.1, 0.02, -0.2])
    np.testing.assert_allclose(odd_phase(tilted, x, y), odd_phase(as_zernike, x, y), atol=1e-12)


def test_an_even_aberration_of_second_order_is_a_defocus():
    """2ρ² - 1 with a constant that takes the 1 off is π λ Δf u²."""
    change = 0.5
    off = Optics(2.0, even_zernike=(change, 0, change))  # γ less 2 · change · u²
    u, azimuth = np.linspace(0, 0.25, 20), np.linspace(0, 300, 20)
    defocus = 1e4 - 2 * change / (np.pi * wavelength(300))
    np.testing.assert_allclose(ctf(u, azimuth, off, CTFParameters.of(1e4)),
                               ctf(u, azimuth, Optics(2.0), CTFParameters.of(defocus)), atol=1e-9)


def test_what_is_simulated_is_found_again():
    truth = read_map(RELION / "map.mrc")
    made = simulate(truth, 300, seed=1, snr=None, defocus=(8e3, 1.6e4), optics=STRONG, progress=False)
    found = reconstruct(made.truth, progress=False, array_library="numpy").density
    assert fsc(found, truth.density)[1:13].min() > 0.98
    blind = replace(made.truth, optics=(replace(STRONG, **NONE),))
    assert fsc(reconstruct(blind, progress=False, array_library="numpy").density, truth.density)[7:13].max() < 0.6


def test_where_none_is_known_nothing_is_multiplied():
    assert phase_factor(Optics(4.0, even_zernike=(0, 3.0)), components(8)) is None
    factor = phase_factor(STRONG, components(8))
    np.testing.assert_allclose(np.abs(factor), 1, atol=1e-6)
    assert factor[0] == 1


def test_real_space_refuses_what_it_cannot_undo():
    made = simulate(read_map(RELION / "map.mrc"), 3, seed=1, progress=False, optics=replace(STRONG, even_zernike=()))
    flat = np.ones((1, 32, 32), np.float32) * np.hanning(32)
    with pytest.raises(InputError, match="real space"):
        next(refine(made.particles, start_model(made.particles, flat, space="real"), search_2d(90), space="real",
                    iterations=1))
