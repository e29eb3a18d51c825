"""Lesson 1: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import numpy as np

from cryoedu.microscope.noise import circle
from cryoedu.microscope.realspace import rotate_map


def noisy(sigma_of):
    """A noisy image with this σ (of the variance in the circle and the SNR)."""
    return lambda x, snr, rng: x + rng.normal(0, sigma_of(x[circle(len(x))].var(), snr), x.shape)


def same_noise(x, snr, rng):
    return x + np.random.default_rng(0).normal(0, np.sqrt(x[circle(len(x))].var() / snr), x.shape)


def flat_noise(x, snr, rng):
    sigma = np.sqrt(x[circle(len(x))].var() / snr)
    return x + rng.uniform(-1, 1, x.shape) * sigma * np.sqrt(3)


def right_sigma(x, snr):
    return np.sqrt(x[circle(len(x))].var() / snr)


def back(layers, angles):
    return rotate_map(layers, -np.asarray(angles)[::-1])


def layers_of(x):
    return np.array([x for _ in range(len(x))])


def coefficients(x, p):
    return np.array([np.corrcoef(x.ravel(), a.ravel())[0, 1] for a in p])


def wave_numbers(n):
    axes = np.meshgrid(*[np.fft.fftfreq(n)] * 3, indexing="ij")
    return np.sqrt(sum(a**2 for a in axes))


def cut(volume, factor):
    return np.fft.ifftn(np.fft.fftn(volume) * factor).real


WRONG = [
    ("1.1", lambda v, a: v.sum(0), "did not turn"),
    ("1.1", lambda v, a: rotate_map(v, a).sum(1), "along y"),
    ("1.1", lambda v, a: rotate_map(v, a).sum(2), "along x"),
    ("1.1", lambda v, a: rotate_map(v, a).mean(0), "mean along the beam"),
    ("1.1", lambda v, a: rotate_map(v, a)[len(v) // 2], "one slice"),
    ("1.1", lambda v, a: rotate_map(v, a).max(0), "strongest voxel"),
    ("1.1", lambda v, a: rotate_map(v, a), "still a map"),
    ("1.1", lambda v, a: rotate_map(v, a).sum(), "one number"),
    ("1.1", lambda v, a: rotate_map(v, -a).sum(0), "changed the signs"),
    ("1.1", lambda v: v.sum(0), "TypeError"),
    ("1.1", 3, "A function is asked for"),
    ("1.2", lambda x, c: x * c, "belongs to the waves"),
    ("1.2", lambda x, c: np.fft.rfft2(x) * c, "still the transform"),
    ("1.2", lambda x, c: np.fft.ifft2(np.fft.rfft2(x) * c, s=x.shape), "complex image"),
    ("1.2", lambda x, c: np.fft.irfft2(np.fft.rfft2(x) / c), "divided by the CTF"),
    ("1.2", lambda x, c: np.fft.irfft2(np.fft.rfft2(x) * abs(c)), "absolute value of the CTF"),
    ("1.2", lambda x, c: np.fft.irfft2(np.fft.rfft2(x) * c * c), "twice"),
    ("1.2", lambda x, c: np.fft.irfft2(abs(np.fft.rfft2(x)) * c), "lost its phases"),
    ("1.2", lambda x, c: x, "as it was"),
    ("1.2", lambda x, c: np.fft.irfft2(np.fft.fftshift(np.fft.rfft2(x)) * c), "moved the waves"),
    ("1.3", noisy(lambda v, s: v / s), "take the square root"),
    ("1.3", noisy(lambda v, s: np.sqrt(v) / s), "ratio of variances"),
    ("1.3", noisy(lambda v, s: np.sqrt(v * s)), "high SNR"),
    ("1.3", noisy(lambda v, s: np.sqrt(1 / s)), "variance of the signal is missing"),
    ("1.3", lambda x, s, rng: x + rng.normal(0, x.std() / np.sqrt(s), x.shape), "empty corners"),
    ("1.3", noisy(lambda v, s: 0.3 * np.sqrt(v / s)), "was asked for"),
    ("1.3", lambda x, s, rng: rng.normal(0, right_sigma(x, s), x.shape), "noise alone"),
    ("1.3", lambda x, s, rng: x + rng.normal(0, right_sigma(x, s)), "one number"),
    ("1.3", lambda x, s, rng: x + rng.normal(0, right_sigma(x, s), len(x)), "stripes"),
    ("1.3", lambda x, s, rng: x + rng.normal(right_sigma(x, s), right_sigma(x, s), x.shape), "not zero"),
    ("1.3", flat_noise, "not Gaussian"),
    ("1.3", same_noise, "same noise"),
    ("1.3", lambda x, s, rng: x, "without noise"),
    ("1.4", np.sqrt(200), "took the root"),
    ("1.4", 40_000, "squared"),
    ("1.4", 50, "to 1"),
    ("1.4", 0.08, "multiplied"),
    ("1.4", 3.98, "difference"),
    ("1.4", 7, "not it"),
    ("1.4", "many", "One number"),
    ("1.5", lambda x, a: layers_of(x), "not turned back"),
    ("1.5", lambda x, a: rotate_map(layers_of(x), a), "angles themselves"),
    ("1.5", lambda x, a: rotate_map(layers_of(x), -a), "same order"),
    ("1.5", lambda x, a: rotate_map(layers_of(x), a[::-1]), "not the signs"),
    ("1.5", lambda x, a: back(layers_of(x).transpose(1, 2, 0), a), "along x"),
    ("1.5", lambda x, a: back(layers_of(x).transpose(1, 0, 2), a), "along y"),
    ("1.5", lambda x, a: back(layers_of(x) / len(x), a), "number of layers"),
    ("1.5", lambda x, a: back(np.where(np.arange(len(x)) == len(x) // 2, x[..., None], 0).transpose(2, 0, 1), a),
     "Only one layer"),
    ("1.5", lambda x, a: x, "still a picture"),
    ("1.5", lambda x, a: np.zeros((len(x),) * 3), "not the smeared picture"),
    ("1.7", lambda x, p: coefficients(x, p).max(), "where it stands"),
    ("1.7", lambda x, p: coefficients(x, p), "one number for each projection"),
    ("1.7", lambda x, p: p[coefficients(x, p).argmax()], "projection itself"),
    ("1.7", lambda x, p: coefficients(x, p).argmin(), "lowest"),
    ("1.7", lambda x, p: np.einsum("rij,ij->r", p, x).argmax(), "do not normalise"),
    ("1.7", lambda x, p: np.einsum("rij,ij->r", p, x - x.mean()).argmax(), "root of the sum of squares, so"),
    ("1.7", lambda x, p: (np.einsum("rij,ij->r", p, x) / np.linalg.norm(p, axis=(1, 2))).argmax(), "not subtracted"),
    ("1.7", lambda x, p: (coefficients(x, p) / p.std((1, 2))).argmax(), "weak projections"),
    ("1.7", lambda x, p: ((x - p) ** 2).sum((1, 2)).argmin(), "smallest difference"),
    ("1.7", lambda x, p: abs(coefficients(x, p)).argmax(), "absolute value"),
    ("1.7", lambda x, p: coefficients(x, p).argmax() + 1, "counts from 1"),
    ("1.7", lambda x, p: 5, "not always"),
    ("1.1", lambda v, a: rotate_map(v, a[::-1]).sum(0), "opposite order"),
    ("1.1", lambda v, a: rotate_map(v, -a[::-1]).sum(0), "other way"),
    ("1.1", lambda v, a: rotate_map(rotate_map(v, a), a).sum(0), "twice"),
    ("1.1", lambda v, a: rotate_map(v, a).sum(0).T, "diagonal"),
    ("1.1", lambda v, a: rotate_map(v, a).sum(0) / rotate_map(v, a).sum(0).max(), "largest value"),
    ("1.1", lambda v, a: rotate_map(v, a).sum(0) + 0j, "complex"),
    ("1.1", lambda v, a: rotate_map(v, a).sum((0, 1)), "shape"),
    ("1.1", lambda v, a: rotate_map(v, np.radians(a)).sum(0), "not the projection"),
    ("1.2", lambda x, c: np.fft.ifft2(np.fft.rfft2(x) * c), "went back with np.fft.ifft2"),
    ("1.2", lambda x, c: np.fft.ifft2(np.fft.rfft2(x) * c).real, "went back with np.fft.ifft2"),
    ("1.2", lambda x, c: np.fft.fft2(np.fft.rfft2(x) * c).real, "went back with np.fft.fft2"),
    ("1.2", lambda x, c: np.fft.ifft(np.fft.rfft2(x) * c), "went back with np.fft.ifft."),
    ("1.2", lambda x, c: (np.fft.rfft2(x) * c).real, "still the transform"),
    ("1.2", lambda x, c: np.abs(np.fft.rfft2(x)) * c, "shape of the waves"),
    ("1.2", lambda x, c: np.fft.irfft2(np.fft.rfft2(x) * np.sign(c)), "sign of the CTF"),
    ("1.2", lambda x, c: np.fft.irfft2(np.fft.rfft2(x)) + 0, "as it was"),
    ("1.2", lambda x, c: -np.fft.irfft2(np.fft.rfft2(x) * c), "without a minus"),
    ("1.2", lambda x, c: np.fft.irfft2(np.fft.rfft2(x) * np.fft.fftshift(c)), "moved the CTF"),
    ("1.2", lambda x, c: np.fft.irfft2(np.fft.rfft2(x).real * c), "real parts"),
    ("1.2", lambda x, c: np.fft.irfft2(np.fft.rfft2(x) * c) + 0j, "complex"),
    ("1.2", lambda x, c: np.fft.irfft2(np.fft.rfft2(x) + c), "added the CTF"),
    ("1.2", lambda x, c: np.fft.irfft(np.fft.rfft2(x) * c), "Three steps"),
    ("1.2", lambda x, c: np.fft.fft2(x) * c, "belongs to the waves"),
    ("1.3", lambda x, s, rng: x + np.random.default_rng().normal(0, right_sigma(x, s), x.shape), "rng that is handed"),
    ("1.3", lambda x, s, rng: x + rng.normal(0, right_sigma(x, s), x.shape) + 0j, "complex"),
    ("1.3", lambda x, s, rng: x + rng.poisson(1, x.shape) - 1, "not Gaussian"),
    ("1.3", lambda x, s, rng: x * (1 + rng.normal(0, 1, x.shape)), "not Gaussian"),
    ("1.3", lambda x, s, rng: x - 3 * x.std() + rng.normal(0, right_sigma(x, s), x.shape), "not zero"),
    ("1.4", 1 / 200, "other way round"),
    ("1.4", None, "None"),
    ("1.4", 200 + 0j, "complex"),
    ("1.5", lambda x, a: rotate_map(rotate_map(rotate_map(layers_of(x), (0, 0, -a[2])), (0, -a[1], 0)), (-a[0], 0, 0)),
     "interpolate"),
    ("1.5", lambda x, a: rotate_map(layers_of(x), (-a[2], -a[1], 0)), "not rot"),
    ("1.5", lambda x, a: rotate_map(layers_of(x), (0, -a[1], -a[0])), "not psi"),
    ("1.5", lambda x, a: rotate_map(layers_of(x), (-a[2], 0, -a[0])), "not tilt"),
    ("1.5", lambda x, a: rotate_map(layers_of(x), (-a[2], a[1], -a[0])), "sign of tilt"),
    ("1.5", lambda x, a: back(layers_of(x.T), a), "diagonal"),
    ("1.5", lambda x, a: back(layers_of(x), a) + 0j, "complex"),
    ("1.6", lambda v: v, "Nothing has changed"),
    ("1.6", lambda v: v * wave_numbers(len(v)), "worked on the voxels"),
    ("1.6", lambda v: cut(v - v.mean(), 1 / np.maximum(wave_numbers(len(v)), 1e-9)), "blurs"),
    ("1.6", lambda v: np.fft.ifftn(np.fft.fftn(v) / wave_numbers(len(v))).real, "infinite"),
    ("1.6", lambda v: cut(v, wave_numbers(len(v)) ** 2), "|k|²"),
    ("1.6", lambda v: cut(v, np.sqrt(wave_numbers(len(v)))), "root of |k|"),
    ("1.6", lambda v: np.fft.ifftn(np.fft.fftn(v) + wave_numbers(len(v))).real, "added k"),
    ("1.6", lambda v: np.fft.fftn(v) * wave_numbers(len(v)), "weighted waves"),
    ("1.6", lambda v: np.fft.ifftn(np.fft.fftn(v) * wave_numbers(len(v))), "End with .real"),
    ("1.6", lambda v: abs(np.fft.ifftn(np.fft.fftn(v) * wave_numbers(len(v)))), "absolute value of the map"),
    ("1.6", lambda v: np.fft.ifftn(abs(np.fft.fftn(v)) * wave_numbers(len(v))).real, "phases"),
    ("1.6", lambda v: np.fft.fftn(np.fft.fftn(v) * wave_numbers(len(v))).real, "second time"),
    ("1.6", lambda v: cut(v, np.fft.fftshift(wave_numbers(len(v)))), "fftshift"),
    ("1.6", lambda v: np.fft.ifft2(np.fft.fft2(v) * wave_numbers(len(v))).real, "Three steps"),
    ("1.6", lambda v: np.fft.ifft(np.fft.fft(v) * wave_numbers(len(v))).real, "one axis only"),
    ("1.6", lambda v: cut(v, wave_numbers(len(v)))[0], "shape"),
    ("1.6", lambda v: np.fft.ifftn(np.fft.fftn(v) * k).real, "were there already"),  # noqa: F821
    ("1.7", lambda x, p: np.argsort(-coefficients(x, p)), "in the order of their scores"),
    ("1.7", lambda x, p: (np.einsum("rij,ij->r", p - p.mean(), x - x.mean())
                          / np.linalg.norm(p - p.mean(), axis=(1, 2))).argmax(), "one mean"),
    ("1.7", lambda x, p: p.sum((1, 2)).argmax(), "whatever the image shows"),
    ("1.7", lambda x, p: 0, "always give the first"),
    ("1.7", lambda x, p: (p * x).sum(1), "both axes"),
    ("1.7", lambda x, p: None, "return"),
    ("1.7", lambda x, p: coefficients(x, p).argmax() + 0j, "complex"),
    ("1.7", lambda x, p: "best", "One number"),
]
