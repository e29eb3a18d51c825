"""Lesson 1: the course's own answers against the definitions, written in loops, and against the package's simulator."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.course import lesson01 as L
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import judged
from cryoedu.course.lesson01_maps import matching_trial
from cryoedu.geometry.euler import euler_to_matrix, matrix_to_euler, random_rotations
from cryoedu.geometry.fourier import components, scatter
from cryoedu.microscope.noise import circle
from cryoedu.microscope.projection import project


def test_a_projection_by_sums_is_the_one_that_the_engine_takes_as_a_slice():
    volume, angles = L.example_map(1, 24), np.array([30.0, 70.0, -40.0])
    parts = components(24)
    slices = scatter(project(volume[None], euler_to_matrix(angles)[None], parts)[0], parts)[0]
    assert np.corrcoef(L.project(volume, angles).ravel(), slices.ravel())[0, 1] > 0.99


def test_smearing_back_is_the_adjoint_of_the_projection():
    """⟨P V, X⟩ = ⟨V, smear X⟩, up to what splines lose when they turn."""
    angles = np.array([30.0, 70.0, -40.0])
    volume, image = L.example_map(2, 24), L.project(L.example_map(3, 24), [10.0, 20.0, 30.0])
    assert np.sum(L.project(volume, angles) * image) == pytest.approx(np.sum(volume * L.smear_back(image, angles)),
                                                                      rel=0.02)


def test_the_ctf_is_a_sum_over_waves():
    """The definition, wave by wave, without an FFT."""
    rng = np.random.default_rng(4)
    image, n = rng.normal(size=(8, 8)), 8
    full = rng.normal(size=(8, 8))
    full = (full + np.roll(full[::-1, ::-1], 1, (0, 1))) / 2  # symmetric, as a CTF is
    y, x = np.mgrid[:n, :n]
    out = np.zeros((n, n), complex)
    for k in range(n):
        for j in range(n):
            wave = np.exp(2j * np.pi * (k * y + j * x) / n)
            out += np.sum(image * wave.conj()) / n**2 * full[k, j] * wave
    assert L.apply_ctf(image, full[:, : n // 2 + 1]) == pytest.approx(out.real)


def test_the_snr_asked_for_is_the_snr_that_comes_out():
    image, rng = L.example_map(5, 64).sum(axis=0), np.random.default_rng(5)
    noise = L.add_noise(image, 0.1, rng) - image
    assert image[circle(64)].var() / noise.var() == pytest.approx(0.1, rel=0.1)


def test_the_best_match_is_the_highest_of_numpys_correlation_coefficients():
    for seed in range(5):
        image, projections = matching_trial(seed)
        assert L.best_match(image, projections) == np.argmax(
            [np.corrcoef(image.ravel(), p.ravel())[0, 1] for p in projections])


def test_other_ways_to_write_the_answers_are_right_too():
    def waves(image, ctf):  # with whole planes in place of half ones
        n = len(image)
        full = np.empty((n, n))
        full[:, : n // 2 + 1] = ctf
        full[:, n // 2 + 1 :] = np.roll(ctf[::-1], 1, axis=0)[:, 1 : n // 2][:, ::-1]
        return np.fft.ifft2(np.fft.fft2(image) * full).real

    assert judged(exercise("1.2"), waves)[0] == "right"
    assert judged(exercise("1.3"), lambda x, snr, rng: x + np.sqrt(x[circle(len(x))].var() / snr) * rng.standard_normal(
        x.shape, dtype=np.float32))[0] == "right"
    assert judged(exercise("1.7"), lambda x, p: max(range(len(p)), key=lambda r: np.corrcoef(x.flat, p[r].flat)[0, 1])
                  )[0] == "right"


def test_weights_undo_what_smearing_counts():
    """The smears of a spot fall off as 1/distance, which is the blur; weighted, nothing is left beside the spot."""
    n, rng = 24, np.random.default_rng(6)
    y, x = np.mgrid[:n, :n] - n // 2
    spot = np.exp(-(x**2 + y**2) / 3)
    smears = sum(L.smear_back(spot, angles) for angles in matrix_to_euler(random_rotations(150, rng)))
    distance = np.sqrt((x**2 + y**2)[None] + (np.arange(n)[:, None, None] - n // 2) ** 2)
    beside = (distance > 5) & (distance < 8)
    made = L.weight(smears)
    assert smears[beside].mean() > 0.03 * smears.max() and abs(made[beside].mean()) < 0.003 * made.max()
