"""The EM stepper without a browser: what it shows is what the loop did."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.geometry.grids import search_2d, search_3d
from cryoedu.inference.em import align2d, classify2d, refine
from cryoedu.inference.start import start_model
from cryoedu.microscope.experiment import simulate
from cryoedu.widgets import stepper as module
from cryoedu.widgets.page import pixels
from cryoedu.widgets.sphere import WIDTH, unit_vectors
from cryoedu.widgets.stepper import em_stepper


@pytest.fixture(scope="module")
def planar():
    """Two classes in the plane with shifts, on a grid that does not move: the job, its particles, its grid."""
    made = simulate(load("protein2d", box=24), 60, seed=1, snr=0.3, shift_sigma=6.0, progress=False)
    search = search_2d(10, shift_range=20, shift_step=10)
    return list(classify2d(made.particles, 2, search, seed=1, iterations=3, perturb_seed=None)), made, search


@pytest.fixture
def stepper(planar):
    job, made, search = planar
    widget = em_stepper(iter(job), made.particles, search, chosen=[5, 40], truth=made.truth)
    yield widget
    widget.close()


def test_each_frame_shows_the_posterior_that_made_the_next_references(planar, stepper):
    job, _, _ = planar
    assert (stepper.frames, stepper.frame) == (4, 3)
    for stepper.frame, iteration in enumerate(job):
        for stepper.particle, row in enumerate((5, 40)):
            now = stepper.posterior()
            assert now.sum(axis=1) == pytest.approx(iteration.posterior.class_probability[row], abs=1e-4)
            if iteration.posterior.max_probability[row] > 0.6:
                k, a = np.unravel_index(now.argmax(), now.shape)
                assert k == iteration.posterior.classes[row] and 10 * a == iteration.posterior.angles[row, 2]


def test_shift_maps_hold_the_same_weights_at_their_shifts(planar, stepper):
    job = planar[0]
    assert stepper.reach == 2 and stepper.shift_step == 10
    maps = np.frombuffer(stepper._shifts, np.float32).reshape(4, 2, 5, 5)
    assert maps.sum(axis=(2, 3)) == pytest.approx(1, abs=1e-4)
    sure = [(f, p) for f in range(3) for p, row in enumerate((5, 40)) if job[f].posterior.max_probability[row] > 0.6]
    assert sure
    for f, p in sure:
        y, x = np.unravel_index(maps[f, p].argmax(), (5, 5))
        assert [10 * (x - 2), 10 * (y - 2)] == job[f].posterior.shifts[(5, 40)[p]].tolist()


def test_references_and_curves_are_those_of_the_run(planar, stepper):
    job, made, _ = planar
    maps = np.frombuffer(stepper._maps, np.uint8).reshape(4, 2, 24, 24)
    assert (maps[0] == pixels(job[0].before.maps)).all() and (maps[3] == pixels(job[2].model.maps)).all()
    curves = np.frombuffer(stepper._curves, np.float32).reshape(4, 4)
    gained = [(i.log_likelihood - job[0].log_likelihood) / len(made.particles) for i in job]
    assert curves[:3, 0] == pytest.approx(gained, abs=1e-3) and np.isnan(curves[3, :2]).all()
    assert curves[3, 2:] == pytest.approx(job[2].model.class_weights)
    assert curves[:, 2:].sum(axis=1) == pytest.approx(1)


def test_likelihoods_of_other_shells_are_not_compared():
    """More components make another likelihood: a jump in the curve that means nothing would be taken for a gain."""
    made = simulate(load("protein2d", box=16), 30, seed=1, progress=False)
    job = align2d(made.particles, search_2d(20), iterations=4, radii=[3, 5, 8])
    widget = em_stepper(job, made.particles, search_2d(20))
    gained = np.frombuffer(widget._curves, np.float32).reshape(5, 3)[:, 0]
    assert np.isnan(gained[[0, 1, 4]]).all() and gained[2] == 0 and gained[3] > 0
    widget.close()


def test_on_the_sphere_the_posterior_is_at_the_true_view():
    ribosome = load("ribosome-80S", box=16)
    made = simulate(ribosome, 20, seed=3, snr=5.0, progress=False)
    start = start_model(made.particles, made.specimens[0].density[None])
    search = search_3d(2)
    job = refine(made.particles, start, search, iterations=2, fixed={"maps", "tau2"})
    widget = em_stepper(job, made.particles, search, chosen=6, truth=made.truth)
    angles = np.frombuffer(widget._angles, np.float32).reshape(192, 4)
    marks = np.frombuffer(widget._truths, np.float32).reshape(6, 3)
    lookup = np.frombuffer(widget._lookup, np.int32).reshape(WIDTH // 2, WIDTH)
    close, marked = 0, 0
    for widget.particle in range(6):
        now = widget.posterior()
        assert now.shape == (1, 192) and now.sum() == pytest.approx(1, abs=1e-4)
        truth = unit_vectors(made.truth.angles[[widget.particle]])[0]
        close += unit_vectors(angles[[now.argmax()], :2])[0] @ truth > np.cos(np.radians(25))
        x, y = np.clip(marks[widget.particle, :2], 0, [WIDTH - 1, WIDTH // 2 - 1]).astype(int)
        marked += unit_vectors(angles[[lookup[y, x]], :2])[0] @ truth > np.cos(np.radians(15))
    assert close >= 5 and marked == 6
    assert "tilt" in widget.picture().alt
    widget.close()


def test_the_average_shows_how_sure_the_particle_is():
    """With one hypothesis the image comes back turned; with all of them alike it is smeared into rings."""
    protein = load("protein2d", box=24)
    made = simulate(protein, 30, seed=1, snr=20.0, progress=False)
    sure = start_model(made.particles, made.specimens[0].density[None])
    sure = replace(sure, sigma2=np.ones_like(sure.sigma2) * 24**2 / 2)
    unsure = replace(sure, sigma2=sure.sigma2 * 1e6)
    for model, alike in ((sure, True), (unsure, False)):
        job = refine(made.particles, model, search_2d(5), iterations=1, fixed={"maps", "tau2", "sigma2"})
        widget = em_stepper(job, made.particles, search_2d(5), chosen=1)
        average = np.frombuffer(widget._averages, np.uint8).reshape(2, 24, 24)[0]
        correlation = np.corrcoef(average.ravel(), protein.density.ravel())[0, 1]
        assert (correlation > 0.9) == alike, correlation
        widget.close()


def test_the_page_gets_a_picture_with_its_description(stepper):
    alt = re.search(r'alt="([^"]+)"', stepper.still()["text/html"])[1]
    assert "2 references" in alt and "after 3 turns" in alt and "nat per particle" in alt and "in class" in alt
    stepper.frame, stepper.particle = 0, 1
    assert "After 0 turns, particle 41" in stepper.picture().alt


def test_values_out_of_range_are_brought_back(stepper):
    stepper.frame, stepper.particle, stepper.shown_class = 99, -3, 7
    assert (stepper.frame, stepper.particle, stepper.shown_class) == (3, 0, 2)


def test_what_cannot_be_stepped_through_is_refused_in_one_sentence(planar, monkeypatch):
    job, made, search = planar
    with pytest.raises(InputError, match="no iteration"):
        em_stepper([], made.particles, search)
    with pytest.raises(InputError, match="chosen"):
        em_stepper(job, made.particles, search, chosen=[60])
    with pytest.raises(InputError, match="no angles"):
        em_stepper(job, made.particles, search, truth=replace(made.truth, angles=None))
    with pytest.raises(InputError, match="3D search"):
        em_stepper(job, made.particles, search_3d(1))
    monkeypatch.setattr(module, "MOST", 10_000)
    with pytest.raises(InputError, match="fewer"):
        em_stepper(job, made.particles, search)
