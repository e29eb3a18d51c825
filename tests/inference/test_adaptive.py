"""The adaptive search against the dense one on its finest grid: it may skip what holds no weight, nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import angular_distance, euler_to_matrix, matrix_to_euler
from cryoedu.geometry.fourier import fourier, inverse, shells
from cryoedu.geometry.grids import Search, search_2d, search_3d, shift_subdivision, subdivision
from cryoedu.inference import adaptive as search_module
from cryoedu.inference import kernels
from cryoedu.inference.adaptive import Adaptive, adaptive_expectation
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
from cryoedu.inference.em import refine
from cryoedu.inference.expectation import expectation
from cryoedu.inference.maximisation import data_weight, mirrored_plane
from cryoedu.inference.points import family_bytes
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import start_model
from cryoedu.inference.sums import Inserter, deblurred
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.projection import half_shape
from cryoedu.microscope.specimen import Specimen
from cryoedu.validation.fsc import fsc
from cryoedu.validation.poses import pose_errors

BOX, PIXEL = 16, 6.0


def blobs(ndim: int, seed: int, box: int = BOX) -> np.ndarray:
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(box) - box // 2] * ndim, indexing="ij")
    out = np.zeros((box,) * ndim)
    for _ in range(6):
        centre = rng.uniform(-0.2, 0.2, ndim) * box
        out += np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / 4.0)
    return out.astype(np.float32)


def finest(search: Search) -> Search:
    """All points that one level of subdivision reaches from all of ``search``."""
    turns = subdivision(search.angular_step, in_plane=search.in_plane)
    rotations = (turns[None] @ search.rotations[:, None]).reshape(-1, 3, 3)
    shifts = (search.shifts[:, None] + shift_subdivision(search.shift_step)[None]).reshape(-1, 2)
    return Search(matrix_to_euler(rotations), shifts, search.angular_step / 2, search.shift_step / 2)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("classes", [1, 2])
def test_with_everything_kept_it_is_the_dense_search_on_the_finest_grid(ndim, classes):
    specimens = [Specimen(blobs(ndim, k), PIXEL) for k in range(classes)]
    experiment = simulate(specimens, 8, seed=1, snr=0.3, noise=coloured, defocus=(8e3, 1.2e4), progress=False)
    model = start_model(experiment.particles, np.stack([s.density for s in experiment.specimens]))
    model = replace(model, offset_sigma=1e6)  # the prior of the shifts is then the same on both grids
    options = {"shift_range": PIXEL, "shift_step": PIXEL}
    search = search_2d(30, **options) if ndim == 2 else search_3d(0, **options)
    space = FourierSpace(BOX, ndim, PIXEL, BOX // 2)
    everything = Adaptive(levels=1, share=1 - 1e-12, diameter=1.0)
    found, gridded = adaptive_expectation(experiment.particles, model, search, everything, space, xp=np, budget=10**9)
    fine = finest(search)
    dense, sums = expectation(experiment.particles, model, fine, space, MAXIMUM_LIKELIHOOD, xp=np, budget=10**9)
    np.testing.assert_allclose(found.class_probability, dense.class_probability, atol=1e-3)
    np.testing.assert_allclose(found.max_probability, dense.max_probability, atol=1e-3)
    assert angular_distance_of(found.angles, dense.angles).max() < 1e-3
    np.testing.assert_allclose(found.shifts, dense.shifts, atol=1e-9)
    np.testing.assert_allclose(gridded.log_likelihood, sums.log_likelihood, atol=0.02)
    np.testing.assert_allclose(gridded.squares, sums.squares, rtol=1e-4)
    mine, theirs = gridded.equations(space), sums.equations(space)
    only_mean = np.zeros_like(sums.numerator)
    only_mean[..., 0] = sums.numerator[..., 0]  # kept apart on the grid, without the gridding correction
    corrected = space.backproject(only_mean, fine.rotations)
    plain = only_mean.sum(axis=(1, 2)).real.reshape(-1, *[1] * ndim)
    scale = np.abs(theirs.gradient).max()
    np.testing.assert_allclose(mine.gradient, theirs.gradient - corrected + plain, atol=1e-3 * scale)
    maps = experiment.specimens[0].density[None] * np.ones((classes, *[1] * ndim), dtype=np.float32)
    ours, exact = mine.curvature(maps), theirs.curvature(maps)
    assert np.linalg.norm(ours - exact) < 0.1 * np.linalg.norm(exact)


@pytest.mark.parametrize(("ndim", "classes"), [(2, 1), (3, 1), (3, 6)])
def test_it_follows_the_share_that_it_promises(ndim, classes):
    """However many hypotheses hold it. A hundred at most, shared by all classes, lost a nat and more an image where
    posteriors are flat, and made classes surer than they are."""
    specimens = [Specimen(blobs(ndim, k // 2) + 0.1 * blobs(ndim, 50 + k), PIXEL) for k in range(classes)]
    experiment = simulate(specimens, 20, seed=1, snr=0.02, noise=coloured, defocus=(8e3, 1.2e4), progress=False)
    model = start_model(experiment.particles, np.stack([s.density for s in experiment.specimens]))
    options = {"shift_range": PIXEL, "shift_step": PIXEL}
    search = search_2d(2, **options) if ndim == 2 else search_3d(0, **options)
    space = FourierSpace(BOX, ndim, PIXEL, 5)

    model = replace(model, offset_sigma=1e6)  # the prior of the shifts is then the same on both grids
    found, sums = adaptive_expectation(experiment.particles, model, search, Adaptive(diameter=60.0), space, xp=np,
                                       budget=10**9)
    every, all_sums = expectation(experiment.particles, model, finest(search), space, MAXIMUM_LIKELIHOOD, xp=np,
                                  budget=10**9)
    assert 2 / every.max_probability.max() > 100  # or a hundred would do
    lost = every.log_evidence - found.log_evidence
    assert lost.min() > -1e-3 and lost.max() < 0.01
    np.testing.assert_allclose(found.class_probability, every.class_probability, atol=2e-3)
    gathered = all_sums.on_grid(space)
    np.testing.assert_allclose(sums.weights.sum(), gathered.weights.sum(), rtol=1e-3)  # what is inserted is all


def test_every_level_goes_on_from_the_shifts_of_the_last():
    """All of two levels is a grid whose steps are halved twice, of turns as of shifts."""
    experiment = simulate(Specimen(blobs(2, 1), PIXEL), 6, seed=1, snr=0.1, shift_sigma=4.0, progress=False)
    model = replace(start_model(experiment.particles, experiment.specimens[0].density[None]), offset_sigma=1e6)
    search, space = search_2d(30, shift_range=PIXEL, shift_step=PIXEL), FourierSpace(BOX, 2, PIXEL, 6)
    found, sums = adaptive_expectation(experiment.particles, model, search, Adaptive(2, 1 - 1e-12, 1.0), space, xp=np,
                                       budget=10**9)
    dense, exact = expectation(experiment.particles, model, finest(finest(search)), space, MAXIMUM_LIKELIHOOD, xp=np,
                               budget=10**9)
    np.testing.assert_allclose(found.log_evidence, dense.log_evidence, atol=5e-3)
    np.testing.assert_allclose(found.shifts, dense.shifts, atol=1e-9)
    np.testing.assert_allclose(sums.squares, exact.squares, rtol=1e-4)


@pytest.mark.parametrize("ndim", [2, 3])
def test_weights_on_the_maps_own_grid_are_those_inserted_there(ndim):
    """A hat is a sum of hats of half its width: what is inserted into the padded grid and gathered from the neighbours
    is what was inserted at once."""
    space, rng = FourierSpace(BOX, ndim, PIXEL, 6), np.random.default_rng(2)
    rotations = euler_to_matrix(rng.uniform(0, [360, 180, 360] if ndim == 3 else [0, 0, 360], (40, 3)))
    weights = rng.random((1, 40, len(space.bins)), dtype=np.float32)
    inserter = Inserter(space, 1, np)
    inserter.add(0, np.zeros(weights.shape[1:], dtype=np.complex64), weights[0], rotations)
    gathered = inserter.sums(np.zeros(1), np.zeros(1), 0.0, 0.0).equations(space).weight
    known = shells(BOX, ndim) < space.radius  # beyond, the padded grid ends half way to the next point
    np.testing.assert_allclose(gathered[:, known], data_weight(space, rotations, weights)[:, known], rtol=1e-4)


@pytest.mark.parametrize("budget", [10**9, 4 * 10**6, 10**6])
def test_candidates_of_images_come_in_blocks_that_memory_holds(budget):
    """Where posteriors are flat each image follows nearly the whole grid: of all images at once that is gigabytes."""
    experiment = simulate(Specimen(blobs(3, 1), PIXEL), 40, seed=1, snr=0.05, noise=coloured, progress=False)
    two = (experiment.particles.optics[0],) * 2
    particles = replace(experiment.particles, optics=two, optics_group=np.arange(40) // 3 % 2)
    model = start_model(particles, experiment.specimens[0].density[None])
    search, space, ticks = search_3d(1), FourierSpace(BOX, 3, PIXEL, 4), []
    whole, sums = adaptive_expectation(particles, model, search, Adaptive(diameter=60.0), space, xp=np, budget=10**10)
    found, again = adaptive_expectation(particles, model, search, Adaptive(diameter=60.0), space, xp=np, budget=budget,
                                        tick=ticks.append)
    np.testing.assert_allclose(found.log_evidence, whole.log_evidence, atol=1e-3)
    np.testing.assert_allclose(found.class_probability, whole.class_probability, atol=1e-4)
    np.testing.assert_allclose(again.weights, sums.weights, atol=1e-4 * sums.weights.max())
    np.testing.assert_allclose(again.squares, sums.squares, rtol=1e-5)
    assert ticks == sorted(ticks) and ticks[-1] == pytest.approx(1)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_strong_shell_does_not_weigh_on_its_neighbours(ndim):
    """Weights on the padded grid stand for slices between its points. Blurred as they are inserted, they weighed 5 and
    11 percent too much here, and made maps too weak where all particles are bright."""
    box, rng = 24, np.random.default_rng(4)
    axes = np.meshgrid(*[np.arange(box) - box // 2] * ndim, indexing="ij")
    bright = np.exp(-sum(a**2 for a in axes) / (2 * 5.0**2)).astype(np.float32)[None]
    space = FourierSpace(box, ndim, PIXEL, box // 2 - 1)
    count = 1000
    rotations = euler_to_matrix(rng.uniform(0, [360, 180, 360] if ndim == 3 else [0, 0, 360], (count, 3)))
    weights = rng.random((count, len(space.bins)), dtype=np.float32)
    exact = np.sum(weights[:, 1:] * np.abs(space.project(bright, rotations)[0, :, 1:]) ** 2)  # DC is kept apart
    inserter = Inserter(space, 1, np)
    inserter.add(0, np.zeros(weights.shape, dtype=np.complex64), weights, rotations)
    sums = replace(inserter.sums(np.zeros(1), np.zeros(1), 0.0, 0.0), dc=np.zeros((1, 2)))
    assert np.sum(bright * sums.equations(space).curvature(bright)) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("ndim", [2, 3])
def test_sums_up_to_a_shell_are_those_on_the_whole_padded_grid(ndim):
    """The grid ends where slices end. The curvature is that of a padded FFT, the precision that of all neighbours."""
    box, radius, wide = 12, 3, 24
    space, rng = FourierSpace(box, ndim, PIXEL, radius), np.random.default_rng(6)
    inserter = Inserter(space, 2, np)
    inserter.add(1, rng.standard_normal((9, len(space.bins))).astype(np.complex64),
                 rng.random((9, len(space.bins)), dtype=np.float32), search_2d(40).rotations)
    sums = inserter.sums(np.zeros(1), np.zeros(1), 0.0, 0.0)
    reached = np.fft.fftfreq(sums.weights.shape[1], 1 / sums.weights.shape[1]).round().astype(int)
    whole, sharp = (np.zeros((2, *[wide] * (ndim - 1), wide // 2 + 1), dtype=np.float32) for _ in range(2))
    at = np.ix_([0, 1], *[reached] * (ndim - 1), np.arange(sums.weights.shape[-1]))
    whole[at], sharp[at] = sums.weights, deblurred(mirrored_plane(sums.weights, ndim), box)
    maps = rng.standard_normal((2, *[box] * ndim)).astype(np.float32)
    padded = np.pad(maps, [(0, 0)] + [(box // 2, box // 2)] * ndim)
    middle = (slice(None), *[slice(box // 2, -(box // 2))] * ndim)
    expected = wide**ndim / 2 * inverse(fourier(padded, ndim) * sharp, ndim)[middle]
    expected += sums.dc[:, 1].reshape(-1, *[1] * ndim) * maps.sum(axis=tuple(range(1, ndim + 1)), keepdims=True)
    equations = sums.equations(space)
    np.testing.assert_allclose(equations.curvature(maps), expected, atol=1e-5 * np.abs(expected).max())
    everywhere = replace(sums, weights=whole, inserted=np.zeros((2, *half_shape(box, ndim)), dtype=np.complex64))
    used = shells(box, ndim) <= radius
    np.testing.assert_allclose(equations.weight[:, used], everywhere.equations(space).weight[:, used], atol=1e-6)
    without_mean = replace(sums, dc=np.zeros((2, 2))).equations(space).weight
    dc = (slice(None), *[0] * ndim)
    np.testing.assert_allclose((equations.weight - without_mean)[dc], 2 * sums.dc[:, 1], rtol=1e-5)


def angular_distance_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    from cryoedu.geometry.euler import euler_to_matrix

    return angular_distance(euler_to_matrix(a), euler_to_matrix(b))


@pytest.mark.slow
def test_two_levels_below_thirty_degrees_find_what_a_dense_grid_of_seven_finds():
    """The same errors as from 36,864 orientations, by following at most a hundred of 576."""
    experiment = simulate(Specimen(blobs(3, 1, 24), 4.0), 30, seed=2, snr=5.0, progress=False)
    model = start_model(experiment.particles, experiment.specimens[0].density[None])
    steps = {"dense": (search_3d(3), None), "adaptive": (search_3d(1), Adaptive(levels=2, diameter=60.0))}
    errors = {}
    for name, (search, adaptive) in steps.items():
        turn = next(refine(experiment.particles, model, search, adaptive=adaptive, array_library="numpy"))
        found = pose_errors(turn.posterior.angles, experiment.truth.angles, common_frame=False)
        errors[name] = found.median_angle
    assert errors["adaptive"] < 1.15 * errors["dense"] < 8.0


@pytest.mark.slow
def test_refinement_with_four_levels_comes_closer_than_its_coarse_grid():
    experiment = simulate(Specimen(blobs(3, 1, 24), 4.0), 150, seed=3, snr=5.0, shift_sigma=3.0, progress=False)
    truth = experiment.specimens[0].density
    model = start_model(experiment.particles, truth[None])
    search = search_3d(1, shift_range=8, shift_step=4)
    options = {"iterations": 3, "perturb_seed": 1, "array_library": "numpy"}
    *_, coarse = refine(experiment.particles, model, search, **options)
    *_, fine = refine(experiment.particles, model, search, adaptive=Adaptive(levels=4, diameter=60.0), **options)
    near, far = (pose_errors(i.posterior.angles, experiment.truth.angles).median_angle
                 for i in (fine, coarse))
    assert near < 7 < 14 < far
    assert fsc(fine.model.maps[0], truth)[1:8].min() > fsc(coarse.model.maps[0], truth)[1:8].min()


@pytest.mark.parametrize("room", [10**6, 1], ids=["room for all", "room for few"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_compiled_loops_say_what_the_array_standard_says(ndim, room, monkeypatch):
    """Two bodies of one search: a GPU must not find other poses than the CPU."""
    import array_api_strict

    specimens = [Specimen(blobs(ndim, k), PIXEL) for k in range(2)]
    experiment = simulate(specimens, 3, seed=1, snr=0.5, defocus=(8e3, 1.2e4), shift_sigma=2.0, progress=False)
    model = start_model(experiment.particles, np.stack([s.density for s in experiment.specimens]))
    options = {"shift_range": PIXEL, "shift_step": PIXEL}
    search = search_2d(30, **options) if ndim == 2 else search_3d(0, **options)
    space = FourierSpace(BOX, ndim, PIXEL, 5)
    monkeypatch.setattr(search_module, "PIECE", 2**14)
    monkeypatch.setattr(search_module, "FEWEST", room)
    monkeypatch.setattr(search_module, "REUSED", 10**6 // room)
    (mine, sums), (theirs, others) = (
        adaptive_expectation(experiment.particles, model, search, Adaptive(2, diameter=60.0), space, xp=xp,
                             budget=10**9)
        for xp in (np, array_api_strict))
    for name in ("log_evidence", "class_probability", "angles", "shifts", "max_probability", "overlap", "energy"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-4, atol=1e-4, err_msg=name)
    for name in ("inserted", "weights", "dc", "squares"):
        a, b = np.asarray(getattr(sums, name)), np.asarray(getattr(others, name))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6 * np.abs(b).max(), err_msg=name)


@pytest.mark.parametrize("ndim", [2, 3])
def test_images_of_equal_numbers_of_candidates_are_looked_at_together(ndim, monkeypatch):
    """On a GPU, which a single image does not fill; and in halves of them where memory runs out, each image once. Here
    there are two images, five times and twice."""
    import array_api_strict

    few = simulate(Specimen(blobs(ndim, 1), PIXEL), 2, seed=3, snr=1.0, defocus=(8e3, 1.2e4), progress=False).particles
    particles = few.subset_of(np.array([0, 1, 0, 0, 1, 0, 0]))
    model = start_model(particles, blobs(ndim, 1)[None])
    options = {"shift_range": PIXEL, "shift_step": PIXEL}
    search = search_2d(30, **options) if ndim == 2 else search_3d(0, **options)
    space, lots, sums_of = FourierSpace(BOX, ndim, PIXEL, 5), [], []
    seen, summed = search_module.seen, search_module.summed

    def look(xp):
        lots.clear(), sums_of.clear()
        return adaptive_expectation(particles, model, search, Adaptive(2, diameter=60.0), space, xp=xp, budget=10**9)

    def counted(b, *rest):
        lots.append(b.shape[0])
        return seen(b, *rest)

    def cramped(b, *rest):
        if b.shape[0] > 2:
            raise MemoryError
        return counted(b, *rest)

    def counted_sums(gamma, *rest):
        sums_of.append(len(gamma))
        return summed(gamma, *rest)

    monkeypatch.setattr(search_module, "summed", counted_sums)
    monkeypatch.setattr(search_module, "seen", counted)
    mine, sums = look(np)
    assert set(lots) == set(sums_of) == {1}  # on the CPU one by one
    whole = look(array_api_strict)
    assert sum(lots) == 2 * sum(sums_of) == 2 * len(particles) and min(lots + sums_of) >= 2
    monkeypatch.setattr(search_module, "seen", cramped)
    parts = look(array_api_strict)
    assert sum(lots) == 2 * len(particles) and max(lots) == 2
    for theirs, others in (whole, parts):
        for name in ("log_evidence", "angles", "shifts", "max_probability", "overlap", "energy"):
            np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-4, atol=1e-4, err_msg=name)
        for name in ("inserted", "weights", "dc", "squares"):
            a, b = np.asarray(getattr(sums, name)), np.asarray(getattr(others, name))
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6 * np.abs(b).max(), err_msg=name)


@pytest.mark.parametrize("room", [1, 3, 50])
def test_however_much_room_points_have_they_get_the_same_sums(room, monkeypatch):
    """Points that find no room are inserted at once, and those that do when it is full: no image may be lost, nor
    counted twice."""
    experiment = simulate(Specimen(blobs(3, 1), PIXEL), 40, seed=1, snr=0.1, noise=coloured, progress=False)
    model = start_model(experiment.particles, experiment.specimens[0].density[None])
    search, space = search_3d(0), FourierSpace(BOX, 3, PIXEL, 4)

    def look():
        return adaptive_expectation(experiment.particles, model, search, Adaptive(2, diameter=60.0), space, xp=np,
                                    budget=10**9)

    whole, sums = look()
    monkeypatch.setattr(search_module, "FEWEST", room * family_bytes(space, 8, True))
    monkeypatch.setattr(search_module, "REUSED", 10**9)
    monkeypatch.setattr(search_module, "BLOCK", 7)
    found, again = look()
    np.testing.assert_allclose(found.log_evidence, whole.log_evidence, atol=1e-4)
    np.testing.assert_allclose(found.overlap, whole.overlap, rtol=1e-4, atol=1e-4)
    for name in ("inserted", "weights", "dc"):
        a, b = getattr(again, name), getattr(sums, name)
        np.testing.assert_allclose(a, b, atol=2e-6 * np.abs(b).max(), err_msg=name)
    np.testing.assert_allclose(again.squares, sums.squares, rtol=1e-6)


def test_the_exponential_of_the_kernels_is_the_exponential():
    x = np.linspace(-74.9, 0, 20_001, dtype=np.float32)
    gamma, of_points, of_shifts, log_evidence = kernels.weigh(
        np.zeros((1, 4), np.float32), np.zeros(4, np.float32), x, np.zeros(1, np.float32),
        np.empty((64, 4), np.float32), np.zeros(len(x), np.int64), np.zeros((1, 4), np.float32), np.eye(3)[None],
        np.zeros((1, 1, 1, 2), np.float32), np.zeros(0, np.int64), np.zeros((0, 3, 3)), np.zeros(2), np.zeros(2), 2)
    exact = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(gamma[:, 0], exact / exact.sum(), rtol=2e-6)
    np.testing.assert_allclose(log_evidence, np.log(exact.sum()), rtol=1e-6)
    np.testing.assert_array_equal(of_points, gamma[:, 0])
    np.testing.assert_allclose(of_shifts, 1, rtol=1e-6)


@pytest.mark.parametrize("options", [{"assignment": MAXIMUM_CROSS_CORRELATION}, {"space": "real"}])
def test_it_needs_a_posterior_in_fourier_space(options):
    experiment = simulate(Specimen(blobs(2, 1), PIXEL), 3, seed=1, snr=0.5, progress=False)
    space = options.get("space", "fourier")
    model = start_model(experiment.particles, experiment.specimens[0].density[None], space=space)
    with pytest.raises(InputError, match="adaptive search"):
        refine(experiment.particles, model, search_2d(30), adaptive=Adaptive(), **options)


def test_impossible_levels_are_refused():
    with pytest.raises(InputError, match="levels=0"):
        Adaptive(levels=0)


def test_a_subdivision_halves_the_step():
    """Eight turns around each point: neighbours half a step apart, none further than half a step from its parent."""
    turns = subdivision(20.0)
    apart = angular_distance(turns[:, None], turns[None])
    assert np.sort(apart, axis=1)[:, 1] == pytest.approx(10.0, abs=0.05)
    assert angular_distance(turns, np.eye(3)).max() < 10.0
    assert angular_distance(*subdivision(20.0, in_plane=True)) == pytest.approx(10.0)
