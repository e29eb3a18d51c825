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
    NotDone,
    Wrong,
    call,
    call_for_array,
    first_match,
    given_number,
    same,
)

Array = NDArray[Any]
LEAST_FSC, MOST_FSC = 0.001, 0.999
BEYOND = "at or beyond Nyquist"


# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

def shrunken(x: Array, sigma: float, tau: float) -> Array:
    """(R,): the best estimate of each number from its N measurements x (R, N), known to spread by τ around 0."""
    ssnr = tau**2 / (sigma**2 / x.shape[1])
    return np.asarray(x.mean(axis=1) * ssnr / (1 + ssnr))


def fsc(a: Array, b: Array, shell: Array) -> Array:
    """Fourier shell correlation of two whole transforms: one number for each shell, from 0 to the largest."""
    cross = np.bincount(shell.ravel(), (a * np.conj(b)).real.ravel())
    power_a, power_b = (np.bincount(shell.ravel(), (np.abs(f) ** 2).ravel()) for f in (a, b))
    return np.asarray(cross / np.sqrt(power_a * power_b))


def resolution(curve: Array, length: float, threshold: float) -> float | str:
    """Å of the last shell before ``curve`` first falls below the threshold; words if it never does.

    curve: one correlation for each shell, 0 first.  length: side of the box, Å.
    """
    below = np.flatnonzero(np.asarray(curve) < threshold)
    return length / max(int(below[0]) - 1, 1) if len(below) else BEYOND


def wiener(images: Array, ctfs: Array, sigma2: Array, tau2: Array, T: float) -> Array:
    """The map's transform from those of N images at known poses, by the Wiener filter; T weakens the prior."""
    numerator = np.sum(ctfs * images / sigma2, axis=0)
    denominator = np.sum(ctfs**2 / sigma2, axis=0)
    return np.asarray(numerator / (denominator + 1 / (T * tau2)))


def signal_power(f: Array, shell: Array) -> Array:
    """τ² of each shell: half the mean of |V|²."""
    return np.asarray(0.5 * np.bincount(shell.ravel(), (np.abs(f) ** 2).ravel()) / np.bincount(shell.ravel()))


def ssnr(curve: Array) -> Array:
    """Spectral signal-to-noise ratio of a half's map, from the FSC of the two halves."""
    kept = np.clip(curve, LEAST_FSC, MOST_FSC)
    return np.asarray(kept / (1 - kept))


# ---- the judges -------------------------------------------------------------------------------------------------

def real_array(answer: Any, shape: tuple[int, ...], *inputs: Array | float) -> Array:
    """As `call_for_array`, but tells a learner who returns complex numbers so."""
    def real(*arguments: Any) -> Any:
        result = answer(*arguments)
        if isinstance(result, np.ndarray | np.generic) and np.iscomplexobj(result):
            raise TypeError("the result is complex, but a real number is asked for in each place: take .real")
        return result

    return call_for_array(real if callable(answer) else answer, shape, *inputs)


def complex_array(answer: Any, shape: tuple[int, ...], *inputs: Array | float) -> Array:
    """What the learner's function returns, as complex numbers of this shape, all finite."""
    result = call(answer, *inputs)
    try:
        array = np.asarray(result, dtype=complex)
    except (TypeError, ValueError):
        raise Wrong("Your function does not return an array of numbers.") from None
    if array.shape != shape:
        raise Wrong(f"Your function returns an array of shape {array.shape}, but {shape} is asked for: one component "
                    "of the map for each place in Fourier space, summed over the images (axis 0).")
    if not np.isfinite(array).all():
        raise Wrong("Your function returns infinite values or NaN for ordinary data.")
    return array


def first_complex(answer: Array, mistakes: dict[str, Array]) -> str | None:
    """The explanation of the first typical wrong answer (complex) that equals ``answer``, or None."""
    return first_match(np.stack([answer.real, answer.imag]),
                       {why: np.stack([np.asarray(v).real, np.asarray(v).imag]) for why, v in mistakes.items()})


def judge_shrunken(answer: Any) -> str | None:
    """9.1: the mean, pulled towards 0."""
    rng = np.random.default_rng(911)
    for _ in range(2):
        x, sigma, tau = rng.normal(size=(5, 3)) + 1, float(rng.uniform(1.2, 2)), float(rng.uniform(0.5, 0.9))
        right, mean, ratio = shrunken(x, sigma, tau), x.mean(axis=1), tau**2 / sigma**2
        value = real_array(answer, right.shape, x, sigma, tau)
        if not same(value, right):
            return first_match(value, {
                "That is the plain mean, the ML estimate. Multiply it by SSNR/(1 + SSNR).": mean,
                "You took the noise of one measurement. The mean of N has the variance σ²/N, so the SSNR is N times "
                "larger.": mean * ratio / (1 + ratio),
                "You multiply by the SSNR. The factor is SSNR/(1 + SSNR), which lies between 0 and 1.":
                    mean * 3 * ratio,
                "That factor is the share of the noise, 1/(1 + SSNR). The signal's share is SSNR/(1 + SSNR).":
                    mean / (1 + 3 * ratio),
                "σ and τ are standard deviations: the SSNR is the ratio of the variances, τ² and σ²/N.":
                    mean * tau / (tau + sigma / 3),
                "The variance of a mean of N is σ²/N. You divided by √N: that is right for σ, not for σ².":
                    mean * tau**2 / (tau**2 + sigma**2 / math.sqrt(3)),
                "You divide by N once more: x.mean is the mean already.": right / 3,
            }) or "That is not it. Take the mean of each row, then multiply it by SSNR/(1 + SSNR), SSNR = τ²/(σ²/N)."
    return None


def transforms(seed: int, ndim: int = 2, box: int = 8) -> tuple[Array, Array, Array]:
    """Two related transforms and the shell of each component."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(box,) * ndim)
    a, b = (np.fft.fftn(common + rng.uniform(0.5, 1) * rng.normal(size=common.shape)) for _ in range(2))
    k = np.meshgrid(*[np.fft.fftfreq(box, 1 / box)] * ndim, indexing="ij")
    return a, b, np.rint(np.sqrt(sum(x**2 for x in k))).astype(int)


def judge_fsc(answer: Any) -> str | None:
    """9.2: the correlation on each shell."""
    for seed, ndim in ((921, 2), (922, 3)):
        a, b, shell = transforms(seed, ndim)
        right, count = fsc(a, b, shell), np.bincount(shell.ravel())

        def total(values: Array, shell: Array = shell) -> Array:
            return np.bincount(shell.ravel(), np.asarray(values).ravel())

        power_a, power_b, cross = total(np.abs(a) ** 2), total(np.abs(b) ** 2), total((a * b.conj()).real)
        curve = real_array(answer, right.shape, a, b, shell)
        if not same(curve, right):
            modulus = np.hypot(cross, total((a * b.conj()).imag))
            return first_match(curve, {
                "The conjugate is missing: A·B* is large where the phases of A and B agree, A·B is not.":
                    total((a * b).real) / np.sqrt(power_a * power_b),
                "The root is missing below the line: the powers are squares, the product above the line is not.":
                    cross / (power_a * power_b),
                "You take |A·B*| of each component before you add up. Then nothing can cancel, and pure noise "
                "correlates too. Add up the real parts.": total(np.abs(a * b.conj())) / np.sqrt(power_a * power_b),
                "You take the modulus of the sum. That hides negative correlations: take the real part.":
                    modulus / np.sqrt(power_a * power_b),
                "You average the cosine of the phase difference: every component counts the same, however weak it is. "
                "In the FSC the sums are taken first and divided once.":
                    total((a * b.conj()).real / np.abs(a * b)) / count,
                "You divide by the power of one map only. It takes the root of the product of both.": cross / power_a,
                "Half of the mean of the two powers is not the root of their product. The two maps may be on "
                "different scales.": 2 * cross / (power_a + power_b),
            }) or ("That is not the FSC. For each shell: the sum of Re(A·B*), divided by the root of the sum of |A|² "
                   "times the sum of |B|².")
    return None


def judge_resolution(answer: Any) -> str | None:
    """9.3: where the curve first falls below the threshold."""
    rng = np.random.default_rng(931)
    for threshold in (0.143, 0.5):
        curve = np.clip(1.1 - np.arange(17) * rng.uniform(0.07, 0.09), 0, 1)
        first = int(np.flatnonzero(curve < threshold)[0])
        curve[first + 1] = threshold + 0.2  # it recovers for one shell, as noise does
        length = float(rng.uniform(200, 300))
        right = float(resolution(curve, length, threshold))
        value = given_number(call(answer, curve, length, threshold))
        if not same(value, right):
            part = (curve[first - 1] - threshold) / (curve[first - 1] - curve[first])
            above = np.flatnonzero(curve >= threshold)
            return first_match(value, {
                "That is the first shell below the threshold. Take the one before it, the last that is above.":
                    length / first,
                "The curve recovers for one shell after it has crossed, as noise does. The first crossing counts, not "
                "the last one.": length / above[-1],
                "You take the last crossing, and the first shell below it. The first crossing counts.":
                    length / (above[-1] + 1),
                "That is the number of the shell. In Å it is length / shell.": first - 1.0,
                "That is the number of the first shell below the threshold. In Å: length / (the shell before it).":
                    float(first),
                "That is the spatial frequency, in 1/Å. The resolution is one over it.": (first - 1) / length,
                "You interpolate between the shells, as the package does too. Here the last shell above the threshold "
                "is asked for: length / shell.": length / (first - 1 + part),
            }) or "That is not it. Find the first shell below the threshold, go one back, and return length / shell."
    never = np.linspace(1, 0.6, 17)
    try:
        words = call(answer, never, 256.0, 0.143)
    except NotDone:
        raise Wrong(f"Right while the curve crosses. If it never does, your function returns nothing: return the "
                    f"words \"{BEYOND}\".") from None
    except Wrong as wrong:
        raise Wrong(f"Right while the curve crosses, but not if it never does. {wrong} Ask len(below) first.") from None
    if isinstance(words, str):
        return None if "nyquist" in words.lower() else f"If the curve never crosses, return the words \"{BEYOND}\"."
    return ("This curve never falls below the threshold, and your function gives a number for it. Nothing finer than "
            f"Nyquist was measured, so no number is known: return the words \"{BEYOND}\".")


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
        value = complex_array(answer, right.shape, *data)
        if not same(np.stack([value.real, value.imag]), np.stack([right.real, right.imag])):
            top, below = np.sum(c * x / s2, axis=0), np.sum(c**2 / s2, axis=0)
            return first_complex(value, {
                "The prior is missing: 1/(T τ²) belongs into the denominator. This is the ML map.": top / below,
                "T is missing: the prior is 1/(T τ²).": top / (below + 1 / t2),
                "T is on the wrong side: a large T must weaken the prior, 1/(T τ²), not T/τ².":
                    top / (below + fudge / t2),
                "You add T τ². A strong signal asks for a weak prior, so the power stands below the line: 1/(T τ²).":
                    top / (below + fudge * t2),
                "The noise σ² is missing above and below the line. Without it the prior has nothing to be weighed "
                "against.": np.sum(c * x, axis=0) / (np.sum(c**2, axis=0) + 1 / (fudge * t2)),
                "You divide by σ. The exponent of the Gaussian has σ², so both sums are divided by σ².":
                    np.sum(c * x / np.sqrt(s2), axis=0) / (np.sum(c**2 / np.sqrt(s2), axis=0) + 1 / (fudge * t2)),
                "The prior has τ below the line; it is τ², a power.": top / (below + 1 / (fudge * np.sqrt(t2))),
                "The CTF is missing above the line. It undoes the sign of the CTF, and gives weak components a small "
                "weight.": np.sum(x / s2, axis=0) / (below + 1 / (fudge * t2)),
                "The CTF in the denominator must be squared. Otherwise positive and negative values cancel.":
                    top / (np.sum(c / s2, axis=0) + 1 / (fudge * t2)),
                "The prior stands inside the sum over the images, so that it counts N times. It is known once: add it "
                "after the sum.": top / np.sum(c**2 / s2 + 1 / (fudge * t2), axis=0),
                "You filter each image and average the results. Sum the numerators, sum the denominators, divide "
                "once.": np.mean(c * x / s2 / (c**2 / s2 + 1 / (fudge * t2)), axis=0),
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

        value = real_array(answer, right.shape, f, shell)
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
                "You use the real part alone. Nearly right, but half of the data is thrown away: ½ |V|² has both.":
                    total(f.real**2) / count,
                "That is the root, τ. Asked for is τ².": np.sqrt(right),
                "You divide ½ Σ|V|² by the number of all components. Each shell has a number of its own: "
                "np.bincount(shell.ravel()).": right * count / count.sum(),
            }) or "That is not τ². For each shell: half of the mean of np.abs(V)**2."
    return None


def judge_ssnr(answer: Any) -> str | None:
    """9.6: from the FSC of halves."""
    rng = np.random.default_rng(961)
    curve = np.sort(rng.uniform(0.05, 0.95, 12))[::-1]
    right = ssnr(curve)
    value = real_array(answer, right.shape, curve)
    if not same(value, right):
        return first_match(value, {
            "That is upside down: noise over signal.": 1 / right,
            "That is the SSNR of all the data, 2F/(1 − F). Right for the map of both halves together; here that of one "
            "half is asked for, F/(1 − F).": 2 * right,
            "FSC/(1 + FSC) goes the wrong way: at FSC = 1 there is no noise, so the SSNR must be huge there.":
                curve / (1 + curve),
            "F²/(1 − F²) would be right if F were the FSC against the truth. Between two halves both maps hold noise: "
            "F/(1 − F).": curve**2 / (1 - curve**2),
            "That is the FSC expected against the truth, √(2F/(1 + F)).": np.sqrt(2 * curve / (1 + curve)),
            "You return the FSC itself.": curve,
        }) or "That is not it. FSC = SSNR/(1 + SSNR), solved for the SSNR."
    edges = np.array([1.0, 0.4, 0.0, -0.3])
    try:
        value = real_array(answer, edges.shape, edges)
    except Wrong:
        value = np.full(4, np.nan)
    if np.allclose(value, ssnr(edges), rtol=5e-3):  # element by element: one is a million times the other
        return None
    if np.isfinite(value[0]) and value[3] < 0:
        return "Right between 0 and 1. But a negative FSC gives a negative SSNR, and the prior would amplify: clip it."
    return ("Right between 0 and 1. But an FSC of 1 divides by zero, and a negative one gives a negative power. Keep "
            "the FSC between 0.001 and 0.999 with np.clip.")


EXERCISES = (
    Exercise("9.1", "Write the shrunken mean of a number.", judge_shrunken,
             "You gave up a little truth (the mean is pulled towards 0) and got rid of more noise. All of this lesson "
             "is this line, once for each Fourier component.",
             ("The mean of N measurements has a variance of its own: σ²/N.",
              "SSNR = τ² / (σ²/N), and the factor is SSNR/(1 + SSNR).",
              "ssnr = tau**2 / (sigma**2 / x.shape[1]); return x.mean(axis=1) * ssnr / (1 + ssnr)"), shrunken),
    Exercise("9.2", "Write the Fourier shell correlation of two maps.", judge_fsc,
             "It compares shell by shell, and it does not care on what scale the maps are. It only knows whether the "
             "two agree, not whether they are right.",
             ("You need three sums for each shell: of Re(A·B*), of |A|² and of |B|².",
              "np.bincount(shell.ravel(), values.ravel()) adds up values by shell.",
              "cross = np.bincount(shell.ravel(), (A * np.conj(B)).real.ravel()); the powers likewise; "
              "return cross / np.sqrt(power_A * power_B)"), fsc),
    Exercise("9.3", "Read the resolution off a curve.", judge_resolution,
             "And where the curve does not cross, you said so instead of making up a number.",
             ("np.flatnonzero(curve < threshold) lists the shells below the threshold, in order.",
              "The last shell above is below[0] − 1; its resolution is length / shell.",
              'below = np.flatnonzero(curve < threshold); return length / (below[0] - 1) if len(below) else '
              '"at or beyond Nyquist"'), resolution),
    Exercise("9.4", "Write the Wiener filter.", judge_wiener,
             "Three sums and one division: CTF correction, averaging and filtering at the same time.",
             ("Both sums run over the images: axis=0.",
              "numerator = np.sum(C * X / sigma2, axis=0)",
              "denominator = np.sum(C**2 / sigma2, axis=0); the prior 1 / (T * tau2) is added to it once."), wiener),
    Exercise("9.5", "Write τ²: the power of the signal on each shell.", judge_power,
             "This is the second line of the lecture's expectation maximisation.",
             ("np.bincount(shell.ravel()) counts the components of each shell.",
              "np.bincount(shell.ravel(), (np.abs(V)**2).ravel()) adds up their powers.",
              "Divide the two, and take half: τ² is the power of one real component."), signal_power),
    Exercise("9.6", "Write the SSNR from the FSC of two halves.", judge_ssnr,
             "No truth was needed for this: two halves that know nothing of each other are enough.",
             ("Start from FSC = SSNR/(1 + SSNR) and solve for the SSNR.",
              "SSNR = FSC/(1 − FSC). What happens at FSC = 1, and below 0?",
              "F = np.clip(fsc, 0.001, 0.999); return F / (1 - F)"), ssnr),
)
