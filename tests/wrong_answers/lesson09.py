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


def whole_shells(a, b, shell):
    return by_shell((a * b.conj()).real, shell), by_shell(abs(a) ** 2, shell), by_shell(abs(b) ** 2, shell)


def to_words(value):
    """An answer to 9.3 that reads ``value(first shell below, length)`` off a curve that crosses."""
    def answer(curve, length, threshold):
        return value(first_below(curve, threshold), length) if min(curve) < threshold else "at or beyond Nyquist"

    return answer


def clipped(low, high):
    def answer(f):
        f = np.clip(f, low, high)
        return f / (1 - f)

    return answer


def clipped_in_place(f):
    f[f > 0.999], f[f < 0.001] = 0.999, 0.001
    return f / (1 - f)


WRONG = [
    ("9.1", lambda x, s, t: x.mean(1), "plain mean"),
    ("9.1", lambda x, s, t: shrink(x, t**2 / (t**2 + s**2)), "one measurement"),
    ("9.1", lambda x, s, t: shrink(x, 3 * t**2 / s**2), "multiply by the SSNR"),
    ("9.1", lambda x, s, t: shrink(x, 1 / (1 + 3 * t**2 / s**2)), "share of the noise"),
    ("9.1", lambda x, s, t: shrink(x, t / (t + s / 3)), "standard deviations"),
    ("9.1", lambda x, s, t: shrink(x, t**2 / (t**2 + s**2 / 3**0.5)), "√N"),
    ("9.1", lambda x, s, t: 0 * x.mean(1), "That is not it"),
    ("9.1", lambda x, s, t: x.mean(), "shape"),
    ("9.1", lambda x, s, t: shrink(x, t**2 / (t**2 + s**2 / len(x))), "len(x) is R"),
    ("9.1", lambda x, s, t: shrink(x, t**2 / (t**2 + s**2 / x.size)), "x.size is"),
    ("9.1", lambda x, s, t: shrink(x, t**2 / (t**2 + s**2 / 9)), "N²"),
    ("9.1", lambda x, s, t: shrink(x, t**2 / (t**2 + s**2 * 3)), "multiply it by N"),
    ("9.1", lambda x, s, t: shrink(x, 1 + s**2 / 3 / t**2), "upside down"),
    ("9.1", lambda x, s, t: x.sum(1) * t**2 / (t**2 + s**2 / 3), "the sum of the measurements"),
    ("9.1", lambda x, s, t: shrink(x, t**2 / (t**2 + x.var(1) / 3)), "σ is known"),
    ("9.1", lambda x, s, t: shrink(x, t / (t + s / 3**0.5)), "standard deviations"),
    ("9.1", lambda x, s, t: shrink(x, (t**2 / (t**2 + s**2 / 3)) ** 2), "there twice"),
    ("9.2", lambda a, b, s: by_shell((a * b).real, s)
        / np.sqrt(by_shell(abs(a) ** 2, s) * by_shell(abs(b) ** 2, s)), "conjugate is missing"),
    ("9.2", lambda a, b, s: by_shell((a * b.conj()).real, s) / by_shell(abs(a) ** 2, s) / by_shell(abs(b) ** 2, s),
     "root is missing"),
    ("9.2", lambda a, b, s: by_shell(abs(a * b), s) / np.sqrt(by_shell(abs(a) ** 2, s) * by_shell(abs(b) ** 2, s)),
     "nothing can cancel"),
    ("9.2", lambda a, b, s: by_shell(np.cos(np.angle(a) - np.angle(b)), s) / count(s), "cosine"),
    ("9.2", lambda a, b, s: by_shell((a * b.conj()).real, s) / by_shell(abs(a) ** 2, s), "one map only"),
    ("9.2", lambda a, b, s: by_shell(a * b.conj(), s) / np.sqrt(by_shell(abs(a) ** 2, s) * by_shell(abs(b) ** 2, s)),
     ".real"),
    ("9.2", lambda a, b, s: count(s), "not the FSC"),
    ("9.2", lambda a, b, s: np.corrcoef(abs(a).ravel(), abs(b).ravel())[0, 1], "shape"),
    ("9.2", lambda a, b, s: list(by_shell(a * b.conj(), s) / by_shell(abs(a) ** 2, s)), "complex"),
    ("9.2", lambda a, b, s: by_shell((a * b.conj()).real, s) / by_shell(abs(b) ** 2, s), "one map only"),
    ("9.2", lambda a, b, s: by_shell((a * b.conj()).real, s) / by_shell(abs(a * b), s), "its own sum"),
    ("9.2", lambda a, b, s: by_shell((a * b.conj()).real, s) / np.sqrt(by_shell(abs(a), s) * by_shell(abs(b), s)),
     "squares are missing"),
    ("9.2", lambda a, b, s: whole_shells(a, b, s)[0] ** 2 / np.prod(whole_shells(a, b, s)[1:], axis=0), "square of"),
    ("9.2", lambda a, b, s: whole_shells(a, b, s)[0], "Nothing is divided"),
    ("9.2", lambda a, b, s: whole_shells(a, b, s)[0] / np.sqrt(whole_shells(a, b, s)[1:]).sum(0), "sum of their roots"),
    ("9.2", lambda a, b, s: by_shell((a * b.conj()).imag, s) / np.sqrt(np.prod(whole_shells(a, b, s)[1:], axis=0)),
     "imaginary part"),
    ("9.2", lambda a, b, s: whole_shells(a.real + 0j, b.real, s)[0]
        / np.sqrt(np.prod(whole_shells(a.real, b.real, s)[1:], axis=0)), "real parts alone"),
    ("9.2", lambda a, b, s: whole_shells(a, b, s)[0][1:], "shape (6,)"),
    ("9.3", lambda c, n, t: n / first_below(c, t), "first shell below"),
    ("9.3", last_crossing, "recovers"),
    ("9.3", lambda c, n, t: first_below(c, t) - 1, "number of the shell"),
    ("9.3", lambda c, n, t: (first_below(c, t) - 1) / n, "spatial frequency"),
    ("9.3", number_beyond, "gives a number"),
    ("9.3", nothing_beyond, "gives nothing back"),
    ("9.3", crossing_only, "StopIteration"),
    ("9.3", lambda c, n, t: 17.0, "go one back"),
    ("9.3", to_words(lambda k, n: n / (k + 1)), "one shell on"),
    ("9.3", to_words(lambda k, n: n / (k - 2)), "two shells back"),
    ("9.3", to_words(lambda k, n: n * (k - 1)), "multiply by the shell"),
    ("9.3", to_words(lambda k, n: f"{n / (k - 1):.1f} Å"), "without its unit"),
    ("9.3", to_words(lambda k, n: (k, n / (k - 1))), "One number"),
    ("9.3", to_words(lambda k, n: print(n / (k - 1))), "None"),
    ("9.3", lambda c, n, t: n / np.abs(c - t).argmin(), "nearest to the threshold"),
    ("9.3", lambda c, n, t: n / np.sum(c >= t), "count the shells"),
    ("9.3", lambda c, n, t: crossing_only(c, n, 0.143), "threshold of your own"),
    ("9.3", lambda c, n, t: "at or beyond Nyquist", "falls below 0.143"),
    ("9.3", lambda c, n, t: crossing_only(c, n, t) if min(c) < t else np.nan, "gives a number"),
    ("9.3", lambda c, n, t: crossing_only(c, n, t) if min(c) < t else ["at or beyond Nyquist"], "the words alone"),
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
    ("9.4", lambda x, c, s, t, f: (c * x / s).mean(0) / ((c * c / s).mean(0) + 1 / (f * t)), "means over the images"),
    ("9.4", lambda x, c, s, t, f: (c * x / s).mean(0) / ((c * c / s).sum(0) + 1 / (f * t)), "Both are sums"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, s, 1 / f * t), "Brackets"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, s, 1 / (f * t)).real, "a complex number in each place"),
    ("9.4", lambda x, c, s, t, f: abs(quotient(x, c, s, 1 / (f * t))), "a complex number in each place"),
    ("9.4", lambda x, c, s, t, f: np.fft.ifftn(quotient(x, c, s, 1 / (f * t))), "no ifftn"),
    ("9.4", lambda x, c, s, t, f: quotient(x.conj(), c, s, 1 / (f * t)), "conjugate of X"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, 2 * s, 1 / (f * t)), "factor of 2"),
    ("9.4", lambda x, c, s, t, f: quotient(x, c, s * s, 1 / (f * t)), "σ⁴"),
    ("9.4", lambda x, c, s, t, f: (c * x).sum(0) / ((c * c / s).sum(0) + 1 / (f * t)), "noise σ² is missing"),
    ("9.4", lambda x, c, s, t, f: (abs(c) * x / s).sum(0) / ((c * c / s).sum(0) + 1 / (f * t)), "keeps its sign"),
    ("9.4", lambda x, c, s, t, f: (c * x / s).sum(0) / (c * c / s).sum(0) + 1 / (f * t), "only there"),
    ("9.4", lambda x, c, s, t, f: sum(quotient(x[[i]], c[[i]], s, 1 / (f * t)) for i in range(3)), "filter each"),
    ("9.4", lambda x, c, s, t, f: (c * x / s).sum() / ((c * c / s).sum() + 1 / (f * t)), "over everything"),
    ("9.5", lambda f, s: by_shell(abs(f) ** 2, s) / count(s), "½ is missing"),
    ("9.5", lambda f, s: by_shell(abs(f) ** 2, s) / 2, "add up over the shell"),
    ("9.5", lambda f, s: by_shell(abs(f), s) / count(s) / 2, "modulus"),
    ("9.5", lambda f, s: (by_shell(abs(f), s) / count(s)) ** 2 / 2, "square after"),
    ("9.5", lambda f, s: np.sqrt(by_shell(abs(f) ** 2, s) / count(s) / 2), "the root"),
    ("9.5", lambda f, s: by_shell(abs(f) ** 2, s) / 2 / s.size, "all components"),
    ("9.5", lambda f, s: by_shell(f.real**2, s) / count(s), "part alone"),
    ("9.5", lambda f, s: count(s), "not τ²"),
    ("9.5", lambda f, s: by_shell(f**2, s) / count(s) / 2, "complex"),
    ("9.5", lambda f, s: by_shell((f**2).real, s) / count(s) / 2, "V² is not |V|²"),
    ("9.5", lambda f, s: by_shell(f.imag**2, s) / count(s) / 2, "imaginary part alone"),
    ("9.5", lambda f, s: 2 * by_shell(abs(f) ** 2, s) / count(s), "½, once"),
    ("9.5", lambda f, s: [f[s == k].var() / 2 for k in range(s.max() + 1)], "np.var"),
    ("9.5", lambda f, s: by_shell(abs(np.fft.fftn(f)) ** 2, s) / count(s) / 2, "no fftn"),
    ("9.5", lambda f, s: (by_shell(abs(f) ** 2, s) / count(s) / 2)[s], "shape (8, 8)"),
    ("9.6", lambda f: (1 - f) / f, "upside down"),
    ("9.6", lambda f: 2 * f / (1 - f), "all the data"),
    ("9.6", lambda f: f / (1 + f), "wrong way"),
    ("9.6", lambda f: f**2 / (1 - f**2), "against the truth"),
    ("9.6", lambda f: f / (1 - f), "np.clip"),
    ("9.6", lambda f: np.minimum(f, 0.999) / (1 - np.minimum(f, 0.999)), "negative SSNR"),
    ("9.6", lambda f: 1 - f, "solved for the SSNR"),
    ("9.6", clipped(0, 0.999), "lower limit be 0.001"),
    ("9.6", clipped(0, 1), "infinite value"),
    ("9.6", clipped(0.01, 0.999), "limits are others"),
    ("9.6", clipped(0.001, 0.99), "limits are others"),
    ("9.6", clipped(0.999, 0.001), "exchanged"),
    ("9.6", clipped_in_place, "changes the arrays"),
    ("9.6", lambda f: clipped(0.001, 0.999)(abs(f)), "np.abs makes agreement"),
    ("9.6", lambda f: np.clip(f / (1 - f), 0.001, 0.999), "clip first"),
    ("9.6", lambda f: np.sqrt(clipped(0.001, 0.999)(f)), "no root"),
    ("9.6", lambda f: 1 / (1 - f), "1 + SSNR"),
    ("9.6", lambda f: f / (f - 1), "sign is wrong"),
    ("9.6", lambda f: f / (2 - 2 * f), "half of it"),
    ("9.6", lambda f: f, "FSC itself"),
    ("9.6", lambda f: clipped(0.001, 0.999)(f[(f > 0) & (f < 1)]), "not at 1"),
]
