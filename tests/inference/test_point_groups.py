"""Refinement of symmetric maps: a part of the views is searched, and every image counts for all its mates.

If this breaks, whoever gives a symmetry gets a map that is blurred (mates where there are none), too noisy (images
counted once) or over-confident (a prior that is too weak by the order of the group), and sees nothing of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix, matrix_to_euler, random_rotations
from cryoedu.geometry.fourier import low_pass
from cryoedu.geometry.grids import search_2d, search_3d
from cryoedu.geometry.masks import soft_sphere
from cryoedu.geometry.symmetry import asymmetric_unit, symmetrised_rotations, symmetry_operators
from cryoedu.geometry.turning import turned
from cryoedu.inference.adaptive import Adaptive, adaptive_expectation
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.em import classify3d, refine
from cryoedu.inference.expectation import expectation
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import start_model
from cryoedu.inference.sums import Inserter
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.specimen import Specimen
from cryoedu.validation.fsc import fsc

PIXEL = 5.0
CTF = {"defocus": (8e3, 1.2e4), "noise": coloured, "progress": False}


def phantom(group: str, box: int, seed: int = 2) -> np.ndarray:
    """Blobs at random places and at all their mates, in closed form: symmetric to the last digit."""
    rng = np.random.default_rng(seed)
    axis = np.arange(box) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    out = np.zeros((box,) * 3)
    operators = symmetry_operators(group)
    for place in rng.uniform(-0.17, 0.17, (4, 3)) * box:
        for a, b, c in operators @ place:
            out += np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 3.0)
    return out.astype(np.float32)


def asymmetry(density: np.ndarray, group: str) -> float:
    """Fold of the map that changes when it is turned by the group's operators."""
    ball = soft_sphere(len(density), 1.0, 0.75 * len(density))
    inside = (density - density[ball > 0.5].mean()) * ball
    change = [np.linalg.norm((turned(density, s) - density) * ball) for s in symmetry_operators(group)[1:]]
    return float(np.mean(change) / np.linalg.norm(inside))


@pytest.mark.parametrize("group", ["C2", "C4", "D2"])
def test_one_part_of_the_views_with_symmetric_sums_is_a_search_of_all(group):
    """HEALPix obeys these groups, so the asymmetric unit and its mates are the whole grid, hypothesis by hypothesis.

    Every image stands at each of its M mates with weight 1/M there and with weight 1 here: the same equations, M times.
    """
    specimens = [Specimen(phantom(group, 16, seed), PIXEL) for seed in (1, 2)]
    particles = simulate(specimens, 12, seed=1, snr=0.5, **CTF).particles
    model = start_model(particles, np.stack([s.density for s in specimens]))
    space = FourierSpace(16, 3, PIXEL, 8)
    whole = search_3d(1, shift_range=PIXEL, shift_step=PIXEL)
    part = asymmetric_unit(whole, group)
    mates = len(symmetry_operators(group))
    assert len(part.angles) * mates == len(whole.angles) and part.symmetry == group
    (found, sums), (dense, all_sums) = (expectation(particles, model, search, space, MAXIMUM_LIKELIHOOD, xp=np,
                                                    budget=10**9) for search in (part, whole))
    np.testing.assert_allclose(sums.log_likelihood, all_sums.log_likelihood, atol=0.01)
    np.testing.assert_allclose(found.class_probability, dense.class_probability, atol=1e-4)
    np.testing.assert_allclose(found.max_probability, mates * dense.max_probability, atol=1e-3)
    np.testing.assert_allclose(sums.squares, all_sums.squares, rtol=1e-4)
    mine, theirs = sums.equations(space), all_sums.equations(space)
    for one, other in ((mine.gradient, theirs.gradient), (mine.weight, theirs.weight),
                       (mine.curvature(model.maps), theirs.curvature(model.maps))):
        np.testing.assert_allclose(one, mates * other, atol=1e-4 * mates * np.abs(other).max())


@pytest.mark.parametrize("group", ["D2", "T"])
def test_symmetric_sums_are_a_loop_over_the_operators(group):
    """T divides no grid exactly; an adaptive search inserts its own slices: both against slices inserted one by one."""
    particles = simulate(Specimen(phantom(group, 16), PIXEL), 5, seed=1, snr=0.5, **CTF).particles
    model = start_model(particles, phantom(group, 16)[None])
    space = FourierSpace(16, 3, PIXEL, 8)
    search = asymmetric_unit(search_3d(1), group)
    _, sums = expectation(particles, model, search, space, MAXIMUM_LIKELIHOOD, xp=np, budget=10**9)
    equations = sums.equations(space)
    gradient, curvature = np.zeros_like(model.maps), np.zeros_like(model.maps)
    for operator in symmetry_operators(group):
        poses = euler_to_matrix(search.angles) @ operator
        gradient += space.backproject(sums.numerator, poses)
        curvature += space.backproject(sums.denominator * space.project(model.maps, poses), poses)
    np.testing.assert_allclose(equations.gradient, gradient, atol=1e-5 * np.abs(gradient).max())
    np.testing.assert_allclose(equations.curvature(model.maps), curvature, atol=1e-5 * np.abs(curvature).max())


@pytest.mark.parametrize("group", ["D2", "T"])
def test_the_slices_of_an_adaptive_search_are_inserted_at_their_mates_too(group):
    """Against the same slices added once for each operator."""
    rng = np.random.default_rng(4)
    space, rotations = FourierSpace(16, 3, PIXEL, 8), random_rotations(6, rng)
    values, weights = (rng.standard_normal((6, len(space.bins))).astype(np.float32) for _ in range(2))
    ours, by_hand = Inserter(space, 1, np, group), Inserter(space, 1, np)
    ours.add(0, values * (1 + 0.5j), weights, rotations)
    for operator in symmetry_operators(group):
        by_hand.add(0, values * (1 + 0.5j), weights, rotations @ operator)
    one, other = (inserter.sums(np.zeros((1, 9)), np.zeros((1, 9)), 0.0, 0.0) for inserter in (ours, by_hand))
    np.testing.assert_allclose(one.inserted, other.inserted, atol=1e-4)
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-4)
    means = [[values[:, 0].sum(), weights[:, 0].sum()]]
    np.testing.assert_allclose(one.dc, len(symmetry_operators(group)) * np.array(means), rtol=1e-4)
    assert one.inserted[0, 0, 0, 0] == one.weights[0, 0, 0, 0] == 0  # it is kept apart

    particles = simulate(Specimen(phantom(group, 16), PIXEL), 3, seed=1, snr=0.5, **CTF).particles
    model = start_model(particles, phantom(group, 16)[None])
    search = asymmetric_unit(search_3d(1), group)
    (_, gridded), (_, once) = (adaptive_expectation(particles, model, s, Adaptive(), space, xp=np, budget=10**9)
                               for s in (search, replace(search, symmetry="C1")))
    assert gridded.log_likelihood == once.log_likelihood
    assert gridded.weights.sum() == pytest.approx(len(symmetry_operators(group)) * once.weights.sum(), rel=1e-5)


@pytest.mark.parametrize("group", ["C4", "D2"])
def test_the_prior_weighs_what_it_weighs_in_a_search_of_all(group):
    """The prior holds for each independent component, and a map of M mates has M times fewer: T counts M times."""
    particles = simulate(Specimen(phantom(group, 16), PIXEL), 40, seed=1, snr=0.5, **CTF).particles
    model = start_model(particles, phantom(group, 16)[None])
    search, mates = search_3d(1), len(symmetry_operators(group))
    options = {"iterations": 1, "steps": 10, "fixed": ("sigma2",), "array_library": "numpy"}
    symmetric = next(refine(particles, model, search, symmetry=group, tau2_fudge=0.5, **options))
    plain = next(refine(particles, model, search, tau2_fudge=0.5 * mates, **options))
    off = next(refine(particles, model, search, tau2_fudge=0.5, **options))
    size = np.abs(plain.model.maps).max()
    np.testing.assert_allclose(symmetric.model.maps, plain.model.maps, atol=0.01 * size)
    assert np.abs(off.model.maps - plain.model.maps).max() > 0.05 * size
    np.testing.assert_allclose(symmetric.ssnr[:, 1:7], plain.ssnr[:, 1:7], rtol=0.01)


@pytest.mark.parametrize(("group", "adaptive"), [("C4", None), ("D2", None), ("T", None),
                                                 ("D2", Adaptive(levels=1, diameter=70.0))])
def test_a_symmetric_particle_comes_out_symmetric_and_better_than_without(group, adaptive):
    """The same particles, start and grid: with its symmetry the map has M times the data."""
    truth = phantom(group, 24)
    count, snr = (60, 0.3) if adaptive else (150, 0.15)
    experiment = simulate(Specimen(truth, PIXEL), count, seed=3, snr=snr, shift_sigma=3.0, **CTF)
    truth = experiment.specimens[0].density
    start = start_model(experiment.particles, low_pass(truth[None], PIXEL, 40.0))
    search = search_3d(1, shift_range=5, shift_step=5)
    options = {"iterations": 4, "tau2_fudge": 2.0, "perturb_seed": 1, "array_library": "numpy", "adaptive": adaptive,
               "radii": [6, 8], "mask": soft_sphere(24, PIXEL, 100.0)}
    *_, with_it = refine(experiment.particles, start, search, symmetry=group, **options)
    *_, without = refine(experiment.particles, start, search, **options)
    ours, plain = (fsc(i.model.maps[0], truth)[2:9].mean() for i in (with_it, without))
    assert asymmetry(with_it.model.maps[0], group) < min(0.025, 0.5 * asymmetry(without.model.maps[0], group))
    assert ours > plain + 0.05


def test_the_start_is_symmetrised_once_and_a_run_goes_on_as_if_it_had_not_stopped():
    group = "C4"
    experiment = simulate(Specimen(phantom(group, 16), PIXEL), 20, seed=3, snr=1.0, **CTF)
    lopsided = phantom("C1", 16)
    start = start_model(experiment.particles, lopsided[None])
    options = {"iterations": 3, "symmetry": group, "perturb_seed": 5, "array_library": "numpy"}
    whole = list(refine(experiment.particles, start, search_3d(0), **options))
    assert asymmetry(lopsided, group) > 0.5 and asymmetry(whole[0].before.maps[0], group) < 0.02
    (last,) = refine(experiment.particles, start, search_3d(0), after=whole[1], **options)
    np.testing.assert_array_equal(last.model.maps, whole[2].model.maps)


def test_seeds_of_classes_are_symmetric_too():
    experiment = simulate(Specimen(phantom("D2", 16), PIXEL), 24, seed=3, snr=1.0, **CTF)
    first = next(classify3d(experiment.particles, phantom("D2", 16), 2, search_3d(0), seed=1, resolution=30.0,
                            symmetry="D2", iterations=1, array_library="numpy"))
    assert max(asymmetry(m, "D2") for m in first.before.maps) < 0.02


def test_a_reconstruction_inserts_every_particle_at_all_its_mates():
    """As from the list that relion_particle_symmetry_expand makes: each particle once for each operator."""
    rotations = random_rotations(30, np.random.default_rng(1))
    experiment = simulate(Specimen(phantom("D3", 24), PIXEL), 30, seed=3, snr=0.5, **CTF)
    few = replace(experiment.truth, angles=matrix_to_euler(rotations))
    mates = len(symmetry_operators("D3"))
    expanded = replace(few.subset_of(np.tile(np.arange(30), mates)),
                       angles=matrix_to_euler(symmetrised_rotations(euler_to_matrix(few.angles), "D3")))
    options = {"wiener": False, "progress": False, "array_library": "numpy"}
    ours = reconstruct(few, symmetry="D3", **options).density
    np.testing.assert_allclose(ours, reconstruct(expanded, **options).density, atol=1e-3 * np.abs(ours).max())
    truth = experiment.specimens[0].density
    better = fsc(reconstruct(experiment.truth, symmetry="D3", progress=False).density, truth)[2:11].mean()
    plain = fsc(reconstruct(experiment.truth, progress=False).density, truth)[2:11].mean()
    assert better > plain + 0.1


@pytest.mark.parametrize(("search", "symmetry", "words"), [(search_2d(30), "C4", "plane"),
                                                           (search_3d(0), "X4", "'X4' is not a point group")])
def test_what_has_no_symmetry_is_refused(search, symmetry, words):
    experiment = simulate(Specimen(phantom("C1", 16), PIXEL), 5, seed=3, snr=1.0, **CTF)
    maps = experiment.specimens[0].density[None] if not search.in_plane else experiment.particles.images[:1]
    with pytest.raises(InputError, match=words):
        refine(experiment.particles, start_model(experiment.particles, maps), search, symmetry=symmetry,
               array_library="numpy")
    with pytest.raises(InputError, match="average in 2D"):
        reconstruct(replace(experiment.truth), ndim=2, symmetry="C4", array_library="numpy")
