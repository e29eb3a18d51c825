"""Lesson 10: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import numpy as np


def power(a):
    return np.array([np.mean((i - i.mean()) ** 2) for i in a])


def root(f):
    return np.sqrt(2 * f / (1 + f))


def elsewhere(n, rng):
    return np.array_split(np.random.permutation(n), 2)  # noqa: NPY002 (this is the mistake)


def rolled(n, rng):
    return np.array_split(np.roll(np.arange(n), rng.integers(n)), 2)


def masks(n, rng):
    first = rng.permutation(n) < n // 2
    return first, ~first


def gain(u, b):
    return np.exp(b * u**2 / 4)


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
    ("10.2", lambda a, c: np.zeros(len(a), bool), "not the right classes"),
    ("10.2", lambda a, c: (power(a) >= 0.2 * power(a).max()) & (c > 0), "not the right classes"),
    ("10.2", lambda a, c: (power(a) >= 0.05 * power(a).max()) & (c > 0), "not the right classes"),
    ("10.2", lambda a, c: (power(a) >= 0.1) & (c > 0), "fixed number"),
    ("10.2", lambda a, c: (power(a) >= 0.1 * power(a).max()) | (c > 0), "*or*"),
    ("10.2", lambda a, c: (power(a) >= 0.1 * power(a).max()) & (c > 20), "number of particles, too"),
    ("10.2", lambda a, c: ((a**2).mean((1, 2)) >= 0.1 * (a**2).mean((1, 2)).max()) & (c > 0), "mean of the squares"),
    ("10.2", lambda a, c: (a.max((1, 2)) >= 0.1 * a.max()) & (c > 0), "brightest pixels"),
    ("10.2", lambda a, c: c >= 0.1 * c.max(), "Junk can fill"),
    ("10.2", lambda a, c: np.arange(len(a)), "True or False"),
    ("10.2", lambda a, c: np.ones(8, bool), "8 values for 9 classes"),
    ("10.2", lambda a, c: 1 * ((power(a) >= 0.1 * power(a).max()) & (c > 0)), "True or False"),
    ("10.2", lambda a, c: np.flatnonzero((power(a) >= 0.1 * power(a).max()) & (c > 0)), "numbers of the right classes"),
    ("10.2", lambda a, c: power(a) >= 0.1 * power(a).max() & c > 0, "each comparison in brackets"),
    ("10.2", lambda a, c: power(a) >= 0.1 * power(a).max() and c > 0, "write `&`, not `and`"),
    ("10.3", lambda n, rng: (rng.choice(n, n // 2, False), rng.choice(n, n - n // 2, False)), "in both"),
    ("10.3", lambda n, rng: (np.arange(n // 2), np.arange(n // 2, n)), "not random"),
    ("10.3", lambda n, rng: np.split(rng.permutation(n)[: n // 2 * 2], 2), "in neither half"),
    ("10.3", lambda n, rng: (rng.permutation(n)[: n // 3], []), "in neither half"),
    ("10.3", lambda n, rng: np.split(rng.permutation(n), [10]), "10 and 90"),
    ("10.3", lambda n, rng: np.array_split(1 + rng.permutation(n), 2), "from 0 to count - 1"),
    ("10.3", lambda n, rng: rng.permutation(n), "Two arrays"),
    ("10.3", lambda n, rng: dict(enumerate(np.array_split(rng.permutation(n), 2))), "Two arrays"),
    ("10.3", lambda n, rng: np.array_split(np.random.default_rng(0).permutation(n), 2), "not random"),
    ("10.3", elsewhere, "comes from elsewhere"),
    ("10.3", rolled, "keep to a pattern"),
    ("10.3", masks, "True and False for each row"),
    ("10.3", lambda n, rng: np.array_split(rng.permutation(n) + 0.5, 2), "Row numbers are whole"),
    ("10.3", lambda n, rng: (rng.permutation(n)[: n // 2], rng.permutation(n)[n // 2 :]), "in both"),
    ("10.3", lambda n, rng: np.array_split(rng.integers(0, n // 2, n), [n]), "A row is drawn twice"),
    ("10.4", lambda t, r: t - r, "do not divide"),
    ("10.4", lambda t, r: (t - r) / (1 + r), "divide by 1 + randomised"),
    ("10.4", lambda t, r: (t - r) / (1 - t), "divide by 1 − masked"),
    ("10.4", lambda t, r: t / (1 - r), "take nothing off"),
    ("10.4", lambda t, r: t * (1 - r) + r, "way back"),
    ("10.4", lambda t, r: (r - t) / (1 - r), "sign is turned round"),
    ("10.4", lambda t, r: np.maximum((t - r) / (1 - r), 0), "cut off what is below 0"),
    ("10.4", lambda t, r: np.clip((t - r) / (1 - r), 0, 1), "cut off what is below 0"),
    ("10.4", lambda t, r: abs((t - r) / (1 - r)), "make negative values positive"),
    ("10.4", lambda t, r: t - r / (1 - r), "only `randomised` is divided"),
    ("10.4", lambda t, r: (t - r) / 1 - r, "divide by 1, and then"),
    ("10.4", lambda t, r: t / r, "ratio"),
    ("10.4", lambda t, r: (r - t) / (1 - t), "changed places"),
    ("10.4", lambda t, r: root(np.maximum(t, 0)), "another formula"),
    ("10.4", lambda t, r: t, "not (masked − randomised)"),
    ("10.4", lambda t, r: ((t - r) / (1 - r)).mean(), "shape"),
    ("10.5", lambda u, f, b: np.exp(-b * u**2 / 4) * root(f), "sign of B"),
    ("10.5", lambda u, f, b: np.exp(b * u**2) * root(f), "The 4 is missing"),
    ("10.5", lambda u, f, b: np.exp(b * u**2 / 2) * root(f), "B/2"),
    ("10.5", lambda u, f, b: np.exp(b * u**2 / 4), "sharpened too"),
    ("10.5", lambda u, f, b: np.exp(b * u**2 / 4) * root(f) ** 2, "root is missing"),
    ("10.5", lambda u, f, b: root(f), "weight alone"),
    ("10.5", lambda u, f, b: np.exp(b * u**2 / 4) * f, "FSC itself"),
    ("10.5", lambda u, f, b: gain(u, b) * root(f), "NaN"),
    ("10.5", lambda u, f, b: gain(u, b) * root(abs(f)), "you make it positive"),
    ("10.5", lambda u, f, b: gain(u, b) * np.emath.sqrt(2 * f / (1 + f)), "complex"),
    ("10.5", lambda u, f, b: gain(u, b) * np.where(f > 0, root(np.maximum(f, 0)), 1), "in full"),
    ("10.5", lambda u, f, b: gain(u, b) * root(np.maximum(f, 0.01)), "negative or 0"),
    ("10.5", lambda u, f, b: gain(u, b) * np.sqrt(2 * f) / (1 + f), "The root is of all of it"),
    ("10.5", lambda u, f, b: gain(u, b) * np.sqrt(f / (1 + f)), "The 2 is missing"),
    ("10.5", lambda u, f, b: gain(u, b) * np.sqrt(2 * f / 1 + f), "Brackets are missing"),
    ("10.5", lambda u, f, b: gain(u, b) + root(f), "multiplied, not added"),
    ("10.5", lambda u, f, b: gain(u, b) / root(f), "divide by the weight"),
    ("10.5", lambda u, f, b: np.exp((b * u) ** 2 / 4) * root(f), "B is not squared"),
    ("10.5", lambda u, f, b: np.exp(b * (u / 4) ** 2) * root(f), "before it is squared"),
    ("10.5", lambda u, f, b: np.exp(b * u * 2 / 4) * root(f), "twice u"),
    ("10.5", lambda u, f, b: np.exp(b * u / 4) * root(f), "u has to be squared"),
    ("10.5", lambda u, f, b: np.ones(len(u)), "not exp"),
]
