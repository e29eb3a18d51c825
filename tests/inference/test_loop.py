"""The loop: what expectation maximisation promises, and what the parts promise to the loop."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import low_pass
from cryoedu.geometry.grids import search_2d, search_3d
from cryoedu.geometry.masks import soft_sphere
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION
from cryoedu.inference.em import refine
from cryoedu.inference.loop import opening
from cryoedu.inference.model import Checkpoint, signal_power
from cryoedu.inference.mstep import other_parameters
from cryoedu.inference.start import noise_power, start_model
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Particles
from cryoedu.validation.fsc import fsc

BOX = 24


def blobs(ndim: int, seed: int = 3, count: int = 7, box: int = BOX) -> np.ndarray:
    """A few Gaussian blobs at random: an asymmetric specimen."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(box) - box // 2] * ndim, indexing="ij")
    out = np.zeros((box,) * ndim)
    for _ in range(count):
        centre = rng.uniform(-0.2, 0.2, ndim) * box
        out += rng.uniform(0.5, 1.5) * np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / 5.0)
    return out.astype(np.float32)


CASES = {
    "2D, real space": {"ndim": 2, "space": "real"},
    "2D, Fourier space": {"ndim": 2, "space": "fourier"},
    "2D, CTF, coloured noise": {"ndim": 2, "space": "fourier", "ctf": True},
    "3D, CTF, coloured noise": {"ndim": 3, "space": "fourier", "ctf": True},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("classes", [1, 2])
def test_the_likelihood_never_falls(case, classes):
    """With the prior off and the grid fixed, each turn of EM may only raise log P(X | Θ)."""
    options = {"defocus": (8e3, 2e4), "astigmatism": 600.0, "noise": coloured} if case.get("ctf") else {}
    experiment = simulate(
        Specimen(blobs(case["ndim"]), 5.0), 120, seed=1, snr=0.3, shift_sigma=4.0, progress=False, **options
    )
    rng = np.random.default_rng(2)
    truth = experiment.specimens[0].density
    maps = np.stack([truth * 0.5 + 0.2 * truth.std() * rng.standard_normal(truth.shape) for _ in range(classes)])
    search = (
        search_2d(20, shift_range=5, shift_step=5) if case["ndim"] == 2 else search_3d(0, shift_range=5, shift_step=5)
    )
    model = start_model(experiment.particles, maps, space=case["space"])
    climbed = [
        i.log_likelihood
        for i in refine(experiment.particles, model, search, iterations=12, space=case["space"], array_library="numpy")
    ]
    assert np.diff(climbed).min() > -2e-7 * abs(climbed[0]), np.diff(climbed)
    assert climbed[-1] > climbed[0] + 10


def test_a_loop_goes_on_from_a_model_as_if_it_had_not_stopped():
    """A run that was interrupted must end with the numbers of one that was not: same radii, same grids, same steps."""
    experiment = simulate(Specimen(blobs(2), 5.0), 40, seed=1, snr=0.5, shift_sigma=4.0, progress=False)
    start = start_model(experiment.particles, experiment.particles.images[:20].mean(axis=0)[None])
    search = search_2d(20, shift_range=5, shift_step=5)
    options = {"iterations": 4, "radii": [4, 6, 8, 10], "perturb_seed": 7, "array_library": "numpy"}
    whole = list(refine(experiment.particles, start, search, **options))
    rest = list(refine(experiment.particles, start, search, after=whole[1], **options))
    assert [i.number for i in rest] == [3, 4]
    for once, again in zip(whole[2:], rest):
        np.testing.assert_array_equal(once.model.maps, again.model.maps)
        np.testing.assert_array_equal(once.posterior.angles, again.posterior.angles)
        assert once.log_likelihood == again.log_likelihood and once.radius == again.radius


def test_a_loop_goes_on_with_a_class_that_lost_all_its_particles():
    """Its map fades to zero: no start for anybody, but a run that has come so far can be gone on with."""
    experiment = simulate(Specimen(blobs(2), 5.0), 40, seed=1, snr=0.5, progress=False)
    image = experiment.particles.images[:20].mean(axis=0)
    model = replace(start_model(experiment.particles, np.stack([image, 0 * image])), class_weights=np.array([1.0, 0.0]))
    with pytest.raises(InputError, match="reference 2 is zero everywhere"):
        refine(experiment.particles, model, search_2d(20), array_library="numpy")
    (last,) = refine(experiment.particles, model, search_2d(20), iterations=3, after=Checkpoint(2, [model]),
                     tau2_fudge=2.0, array_library="numpy")
    assert last.model.class_weights[1] == pytest.approx(0, abs=1e-6) and np.isfinite(last.model.maps).all()


def test_the_noise_is_found_whatever_the_mask():
    """A mask on the map must not leak into σ²: RELION's, taken inside a zeroed mask, comes out too low."""
    experiment = simulate(Specimen(blobs(3), 5.0), 300, seed=4, snr=0.2, noise=coloured, progress=False)
    start = start_model(experiment.particles, experiment.specimens[0].density[None])
    from cryoedu.geometry.masks import soft_sphere

    for mask in (None, soft_sphere(BOX, 5.0, 80.0)):
        *_, last = refine(
            experiment.particles, start, search_3d(1), iterations=3, mask=mask, tau2_fudge=4.0, array_library="numpy"
        )
        ratio = last.model.sigma2[0, 2:11] / experiment.sigma2[2:11]
        assert np.all(np.abs(ratio - 1) < 0.06), ratio


def test_a_known_tau2_shrinks_by_the_wiener_factor():
    """V = V_data · SSNR/(1 + SSNR): a factor n or padding lost anywhere in the prior shows here."""
    from cryoedu.geometry.fourier import fourier, shells
    from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
    from cryoedu.inference.expectation import expectation
    from cryoedu.inference.mstep import maximisation
    from cryoedu.inference.spaces import FourierSpace

    rng = np.random.default_rng(0)
    for ndim in (2, 3):
        experiment = simulate(Specimen(blobs(ndim), 5.0), 400, seed=1, snr=1.0, progress=False)
        start = start_model(experiment.particles, experiment.specimens[0].density[None])
        start = replace(start, sigma2=experiment.sigma2[None])
        search = search_2d(5) if ndim == 2 else search_3d(2)
        space = FourierSpace(BOX, ndim, 5.0, BOX // 2)
        _, sums = expectation(
            experiment.particles, start, search, space, MAXIMUM_LIKELIHOOD, xp=np, budget=10**9
        )
        tau2 = np.full((1, BOX // 2 + 1), 1e-1) * start.tau2[0, 1] * rng.uniform(0.5, 2.0, (1, BOX // 2 + 1))
        model = replace(start, tau2=tau2)
        maps, ssnr = {}, None
        for fudge in (1.0, 1e6):
            after, value = maximisation(sums, np.ones(1) * 400, model, search, space, fudge, None, (), 40, np)
            maps[fudge] = fourier(after.maps[0].astype(float), ndim)
            ssnr = value if fudge == 1.0 else ssnr
        shell = shells(BOX, ndim)
        for s in range(2, 8):
            a, b = maps[1.0][shell == s], maps[1e6][shell == s]
            measured = (np.sum(a * b.conj()) / np.sum(np.abs(b) ** 2)).real
            expected = ssnr[0, s] / (1 + ssnr[0, s])
            assert abs(measured - expected) < 0.05, (ndim, s, measured, expected)


def test_the_prior_of_a_shell_is_its_own_and_where_nothing_is_known_the_data_decide():
    """1/(T τ²); of the weight that images give a shell, the hundredth that holds back what no slice has seen."""
    from cryoedu.inference.maximisation import signal_prior, weak_prior

    weight = np.random.default_rng(1).uniform(1, 3, (2, 8, 8, 5))
    tau2 = np.array([[1.0, 2.0, 1e-9, 0.0, 0.0], [4.0, 0.0, 0.5, 1.0, 0.0]])
    prior = signal_prior(tau2, weight, 4.0)
    known = tau2 > 0
    np.testing.assert_allclose(prior[known], 1 / (4.0 * tau2[known]))
    np.testing.assert_array_equal(prior[~known], weak_prior(weight)[~known])
    assert (prior[~known] < 0.04).all()
    faded = signal_prior(np.full((2, 5), 1e-60), weight, 2.0)  # as maps of noise fade: float32 holds it for a whole box
    assert np.isfinite(np.float32(512**3) * faded.astype(np.float32)).all()


@pytest.mark.parametrize("masked", [False, True])
def test_shells_open_with_the_prior_on(masked):
    """From a reference that ends at shell 4, with shells opening one after the other: each has the power, and the
    correlation with the truth, that it has without the prior. What a mask spreads beyond the last shell that was
    looked at is not taken for a signal so weak that it has to be held down."""
    every_shell = np.random.default_rng(5).standard_normal((BOX,) * 3) * soft_sphere(BOX, 5.0, 60.0)
    experiment = simulate(Specimen(every_shell.astype(np.float32), 5.0), 200, seed=1, snr=0.4, progress=False)
    truth = experiment.specimens[0].density
    start = start_model(experiment.particles, low_pass(truth[None], 5.0, BOX * 5.0 / 4))
    assert (start.tau2[0, 7:] == 0).all() and (start.tau2[0, :4] > 0).all()
    options = {"radii": [4, 6, 8], "iterations": 3, "array_library": "numpy",
               "mask": soft_sphere(BOX, 5.0, 90.0) if masked else None}
    found = {fudge: [*refine(experiment.particles, start, search_3d(2), tau2_fudge=fudge, **options)]
             for fudge in (4.0, None)}
    for turn, radius in zip(found[4.0], (4, 6, 8), strict=True):
        assert (turn.model.tau2[0, : radius + 1] > 0).all() and (turn.model.tau2[0, radius + 1 :] == 0).all()
    with_it, without = (fsc(found[fudge][-1].model.maps[0], truth)[:9] for fudge in (4.0, None))
    assert without[5:].min() > 0.5  # it was to be had
    assert (with_it[5:] > without[5:] - 0.05).all()


def test_a_shell_of_noise_stays_closed():
    """It is known to hold nothing, which is not the same as not known: it must not open again when little is left."""
    experiment = simulate(Specimen(blobs(2), 5.0), 60, seed=1, snr=0.02, progress=False)
    start = start_model(experiment.particles, low_pass(blobs(2)[None], 5.0, BOX * 5.0 / 3))
    *_, before, last = refine(experiment.particles, start, search_2d(90), tau2_fudge=0.5, iterations=25,
                              array_library="numpy")
    power, strongest = last.model.tau2[0, 8:12], last.model.tau2[0].max()
    assert (power < 1e-6 * strongest).all() and (power > 0).all()
    assert (power <= before.model.tau2[0, 8:12] * 1.01).all()


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_power_of_white_noise_is_that_of_the_conventions(ndim):
    """White pixels of variance s² have τ² = n^ndim s² / 2 in each real component."""
    noise = np.random.default_rng(1).normal(0, 3.0, (100 if ndim == 2 else 4, *(32,) * ndim))
    np.testing.assert_allclose(signal_power(noise)[:, 2:].mean(axis=0), 32**ndim * 9.0 / 2, rtol=0.15)


def test_the_spread_of_the_shifts_is_that_along_each_axis():
    """Σ Γ |s|² of shifts of standard deviation σ along x and along y is 2 N σ²."""
    shifts = np.random.default_rng(1).normal(0, 7.0, (5000, 2))
    sums = SimpleNamespace(squares=np.ones((1, 9)), counts=np.ones((1, 9)), shift_square=np.sum(shifts**2))
    found = other_parameters(sums, np.array([2000.0, 3000.0]), None, search_2d(90, shift_range=10, shift_step=1),
                         SimpleNamespace(unknowns=2), ("sigma2",))
    assert found["offset_sigma"] == pytest.approx(7.0, rel=0.02)


def test_supervised_classification_keeps_the_maps():
    experiment = simulate(
        [Specimen(blobs(2, 1), 5.0), Specimen(blobs(2, 2), 5.0)], 200, seed=5, snr=1.0, progress=False
    )
    model = start_model(experiment.particles, np.stack([s.density for s in experiment.specimens]))
    *_, last = refine(
        experiment.particles, model, search_2d(6), iterations=3, fixed=("maps", "tau2"), array_library="numpy"
    )
    np.testing.assert_array_equal(last.model.maps, model.maps)
    assert np.mean(last.posterior.classes == experiment.truth.classes) > 0.95


def test_the_same_call_gives_the_same_result_and_a_perturbed_grid_depends_on_its_seed():
    experiment = simulate(Specimen(blobs(2), 5.0), 60, seed=1, snr=0.5, progress=False)
    model = start_model(experiment.particles, experiment.particles.images.mean(axis=0)[None])

    def last(seed):
        *_, it = refine(
            experiment.particles, model, search_2d(15), iterations=3, perturb_seed=seed, array_library="numpy"
        )
        return it.model.maps

    np.testing.assert_array_equal(last(1), last(1))
    assert np.abs(last(1) - last(2)).max() > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"space": "fourrier"}, "space 'fourrier' is unknown"),
        ({"fixed": ("map",)}, "fixed names ['map']"),
        ({"radii": [0]}, "radius of at least 1"),
        ({"memory": "lots"}, "memory 'lots' is not a size"),
        ({"mask": np.ones((3, 3))}, "the mask has shape (3, 3)"),
    ],
    ids=lambda v: str(v)[:20],
)
def test_bad_options_are_refused_in_one_sentence_before_any_work(change, words):
    experiment = simulate(Specimen(blobs(2), 5.0), 10, seed=1, progress=False)
    model = start_model(experiment.particles, experiment.specimens[0].density[None])
    with pytest.raises(InputError) as caught:
        refine(experiment.particles, model, search_2d(30), array_library="numpy", **change)
    assert words in str(caught.value)


def test_a_reference_that_does_not_fit_is_refused():
    experiment = simulate(Specimen(blobs(2), 5.0), 10, seed=1, progress=False)
    good = start_model(experiment.particles, experiment.specimens[0].density[None])
    small = replace(good, maps=good.maps[:, 2:-2, 2:-2])
    wrong = replace(good, pixel_size=5.5)
    many = start_model(experiment.particles, np.repeat(good.maps, 11, axis=0))
    for model, search, words in [
        (small, search_2d(30), "box of 20 pixels"),
        (wrong, search_2d(30), "5.5 Å per pixel"),
        (good, search_3d(0), "3D search does not fit 2D"),
        (many, search_2d(30), "11 classes for 10"),
    ]:
        with pytest.raises(InputError, match=words):
            refine(experiment.particles, model, search, array_library="numpy")


@pytest.mark.parametrize("scale", [1e-6, 1e-30])
def test_a_class_without_particles_stays_as_it_is(scale):
    """Empty classes are common; one must not spoil the others, nor turn into NaN."""
    experiment = simulate(Specimen(blobs(3), 5.0), 60, seed=1, snr=0.5, progress=False)
    density = experiment.specimens[0].density
    start = start_model(experiment.particles, np.stack([density, np.full_like(density, scale)]))
    start = replace(start, class_weights=np.array([1.0, 0.0]))
    with np.errstate(all="raise", under="ignore"):
        *_, last = refine(experiment.particles, start, search_3d(0), iterations=3, array_library="numpy")
    assert np.isfinite(last.model.maps).all()
    assert last.model.class_weights[0] > 0.999


def test_an_image_with_nan_is_named():
    experiment = simulate(Specimen(blobs(2), 5.0), 10, seed=1, progress=False)
    experiment.particles.images[6, 3, 3] = np.nan
    clean = replace(experiment.particles, images=np.nan_to_num(experiment.particles.images))
    model = start_model(clean, experiment.specimens[0].density[None])
    with pytest.raises(InputError, match="image 7 holds NaN"):
        next(refine(experiment.particles, model, search_2d(30), array_library="numpy"))


@pytest.mark.parametrize(("ndim", "megabytes"), [(2, 32), (3, 32), (3, 128)])
def test_the_memory_budget_holds(ndim, megabytes):
    """A seat with 1 GB must not be killed: blocks are cut so that what is allocated stays near the budget."""
    experiment = simulate(Specimen(blobs(ndim), 5.0), 300, seed=1, defocus=(8e3, 2e4), progress=False)
    model = start_model(experiment.particles, np.repeat(experiment.specimens[0].density[None], 3, axis=0))
    search = search_2d(2, shift_range=10, shift_step=5) if ndim == 2 else search_3d(1, shift_range=10, shift_step=5)
    loop = refine(experiment.particles, model, search, array_library="numpy", memory=f"{megabytes} MB")
    next(refine(experiment.particles, model, search, array_library="numpy", radii=[2]))  # compiles the kernels
    tracemalloc.start()
    next(loop)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.25 * megabytes * 1e6, f"{peak / 1e6:.0f} MB"


@pytest.mark.parametrize(("space", "expected"), [("fourier", 64**2 / 2), ("real", 1)])
def test_the_first_noise_needs_little_memory_and_does_not_depend_on_how_the_images_are_read(space, expected,
                                                                                             monkeypatch):
    """It had needed more than eight times the size of the images."""
    images = 3 + np.random.default_rng(8).normal(size=(1000, 64, 64)).astype(np.float32)
    particles = Particles.of(images, 5.0)
    noise_power(particles.subset_of(np.arange(2)), space)  # tables that stay
    tracemalloc.start()
    power = noise_power(particles, space)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes
    assert power[0, -20:] == pytest.approx(expected, rel=0.02)
    monkeypatch.setattr("cryoedu.inference.start.POWER_BLOCK", images.size)
    np.testing.assert_allclose(power, noise_power(particles, space), rtol=1e-9)


def test_opening_runs_evenly_between_its_ends():
    assert opening(5, 11, 4) == [5, 7, 9, 11]


def test_maxcc_invents_amplitude_in_noise():
    """The reason for the whole lecture: aligned on pure noise, maxCC returns a reference, ML nearly nothing."""
    rng = np.random.default_rng(0)
    reference = blobs(2)[None]
    noise = Particles.of(rng.standard_normal((1500, BOX, BOX)), 5.0)
    model = start_model(noise, reference * 0.05)  # so faint that every orientation is about as likely
    ml = next(refine(noise, model, search_2d(10), array_library="numpy")).model.maps[0]
    cc = next(
        refine(noise, model, search_2d(10), assignment=MAXIMUM_CROSS_CORRELATION, array_library="numpy")
    ).model.maps[0]
    like = lambda m: float(np.sum(m * reference[0]) / np.sum(reference[0] ** 2))  # noqa: E731
    assert like(cc) > 4 * abs(like(ml))
