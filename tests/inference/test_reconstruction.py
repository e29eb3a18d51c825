"""A map from known poses: the last step of every refinement, held against RELION's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, radial_mean, shells
from cryoedu.inference import reconstruction
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.microscope import read_map
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles import read_particles
from cryoedu.validation.fsc import fsc, resolution

RELION = Path(__file__).parents[1] / "data" / "relion"


@pytest.mark.parametrize("wiener", [True, False])
def test_nowhere_worse_than_relion_on_the_same_particles(wiener):
    """200 noisy particles with CTF that RELION projected; its relion_reconstruct map is in the test data."""
    truth = read_map(RELION / "map.mrc").density
    theirs = fsc(truth, read_map(RELION / "reconstruction.mrc").density)
    ours = fsc(
        truth,
        reconstruct(
            read_particles(RELION / "particles.star"), wiener=wiener, progress=False, array_library="numpy"
        ).density,
    )
    assert np.min((ours - theirs)[1:]) > -0.01, ours - theirs


def test_without_noise_the_specimen_comes_back_on_its_own_scale():
    truth = read_map(RELION / "map.mrc")
    for ndim in (2, 3):
        density = truth.density if ndim == 3 else truth.density.sum(axis=0)
        experiment = simulate(
            Specimen(density, 4.0), 400, seed=1, snr=None, shift_sigma=3.0, defocus=(8e3, 2e4), progress=False
        )
        found = reconstruct(experiment.truth, ndim=ndim, progress=False, array_library="numpy")
        assert fsc(found.density, density)[1:13].min() > 0.99
        scale = np.sum(found.density * density) / np.sum(density**2)
        assert abs(scale - 1) < 0.03
        ours, theirs = fourier(found.density, ndim), fourier(density, ndim)
        by_shell = radial_mean((ours * theirs.conj()).real, 32, ndim) / radial_mean(np.abs(theirs) ** 2, 32, ndim)
        assert np.abs(by_shell[:9] - 1).max() < 0.05
        assert found.pixel_size == 4.0


def test_the_map_of_all_is_filtered_by_twice_the_ssnr_of_a_half(monkeypatch):
    """Halves that correlate by a half have an SSNR of 1, all particles one of 2: two thirds of each shell stay."""
    truth = read_map(RELION / "map.mrc")
    particles = simulate(Specimen(truth.density, 4.0), 300, seed=1, snr=1.0, progress=False).truth
    monkeypatch.setattr(reconstruction, "fsc", lambda one, two, mask: np.full(17, 0.5))
    filtered, plain = (fourier(reconstruct(particles, wiener=w, progress=False, array_library="numpy").density, 3)
                       for w in (True, False))
    share = radial_mean((filtered * plain.conj()).real, 32, 3) / radial_mean(np.abs(plain) ** 2, 32, 3)
    np.testing.assert_allclose(share[2:12], 2 / 3, atol=0.06)


def test_a_resolution_limit_leaves_nothing_finer():
    particles = read_particles(RELION / "particles.star")
    found = reconstruct(particles, resolution=16.0, progress=False, array_library="numpy").density
    power = np.abs(fourier(found.astype(float), 3)) ** 2
    shell = shells(32, 3)
    assert power[shell > 11].max() < 0.02 * power[(shell > 5) & (shell < 8)].mean()
    assert resolution(fsc(found, read_map(RELION / "map.mrc").density), 4.0, threshold=0.5) < 25


def test_particles_without_angles_are_refused():
    experiment = simulate(Specimen(read_map(RELION / "map.mrc").density, 4.0), 5, seed=1, progress=False)
    with pytest.raises(InputError, match="have no angles"):
        reconstruct(experiment.particles)
