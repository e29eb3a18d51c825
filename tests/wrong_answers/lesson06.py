"""Lesson 6: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

from itertools import permutations

import numpy as np


def likely(log_p, weights):
    return np.exp(log_p) * weights[:, None]


def rows(p):
    return p / p.sum(1, keepdims=True)


def naive_posterior(log_p, weights):
    """The definition in loops, which underflows for real log-likelihoods."""
    p = np.array([[w * sum(np.exp(s) for s in k) for k, w in zip(image, weights)] for image in log_p])
    return np.array([row / row.sum() for row in p])


def counts(found, truth):
    return np.array([[np.sum((found == k) & (truth == l)) for l in range(3)] for k in range(3)])  # noqa: E741


def loops_accuracy(found, truth):
    """The definition: rename the classes in every possible way."""
    return max(np.mean([match[f] == t for f, t in zip(found, truth)]) for match in permutations(range(3)))


def naive_supervised(a, b, share):
    return share * np.exp(a) / (share * np.exp(a) + (1 - share) * np.exp(b))


def correct(p, truth):
    return np.mean([row.argmax() == t for row, t in zip(p, truth)])


WRONG = [
    ("6.1", 4 * 4608 * 21, "for one particle"),
    ("6.1", 91_114 * 4608 * 21, "classes are missing"),
    ("6.1", 91_114 * 4 * 4608, "shifts are missing"),
    ("6.1", 91_114 * 4 * 21, "orientations are missing"),
    ("6.1", 91_114 * (4 + 4608 + 21), "multiplied"),
    ("6.1", 35.27, "billions"),
    ("6.1", 35_268, "millions"),
    ("6.1", 1, "not it"),
    ("6.1", "many", "One number"),
    ("6.2", lambda s, w: rows(np.exp(s).sum(2)), "weights P(k|Θ) are missing"),
    ("6.2", lambda s, w: rows((np.exp(s + w[:, None])).sum(2)), "np.log(weights)"),
    ("6.2", lambda s, w: rows(np.exp(s.max(2)) * w), "best place of each class"),
    ("6.2", lambda s, w: rows(np.exp(s.mean(2)) * w), "averaged the logarithms"),
    ("6.2", lambda s, w: rows(np.exp(s.sum(2)) * w), "added up logarithms"),
    ("6.2", lambda s, w: np.ones((6, 3)), "every class got everything"),
    ("6.2", lambda s, w: np.tile(w, (6, 1)), "within each class"),
    ("6.2", lambda s, w: likely(s, w).sum(2), "do not add up"),
    ("6.2", lambda s, w: likely(s, w).sum(2) / likely(s, w).sum(2).sum(0), "axis 0"),
    ("6.2", lambda s, w: np.eye(3)[naive_posterior(s, w).argmax(1)], "to one class"),
    ("6.2", lambda s, w: likely(s, w) / likely(s, w).sum((1, 2), keepdims=True), "axis 2"),
    ("6.2", lambda s, w: rows(likely(s, w).sum(1)), "over axis 2"),
    ("6.2", naive_posterior, "exp(−4000)"),
    ("6.2", lambda s, w: np.full((6, 3), 1 / 3), "not the class probabilities"),
    ("6.2", lambda s: s, "TypeError"),
    ("6.3", lambda p: p.sum(0), "divide by the number of particles"),
    ("6.3", lambda p: np.bincount(p.argmax(1), minlength=3) / 9, "best class only"),
    ("6.3", lambda p: np.bincount(p.argmax(1), minlength=3), "did not divide"),
    ("6.3", lambda p: p.sum(0) / 3, "number of classes"),
    ("6.3", lambda p: p.mean(1), "axis 0"),
    ("6.3", lambda p: np.full(3, 1 / 3), "where EM starts"),
    ("6.3", lambda p: np.array([1.0, 0, 0]), "not the mean"),
    ("6.4", lambda f, t: np.mean(f == t), "every permutation"),
    ("6.4", lambda f, t: counts(f, t).max(1).sum() / 90, "purity"),
    ("6.4", lambda f, t: counts(f, t).max(0).sum() / 90, "true class pick"),
    ("6.4", lambda f, t: loops_accuracy(f, t) * 90, "number of particles"),
    ("6.4", lambda f, t: loops_accuracy(f, t) * 100, "percent"),
    ("6.4", lambda f, t: 1 - loops_accuracy(f, t), "share that is wrong"),
    ("6.4", lambda f, t: max(np.mean(np.roll(range(3), -turn)[f] == t) for turn in range(3)), "six permutations"),
    ("6.4", lambda f, t: min(np.mean(np.array(m)[f] == t) for m in permutations(range(3))), "worst naming"),
    ("6.4", lambda f, t: 0.123, "best naming"),
    ("6.4", lambda f, t: counts(f, t), "one number"),
    ("6.5", lambda a, b, s: 1 / (1 + np.exp(b - a)), "share is missing"),
    ("6.5", lambda a, b, s: 1 - naive_supervised(a, b, s), "the other one"),
    ("6.5", lambda a, b, s: naive_supervised(a, b, 1 - s), "wrong side"),
    ("6.5", lambda a, b, s: np.exp(a - b) * s / (1 - s), "These are odds, p"),
    ("6.5", lambda a, b, s: np.exp(a - b), "These are odds, and"),
    ("6.5", lambda a, b, s: a / (a + b), "divide logarithms"),
    ("6.5", lambda a, b, s: naive_supervised(a, b, s).round(), "decision, not"),
    ("6.5", lambda a, b, s: (a > b) * 1.0, "forgets the share"),
    ("6.5", lambda a, b, s: a - b + np.log(s / (1 - s)), "logarithms of the odds"),
    ("6.5", lambda a, b, s: np.stack([naive_supervised(a, b, s)] * 2), "Only one probability"),
    ("6.5", naive_supervised, "exp(−3000)"),
    ("6.5", lambda a, b, s: a * 0, "not P(whole | X)"),
    ("6.6", lambda p, t: p.max(1).mean(), "what the posterior claims. Subtract"),
    ("6.6", correct, "how often the best class"),
    ("6.6", lambda p, t: correct(p, t) - p.max(1).mean(), "sign"),
    ("6.6", lambda p, t: p[range(80), t].mean() - correct(p, t), "does not know the truth"),
    ("6.6", lambda p, t: p[range(80), t].mean(), "mean probability of the true class"),
    ("6.6", lambda p, t: p.max(1).mean() / correct(p, t), "ratio"),
    ("6.6", lambda p, t: 100 * (p.max(1).mean() - correct(p, t)), "percent"),
    ("6.6", lambda p, t: p.max(1).sum() - 80 * correct(p, t), "sum over the particles"),
    ("6.6", lambda p, t: 0.0, "That is not it"),
]
