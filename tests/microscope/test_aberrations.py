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
from cryoedu.inference.blocks import columns_of, load
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import start_model
from cryoedu.microscope import read_map
from cryoedu.microscope.aberrations import even_phase, odd_phase, phase_factor, undistorted, zernike
from cryoedu.microscope.ctf import ctf, wavelength
from cryoedu.microscope.experiment import simulate
from cryoedu.particles import CTFParameters, Optics, Particles, read_particles
from cryoedu.particles.particles import ISOTROPIC
from cryoedu.validation.fsc import fsc

RELION = Path(__file__).parents[1] / "data" / "relion"
STRONG = Optics(4.0, beam_tilt=(20.0, -10.0), odd_zernike=(10, -20, 300, 5, 0, -200),
                even_zernike=(0, 20, 0, 30, 300, -250))
NONE = {"beam_tilt": (0, 0), "odd_zernike": (), "even_zernike": ()}
STRETCHED = ((1.04, 0.02), (-0.01, 0.97))


def test_the_map_is_that_of_relion():
    """Wrong signs leave hardly anything in common at 8 Å; aberrations that are ignored, as they were, little."""
    particles, theirs = read_particles(RELION / "aberrated.star"), read_map(RELION / "aberrated.mrc").density
    strong, *others = particles.optics
    assert strong.odd_zernike[2] == 300 and strong.even_zernike[4] == 300

    def likeness(**changed):
        made = replace(particles, optics=(replace(strong, **changed), *others))
        density = reconstruct(made, wiener=False, progress=False, array_library="numpy").density
        return float(np.mean(fsc(density, theirs)[8:15]))

    right = likeness()
    assert right > 0.68  # of the same images without aberrations: 0.77
    for name, none in NONE.items():
        assert likeness(**{name: none}) < right - 0.15
        assert likeness(**{name: tuple(-value for value in getattr(strong, name))}) < right - 0.15
    assert strong.magnification == STRETCHED
    for wrong in (ISOTROPIC, np.transpose(STRETCHED), np.linalg.inv(STRETCHED)):
        assert likeness(magnification=wrong) < right - 0.05
    assert likeness(**NONE, magnification=ISOTROPIC) < 0.3


def test_a_stretched_image_is_read_at_its_own_frequencies():
    """Against the plain sum of waves at M⁻¹ u, within what trilinear interpolation costs."""
    rng, parts = np.random.default_rng(1), components(24, 9)
    axis = np.arange(24) - 12
    soft = np.exp(-(axis[:, None] ** 2 + axis**2) / 30).astype(np.float32)
    images = rng.normal(size=(3, 24, 24)).astype(np.float32) * soft
    stretched = replace(STRONG, magnification=STRETCHED)
    kx, ky = np.linalg.inv(STRETCHED) @ np.stack([parts.kx, parts.ky])
    waves = np.exp(-2j * np.pi / 24 * (kx[:, None, None] * axis + ky[:, None, None] * axis[:, None]))
    exact = np.einsum("nyx,jyx->nj", images, waves)
    found = undistorted(images, stretched, parts)
    assert np.linalg.norm(found - exact) < 0.03 * np.linalg.norm(exact)
    plain = undistorted(images, replace(STRONG, magnification=ISOTROPIC), parts)
    assert np.linalg.norm(plain - exact) > 0.1 * np.linalg.norm(exact)


def test_no_image_is_read_beyond_its_nyquist():
    small = replace(STRONG, magnification=((0.5, 0.0), (0.0, 0.5)))
    found = undistorted(np.ones((1, 8, 8), np.float32), small, components(8))
    assert np.isfinite(found).all() and not found[0, components(8).shell > 3].any()


def test_shifts_are_those_of_the_image_as_it_is():
    """RELION's origins are in pixels of the stretched image."""
    rng = np.random.default_rng(2)
    image = np.zeros((1, 32, 32), np.float32)
    image[0, 12:20, 12:20] = rng.normal(size=(8, 8))
    stretched = replace(STRONG, beam_tilt=(0, 0), odd_zernike=(), magnification=STRETCHED)
    space, moved = FourierSpace(32, 2, 4.0, 12), np.roll(image, (3, -2), axis=(1, 2))
    columns = []
    for images, shift in ((image, (0.0, 0.0)), (moved, (-8.0, 12.0))):
        particles = Particles(images, (stretched,), np.zeros(1, dtype=int), shifts=np.array([shift]))
        columns.append(columns_of(particles, load(particles, np.arange(1), 0, space), 0, space, np))
    assert np.linalg.norm(columns[0] - columns[1]) < 0.03 * np.linalg.norm(columns[0])


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
