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


def one_peak(score):
    p = np.exp(score - score.max())
    return p / p.sum(1, keepdims=True)


def double_loop(images, gamma, angles):
    """The formula taken literally: each image turned back by each rotation."""
    return sum(g * rotate(x, -a) for x, row in zip(images, gamma) for g, a in zip(row, angles)) / len(images)


def sums(images, gamma):
    return np.tensordot(gamma.T, images, axes=1)


def sigma(x, a, g, cross=None, energies=None, signs=(-2, 1)):
    """σ with a mistake in it: other sums of the CCF or of the energies, other factors before them."""
    ccf, energy = np.einsum("nij,rij->nr", x, a), (a**2).sum((1, 2))
    cross = (g * ccf).sum() if cross is None else cross(ccf)
    energies = (g * energy).sum() if energies is None else energies(energy)
    return np.sqrt(((x**2).sum() + signs[0] * cross + signs[1] * energies) / x.size)


def all_residuals(x, a, g):
    return np.sqrt((g[..., None, None] * (x[:, None] - a) ** 2).sum() / x.size)


def marginals(x, a, s):
    """The logarithm for each image, without the constant."""
    return np.log(np.exp(score_of(x, a, s)).mean(1))


def constant(x, s):
    return (x**2).sum() / 2 / s**2 + x.size / 2 * np.log(2 * np.pi * s**2)


WRONG = [
    ("3.1", 31 / 26, "ratio of the two CCF"),
    ("3.1", math.exp(5), "noise is missing"),
    ("3.1", math.exp(2.5), "divided by σ"),
    ("3.1", math.exp(5 / 8), "2σ²"),
    ("3.1", 1.25, "logarithm"),
    ("3.1", math.exp(-1.25), "other way round"),
    ("3.1", 0.777, "only these two"),
    ("3.1", 42, "not it"),
    ("3.1", 2**1.25, "power of 2"),
    ("3.1", 10**1.25, "power of 10"),
    ("3.1", math.exp(20), "multiplied"),
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
    ("3.2", lambda x, a, s: np.full((5, 7), 1 / 7), "not the posterior"),
    ("3.2", lambda x, a, s: np.ones(3), "shape"),
    ("3.2", lambda x, a, s: L.softmax(-score_of(x, a, s)), "sign"),
    ("3.2", lambda x, a, s: np.log(L.softmax(score_of(x, a, s))), "log Γ"),
    ("3.2", lambda x, a, s: score_of(x, a, s) / score_of(x, a, s).sum(1, keepdims=True), "First take the exponential"),
    ("3.2", lambda x, a, s: np.exp(score_of(x, a, s)) / np.exp(score_of(x, a, s)).sum(), "add up to"),
    ("3.2", lambda x, a, s: np.exp(score_of(x, a, s)) / np.exp(score_of(x, a, s)).sum(1), "ValueError"),
    ("3.2", lambda x, a, s: one_peak(score_of(x, a, s)), "not of all"),
    ("3.2", lambda x, a: 1, "TypeError"),
    ("3.2", 0.5, "A function is asked for"),
    ("3.3", lambda g: -(g * np.log(g)).sum(1), "entropy itself"),
    ("3.3", lambda g: np.exp((g * np.log(g)).sum(1)), "sign"),
    ("3.3", lambda g: -(g * np.log2(g)).sum(1), "bits"),
    ("3.3", lambda g: 1 / (g**2).sum(1), "another fair way"),
    ("3.3", lambda g: np.exp(-(g * np.log(g)).sum(1)), "0·log 0"),
    ("3.3", lambda g: np.exp(-(g * np.log(g)).sum()), "One number for each image"),
    ("3.3", lambda g: np.exp(-(g * np.log(g)).sum(0)), "one number for each rotation"),
    ("3.3", lambda g: (g * np.log(g)).sum(1), "minus this"),
    ("3.3", lambda g: 2 ** -(g * np.log(g)).sum(1), "mixed two bases: with the natural"),
    ("3.3", lambda g: np.exp(-(g * np.log2(g)).sum(1)), "mixed two bases: with log2"),
    ("3.3", lambda g: np.exp(-(g * np.log10(g)).sum(1)), "mixed two bases: with log10"),
    ("3.3", lambda g: np.exp(-(g * np.log(g)).mean(1)), "mean over"),
    ("3.3", lambda g: np.exp(-np.log(g).sum(1)), "weight is missing"),
    ("3.3", lambda g: (g > 0).sum(1), "not zero"),
    ("3.3", lambda g: np.exp(-(g * np.log(g + 0.01)).sum(1)), "not exp"),
    ("3.4", lambda x, g, a: sum(rotate(np.tensordot(g[:, k], x, 1), v) for k, v in enumerate(a)) / len(x), "wrong way"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g, a) * len(x), "not divided"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g, a) / len(a), "number of rotations times"),
    ("3.4", best_only, "align-and-average"),
    ("3.4", lambda x, g, a: x.mean(0), "do not turn"),
    ("3.4", lambda x, g, a: np.zeros(x.shape[1:]), "nothing was added"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g, a) * len(x) / len(a), "divide by the number of rotations."),
    ("3.4", lambda x, g, a: L.weighted_average(x, g, -a) * len(x), "wrong way, and"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g, a) / len(x), "divide twice"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g, a) * len(x) / x.shape[1], "pixels in a row"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g, a) * len(x) / x.size, "images.size"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g / g.sum(0), a) * len(x) / len(a), "hardly any image"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g / g.sum(0), a) * len(x), "and add up. Add"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g * 0 + 1, a), "weight 1"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g * 0 + 1, a) / len(a), "rotational average"),
    ("3.4", lambda x, g, a: rotate(sums(x, g)[-1], -a[-1]), "last rotation only."),
    ("3.4", lambda x, g, a: rotate(sums(x, g)[-1], -a[-1]) / len(x), "last rotation only, divided"),
    ("3.4", lambda x, g, a: L.weighted_average(x, g, a[::-1]), "not the weighted average"),
    ("3.4", lambda x, g, a: sum(rotate(np.tensordot(g[k], x, 1), -v) for k, v in enumerate(a)), "ValueError"),
    ("3.4", double_loop, "every image by every rotation"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g) ** 2, "σ²"),
    ("3.5", lambda x, a, g: x.std(), "spread of the images"),
    ("3.5", lambda x, a, g: np.sqrt(np.mean((x - np.tensordot(g, a, 1)) ** 2)), "Square first"),
    ("3.5", lambda x, a, g: loops_noise(x, a, L.one_hot(g)), "best rotation"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g) * 8, "pixels"),
    ("3.5", lambda x, a, g: 0.75, "not the root mean square"),
    ("3.3", lambda g: "seven", "returns str"),
    ("3.3", lambda g: [[1, 2], [3]], "your function returns list"),
    ("3.5", lambda x, a, g: [[1, 2], [3]], "one number"),
    ("3.5", all_residuals, "images × rotations × pixels"),
    ("3.5", lambda x, a, g: sigma(x, a, g, energies=np.sum), "energies of all references without"),
    ("3.5", lambda x, a, g: sigma(x, a, g, energies=lambda e: len(x) * e.sum()), "for each image, without Γ"),
    ("3.5", lambda x, a, g: sigma(x, a, g, energies=lambda e: len(x) * e.mean()), "plain mean of the energies"),
    ("3.5", lambda x, a, g: sigma(x, a, g, cross=np.sum), "CCF without Γ"),
    ("3.5", lambda x, a, g: sigma(x, a, g, cross=np.sum, energies=np.sum), "two places"),
    ("3.5", lambda x, a, g: sigma(x, a, g, signs=(2, 1)), "sign of the CCF"),
    ("3.5", lambda x, a, g: sigma(x, a, g, signs=(-2, -1)), "sign of the energy"),
    ("3.5", lambda x, a, g: sigma(x, a, g, signs=(-1, 1)), "CCF counts twice"),
    ("3.5", lambda x, a, g: sigma(x, a, g, signs=(-2, 0.5)), "energy counts whole"),
    ("3.5", lambda x, a, g: sigma(x, a, g, signs=(-2, 0)), "energy of the references"),
    ("3.5", lambda x, a, g: sigma(x, a, g, signs=(0, 1)), "The term"),
    ("3.5", lambda x, a, g: sigma(x, a, g, signs=(0, 0)), "root mean square of the images"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g) / np.sqrt(2), "no place here"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g) / np.sqrt(len(a)), "number of rotations too"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g) * np.sqrt(len(x)), "pixels of one image"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g) * np.sqrt(x.size), "do not divide"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g) / np.sqrt(x.size), "root first"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g) ** 2 * x.size, "summed over everything"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g * 0 + 1), "each of them were certain"),
    ("3.5", lambda x, a, g: loops_noise(x, a, g * 0 + 1 / len(a)), "every rotation counts the same"),
    ("3.5", lambda x, a, g: np.array([loops_noise(i[None], a, w[None]) for i, w in zip(x, g)]), "for each image"),
    ("3.5", lambda x, a, g: np.sqrt(-loops_noise(x, a, g)), "root of a negative"),
    ("3.5", lambda x, a, g: x, "one number"),
    ("3.6", lambda x, a, s: naive_likelihood(x, a, s) + 5 * np.log(7), "prior is missing"),
    ("3.6", lambda x, a, s: naive_likelihood(x, a, s) / 5, "mean over the images"),
    ("3.6", lambda x, a, s: -naive_likelihood(x, a, s), "sign"),
    ("3.6", lambda x, a, s: np.log(np.exp(score_of(x, a, s)).mean(1)).sum(), "Both constants"),
    ("3.6", lambda x, a, s: score_of(x, a, s).max(1).sum() - (x**2).sum() / 2 / s**2
        - x.size / 2 * np.log(2 * np.pi * s**2), "option 1"),
    ("3.6", naive_likelihood, "overflow"),
    ("3.6", lambda x, a, s: marginals(x, a, s).sum() + constant(x, s), "subtracted, you add"),
    ("3.6", lambda x, a, s: (marginals(x, a, s) - constant(x, s)).sum(), "subtract the constant for every image"),
    ("3.6", lambda x, a, s: score_of(x, a, s).mean(1).sum() - constant(x, s), "mean of the scores"),
    ("3.6", lambda x, a, s: np.log(np.exp(score_of(x, a, s)).mean()) - constant(x, s), "average over the images"),
    ("3.6", lambda x, a, s: np.log(np.exp(score_of(x, a, s)).mean(1).sum()) - constant(x, s), "add up over the images"),
    ("3.6", lambda x, a, s: np.exp(score_of(x, a, s)).mean(1).sum() - constant(x, s), "logarithm is missing"),
    ("3.6", lambda x, a, s: (marginals(x, a, s) - score_of(x, a, s).max(1)).sum() - constant(x, s), "did not add it"),
    ("3.6", lambda x, a, s: (marginals(x, a, s) - score_of(x, a, s).max()).sum() + score_of(x, a, s).max()
        - constant(x, s), "largest score of all"),
    ("3.6", lambda x, a, s: marginals(x, a, s) - constant(x, s) / len(x), "number for each image"),
    ("3.6", lambda x, a, s: marginals(x, a, s).sum() - (x**2).sum() / 2 / s**2, "normalisation of the Gaussian"),
    ("3.6", lambda x, a, s: -100.0, "not log L"),
]
