"""Lesson 4: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import math

import numpy as np

from cryoedu.microscope.realspace import rotate
from cryoedu.validation.classes import agreement


def score_of(images, references, sigma, weights=None):
    """(N, K, R), image by image and reference by reference."""
    score = np.array([[[((x * a).sum() - 0.5 * (a * a).sum()) / sigma**2 for a in turned] for turned in references]
                      for x in images])
    return score if weights is None else score + np.log(weights)[None, :, None]


def unnormalised(x, a, s, w):
    return np.exp(score_of(x, a, s, w))


def naive_posterior(x, a, s, w):
    p = unnormalised(x, a, s, w)
    return p / p.sum((1, 2), keepdims=True)


def of_all_images(score):
    p = np.exp(score - score.max())
    return p / p.sum((1, 2), keepdims=True)


def classes_only(score):
    p = np.exp(score.max(2, keepdims=True))
    return np.repeat(p / p.sum(1, keepdims=True), score.shape[2], axis=2)


def best_only(gamma):
    hard = np.zeros_like(gamma)
    for i, one in enumerate(gamma):
        hard[(i, *np.unravel_index(one.argmax(), one.shape))] = 1
    return hard


def loops_averages(images, gamma, angles):
    """The definition, one image at a time."""
    out = np.zeros((gamma.shape[1], *images.shape[1:]))
    for k in range(gamma.shape[1]):
        behind = 0.0
        for x, g in zip(images, gamma[:, k]):
            for r, angle in enumerate(angles):
                out[k] += g[r] * rotate(x, -angle)
                behind += g[r]
        out[k] /= behind
    return out


def last_rotation(images, gamma, angles):
    sums = np.tensordot(gamma, images, axes=(0, 0))
    return np.array([rotate(one[-1], -angles[-1]) for one in sums]) / gamma.sum((0, 2))[:, None, None]


def loops_purity(classes, truth):
    right = 0
    for k in set(classes.tolist()):
        views = [int(t) for c, t in zip(classes, truth) if c == k]
        right += max(views.count(v) for v in set(views))
    return right / len(classes)


def both(kept, junk):
    return lambda c, good, p: (kept(np.isin(c, good), p), junk(np.isin(c, good), p))


KEPT, JUNK = (lambda c, p: c[p].mean()), (lambda c, p: 1 - p[c].mean())


WRONG = [
    ("4.1", math.exp(1.5), "how common"),
    ("4.1", 4 * math.exp(0.5), "energies"),
    ("4.1", math.exp(0.5), "both the energies and the shares"),
    ("4.1", 4.0, "only the shares"),
    ("4.1", 4 * math.exp(2.5), "whole difference"),
    ("4.1", 4 * math.exp(-0.5), "wrong sign"),
    ("4.1", 4 * math.exp(3), "divided by σ."),
    ("4.1", 4 * math.exp(6), "did not divide"),
    ("4.1", 4 * math.exp(0.75), "divided by 2σ²"),
    ("4.1", 2.886, "logarithm of the answer"),
    ("4.1", 1.5, "difference of the two"),
    ("4.1", 37 / 31, "divided the two scores"),
    ("4.1", math.exp(1.5) / 4, "instead of multiplying"),
    ("4.1", 4 * 10**1.5, "power of 10"),
    ("4.1", 0.05578, "other way round"),
    ("4.1", 0.94717, "only these two"),
    ("4.1", math.exp(1.95), "add their logarithms"),
    ("4.1", 17, "That is not it"),
    ("4.1", "A", "One number"),
    ("4.2", lambda x, a, s, w: naive_posterior(x, a, s, np.ones(3)), "class weights are missing"),
    ("4.2", lambda x, a, s, w: naive_posterior(x, a, s, w) / naive_posterior(x, a, s, w).sum(2, keepdims=True),
     "rotations only"),
    ("4.2", lambda x, a, s, w: naive_posterior(x, a, s, w) / naive_posterior(x, a, s, w).sum(1, keepdims=True),
     "classes only"),
    ("4.2", lambda x, a, s, w: unnormalised(x, a, s, w) / unnormalised(x, a, s, w).sum(0), "over the images"),
    ("4.2", lambda x, a, s, w: unnormalised(x, a, s, w) / unnormalised(x, a, s, w).sum(), "All images together"),
    ("4.2", lambda x, a, s, w: naive_posterior(x, a, s, np.exp(w)), "weights themselves"),
    ("4.2", lambda x, a, s, w: naive_posterior(x, a, s, np.ones(3)) * w[:, None], "Normalise last"),
    ("4.2", lambda x, a, s, w: score_of(x, a, s, w), "logarithm"),
    ("4.2", unnormalised, "not normalised"),
    ("4.2", lambda x, a, s, w: best_only(naive_posterior(x, a, s, w)), "maxCC"),
    ("4.2", naive_posterior, "overflows"),
    ("4.2", lambda x, a, s, w: of_all_images(score_of(x, a, s, w)), "*all* images"),
    ("4.2", lambda x, a, s, w: naive_posterior(x, a, s, 1 / w), "subtract log w"),
    ("4.2", lambda x, a, s, w: naive_posterior(x, a, s, np.ones(3)) + np.log(w)[:, None], "belongs to the score"),
    ("4.2", lambda x, a, s, w: classes_only(score_of(x, a, s, w)), "Γ keeps the rotations"),
    ("4.2", lambda x, a, s, w: np.full((5, 3, 4), 1 / 12), "not the posterior"),
    ("4.2", lambda x, a, s, w: -np.full((5, 3, 4), 1 / 12), "negative"),
    ("4.2", lambda x, a, s, w: np.ones((5, 3)), "shape"),
    ("4.3", lambda g: g.sum((0, 2)), "number of images"),
    ("4.3", lambda g: g.mean((0, 2)), "images and rotations"),
    ("4.3", lambda g: np.bincount(g.sum(2).argmax(1), minlength=3) / len(g), "every class, with its"),
    ("4.3", lambda g: g.sum(2), "each image"),
    ("4.3", lambda g: g.mean(0), "over the rotations too"),
    ("4.3", lambda g: g.max(2).mean(0), "best rotation"),
    ("4.3", lambda g: np.bincount([np.argmax(x) // x.shape[1] for x in g], minlength=3) / len(g), "largest Γ"),
    ("4.3", lambda g: g.sum((0, 2)) / g.shape[1], "number of classes"),
    ("4.3", lambda g: g.sum((0, 1)) / len(g), "Keep the classes"),
    ("4.3", lambda g: g.sum((1, 2)), "Keep the classes"),
    ("4.3", lambda g: g.sum(), "Keep the classes"),
    ("4.3", lambda g: np.ones(3) / 3, "same weight"),
    ("4.3", lambda g: np.array([0.5, 0.4, 0.1]), "not the shares"),
    ("4.4", lambda x, g, a: loops_averages(x, g, a) * g.sum((0, 2))[:, None, None] / len(x), "number of all images"),
    ("4.4", lambda x, g, a: loops_averages(x, g, a) * g.sum((0, 2))[:, None, None], "not divided"),
    ("4.4", lambda x, g, a: loops_averages(x, g, -a), "wrong way"),
    ("4.4", lambda x, g, a: loops_averages(x, g, 0 * a), "smeared"),
    ("4.4", lambda x, g, a: np.nan_to_num(loops_averages(x, best_only(g), a)), "maxCC"),
    ("4.4", lambda x, g, a: np.repeat(loops_averages(x, g.sum(1, keepdims=True), a), 3, axis=0), "classes are lost"),
    ("4.4", lambda x, g, a: last_rotation(x, g, a), "only the last rotation"),
    ("4.4", loops_averages, "empty class"),
    ("4.4", lambda x, g, a: np.zeros((3, 20, 20)), "not the weighted averages"),
    ("4.4", lambda x, g, a: np.zeros((20, 20)), "shape"),
    ("4.5", lambda c, t: np.mean(c == t), "compare class numbers"),
    ("4.5", lambda c, t: np.mean([loops_purity(c[c == k], t[c == k]) for k in set(c)]), "mean of the purities"),
    ("4.5", lambda c, t: loops_purity(t, c), "Turn it round"),
    ("4.5", lambda c, t: loops_purity(c, t) * len(c), "Divide by N"),
    ("4.5", lambda c, t: 1 - loops_purity(c, t), "1 minus"),
    ("4.5", lambda c, t: sum(np.bincount(t[c == k]).max() for k in range(c.max() + 1)) / len(c), "class 2 is empty"),
    ("4.5", agreement, "agreement"),
    ("4.5", lambda c, t: 100 * loops_purity(c, t), "per cent"),
    ("4.5", lambda c, t: loops_purity(c[c == c.max()], t[c == c.max()]), "last class alone"),
    ("4.5", lambda c, t: 0.123, "not the purity"),
    ("4.5", lambda c, t: t, "one number"),
    ("4.6", both(lambda c, p: JUNK(c, p), lambda c, p: KEPT(c, p)), "swapped"),
    ("4.6", both(KEPT, lambda c, p: p[c].mean()), "Junk is the rest"),
    ("4.6", both(KEPT, lambda c, p: c[~p].mean()), "share of all junk that is kept"),
    ("4.6", both(KEPT, lambda c, p: (~c)[~p].mean()), "left behind"),
    ("4.6", both(lambda c, p: c.mean(), JUNK), "share of all images"),
    ("4.6", both(lambda c, p: (c & p).mean(), lambda c, p: (c & ~p).mean()), "both times"),
    ("4.6", both(lambda c, p: KEPT(~c, p), lambda c, p: JUNK(~c, p)), "not* chosen"),
    ("4.6", lambda c, good, p: (0.5, 0.5), "not the two shares"),
    ("4.6", lambda c, good, p: 0.9, "Two numbers are asked for"),
    ("4.6", lambda c, good, p: np.isin(c, good), "Two numbers are asked for"),
    ("4.6", both(lambda c, p: 100 * KEPT(c, p), lambda c, p: 100 * JUNK(c, p)), "per cent"),
    ("4.6", both(lambda c, p: c[p].sum(), lambda c, p: (~p[c]).sum()), "count the images"),
]
