"""The whole posterior of a few particles: what the expectation step weighs, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from inference.test_expectation import brute_force, problem

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.geometry.grids import search_2d, search_3d
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION
from cryoedu.inference.em import refine
from cryoedu.inference.posteriors import turned_back, whole_posterior
from cryoedu.inference.start import start_model
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.realspace import rotate, shift


@pytest.mark.parametrize(("ndim", "ctf"), [(2, False), (2, True), (3, True)])
def test_it_equals_brute_force(ndim, ctf):
    particles, model, search = problem(ndim, ctf)
    gamma, _, _ = brute_force(particles, model, search, "fourier")
    np.testing.assert_allclose(whole_posterior(particles, model, search), gamma, atol=2e-4)


def test_a_few_particles_have_the_posterior_of_the_loop():
    """The widget chooses a few of many: their posterior must be the one that moved the references."""
    data = simulate([load("protein2d", box=16)] * 2, 40, seed=2, snr=0.2, progress=False).particles
    search = search_2d(10, shift_range=data.pixel_size, shift_step=data.pixel_size)
    start = start_model(data, np.random.default_rng(1).standard_normal((2, 16, 16)))
    *_, iteration = refine(data, start, search, iterations=2, radii=[4, 6])
    rows = np.array([31])  # one particle before two classes
    gamma = whole_posterior(data.subset_of(rows), iteration.before, search, radius=6)
    assert gamma.shape == (1, 2, 36, len(search.shifts)) and gamma.sum() == pytest.approx(1, abs=1e-4)
    assert gamma.sum(axis=(2, 3)) == pytest.approx(iteration.posterior.class_probability[rows], abs=1e-4)
    assert gamma.max() == pytest.approx(iteration.posterior.max_probability[31], abs=1e-4)
    _, _, o, s = np.unravel_index(gamma.argmax(), gamma.shape)
    assert (search.angles[o] == iteration.posterior.angles[31]).all()
    assert (search.shifts[s] == iteration.posterior.shifts[31]).all()


def test_a_small_memory_changes_nothing():
    """Orientations that do not fit at once come in lots, each with its part of Γ."""
    particles, model, _ = problem(3, False)
    few, search = particles.subset_of(np.array([4, 1])), search_3d(2)
    gamma = whole_posterior(few, model, search, memory="16 MB")
    assert gamma.sum(axis=(1, 2, 3)) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(gamma, whole_posterior(few, model, search, memory="1 GB"), atol=1e-6)


def test_maxcc_gives_all_the_weight_to_one():
    particles, model, search = problem(2, False)
    gamma = whole_posterior(particles, model, search, assignment=MAXIMUM_CROSS_CORRELATION)
    assert (np.sort(gamma.reshape(len(gamma), -1), axis=1)[:, -2:] == [0, 1]).all()


def test_a_sure_particle_is_turned_back_and_an_unsure_one_becomes_a_ring():
    protein = load("protein2d", box=32)
    pixel = protein.pixel_size
    image = shift(rotate(protein.density, 40)[None], [2, -1])
    data = simulate(protein, 1, seed=1, progress=False).particles
    data = replace(data, images=image, shifts=None)
    search = search_2d(10, shift_range=4 * pixel, shift_step=pixel)
    gamma = np.zeros((1, 1, 36, len(search.shifts)), dtype=np.float32)
    found = int(np.flatnonzero((search.shifts == [2 * pixel, -pixel]).all(axis=1))[0])
    gamma[0, 0, 4, found] = 1
    back = turned_back(data, gamma, search)[0, 0]
    assert np.corrcoef(back.ravel(), protein.density.ravel())[0, 1] > 0.97
    assert back.std() == pytest.approx(protein.density.std(), rel=0.05)
    assert back.mean() == pytest.approx(protein.density.mean(), rel=0.25)  # twice that if DC counted twice
    gamma[:] = 0
    gamma[0, 0, :, found] = 1 / 36
    ring = turned_back(data, gamma, search)[0, 0]
    quarter = np.roll(np.rot90(ring), 1, axis=0)  # about the pixel n // 2
    assert np.corrcoef(ring[2:-2, 2:-2].ravel(), quarter[2:-2, 2:-2].ravel())[0, 1] > 0.99


def test_what_cannot_be_looked_at_is_refused_in_one_sentence():
    particles, model, search = problem(3, False)
    with pytest.raises(InputError, match="no particle"):
        whole_posterior(particles.subset_of(np.arange(0)), model, search)
    with pytest.raises(InputError, match="in the plane"):
        turned_back(particles, np.ones((6, 2, 5, 5)), search)
    many = replace(search, angles=np.ones((6_000_000, 3)))
    with pytest.raises(InputError, match="coarser grid"):
        whole_posterior(particles, model, many)
