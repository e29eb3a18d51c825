"""Of the exercises of lesson 9 those about the Fourier shell correlation: 9.2, 9.3 and 9.6.

Transforms are whole ones (numpy.fft.fftn); ``shell`` holds the shell number of each component, in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import (
    Wrong,
    call,
    call_for_array,
    first_match,
    given_number,
    number,
    same,
    whichever,
)

Array = NDArray[Any]
LEAST_FSC, MOST_FSC = 0.001, 0.999
BEYOND = "at or beyond Nyquist"
# Two curves for 9.3 that cross and recover for two shells, as noise does: threshold, curve, length in Å. In neither is
# the shell nearest to the threshold the one that is asked for.
CURVES = (
    (0.143, np.array([1, .97, .94, .9, .83, .71, .6, .52, .31, .08, .05, .21, .19, .07, .03, .14, .01]), 231.0),
    (0.5, np.array([1, .98, .96, .91, .86, .8, .68, .48, .41, .61, .57, .32, .2, .11, .05, .04, .0]), 284.0),
)
EDGES = np.array([1.0, 0.4, 0.0, -0.3])  # values of an FSC for 9.6: perfect, ordinary, none, negative


# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

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


def ssnr(curve: Array) -> Array:
    """Spectral signal-to-noise ratio of a half's map, from the FSC of the two halves."""
    kept = np.clip(curve, LEAST_FSC, MOST_FSC)
    return np.asarray(kept / (1 - kept))


# ---- the judges -------------------------------------------------------------------------------------------------

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
        curve = call_for_array(answer, right.shape, a, b, shell)
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
                "In the FSC the sums are taken first and divided once.": whichever(
                    curve, *(total((a * b.conj()).real / np.abs(a * b)) / n for n in (count, 1))),
                "You divide by the power of one map only. It takes the root of the product of both.":
                    whichever(curve, cross / power_a, cross / power_b),
                "You add up |A|·|B| below the line. Each map has its own sum, of |A|² and of |B|²; the root comes "
                "last.":
                    cross / total(np.abs(a * b)),
                "The squares are missing below the line: the powers are the sums of |A|² and of |B|².":
                    cross / np.sqrt(total(np.abs(a)) * total(np.abs(b))),
                "That is the square of the FSC. The numerator stands alone, and the root is below the line.":
                    whichever(curve, right**2, cross**2 / (power_a * power_b)),
                "That is the imaginary part of Σ A·B*. Agreement is in the real part.":
                    total((a * b.conj()).imag) / np.sqrt(power_a * power_b),
                "You use the real parts alone. Half of the data is in the imaginary parts: Re(A·B*) has both.":
                    total(a.real * b.real) / np.sqrt(total(a.real**2) * total(b.real**2)),
                "Nothing is divided: the sum of Re(A·B*) still has the scale of the maps.": cross,
                "Below the line stands the root of the product of the powers, not the sum of their roots.":
                    cross / (np.sqrt(power_a) + np.sqrt(power_b)),
                "Half of the mean of the two powers is not the root of their product. The two maps may be on "
                "different scales.": 2 * cross / (power_a + power_b),
            }) or ("That is not the FSC. For each shell: the sum of Re(A·B*), divided by the root of the sum of |A|² "
                   "times the sum of |B|².")
    return None


def judge_resolution(answer: Any) -> str | None:
    """9.3: where the curve first falls below the threshold."""
    for threshold, curve, length in CURVES:
        right, first = float(resolution(curve, length, threshold)), int(np.flatnonzero(curve < threshold)[0])
        result = call(answer, curve, length, threshold)
        if isinstance(result, str):
            return (f"This curve falls below {threshold} in shell {first}, and your function gives the words "
                    f"{result!r}. A number is asked for there, in Å, without its unit.")
        value = given_number(result)
        if not same(value, right):
            return first_match(value, other_readings(curve, length, threshold, first)) or (
                "That is not it. Find the first shell below the threshold, go one back, and return length / shell.")
    never = np.linspace(1, 0.6, 17)
    try:
        words = call(answer, never, 256.0, 0.143)
    except Wrong as wrong:
        if "(None)" in str(wrong):
            return ("Right while the curve crosses. If it never does, your function gives nothing back (None): return "
                    f"the words \"{BEYOND}\".")
        raise Wrong(f"Right while the curve crosses, but not if it never does. {wrong} Ask len(below) first.") from None
    if isinstance(words, str):
        return None if "nyquist" in words.lower() else f"If the curve never crosses, return the words \"{BEYOND}\"."
    if not isinstance(words, float | int | np.number):
        return f"Right while the curve crosses. If it never does, return the words alone, \"{BEYOND}\"."
    return ("This curve never falls below the threshold, and your function gives a number for it. Nothing finer than "
            f"Nyquist was measured, so no number is known: return the words \"{BEYOND}\".")


def other_readings(curve: Array, length: float, threshold: float, first: int) -> dict[str, float]:
    """What is often read off a curve instead, by its explanation; ``first`` is the first shell below the threshold."""
    above = np.flatnonzero(curve >= threshold)
    part = (curve[first - 1] - threshold) / (curve[first - 1] - curve[first])
    fixed = [resolution(curve, length, t) for t in (0.143, 0.5) if t != threshold]
    return {
        "That is the first shell below the threshold. Take the one before it, the last that is above.": length / first,
        "The curve recovers for two shells after it has crossed, as noise does. The first crossing counts, not the "
        "last one.": length / above[-1],
        "You take the last crossing, and the first shell below it. The first crossing counts.":
            length / (above[-1] + 1),
        "You count the shells above the threshold. Shell 0 is one of them, and so are those where the curve recovers: "
        "find the first one below.": length / len(above),
        "You go one shell on instead of one back.": length / (first + 1),
        "You go two shells back. One is enough: the shell before the first one below is the last above.":
            length / (first - 2),
        "That is the shell nearest to the threshold, on whichever side. Asked for is the last one above.":
            length / int(np.abs(curve - threshold).argmin()),
        "That is the number of the shell. In Å it is length / shell.": first - 1.0,
        "That is the number of the first shell below the threshold. In Å: length / (the shell before it).":
            float(first),
        "That is the spatial frequency, in 1/Å. The resolution is one over it.": (first - 1) / length,
        "You multiply by the shell. The finer the resolution, the larger the shell: length / shell.":
            length * (first - 1),
        "You use a threshold of your own. The function is given one: compare with `threshold`.": float(fixed[0]),
        "You interpolate between the shells, as the package does too. Here the last shell above the threshold is asked "
        "for: length / shell.": length / (first - 1 + part),
    }


def judge_ssnr(answer: Any) -> str | None:
    """9.6: from the FSC of halves."""
    rng = np.random.default_rng(961)
    curve = np.sort(rng.uniform(0.05, 0.95, 12))[::-1]
    right = ssnr(curve)
    value = call_for_array(answer, right.shape, curve)
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
            "The two limits of np.clip are exchanged: np.clip(F, 0.001, 0.999).":
                np.full_like(curve, ssnr(np.zeros(1))[0]),
            "That is the FSC itself: SSNR/(1 + SSNR) leads back to it.": curve,
            "That is 1 + SSNR: 1/(1 − F) is F/(1 − F) + 1.": right + 1,
            "The sign is wrong: F/(1 − F), with 1 − F below the line.": -right,
            "That is half of it. The FSC is between halves, and the SSNR is that of one half: F/(1 − F).": right / 2,
            "That is the root. The SSNR is a ratio of powers: no root.": np.sqrt(right),
            "You keep the SSNR between 0.001 and 0.999. It is the FSC that lies there; the SSNR has no upper limit of "
            "1: clip first, then divide.": np.clip(right, LEAST_FSC, MOST_FSC),
        }) or "That is not it. FSC = SSNR/(1 + SSNR), solved for the SSNR."
    try:
        value = call_for_array(answer, EDGES.shape, EDGES)
    except Wrong as wrong:
        if "infinite" not in str(wrong):
            where = "" if "changes the arrays" in str(wrong) else "Right between 0 and 1, but not at 1 and below 0. "
            raise Wrong(f"{where}{wrong}") from None
        return ("Right between 0 and 1. But an FSC of 1 or below 0 gives an infinite value or NaN. Keep the FSC "
                "between 0.001 and 0.999 with np.clip, before you divide.")
    wanted, negative = ssnr(EDGES), EDGES < 0
    if np.allclose(value, wanted, rtol=5e-3):  # element by element: one is a million times the other
        return None
    if np.any(value < 0):
        return "Right between 0 and 1. But a negative FSC gives a negative SSNR, and the prior would amplify: clip it."
    if np.allclose(value[negative], ssnr(np.abs(EDGES[negative])), rtol=5e-3):
        return ("Right between 0 and 1. But a negative FSC says that the halves disagree, and np.abs makes agreement "
                "of it. Keep it at 0.001 with np.clip.")
    if np.all(value[EDGES <= 0] == 0):
        return ("Right above 0. But where the FSC is 0 or less, your SSNR is 0: then τ² is 0, and the prior, which "
                "divides by τ², is infinite. Let the lower limit be 0.001, not 0.")
    return (f"Right between 0 and 1, but the limits are others: an FSC of 1 counts as 0.999, which gives "
            f"{wanted[0]:.0f}, and 0 or less as 0.001, which gives {wanted[2]:.3f}. "
            f"Yours are {value[0]:.4g} and {value[2]:.4g}.")


def angstroms(value: Any) -> float | str:
    """What 9.3 hands on: plain words or a plain number."""
    return str(value) if isinstance(value, str) else number(value)
