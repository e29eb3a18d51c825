"""Out of memory in the middle of a run: the block is halved, and the result is that of a run with room enough.

On a GPU that others use too, what was free when the budget was set is gone an hour later. A run that dies of it loses
a night; one that counts the images of a failed try twice is wrong without a word.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cryoedu import arrays, threads
from cryoedu.arrays import attempt
from cryoedu.errors import InputError
from cryoedu.geometry.euler import matrix_to_euler, random_rotations
from cryoedu.geometry.grids import local_search, search_3d
from cryoedu.inference import adaptive, expectation, local, reconstruction
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import start_model
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.specimen import Specimen

BOX, PIXEL, COUNT = 16, 6.0, 37


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
    centres = rng.uniform(-3, 3, (5, 3))
    blobs = sum(np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / 4) for centre in centres)
    experiment = simulate(Specimen(blobs.astype(np.float32), PIXEL), COUNT, seed=1, snr=0.5, defocus=(8e3, 1.2e4),
                          progress=False)
    model = start_model(experiment.particles, np.stack([experiment.specimens[0].density, blobs[::-1]]))
    return experiment.particles, model, search_3d(0, shift_range=PIXEL, shift_step=PIXEL)


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    """Blocks one after the other: what a try finds out holds for the next."""
    monkeypatch.setattr(threads, "cores", lambda: 1)


def space_of():
    return FourierSpace(BOX, 3, PIXEL, BOX // 2)


def dense(problem, budget=10**9, assignment=MAXIMUM_LIKELIHOOD):
    return expectation.expectation(*problem, space_of(), assignment, xp=np, budget=budget)


def fails_beyond(largest, function, size_of):
    """``function``, which has room for no more than ``largest``; it fails only after its work, arrays in hand."""
    tries = []

    def cramped(*args, **kwargs):
        result = function(*args, **kwargs)
        tries.append(size_of(*args))
        if tries[-1] > largest:
            raise MemoryError
        return result

    cramped.tries = tries
    return cramped


def assert_same(one, two):
    np.testing.assert_allclose(one[0].class_probability, two[0].class_probability, atol=1e-5)
    np.testing.assert_allclose(one[0].log_evidence, two[0].log_evidence, rtol=1e-5)
    np.testing.assert_array_equal(one[0].angles, two[0].angles)
    np.testing.assert_allclose(one[1].squares, two[1].squares, rtol=1e-5)
    np.testing.assert_array_equal(one[1].counts, two[1].counts)
    np.testing.assert_allclose(one[1].log_likelihood, two[1].log_likelihood, rtol=1e-6)
    np.testing.assert_allclose(one[1].shift_square, two[1].shift_square, rtol=1e-5)


PLACES = {
    "reading the images": ("load", lambda particles, rows, *rest: len(rows)),
    "shifting them": ("prepared", lambda particles, loaded, *rest: len(loaded)),
    "the scores": ("_scores", lambda block, *rest: len(block.rows)),
    "the sums": ("_merged", len),
}


@pytest.mark.parametrize("place", PLACES, ids=PLACES)
@pytest.mark.parametrize("budget", [10**9, 1_150_000], ids=["one visit", "two visits"])
@pytest.mark.parametrize("largest", [1, 5])
def test_wherever_memory_runs_out_every_image_counts_once(problem, monkeypatch, place, budget, largest):
    name, size_of = PLACES[place]
    whole = dense(problem, budget)
    cramped = fails_beyond(largest, getattr(expectation, name), size_of)
    monkeypatch.setattr(expectation, name, cramped)
    parts = dense(problem, budget)
    assert max(cramped.tries) > largest  # it did run out
    assert_same(parts, whole)
    scale = np.abs(whole[1].numerator).max()
    np.testing.assert_allclose(parts[1].numerator, whole[1].numerator, atol=1e-5 * scale)
    np.testing.assert_allclose(parts[1].denominator, whole[1].denominator, atol=1e-5 * whole[1].denominator.max())
    assert parts[1].denominator.sum() == pytest.approx(whole[1].denominator.sum(), rel=1e-5)


def test_the_size_that_fits_is_kept_for_the_blocks_after_it(problem, monkeypatch):
    """Without it each block of a long run would fail first, and the run would take twice as long."""
    cramped = fails_beyond(5, expectation.prepared, PLACES["shifting them"][1])
    monkeypatch.setattr(expectation, "prepared", cramped)
    dense(problem)
    assert cramped.tries == [37, 18, 9, *[4] * 9, 1]


@pytest.mark.parametrize("largest", [40, 10])
def test_predictions_that_do_not_fit_are_made_in_more_lots(problem, monkeypatch, largest):
    """What one visit could not hold is visited twice, and the evidence is that of all orientations."""
    whole = dense(problem)
    cramped = fails_beyond(largest, expectation._predict, lambda model, search, lot, *rest: lot.stop - lot.start)
    monkeypatch.setattr(expectation, "_predict", cramped)
    parts = dense(problem)
    assert max(cramped.tries) == 72 and sum(size for size in cramped.tries if size <= largest) == 2 * 72
    assert_same(parts, whole)
    np.testing.assert_allclose(parts[1].denominator, whole[1].denominator, atol=1e-5 * whole[1].denominator.max())


def test_weights_that_do_not_fit(problem):
    """The largest array of all, Γ, is made by the assignment."""
    whole = dense(problem)
    cramped = fails_beyond(7, MAXIMUM_LIKELIHOOD.settle, len)
    assert_same(dense(problem, assignment=replace(MAXIMUM_LIKELIHOOD, settle=cramped)), whole)
    assert 37 in cramped.tries


def test_an_adaptive_search_goes_on_too(problem, monkeypatch):
    """Its coarse pass and its blocks of images."""
    def search():
        return adaptive.adaptive_expectation(*problem, adaptive.Adaptive(), space_of(), xp=np, budget=10**9)

    whole = search()
    tries = []
    for module, name in ((expectation, "prepared"), (adaptive, "prepare")):
        cramped = fails_beyond(6, getattr(module, name), lambda particles, images, *rest: len(images))
        monkeypatch.setattr(module, name, cramped)
        tries.append(cramped.tries)
    parts = search()
    assert all(sum(n for n in sizes if n <= 6) == COUNT and max(sizes) > 6 for sizes in tries)
    assert_same(parts, whole)
    np.testing.assert_allclose(parts[1].weights, whole[1].weights, atol=1e-5 * whole[1].weights.max())


def test_a_reconstruction_goes_on_too(problem, monkeypatch):
    """In smaller blocks, each image once."""
    particles = replace(problem[0], angles=np.random.default_rng(0).uniform(0, 180, (COUNT, 3)))
    options = {"progress": False, "array_library": "numpy"}
    whole = reconstruction.reconstruct(particles, **options).density
    cramped = fails_beyond(4, reconstruction.prepared, PLACES["shifting them"][1])
    monkeypatch.setattr(reconstruction, "prepared", cramped)
    np.testing.assert_allclose(reconstruction.reconstruct(particles, **options).density, whole,
                               atol=1e-4 * np.abs(whole).max())
    fitted = [size for size in cramped.tries if size <= 4]
    assert sum(fitted) == COUNT and len(cramped.tries) - len(fitted) == 4  # 19 and 9, 18 and 9 did not fit


def test_one_image_that_does_not_fit_is_a_sentence(problem, monkeypatch):
    monkeypatch.setattr(expectation, "_scores", fails_beyond(0, expectation._scores, lambda block, *rest: 1))
    with pytest.raises(InputError, match="--memory"):
        dense(problem)


def test_cupy_s_own_error_counts_and_its_pool_is_emptied_before_the_next_try(monkeypatch):
    """A pool that keeps the blocks of the failed try would leave the smaller one no more room."""
    import sys

    class OutOfMemoryError(RuntimeError):
        pass

    freed = []
    pool = SimpleNamespace(free_all_blocks=lambda: freed.append("device"))
    pinned = SimpleNamespace(free_all_blocks=lambda: freed.append("pinned"))
    cupy = SimpleNamespace(cuda=SimpleNamespace(memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError)),
                           get_default_memory_pool=lambda: pool, get_default_pinned_memory_pool=lambda: pinned)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    on_gpu = SimpleNamespace(__name__="array_api_compat.cupy")

    def fail(error):
        raise error

    assert attempt(on_gpu, fail, OutOfMemoryError()) is None and freed == ["device", "pinned"]
    assert attempt(on_gpu, fail, MemoryError()) is None
    assert attempt(on_gpu, max, 1, 2) == 2
    with pytest.raises(ValueError, match="other"):
        attempt(on_gpu, fail, ValueError("other"))
    with pytest.raises(OutOfMemoryError):
        attempt(np, fail, OutOfMemoryError())  # without a GPU it cannot mean memory


def test_what_a_failed_try_held_is_free_before_the_next():
    """A traceback that is kept keeps the arrays of its frames."""
    import weakref

    held = []

    def work():
        array = np.ones(1000)
        held.append(weakref.ref(array))
        raise MemoryError

    assert attempt(arrays.library("numpy"), work) is None
    assert held[0]() is None


@pytest.mark.parametrize(("where", "assignment"), [
    ("load", MAXIMUM_LIKELIHOOD), ("prepared", MAXIMUM_LIKELIHOOD), ("_in_loops", MAXIMUM_LIKELIHOOD),
    ("_scores", MAXIMUM_CROSS_CORRELATION), ("_products", MAXIMUM_CROSS_CORRELATION)])
def test_a_local_search_goes_on_in_smaller_blocks_too(problem, monkeypatch, where, assignment):
    """Each image brings slices of its own, which is what fills a GPU in the last iterations of a refinement."""
    particles, model, _ = problem
    poses = matrix_to_euler(random_rotations(COUNT, np.random.default_rng(2)))
    search = local_search(poses, np.zeros((COUNT, 2)), angular_range=10, angular_step=10)

    def look():
        return local.local_expectation(particles, model, search, space_of(), assignment, xp=np, budget=10**9)

    whole = look()
    of_images = 1 if where in ("load", "prepared") else 0  # which argument holds them

    def size_of(*arguments):
        return len(arguments[of_images])

    cramped = fails_beyond(9, getattr(local, where), size_of)
    monkeypatch.setattr(local, where, cramped)
    assert_same(look(), whole)
    assert sum(size for size in cramped.tries if size <= 9) == COUNT and max(cramped.tries) > 9
