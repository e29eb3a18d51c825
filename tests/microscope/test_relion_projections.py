"""Projections, shifts and CTFs beside files that RELION itself wrote.

If one of these fails, poses cannot be exchanged with RELION: its particles would reconstruct to noise here, and ours
there. The specimen is asymmetric, so no mirror image and no exchanged axes can pass.
"""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import components, fourier, frequencies, gather, scatter, shift_phases
from cryoedu.microscope.ctf import ctf_components, ctf_half_planes, ctf_image
from cryoedu.microscope.projection import project
from cryoedu.microscope.realspace import project_by_sums
from cryoedu.particles.particles import CTFParameters

BOX, PIXEL = 32, 4.0
PARTS = components(BOX)


def rms(found, expected):
    """Relative root-mean-square difference of each image."""
    return np.sqrt(np.sum((found - expected) ** 2, axis=(1, 2)) / np.sum(expected**2, axis=(1, 2)))


def slices(relion_map, angles, padding=2):
    return project(relion_map[None], euler_to_matrix(angles), PARTS, padding)[0]


def test_projections_are_relion_s(relion, relion_map):
    """The same pose shows the same view: to one part in ten thousand, as both interpolate in the same way."""
    data = relion("projections")
    found = scatter(slices(relion_map[0], data.angles), PARTS)
    assert rms(found, data.images).max() < 2e-4  # measured: 1.0e-4
    for mine, theirs in zip(found, data.images):
        assert np.corrcoef(mine.ravel(), theirs.ravel())[0, 1] > 0.9999999


def test_no_other_convention_would_pass(relion, relion_map):
    """The witness is worth something only if a wrong hand, a transposed matrix or swapped angles fail it."""
    data = relion("projections")
    angles, general = data.angles, slice(8, 12)
    expected = data.images[general]
    wrong = [project(relion_map[0][None], np.swapaxes(euler_to_matrix(angles[general]), 1, 2), PARTS)[0],
             slices(relion_map[0], angles[general][:, ::-1]),
             slices(relion_map[0], -angles[general]),
             slices(relion_map[0][::-1], angles[general]),
             slices(relion_map[0].transpose(2, 1, 0), angles[general])]
    for values in wrong:
        off = rms(scatter(values, PARTS), expected)
        assert off.min() > 0.05 and off.max() > 0.4  # the right one is within 0.0001


def test_projections_by_sums_are_relion_s_but_for_its_interpolation(relion, relion_map):
    """The slow way that the first lessons show has to mean the same poses as the fast one."""
    data = relion("projections")
    found = project_by_sums(relion_map[0], data.angles)
    assert rms(found, data.images).max() < 0.045  # RELION's own distance from the exact line integrals: 0.041


def test_relion_s_origins_are_minus_our_shifts(relion, relion_map):
    """A sign here moves every particle the wrong way, by twice its offset."""
    data = relion("shifted")
    values = slices(relion_map[0], data.angles)
    found = scatter(values * shift_phases(-data.origins / PIXEL, PARTS), PARTS)
    assert rms(found, data.images).max() < 2e-4
    wrong = scatter(values * shift_phases(data.origins / PIXEL, PARTS), PARTS)
    assert rms(wrong, data.images).min() > 0.4


def test_shifting_relion_s_own_projections_gives_its_shifted_ones(relion):
    """The phases alone, to the last digit of a float32 file."""
    still, moved = relion("projections"), relion("shifted")
    found = scatter(gather(still.images, PARTS) * shift_phases(-moved.origins / PIXEL, PARTS), PARTS)
    band_limited = scatter(gather(moved.images, PARTS), PARTS)
    assert rms(found, band_limited).max() < 1e-6


def test_ctf_pictures_are_relion_s(relion, relion_ctf_images):
    """Astigmatism, phase plate, overfocus, two microscopes: pixel by pixel, to float32 rounding."""
    data = relion("point_with_ctf")
    for row, expected in enumerate(relion_ctf_images):
        optics, full = data.microscope(row)
        bare = CTFParameters.of(full.defocus_u, full.defocus_v, full.astigmatism_angle, full.phase_shift)
        np.testing.assert_allclose(ctf_image(BOX, optics, bare), expected, atol=2e-6)


def test_b_factor_and_scale_are_relion_s(relion):
    """What a point becomes in RELION: CTF, envelope with its 4, and scale, inside the 16 shells that it keeps."""
    data = relion("point_with_ctf")
    ky, kx = frequencies(BOX, 2)
    inside = kx**2 + ky**2 < (BOX // 2) ** 2
    for row, image in enumerate(data.images):
        optics, parameters = data.microscope(row)
        expected = ctf_half_planes(BOX, optics, parameters)[0]
        np.testing.assert_allclose(fourier(image)[inside], expected[inside], atol=2e-6)
        np.testing.assert_allclose(ctf_components(PARTS, optics, parameters)[0], expected.ravel()[PARTS.index])


def test_projections_with_ctf_are_relion_s(relion, relion_map):
    """Projection, shift and CTF together make the image that RELION's particles are compared with."""
    data = relion("with_ctf")
    values = slices(relion_map[0], data.angles) * shift_phases(-data.origins / PIXEL, PARTS)
    for row in range(len(values)):
        optics, parameters = data.microscope(row)
        values[row] *= ctf_components(PARTS, optics, parameters)[0]
    assert rms(scatter(values, PARTS), data.images).max() < 2e-4


@pytest.mark.parametrize(("padding", "bound"), [(2, 0.042), (3, 0.02), (4, 0.011)])
def test_slices_approach_the_exact_line_integrals(relion, relion_map, padding, bound):
    """Gaussian blobs have projections in closed form; what trilinear interpolation leaves falls with the padding.

    Measured: 1.6 to 4.1 % of the norm at padding 2 (RELION's is the same), worst along the axes of the grid.
    """
    density, blobs = relion_map
    angles = relion("projections").angles
    x, y, z, sigma, mass = blobs.T
    axis = (np.arange(BOX) - BOX // 2) * PIXEL
    places = np.stack([x, y, z], axis=1) @ np.swapaxes(euler_to_matrix(angles), 1, 2)
    exact = np.zeros((len(angles), BOX, BOX))
    for i, place in enumerate(places):
        for (px, py, _), s, m in zip(place, sigma, mass):
            r2 = (axis[None, :] - px) ** 2 + (axis[:, None] - py) ** 2
            exact[i] += m / (2 * np.pi * s**2) / PIXEL * np.exp(-r2 / (2 * s**2))  # per Å³, summed voxel by voxel
    assert rms(scatter(slices(density, angles, padding), PARTS), exact).max() < bound
    if padding == 2:
        assert rms(project_by_sums(density, angles), exact).max() < 0.002  # splines in real space
