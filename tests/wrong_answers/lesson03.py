"""Lesson 3: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import math

import numpy as np

from cryoedu.course import lesson03 as L
from cryoedu.microscope.realspace import rotate


def score_of(images, references, sigma):
    ccf = np.einsum("nij,rij->nr", images, references)
    return (ccf - 0.5 * (references**2).sum((1, 2))) / sigma**2


def naive_posterior(x, a, s):
    p = np.exp(score_of(x, a, s))
    return p / p.sum(1, keepdims=True)


def naive_likelihood(x, a, s):
    p = np.array([[np.exp(-((i - r) ** 2).sum() / (2 * s**2)) / np.sqrt(2 * np.pi * s**2) ** i.size for r in a]
                  for i in x])
    return np.log(p.mean(1)).sum()


def loops_noise(x, a, g):
    total = sum(g[i, k] * ((x[i] - a[k]) ** 2).sum() for i in range(len(x)) for k in range(len(a)))
    return np.sqrt(total / x.size)


def best_only(x, g, angles):
    return sum(rotate(i, -angles[row.argmax()]) for i, row in zip(x, g)) / len(x)


WRONG = [
    ("3.1", 31 / 26, "ratio of the two CCF"),
    ("3.1", math.exp(5), "noise is missing"),
    ("3.1", math.exp(2.5), "divided by σ"),
    ("3.1", math.exp(5 / 8), "2σ²"),
    ("3.1", 1.25, "logarithm"),
    ("3.1", math.exp(-1.25), "other way round"),
    ("3.1", 0.777, "only these two"),
    ("3.1", 42, "not it"),
    ("3.1", "three", "One number"),
    ("3.1", math.inf, "finite"),
    ("3.2", lambda x, a, s: L.softmax(score_of(x, a, s) * s), "σ²"),
    ("3.2", lambda x, a, s: L.softmax(np.einsum("nij,rij->nr", x, a) / s**2), "energy of the reference"),
    ("3.2", lambda x, a, s: score_of(x, a, s), "not yet a probability"),
    ("3.2", lambda x, a, s: np.exp(score_of(x, a, s)), "not normalised"),
    ("3.2", lambda x, a, s: L.softmax(score_of(x, a, s).T).T, "axis 0"),
    ("3.2", lambda x, a, s: L.one_hot(score_of(x, a, s)), "maxCC"),
    ("3.2", lambda x, a, s: L.softmax(score_of(x, a, s) / 2), "factor 2"),
    ("3.2", naive_posterior, "Subtract the largest score"),
    ("3.2", lambda x, a, s: np.full((5, 6), 1 / 6), "not the posterior"),
    ("3.2", lambda x, a, s: np.ones(3), "shape"),
    ("3.2", lambda x, a: 1, "TypeError"),
    ("3.2", 0.5, "A function is asked for"),
    ("3.3", lambda g: -(g * np.log(g)).sum(1), "entropy itself"),
    ("3.3", lambda g: np.exp((g * np.log(g)).sum(1)), "sign"),
    ("3.3", lambda g: -(g * np.log2(g)).sum(1), "bits"),
    ("3.3", lambda g: 1 / (g**2).sum(1), "another fair way"),
    ("3.3", lambda g: np.exp(-(g * np.log(g)).sum(1)), "0·log 0"),
    ("3.3", lambda g: np.exp(-(g * np.log(g)).sum()), "One number for each image"),
    ("3.4", lambda x, g, a: sum(rotate(np.tensordot(g[:, k], x, 1), v) for k, v in enumerate(a)) / len(x), "wrong way"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g, a) * len(x), "not divided"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g, a) / len(a), "number of rotations times"),
    ("3.4", best_only, "align-and-average"),
    ("3.4", lambda x, g, a: x.mean(0), "do not turn"),
    ("3.4", lambda x, g, a: np.zeros(x.shape[1:]), "not the weighted average"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g) ** 2, "σ²"),
    ("3.5", lambda x, a, g: x.std(), "spread of the images"),
    ("3.5", lambda x, a, g: np.sqrt(np.mean((x - np.tensordot(g, a, 1)) ** 2)), "Square first"),
    ("3.5", lambda x, a, g: loops_noise(x, a, L.one_hot(g)), "best rotation"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g) * 8, "pixels"),
    ("3.5", lambda x, a, g: 0.75, "not the root mean square"),
    ("3.5", lambda x, a, g: x, "one number"),
    ("3.6", lambda x, a, s: naive_likelihood(x, a, s) + 5 * np.log(6), "prior is missing"),
    ("3.6", lambda x, a, s: naive_likelihood(x, a, s) / 5, "mean over the images"),
    ("3.6", lambda x, a, s: -naive_likelihood(x, a, s), "sign"),
    ("3.6", lambda x, a, s: np.log(np.exp(score_of(x, a, s)).mean(1)).sum(), "Both constants"),
    ("3.6", lambda x, a, s: score_of(x, a, s).max(1).sum() - (x**2).sum() / 2 / s**2
        - x.size / 2 * np.log(2 * np.pi * s**2), "option 1"),
    ("3.6", naive_likelihood, "overflow"),
    ("3.6", lambda x, a, s: -100.0, "not log L"),
]
