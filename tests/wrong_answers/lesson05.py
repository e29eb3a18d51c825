"""Lesson 5: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import math

import numpy as np

from cryoedu.course import lesson05 as L


def looped_directions(gamma, in_plane):
    out = np.zeros(len(gamma) // in_plane)
    for row, weights in enumerate(gamma):
        out[row // in_plane] += weights.sum()
    return out


def cut(gamma, in_plane):
    return gamma.reshape(-1, in_plane, gamma.shape[1])


def corr(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def flipped(V, *axes):
    return np.roll(np.flip(V, axes), 1, axes)


def cosine(a, b):
    return np.sum(a * b) / np.sqrt(np.sum(a**2) * np.sum(b**2))


def step(V, velocity, best, rate, momentum, *, keep=None, share=None, push=None):
    keep = momentum if keep is None else keep
    share = (1 - momentum) * rate if share is None else share
    velocity = keep * velocity + share * (best - V if push is None else push)
    return V + velocity, velocity


def late_rate(V, velocity, best, rate, momentum):
    velocity = step(V, velocity, best, 1, momentum)[1]
    return V + rate * velocity, velocity


DICE = np.random.default_rng(5)
WRONG = [
    ("5.1", lambda k, s: 12 * 4**k * 6 * 2**k, "multiply by the shifts"),
    ("5.1", lambda k, s: 12 * 4**k * s, "in-plane rotations are missing"),
    ("5.1", lambda k, s: 6 * 2**k * s, "directions are missing"),
    ("5.1", lambda k, s: 12 * 4**k + 6 * 2**k + s, "You added."),
    ("5.1", lambda k, s: 12 * 4**k * 6 * 2**k + s, "added the shifts"),
    ("5.1", lambda k, s: 12 * 2**k * 6 * 2**k * s, "a sphere has two dimensions"),
    ("5.1", lambda k, s: 12 * 4**k * 6 * 4**k * s, "a circle has one dimension"),
    ("5.1", lambda k, s: 8**k * s, "12 directions and 6"),
    ("5.1", lambda k, s: 59904, "Multiply the three numbers"),
    ("5.1", 59904, "A function is asked for"),
    ("5.2", lambda g, p: g.sum(axis=1), "over the shifts only"),
    ("5.2", lambda g, p: cut(g, p).sum(axis=(0, 2)), "each in-plane rotation"),
    ("5.2", lambda g, p: cut(g, p).sum(axis=2), "in-plane rotations are still there"),
    ("5.2", lambda g, p: cut(g, p).sum(axis=1), "shifts are still there"),
    ("5.2", lambda g, p: g.sum(), "One number for each direction"),
    ("5.2", lambda g, p: g.reshape(p, -1, g.shape[1]).sum(axis=(0, 2)), "mixed up rows"),
    ("5.2", lambda g, p: cut(g, p).mean(axis=(1, 2)), "took the mean"),
    ("5.2", lambda g, p: cut(g, p).max(axis=(1, 2)), "option 1"),
    ("5.2", lambda g, p: cut(g, p).sum(axis=2).max(axis=1), "best in-plane rotation"),
    ("5.2", lambda g, p: np.ones(len(g) // p), "add up to 12"),
    ("5.2", lambda g, p: cut(g, p).mean(axis=2).sum(axis=1), "mean over the shifts"),
    ("5.2", lambda g, p: g[::p].sum(axis=1), "first in-plane rotation"),
    ("5.2", lambda g, p: looped_directions(g, p) / looped_directions(g, p).max(), "largest value"),
    ("5.3", lambda V, t: [corr(flipped(V, 0), t), corr(V, t)], "wrong order"),
    ("5.3", lambda V, t: [cosine(V, t), cosine(flipped(V, 0), t)], "subtract the means"),
    ("5.3", lambda V, t: [corr(V, t), corr(V[::-1], t)], "voxel n // 2"),
    ("5.3", lambda V, t: [corr(V, t), corr(flipped(V, 0, 1), t)], "half a turn"),
    ("5.3", lambda V, t: [corr(V, t), corr(flipped(V, 0, 1, 2), t)], "all three axes"),
    ("5.3", lambda V, t: [corr(V, t), 0.0], "not the two correlations"),
    ("5.3", lambda V, t: [corr(V, t), corr(flipped(V, 2), t)], "another axis"),
    ("5.3", lambda V, t: [corr(V, t), corr(flipped(V, 1), t)], "y axis"),
    ("5.3", lambda V, t: [corr(V, t), corr(flipped(V, 0), flipped(t, 0))], "Mirror V alone"),
    ("5.3", lambda V, t: [corr(V, t) ** 2, corr(flipped(V, 0), t) ** 2], "squares"),
    ("5.3", lambda V, t: [np.corrcoef(v.ravel(), t.ravel()) for v in (V, flipped(V, 0))], "entry [0, 1]"),
    ("5.3", lambda V, t: corr(V, t), "Two numbers"),
    ("5.4", lambda s, p: int(np.argmax(s)) if s.max() > p else -1, "greedy"),
    ("5.4", lambda s, p: int(np.argmax(s > p)), "False everywhere is 0"),
    ("5.4", lambda s, p: int(np.append(np.flatnonzero(s >= p), -1)[0]), "only as good"),
    ("5.4", lambda s, p: int(np.append(-1, np.flatnonzero(s > p))[-1]), "last of the better"),
    ("5.4", lambda s, p: float(np.append(s[s > p], -1)[0]), "return a score"),
    ("5.4", lambda s, p: L.first_better(s, p) + 1, "count from 1"),
    ("5.4", lambda s, p: np.sum(s > p), "how many are better"),
    ("5.4", lambda s, p: 99, "your function returns 99"),
    ("5.4", lambda s, p: DICE.choice(np.flatnonzero(s > p)) if s.max() > p else -1, "random already"),
    ("5.4", lambda s, p: int(np.append(np.flatnonzero(s > p), (-1, -1))[len(s) % 2]), "not the first that is met"),
    ("5.4", lambda s, p: np.flatnonzero(s > p)[0] if s.max() > p else None, "If none is better, your function"),
    ("5.4", lambda s, p: np.argmax(s >= p), "only as good"),
    ("5.4", lambda s, p: np.flatnonzero(s < p)[0], "larger score"),
    ("5.4", lambda s, p: np.flatnonzero(s == np.append(np.sort(s[s > p]), s.max())[0])[0], "smallest step"),
    ("5.4", lambda s, p: L.first_better(s, p) if s.max() > p else len(s), "return -1: the particle stays"),
    ("5.4", lambda s, p: bool((s > p).any()), "True or False"),
    ("5.5", lambda V, v, b, r, m: step(V, v, b, r, m)[0], "Two are asked for"),
    ("5.5", lambda V, v, b, r, m: (V + v, step(V, v, b, r, m)[1]), "old velocity"),
    ("5.5", lambda V, v, b, r, m: (V, step(V, v, b, r, m)[1]), "has not moved"),
    ("5.5", lambda V, v, b, r, m: step(V, v, b, r, m)[::-1], "wrong order"),
    ("5.5", lambda V, v, b, r, m: step(V, v, b, r, m, share=r), "1 − m is missing"),
    ("5.5", lambda V, v, b, r, m: step(V, v, b, r, m, share=1 - m), "forgot the rate"),
    ("5.5", lambda V, v, b, r, m: step(V, v, b, r, m, keep=0), "forgot the momentum"),
    ("5.5", lambda V, v, b, r, m: step(V, v, b, r, m, push=V - b), "sign is wrong"),
    ("5.5", lambda V, v, b, r, m: step(V, v, b, r, m, push=b), "towards V* itself"),
    ("5.5", lambda V, v, b, r, m: 0.5, "Two maps are asked for"),
    ("5.5", lambda V, v, b, r, m: (step(V, v, b, r, m)[0], v), "the old velocity: the next"),
    ("5.5", lambda V, v, b, r, m: (V - step(V, v, b, r, m)[1], step(V, v, b, r, m)[1]), "You go back"),
    ("5.5", lambda V, v, b, r, m: late_rate(V, v, b, r, m), "when the map moves"),
    ("5.5", lambda V, v, b, r, m: step(V, v, b, r, m, keep=r * m), "old velocity too"),
    ("5.5", lambda V, v, b, r, m: (*step(V, v, b, r, m), r), "Two maps are asked for"),
    ("5.5", lambda V, v, b, r, m: (b, b), "That is not the step"),
    ("5.6", lambda a, n: (a / n, math.sqrt(a / n * (1 - a / n) / n)), "4 of 4 means certainty"),
    ("5.6", lambda a, n: ((a + 1) / (n + 2), (a + 1) / (n + 2) * (1 - (a + 1) / (n + 2)) / (n + 3)), "square root"),
    ("5.6", lambda a, n: L.success_rate(a, n)[::-1], "wrong order"),
    ("5.6", lambda a, n: ((a + 1) / (n + 2), math.sqrt((a + 1) * (n - a + 1) / (n + 2) ** 2 / n)), "not n."),
    ("5.6", lambda a, n: (a + 1) / (n + 2), "Two numbers are asked for"),
    ("5.6", lambda a, n: 100 * np.array(L.success_rate(a, n)), "per cent"),
    ("5.6", lambda a, n: (0.5, 0.1), "your function returns 0.500 and 0.100"),
]
