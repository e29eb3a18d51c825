"""Defoci from a map and known poses: against a loop, against the truth, and where there is nothing to be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import components, gather, scatter, shift_phases
from cryoedu.inference import defocus
from cryoedu.inference.defocus import model_of, refine_defocus
from cryoedu.inference.start import start_model
from cryoedu.microscope import write_map
from cryoedu.microscope.ctf import ctf_components
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.projection import project
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles import write_particles
from cryoedu.particles.particles import CTFParameters

BOX, PIXEL = 32, 3.0
QUIET = {"progress": False, "array_library": "numpy"}


def density(seed: int = 1) -> np.ndarray:
    """Sharp blobs: a defocus shows at high resolution."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij", sparse=True)
    return sum(np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / 1.5)
               for centre in rng.uniform(-7, 7, (40, 3))).astype(np.float32)


def moved(particles, change):
    ctf = particles.ctf
    return replace(particles, ctf=replace(ctf, defocus_u=ctf.defocus_u + change, defocus_v=ctf.defocus_v + change))


def problem(count: int = 60, snr: float = 0.5, sigma: float = 400.0, seed: int = 1):
    """Particles at their true poses with defoci that are off by ``sigma`` Å, the true model, and the errors made."""
    experiment = simulate(Specimen(density(), PIXEL), count, seed=seed, snr=snr, shift_sigma=3.0, noise=coloured,
                          defocus=(5e3, 1e4), astigmatism=400.0, progress=False)
    model = replace(start_model(experiment.particles, experiment.specimens[0].density[None]),
                    sigma2=experiment.sigma2[None])
    error = np.random.default_rng(seed).standard_normal(count) * sigma
    return moved(experiment.truth, error), model, error


def test_one_particle_against_a_loop():
    """Every defocus on its own, in float64: scores, mean and deviation of the posterior."""
    particles, model, _ = problem(5)
    particles = replace(particles, scale=np.linspace(0.8, 1.2, 5))
    found = refine_defocus(particles, model, reach=600, step=150, sigma=300, **QUIET)
    assert found.offsets.tolist() == [-600, -450, -300, -150, 0, 150, 300, 450, 600]
    parts = components(BOX)
    weight = 1 / model.sigma2[0, parts.shell[1:]]
    for i in range(5):
        one, ctf = particles, particles.ctf
        x = gather(one.images[i : i + 1].astype(np.float64), parts)[0, 1:]
        a = project(model.maps.astype(np.float64), euler_to_matrix(one.angles[i])[None], parts)[0]
        a = (a * shift_phases(one.shifts[i][None] / PIXEL, parts))[0, 1:] * particles.scale[i]
        scores = []
        for offset in found.offsets:
            there = CTFParameters.of(ctf.defocus_u[i] + offset, ctf.defocus_v[i] + offset, ctf.astigmatism_angle[i])
            left = x - ctf_components(parts, one.optics[0], there)[0, 1:] * a
            scores.append(-0.5 * np.sum(weight * np.abs(left) ** 2))
        scores = np.array(scores)
        np.testing.assert_allclose(found.log_likelihood[i], scores - scores.max(), atol=5e-3)
        p = np.exp(scores - scores.max() - found.offsets**2 / (2 * 300**2))
        p /= p.sum()
        assert found.change[i] == pytest.approx(p @ found.offsets, abs=0.5)
        assert found.deviation[i] == pytest.approx(np.sqrt(p @ found.offsets**2 - (p @ found.offsets) ** 2), abs=0.5)
    np.testing.assert_allclose(found.particles.ctf.defocus_u, particles.ctf.defocus_u + found.change)
    np.testing.assert_allclose(found.particles.ctf.defocus_v, particles.ctf.defocus_v + found.change)


@pytest.mark.parametrize(("snr", "part"), [(2.0, 0.33), (0.5, 0.6), (0.1, 0.95)])
def test_defoci_that_were_off_come_back(snr, part):
    """The median error falls to a third (SNR 2), to a half (0.5), and the deviations are those of what is left."""
    particles, model, error = problem(200, snr)
    found = refine_defocus(particles, model, sigma=400, **QUIET)
    left = error + found.change
    assert np.median(np.abs(left)) < part * np.median(np.abs(error))
    assert 0.85 < np.sqrt(np.mean((left / np.maximum(found.deviation, 1)) ** 2)) < 1.15


def test_a_micrograph_shares_what_its_particles_say():
    """At an SNR where single particles say little, thirty of one micrograph say it together."""
    particles, model, _ = problem(90, snr=0.03, sigma=0.0)
    group = np.arange(90) % 3
    error = np.array([500.0, -300.0, 0.0])[group]
    particles = replace(moved(particles, error), extra={"rlnMicrographName": np.array(["a", "b", "c"])[group]})
    alone = refine_defocus(particles, model, sigma=400, **QUIET)
    together = refine_defocus(particles, model, sigma=400, per_micrograph=True, **QUIET)
    assert all(len(set(together.change[group == g])) == 1 for g in range(3))
    one, all_of_it = (np.sqrt(np.mean((error + f.change) ** 2)) for f in (alone, together))
    assert all_of_it < 0.4 * one and together.deviation.max() < alone.deviation.min()
    total = together.log_likelihood[group == 0].sum(axis=0) - together.offsets**2 / (2 * 400**2)
    p = np.exp(total - total.max())
    assert together.change[0] == pytest.approx(p @ together.offsets / p.sum(), abs=1.0)


def test_a_particle_that_says_nothing_keeps_its_defocus():
    """Pure noise under a faint map: the prior wins, and the deviation is the prior's own."""
    particles, model, _ = problem(10)
    noise = replace(particles, images=np.random.default_rng(0).standard_normal(particles.images.shape))
    found = refine_defocus(noise, replace(model, maps=model.maps * 1e-3), reach=2000, sigma=400, **QUIET)
    assert np.abs(found.change).max() < 5
    np.testing.assert_allclose(found.deviation, 400, rtol=0.01)


def test_premultiplied_images_say_what_bare_ones_say():
    particles, model, _ = problem(6)
    parts = components(BOX)
    values = gather(particles.images, parts)
    bare = replace(particles, images=scatter(values, parts).astype(np.float32))
    values = values * ctf_components(parts, particles.optics[0], particles.ctf)
    multiplied = replace(particles, images=scatter(values, parts).astype(np.float32),
                         optics=(replace(particles.optics[0], ctf_premultiplied=True),))
    one, two = (refine_defocus(p, model, **QUIET) for p in (bare, multiplied))
    np.testing.assert_allclose(two.change, one.change, atol=25)  # components with |CTF| < 0.001 are left out


def test_a_map_of_any_grey_scale_and_filter_serves():
    """Sharpened, filtered, on another scale: each shell is fitted, and what is left is the noise."""
    from cryoedu.geometry.fourier import low_pass

    particles, model, _ = problem(80, sigma=0.0)
    made = model_of(particles, 7.3 * low_pass(model.maps, PIXEL, 12.0) + 2.0 * model.maps, **QUIET)
    plain = model_of(particles, model.maps, **QUIET)
    norm = np.linalg.norm(model.maps)
    assert np.linalg.norm(plain.maps - model.maps) < 0.12 * norm
    assert np.linalg.norm(made.maps - model.maps) < 0.12 * norm
    np.testing.assert_allclose(made.sigma2[0, 2:15], model.sigma2[0, 2:15], rtol=0.1)
    with pytest.raises(InputError, match="do not resemble"):
        model_of(particles, -model.maps, **QUIET)


def test_classes_have_their_own_maps_and_memory_may_run_out(monkeypatch):
    specimens = [Specimen(density(1), PIXEL), Specimen(density(2), PIXEL)]
    experiment = simulate(specimens, 24, seed=1, snr=0.5, defocus=(5e3, 1e4), progress=False)
    model = replace(start_model(experiment.particles, np.stack([s.density for s in experiment.specimens])),
                    sigma2=experiment.sigma2[None])
    off = moved(experiment.truth, 300.0)
    found = refine_defocus(off, model, **QUIET)
    assert np.median(np.abs(found.change + 300)) < 100
    with pytest.raises(InputError, match="no classes"):
        refine_defocus(replace(off, classes=None), model, **QUIET)

    def cramped(values, classes, *rest):
        if len(classes) > 3:
            raise MemoryError
        return extract(values, classes, *rest)

    extract = defocus.extract_each
    monkeypatch.setattr(defocus, "extract_each", cramped)
    again = refine_defocus(off, model, **QUIET)
    np.testing.assert_allclose(again.change, found.change, atol=0.1)


def test_bad_input_is_a_sentence():
    particles, model, _ = problem(3)
    for change, words in (({"step": 0.0}, "make no grid"), ({"sigma": -1.0}, "make no grid"),
                          ({"per_micrograph": True}, "no column rlnGroupName")):
        with pytest.raises(InputError, match=words):
            refine_defocus(particles, model, **change, **QUIET)
    with pytest.raises(InputError, match="known poses"):
        refine_defocus(replace(particles, angles=None), model, **QUIET)


def test_from_a_shell(tmp_path):
    from typer.testing import CliRunner

    from cryoedu.commands.app import app
    from cryoedu.particles import read_particles

    particles, model, error = problem(40)
    write_particles(particles, tmp_path / "particles.star")
    write_map(model.maps[0], tmp_path / "map.mrc", PIXEL)
    done = CliRunner().invoke(app, ["ctf-refine", str(tmp_path / "particles.star"), "--map", str(tmp_path / "map.mrc"),
                                    "-o", str(tmp_path / "out"), "--sigma", "400"])
    assert done.exit_code == 0 and "defoci changed by" in done.stdout, done.output
    found = read_particles(tmp_path / "out" / "particles_ctf_refine.star")
    left = found.ctf.defocus_u - (particles.ctf.defocus_u - error)
    assert np.median(np.abs(left)) < np.median(np.abs(error)) / 2
    np.testing.assert_array_equal(found.images[:2], particles.images[:2])
