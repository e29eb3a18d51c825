"""Lesson 9: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import numpy as np


def by_shell(values, shell):
    return np.array([values[shell == s].sum() for s in range(shell.max() + 1)])


def count(shell):
    return by_shell(np.ones(shell.shape), shell)


def shrink(x, factor):
    return x.mean(1) * factor


def first_below(curve, threshold):
    return next(k for k, v in enumerate(curve) if v < threshold)


def quotient(x, c, s2, prior):
    return (c * x / s2).sum(0) / ((c * c / s2).sum(0) + prior)


def crossing_only(curve, length, threshold):
    return length / (first_below(curve, threshold) - 1)


def number_beyond(curve, length, threshold):
    return crossing_only(curve, length, threshold) if min(curve) < threshold else 2 * length / len(curve)


def nothing_beyond(curve, length, threshold):
    return crossing_only(curve, length, threshold) if min(curve) < threshold else None


def last_crossing(curve, length, threshold):
    return length / max(k for k, v in enumerate(curve) if v >= threshold)


WRONG = [
    ("9.1", lambda x, s, t: x.mean(1), "plain mean"),
    ("9.1", lambda x, s, t: shrink(x, t**2 / (t**2 + s**2)), "one measurement"),
    ("9.1", lambda x, s, t: shrink(x, 3 * t**2 / s**2), "multiply by the SSNR"),
    ("9.1", lambda x, s, t: shrink(x, 1 / (1 + 3 * t**2 / s**2)), "share of the noise"),
    ("9.1", lambda x, s, t: shrink(x, t / (t + s / 3)), "standard deviations"),
    ("9.1", lambda x, s, t: shrink(x, t**2 / (t**2 + s**2 / 3**0.5)), "√N"),
    ("9.1", lambda x, s, t: 0 * x.mean(1), "That is not it"),
    ("9.1", lambda x, s, t: x.mean(), "shape"),
    ("9.2", lambda a, b, s: by_shell((a * b).real, s)
        / np.sqrt(by_shell(abs(a) ** 2, s) * by_shell(abs(b) ** 2, s)), "conjugate is missing"),
    ("9.2", lambda a, b, s: by_shell((a * b.conj()).real, s) / by_shell(abs(a) ** 2, s) / by_shell(abs(b) ** 2, s),
     "root is missing"),
    ("9.2", lambda a, b, s: by_shell(abs(a * b), s) / np.sqrt(by_shell(abs(a) ** 2, s) * by_shell(abs(b) ** 2, s)),
     "nothing can cancel"),
    ("9.2", lambda a, b, s: by_shell(np.cos(np.angle(a) - np.angle(b)), s) / count(s), "cosine"),
    ("9.2", lambda a, b, s: by_shell((a * b.conj()).real, s) / by_shell(abs(a) ** 2, s), "one map only"),
    ("9.2", lambda a, b, s: by_shell(a * b.conj(), s) / np.sqrt(by_shell(abs(a) ** 2, s) * by_shell(abs(b) ** 2, s)),
     "take .real"),
    ("9.2", lambda a, b, s: count(s), "not the FSC"),
    ("9.2", lambda a, b, s: np.corrcoef(abs(a).ravel(), abs(b).ravel())[0, 1], "shape"),
    ("9.3", lambda c, n, t: n / first_below(c, t), "first shell below"),
    ("9.3", last_crossing, "recovers"),
    ("9.3", lambda c, n, t: first_below(c, t) - 1, "number of the shell"),
    ("9.3", lambda c, n, t: (first_below(c, t) - 1) / n, "spatial frequency"),
    ("9.3", number_beyond, "gives a number"),
    ("9.3", nothing_beyond, "returns nothing"),
    ("9.3", crossing_only, "StopIteration"),
    ("9.3", lambda c, n, t: 17.0, "go one back"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, s, 0), "prior is missing"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, s, 1 / t), "T is missing"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, s, f / t), "wrong side"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, s, f * t), "below the line"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, 1, 1 / (f * t)), "noise σ² is missing"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, s**0.5, 1 / (f * t)), "divide by σ"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, s, 1 / (f * t**0.5)), "a power"),
    ("9.4", lambda x, c, s, t, f: (x / s).sum(0) / ((c * c / s).sum(0) + 1 / (f * t)), "above the line"),
    ("9.4", lambda x, c, s, t, f: (c * x / s).sum(0) / ((c / s).sum(0) + 1 / (f * t)), "must be squared"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, s, 3 / (f * t)), "N times"),
    ("9.4", lambda x, c, s, t, f: sum(quotient(x[i:i + 1], c[i:i + 1], s, 1 / (f * t)) for i in range(3)) / 3,
     "filter each image"),
    ("9.4", lambda x, c, s, t, f: c * x / s, "axis 0"),
    ("9.4", lambda x, c, s, t, f: x.mean(0), "not the Wiener filter"),
    ("9.5", lambda f, s: by_shell(abs(f) ** 2, s) / count(s), "½ is missing"),
    ("9.5", lambda f, s: by_shell(abs(f) ** 2, s) / 2, "add up over the shell"),
    ("9.5", lambda f, s: by_shell(abs(f), s) / count(s) / 2, "modulus"),
    ("9.5", lambda f, s: (by_shell(abs(f), s) / count(s)) ** 2 / 2, "square after"),
    ("9.5", lambda f, s: np.sqrt(by_shell(abs(f) ** 2, s) / count(s) / 2), "the root"),
    ("9.5", lambda f, s: by_shell(abs(f) ** 2, s) / 2 / s.size, "all components"),
    ("9.5", lambda f, s: by_shell(f.real**2, s) / count(s), "real part alone"),
    ("9.5", lambda f, s: count(s), "not τ²"),
    ("9.6", lambda f: (1 - f) / f, "upside down"),
    ("9.6", lambda f: 2 * f / (1 - f), "all the data"),
    ("9.6", lambda f: f / (1 + f), "wrong way"),
    ("9.6", lambda f: f**2 / (1 - f**2), "against the truth"),
    ("9.6", lambda f: f / (1 - f), "np.clip"),
    ("9.6", lambda f: np.minimum(f, 0.999) / (1 - np.minimum(f, 0.999)), "negative SSNR"),
    ("9.6", lambda f: 1 - f, "solved for the SSNR"),
]
