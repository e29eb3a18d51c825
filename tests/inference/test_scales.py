"""The intensity of each micrograph: against a loop, against the truth, and in the files.

Thick ice halves the contrast of a whole micrograph. Unaccounted for, its particles are taken for badly fitting ones;
wrongly accounted for, they are worse than unaccounted for.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix, matrix_to_euler
from cryoedu.geometry.fourier import components, gather, scatter, shift_phases
from cryoedu.geometry.grids import Search, search_2d, search_3d, shift_subdivision, subdivision
from cryoedu.inference.adaptive import Adaptive, adaptive_expectation
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.em import refine
from cryoedu.inference.expectation import expectation
from cryoedu.inference.memory import slice_sums, transforming
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.inference.scales import estimated_scales, micrograph_groups, scaled
from cryoedu.inference.spaces import FourierSpace, RealSpace
from cryoedu.inference.start import start_model
from cryoedu.microscope.ctf import ctf_components
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.projection import project
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Particles

PIXEL = 5.0
TRUE = np.array([0.55, 0.8, 1.0, 1.2, 1.5])


def blobs(ndim: int, box: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(box) - box // 2] * ndim, indexing="ij")
    centres = rng.uniform(-0.2, 0.2, (6, ndim)) * box
    return sum(np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / 4.0)
               for centre in centres).astype(np.float32)


def micrographs(ndim: int, count: int, *, box: int = 16, snr: float = 0.5, ctf: bool = True, seed: int = 1):
    """Particles whose signal has the scale of its micrograph, and the model that they were made from."""
    options = {"defocus": (8e3, 1.2e4)} if ctf else {}
    experiment = simulate(Specimen(blobs(ndim, box), PIXEL), count, seed=seed, snr=snr, progress=False, **options)
    truth, density = experiment.truth, experiment.specimens[0].density
    parts = components(box)
    group = np.random.default_rng(seed).integers(0, len(TRUE), count)
    scales = TRUE / TRUE[group].mean()
    for i in range(count):
        image = project(density[None], euler_to_matrix(truth.angles[i])[None], parts)[0, 0]
        if ctf:
            image = image * ctf_components(parts, truth.optics[0], truth.ctf[i : i + 1])[0]
        truth.images[i] += (scales[group[i]] - 1) * scatter(image[None], parts)[0]
    names = np.array([f"mic{g}.mrc" for g in range(len(TRUE))])[group]
    particles = replace(experiment.particles, extra={"rlnMicrographName": names})
    model = replace(start_model(particles, density[None]), sigma2=experiment.sigma2[None])
    return particles, model, scales, group


def by_loop(particles: Particles, model, search: Search, space) -> tuple[np.ndarray, np.ndarray]:
    """Overlap and energy of every particle: each hypothesis on its own, in float64."""
    parts = components(space.box)
    out = np.zeros((2, len(particles)))
    white = isinstance(space, RealSpace)
    for i in range(len(particles)):
        scores, pairs = [], []
        for o in range(len(search.angles)):
            for s in range(len(search.shifts)):
                a = project(model.maps.astype(np.float64), euler_to_matrix(search.angles[o])[None], parts)[0]
                a = a * shift_phases(search.shifts[s][None] / PIXEL, parts)
                if white:
                    x, a, weight = particles.images[i].astype(np.float64).ravel(), scatter(a, parts).ravel(), 1.0
                    weight = weight / model.sigma2[0, 0]
                else:
                    x, a = gather(particles.images[i : i + 1].astype(np.float64), parts)[0, 1:], a[0, 1:]
                    weight = 1 / model.sigma2[0, parts.shell[1:]]
                    if particles.ctf is not None:
                        a = a * ctf_components(parts, particles.optics[0], particles.ctf[i : i + 1])[0, 1:]
                a = a * (1.0 if particles.scale is None else particles.scale[i])
                pairs.append([np.sum(weight * (np.conj(x) * a).real), np.sum(weight * np.abs(a) ** 2)])
                prior = -np.sum(search.shifts[s] ** 2) / (2 * model.offset_sigma**2)
                scores.append(-0.5 * np.sum(weight * np.abs(x - a) ** 2) + prior)
        gamma = np.exp(np.array(scores) - max(scores))
        out[:, i] = (gamma / gamma.sum()) @ np.array(pairs)
    return out[0], out[1]


@pytest.mark.parametrize(("ndim", "ctf", "real"), [(2, True, False), (3, True, False), (2, False, False),
                                                   (2, False, True)])
@pytest.mark.parametrize("known", [False, True])
def test_overlap_energy_and_scales_are_those_of_a_loop(monkeypatch, ndim, ctf, real, known):
    """With and without CTF, in Fourier and in real space, from scales of 1 and from others."""
    particles, model, _, group = micrographs(ndim, 12, ctf=ctf, snr=0.1)
    if known:
        particles = scaled(particles, np.linspace(0.5, 1.4, len(np.unique(group))))
    space = RealSpace(16, ndim, PIXEL, 8) if real else FourierSpace(16, ndim, PIXEL, 8)
    if real:  # pixels hold the Nyquist row too, which a shift cannot move
        model = replace(model, sigma2=np.ones((1, 1)))
        images = scatter(gather(particles.images, components(16)), components(16)).astype(np.float32)
        particles = replace(particles, images=images)
    shifts = {"shift_range": PIXEL, "shift_step": PIXEL}
    search = search_2d(60, **shifts) if ndim == 2 else replace(search_3d(0, **shifts), angles=search_3d(0).angles[::4])
    monkeypatch.setattr("cryoedu.threads.cores", lambda: 1)
    held = slice_sums(space, model.classes, len(search.angles)) + transforming(space, model.classes)
    for budget in (10**9, held + 90_000):
        posterior, _ = expectation(particles, model, search, space, MAXIMUM_LIKELIHOOD, xp=np, budget=budget,
                                   contrast=True)
        overlap, energy = by_loop(particles, model, search, space)
        np.testing.assert_allclose(posterior.overlap, overlap, rtol=1e-3, atol=2e-3)
        np.testing.assert_allclose(posterior.energy, energy, rtol=1e-3)
    before = np.ones(12) if particles.scale is None else particles.scale
    by_hand = np.array([np.sum((overlap / before)[group == g]) / np.sum((energy / before**2)[group == g])
                        for g in np.unique(group)])
    by_hand = np.clip(by_hand, np.median(by_hand[np.searchsorted(np.unique(group), group)]) / 5, None)
    _, dense = np.unique(group, return_inverse=True)
    np.testing.assert_allclose(estimated_scales(particles, posterior), by_hand / by_hand[dense].mean(), rtol=2e-3)


def test_premultiplied_images_have_the_scales_of_bare_ones():
    particles, model, scales, _ = micrographs(2, 6)
    parts, space = components(16), FourierSpace(16, 2, PIXEL, 8)
    values = gather(particles.images, parts)
    bare = replace(particles, images=scatter(values, parts).astype(np.float32))
    values = values * ctf_components(parts, particles.optics[0], particles.ctf)
    multiplied = replace(particles, images=scatter(values, parts).astype(np.float32),
                         optics=(replace(particles.optics[0], ctf_premultiplied=True),))
    (one, sums), (two, again) = (
        expectation(scaled(p, scales[: len(micrograph_groups(p)[0])]), model, search_2d(30), space, MAXIMUM_LIKELIHOOD,
                    xp=np, budget=10**9, contrast=True) for p in (bare, multiplied))
    np.testing.assert_allclose(two.overlap, one.overlap, rtol=1e-4)
    np.testing.assert_allclose(two.energy, one.energy, rtol=1e-4)
    np.testing.assert_allclose(again.squares, sums.squares, rtol=0.02)


@pytest.mark.parametrize("ndim", [2, 3])
def test_an_adaptive_search_finds_the_same_on_its_finest_grid(ndim):
    particles, model, scales, _ = micrographs(ndim, 8, snr=0.3)
    particles = scaled(particles, scales[: len(micrograph_groups(particles)[0])])
    model = replace(model, offset_sigma=1e6)
    shifts = {"shift_range": PIXEL, "shift_step": PIXEL}
    search = search_2d(30, **shifts) if ndim == 2 else search_3d(0, **shifts)
    space = FourierSpace(16, ndim, PIXEL, 8)
    found, _ = adaptive_expectation(particles, model, search, Adaptive(1, 1 - 1e-12, 1.0), space, xp=np,
                                    budget=10**9)
    turns = subdivision(search.angular_step, in_plane=ndim == 2)
    fine = Search(matrix_to_euler((turns[None] @ search.rotations[:, None]).reshape(-1, 3, 3)),
                  (search.shifts[:, None] + shift_subdivision(PIXEL)[None]).reshape(-1, 2), 1.0, PIXEL / 2)
    dense, _ = expectation(particles, model, fine, space, MAXIMUM_LIKELIHOOD, xp=np, budget=10**9, contrast=True)
    np.testing.assert_allclose(found.overlap, dense.overlap, rtol=2e-3)
    np.testing.assert_allclose(found.energy, dense.energy, rtol=2e-3)


@pytest.mark.parametrize(("ndim", "adaptive"), [(2, None), (3, None), (2, Adaptive(levels=1, diameter=60.0))])
def test_known_scales_are_found_and_the_likelihood_does_not_fall(ndim, adaptive):
    """Five micrographs from 0.55 to 1.5; the map is refined with them, from one blurred by its start."""
    particles, model, scales, _ = micrographs(ndim, 300, snr=0.5)
    search = search_2d(10) if ndim == 2 else search_3d(2)
    options = {"iterations": 6, "array_library": "numpy", "adaptive": adaptive}
    model = replace(model, maps=model.maps * 0.7)
    every = list(refine(particles, model, search, scale=True, **options))
    found = every[-1].model.scales
    assert np.abs(found / scales - 1).max() < 0.05, found / scales
    assert found[micrograph_groups(particles)[1]].mean() == pytest.approx(1)
    climbed = [i.log_likelihood for i in every]
    if adaptive is None:
        assert np.diff(climbed).min() > -2e-7 * abs(climbed[0]), np.diff(climbed)
    *_, without = refine(particles, model, search, **options)
    assert climbed[-1] > without.log_likelihood + 20
    assert len(without.model.scales) == 0


def test_a_reconstruction_weighs_particles_by_their_scale():
    """Twice the contrast is worth four times the images; a map of scaled particles has the grey scale of the others."""
    particles, model, scales, _ = micrographs(3, 200)
    experiment = simulate(Specimen(blobs(3, 16), PIXEL), 200, seed=1, snr=0.5, defocus=(8e3, 1.2e4), progress=False)
    posed = replace(particles, angles=experiment.truth.angles)
    options = {"wiener": False, "progress": False, "array_library": "numpy"}
    error = [np.linalg.norm(reconstruct(p, **options).density - model.maps[0]) for p in (scaled(posed, scales), posed)]
    assert error[0] < 0.97 * error[1]


def test_groups_come_from_the_group_name_before_the_micrograph_and_must_be_there():
    particles, _, _, group = micrographs(2, 20)
    names, index = micrograph_groups(particles)
    assert names == sorted(set(particles.extra["rlnMicrographName"])) and len(index) == 20
    two = replace(particles, extra={**particles.extra, "rlnGroupName": np.where(group < 2, "thick", "thin")})
    assert micrograph_groups(two)[0] == ["thick", "thin"]
    bare = replace(particles, extra={})
    with pytest.raises(InputError, match="no column rlnGroupName and no rlnMicrographName"):
        refine(bare, start_model(bare, particles.images[:1]), search_2d(30), scale=True)
    with pytest.raises(InputError, match="the model has 3 scales"):
        scaled(particles, np.ones(3))


def test_particles_that_show_nothing_do_not_run_away():
    """A micrograph of empty ice must neither turn its particles negative nor give them a hundredfold weight."""
    particles, model, _, group = micrographs(2, 100)
    posterior, _ = expectation(particles, model, search_2d(30), FourierSpace(16, 2, PIXEL, 8), MAXIMUM_LIKELIHOOD,
                               xp=np, budget=10**9, contrast=True)
    wild = replace(posterior, overlap=np.where(group == 0, -posterior.overlap,
                                               np.where(group == 1, 100 * posterior.overlap, posterior.overlap)))
    found = estimated_scales(particles, wild)
    middle = np.median(found[group])
    assert found[0] == pytest.approx(middle / 5) and found[1] == pytest.approx(5 * middle)
    nothing = replace(posterior, overlap=0 * posterior.overlap, energy=0 * posterior.energy)
    np.testing.assert_array_equal(estimated_scales(particles, nothing), np.ones(5))


def test_scales_stand_in_the_files_and_survive_a_checkpoint(tmp_path):
    """rlnGroupScaleCorrection, micrograph by micrograph, as RELION shows it; and a resumed run goes on with them."""
    import starfile

    from cryoedu.inference.model import Checkpoint
    from cryoedu.particles import write_particles
    from cryoedu.particles.star import read_particles
    from cryoedu.runs.checkpoints import read_checkpoint, write_checkpoint
    from cryoedu.runs.output import write_iteration

    particles, model, _, group = micrographs(2, 40)
    write_particles(particles, tmp_path / "particles.star")
    particles = read_particles(tmp_path / "particles.star")
    options = {"scale": True, "iterations": 3, "array_library": "numpy"}
    _, second, third = refine(particles, model, search_2d(30), **options)
    write_iteration(second, particles, tmp_path / "run_it002")
    table = starfile.read(tmp_path / "run_it002_model.star")["model_groups"]
    np.testing.assert_allclose(table["rlnGroupScaleCorrection"], second.model.scales, rtol=1e-5)
    assert table["rlnGroupName"].tolist() == [f"mic{g}.mrc" for g in range(5)]
    assert table["rlnGroupNrParticles"].tolist() == np.bincount(group).tolist()
    write_checkpoint(Checkpoint(2, [second.model]), tmp_path / "run_checkpoint.npz")
    at = read_checkpoint(tmp_path / "run_checkpoint.npz")
    (resumed,) = refine(particles, model, search_2d(30), after=at, **options)
    np.testing.assert_array_equal(resumed.model.scales, third.model.scales)
    np.testing.assert_array_equal(resumed.model.maps, third.model.maps)
