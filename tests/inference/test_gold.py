"""Gold-standard refinement: what the two halves agree on must not come from one of them alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.geometry.fourier import multiplicity, shells
from cryoedu.geometry.grids import LocalSearch, search_3d
from cryoedu.geometry.masks import soft_sphere
from cryoedu.inference import gold
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.em import refine
from cryoedu.inference.gold import gold_standard, halves_of, next_stage
from cryoedu.inference.settings import Sampling
from cryoedu.inference.start import noise_power, start_model
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.specimen import Specimen
from cryoedu.validation.fsc import fsc, resolution
from cryoedu.validation.masked import masked_fsc
from cryoedu.validation.poses import pose_errors
from cryoedu.validation.resolved import resolved_shells

BOX, PIXEL = 20, 8.0
SEARCH = search_3d(1, shift_range=16, shift_step=8)


def blobs() -> Specimen:
    rng = np.random.default_rng(2)
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
    out = np.zeros((BOX,) * 3)
    for _ in range(9):
        out += np.exp(-sum((a - c) ** 2 for a, c in zip(axes, rng.uniform(-5, 5, 3), strict=True)) / 3.0)
    return Specimen(out.astype(np.float32), PIXEL)


@pytest.fixture(scope="module")
def experiment():
    return simulate(blobs(), 120, seed=1, snr=0.5, noise=coloured, defocus=(8e3, 1.6e4), shift_sigma=4.0,
                    progress=False)


def refined(particles, **options):
    return gold_standard(particles, blobs().density, SEARCH, **{"seed": 3, "initial_resolution": 40, "diameter": 120,
                                                                "join": 1000, "sampling": Sampling(finest=2),
                                                                "array_library": "numpy", **options})


def test_a_half_does_not_see_the_other(experiment):
    """Else the noise that one half fits would turn up in both, and be reported as resolution."""
    halves = halves_of(experiment.particles, 3)
    images = experiment.particles.images.copy()
    images[halves[1]] += np.random.default_rng(1).normal(0, 2 * images.std(), images[halves[1]].shape)
    first, second = (next(refined(replace(experiment.particles, images=x), iterations=1)).state["halves"]
                     for x in (experiment.particles.images, images))
    np.testing.assert_array_equal(first[0], second[0])  # unfiltered: the prior comes from both
    assert fsc(first[1], second[1])[3] < 0.995


def test_prior_and_report_follow_from_the_halves(experiment):
    """τ² = FSC/(1 - FSC) over a half's weight, and the FSC that is reported is that of the unfiltered halves."""
    turn = next(refined(experiment.particles, iterations=1))
    one, two = turn.state["halves"]
    curve = fsc(one, two)
    shown = np.arange(BOX // 2 + 1) <= turn.radius
    np.testing.assert_allclose(turn.fsc, np.where(shown, curve, 0.0), atol=1e-6)
    measured = int(turn.state["measured"][-1])
    assert turn.resolved <= measured <= turn.radius
    assert (turn.ssnr[0][measured + 1 :] < 0.01).all()  # twice the least FSC of a half
    assert len(turn.folds) == 2 and turn.model.classes == 1


@pytest.fixture(scope="module")
def first_turn():
    """The first iteration of images without CTF, in which shells 2 to 7 run from signal to noise, and what was given to
    `_update`."""
    made = simulate(blobs(), 160, seed=2, snr=0.15, progress=False)
    given, update = [], gold._update
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gold, "_update", lambda *a: (given.append(a), update(*a))[1])
        turn = next(refined(made.particles, iterations=1, initial_resolution=BOX * PIXEL / 7))
    return made.particles, turn, given[0]


def test_the_prior_is_what_the_halves_say(first_turn):
    """In closed form: SSNR and τ² from the FSC within the sphere, over the weight that white images without CTF give a
    component of a shell: 1/σ² for each of a ring's, spread over the shell's."""
    particles, turn, _ = first_turn
    one, two = turn.state["halves"]
    sphere = soft_sphere(BOX, PIXEL, min(120, (BOX - 6) * PIXEL))
    within = masked_fsc(one, two, sphere, PIXEL).true
    safe = np.where(np.arange(len(within)) <= turn.state["measured"][-1], np.clip(within, 1e-3, 0.999), 1e-3)
    ssnr = safe / (1 - safe)
    used = np.arange(2, turn.radius + 1)
    assert ssnr[used].max() > 3 and ssnr[used].min() < 1  # or a factor in the wrong place would not show
    assert np.abs(fsc(one, two) - within)[used].max() > 0.05
    np.testing.assert_allclose(turn.ssnr[0][used], 2 * ssnr[used], rtol=1e-5)
    ring, shell = (np.bincount(shells(BOX, ndim).ravel(), multiplicity(BOX, ndim).ravel())[: BOX // 2 + 1]
                   for ndim in (2, 3))
    sigma2 = np.mean([noise_power(particles.subset_of(mine))[0] for mine in halves_of(particles, 3)], axis=0)
    weight = len(particles) / 2 / sigma2 * ring / shell
    np.testing.assert_allclose((turn.model.tau2[0] * weight / ssnr)[used[1:-1]], 1, atol=0.25)
    shown = np.where(np.arange(len(within)) > turn.radius, 0, within)
    assert turn.resolved == resolved_shells(shown, turn.state["chance"]) < turn.radius


def test_maps_are_solved_with_the_prior_that_the_halves_say(first_turn, monkeypatch):
    """Both halves, and the map of all, which has twice the weight. What the prior comes from has none."""
    priors, solve = [], gold.solve
    monkeypatch.setattr(gold, "solve", lambda *a: (priors.append(a[2]), solve(*a))[1])
    tau2 = gold._update(*first_turn[2]).model.tau2
    used = slice(2, first_turn[1].radius)
    assert len(priors) == 5
    for weak in priors[:2]:
        np.testing.assert_allclose(weak[0, used] * tau2[0, used], 0.01 * first_turn[1].ssnr[0, used] / 2, rtol=0.1)
    for prior in priors[2:]:
        np.testing.assert_allclose(prior[0, used], 1 / tau2[0, used])


def test_what_is_too_little_for_a_claim_is_kept_and_looked_at(first_turn, monkeypatch):
    """Cut at the claim, the map of lesson 10's ribosome ended at 21.6 Å instead of 18.3, and fewer poses were right."""
    monkeypatch.setattr(gold, "resolved_shells", lambda *a, threshold=0.143, **b: 4 if threshold else 6)
    found = gold._update(*first_turn[2])
    assert found.state["resolved"] == 4 and found.state["measured"] == 6
    assert (found.ssnr[0, 5:7] > 0.2).all() and found.ssnr[0, 7] < 0.01
    assert stage_after(progress([3, 4], [1, 1]) | {"measured": np.array([6.0])}).known == 6


def test_a_half_s_map_is_its_images_alone(first_turn):
    """A few steps from the last maps would leave in both what these began as, and an FSC of 0.99 where images hold
    noise."""
    sums, sizes, models, *rest = first_turn[2]
    others = [replace(model, maps=model.maps[:, ::-1] + np.float32(0.1) * model.maps.max()) for model in models]
    before, after = (gold._update(sums, sizes, each, *rest).state["halves"] for each in (models, others))
    np.testing.assert_array_equal(before, after)


def test_what_images_were_not_scored_by_is_measured_apart(first_turn):
    """Beyond the shells that the references hold, the FSC is that of maps from components beyond them."""
    sums, sizes, models, stage, space, *rest = first_turn[2]
    turn = gold._update(sums, sizes, models, replace(stage, known=4), space, *rest)
    one, two = (gold._unfiltered(s.beyond(4).equations(space), space, np)[0] for s in sums)
    apart, together = fsc(one, two), fsc(*turn.state["halves"])
    np.testing.assert_allclose(turn.fsc[5:8], apart[5:8], atol=1e-6)
    np.testing.assert_allclose(turn.fsc[:5], together[:5], atol=1e-6)
    assert np.abs(apart - together)[5:8].max() > 0.05


def test_low_frequencies_are_shared(experiment):
    """Coarser than ``join`` the halves are one map, or they would drift apart in orientation."""
    turn = next(refined(experiment.particles, iterations=1, join=BOX * PIXEL / 2))
    same = fsc(turn.folds[0].maps[0], turn.folds[1].maps[0])
    assert same[1:3].min() > 1 - 1e-6 and same[3] < 1 - 1e-4


@pytest.mark.slow
def test_it_converges_to_the_truth_and_reports_no_more_than_that(experiment):
    """From a map blurred to 40 Å; it stops by itself, with all shells and the map of all particles."""
    turns = list(refined(experiment.particles, join=60.0, iterations=20))
    last = turns[-1]
    assert len(turns) < 20 and last.radius == BOX // 2 and last.state["finished"]
    truth = experiment.specimens[0].density
    reached = resolution(fsc(last.model.maps[0], truth), PIXEL, threshold=0.5) or 2 * PIXEL
    reported = resolution(last.fsc, PIXEL) or 2 * PIXEL
    assert reached < 25
    assert BOX * PIXEL / reported < BOX * PIXEL / reached + 0.5  # shells, of which this small box has ten
    errors = pose_errors(last.posterior.angles, experiment.truth.angles, last.posterior.shifts, experiment.truth.shifts)
    assert errors.median_angle < 20 and errors.median_shift < 4  # of blobs that are hardly told apart


def test_going_on_gives_the_same_bits(experiment):
    """A microscopist's run that was stopped after the second iteration ends as if it had not been."""
    few = experiment.particles.subset_of(np.arange(40))
    whole = list(refined(few, iterations=4))
    at = whole[1]
    rest = list(refined(few, iterations=4, after=at))
    assert [t.number for t in rest] == [t.number for t in whole[2:]]
    np.testing.assert_array_equal(rest[-1].model.maps, whole[-1].model.maps)
    np.testing.assert_array_equal(rest[-1].posterior.angles, whole[-1].posterior.angles)


def progress(resolved, halvings, *, finished=False, count=4):
    return {"resolved": np.array(resolved, dtype=float), "halvings": np.array(halvings, dtype=float),
            "finished": np.asarray(finished), "nyquist": np.asarray(32), "angles": np.zeros((count, 3)),
            "shifts": np.zeros((count, 2))}


def stage_after(state, number=9, **options):
    return next_stage(number, state, search_3d(2, shift_step=10), Sampling(**options), 7, 320.0, 310.0, 1, 30)


def test_the_sampling_gets_finer_only_where_that_can_help():
    """Steps that move the particle's edge by less than half the resolution would cost much and find nothing."""
    assert stage_after(progress([10, 12], [1, 1])).adaptive.levels == 1  # still getting better
    assert stage_after(progress([12, 12], [1, 1])).adaptive.levels == 2  # 26.7 Å at 310 Å: 4.9° are enough, 7.5° not
    assert stage_after(progress([6, 6], [1, 1])).adaptive.levels == 1  # 53 Å: 9.9° are enough
    stuck = stage_after(progress([20, 20, 20, 20], [2, 2, 3, 3]))
    assert isinstance(stuck.search, LocalSearch) and stuck.search.angular_step == 15 / 8


@pytest.mark.slow
def test_the_share_that_is_followed_loses_hardly_anybody():
    """With the true map and noise, in steps from 15° on: who is lost has a likelier pose that nobody looked at, and the
    local searches after that do not find it. Of a hundred orientations at most, as they were once followed, three were
    lost, and more."""
    made = simulate(load("ribosome-80S", box=48, pixel_size=6.6), 300, seed=4, snr=0.2, noise=coloured,
                    defocus=(1e4, 2e4), shift_sigma=6.0, progress=False)
    model = replace(start_model(made.particles, made.specimens[0].density[None]), sigma2=np.atleast_2d(made.sigma2))

    turn = next(refine(made.particles, model, search_3d(2, shift_range=19.8, shift_step=9.9), iterations=1, radii=[18],
                       adaptive=Adaptive(levels=2, diameter=290.0), fixed=("maps", "sigma2", "tau2"), space="fourier",
                       array_library="numpy"))
    assert np.sum(pose_errors(turn.posterior.angles, made.truth.angles).angles > 10) <= 1


def test_it_ends_with_one_iteration_at_all_shells():
    last = stage_after(progress([12, 13, 13, 13], [1, 2, 2, 2]))
    assert last.radius == 32
    assert stage_after(progress([13, 13], [2, 2], finished=True)) is None
    assert stage_after(progress([13, 14], [2, 2]), number=30).radius == 32  # no iterations are left


def test_halves_come_from_the_particles_or_from_the_seed(experiment):
    few = experiment.particles.subset_of(np.arange(7))
    one, two = halves_of(few, 1)
    assert sorted([*one, *two]) == list(range(7))
    given = replace(few, subset=np.array([1, 2, 2, 1, 2, 1, 1]))
    np.testing.assert_array_equal(halves_of(given, 1)[1], [1, 2, 4])
    with pytest.raises(InputError, match="rlnRandomSubset is neither"):
        halves_of(replace(few, subset=np.array([0, 2, 2, 1, 2, 1, 1])), 1)
    with pytest.raises(InputError, match="one of the two halves"):
        halves_of(replace(few, subset=np.ones(7, dtype=int)), 1)
