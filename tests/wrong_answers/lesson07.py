"""Lesson 7: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import numpy as np
from numpy.fft import fft, fft2, fftfreq, fftshift, ifft, ifft2


def radius(image, pixel_size):
    f = fftfreq(len(image), pixel_size)
    return np.sqrt(f[:, None] ** 2 + f[None, :] ** 2)


def cut(image, keep):
    return ifft2(fft2(image) * keep).real


def square(image, resolution, pixel_size):
    f = np.abs(fftfreq(len(image), pixel_size))
    return cut(image, np.maximum(f[:, None], f[None, :]) <= 1 / resolution)


def ramp(image, x, y, factor=-2j * np.pi):
    k = fftfreq(len(image))
    return ifft2(fft2(image) * np.exp(factor * (k[None, :] * x + k[:, None] * y))).real


def microscope(u, df, lam, cs, q0, b, *, cs_sign=-1, cs_unit=1e7, two=1, quarter=4):
    gamma = two * np.pi * lam * df * u**2 + cs_sign * np.pi / 2 * cs * cs_unit * lam**3 * u**4 + np.arcsin(q0)
    return np.sin(gamma) * np.exp(-b * u**2 / quarter)


WRONG = [
    ("7.1", 20 / 256, "spatial frequency"),
    ("7.1", 3.2, "in pixels"),
    ("7.1", 25.6, "factor 2"),
    ("7.1", 6.4, "Half of it"),
    ("7.1", 8.0, "Nyquist"),
    ("7.1", 80.0, "multiplied"),
    ("7.1", 256, "shell 1"),
    ("7.1", 42, "not it"),
    ("7.1", "three", "One number"),
    ("7.2", lambda x, r, p: cut(x, radius(x, p) <= r), "Nothing has changed"),
    ("7.2", lambda x, r, p: cut(x, radius(x, p) >= 1 / r), "high-pass"),
    ("7.2", square, "square"),
    ("7.2", lambda x, r, p: cut(x, radius(x, p) <= 1 / (2 * r)), "twice the spacing"),
    ("7.2", lambda x, r, p: cut(x, radius(x, p) <= 2 / r), "half the spacing"),
    ("7.2", lambda x, r, p: cut(x, radius(x, p) >= r), "Everything is gone"),
    ("7.2", lambda x, r, p: cut(x, radius(x, p) <= 1 / (r * p)), "pixel size is missing"),
    ("7.2", lambda x, r, p: ifft2(fftshift(fft2(x)) * (radius(x, p) <= 1 / r)).real, "same order"),
    ("7.2", lambda x, r, p: fft2(x) * (radius(x, p) <= 1 / r), "complex numbers"),
    ("7.2", lambda x, r, p: x + 1, "not the filter"),
    ("7.3", lambda im, x, y: ramp(im, x, y, 2j * np.pi), "other way"),
    ("7.3", lambda im, x, y: ramp(im, y, x), "exchanged"),
    ("7.3", lambda im, x, y: ramp(im, x, y, -1j), "2π is missing"),
    ("7.3", lambda im, x, y: ramp(im, x, y, -2 * np.pi), "i is missing"),
    ("7.3", lambda im, x, y: ramp(im, x, y, -2j * np.pi / len(im)), "once too often"),
    ("7.3", lambda im, x, y: np.roll(np.roll(im, round(x), 1), round(y), 0), "whole pixels"),
    ("7.3", lambda im, x, y: ramp(im, x, 0 * y), "Only x"),
    ("7.3", lambda im, x, y: im * 1.0, "Nothing has moved"),
    ("7.3", lambda im, x, y: fft2(im), "complex numbers"),
    ("7.3", lambda im, x, y: im[::-1], "not the moved image"),
    ("7.4", lambda f: ifft2(f).real.sum(1), "along x"),
    ("7.4", lambda f: ifft(f[len(f) // 2]).real, "n // 2"),
    ("7.4", lambda f: ifft2(f).real[0], "one row of the image"),
    ("7.4", lambda f: fft(f[0]).real, "second time"),
    ("7.4", lambda f: ifft2(f).real.mean(0), "mean of each column"),
    ("7.4", lambda f: ifft(f[0]).real * len(f), "factor n"),
    ("7.4", lambda f: ifft(abs(f[0])).real, "dropped the phases"),
    ("7.4", lambda f: f[0], "complex numbers"),
    ("7.4", lambda f: f[0].real, "still in Fourier space"),
    ("7.4", lambda f: f.real, "shape"),
    ("7.4", lambda f: np.ones(len(f)), "Which row"),
    ("7.5", lambda *a: -microscope(*a), "sign is wrong throughout"),
    ("7.5", lambda *a: microscope(*a, cs_sign=1), "sign of the Cs term"),
    ("7.5", lambda u, df, lam, cs, q0, b: microscope(u, df, lam, cs, 0.0, b), "amplitude contrast is missing"),
    ("7.5", lambda u, df, lam, cs, q0, b: microscope(u, df, lam, cs, np.sin(q0), b), "q0 itself"),
    ("7.5", lambda *a: microscope(*a, cs_unit=1), "cs comes in mm"),
    ("7.5", lambda *a: microscope(*a, two=2), "factor 2"),
    ("7.5", lambda *a: microscope(*a, quarter=1), "Without the 4"),
    ("7.5", lambda *a: microscope(*a, quarter=2), "not /2"),
    ("7.5", lambda u, df, lam, cs, q0, b: microscope(u, df, lam, cs, q0, 0.0), "envelope is missing"),
    ("7.5", lambda *a: microscope(*a) ** 2, "square"),
    ("7.5", lambda u, df, lam, cs, q0, b: microscope(u, df / 1e4, lam, cs, q0, b), "not the CTF"),
    ("7.6", lambda x, c: ifft2(fft2(x) * c).real, "CTF itself"),
    ("7.6", lambda x, c: ifft2(fft2(x) / c).real, "divided"),
    ("7.6", lambda x, c: -ifft2(fft2(x) * np.where(c < 0, -1, 1)).real, "wrong way round"),
    ("7.6", lambda x, c: x * np.sign(c), "pixels"),
    ("7.6", lambda x, c: ifft2(abs(fft2(x))).real, "lost every phase"),
    ("7.6", lambda x, c: ifft2(fft2(x) * abs(c)).real, "turns no sign"),
    ("7.6", lambda x, c: ifft2(fft2(x) * (c > 0)).real, "dropped the waves"),
    ("7.6", lambda x, c: ifft2(fft2(x) * np.sign(fftshift(c))).real, "order of fft2"),
    ("7.6", lambda x, c: ifft2(fft2(x) * np.sign(c)), "complex numbers"),
    ("7.6", lambda x, c: x * 1.0, "Nothing has changed"),
    ("7.6", lambda x, c: np.zeros_like(x), "not it"),
    ("7.1", None, "None"),
    ("7.1", 12.8 + 0j, "complex"),
    ("7.1", 64 / 20, "in pixels"),
    ("7.2", lambda x, r, p: cut(x, (radius(x, p) <= 1 / r) & (radius(x, p) > 0)), "dropped the mean"),
    ("7.2", lambda x, r, p: abs(ifft2(fft2(x) * (radius(x, p) <= 1 / r))), "absolute value"),
    ("7.2", lambda x, r, p: (fft2(x) * (radius(x, p) <= 1 / r)).real, "real parts"),
    ("7.2", lambda x, r, p: fft2(fft2(x) * (radius(x, p) <= 1 / r)).real, "wrong way"),
    ("7.2", lambda x, r, p: ifft2(radius(x, p) <= 1 / r).real, "mask itself"),
    ("7.2", lambda x, r, p: cut(x, radius(x, p)), "stronger"),
    ("7.2", lambda x, r, p: (radius(x, p) <= 1 / r) * x, "not the filter"),
    ("7.2", lambda x, r, p: fft2(x)[radius(x, p) <= 1 / r].real, "shape"),
    ("7.3", lambda im, x, y: ramp(im, 0 * x, y), "Only y"),
    ("7.3", lambda im, x, y: ramp(im, -x, y), "x has the wrong sign"),
    ("7.3", lambda im, x, y: ramp(im, x, -y), "y has the wrong sign"),
    ("7.3", lambda im, x, y: ramp(im, x, 0) + ramp(im, 0, y), "added the two ramps"),
    ("7.3", lambda im, x, y: abs(ramp(im, x, y)), "absolute value"),
    ("7.3", lambda im, x, y: ramp(im, x, y, -1j * np.pi), "not π"),
    ("7.3", lambda im, x, y: ramp(im, x, y) + 0j, "complex"),
    ("7.4", lambda f: ifft2(f).real.sum(axis=0), "added up its pixels"),
    ("7.4", lambda f: np.sum(np.real(ifft2(f)), 0), "added up its pixels"),
    ("7.4", lambda f: ifft2(f).mean(0).real * len(f), "added up its pixels"),
    ("7.4", lambda f: ifft(f[:, 0]).real, "along x"),
    ("7.4", lambda f: ifft(f[1]).real, "counts from 0"),
    ("7.4", lambda f: ifft(f.sum(0)).real, "Only one of them"),
    ("7.4", lambda f: abs(ifft(f[0])), "absolute value of the projection"),
    ("7.4", lambda f: ifft(f[0]), "complex"),
    ("7.4", lambda f: ifft(f[0]).real / len(f), "mean of each column"),
    ("7.5", lambda u, df, lam, cs, q0, b: -np.sin(np.pi * lam * df * u**2 - np.pi / 2 * cs * 1e7 * lam**3 * u**4
                                                  - np.arcsin(q0)) * np.exp(-b * u**2 / 4), "γ has the wrong sign"),
    ("7.5", lambda u, df, lam, cs, q0, b: microscope(u, df, lam, cs, q0, b) ** 3, "not the CTF"),
    ("7.5", lambda u, df, lam, cs, q0, b: microscope(u, -df, lam, cs, q0, b), "defocus term has the wrong sign"),
    ("7.5", lambda u, df, lam, cs, q0, b: microscope(u, df, lam, cs, q0, -b), "envelope rises"),
    ("7.5", lambda u, df, lam, cs, q0, b: microscope(u, df, lam, cs, q0, 0) * np.exp(-b * u / 4), "u², not u"),
    ("7.5", lambda u, df, lam, cs, q0, b: microscope(u, df, lam, cs, q0, 0) + np.exp(-b * u**2 / 4), "added it"),
    ("7.5", lambda u, df, lam, cs, q0, b: microscope(u, df / np.pi, lam, cs, q0, b), "π is missing"),
    ("7.5", lambda u, df, lam, cs, q0, b: microscope(u, df, lam, cs / lam**2, q0, b), "λ³"),
    ("7.5", lambda *a: microscope(*a).sum(), "shape"),
    ("7.5", lambda u, *a: [microscope(v, *a) for v in u.ravel()], "shape"),
    ("7.5", lambda *a: microscope(*a) + 0j, "complex"),
    ("7.6", lambda x, c: abs(ifft2(fft2(x) * np.sign(c))), "absolute value"),
    ("7.6", lambda x, c: ifft2(np.where(c < 0, np.conj(fft2(x)), fft2(x))).real, "conjugate"),
    ("7.6", lambda x, c: fft2(fft2(x) * np.sign(c)).real, "wrong way"),
    ("7.6", lambda x, c: (fft2(x) * np.sign(c)).real, "real parts"),
    ("7.6", lambda x, c: ifft2(fft2(x) * (c < 0)).real, "only the waves"),
    ("7.6", lambda x, c: ifft2(fft2(x) * np.sign(fft2(x).real)).real, "own real parts"),
]
