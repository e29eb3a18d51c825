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


def gamma_of(x, a, s):
    p = np.exp(score(x, a, s))
    return p / p.sum(1, keepdims=True)


def overlap(x, a, s2):
    return (x / s2) @ a.conj().T


def energy(a, s2):
    return (abs(a) ** 2 / s2).sum(1)


def expanded(x, a, g, shell, cross=-2, own=1):
    return by_shell((abs(x) ** 2 + cross * (x.conj() * (g @ a)).real + own * (g @ abs(a) ** 2)).mean(0) / 2, shell)


WRONG = [
    ("8.1", lambda x, s: by_shell((abs(x) ** 2).mean(0), s), "half is missing"),
    ("8.1", lambda x, s: np.bincount(s, (abs(x) ** 2).mean(0) / 2), "sum over each shell"),
    ("8.1", lambda x, s: by_shell(abs(x.mean(0)) ** 2 / 2, s), "square first"),
    ("8.1", lambda x, s: by_shell(abs(x).mean(0), s), "amplitude"),
    ("8.1", lambda x, s: by_shell((abs(x) ** 2).sum(0) / 2, s), "sum over the images"),
    ("8.1", lambda x, s: by_shell((x.real ** 2).mean(0), s), "parts only"),
    ("8.1", lambda x, s: np.ones(5), "not the power spectrum"),
    ("8.1", lambda x, s: (abs(x) ** 2).mean(0) / 2, "shape"),
    ("8.1", lambda x, s: print("no return"), "None"),
    ("8.1", lambda x, s: by_shell(abs(x).mean(0) / 2, s), "amplitude"),
    ("8.1", lambda x, s: by_shell(abs(x).mean(0) ** 2 / 2, s), "amplitude"),
    ("8.1", lambda x, s: np.sqrt(by_shell((abs(x) ** 2).mean(0) / 2, s)), "root of the power"),
    ("8.1", lambda x, s: np.bincount(s, (abs(x) ** 2).mean(0) / 2) / len(s), "all components"),
    ("8.1", lambda x, s: by_shell(x.var(0) / 2, s), "np.var"),
    ("8.1", lambda x, s: by_shell((x.imag ** 2).mean(0) / 2, s), "imaginary parts only"),
    ("8.1", lambda x, s: np.bincount(s, (abs(x) ** 2).sum(0)), "Both times the mean"),
    ("8.1", lambda x, s: [abs(x[:, s == k].mean()) ** 2 / 2 for k in range(5)], "square first"),
    ("8.1", lambda x, s: [by_shell(abs(i) ** 2 / 2, s) for i in x], "shape (7, 5)"),
    ("8.2", 8 / 3, "exponential"),
    ("8.2", math.exp(-8 / 3), "b against a"),
    ("8.2", math.exp(16 / 3), "2 of 2σ²"),
    ("8.2", math.exp((-40 / math.sqrt(60) + 6) / 2), "divide by σ"),
    ("8.2", math.exp(-34 / 61), "one σ² for both"),
    ("8.2", 212 / 246, "mismatches themselves"),
    ("8.2", 1000.0, "Not it"),
    ("8.2", 14, "rounded too much"),
    ("8.2", math.exp(-5), "one rotation alone"),
    ("8.2", math.exp(8 / 3) / (1 + math.exp(8 / 3)), "probability of a"),
    ("8.2", 5 / (23 / 3), "one sum by the other"),
    ("8.2", math.exp(4 / 3), "One 2 too many"),
    ("8.2", math.exp((200 - 240) / 2 + (12 - 6) / 120), "exchanged"),
    ("8.2", math.exp((200 - 240 + 12 - 6) / 2), "one σ² for both"),
    ("8.2", (math.exp(-5), math.exp(-23 / 3)), "One number"),
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
    ("8.3", lambda x, a, s: overlap(x, a, s) - energy(a, s) / 2, "complex"),
    ("8.3", lambda x, a, s: abs(overlap(x, a, s)) - energy(a, s) / 2, "modulus of the product"),
    ("8.3", lambda x, a, s: overlap(x, a, s).imag - energy(a, s) / 2, "imaginary part of the product"),
    ("8.3", lambda x, a, s: overlap(x, a, s).real + energy(a, s) / 2, "wrong sign"),
    ("8.3", lambda x, a, s: overlap(x, a, s).real - energy(a, s).sum() / 2, "all references"),
    ("8.3", lambda x, a, s: overlap(x, a, s).real - ((a ** 2 / s).sum(1)).real / 2, "A² is not |A|²"),
    ("8.3", lambda x, a, s: overlap(x, a, s).real - (abs(a) / s).sum(1) / 2, "square is missing"),
    ("8.3", lambda x, a, s: overlap(x, a, s).real - energy(x, s)[:, None] / 2, "energy of the images"),
    ("8.3", lambda x, a, s: (x.real / s) @ a.real.T - energy(a, s) / 2, "before you multiply"),
    ("8.3", lambda x, a, s: score(x / s, a / s, np.ones_like(s)), "Together they have σ²"),
    ("8.3", lambda x, a, s: score(x, a, 2 * s), "One 2 too many"),
    ("8.3", lambda x, a, s: -score(x, a, s), "wrong way round"),
    ("8.3", lambda x, a, s: -2 * square(x, a, s), "That is a mismatch"),
    ("8.3", gamma_of, "leave the exponential out"),
    ("8.3", lambda x, a, s: score(x, a, s).T, "shape (4, 7)"),
    ("8.4", lambda r, c, f: 1.0 * ((r > c) | (r < f)), "outside the band"),
    ("8.4", lambda r, c, f: 1.0 * (r >= f), "low-pass"),
    ("8.4", lambda r, c, f: 1.0 * (r <= c), "high-pass"),
    ("8.4", lambda r, c, f: 1.0 * ((r >= c) & (r <= f)), "Nothing is kept"),
    ("8.4", lambda r, c, f: 1.0 * ((r <= c) | (r >= f)), "Everything is kept"),
    ("8.4", lambda r, c, f: 1.0 * ((r < c) & (r > f)), "two ends"),
    ("8.4", lambda r, c, f: np.full(len(r), 0.5), "not the band-pass"),
    ("8.4", lambda r, c, f: f <= r <= c, "each in brackets"),
    ("8.4", lambda r, c, f: r <= c and r >= f, "each in brackets"),
    ("8.4", lambda r, c, f: 1.0 * ((r <= c) & (r > f)), "two ends"),
    ("8.4", lambda r, c, f: np.where((r <= c) & (r >= f), r, 0), "the weights are not"),
    ("8.4", lambda r, c, f: np.where((r <= c) & (r >= f), 1, 0.1), "the weights are not"),
    ("8.4", lambda r, c, f: 1.0 * (r <= c) + (r >= f), "add up the two conditions"),
    ("8.4", lambda r, c, f: r[(r <= c) & (r >= f)], "shape"),
    ("8.4", lambda r, c, f: np.where((r <= c) & (r >= f), 1, np.nan), "NaN"),
    ("8.5", lambda x, a, g, s: 2 * noise(x, a, g, s), "half is missing"),
    ("8.5", lambda x, a, g, s: by_shell((abs(x) ** 2).mean(0) / 2, s), "images themselves"),
    ("8.5", lambda x, a, g, s: by_shell((abs(x - g @ a) ** 2).mean(0) / 2, s), "Square first"),
    ("8.5", lambda x, a, g, s: noise(x, a, one_hot(g), s), "best rotation"),
    ("8.5", lambda x, a, g, s: noise(x, a, np.full_like(g, 1 / g.shape[1]), s), "weights Γ are missing"),
    ("8.5", lambda x, a, g, s: noise(x, a, g, s) * len(x), "sum over the images"),
    ("8.5", lambda x, a, g, s: np.bincount(s, residual(x, a, g).mean(0) / 2), "sum over each shell"),
    ("8.5", lambda x, a, g, s: np.zeros(5), "not σ² by shell"),
    ("8.5", lambda x, a, g, s: by_shell((x.conj() * (x - 2 * g @ a) + g @ abs(a) ** 2).mean(0) / 2, s), "complex"),
    ("8.5", lambda x, a, g, s: expanded(x.conj(), a, g, s), "conjugate is missing"),
    ("8.5", lambda x, a, g, s: expanded(x, a, g, s, cross=0, own=-1), "cross term is missing"),
    ("8.5", lambda x, a, g, s: expanded(x, a, g, s, cross=2), "sign is wrong"),
    ("8.5", lambda x, a, g, s: expanded(x, a, g, s, own=-1), "sign is wrong"),
    ("8.5", lambda x, a, g, s: expanded(x, a, g, s, own=0), "energy of the references"),
    ("8.5", lambda x, a, g, s: np.sqrt(noise(x, a, g, s)), "the root"),
    ("8.5", lambda x, a, g, s: 2 * noise(x, a, one_hot(g), s), "best rotation"),
    ("8.5", lambda x, a, g, s: noise(x, a, np.ones_like(g), s), "is added up"),
    ("8.5", lambda x, a, g, s: noise(x, a, g / g.shape[1], s), "mean over the rotations"),
    ("8.5", lambda x, a, g, s: by_shell((abs(x[:, None] - a) ** 2).min(1).mean(0) / 2, s), "smallest mismatch"),
    ("8.5", lambda x, a, g, s: by_shell((g[..., None] * abs(x[:, None] - a)).sum(1).mean(0) / 2, s), "an amplitude"),
    ("8.5", lambda x, a, g, s: residual(x, a, g).mean(0) / 2, "shape (32,)"),
    ("8.6", lambda t, n: (t - n) / n, "SNR of each shell"),
    ("8.6", lambda t, n: t / (t + n), "already both"),
    ("8.6", lambda t, n: n / t, "share of the noise"),
    ("8.6", lambda t, n: t - n, "power itself"),
    ("8.6", lambda t, n: np.sqrt((t - n) / t), "square root"),
    ("8.6", lambda t, n: (t - n) / (t + n), "divide by total"),
    ("8.6", lambda t, n: (t - n) / t, "cannot be negative"),
    ("8.6", lambda t, n: np.ones(len(t)), "not signal"),
    ("8.6", lambda t, n: abs(t - n) / t, "no sign of a signal"),
    ("8.6", lambda t, n: np.where(t > n, (t - n) / t, 1), "no sign of a signal"),
    ("8.6", lambda t, n: np.where(t > n, (t - n) / t, np.nan), "put 0 there"),
    ("8.6", lambda t, n: ((t - n) / t)[t > n], "put 0 there"),
    ("8.6", lambda t, n: max(t - n, 0) / t, "np.maximum"),
    ("8.6", lambda t, n: ((t - n) / t) ** 2, "the square of it"),
    ("8.6", lambda t, n: t / (t - n), "upside down"),
    ("8.6", lambda t, n: (t - n) / t / 2, "half of it"),
    ("8.6", lambda t, n: np.maximum(n - t, 0) / t, "noise minus total"),
]
