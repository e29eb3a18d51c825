"""Lesson 10: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import numpy as np


def power(a):
    return np.array([np.mean((i - i.mean()) ** 2) for i in a])


def root(f):
    return np.sqrt(2 * f / (1 + f))


WRONG = [
    ("10.1", 352 / 48, "size of a pixel"),
    ("10.1", 352 / 96, "half a pixel"),
    ("10.1", 48 / 704, "spatial frequency"),
    ("10.1", 352, "coarsest wave"),
    ("10.1", 24, "number of shells"),
    ("10.1", 3.0, "Not it"),
    ("10.2", lambda a, c: power(a) >= 0.1 * power(a).max(), "lost all its particles"),
    ("10.2", lambda a, c: (power(a) ** 0.5 >= 0.1 * power(a).max() ** 0.5) & (c > 0), "standard deviations"),
    ("10.2", lambda a, c: (power(a) < 0.1 * power(a).max()) & (c > 0), "throw away what is strong"),
    ("10.2", lambda a, c: (power(a) >= power(a).mean()) & (c > 0), "mean of the variances"),
    ("10.2", lambda a, c: power(a) == power(a).max(), "one class only"),
    ("10.2", lambda a, c: c > 0, "empty ice"),
    ("10.2", lambda a, c: np.zeros(6, bool), "not the right classes"),
    ("10.2", lambda a, c: np.arange(6), "True or False"),
    ("10.3", lambda n, rng: (rng.choice(n, n // 2, False), rng.choice(n, n - n // 2, False)), "in both"),
    ("10.3", lambda n, rng: (np.arange(n // 2), np.arange(n // 2, n)), "not random"),
    ("10.3", lambda n, rng: np.split(rng.permutation(n)[: n // 2 * 2], 2), "in neither half"),
    ("10.3", lambda n, rng: (rng.permutation(n)[: n // 3], []), "in neither half"),
    ("10.3", lambda n, rng: np.split(rng.permutation(n), [10]), "10 and 90"),
    ("10.3", lambda n, rng: np.array_split(1 + rng.permutation(n), 2), "from 0 to count - 1"),
    ("10.3", lambda n, rng: rng.permutation(n), "Two arrays"),
    ("10.4", lambda t, r: t - r, "do not divide"),
    ("10.4", lambda t, r: (t - r) / (1 + r), "1 + R"),
    ("10.4", lambda t, r: (t - r) / (1 - t), "1 − T"),
    ("10.4", lambda t, r: t / r, "ratio"),
    ("10.4", lambda t, r: (r - t) / (1 - t), "changed places"),
    ("10.4", lambda t, r: root(t), "another formula"),
    ("10.4", lambda t, r: t, "not (T − R)"),
    ("10.5", lambda u, f, b: np.exp(-b * u**2 / 4) * root(f), "sign of B"),
    ("10.5", lambda u, f, b: np.exp(b * u**2) * root(f), "The 4 is missing"),
    ("10.5", lambda u, f, b: np.exp(b * u**2 / 2) * root(f), "B/2"),
    ("10.5", lambda u, f, b: np.exp(b * u**2 / 4), "sharpened too"),
    ("10.5", lambda u, f, b: np.exp(b * u**2 / 4) * root(f) ** 2, "root is missing"),
    ("10.5", lambda u, f, b: root(f), "weight alone"),
    ("10.5", lambda u, f, b: np.exp(b * u**2 / 4) * f, "FSC itself"),
    ("10.5", lambda u, f, b: np.exp(b * u**2 / 4) * root(f), "NaN"),
    ("10.5", lambda u, f, b: np.ones(len(u)), "not exp"),
]
