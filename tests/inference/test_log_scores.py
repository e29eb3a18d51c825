"""The scores in the open are those of the expectation step: a lesson that weighs them itself must find the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.datasets import load_particles
from cryoedu.errors import InputError
from cryoedu.geometry.grids import Search, search_3d, shift_grid
from cryoedu.inference.em import refine
from cryoedu.inference.posteriors import log_scores
from cryoedu.inference.start import start_model


@pytest.fixture(scope="module")
def problem():
    """Particles of two optics groups, two maps of unequal weight, and a small grid."""
    made = load_particles("ribosome-particles", count=12, box=16, pixel_size=22.0, progress=False)
    groups = np.arange(12) % 2
    particles = replace(made.particles, optics=made.particles.optics * 2, optics_group=groups)
    model = start_model(particles, np.stack([s.density for s in made.specimens]))
    model = replace(model, class_weights=np.array([0.3, 0.7]), offset_sigma=15.0)
    search = Search(search_3d(0).angles[::3], shift_grid(22.0, 22.0), 60.0, 22.0)
    return particles, model, search


def test_their_softmax_is_the_posterior_of_the_engine(problem):
    particles, model, search = problem
    scores = log_scores(particles, model, search, radius=6)
    assert scores.shape == (12, 2, len(search.angles) * 5)
    gamma = np.exp(scores - scores.max(axis=(1, 2), keepdims=True)) * model.class_weights[:, None]
    gamma /= gamma.sum(axis=(1, 2), keepdims=True)
    posterior = next(refine(particles, model, search, iterations=1, radii=[6])).posterior
    assert gamma.sum(axis=2) == pytest.approx(posterior.class_probability, abs=1e-4)
    best = gamma.reshape(12, -1).argmax(axis=1) % scores.shape[2]
    assert search.angles[best // 5] == pytest.approx(posterior.angles)
    assert search.shifts[best % 5] == pytest.approx(posterior.shifts)


def test_they_know_where_the_prior_of_the_shift_is_and_fit_into_the_memory(problem):
    """A lesson on real particles would weigh shifts around another centre than the engine does."""
    particles, model, search = problem
    extra = {"rlnOriginXPriorAngst": np.full(12, 20.0), "rlnOriginYPriorAngst": np.full(12, -20.0)}
    moved = replace(particles, extra=extra)
    scores = log_scores(moved, model, search, radius=6)
    gamma = np.exp(scores - scores.max(axis=(1, 2), keepdims=True)) * model.class_weights[:, None]
    gamma /= gamma.sum(axis=(1, 2), keepdims=True)
    posterior = next(refine(moved, model, search, iterations=1, radii=[6])).posterior
    assert gamma.sum(axis=2) == pytest.approx(posterior.class_probability, abs=1e-4)
    assert np.abs(scores - log_scores(particles, model, search, radius=6)).max() > 0.5
    assert log_scores(moved, model, search, radius=6, memory="16 MB") == pytest.approx(scores, abs=1e-3)


def test_what_does_not_fit_is_refused(problem):
    particles, model, search = problem
    with pytest.raises(InputError, match="box"):
        log_scores(particles, replace(model, maps=model.maps[:, :8, :8, :8]), search)
