"""The oracle against likelihood ratios written out, the closed form for two classes, and its own promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import components, fourier, gather, scatter, shift_phases
from cryoedu.inference.oracle import noise_of_residuals, oracle
from cryoedu.microscope.ctf import ctf_components
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.projection import project
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Optics

BOX, PIXEL = 16, 6.0
PARTS = components(BOX)


def two_states(ndim):
    """One specimen, and the same with a blob elsewhere."""
    rng = np.random.default_rng(1)
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * ndim, indexing="ij", sparse=True)
    blob = lambda c: np.exp(-sum((a - x) ** 2 for a, x in zip(axes, c)) / (2 * 1.5**2))  # noqa: E731
    common = sum(blob(rng.uniform(-3, 3, ndim)) for _ in range(4))
    places = ([2.0, -3.0, 1.0][:ndim], [-3.0, 1.0, 2.0][:ndim])
    return [Specimen((common + blob(p)).astype(np.float32), PIXEL, f"state{i}") for i, p in enumerate(places)]


def made(ndim, snr, count=200, **options):
    return simulate(two_states(ndim), count, seed=3, snr=snr, progress=False, **options)


FULL = {"noise": coloured, "shift_sigma": 5.0, "defocus": (8e3, 1.2e4)}


@pytest.mark.parametrize(("ndim", "options"), [(2, {}), (3, {}), (3, FULL)], ids=["2D", "3D", "CTF, coloured noise"])
def test_at_a_high_snr_it_knows_every_class(ndim, options):
    """An oracle that errs where anybody can see the class would excuse every bad classification."""
    experiment = made(ndim, 20.0, **options)
    found = oracle(experiment.truth, experiment.specimens, experiment.sigma2)
    assert found.shape == (200, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found.argmax(axis=1), experiment.truth.classes)
    assert found.max(axis=1).min() > 0.99


@pytest.mark.parametrize("ndim", [2, 3])
def test_it_is_the_likelihood_ratio_pixel_by_pixel(ndim):
    """White noise, no CTF: Σ (x - a)² / 2s² over the pixels, background taken out, is all there is to it."""
    experiment = made(ndim, 0.02, shift_sigma=4.0, fractions=[0.3, 0.7])
    truth = experiment.truth
    rotations = euler_to_matrix(truth.angles)
    log_p = np.zeros((len(truth), 2))
    for k, specimen in enumerate(experiment.specimens):
        values = project(specimen.density[None].astype(np.float64), rotations, PARTS)[0]
        values = values * shift_phases(truth.shifts / PIXEL, PARTS)
        values[:, 0] = 0
        predicted = scatter(values, PARTS)
        for i, image in enumerate(truth.images.astype(np.float64)):
            log_p[i, k] = -np.sum((image - image.mean() - predicted[i]) ** 2) / 2 + np.log([0.3, 0.7][k])
    expected = 1 / (1 + np.exp(log_p[:, 0] - log_p[:, 1]))
    found = oracle(truth, experiment.specimens, experiment.sigma2, [3, 7])
    np.testing.assert_allclose(found[:, 1], expected, atol=1e-4)
    assert 0.05 < np.quantile(expected, 0.25) < np.quantile(expected, 0.75)  # a problem with doubt in it


def test_with_ctf_and_coloured_noise_of_two_groups_too():
    """Component by component, each particle with its own CTF and its own group's noise."""
    experiment = made(3, 0.03, **FULL)
    truth = replace(experiment.truth, optics=experiment.truth.optics + (Optics(PIXEL, voltage=200.0, name="two"),),
                    optics_group=np.arange(200) % 2)
    sigma2 = np.stack([experiment.sigma2, 3 * experiment.sigma2[::-1]])
    found = oracle(truth, experiment.specimens, sigma2)
    maps = np.stack([s.density for s in experiment.specimens]).astype(np.float64)
    for i in range(0, 200, 7):
        group = i % 2
        x = np.asarray(gather(truth.images[i : i + 1].astype(np.float64), PARTS))[0]
        ctf = ctf_components(PARTS, truth.optics[group], truth.ctf[i : i + 1])[0]
        phases = shift_phases(truth.shifts[i : i + 1] / PIXEL, PARTS)[0]
        log_p = []
        for a in project(maps, euler_to_matrix(truth.angles[i : i + 1]), PARTS)[:, 0]:
            off = np.abs(x - ctf * phases * a) ** 2 / (2 * sigma2[group, PARTS.shell])
            log_p.append(-off[1:].sum())
        assert found[i, 1] == pytest.approx(1 / (1 + np.exp(log_p[0] - log_p[1])), abs=1e-4)


def test_its_errors_are_those_that_theory_allows():
    """Two known signals a distance d apart in units of the noise are told apart with the probability Φ(d / 2)."""
    experiment = made(3, 0.01, count=2000)
    truth = experiment.truth
    a, b = project(np.stack([s.density for s in experiment.specimens]), euler_to_matrix(truth.angles), PARTS)[:, :, 1:]
    distance = np.sqrt(np.sum(np.abs(a - b) ** 2 / experiment.sigma2[PARTS.shell[1:]], axis=1))
    theory = norm.cdf(distance / 2)
    found = oracle(truth, experiment.specimens, experiment.sigma2)
    right = found.argmax(axis=1) == truth.classes
    assert np.mean(right) == pytest.approx(np.mean(theory), abs=5 * np.sqrt(np.mean(theory * (1 - theory)) / 2000))
    assert 0.6 < np.mean(theory) < 0.95
    # and it knows how sure it may be
    assert np.mean(found.max(axis=1)) == pytest.approx(np.mean(right), abs=0.04)


def test_in_nothing_but_noise_only_the_fractions_are_left():
    """With no information the prior is all there is; a class that cannot occur gets nothing, and no warning."""
    experiment = made(2, 1e-9)
    np.testing.assert_allclose(oracle(experiment.truth, experiment.specimens, experiment.sigma2, [1, 3]),
                               np.tile([0.25, 0.75], (200, 1)), atol=1e-3)
    only = oracle(experiment.truth, experiment.specimens, experiment.sigma2, [1, 0])
    np.testing.assert_array_equal(only, np.tile([1.0, 0.0], (200, 1)))


@pytest.mark.parametrize("options", [{}, FULL], ids=["white", "CTF, coloured noise"])
def test_the_noise_under_the_truth_is_measured(options):
    """Data from elsewhere come without their noise; with true maps and poses it is what they leave."""
    experiment = made(3, 0.2, count=400, **options)
    measured = noise_of_residuals(experiment.truth, experiment.specimens)
    assert measured.shape == (1, BOX // 2 + 1)
    counted = np.bincount(PARTS.shell) * 400
    assert (np.abs(measured[0] / experiment.sigma2 - 1)[1:] < 5 / np.sqrt(counted[1:])).all()


def test_without_noise_the_residual_stays_positive():
    """Round-off below zero would turn the oracle's likelihood upside down."""
    experiment = made(3, None, defocus=(8e3, 1.2e4))
    measured = noise_of_residuals(experiment.truth, experiment.specimens)
    power = np.abs(fourier(experiment.truth.images)).max() ** 2
    assert (measured > 0).all() and measured.max() < 1e-4 * power
    found = oracle(experiment.truth, experiment.specimens, measured)
    np.testing.assert_array_equal(found.argmax(axis=1), experiment.truth.classes)


SMALL = Specimen(np.ones((8, 8), dtype=np.float32), PIXEL, "small")
BAD = {
    "no poses": (lambda e: oracle(e.particles, e.specimens, e.sigma2), "angles"),
    "no noise": (lambda e: oracle(e.truth, e.specimens, 0 * e.sigma2), "noise"),
    "NaN noise": (lambda e: oracle(e.truth, e.specimens, np.nan * e.sigma2), "noise"),
    "other shells": (lambda e: oracle(e.truth, e.specimens, e.sigma2[:-1]), "noise"),
    "no specimens": (lambda e: oracle(e.truth, [], e.sigma2), "specimen"),
    "other box": (lambda e: oracle(e.truth, [SMALL, SMALL], e.sigma2), "small.*box"),
    "other pixel size": (lambda e: oracle(e.truth, [replace(s, pixel_size=3.0) for s in e.specimens], e.sigma2), "3 Å"),
    "2D and 3D": (lambda e: oracle(e.truth, [e.specimens[0], two_states(3)[0]], e.sigma2), "3D"),
    "other fractions": (lambda e: oracle(e.truth, e.specimens, e.sigma2, [1.0]), "fractions"),
    "negative fractions": (lambda e: oracle(e.truth, e.specimens, e.sigma2, [2.0, -1.0]), "fractions"),
    "no fractions": (lambda e: oracle(e.truth, e.specimens, e.sigma2, [0.0, 0.0]), "fractions"),
    "no classes": (lambda e: noise_of_residuals(e.particles, e.specimens), "angles and classes"),
    "class without a map": (lambda e: noise_of_residuals(e.truth, e.specimens[:1]), "class 2"),
}


@pytest.mark.parametrize(("call", "word"), BAD.values(), ids=BAD)
def test_what_it_cannot_answer_is_a_sentence(call, word):
    """It is asked at the end of a long run, with whatever files lie about."""
    with pytest.raises(InputError, match=word):
        call(made(2, 1.0, count=10))
