"""A simulated experiment: what it promises about noise, poses, classes and optics, measured on what it made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import fourier, inverse, radial_mean
from cryoedu.microscope.ctf import ctf_half_planes
from cryoedu.microscope.experiment import BLOCK, simulate, write_experiment
from cryoedu.microscope.noise import circle, coloured, signal_variance
from cryoedu.microscope.realspace import project_by_sums, rotate, shift
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Optics
from cryoedu.particles.star import read_particles

BOX, PIXEL = 24, 5.0


def specimen(ndim=3, seed=1, name="blobs"):
    """Five blobs at random places within the inner half of the box."""
    rng = np.random.default_rng(seed)
    axis = np.arange(BOX) - BOX // 2
    density = np.zeros((BOX,) * ndim)
    for _ in range(5):
        centre = rng.uniform(-4, 4, ndim)
        r2 = sum((g - c) ** 2 for g, c in zip(np.meshgrid(*[axis] * ndim, indexing="ij", sparse=True), centre))
        density += rng.uniform(0.5, 2) * np.exp(-r2 / (2 * 1.7**2))
    return Specimen(density.astype(np.float32), PIXEL, name)


def quiet(*specimens, count=50, seed=1, **options):
    return simulate(specimens or specimen(), count, seed=seed, progress=False, **options)


@pytest.mark.parametrize("options", [{}, {"noise": coloured, "defocus": (8e3, 2e4)}, {"particle_diameter": 60.0}])
def test_signal_noise_and_their_ratio_are_as_stated(options):
    """The SNR is the one number that every lesson turns; images less their noise-free twins are the noise."""
    count, snr = BLOCK + 1, 0.2  # the last block is a single image
    noisy = quiet(specimen(2, 1), specimen(2, 2), count=count, snr=snr, **options)
    clean = quiet(specimen(2, 1), specimen(2, 2), count=count, snr=None, **options)
    scale = noisy.specimens[0].density.max() / clean.specimens[0].density.max()
    np.testing.assert_allclose(noisy.specimens[1].density, scale * clean.specimens[1].density, rtol=1e-5)
    inside = circle(BOX, options.get("particle_diameter", 0.8 * BOX * PIXEL) / (BOX * PIXEL))
    # the noise has variance 1 by definition, so the scaled signal's variance is the SNR: exactly, by construction
    assert signal_variance(scale * clean.truth.images, inside) == pytest.approx(snr, rel=1e-4)
    noise = noisy.truth.images - scale * clean.truth.images
    assert noise.var() == pytest.approx(1.0, rel=0.03)
    power = radial_mean(np.abs(fourier(noise)) ** 2, BOX, 2).mean(axis=0) / 2
    components = np.array([1] + [2 * np.pi * r for r in range(1, BOX // 2 + 1)]) / 2
    assert (np.abs(power / noisy.sigma2 - 1) < 5 / np.sqrt(count * components)).all()
    flat = noise.reshape(count, -1)
    correlation = np.corrcoef(flat) - np.eye(count)
    assert np.abs(correlation).max() < (0.7 if "noise" in options else 0.3)  # no image got another one's noise


def test_without_noise_there_is_none_and_nothing_is_scaled():
    """The noise-free data set that exercises reconstruct from."""
    made = quiet(snr=None)
    np.testing.assert_array_equal(made.sigma2, 0)
    np.testing.assert_array_equal(made.specimens[0].density, specimen().density)


def test_the_seed_decides_everything():
    """A lesson's numbers can be compared with a neighbour's only if both got the same images."""
    options = {"snr": 0.1, "shift_sigma": 4.0, "defocus": (8e3, 2e4), "count": 20}
    one, two, other = quiet(**options), quiet(**options), quiet(**options, seed=2)
    np.testing.assert_array_equal(one.truth.images, two.truth.images)
    np.testing.assert_array_equal(one.truth.angles, two.truth.angles)
    assert abs(np.corrcoef(one.truth.images.ravel(), other.truth.images.ravel())[0, 1]) < 0.5
    assert not np.isclose(one.truth.angles, other.truth.angles).any()


def test_the_particles_tell_nothing_that_a_microscope_would_not():
    """Poses that leak into the particles make every refinement start from the answer."""
    made = quiet(specimen(), specimen(seed=2), defocus=(8e3, 2e4), shift_sigma=3.0)
    assert made.particles.angles is made.particles.shifts is made.particles.classes is None
    assert made.particles.ctf is made.truth.ctf and made.particles.images is made.truth.images
    assert set(made.truth.classes) == {0, 1}


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_image_is_its_specimen_seen_from_its_pose(ndim):
    """Class, pose, shift and CTF of the truth rebuild each image by the slow way through real space."""
    optics = Optics(1.0, voltage=200.0, spherical_aberration=2.0, amplitude_contrast=0.08)
    both = (specimen(ndim, 3), specimen(ndim, 4))
    made = quiet(*both, count=12, snr=None, shift_sigma=8.0, defocus=(8e3, 1.5e4), astigmatism=2e3, b_factor=30.0,
                 phase_shift=20.0, optics=optics)
    truth = made.truth
    assert truth.optics[0] == replace(optics, pixel_size=PIXEL)
    assert truth.ctf.b_factor[0] == 30.0 and truth.ctf.phase_shift[0] == 20.0
    ctf = ctf_half_planes(BOX, truth.optics[0], truth.ctf)
    for i in range(12):
        density = both[truth.classes[i]].density
        if ndim == 3:
            seen = project_by_sums(density, truth.angles[i])
        else:
            assert not truth.angles[i, :2].any()
            seen = rotate(density, truth.angles[i, 2])[None]
        expected = inverse(fourier(shift(seen, truth.shifts[i] / PIXEL)) * ctf[i])[0]
        off = np.linalg.norm(truth.images[i] - expected) / np.linalg.norm(expected)
        assert off < 0.1  # interpolation; a wrong class, hand or sign is off by 0.5 and more


def test_classes_come_in_their_fractions():
    """Rare states are the point of classification."""
    count = 2000
    three = [specimen(2, s) for s in (1, 2, 3)]
    classes = quiet(*three, count=count, snr=None, fractions=[6, 3, 1]).truth.classes
    for k, share in enumerate((0.6, 0.3, 0.1)):
        assert np.mean(classes == k) == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / count))
    assert set(quiet(*three, snr=None, fractions=[1, 0, 1]).truth.classes) == {0, 2}


def test_poses_are_uniform_shifts_normal_and_defoci_in_their_range():
    """What is drawn, drawn as documented."""
    count = 3000
    truth = quiet(specimen(), count=count, snr=None, shift_sigma=6.0, defocus=(9e3, 1.2e4), astigmatism=1e3).truth
    rot, tilt, psi = truth.angles.T
    for values, law in ((np.cos(np.radians(tilt)), ("uniform", (-1, 2))), (rot, ("uniform", (-180, 360))),
                        (psi, ("uniform", (-180, 360))), (truth.shifts.ravel(), ("norm", (0, 6.0))),
                        (truth.ctf.defocus_u - truth.ctf.defocus_v, ("uniform", (0, 1e3))),
                        ((truth.ctf.defocus_u + truth.ctf.defocus_v) / 2, ("uniform", (9e3, 3e3))),
                        (truth.ctf.astigmatism_angle, ("uniform", (0, 180)))):
        assert kstest(values, *law).pvalue > 1e-3
    flat = quiet(specimen(2), count=count, snr=None).truth.angles
    assert not flat[:, :2].any() and kstest(flat[:, 2], "uniform", (-180, 360)).pvalue > 1e-3


@pytest.mark.parametrize("kappa", [0.5, 4.0, 200.0])
def test_preferred_views_follow_von_mises_and_fisher(kappa):
    """Mean cosine of the tilt: coth κ - 1/κ; round the axis all views stay alike."""
    count = 3000
    angles = quiet(specimen(), count=count, snr=None, preferred=kappa).truth.angles
    cosine = np.cos(np.radians(angles[:, 1]))
    law = lambda c: (np.exp(kappa * (c - 1)) - np.exp(-2 * kappa)) / (1 - np.exp(-2 * kappa))  # noqa: E731
    assert kstest(cosine, law).pvalue > 1e-3
    assert np.mean(cosine) == pytest.approx(1 / np.tanh(kappa) - 1 / kappa, abs=5 * np.std(cosine) / np.sqrt(count))
    assert kstest(angles[:, 0], "uniform", (-180, 360)).pvalue > 1e-3
    axis = euler_to_matrix(angles)[:, 2]  # where the line of sight is in the map
    np.testing.assert_allclose(axis[:, 2], cosine)


EMPTY = Specimen(np.zeros((BOX, BOX), dtype=np.float32), PIXEL, "nothing")
BAD = {
    "no specimen": (lambda: simulate([], 5, seed=1), "no specimen"),
    "other box": (lambda: quiet(specimen(2), Specimen(np.ones((8, 8)), PIXEL, "small")), "small.*resample"),
    "other pixel size": (lambda: quiet(specimen(2), replace(specimen(2), pixel_size=4.0)), "resample"),
    "2D and 3D": (lambda: quiet(specimen(2), specimen(3)), "dimensions"),
    "no particles": (lambda: quiet(count=0), "count=0"),
    "zero SNR": (lambda: quiet(snr=0.0), "snr"), "negative SNR": (lambda: quiet(snr=-1.0), "snr"),
    "NaN SNR": (lambda: quiet(snr=np.nan), "snr"), "infinite SNR": (lambda: quiet(snr=np.inf), "snr"),
    "too few fractions": (lambda: quiet(specimen(), fractions=[0.5, 0.5]), "fractions"),
    "negative fraction": (lambda: quiet(specimen(2), specimen(2), fractions=[1.5, -0.5]), "fractions"),
    "no fractions": (lambda: quiet(specimen(2), specimen(2), fractions=[0, 0]), "fractions"),
    "NaN fraction": (lambda: quiet(specimen(2), specimen(2), fractions=[1, np.nan]), "fractions"),
    "defocus upside down": (lambda: quiet(defocus=(2e4, 1e4)), "lowest defocus first"),
    "NaN defocus": (lambda: quiet(defocus=(np.nan, 1e4)), "defocus"),
    "NaN B": (lambda: quiet(defocus=(1e4, 1e4), b_factor=np.nan), "b_factor"),
    "negative shifts": (lambda: quiet(shift_sigma=-1.0), "shift_sigma"),
    "negative astigmatism": (lambda: quiet(defocus=(1e4, 1e4), astigmatism=-1.0), "astigmatism"),
    "negative preference": (lambda: quiet(preferred=-1.0), "preferred"),
    "no diameter": (lambda: quiet(particle_diameter=0.0), "particle_diameter"),
    "nothing to see": (lambda: quiet(EMPTY), "no contrast"),
    "premultiplied": (lambda: quiet(defocus=(1e4, 1e4), optics=Optics(1.0, ctf_premultiplied=True)), "premultiplied"),
    "defocus beyond the box": (lambda: quiet(defocus=(1e4, 1e5)), "larger box"),
    "box of another microscope": (lambda: quiet(defocus=(1e4, 1e4), optics=Optics(1.0, voltage=0.0)), "rlnVoltage"),
}


@pytest.mark.parametrize(("call", "word"), BAD.values(), ids=BAD)
def test_impossible_experiments_are_a_sentence(call, word):
    """Before the first image is made, and with the name of what to change."""
    with pytest.raises(InputError, match=word):
        call()


def test_what_is_written_is_what_was_made(tmp_path):
    """Files for RELION and for the next day's session: particles without, truth with their poses."""
    made = quiet(specimen(name="one"), specimen(seed=2, name="two"), count=30, snr=0.5, shift_sigma=3.0,
                 defocus=(8e3, 2e4), astigmatism=500.0, b_factor=20.0)
    path = write_experiment(made, tmp_path / "experiment")
    assert path.name == "particles_data.star"
    names = {p.name for p in path.parent.iterdir()}
    assert names == {"particles.mrcs", "particles_data.star", "truth_data.star", "truth_class001.mrc",
                     "truth_class002.mrc"}
    particles, truth = read_particles(path), read_particles(path.parent / "truth_data.star")
    np.testing.assert_array_equal(particles.images[:], made.particles.images)
    np.testing.assert_array_equal(truth.images[:], made.truth.images)
    assert particles.angles is particles.shifts is particles.classes is None
    np.testing.assert_allclose(truth.angles, made.truth.angles, atol=1e-5)
    np.testing.assert_allclose(truth.shifts, made.truth.shifts, atol=1e-5)
    np.testing.assert_array_equal(truth.classes, made.truth.classes)
    for read in (particles, truth):
        assert read.optics == made.truth.optics or read.optics[0].pixel_size == PIXEL
        np.testing.assert_allclose(read.ctf.defocus_u, made.truth.ctf.defocus_u, rtol=1e-6)
        np.testing.assert_allclose(read.ctf.astigmatism_angle, made.truth.ctf.astigmatism_angle, atol=1e-4)
        np.testing.assert_allclose(read.ctf.b_factor, 20.0)
    from cryoedu.microscope.specimen import read_map

    for k, s in enumerate(made.specimens, start=1):
        back = read_map(path.parent / f"truth_class{k:03d}.mrc")
        np.testing.assert_array_equal(back.density, s.density)
        assert back.pixel_size == pytest.approx(PIXEL)


def test_progress_is_quiet_when_asked(capsys):
    """Notebooks fill with bars otherwise."""
    quiet(count=5)
    assert capsys.readouterr() == ("", "")


def test_an_astigmatism_without_a_ctf_is_refused():
    """An option that is silently ignored lets a student conclude that astigmatism does nothing."""
    for options in ({"astigmatism": 300.0}, {"b_factor": 80.0}, {"phase_shift": 90.0}):
        with pytest.raises(InputError, match="belong to a CTF"):
            simulate(Specimen(np.ones((8, 8), dtype=np.float32), 5.0), 4, seed=1, progress=False, **options)
