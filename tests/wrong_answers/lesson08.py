"""Lesson 8: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import math

import numpy as np


def by_shell(values, shell):
    return np.array([values[shell == s].mean() for s in range(shell.max() + 1)])


def square(x, a, s2):
    return -0.5 * np.array([[np.sum(abs(i - r) ** 2 / s2) for r in a] for i in x])


def score(x, a, s2):
    return square(x, a, s2) + 0.5 * np.sum(abs(x) ** 2 / s2, axis=1, keepdims=True)


def residual(x, a, g):
    return np.array([sum(g[i, k] * abs(x[i] - a[k]) ** 2 for k in range(len(a))) for i in range(len(x))])


def noise(x, a, g, shell):
    return by_shell(residual(x, a, g).mean(0) / 2, shell)


def one_hot(g):
    return np.eye(g.shape[1])[g.argmax(1)]


WRONG = [
    ("8.1", lambda x, s: by_shell((abs(x) ** 2).mean(0), s), "half is missing"),
    ("8.1", lambda x, s: np.bincount(s, (abs(x) ** 2).mean(0) / 2), "sum over each shell"),
    ("8.1", lambda x, s: by_shell(abs(x.mean(0)) ** 2 / 2, s), "square first"),
    ("8.1", lambda x, s: by_shell(abs(x).mean(0), s), "amplitude"),
    ("8.1", lambda x, s: by_shell((abs(x) ** 2).sum(0) / 2, s), "sum over the images"),
    ("8.1", lambda x, s: by_shell((x.real ** 2).mean(0), s), "real parts only"),
    ("8.1", lambda x, s: np.ones(5), "not the power spectrum"),
    ("8.1", lambda x, s: (abs(x) ** 2).mean(0) / 2, "shape"),
    ("8.2", 8 / 3, "exponential"),
    ("8.2", math.exp(-8 / 3), "b against a"),
    ("8.2", math.exp(16 / 3), "2 of 2σ²"),
    ("8.2", math.exp((-40 / math.sqrt(60) + 6) / 2), "divide by σ"),
    ("8.2", math.exp(-34 / 61), "one σ² for both"),
    ("8.2", 212 / 246, "mismatches themselves"),
    ("8.2", 1000.0, "Not it"),
    ("8.3", lambda x, a, s: np.real((x / s) @ a.conj().T), "energy of the reference is missing"),
    ("8.3", square, "whole square"),
    ("8.3", lambda x, a, s: score(x, a, np.sqrt(s)), "divide by σ"),
    ("8.3", lambda x, a, s: score(x, a, np.ones_like(s)), "count the same"),
    ("8.3", lambda x, a, s: score(x, a, np.full_like(s, s.mean())), "white noise"),
    ("8.3", lambda x, a, s: score(x, a, 1 / s), "noisiest components"),
    ("8.3", lambda x, a, s: np.real((x / s) @ a.T) - 0.5 * (abs(a) ** 2 / s).sum(1), "conjugate"),
    ("8.3", lambda x, a, s: np.real((x / s) @ a.conj().T) - (abs(a) ** 2 / s).sum(1), "½ before"),
    ("8.3", lambda x, a, s: np.real((x / s) @ a.conj().T) - 0.5 * (abs(a) ** 2).sum(1), "weighed by 1/σ² too"),
    ("8.3", lambda x, a, s: np.zeros((len(x), len(a))), "not the score"),
    ("8.4", lambda r, c, f: 1.0 * ((r > c) | (r < f)), "outside the band"),
    ("8.4", lambda r, c, f: 1.0 * (r >= f), "low-pass"),
    ("8.4", lambda r, c, f: 1.0 * (r <= c), "high-pass"),
    ("8.4", lambda r, c, f: 1.0 * ((r >= c) & (r <= f)), "Nothing is kept"),
    ("8.4", lambda r, c, f: 1.0 * ((r <= c) | (r >= f)), "Everything is kept"),
    ("8.4", lambda r, c, f: 1.0 * ((r < c) & (r > f)), "two ends"),
    ("8.4", lambda r, c, f: np.full(len(r), 0.5), "not the band-pass"),
    ("8.5", lambda x, a, g, s: 2 * noise(x, a, g, s), "half is missing"),
    ("8.5", lambda x, a, g, s: by_shell((abs(x) ** 2).mean(0) / 2, s), "images themselves"),
    ("8.5", lambda x, a, g, s: by_shell((abs(x - g @ a) ** 2).mean(0) / 2, s), "Square first"),
    ("8.5", lambda x, a, g, s: noise(x, a, one_hot(g), s), "best rotation"),
    ("8.5", lambda x, a, g, s: noise(x, a, np.full_like(g, 1 / g.shape[1]), s), "weights Γ are missing"),
    ("8.5", lambda x, a, g, s: noise(x, a, g, s) * len(x), "sum over the images"),
    ("8.5", lambda x, a, g, s: np.bincount(s, residual(x, a, g).mean(0) / 2), "sum over each shell"),
    ("8.5", lambda x, a, g, s: np.zeros(5), "not σ² by shell"),
    ("8.6", lambda t, n: (t - n) / n, "SNR of each shell"),
    ("8.6", lambda t, n: t / (t + n), "already both"),
    ("8.6", lambda t, n: n / t, "share of the noise"),
    ("8.6", lambda t, n: t - n, "power itself"),
    ("8.6", lambda t, n: np.sqrt((t - n) / t), "square root"),
    ("8.6", lambda t, n: (t - n) / (t + n), "divide by total"),
    ("8.6", lambda t, n: (t - n) / t, "cannot be negative"),
    ("8.6", lambda t, n: np.ones(len(t)), "not signal"),
]
