"""Cross-fitted classification: no particle may judge itself, and what is said of a class must be true that often."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import multiplicity, shells
from cryoedu.geometry.grids import local_search, search_3d
from cryoedu.geometry.masks import soft_sphere
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.blocks import as_columns, prepare
from cryoedu.inference.crossfit import agreed, confirmed, cross_fit
from cryoedu.inference.em import refine, seeds_from_subsets
from cryoedu.inference.local import local_expectation
from cryoedu.inference.loop import opening
from cryoedu.inference.oracle import oracle
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.specimen import Specimen
from cryoedu.validation.classes import agreement
from cryoedu.validation.fsc import fsc

BOX, PIXEL = 16, 10.0


def blob(centre: tuple[float, float, float], width: float) -> np.ndarray:
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
    return np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / (2 * width**2)).astype(np.float32)


def states() -> list[Specimen]:
    """A body with and without a small domain."""
    body = blob((0, 0, 0), 2.0) + blob((2, 1, -2), 1.3)
    return [Specimen(body, PIXEL), Specimen(body + 1.2 * blob((-2, 3, 1), 1.2), PIXEL)]


@pytest.fixture(scope="module")
def experiment():
    return simulate(states(), 800, seed=3, snr=0.35, noise=coloured, defocus=(8e3, 1.6e4), shift_sigma=0.0,
                    progress=False)


def start(experiment, seed, iterations=14):
    """Known poses, seeds from random subsets, and shells that open."""
    search = local_search(experiment.truth.angles, np.zeros((len(experiment.particles), 2)))
    reference = experiment.specimens[0].density
    model = seeds_from_subsets(experiment.particles, reference, 2, search, seed=seed)
    mask = soft_sphere(BOX, PIXEL, 100.0)
    return model, search, {"iterations": iterations, "radii": opening(3, 6, iterations), "mask": mask}


def test_a_fold_has_no_part_in_the_maps_that_it_is_scored_against(experiment):
    """If it had, each particle would find its own noise there and confirm the class that it is in."""
    few = experiment.particles.subset_of(np.arange(60))
    small = replace(experiment, particles=few, truth=experiment.truth.subset_of(np.arange(60)))
    model, search, options = start(small, 1)
    options |= {"folds": 3, "seed": 5}
    before = next(cross_fit(few, model, search, **options))
    order = np.random.default_rng([5, 1]).permutation(60)
    fold = np.sort(np.array_split(order, 3)[1])
    images = few.images.copy()
    images[fold] = images[fold][::-1] * 1.5
    after = next(cross_fit(replace(few, images=images), model, search, **options))
    same = [min(fsc(a.maps[0] - a.maps[1], b.maps[0] - b.maps[1])[1:4]) for a, b in zip(before.folds, after.folds,
                                                                                       strict=True)]
    # all that comes from the fold itself is the gain of each shell, which does not change a correlation on shells
    assert same[1] > 0.999 and max(same[0], same[2]) < 0.99


def test_the_gain_is_the_regression_of_held_out_images_on_the_difference(experiment):
    """Against sums written out particle by particle; the padded grid stands for their slices to a few percent."""
    rng = np.random.default_rng(1)
    few = experiment.particles.subset_of(np.arange(40))
    truth = experiment.truth.subset_of(np.arange(40))
    space = FourierSpace(BOX, 3, PIXEL, 7)
    search = local_search(truth.angles, np.zeros((40, 2)))
    model, _, _ = start(replace(experiment, particles=few, truth=truth), 1, 1)
    posterior, sums = local_expectation(few, model, search, space, MAXIMUM_LIKELIHOOD, xp=np, budget=10**8)
    common = states()[0].density[None] - states()[0].density.mean()  # DC is kept apart
    differences = np.stack([blob(rng.uniform(-3, 3, 3), 1.2) - blob(rng.uniform(-3, 3, 3), 1.2) for _ in range(2)])
    over, under = confirmed(sums.equations(space), common, differences, space)
    slices = space.project(np.concatenate([common, differences]), search.rotations)
    block = prepare(few, np.arange(40), 0, model.sigma2[0, space.bins], np.zeros((1, 2)), space, np)
    b, c = as_columns(block.b[:, 0], space, np), np.broadcast_to(block.c, (40, len(space.bins)))
    weights = posterior.class_probability.T[:, :, None]
    seen = np.sum(weights * ((b - c * slices[0]).conj() * slices[1:]).real)
    all_of_it = np.sum(weights * c * np.abs(slices[1:]) ** 2)
    sizes = shell_sizes() / BOX**3  # Parseval: from a mean over a shell to the inner product of maps
    assert np.sum(over * sizes) == pytest.approx(seen, rel=0.1)
    assert np.sum(under * sizes) == pytest.approx(all_of_it, rel=0.05)


def test_what_two_halves_agree_on_is_the_wiener_filter_of_the_place():
    """Signal of power S in noise of power N agrees to S/(S + N), and where there is noise alone, to nothing."""
    rng = np.random.default_rng(1)
    signal = rng.standard_normal((1, 24, 24, 24)) * (np.arange(24) < 12)[:, None, None] * 2.0
    one, two = (signal + rng.standard_normal(signal.shape) for _ in range(2))
    found = agreed(one, two, 3.0)
    assert found[3:8, 6:18, 6:18].mean() == pytest.approx(4 / 5, abs=0.03)
    assert found[17:21, 6:18, 6:18].mean() < 0.1
    assert (agreed(one, -one, 3.0) == 0).all() and agreed(one, one, 3.0).min() > 1 - 1e-9


def shell_sizes() -> np.ndarray:
    """Number of components (n//2 + 1,) of the full transform on each shell."""
    shell = shells(BOX, 3).ravel()
    keep = shell <= BOX // 2
    return np.bincount(shell[keep], multiplicity(BOX, 3).ravel()[keep], BOX // 2 + 1)


@pytest.mark.slow
def test_small_differences_are_found_and_the_posteriors_are_honest(experiment):
    """Of the assignments made with probability p a share p is right; plain EM on the same images is sure and wrong."""
    model, search, options = start(experiment, 2)
    *_, last = cross_fit(experiment.particles, model, search, seed=2, **options)
    *_, plain = refine(experiment.particles, model, search, **options)
    truth = experiment.truth.classes

    def overconfidence(posterior):
        right = posterior.classes == truth
        share = max(right.mean(), 1 - right.mean())
        return posterior.class_probability.max(axis=1).mean() - share

    best = np.mean(oracle(experiment.truth, experiment.specimens, experiment.sigma2).argmax(axis=1) == truth)
    found = agreement(last.posterior.classes, truth)
    assert found > best - 0.08 and found >= agreement(plain.posterior.classes, truth) - 0.01
    assert abs(overconfidence(last.posterior)) < 0.02 < overconfidence(plain.posterior)


@pytest.mark.slow
def test_one_state_leaves_two_classes_undecided():
    """Who asks for a class too many is not told that it is there, as plain EM on the same images says."""
    one = simulate(states()[:1], 400, seed=4, snr=0.35, noise=coloured, defocus=(8e3, 1.6e4), shift_sigma=0.0,
                   progress=False)
    model, search, options = start(one, 1)
    *_, last = cross_fit(one.particles, model, search, seed=1, **options)
    *_, plain = refine(one.particles, model, search, **options)
    assert last.posterior.class_probability.max(axis=1).mean() < 0.6
    assert plain.posterior.class_probability.max(axis=1).mean() > 0.8


def test_poses_may_be_searched_as_well():
    """Folds on a whole grid: a few particles, to see that both kinds of sums meet."""
    few = simulate(states(), 24, seed=5, snr=1.0, noise=coloured, defocus=(8e3, 1.6e4), progress=False)
    search = search_3d(0, shift_range=10, shift_step=10)
    model = seeds_from_subsets(few.particles, few.specimens[0].density, 2, search, seed=1)
    turns = list(cross_fit(few.particles, model, search, seed=1, folds=2, iterations=2, radii=[4], perturb_seed=1))
    assert len(turns) == 2 and np.isfinite(turns[-1].model.maps).all()
    np.testing.assert_allclose(turns[-1].posterior.class_probability.sum(axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("folds", [1, 13])
def test_folds_that_cannot_be_are_refused(experiment, folds):
    few = replace(experiment, particles=experiment.particles.subset_of(np.arange(24)),
                  truth=experiment.truth.subset_of(np.arange(24)))
    model, search, options = start(few, 1)
    with pytest.raises(InputError, match="folds"):
        cross_fit(few.particles, model, search, seed=1, folds=folds, **options)


def test_maps_cannot_be_fixed(experiment):
    few = replace(experiment, particles=experiment.particles.subset_of(np.arange(24)),
                  truth=experiment.truth.subset_of(np.arange(24)))
    model, search, options = start(few, 1)
    with pytest.raises(InputError, match="cannot be fixed"):
        cross_fit(few.particles, model, search, seed=1, fixed=("maps",), **options)
