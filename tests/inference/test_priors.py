"""What is known of the shifts beforehand: a fixed spread, and a centre for each particle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix, matrix_to_euler
from cryoedu.geometry.fourier import components, gather, shift_phases
from cryoedu.geometry.grids import Search, local_search, search_2d, shift_subdivision, subdivision
from cryoedu.inference.adaptive import Adaptive, adaptive_expectation
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
from cryoedu.inference.em import refine
from cryoedu.inference.expectation import expectation
from cryoedu.inference.local import local_expectation
from cryoedu.inference.priors import distances2, log_shift_prior, prior_centres
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import start_model
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.projection import project
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles import read_particles, write_particles

BOX, PIXEL = 16, 5.0
SPACE = FourierSpace(BOX, 2, PIXEL, BOX // 2)


def problem(count: int = 12, snr: float = 0.05, shift_sigma: float = 5.0):
    rng = np.random.default_rng(3)
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 2, indexing="ij")
    centres = rng.uniform(-3, 3, (5, 2))
    blobs = sum(np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / 3) for centre in centres)
    experiment = simulate(Specimen(blobs.astype(np.float32), PIXEL), count, seed=2, snr=snr, shift_sigma=shift_sigma,
                          progress=False)
    model = start_model(experiment.particles, experiment.specimens[0].density[None], offset_sigma=4.0)
    return experiment, replace(model, sigma2=experiment.sigma2[None])


def with_priors(particles, centres, known=None):
    """Particles that sit at ``known``, with a prior around ``centres``, both Å; origins have the other sign."""
    columns = {"rlnOriginXPriorAngst": -centres[:, 0], "rlnOriginYPriorAngst": -centres[:, 1]}
    return replace(particles, shifts=known, extra=columns)


SEARCH = search_2d(45, shift_range=2 * PIXEL, shift_step=PIXEL)


def test_the_posterior_under_centres_of_their_own_is_that_of_a_loop(monkeypatch):
    """A known shift, a prior centred elsewhere: each hypothesis on its own, in float64; in one visit and in two."""
    experiment, model = problem()
    rng = np.random.default_rng(0)
    centres, known = rng.uniform(-8, 8, (12, 2)), rng.uniform(-3, 3, (12, 2))
    particles = with_priors(experiment.particles, centres, known)
    parts = components(BOX)
    weight = 1 / model.sigma2[0, parts.shell[1:]]
    gamma = np.zeros((12, len(SEARCH.angles), len(SEARCH.shifts)))
    evidence = np.zeros(12)
    for i in range(12):
        x = gather(particles.images[i : i + 1].astype(np.float64), parts)[0, 1:]
        prior = np.array([np.exp(-np.sum((known[i] + s - centres[i]) ** 2) / 32) for s in SEARCH.shifts])
        for o in range(len(SEARCH.angles)):
            a = project(model.maps.astype(np.float64), euler_to_matrix(SEARCH.angles[o])[None], parts)[0]
            for s in range(len(SEARCH.shifts)):
                b = (a * shift_phases((known[i] + SEARCH.shifts[s])[None] / PIXEL, parts))[0, 1:]
                match = np.sum(weight * ((np.conj(x) * b).real - 0.5 * np.abs(b) ** 2))
                gamma[i, o, s] = match + np.log(prior[s] / prior.sum()) - np.log(len(SEARCH.angles))
        evidence[i] = np.log(np.sum(np.exp(gamma[i] - gamma[i].max()))) + gamma[i].max()
        gamma[i] = np.exp(gamma[i] - evidence[i])
    spread = sum(gamma[i, :, s].sum() * np.sum((known[i] + SEARCH.shifts[s] - centres[i]) ** 2)
                 for i in range(12) for s in range(len(SEARCH.shifts)))
    monkeypatch.setattr("cryoedu.threads.cores", lambda: 1)
    for budget in (10**9, 150_000):
        found, sums = expectation(particles, model, SEARCH, SPACE, MAXIMUM_LIKELIHOOD, xp=np, budget=budget)
        np.testing.assert_allclose(found.log_evidence, evidence, atol=2e-3)
        np.testing.assert_allclose(found.max_probability, gamma.max(axis=(1, 2)), atol=1e-3)
        assert sums.shift_square == pytest.approx(spread, rel=1e-3)


def test_an_adaptive_search_knows_the_centres_too():
    experiment, model = problem(8)
    model = replace(model, offset_sigma=50.0)  # wide, so that the prior is nearly the same on both grids
    particles = with_priors(experiment.particles, np.random.default_rng(1).uniform(-60, 60, (8, 2)))
    found, sums = adaptive_expectation(particles, model, SEARCH, Adaptive(1, 1 - 1e-12, 1.0), SPACE, xp=np,
                                       budget=10**9)
    rotations = (subdivision(45.0, in_plane=True)[None] @ SEARCH.rotations[:, None]).reshape(-1, 3, 3)
    fine = Search(matrix_to_euler(rotations), (SEARCH.shifts[:, None] + shift_subdivision(PIXEL)[None]).reshape(-1, 2),
                  22.5, PIXEL / 2)
    dense, all_sums = expectation(particles, model, fine, SPACE, MAXIMUM_LIKELIHOOD, xp=np, budget=10**9)
    np.testing.assert_allclose(found.log_evidence, dense.log_evidence, atol=0.02)
    np.testing.assert_allclose(found.max_probability, dense.max_probability, atol=2e-3)
    assert sums.shift_square == pytest.approx(all_sums.shift_square, rel=1e-3)


def test_centres_at_the_known_shifts_change_nothing_and_those_at_the_truth_help():
    experiment, model = problem(200, shift_sigma=6.0)
    known = np.zeros((200, 2))
    plain, same = (expectation(p, model, SEARCH, SPACE, MAXIMUM_LIKELIHOOD, xp=np, budget=10**9)[0]
                   for p in (experiment.particles, with_priors(experiment.particles, known)))
    np.testing.assert_allclose(same.log_evidence, plain.log_evidence, rtol=1e-6)
    truth = experiment.truth.shifts
    helped, _ = expectation(with_priors(experiment.particles, truth), model, SEARCH, SPACE, MAXIMUM_LIKELIHOOD, xp=np,
                            budget=10**9)
    errors = [np.median(np.hypot(*(p.shifts - truth).T)) for p in (plain, helped)]
    assert errors[1] < 0.8 * errors[0]
    one, other = (expectation(p, model, SEARCH, SPACE, MAXIMUM_CROSS_CORRELATION, xp=np, budget=10**9)[0]
                  for p in (experiment.particles, with_priors(experiment.particles, truth)))
    np.testing.assert_array_equal(one.shifts, other.shifts)  # maxCC knows no prior


def test_a_sigma_that_is_given_is_kept():
    experiment, model = problem(30)
    options = {"iterations": 2, "array_library": "numpy"}
    *_, kept = refine(experiment.particles, model, SEARCH, offset_sigma=2.5, **options)
    *_, found = refine(experiment.particles, model, SEARCH, **options)
    assert kept.before.offset_sigma == kept.model.offset_sigma == 2.5
    assert found.model.offset_sigma not in (2.5, 4.0)
    with pytest.raises(InputError, match="offset sigma of -1"):
        refine(experiment.particles, model, SEARCH, offset_sigma=-1)


def test_centres_come_from_relion_s_columns(tmp_path):
    """Minus the prior origin, seen from minus the origin; 999 is RELION's word for none."""
    experiment, _ = problem(3)
    assert prior_centres(experiment.particles) is None
    write_particles(with_priors(experiment.particles, np.array([[4.0, -2.0], [-999.0, 0.0], [1.0, 1.0]]),
                                np.array([[1.0, 1.0], [5.0, 5.0], [0.0, 0.0]])), tmp_path / "p.star")
    again = read_particles(tmp_path / "p.star")
    assert float(again.extra["rlnOriginXPriorAngst"][0]) == -4
    np.testing.assert_allclose(prior_centres(again), [[3, -3], [0, -5], [1, 1]])


def test_a_prior_far_from_the_grid_is_still_one():
    value = log_shift_prior(distances2(SEARCH.shifts, np.array([[1e4, 0.0]])), 1.0)
    assert np.exp(value).sum() == pytest.approx(1) and SEARCH.shifts[value.argmax()].tolist() == [10.0, 0.0]


def test_a_local_search_knows_centres_scales_and_symmetry():
    """One orientation for all particles, and shifts around it: the local search and the dense one are the same."""
    rng = np.random.default_rng(2)
    density = rng.standard_normal((BOX,) * 3).astype(np.float32)
    experiment = simulate(Specimen(density, PIXEL), 6, seed=2, snr=0.05, defocus=(8e3, 1.2e4), progress=False)
    particles = with_priors(experiment.particles, rng.uniform(-8, 8, (6, 2)), rng.uniform(-3, 3, (6, 2)))
    particles = replace(particles, scale=np.linspace(0.7, 1.3, 6))
    model = start_model(particles, experiment.specimens[0].density[None], offset_sigma=4.0)
    angles, space = np.array([[20.0, 50.0, 70.0]]), FourierSpace(BOX, 3, PIXEL, BOX // 2)
    grid = Search(angles, SEARCH.shifts, 30.0, PIXEL, symmetry="D2")
    around = local_search(np.repeat(angles, 6, axis=0), np.zeros((6, 2)), shift_range=2 * PIXEL, shift_step=PIXEL)
    around = replace(around, symmetry="D2")
    dense, sums = expectation(particles, model, grid, space, MAXIMUM_LIKELIHOOD, xp=np, budget=10**9, contrast=True)
    found, gridded = local_expectation(particles, model, around, space, MAXIMUM_LIKELIHOOD, xp=np, budget=10**9)
    np.testing.assert_allclose(found.log_evidence, dense.log_evidence, atol=2e-3)
    np.testing.assert_allclose(found.overlap, dense.overlap, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(found.energy, dense.energy, rtol=1e-4)
    assert gridded.shift_square == pytest.approx(sums.shift_square, rel=1e-4)
    inserted = sums.on_grid(space)
    np.testing.assert_allclose(gridded.weights, inserted.weights, atol=1e-4 * inserted.weights.max())
    np.testing.assert_allclose(gridded.inserted, inserted.inserted, atol=1e-3 * np.abs(inserted.inserted).max())
