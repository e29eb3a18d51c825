"""The exercises of lesson 9, regularised likelihood.

Transforms are whole ones (numpy.fft.fftn), so that no component stands for another; ``shell`` holds the shell number
of each component, in the same order. σ² and τ² are variances of one real component, as in the lecture.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import (
    Exercise,
    Wrong,
    call_for_array,
    complex_array,
    first_match,
    real_array,
    same,
    whichever,
)
from cryoedu.course.lesson09_fsc import (
    angstroms,
    fsc,
    judge_fsc,
    judge_resolution,
    judge_ssnr,
    resolution,
    ssnr,
    transforms,
)

Array = NDArray[Any]


# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

def shrunken(x: Array, sigma: float, tau: float) -> Array:
    """(R,): the best estimate of each number from its N measurements x (R, N), known to spread by τ around 0."""
    ssnr = tau**2 / (sigma**2 / x.shape[1])
    return np.asarray(x.mean(axis=1) * ssnr / (1 + ssnr))


def wiener(images: Array, ctfs: Array, sigma2: Array, tau2: Array, T: float) -> Array:
    """The map's transform from those of N images at known poses, by the Wiener filter; T weakens the prior."""
    numerator = np.sum(ctfs * images / sigma2, axis=0)
    denominator = np.sum(ctfs**2 / sigma2, axis=0)
    return np.asarray(numerator / (denominator + 1 / (T * tau2)))


def signal_power(f: Array, shell: Array) -> Array:
    """τ² of each shell: half the mean of |V|²."""
    return np.asarray(0.5 * np.bincount(shell.ravel(), (np.abs(f) ** 2).ravel()) / np.bincount(shell.ravel()))


# ---- the judges -------------------------------------------------------------------------------------------------

def judge_shrunken(answer: Any) -> str | None:
    """9.1: the mean, pulled towards 0."""
    rng = np.random.default_rng(911)
    for _ in range(2):
        x, sigma, tau = rng.normal(size=(5, 3)) + 1, float(rng.uniform(1.2, 2)), float(rng.uniform(0.5, 0.9))
        right, mean, ratio = shrunken(x, sigma, tau), x.mean(axis=1), tau**2 / sigma**2
        value = call_for_array(answer, right.shape, x, sigma, tau)
        if not same(value, right):
            return first_match(value, {
                "That is the plain mean, the ML estimate. Multiply it by SSNR/(1 + SSNR).": mean,
                "That is the sum of the measurements, not their mean.": right * 3,
                "You took the noise of one measurement. The mean of N has the variance σ²/N, so the SSNR is N times "
                "larger.": mean * ratio / (1 + ratio),
                "You multiply by the SSNR. The factor is SSNR/(1 + SSNR), which lies between 0 and 1.":
                    whichever(value, mean * 3 * ratio, mean * (1 + 3 * ratio)),
                "That factor is the share of the noise, 1/(1 + SSNR). The signal's share is SSNR/(1 + SSNR).":
                    mean / (1 + 3 * ratio),
                "That factor is upside down, (1 + SSNR)/SSNR. It lies between 0 and 1: SSNR/(1 + SSNR).":
                    mean * (1 + 3 * ratio) / (3 * ratio),
                "σ and τ are standard deviations: the SSNR is the ratio of the variances, τ² and σ²/N.":
                    whichever(value, *(mean * tau / (tau + sigma / n) for n in (3, math.sqrt(3), 1))),
                "The variance of a mean of N is σ²/N. You divided by √N: that is right for σ, not for σ².":
                    mean * tau**2 / (tau**2 + sigma**2 / math.sqrt(3)),
                "The variance of a mean of N is σ²/N. You divided by N²: that is right for σ/N, and the mean has σ/√N.":
                    mean * tau**2 / (tau**2 + sigma**2 / 9),
                "The noise of a mean gets smaller with N, σ²/N. You multiply it by N.":
                    mean * tau**2 / (tau**2 + 3 * sigma**2),
                "N is the number of measurements, x.shape[1]. len(x) is R, how many numbers there are; x.size is R·N.":
                    whichever(value, *(mean * tau**2 / (tau**2 + sigma**2 / n) for n in (5, 15))),
                "You take the spread of these few measurements for the noise. σ is known: use it.": whichever(
                    value, *(mean * tau**2 / (tau**2 + x.var(axis=1, ddof=d) / 3) for d in (0, 1))),
                "The factor is there twice. Multiply the mean by SSNR/(1 + SSNR) once.": right**2 / mean,
                "You divide by N once more: x.mean is the mean already.": right / 3,
            }) or "That is not it. Take the mean of each row, then multiply it by SSNR/(1 + SSNR), SSNR = τ²/(σ²/N)."
    return None


def wiener_data(seed: int) -> tuple[Array, Array, Array, Array, float]:
    """Three small noisy transforms with their CTFs, σ² and τ² of every component, T."""
    rng = np.random.default_rng(seed)
    f = np.fft.fftn(rng.normal(size=(6, 6)))
    ctfs = rng.uniform(-1, 1, (3, 6, 6))
    sigma2, tau2 = rng.uniform(2, 5, (6, 6)), rng.uniform(1, 4, (6, 6))
    images = ctfs * f + np.fft.fftn(rng.normal(size=(3, 6, 6)), axes=(1, 2))
    return images, ctfs, sigma2, tau2, float(rng.uniform(2, 4))


def judge_wiener(answer: Any) -> str | None:
    """9.4: numerator, denominator, prior."""
    for seed in (941, 942):
        x, c, s2, t2, fudge = data = wiener_data(seed)
        right = wiener(*data)
        try:
            value = call_for_array(answer, right.shape, *data, complex_too=True)
        except Wrong as wrong:
            hint = " Both sums run over the images, axis 0." if "of shape" in str(wrong) else ""
            raise Wrong(f"{wrong}{hint}") from None
        if not same(value, right):
            top, below, prior = np.sum(c * x / s2, axis=0), np.sum(c**2 / s2, axis=0), 1 / (fudge * t2)
            return first_match(value, {
                "The prior is missing: 1/(T τ²) belongs into the denominator. This is the ML map.": top / below,
                "T is missing: the prior is 1/(T τ²).": top / (below + 1 / t2),
                "T is on the wrong side: a large T must weaken the prior, 1/(T τ²), not T/τ².":
                    top / (below + fudge / t2),
                "1 / T * tau2 is (1/T) · τ² for Python. Brackets: 1 / (T * tau2).": top / (below + t2 / fudge),
                "You add T τ². A strong signal asks for a weak prior, so the power stands below the line: 1/(T τ²).":
                    top / (below + fudge * t2),
                "The noise σ² is missing, above the line or below. Without it the prior has nothing to be weighed "
                "against: both sums are divided by σ².": whichever(
                    value, *(p / (q + prior) for p in (top, top * s2) for q in (below * s2, below))),
                "You divide by σ or by σ⁴. The exponent of the Gaussian has σ², so both sums are divided by σ².":
                    whichever(value, *(top * s2 / s2**k / (below * s2 / s2**k + prior) for k in (0.5, 2))),
                "The prior has τ or τ⁴ below the line; tau2 is τ² already, a power.":
                    whichever(value, *(top / (below + 1 / (fudge * t2**k)) for k in (0.5, 2))),
                "There is a factor of 2 too many. The twos of 2σ² and of 2τ² have cancelled.":
                    whichever(value, *(top / (below + prior * k) for k in (2, 0.5))),
                "The CTF is missing above the line. It undoes the sign of the CTF, and gives weak components a small "
                "weight.": np.sum(x / s2, axis=0) / (below + 1 / (fudge * t2)),
                "The CTF above the line keeps its sign and stands once: CTF · X. With |CTF| or CTF² nothing is turned "
                "back, or weak components become weaker still.": whichever(
                    value, *(np.sum(w * x / s2, axis=0) / (below + prior) for w in (np.abs(c), c**2))),
                "The CTF in the denominator must be squared. Otherwise positive and negative values cancel.":
                    top / (np.sum(c / s2, axis=0) + prior),
                "The prior counts N times here. Either it stands inside the sum over the images: it is known once, so "
                "add it after the sum. Or you take means over the images where sums are due: a mean is N times "
                "smaller, and the prior is not.": top / (below + len(x) * prior),
                "One of the two is a mean over the images. Both are sums.":
                    whichever(value, top / len(x) / (below + prior), top / (below / len(x) + prior)),
                "You add up over everything. Each place in Fourier space has its own sums, over the images (axis 0).":
                    top.sum() / (below.sum() + prior),
                "The prior belongs below the line, and only there.":
                    whichever(value, top / below + prior, (top + prior) / (below + prior)),
                "You filter each image and average or add up the results. Sum the numerators, sum the denominators, "
                "divide once.": whichever(value, *(np.sum(c * x / s2 / (c**2 / s2 + prior), axis=0) / k
                                                   for k in (len(x), 1))),
                "V is the transform of a map, a complex number in each place. You return its real part or its modulus.":
                    whichever(value, right.real, np.abs(right)),
                "That is the map itself. Asked for is its transform, as X is one: no ifftn.": whichever(
                    value, np.fft.ifftn(right), np.fft.ifftn(right).real),
                "You take the conjugate of X. The CTF is real, so X enters as it is.": right.conj(),
            }) or ("That is not the Wiener filter. numerator = Σ CTF·X/σ², denominator = Σ CTF²/σ² (both over axis 0), "
                   "V = numerator / (denominator + 1/(T τ²)).")
    return None


def judge_power(answer: Any) -> str | None:
    """9.5: τ² of each shell."""
    for seed, ndim in ((951, 2), (952, 3)):
        f, _, shell = transforms(seed, ndim)
        right, count = signal_power(f, shell), np.bincount(shell.ravel())

        def total(values: Array, shell: Array = shell) -> Array:
            return np.bincount(shell.ravel(), np.asarray(values).ravel())

        value = call_for_array(answer, right.shape, f, shell)
        if not same(value, right):
            return first_match(value, {
                "The factor ½ is missing. |V|² adds up the power of a real and an imaginary part, and τ² is that of "
                "one of them, as σ² is.": 2 * right,
                "You add up over the shell. The mean is asked for: divide by the number of components in the shell.":
                    right * count,
                "You add up |V|² over the shell. The mean is asked for, and half of it.": 2 * right * count,
                "That is half of the mean modulus |V|. The power is its square, |V|².": 0.5 * total(np.abs(f)) / count,
                "You square after you average. The power is the mean of the squares.":
                    0.5 * (total(np.abs(f)) / count) ** 2,
                "You average V itself and square then. Its phases cancel that way; average |V|².":
                    0.5 * (total(f.real) ** 2 + total(f.imag) ** 2) / count**2,
                "You use the real or the imaginary part alone. Half of the data is thrown away: ½ |V|² has both.":
                    whichever(value, *(k * total(part**2) / count for part in (f.real, f.imag) for k in (1, 0.5))),
                "V² is not |V|²: a complex number squared keeps a phase. Use np.abs(V)**2.": whichever(
                    value, 0.5 * total((f**2).real) / count,
                    0.5 * np.hypot(total((f**2).real), total((f**2).imag)) / count),
                "You take off the mean of the shell before you square (np.var). All of |V|² is asked for.": np.array(
                    [0.5 * np.var(f[shell == k]) for k in range(len(right))]),
                "That is twice the right number or half of it: ½, once.": whichever(value, 4 * right, right / 2),
                "V is a transform already: no fftn.": 0.5 * total(np.abs(np.fft.fftn(f)) ** 2) / count,
                "That is the root, τ. Asked for is τ².": whichever(value, np.sqrt(right), np.sqrt(right / 2)),
                "You divide ½ Σ|V|² by the number of all components. Each shell has a number of its own: "
                "np.bincount(shell.ravel()).": right * count / count.sum(),
            }) or "That is not τ². For each shell: half of the mean of np.abs(V)**2."
    return None


EXERCISES = (
    Exercise("9.1", "Write the shrunken mean of a number.", judge_shrunken,
             "You gave up a little truth (the mean is pulled towards 0) and got rid of more noise. All of this lesson "
             "is this line, once for each Fourier component.",
             ("The mean of N measurements has a variance of its own: σ²/N.",
              "SSNR = τ² / (σ²/N), and the factor is SSNR/(1 + SSNR).",
              "ssnr = tau**2 / (sigma**2 / x.shape[1]); return x.mean(axis=1) * ssnr / (1 + ssnr)"), shrunken,
             real_array),
    Exercise("9.2", "Write the Fourier shell correlation of two maps.", judge_fsc,
             "It compares shell by shell, and it does not care on what scale the maps are. It only knows whether the "
             "two agree, not whether they are right.",
             ("You need three sums for each shell: of Re(A·B*), of |A|² and of |B|².",
              "np.bincount(shell.ravel(), values.ravel()) adds up values by shell.",
              "cross = np.bincount(shell.ravel(), (A * np.conj(B)).real.ravel()); the powers likewise; "
              "return cross / np.sqrt(power_A * power_B)"), fsc, real_array),
    Exercise("9.3", "Read the resolution off a curve.", judge_resolution,
             "And where the curve does not cross, you said so instead of making up a number.",
             ("np.flatnonzero(curve < threshold) lists the shells below the threshold, in order.",
              "The last shell above is below[0] − 1; its resolution is length / shell.",
              'below = np.flatnonzero(curve < threshold); return length / (below[0] - 1) if len(below) else '
              '"at or beyond Nyquist"'), resolution, angstroms),
    Exercise("9.4", "Write the Wiener filter.", judge_wiener,
             "Two sums and one division: CTF correction, averaging and filtering at the same time.",
             ("Both sums run over the images: axis=0.",
              "numerator = np.sum(C * X / sigma2, axis=0)",
              "denominator = np.sum(C**2 / sigma2, axis=0); the prior 1 / (T * tau2) is added to it once."), wiener,
             complex_array),
    Exercise("9.5", "Write τ²: the power of the signal on each shell.", judge_power,
             "This is the second line of the lecture's expectation maximisation.",
             ("np.bincount(shell.ravel()) counts the components of each shell.",
              "np.bincount(shell.ravel(), (np.abs(V)**2).ravel()) adds up their powers.",
              "Divide the two, and take half: τ² is the power of one real component."), signal_power,
             real_array),
    Exercise("9.6", "Write the SSNR from the FSC of two halves.", judge_ssnr,
             "No truth was needed for this: two halves that know nothing of each other are enough.",
             ("Start from FSC = SSNR/(1 + SSNR) and solve for the SSNR.",
              "SSNR = FSC/(1 − FSC). What happens at FSC = 1, and below 0?",
              "F = np.clip(fsc, 0.001, 0.999); return F / (1 - F)"), ssnr, real_array),
)
