"""The local search against the dense search: around one pose, both try the same hypotheses."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import angular_distance, euler_to_matrix, matrix_to_euler
from cryoedu.geometry.grids import Search, local_search, perturbed
from cryoedu.inference import kernels
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
from cryoedu.inference.expectation import expectation
from cryoedu.inference.local import LEFT_OUT, heavy, local_expectation
from cryoedu.inference.model import Posterior
from cryoedu.inference.oracle import oracle
from cryoedu.inference.priors import COLUMNS
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import start_model
from cryoedu.inference.sums import Inserter
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.specimen import Specimen

BOX, PIXEL = 16, 6.0


def blobs(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
    out = np.zeros((BOX,) * 3)
    for _ in range(6):
        out += np.exp(-sum((a - c) ** 2 for a, c in zip(axes, rng.uniform(-3, 3, 3), strict=True)) / 4.0)
    return out.astype(np.float32)


@pytest.fixture(scope="module")
def experiment():
    specimens = [Specimen(blobs(k), PIXEL) for k in range(2)]
    return simulate(specimens, 12, seed=1, snr=0.3, noise=coloured, defocus=(8e3, 1.2e4), progress=False)


def dense_twin(search, space):
    """What all particles try, as one grid; they must share one pose."""
    rotations = search.turns @ search.rotations[0]
    return Search(matrix_to_euler(rotations), search.centres[0] + search.shifts, search.angular_step, search.shift_step)


@pytest.mark.parametrize("assignment", [MAXIMUM_LIKELIHOOD, MAXIMUM_CROSS_CORRELATION], ids=lambda a: a.name)
def test_around_one_pose_it_is_the_dense_search_of_the_same_hypotheses(experiment, assignment):
    """A microscopist's last iterations would otherwise follow another posterior than the first ones."""
    count = len(experiment.particles)
    model = start_model(experiment.particles, np.stack([s.density for s in experiment.specimens]))
    search = local_search(np.tile([40.0, 70.0, 10.0], (count, 1)), np.tile([3.0, -2.0], (count, 1)), angular_range=20,
                          angular_step=10, shift_range=PIXEL, shift_step=PIXEL)
    space = FourierSpace(BOX, 3, PIXEL, BOX // 2)
    found, sums = local_expectation(experiment.particles, model, search, space, assignment, xp=np, budget=10**8)
    dense, exact = expectation(experiment.particles, model, dense_twin(search, space), space, assignment, xp=np,
                               budget=10**8)
    np.testing.assert_allclose(found.class_probability, dense.class_probability, atol=5e-4)
    np.testing.assert_allclose(found.max_probability, dense.max_probability, atol=5e-4)
    np.testing.assert_allclose(found.shifts, dense.shifts, atol=1e-9)
    assert angular_distance(euler_to_matrix(found.angles), euler_to_matrix(dense.angles)).max() < 1e-3
    np.testing.assert_allclose(sums.log_likelihood, exact.log_likelihood, atol=0.02)
    np.testing.assert_allclose(sums.squares, exact.squares, rtol=1e-3)
    np.testing.assert_allclose(sums.shift_square, exact.shift_square, rtol=1e-3)
    theirs = exact.on_grid(space)
    scale = np.abs(theirs.inserted).max()
    np.testing.assert_allclose(sums.inserted, theirs.inserted, atol=3e-3 * scale)
    np.testing.assert_allclose(sums.weights, theirs.weights, atol=3e-3 * theirs.weights.max())
    np.testing.assert_allclose(sums.dc, theirs.dc, rtol=5e-3)  # light slices are not inserted


def test_however_many_share_the_weight_it_enters_the_sums():
    """Of 14,147 turns none may hold a ten-thousandth, and yet they hold all of it together."""
    made = simulate(Specimen(blobs(0), PIXEL), 4, seed=1, snr=0.02, noise=coloured, progress=False)
    model = start_model(made.particles, made.specimens[0].density[None])
    search = local_search(made.truth.angles, made.truth.shifts, angular_range=150, angular_step=10)
    space = FourierSpace(BOX, 3, PIXEL, 3)
    (found, sums), (_, whole) = (local_expectation(made.particles, model, search, space, a, xp=np, budget=10**8)
                                 for a in (MAXIMUM_LIKELIHOOD, MAXIMUM_CROSS_CORRELATION))  # the latter inserts 1
    assert found.max_probability.max() < 0.01
    assert 0.999 <= sums.dc[0, 1] / whole.dc[0, 1] < 1


def test_the_lightest_weights_are_left_out_and_no_more():
    for weights, expected in [([0.0004, 0.6, 0.0005, 0.3991], [False, True, False, True]),
                              ([0.25, 0.25, 0.25, 0.25], [True] * 4), ([0.0, 1.0, 0.0], [False, True, False])]:
        np.testing.assert_array_equal(kernels.heavy(np.array(weights), LEFT_OUT), expected)
        np.testing.assert_array_equal(heavy(np.array([weights, weights]), LEFT_OUT), [expected] * 2)


@pytest.mark.parametrize("reach", [10.0, 0.0], ids=["around poses", "known poses"])
def test_compiled_loops_say_what_the_array_standard_says(reach):
    """Two bodies of one search: a GPU must not find other poses than the CPU."""
    import array_api_strict

    specimens = [Specimen(blobs(k), PIXEL) for k in range(3)]
    made = simulate(specimens, 14, seed=2, snr=0.3, noise=coloured, defocus=(8e3, 1.2e4), shift_sigma=3.0,
                    progress=False)
    particles = replace(made.particles, extra={
        **made.particles.extra, **{name: np.linspace(-4, 5, 14) for name in COLUMNS}})
    model = replace(start_model(particles, np.stack([s.density for s in made.specimens])), offset_sigma=4.0,
                    class_weights=np.array([0.5, 0.3, 0.2]))
    rough = made.truth.angles + np.random.default_rng(3).normal(0, 4, (14, 3))
    search = local_search(rough, made.truth.shifts, angular_range=reach, angular_step=5.0,
                          shift_range=reach / 2, shift_step=5.0)
    space = FourierSpace(BOX, 3, PIXEL, 6)
    (mine, sums), (theirs, others) = (
        local_expectation(particles, model, search, space, MAXIMUM_LIKELIHOOD, xp=xp, budget=10**9)
        for xp in (np, array_api_strict))
    assert len(np.unique(mine.classes)) == 3 and (mine.max_probability < 0.99).any()
    for field in fields(Posterior):
        np.testing.assert_allclose(getattr(mine, field.name), getattr(theirs, field.name), rtol=1e-4, atol=1e-4,
                                   err_msg=field.name)
    for name in ("inserted", "weights", "dc", "squares", "counts", "shift_square", "log_likelihood"):
        a, b = np.asarray(getattr(sums, name)), np.asarray(getattr(others, name))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6 * np.abs(b).max(), err_msg=name)


@pytest.mark.parametrize("sigma", [0.2, 30.0], ids=["few count", "most count"])
def test_what_waits_to_be_inserted_holds_little_more_than_its_slices(experiment, monkeypatch, sigma):
    """With sharp posteriors a view of a block's memory would keep hundreds of times as much from being freed."""
    held = []
    monkeypatch.setattr(Inserter, "add", lambda self, k, *lot: held.extend(lot))
    model = start_model(experiment.particles, np.stack([s.density for s in experiment.specimens]))
    search = local_search(experiment.truth.angles, experiment.truth.shifts, angular_range=30, angular_step=10)
    local_expectation(experiment.particles, replace(model, sigma2=sigma**2 * model.sigma2), search,
                      FourierSpace(BOX, 3, PIXEL, BOX // 2), MAXIMUM_LIKELIHOOD, xp=np, budget=10**9)
    owners = {id(array): array.nbytes for array in map(owner, held)}
    assert 0 < sum(owners.values()) <= 2 * sum(lot.nbytes for lot in held)


def owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory this one is a view of."""
    return array if array.base is None else owner(array.base)


def test_blocks_of_any_size_give_the_same(experiment):
    model = start_model(experiment.particles, np.stack([s.density for s in experiment.specimens]))
    search = local_search(experiment.truth.angles, experiment.truth.shifts, angular_range=10, angular_step=10)
    space = FourierSpace(BOX, 3, PIXEL, BOX // 2)
    few, many = (local_expectation(experiment.particles, model, search, space, MAXIMUM_LIKELIHOOD, xp=np,
                                   budget=budget)[1] for budget in (3_000_000, 10**9))
    np.testing.assert_allclose(few.inserted, many.inserted, atol=1e-5 * np.abs(many.inserted).max())
    np.testing.assert_allclose(few.squares, many.squares, rtol=1e-5)


def test_known_poses_and_true_maps_give_the_oracle(experiment):
    """Poses taken as they are leave the class alone to be found."""
    truth, maps = experiment.truth, np.stack([s.density for s in experiment.specimens])
    sigma2 = experiment.sigma2
    model = replace(start_model(experiment.particles, maps), sigma2=np.atleast_2d(sigma2))
    space = FourierSpace(BOX, 3, PIXEL, BOX // 2)
    found, _ = local_expectation(experiment.particles, model, local_search(truth.angles, truth.shifts), space,
                                 MAXIMUM_LIKELIHOOD, xp=np, budget=10**8)
    np.testing.assert_allclose(found.class_probability, oracle(truth, experiment.specimens, sigma2), atol=2e-3)
    np.testing.assert_allclose(found.shifts, truth.shifts, atol=1e-9)
    assert angular_distance(euler_to_matrix(found.angles), euler_to_matrix(truth.angles)).max() < 1e-4


def test_a_perturbed_local_search_keeps_its_shape_and_known_poses_stay():
    search = local_search(np.zeros((2, 3)), np.zeros((2, 2)), angular_range=10, angular_step=5, shift_range=4,
                          shift_step=2)
    moved = perturbed(search, np.random.default_rng(1))
    assert not np.allclose(moved.turns, search.turns)
    between = angular_distance(moved.turns[3], moved.turns[7])
    np.testing.assert_allclose(between, angular_distance(search.turns[3], search.turns[7]), atol=1e-6)
    known = local_search(np.zeros((2, 3)), np.zeros((2, 2)))
    same = perturbed(known, np.random.default_rng(1))
    np.testing.assert_array_equal(same.turns, known.turns)
    np.testing.assert_array_equal(same.shifts, known.shifts)


def test_turns_are_a_step_apart_and_within_reach():
    search = local_search(np.zeros((1, 3)), np.zeros((1, 2)), angular_range=6, angular_step=3)
    angles = angular_distance(search.turns, np.eye(3))
    assert len(search.turns) == 33 and angles.max() < 6 + 1e-6  # points of a cubic grid in a ball of two steps
    gaps = angular_distance(search.turns[:, None], search.turns[None])
    assert np.isclose(np.sort(gaps, axis=1)[:, 1], 3, atol=0.02).all()


@pytest.mark.parametrize(("reach", "step"), [(-1, 1), (1, 0), (100, 1)])
def test_an_impossible_local_grid_is_refused(reach, step):
    with pytest.raises(InputError, match="make no grid"):
        local_search(np.zeros((1, 3)), np.zeros((1, 2)), angular_range=reach, angular_step=step)
