"""The exercises of lesson 8, coloured noise.

Arrays are named as in the lesson: ``X`` (N, J) and ``A`` (R, J) the Fourier components of the images and of the turned
references, ``shell`` (J,) the shell that each component belongs to, ``sigma2`` (J,) the noise power σ² of the real (or
the imaginary) part of each component, ``gamma`` (N, R) the probability Γ of each rotation for each image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import Exercise, call_for_array, first_match, given_number, same

Array = NDArray[Any]
MISMATCH = np.array([[240.0, 6.0], [200.0, 12.0]])  # |X - A|² of rotations a and b in shells 2 and 10, as in the lesson
POWER = np.array([60.0, 1.0])  # σ² of the two shells


# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

def power_spectrum(X: Array, shell: Array) -> Array:
    """(shells,): half the mean |X|² of the components in each shell."""
    power = np.mean(np.abs(X) ** 2, axis=0) / 2
    return np.asarray(np.bincount(shell, power) / np.bincount(shell))


ODDS = math.exp(float(-0.5 * np.sum((MISMATCH[0] - MISMATCH[1]) / POWER)))


def log_scores(X: Array, A: Array, sigma2: Array) -> Array:
    """(N, R): log P(X|φ,Θ), less a constant of each image."""
    return np.asarray(np.real((X / sigma2) @ np.conj(A).T) - 0.5 * np.sum(np.abs(A) ** 2 / sigma2, axis=1))


def band_pass(resolution: Array, coarsest: float, finest: float) -> Array:
    """1 for components between the two resolutions (Å), both included, else 0."""
    return np.asarray(((resolution <= coarsest) & (resolution >= finest)).astype(float))


def noise_spectrum(X: Array, A: Array, gamma: Array, shell: Array) -> Array:
    """(shells,): half of what the references leave unexplained, Σ_φ Γ |X − A|², averaged over images and shells."""
    cross = np.real(np.conj(X) * (gamma @ A))
    residual = np.abs(X) ** 2 - 2 * cross + gamma @ np.abs(A) ** 2
    return np.asarray(np.bincount(shell, residual.mean(axis=0) / 2) / np.bincount(shell))


def optimal_filter(total: Array, noise: Array) -> Array:
    """(shells,): signal power over signal and noise power; 0 where the images hold no more than noise."""
    return np.asarray(np.maximum(total - noise, 0) / total)


# ---- the judges ------------------------------------------------------------------------------------------------

def example(seed: int, images: int = 6, references: int = 5) -> tuple[Array, Array, Array, Array]:
    """Random X (N, J), A (R, J), shell (J,) and σ² per component (J,); no two shells have as many components."""
    rng = np.random.default_rng(seed)
    shell = np.repeat(np.arange(5), (1, 3, 6, 9, 13))
    sigma2 = np.array([9.0, 7.0, 3.0, 1.0, 0.5])[shell]

    def draw(count: int, spread: Array) -> Array:
        return np.asarray((rng.normal(size=(count, len(shell))) + 1j * rng.normal(size=(count, len(shell)))) * spread)

    A = draw(references, 0.6 * np.ones(len(shell)))
    X = A[rng.integers(references, size=images)] + draw(images, np.sqrt(sigma2))
    return X, A, shell, sigma2


def rows_of_probabilities(seed: int, images: int, references: int) -> Array:
    """Random Γ (N, R)."""
    return np.random.default_rng(seed).dirichlet(np.ones(references), images)


def per_shell(values: Array, shell: Array) -> Array:
    """The mean over each shell of values (J,)."""
    return np.asarray(np.bincount(shell, values) / np.bincount(shell))


def judge_power(answer: Any) -> str | None:
    """8.1: the power spectrum of the images."""
    X, _, shell, _ = example(811)
    right = power_spectrum(X, shell)
    value = call_for_array(answer, right.shape, X, shell)
    if same(value, right):
        return None
    square = np.abs(X) ** 2
    return first_match(value, {
        "The half is missing. |X|² is the power of a real and an imaginary part; σ² is that of one of them.": 2 * right,
        "That is the sum over each shell. Outer shells hold more components: divide by how many there are "
        "(np.bincount(shell)).": np.bincount(shell, square.mean(axis=0) / 2),
        "That is the sum over the images. Take their mean.": right * len(X),
        "You average the components first and square then. Noise has no sign to agree on, so it cancels: square first.":
            per_shell(np.abs(X.mean(axis=0)) ** 2 / 2, shell),
        "That is the mean of |X|, an amplitude. Power is its square.": per_shell(np.abs(X).mean(axis=0), shell),
        "That is the power of the real parts only, up to chance. Use np.abs(X)**2, which takes in both, and halve it.":
            per_shell(np.mean(X.real**2, axis=0), shell),
        "np.mean(X**2) squares complex numbers, and these have a phase. Use np.abs(X)**2.":
            per_shell(np.abs(np.mean(X**2, axis=0)) / 2, shell),
    }) or ("That is not the power spectrum. Square the modulus, average over the images, halve, then take the mean of "
           "the components of each shell.")


def judge_odds(answer: Any) -> str | None:
    """8.2: which of two rotations, and by how much."""
    value = given_number(answer)
    if same(value, ODDS, 5e-3):
        return None
    difference = math.log(ODDS)
    total = float(np.sum(MISMATCH[1] - MISMATCH[0]))
    return first_match(value, {
        "That is the difference of the two log-likelihoods. The odds are its exponential.": difference,
        "That is b against a. The question is how many times likelier a is.": 1 / ODDS,
        "The 2 of 2σ² is missing: the exponent is −|X − A|²/(2σ²).": ODDS**2,
        "You divide by σ, but the exponent holds 2σ², the power of the noise: 60 and 1 are powers already.":
            math.exp(float(0.5 * np.sum((MISMATCH[1] - MISMATCH[0]) / np.sqrt(POWER)))),
        "That is the noise model of lesson 3: one σ² for both shells. With it, b would win.":
            math.exp(total / (2 * float(POWER.mean()))),
        "You compare the mismatches themselves. Each has to be measured by the noise of its own shell first.":
            float(MISMATCH[1].sum() / MISMATCH[0].sum()),
    }, 5e-3) or ("Not it. For each rotation: add up |X − A|²/(2σ²) over the two shells, each with its own σ². The odds "
                 "are the exponential of the difference of the two sums.")


def judge_scores(answer: Any) -> str | None:
    """8.3: the score under coloured noise."""
    for seed in (831, 832):
        X, A, _, sigma2 = example(seed)
        right = log_scores(X, A, sigma2)
        value = call_for_array(answer, right.shape, X, A, sigma2)
        if not same(value, right):
            product, energy = np.real((X / sigma2) @ np.conj(A).T), np.sum(np.abs(A) ** 2 / sigma2, axis=1)
            square = np.sum(np.abs(X) ** 2 / sigma2, axis=1, keepdims=True)
            return first_match(value, {
                "The energy of the reference is missing: − ½ Σ |A|²/σ².": product,
                "The ½ before Σ |A|²/σ² is missing.": product - energy,
                "Only the first term is divided by σ². The energy |A|² is weighed by 1/σ² too.":
                    product - 0.5 * np.sum(np.abs(A) ** 2, axis=1),
                "That is the whole square, −½ Σ |X − A|²/σ². As a likelihood it is right, but leave out the constant "
                "|X|²/(2σ²), as asked: it cancels in Γ, and its size would cost digits.": right - 0.5 * square,
                "You divide by σ. What counts is the power of the noise, σ².":
                    np.real((X / np.sqrt(sigma2)) @ np.conj(A).T)
                    - 0.5 * np.sum(np.abs(A) ** 2 / np.sqrt(sigma2), axis=1),
                "The complex conjugate is missing: without it, phases add up where they should be compared. "
                "Use np.conj(A).": np.real((X / sigma2) @ A.T) - 0.5 * energy,
                "All components count the same here. Each has to be divided by its own σ².":
                    np.real(X @ np.conj(A).T) - 0.5 * np.sum(np.abs(A) ** 2, axis=1),
                "You use the mean of σ² for all components. That is white noise.":
                    log_scores(X, A, np.full_like(sigma2, sigma2.mean())),
                "You multiply by σ² instead of dividing: the noisiest components would count most.":
                    np.real((X * sigma2) @ np.conj(A).T) - 0.5 * np.sum(np.abs(A) ** 2 * sigma2, axis=1),
            }) or ("That is not the score. For every image and rotation: Re Σ X·conj(A)/σ² over the components, minus "
                   "½ Σ |A|²/σ².")
    return None


def judge_band_pass(answer: Any) -> str | None:
    """8.4: a filter by hand."""
    rng = np.random.default_rng()
    resolution = np.concatenate([[np.inf], np.sort(rng.uniform(5, 300, 60))[::-1]])
    coarsest, finest = float(resolution[rng.integers(10, 20)]), float(resolution[rng.integers(35, 50)])
    right = band_pass(resolution, coarsest, finest)
    value = call_for_array(answer, right.shape, resolution, coarsest, finest)
    if same(value, right):
        return None
    low, high = resolution >= finest, resolution <= coarsest
    return first_match(value, {
        "You keep what lies outside the band and remove what lies in it.": 1 - right,
        "That is a low-pass filter: it removes the fine detail, but keeps all that is too coarse.": low,
        "That is a high-pass filter: it removes what is coarse, but keeps all that is too fine.": high,
        "Nothing is kept. In Å, coarse is a large number and fine a small one: coarsest ≥ resolution ≥ finest.":
            np.zeros_like(right),
        "Everything is kept: with `or` (|), every component is on one side or the other. Both must hold: use &.":
            np.ones_like(right),
        "The two ends themselves belong to the band: use <= and >=.":
            (resolution < coarsest) & (resolution > finest),
    }) or ("That is not the band-pass filter. 1.0 where the resolution is at most `coarsest` and at least `finest`, "
           "0.0 elsewhere.")


def judge_noise(answer: Any) -> str | None:
    """8.5: the M-step for σ², shell by shell."""
    for seed in (851, 852):
        X, A, shell, _ = example(seed)
        gamma = rows_of_probabilities(seed, len(X), len(A))
        right = noise_spectrum(X, A, gamma, shell)
        value = call_for_array(answer, right.shape, X, A, gamma, shell)
        if not same(value, right):
            cross = np.real(np.conj(X) * (gamma @ A))
            energy, square = gamma @ np.abs(A) ** 2, np.abs(X) ** 2
            best = (gamma == gamma.max(axis=1, keepdims=True)).astype(float)
            return first_match(value, {
                "The half is missing: |X − A|² holds a real and an imaginary part, σ² is the power of one.": 2 * right,
                "That is the power of the images themselves. Subtract what the references explain.":
                    power_spectrum(X, shell),
                "You subtract the averaged reference, |X − Σ Γ A|². Square first, then average: what is not known "
                "about the rotation belongs to the noise too.":
                    per_shell(np.mean(np.abs(X - gamma @ A) ** 2, axis=0) / 2, shell),
                "The weights Γ are missing: every rotation counts the same here.":
                    noise_spectrum(X, A, np.full_like(gamma, 1 / gamma.shape[1]), shell),
                "You use only the best rotation of each image (maxCC). Weight every rotation with its Γ.":
                    noise_spectrum(X, A, best, shell),
                "That is the sum over each shell. Divide by the number of components in it.":
                    np.bincount(shell, (square - 2 * cross + energy).mean(axis=0) / 2),
                "That is the sum over the images. Take their mean.": right * len(X),
                "The energy of the references, Σ_φ Γ |A|², is missing.":
                    per_shell((square - 2 * cross).mean(axis=0) / 2, shell),
                "The cross term counts twice: |X − A|² = |X|² − 2 Re X*A + |A|².":
                    per_shell((square - cross + energy).mean(axis=0) / 2, shell),
            }) or ("That is not σ² by shell. Average Σ_φ Γ |X − A|² over the images and over the components of each "
                   "shell, and halve it.")
    return None


def judge_filter(answer: Any) -> str | None:
    """8.6: the 'optimal' filter from two spectra."""
    rng = np.random.default_rng()
    noise = rng.uniform(1, 5, 12)
    total = noise + rng.uniform(0.1, 9, 12)
    right = optimal_filter(total, noise)
    value = call_for_array(answer, right.shape, total, noise)
    if not same(value, right):
        signal = total - noise
        return first_match(value, {
            "That is the SNR of each shell. The filter is SNR/(1 + SNR), between 0 and 1.": signal / noise,
            "You divide the signal by signal and noise, but `total` is already both: signal = total − noise.":
                total / (total + noise),
            "That is the share of the noise. The filter keeps the share of the signal.": noise / total,
            "That is the signal's power itself. Divide it by the total.": signal,
            "That is the square root. It would give the filtered picture the right power, but not the smallest error.":
                np.sqrt(right),
            "`total` holds the noise already: divide by total, not by total + noise.": signal / (total + noise),
        }) or "That is not signal/(signal + noise). The signal's power is what the total has more than the noise."
    total = np.array([2.0, 0.9, 4.0])
    value = call_for_array(answer, (3,), total, np.ones(3))
    return None if same(value, [0.5, 0.0, 0.75]) else (
        "Right, except where the images hold a little less than the noise, which happens by chance: a power cannot be "
        "negative. Use np.maximum(total - noise, 0).")


EXERCISES = (
    Exercise("8.1", "Write the power spectrum of the images, shell by shell.", judge_power,
             "One number for each shell: that is all the noise model of this lesson adds to lesson 3.",
             ("Square the modulus of every component: np.abs(X)**2. Average over the images (axis=0) and halve.",
              "np.bincount(shell, power) adds up `power` shell by shell; np.bincount(shell) counts the components.",
              "power = np.mean(np.abs(X)**2, axis=0) / 2; return np.bincount(shell, power) / np.bincount(shell)"),
             power_spectrum),
    Exercise("8.2", "Which rotation is likelier, and by how much?", judge_odds,
             "The rotation with the larger mismatch wins, because its mismatch lies where the noise is strong.",
             ("Measure each mismatch by the noise of its own shell: 240 is little where σ² is 60.",
              "The exponent of a is −(240/(2·60) + 6/(2·1)) = −5. Now b.",
              "np.exp(-(240/120 + 6/2) + (200/120 + 12/2))"), ODDS),
    Exercise("8.3", "Write the score with a noise power for every component.", judge_scores,
             "This is the score of lesson 3, with pixels replaced by components and σ² no longer the same for all.",
             ("Start from lesson 3: (CCF − ½|A|²)/σ². Now σ² stands inside the sum over the components.",
              "The sum over components of X times conj(A), for all images and rotations: X @ np.conj(A).T.",
              "np.real((X / sigma2) @ np.conj(A).T) - 0.5 * np.sum(np.abs(A)**2 / sigma2, axis=1)"), log_scores),
    Exercise("8.4", "Write a band-pass filter.", judge_band_pass,
             "Two cuts, chosen by you. Soon you will see what a good choice is worth.",
             ("In Å, a coarse resolution is a large number, a fine one a small number.",
              "Two conditions that must both hold: (a) & (b), each in brackets.",
              "((resolution <= coarsest) & (resolution >= finest)).astype(float)"), band_pass),
    Exercise("8.5", "Write the M-step for σ², shell by shell.", judge_noise,
             "This is the equation of the lecture: the power of the noise is estimated from the data.",
             ("|X − A|² = |X|² − 2 Re X*A + |A|², so that no array of images × rotations × components is needed.",
              "gamma @ A is Σ_φ Γ A, shape (N, J); gamma @ np.abs(A)**2 is Σ_φ Γ |A|².",
              "residual = np.abs(X)**2 - 2*np.real(np.conj(X) * (gamma @ A)) + gamma @ np.abs(A)**2; then as in 8.1: "
              "mean over the images, half of it, mean over each shell."), noise_spectrum),
    Exercise("8.6", "Write the 'optimal' filter.", judge_filter,
             "No cut to choose, no expertise required: the data say how much of each shell to keep.",
             ("The images hold signal and noise, and their powers add up: signal = total − noise.",
              "The filter is signal/(signal + noise): 1 where all is signal, 0 where all is noise.",
              "np.maximum(total - noise, 0) / total"), optimal_filter),
)
