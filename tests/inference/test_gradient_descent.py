"""Starts from nothing: steps of gradient descent and hill climbing against their definitions, and where they end."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import components, gather, shift_phases
from cryoedu.geometry.grids import Search, local_search, search_2d, search_3d, shift_grid
from cryoedu.geometry.masks import soft_sphere
from cryoedu.inference import gradient_descent
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
from cryoedu.inference.em import refine
from cryoedu.inference.expectation import expectation
from cryoedu.inference.gradient_descent import growing, stochastic_gradient_descent
from cryoedu.inference.hillclimbing import FOLDS, first_better, stochastic_hill_climbing
from cryoedu.inference.local import local_expectation
from cryoedu.inference.model import Checkpoint, Model, Posterior, signal_power
from cryoedu.inference.mstep import maximisation
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import random_start, random_subsets, start_model
from cryoedu.microscope.ctf import ctf_components
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.projection import project
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import CTFParameters, Optics, Particles
from cryoedu.runs.checkpoints import read_checkpoint, write_checkpoint

BOX, PIXEL = 12, 5.0
SPACE = FourierSpace(BOX, 3, PIXEL, 5)
BUDGET = 64_000_000
ALGORITHMS = {"sgd": stochastic_gradient_descent, "shc": stochastic_hill_climbing}


def blobs(box: int, seed: int = 3, count: int = 7) -> np.ndarray:
    """A few Gaussian blobs at random: an asymmetric specimen."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(box) - box // 2] * 3, indexing="ij")
    out = np.zeros((box,) * 3)
    for _ in range(count):
        centre = rng.uniform(-0.2, 0.2, 3) * box
        out += rng.uniform(0.5, 1.5) * np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / 5.0)
    return out.astype(np.float32)


@pytest.fixture(scope="module")
def tiny():
    """Ten particles in two noise groups, with CTFs and known shifts, two maps, seven orientations, five shifts."""
    rng = np.random.default_rng(11)
    count = 10
    maps = rng.standard_normal((2, BOX, BOX, BOX)).astype(np.float32) * soft_sphere(BOX, 1, 6)
    ctf = CTFParameters.of(rng.uniform(8e3, 2e4, count), rng.uniform(8e3, 2e4, count), rng.uniform(0, 180, count))
    images = (rng.standard_normal((count, BOX, BOX)) * 1.5).astype(np.float32)
    particles = Particles(images, (Optics(PIXEL, name="a"), Optics(PIXEL, name="b")), rng.integers(0, 2, count), ctf,
                          shifts=rng.uniform(-4, 4, (count, 2)))
    search = Search(rng.uniform(0, 360, (7, 3)), shift_grid(PIXEL, PIXEL), 30.0, PIXEL)
    model = Model(maps, PIXEL, rng.uniform(40, 160, (2, BOX // 2 + 1)), signal_power(maps), np.array([0.3, 0.7]), 6.0)
    return particles, model, search


@pytest.fixture(scope="module")
def experiment():
    """Sixty particles of some blobs, 16 px."""
    return simulate(Specimen(blobs(16), 8.0), 60, seed=1, snr=0.5, noise=coloured, shift_sigma=4.0,
                    defocus=(1e4, 2e4), progress=False)


def overlaps(particles, model, angles, shifts, i, k=0):
    """Σ Re X* A CTF / σ² and Σ |A|² CTF² / σ² of one particle at one pose, in float64, written out."""
    parts = components(BOX, SPACE.radius)
    a = project(model.maps[k : k + 1].astype(np.float64), euler_to_matrix(angles)[None], parts)[0, 0]
    a = a * ctf_components(parts, particles.optics[particles.optics_group[i]], particles.ctf[i : i + 1])[0]
    a = a * shift_phases((particles.shifts[i] + shifts)[None] / PIXEL, parts)[0]
    x = gather(particles.images[i : i + 1].astype(np.float64), parts)[0]
    sigma2 = model.sigma2[particles.optics_group[i], parts.shell]
    match, energy = (x.conj() * a).real / sigma2, np.abs(a) ** 2 / sigma2
    return match[1:].sum(), energy[1:].sum()


def log_likelihood(particles, model, search):
    """Σ_i log Σ_h P(X_i | h) P(h), each hypothesis on its own, less a constant of the images."""
    prior = np.exp(-np.sum(search.shifts**2, axis=1) / (2 * model.offset_sigma**2))
    total = 0.0
    for i in range(len(particles)):
        terms = []
        for k in range(model.classes):
            for angles in search.angles:
                for s, shift in enumerate(search.shifts):
                    match, energy = overlaps(particles, model, angles, shift, i, k)
                    terms.append(match - energy / 2 + np.log(model.class_weights[k] * prior[s]))
        top = max(terms)
        total += top + np.log(np.sum(np.exp(np.array(terms) - top)))
    return total


def test_the_gradient_is_that_of_the_log_likelihood(tiny):
    """A step along anything else would still move the map, and nobody would see why it does not get better."""
    particles, model, search = tiny
    _, sums = expectation(particles, model, search, SPACE, MAXIMUM_LIKELIHOOD, xp=np, budget=BUDGET)
    sums.numerator[..., 0] = sums.denominator[..., 0] = 0  # the mean (DC) is reconstructed, but not scored
    equations = sums.equations(SPACE)
    gradient = equations.gradient - equations.curvature(model.maps)
    rng = np.random.default_rng(1)
    for _ in range(3):
        way = rng.standard_normal(model.maps.shape)
        up, down = (replace(model, maps=model.maps + step * way) for step in (1e-4, -1e-4))
        slope = (log_likelihood(particles, up, search) - log_likelihood(particles, down, search)) / 2e-4
        assert np.sum(gradient * way) == pytest.approx(slope, rel=2e-3, abs=1e-3 * float(np.linalg.norm(gradient)))


def test_with_all_particles_and_no_momentum_it_is_the_loop_with_one_step(experiment):
    """There is one engine: what a batch asks for is what the maximisation gives."""
    particles = experiment.particles
    start = start_model(particles, blobs(16, 5)[None])
    state = {"velocity": np.zeros_like(start.maps)}
    state |= {f.name: np.zeros(60) for f in fields(Posterior)} | {"classes": np.zeros(60, dtype=np.int64)}
    state |= {"angles": np.zeros((60, 3)), "shifts": np.zeros((60, 2)), "class_probability": np.ones((60, 1))}
    search, mask = search_3d(0, shift_range=8, shift_step=8), soft_sphere(16, 8.0, 90.0)
    options = {"radii": [6], "mask": mask, "array_library": "numpy", "iterations": 1}
    (theirs,) = refine(particles, start, search, perturb_seed=3, steps=1, **options)
    (ours,) = stochastic_gradient_descent(particles, search, seed=3, rate=1.0, momentum=0.0, model=start, state=state,
                                          **options)
    np.testing.assert_allclose(ours.model.maps, theirs.model.maps, atol=1e-6 * np.abs(theirs.model.maps).max())
    np.testing.assert_allclose(ours.model.sigma2, theirs.model.sigma2)
    np.testing.assert_array_equal(ours.posterior.angles, theirs.posterior.angles)
    assert ours.log_likelihood == theirs.log_likelihood
    assert ours.model.offset_sigma == pytest.approx(theirs.model.offset_sigma)


def test_the_map_takes_the_rest_of_the_way_later(experiment):
    """What momentum keeps back must come in the next iterations, or the rate would mean nothing."""
    turns = list(stochastic_gradient_descent(experiment.particles, search_3d(0), seed=1, iterations=3, batches=[20, 30],
                                             radii=[4], rate=0.8, momentum=0.6, array_library="numpy"))
    for turn in turns:
        np.testing.assert_allclose(turn.model.maps - turn.before.maps, turn.state["velocity"], atol=1e-6)
    looked_at = [int((t.posterior.max_probability > 0).sum()) for t in turns]
    assert looked_at[0] == 20 and 30 <= looked_at[1] <= 50 and looked_at[2] == 60  # all have a pose in the end


def test_momentum_keeps_its_share_of_the_last_step_and_the_prior_is_that_of_all_particles(experiment, monkeypatch):
    """Of two second iterations, one with the first one's velocity and one at rest, the difference is the share of it.
    A batch of a third of the particles meets a third of the prior."""
    asked, solved = [], maximisation
    monkeypatch.setattr(gradient_descent, "maximisation", lambda *a: (asked.append(a[5]), solved(*a))[1])
    options = {"seed": 1, "iterations": 3, "batches": [20], "radii": [4], "momentum": 0.6, "tau2_fudge": 2.0,
               "array_library": "numpy"}
    first = next(stochastic_gradient_descent(experiment.particles, search_3d(0), **options))
    still = {**first.state, "velocity": np.zeros_like(first.state["velocity"])}
    moving, resting = (next(stochastic_gradient_descent(experiment.particles, search_3d(0),
                                                        after=replace(first, state=state), **options)).state["velocity"]
                       for state in (first.state, still))
    np.testing.assert_allclose(moving - resting, 0.6 * first.state["velocity"], atol=1e-5 * np.abs(moving).max())
    assert asked == [6.0] * 3


def test_hill_climbing_takes_the_first_that_is_better(tiny):
    """Written out: each particle goes through the orientations in its random order and stops at a better one."""
    particles, model, search = tiny
    rng = np.random.default_rng(4)
    model = replace(model, maps=model.maps[:1], class_weights=np.ones(1))
    angles, shifts = rng.uniform(0, 360, (10, 3)), rng.uniform(-5, 5, (10, 2))
    numbers = np.arange(20, 30)  # of a part of more particles

    def climb(poses, turn, budget=BUDGET):
        return first_better(particles, numbers, model, search, *poses, SPACE, seed=(9, turn), xp=np, budget=budget)

    found, moved = climb((angles, shifts), 2)

    def correlation(i, where, shift):
        match, energy = overlaps(particles, model, where, shift, i)
        return match / np.sqrt(energy)

    stayed = 0
    for i in range(10):
        now, expected = correlation(i, angles[i], shifts[i]), (angles[i], shifts[i])
        for o in np.argsort(np.random.default_rng([9, 2, 20 + i]).random(7)):
            scores = [correlation(i, search.angles[o], s) for s in search.shifts]
            if max(scores) > now:
                expected = search.angles[o], search.shifts[int(np.argmax(scores))]
                break
        else:
            stayed += 1
        np.testing.assert_array_equal(found[i], expected[0])
        np.testing.assert_array_equal(moved[i], expected[1])
        assert correlation(i, found[i], moved[i]) >= now - 1e-5
    again = climb((found, moved), 3, budget=600_000)
    assert stayed < 10 and any((again[0] != found).any(axis=1))
    best = [max(correlation(i, a, s) for a in search.angles for s in search.shifts) for i in range(10)]
    best_at_once, with_shift = first_better(particles, numbers, model, search, angles, shifts, SPACE, seed=(9, 2),
                                            greedy=True, xp=np, budget=600_000)
    for i in range(10):
        most = max(best[i], correlation(i, angles[i], shifts[i]))
        assert correlation(i, best_at_once[i], with_shift[i]) == pytest.approx(most, rel=1e-4)
    for turn in range(4, 12):  # by and by it is greedy
        again = climb(again, turn)
    for i in range(10):
        assert correlation(i, again[0][i], again[1][i]) >= best[i] - 1e-4


def test_a_particle_has_no_part_in_the_map_that_it_is_compared_with(experiment):
    """Else its own noise would speak for the pose that it has."""
    particles, search = experiment.particles, search_3d(0, shift_range=8, shift_step=8)
    turns = list(stochastic_hill_climbing(particles, search, seed=2, iterations=2, radii=[4], array_library="numpy"))
    space, ball = FourierSpace(16, 3, 8.0, 4), soft_sphere(16, 8.0, 80.0)

    def alone(mine, before):
        """The map that only ``mine`` give from their poses, and how well these fit the map before."""
        known = local_search(turns[1].posterior.angles[mine], turns[1].posterior.shifts[mine])
        found, sums = local_expectation(particles.subset_of(mine), before, known, space, MAXIMUM_CROSS_CORRELATION,
                                        xp=np, budget=BUDGET)
        return maximisation(sums, np.array([len(mine)]), before, search, space, None, ball, (), 2, np)[0].maps, found

    parts = random_subsets(60, FOLDS, 2)
    assert len(turns[0].folds) == len(parts) == FOLDS
    for mine, before, after in zip(parts, turns[0].folds, turns[1].folds, strict=True):
        others = np.setdiff1d(np.arange(60), mine)
        expected, _ = alone(others, before)
        with_it, _ = alone(np.arange(60), before)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(after.maps, expected, atol=1e-3 * scale)
        assert np.abs(with_it - after.maps).max() > 0.05 * scale
        _, found = alone(mine, before)
        np.testing.assert_allclose(turns[1].posterior.log_evidence[mine], found.log_evidence, rtol=1e-5)
    everyone, _ = alone(np.arange(60), replace(before, maps=np.mean([m.maps for m in turns[0].folds], axis=0)))
    np.testing.assert_allclose(turns[1].model.maps, everyone, atol=1e-3 * np.abs(everyone).max())


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_same_seed_gives_the_same_bits_and_so_does_going_on(experiment, name, tmp_path):
    """A run that was stopped and resumed must not end in another map."""
    def run(**more):
        return list(ALGORITHMS[name](experiment.particles, [search_3d(0), search_3d(0, shift_range=8, shift_step=8)],
                                     **{"seed": 5, "iterations": 4, "radii": [3, 4, 5], "array_library": "numpy",
                                        **more}))

    whole, again, other = run(), run(), run(seed=6)
    np.testing.assert_array_equal(whole[-1].model.maps, again[-1].model.maps)
    assert np.abs(whole[-1].model.maps - other[-1].model.maps).max() > 0
    path = tmp_path / "run_checkpoint.npz"
    write_checkpoint(Checkpoint(2, [whole[1].model, *whole[1].folds], whole[1].state), path)
    rest = run(after=read_checkpoint(path))
    assert [i.number for i in rest] == [3, 4]
    for once, later in zip(whole[2:], rest, strict=True):
        assert once.log_likelihood == later.log_likelihood
        for part in fields(Posterior):
            np.testing.assert_array_equal(getattr(once.posterior, part.name), getattr(later.posterior, part.name))
        for part in ("maps", "sigma2", "tau2", "class_weights", "offset_sigma"):
            np.testing.assert_array_equal(getattr(once.model, part), getattr(later.model, part))


def test_hill_climbing_ends_when_few_move(experiment):
    turns = list(stochastic_hill_climbing(experiment.particles, search_3d(0), seed=1, iterations=40, radii=[4],
                                          few=0.3, array_library="numpy"))
    moved = [np.mean(np.any(np.abs(b.state["angles"] - a.state["angles"]) > 1e-9, axis=1))
             for a, b in itertools.pairwise(turns)]
    assert len(turns) < 40 and moved[0] > moved[-1] < 0.5


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_map_of_ones_own_is_where_it_starts(experiment, name):
    """A learner asks whether chance leads away from a bad map: it has to begin with that map."""
    mine = start_model(experiment.particles, blobs(16, seed=8)[None])
    first = next(iter(ALGORITHMS[name](experiment.particles, search_3d(0), seed=5, iterations=2, radii=[4], model=mine,
                                       array_library="numpy")))
    np.testing.assert_array_equal(first.before.maps, mine.maps)
    assert np.abs(first.model.maps - mine.maps).max() > 0
    alone = next(iter(ALGORITHMS[name](experiment.particles, search_3d(0), seed=5, iterations=2, radii=[4],
                                       array_library="numpy")))
    assert np.abs(first.model.maps - alone.model.maps).max() > 0


def test_random_starts_differ_by_class_and_seed(experiment):
    mask = soft_sphere(16, 8.0, 90.0)
    maps = [random_start(experiment.particles, 2, 4, mask, seed=seed, xp=np, budget=BUDGET).maps for seed in (1, 2)]
    assert np.corrcoef(maps[0][0].ravel(), maps[0][1].ravel())[0, 1] < 0.99
    assert np.abs(maps[0] - maps[1]).max() > 0
    assert not maps[0][:, mask == 0].any()
    assert sorted(map(len, random_subsets(10, 4, 1))) == [2, 2, 3, 3]
    assert growing(120, 3) == [50, 100, 120]


def test_classes_share_the_particles(experiment):
    (*_, last) = stochastic_gradient_descent(experiment.particles, search_3d(0), seed=1, classes=2, iterations=3,
                                             radii=[4], array_library="numpy")
    np.testing.assert_allclose(last.posterior.class_probability.sum(axis=1), 1, atol=1e-5)
    assert last.model.maps.shape == (2, 16, 16, 16) and last.model.class_weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(("name", "options", "words"), [
    ("sgd", {"batches": [0]}, "at least 1 particle"), ("sgd", {"momentum": 1.0}, "momentum=1.0"),
    ("sgd", {"classes": 61}, "61 classes for 60 particles"), ("sgd", {"radii": [0]}, "at least 1 shell"),
    ("shc", {"few": 1.0}, "few=1.0"), ("shc", {"search": search_2d(30)}, "3D searches"),
    ("sgd", {"mask": np.ones((4, 4, 4))}, "resample the mask"),
], ids=str)
def test_bad_options_are_named_before_the_first_iteration(experiment, name, options, words):
    with pytest.raises(InputError, match=words):
        ALGORITHMS[name](experiment.particles, **{"search": search_3d(0), "seed": 1, **options})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "snr", "iterations"), [("sgd", 0.5, 150), ("shc", 1.0, 50)])
def test_from_nothing_to_a_ribosome(name, snr, iterations):
    """What the lessons promise: a map of a ribosome from 300 images and no idea at all."""
    from cryoedu import datasets
    from cryoedu.validation.alignment import score_map

    made = simulate(datasets.load("ribosome-80S", box=32, pixel_size=11.0), 300, seed=5, snr=snr, noise=coloured,
                    shift_sigma=5.0, defocus=(1e4, 2.5e4), progress=False)
    steps = {"shift_range": 11.0, "shift_step": 11.0}
    grids = [search_3d(1, **steps)] * (iterations - 15) + [search_3d(2, **steps)]
    (*_, last) = ALGORITHMS[name](made.particles, grids, seed=1, iterations=iterations,
                                  mask=soft_sphere(32, 11.0, 310.0), array_library="numpy")
    score = score_map(last.model.maps[0], made.specimens[0].density, 11.0, wanted=45.0, diameter=310.0)
    assert score.success, score.resolution
