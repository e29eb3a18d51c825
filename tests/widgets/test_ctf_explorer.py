"""The CTF explorer without a browser: its numbers, its static picture, its bounds."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.microscope.ctf import wavelength
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.ctf_explorer import LIMITS, ctf_explorer


@pytest.fixture
def explorer():
    made = ctf_explorer(load("protein2d", box=64))
    yield made
    made.close()


def test_the_image_is_the_particle_convolved_with_what_a_point_becomes(explorer):
    explorer.defocus, explorer.astigmatism = 9_000, 3_000
    now = explorer.planes()
    density, expected = load("protein2d", box=64).density.astype(float), np.zeros((64, 64))
    for y, x in zip(*np.nonzero(density > 1e-9)):
        expected += density[y, x] * np.roll(now["psf"], (y - 32, x - 32), axis=(0, 1))
    assert now["image"] == pytest.approx(expected, abs=1e-4)


def test_the_first_zero_is_where_the_formula_says(explorer):
    explorer.cs = explorer.amplitude_contrast = 0
    for explorer.defocus in (8_000, 30_000):
        assert explorer.first_zero() == pytest.approx(np.sqrt(wavelength(300) * explorer.defocus), rel=2e-3)
    explorer.defocus = 0  # a CTF that is 0 everywhere has no zero to show
    explorer.amplitude_contrast = 0.1
    assert explorer.first_zero() is None


@pytest.mark.parametrize("defocus, astigmatism, cs", [(20_000, 0, 8.0), (-4_000, 0, 8.0), (9_000, 5_000, 2.7)])
def test_a_wave_is_moved_by_the_slope_of_its_phase(defocus, astigmatism, cs):
    """From one zero of the CTF to the next the phase turns by π, so that their distance is half of one over the shift.

    A shift without its part of Cs was 5 Å off at the first of these settings.
    """
    explorer = ctf_explorer(load("protein2d", box=256, pixel_size=1.5), defocus=defocus, astigmatism=astigmatism, cs=cs)
    (u, curves), measured = explorer.profile(), []
    for curve in curves:
        before = np.flatnonzero(curve[:-1] * curve[1:] < 0)
        zeros = u[before] + (u[1] - u[0]) * curve[before] / (curve[before] - curve[before + 1])
        near = zeros[np.argsort(np.abs(zeros - 1 / 5))[:3]]
        measured.append((1 / np.ptp(near), 2 / (near.min() + near.max())))
    moved, spacing = max(measured)
    assert explorer.displacement(spacing) == pytest.approx(moved, rel=0.02)
    explorer.close()


def test_u_lies_along_its_angle(explorer):
    """The longer defocus makes the tighter rings: fewer Å to the first zero along U, and along that axis in 2D."""
    explorer.astigmatism, explorer.angle, explorer.cs = 8_000, 90, 0
    u, (along_u, along_v) = explorer.profile()
    plane = explorer.planes()["ctf"]
    frequencies = np.arange(1, 20) / (64 * explorer.pixel_size)
    assert plane[33:52, 32] == pytest.approx(np.interp(frequencies, u, along_u), abs=0.01)
    assert plane[32, 33:52] == pytest.approx(np.interp(frequencies, u, along_v), abs=0.01)


def test_in_focus_only_the_amplitude_contrast_is_left(explorer):
    explorer.defocus = explorer.cs = 0
    assert explorer.contrast() == pytest.approx(explorer.amplitude_contrast, rel=1e-3)
    explorer.phase_shift = 90
    assert explorer.contrast() == pytest.approx(np.sqrt(1 - explorer.amplitude_contrast**2), rel=1e-3)


@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_of_all_sliders_draw_numbers(explorer, end):
    for name, limits in LIMITS.items():
        setattr(explorer, name, limits[end] + (2 * end - 1) * 1e9)
        assert getattr(explorer, name) == limits[end]
    assert all(np.isfinite(v).all() for v in explorer.planes().values())
    assert "nan" not in explorer.picture().alt


def test_the_picture_says_what_is_set(explorer):
    explorer.defocus, explorer.phase_shift = 23_000, 90
    still = explorer.still()
    alt = re.search(r'alt="([^"]*)"', still["text/html"])[1]
    assert "23000 Å" in alt and "phase shift 90°" in alt and f"{explorer.first_zero():.1f} Å" in alt


def test_what_cannot_be_shown_is_refused_in_one_sentence():
    for shape in ((64, 64, 64), (48, 48), (512, 512)):
        with pytest.raises(InputError, match="explorer takes an image"):
            ctf_explorer(Specimen(np.ones(shape, np.float32), 1.0))
    with pytest.raises(InputError, match="no slider focus"):
        ctf_explorer(load("protein2d", box=64), focus=3.0)
