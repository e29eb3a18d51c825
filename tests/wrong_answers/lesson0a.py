"""The phase problem: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import numpy as np


def image(amplitudes, phases):
    """The definition as a sum of waves, without the fast transform."""
    n = len(amplitudes)
    k = np.arange(n)
    wave = np.exp(2j * np.pi * np.outer(k, k) / n)
    return (wave.T @ (amplitudes * np.exp(1j * phases)) @ wave).real / n**2


def phases(density):
    return np.angle(np.fft.fft2(density))


def obeys(fitted, support):
    return np.logical_and(support, fitted >= 0)


WRONG = [
    ("A.1", lambda a, p: np.fft.fft2(a * np.exp(1j * p)).real, "wrong way"),
    ("A.1", lambda a, p: image(a, -p), "sign of the phases"),
    ("A.1", lambda a, p: np.fft.ifft2(a * p).real, "amplitude times phase"),
    ("A.1", lambda a, p: np.fft.ifft2(a * np.exp(p)).real, "1j is missing"),
    ("A.1", lambda a, p: np.fft.ifft2(a).real, "amplitudes alone"),
    ("A.1", lambda a, p: image(np.ones_like(a), p), "phases alone"),
    ("A.1", lambda a, p: np.abs(np.fft.ifft2(a * np.exp(1j * p))), "absolute value"),
    ("A.1", lambda a, p: (a * np.exp(1j * p)).real, "still the waves"),
    ("A.1", lambda a, p: a * np.exp(1j * p), "complex"),
    ("A.1", lambda a, p: a + p, "not the image"),
    ("A.2", lambda d, m: np.fft.ifft2(m * np.fft.fft2(d)).real, "multiplied"),
    ("A.2", lambda d, m: d + 0, "nothing has changed"),
    ("A.2", lambda d, m: np.fft.ifft2(m).real, "all phases to 0"),
    ("A.2", lambda d, m: image(m, d), "density itself"),
    ("A.2", lambda d, m: image(m, -phases(d)), "180°"),
    ("A.2", lambda d, m: np.fft.fft2(m * np.exp(1j * phases(d))).real, "wrong way"),
    ("A.2", lambda d, m: (m * np.exp(1j * phases(d))).real, "These are the waves"),
    ("A.2", lambda d, m: m * np.exp(1j * phases(d)), "complex"),
    ("A.2", lambda d, m: m - d, "amplitudes `measured`"),
    ("A.3", lambda d, s: d * s, "negative values left"),
    ("A.3", lambda d, s: d.clip(0), "outside the support is still"),
    ("A.3", lambda d, s: d.clip(0) * ~s, "cleared the inside"),
    ("A.3", lambda d, s: abs(d) * s, "into positive"),
    ("A.3", lambda d, s: d.clip(None, 0) * s, "cleared the positive"),
    ("A.3", lambda d, s: s, "support itself"),
    ("A.3", lambda d, s: np.where(s, d.clip(0), d.min()), "smallest"),
    ("A.3", lambda d, s: d, "neither rule"),
    ("A.3", lambda d, s: d + s, "everywhere else"),
    ("A.4", lambda d, f, s, b=0.9: f * obeys(f, s), "error reduction"),
    ("A.4", lambda d, f, s, b=0.9: np.where(obeys(f, s), d, d - b * f), "take fitted"),
    ("A.4", lambda d, f, s, b=0.9: np.where(obeys(f, s), f, d + b * f), "sign"),
    ("A.4", lambda d, f, s, b=0.9: np.where(obeys(f, s), f, d - f), "β is missing"),
    ("A.4", lambda d, f, s, b=0.9: np.where(obeys(f, s), d - b * f, f), "exchanged"),
    ("A.4", lambda d, f, s, b=0.9: np.where(s, f, d - b * f), "negative values inside"),
    ("A.4", lambda d, f, s, b=0.9: np.where(f >= 0, f, d - b * f), "forgot the support"),
    ("A.4", lambda d, f, s, b=0.9: np.where(obeys(d, s), f, d - b * f), "signs of density"),
    ("A.4", lambda d, f, s, b=0.9: np.where(obeys(f, s), f, f - b * d), "begin with density"),
    ("A.4", lambda d, f, s, b=0.9: np.where(obeys(f, s), f, d - 0.9 * f), "ignore the β"),
    ("A.4", lambda d, f, s, b=0.9: d, "np.where"),
    ("A.1", lambda a, p: np.fft.ifft2(p * np.exp(1j * a)).real, "other order"),
    ("A.1", lambda a, p: np.fft.ifft2(a * np.cos(p)).real, "cosine"),
    ("A.1", lambda a, p: np.fft.ifft2(a * np.exp(1j * np.radians(p))).real, "radians already"),
    ("A.1", lambda a, p: np.fft.ifft2(np.fft.ifftshift(a * np.exp(1j * p))).real, "Leave out fftshift"),
    ("A.1", lambda a, p: np.fft.fftshift(np.fft.ifft2(a * np.exp(1j * p)).real), "where it is"),
    ("A.1", lambda a, p: np.fft.ifft2(a * np.exp(1j * p)).imag, "imaginary part"),
    ("A.1", lambda a, p: np.fft.ifft2(a * np.exp(1j * p)), "only rounding"),
    ("A.1", lambda a, p: np.fft.ifft2(a * np.exp(1j * p)).real[0], "shape"),
    ("A.2", lambda d, m: image(m, np.angle(d)), "angles of the pixels"),
    ("A.2", lambda d, m: image(np.abs(np.fft.fft2(d)) + m, phases(d)), "added amplitudes"),
    ("A.2", lambda d, m: image((np.abs(np.fft.fft2(d)) + m) / 2, phases(d)), "mean of old"),
    ("A.2", lambda d, m: abs(image(m, phases(d))), "absolute value"),
    ("A.2", lambda d, m: image(m, phases(d)).clip(0), "next exercise"),
    ("A.2", lambda d, m: image(abs(np.fft.fft2(m)), phases(d)), "amplitudes of waves"),
    ("A.2", lambda d, m: image(m, phases(d)) + 0j, "only rounding"),
    ("A.2", lambda d, m: (m, phases(d)), "shape"),
    ("A.3", lambda d, s: (d - d.min()) * s, "moved all values up"),
    ("A.3", lambda d, s: 1.0 * (s & (d > 0)), "to 1"),
    ("A.3", lambda d, s: d.clip(1) * s, "bound is 0"),
    ("A.3", lambda d, s: d[s].clip(0), "shape"),
    ("A.3", lambda d, s: np.where(s & (d > 0), d, np.nan), "NaN"),
    ("A.3", lambda d, s: d.clip(0) * s + 0j, "complex"),
    ("A.4", lambda d, f, s, b=0.9: np.where(obeys(f, s), f, d - b * f) + 0j, "complex"),
    ("A.4", lambda d, f, s: np.where(obeys(f, s), f, d - 0.9 * f), "TypeError"),
]
