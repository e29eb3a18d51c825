"""The blocked expectation step against the definition written out in loops.

If this breaks, every posterior, class and map that cryoedu computes is wrong, however plausible it looks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import components, fourier, gather, scatter, shift_phases
from cryoedu.geometry.grids import Search, search_2d, shift_grid
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
from cryoedu.inference.expectation import expectation
from cryoedu.inference.model import Model, signal_power
from cryoedu.inference.spaces import FourierSpace, RealSpace
from cryoedu.microscope.ctf import ctf_components
from cryoedu.microscope.projection import project
from cryoedu.particles.particles import CTFParameters, Optics, Particles

BOX, PIXEL = 12, 5.0


def problem(ndim: int, ctf: bool, groups: int = 2):
    """Six particles, two classes, a few orientations and shifts, all random: small enough for loops."""
    rng = np.random.default_rng(11)
    count = 6
    maps = rng.standard_normal((2, *(BOX,) * ndim)).astype(np.float32)
    maps *= np.exp(
        -0.1
        * sum((np.arange(BOX).reshape([-1 if i == a else 1 for i in range(ndim)]) - BOX // 2) ** 2 for a in range(ndim))
    )
    parameters = (
        CTFParameters.of(
            rng.uniform(8e3, 2e4, count), rng.uniform(8e3, 2e4, count), rng.uniform(0, 180, count), 20.0, 50.0, 0.9
        )
        if ctf
        else None
    )
    optics = tuple(Optics(PIXEL, name=f"group{g}") for g in range(groups))
    images = (rng.standard_normal((count, BOX, BOX)) * 1.5).astype(np.float32)
    particles = Particles(
        images, optics, rng.integers(0, groups, count), parameters, shifts=rng.uniform(-4, 4, (count, 2))
    )
    angles = rng.uniform(0, 360, (5, 3))
    if ndim == 2:
        angles[:, :2] = 0
    search = Search(angles, shift_grid(PIXEL, PIXEL), 30.0, PIXEL)
    sigma2 = rng.uniform(40, 160, (groups, BOX // 2 + 1))
    model = Model(maps, PIXEL, sigma2, signal_power(maps), np.array([0.3, 0.7]), 6.0)
    return particles, model, search


def brute_force(particles, model, search, space_name):
    """Γ (N, K, O, S), log P(X_i | Θ) (N,), and Σ Γ |X - CTF A|² (G, bins), each hypothesis on its own, in float64."""
    count, classes = len(particles), model.classes
    gamma = np.zeros((count, classes, len(search.angles), len(search.shifts)))
    log_evidence, squares = np.zeros(count), {}
    shift_prior = np.exp(-np.sum(search.shifts**2, axis=1) / (2 * model.offset_sigma**2))
    shift_prior /= shift_prior.sum()
    parts = components(BOX)
    maps = model.maps.astype(np.float64)
    for i in range(count):
        group = particles.optics_group[i]
        image = particles.images[i].astype(np.float64)
        known = np.zeros(2) if particles.shifts is None else particles.shifts[i]
        residual2 = {}
        for k in range(classes):
            for o in range(len(search.angles)):
                slice_ = project(maps[k : k + 1], euler_to_matrix(search.angles[o])[None], parts)[0]
                for s in range(len(search.shifts)):
                    moved = slice_ * shift_phases((known + search.shifts[s])[None] / PIXEL, parts)
                    if space_name == "real":
                        difference = (image - scatter(moved, parts)[0]).ravel()
                        variance = np.full(difference.size, model.sigma2[group, 0])
                        scored = np.ones(difference.size, dtype=bool)
                    else:
                        x = gather(image[None], parts)[0]
                        ctf = 1.0
                        if particles.ctf is not None:
                            ctf = ctf_components(parts, particles.optics[group], particles.ctf[i : i + 1])[0]
                        difference = x - ctf * moved[0]
                        variance = model.sigma2[group, parts.shell]
                        scored = parts.shell > 0
                    power = np.abs(difference) ** 2
                    unknowns = 1 if space_name == "real" else 2
                    log_p = -0.5 * power / variance - unknowns / 2 * np.log(2 * np.pi * variance)
                    residual2[k, o, s] = power
                    gamma[i, k, o, s] = (
                        log_p[scored].sum()
                        + np.log(model.class_weights[k])
                        + np.log(shift_prior[s])
                        - np.log(len(search.angles))
                    )
        top = gamma[i].max()
        log_evidence[i] = top + np.log(np.exp(gamma[i] - top).sum())
        gamma[i] = np.exp(gamma[i] - log_evidence[i])
        for (k, o, s), power in residual2.items():
            squares[group] = squares.get(group, 0.0) + gamma[i, k, o, s] * power
    bins = np.zeros(BOX * BOX, dtype=int) if space_name == "real" else parts.shell
    binned = np.stack([np.bincount(bins, squares[g]) for g in sorted(squares)])
    return gamma, log_evidence, binned


def run(particles, model, search, space_name, budget=64_000_000, xp=np, assignment=MAXIMUM_LIKELIHOOD):
    space = {"fourier": FourierSpace, "real": RealSpace}[space_name](BOX, model.ndim, PIXEL, BOX // 2)
    return expectation(particles, model, search, space, assignment, xp=xp, budget=budget)


@pytest.mark.parametrize(("ndim", "ctf"), [(2, False), (2, True), (3, False), (3, True)])
def test_fourier_posterior_equals_brute_force(ndim, ctf):
    particles, model, search = problem(ndim, ctf)
    gamma, log_evidence, squares = brute_force(particles, model, search, "fourier")
    posterior, sums = run(particles, model, search, "fourier")
    np.testing.assert_allclose(posterior.class_probability, gamma.sum(axis=(2, 3)), atol=2e-4)
    np.testing.assert_allclose(posterior.max_probability, gamma.reshape(len(gamma), -1).max(axis=1), atol=2e-4)
    np.testing.assert_allclose(sums.log_likelihood, log_evidence.sum(), atol=2e-3)
    np.testing.assert_allclose(sums.squares, squares, rtol=1e-4)


def test_premultiplied_images_give_what_the_bare_images_give():
    """Multiplying the images by their CTF on disk must change neither posterior, nor noise, nor likelihood."""
    bare, model, search = problem(3, ctf=True)
    parts = components(BOX)
    values = gather(bare.images, parts)
    bare = replace(bare, images=scatter(values, parts).astype(np.float32))
    for g, optics in enumerate(bare.optics):
        rows = bare.optics_group == g
        values[rows] *= ctf_components(parts, optics, bare.ctf[rows])
    premultiplied = replace(
        bare,
        images=scatter(values, parts).astype(np.float32),
        optics=tuple(replace(o, ctf_premultiplied=True) for o in bare.optics),
    )
    one, sums = run(bare, model, search, "fourier")
    two, again = run(premultiplied, model, search, "fourier")
    np.testing.assert_allclose(two.class_probability, one.class_probability, atol=1e-4)
    np.testing.assert_allclose(again.numerator, sums.numerator, atol=1e-4 * np.abs(sums.numerator).max())
    np.testing.assert_allclose(again.squares, sums.squares, rtol=0.02)  # one component here has |CTF| < 0.001
    np.testing.assert_allclose(again.log_likelihood, sums.log_likelihood, rtol=2e-3)


def test_real_space_posterior_equals_brute_force():
    particles, model, search = problem(2, ctf=False, groups=1)
    model = Model(model.maps, PIXEL, np.array([[2.0]]), model.tau2, model.class_weights, model.offset_sigma)
    # pixels of a shifted image hold the Nyquist row too, which a shift cannot move: band-limit the images first
    parts = components(BOX)
    images = scatter(gather(particles.images, parts), parts).astype(np.float32)
    particles = Particles(images, particles.optics, particles.optics_group, shifts=None)
    gamma, log_evidence, squares = brute_force(particles, model, search, "real")
    posterior, sums = run(particles, model, search, "real")
    np.testing.assert_allclose(posterior.class_probability, gamma.sum(axis=(2, 3)), atol=2e-4)
    np.testing.assert_allclose(sums.log_likelihood, log_evidence.sum(), atol=2e-3)
    np.testing.assert_allclose(sums.squares, squares, rtol=1e-4)


def test_white_noise_in_real_and_fourier_space_is_one_model():
    """Parseval: the same posterior from n² pixels of variance s² as from components of σ² = n² s² / 2."""
    particles, model, search = problem(2, ctf=False, groups=1)
    parts = components(BOX)
    images = gather(particles.images, parts)
    images[:, 0] = 0  # DC is scored by pixels only
    particles = Particles(scatter(images, parts).astype(np.float32), particles.optics, particles.optics_group)
    maps = model.maps - model.maps.mean(axis=(1, 2), keepdims=True)
    s2 = 2.0
    real = Model(maps, PIXEL, np.array([[s2]]), model.tau2, model.class_weights, model.offset_sigma)
    white = Model(
        maps, PIXEL, np.full((1, BOX // 2 + 1), s2 * BOX**2 / 2), model.tau2, model.class_weights, model.offset_sigma
    )
    one, _ = run(particles, real, search, "real")
    other, _ = run(particles, white, search, "fourier")
    np.testing.assert_allclose(one.class_probability, other.class_probability, atol=5e-3)


@pytest.mark.parametrize("assignment", [MAXIMUM_LIKELIHOOD, MAXIMUM_CROSS_CORRELATION], ids=lambda a: a.name)
def test_a_small_memory_budget_changes_nothing(assignment):
    """Visiting the orientations in lots, twice, gives what one visit gives."""
    particles, model, search = problem(3, ctf=True)
    fine = Search(np.random.default_rng(0).uniform(0, 360, (40, 3)), search.shifts, 30.0, PIXEL)
    one, whole = run(particles, model, fine, "fourier", assignment=assignment)
    from cryoedu.inference.blocks import block_sizes
    from cryoedu.inference.memory import slice_sums, transforming

    space = FourierSpace(BOX, 3, PIXEL, BOX // 2)
    held = slice_sums(space, 2, 40) + transforming(space, 2)
    small = held + 200_000
    assert block_sizes(space, 2, 40, len(search.shifts), small, np, held)[1] < 40
    two, parts = run(particles, model, fine, "fourier", budget=small, assignment=assignment)
    np.testing.assert_allclose(two.class_probability, one.class_probability, atol=1e-5)
    np.testing.assert_array_equal(two.angles, one.angles)
    np.testing.assert_allclose(parts.numerator, whole.numerator, rtol=1e-3, atol=1e-3 * np.abs(whole.numerator).max())
    np.testing.assert_allclose(parts.denominator, whole.denominator, atol=1e-5 * whole.denominator.max())
    np.testing.assert_allclose(parts.squares, whole.squares, rtol=1e-5)
    np.testing.assert_allclose(parts.log_likelihood, whole.log_likelihood, atol=1e-2)


@pytest.mark.parametrize("cores", [2, 5])
def test_the_number_of_cores_changes_no_bit(monkeypatch, cores):
    """A run that is resumed on another machine, or beside other programs, must go on as it would have here."""
    particles, model, search = problem(3, ctf=True)
    monkeypatch.setattr("cryoedu.inference.blocks.FAST_SCORES", 1)
    monkeypatch.setattr("cryoedu.inference.blocks.FEWEST_ROWS", 3 * len(search.shifts))
    monkeypatch.setattr("cryoedu.threads.cores", lambda: 1)
    one, whole = run(particles, model, search, "fourier")
    monkeypatch.setattr("cryoedu.threads.cores", lambda: cores)
    other, parts = run(particles, model, search, "fourier")
    np.testing.assert_array_equal(one.log_evidence, other.log_evidence)
    np.testing.assert_array_equal(one.class_probability, other.class_probability)
    np.testing.assert_array_equal(whole.numerator, parts.numerator)
    np.testing.assert_array_equal(whole.squares, parts.squares)


@pytest.mark.parametrize("memory", [10**9, 4 * 10**6])
def test_with_maxcc_a_particle_counts_once_among_equals(memory):
    """Two classes that are one, or two poses that show the same, would each get all of it: a weight of two, or six."""
    particles, model, search = problem(3, ctf=True)
    twins = replace(model, maps=np.concatenate([model.maps[:1]] * 2), tau2=model.tau2[[0, 0]],
                    class_weights=np.full(2, 0.5))
    same = replace(search, angles=np.repeat(search.angles[:1], 900, axis=0))
    space = FourierSpace(particles.box, 3, particles.pixel_size, particles.box // 2)
    found, sums = expectation(particles, twins, same, space, MAXIMUM_CROSS_CORRELATION, xp=np, budget=memory)
    np.testing.assert_array_equal(found.class_probability, np.tile([1.0, 0.0], (len(particles), 1)))
    alone = replace(same, angles=same.angles[:1])
    _, once = expectation(particles, twins, alone, space, MAXIMUM_CROSS_CORRELATION, xp=np, budget=memory)
    np.testing.assert_allclose(sums.denominator.sum(axis=1), once.denominator.sum(axis=1), rtol=1e-5)


def test_maxcc_takes_the_best_normalised_correlation():
    particles, model, search = problem(2, ctf=False, groups=1)
    posterior, _ = run(particles, model, search, "fourier", assignment=MAXIMUM_CROSS_CORRELATION)
    parts = components(BOX)
    for i in range(len(particles)):
        x = gather(particles.images[i : i + 1], parts)[0] * shift_phases(-particles.shifts[i][None] / PIXEL, parts)[0]
        best = (-np.inf,)
        for k in range(2):
            for o in range(len(search.angles)):
                a = project(model.maps[k : k + 1], search.rotations[o : o + 1], parts)[0, 0]
                for s in range(len(search.shifts)):
                    moved = (a * shift_phases(search.shifts[s][None] / PIXEL, parts)[0])[1:]
                    w = 1 / model.sigma2[0, parts.shell[1:]]
                    cc = np.sum(w * (np.conj(x[1:]) * moved).real) / np.sqrt(np.sum(w * np.abs(moved) ** 2))
                    best = max(best, (cc, k, o, s))
        assert posterior.classes[i] == best[1]
        np.testing.assert_array_equal(posterior.angles[i], search.angles[best[2]])
        np.testing.assert_array_equal(posterior.shifts[i], search.shifts[best[3]])
        assert posterior.max_probability[i] == 1.0


def test_the_same_code_runs_under_the_strict_array_standard():
    """What only NumPy accepts would fail on a GPU, where CI never looks."""
    import array_api_strict

    for ndim in (2, 3):
        particles, model, search = problem(ndim, ctf=True)
        here, sums = run(particles, model, search, "fourier")
        there, strict = run(particles, model, search, "fourier", xp=array_api_strict)
        np.testing.assert_allclose(there.class_probability, here.class_probability, atol=1e-5)
        np.testing.assert_allclose(np.asarray(strict.denominator), sums.denominator, atol=1e-5 * sums.denominator.max())


def test_shift_search_finds_where_the_particle_sits():
    """A particle moved by (+2, -1) pixels is found there: the sign of every shift in the package hangs on this."""
    rng = np.random.default_rng(5)
    image = np.zeros((BOX, BOX), dtype=np.float32)
    image[4:7, 5:9] = 1 + rng.random((3, 4))
    image[8, 5] = 2
    moved = np.roll(image, (-1, 2), axis=(0, 1))
    particles = Particles.of(moved[None], PIXEL)
    model = Model(image[None], PIXEL, np.full((1, BOX // 2 + 1), 1.0), signal_power(image[None]), np.ones(1), 100.0)
    posterior, _ = run(particles, model, search_2d(90, shift_range=3 * PIXEL, shift_step=PIXEL), "fourier")
    np.testing.assert_array_equal(posterior.shifts[0], [2 * PIXEL, -PIXEL])
    assert fourier(image).shape == (BOX, BOX // 2 + 1)
