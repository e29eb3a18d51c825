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

from cryoedu.course.exercises import (
    Exercise,
    Wrong,
    call_for_array,
    first_match,
    given_number,
    real_array,
    same,
    whichever,
)

Array = NDArray[Any]
MISMATCH = np.array([[240.0, 6.0], [200.0, 12.0]])  # |X - A|² of rotations a and b in shells 2 and 10, as in the lesson
POWER = np.array([60.0, 1.0])  # σ² of the two shells
TOO_LITTLE = np.array([2.0, 0.9, 4.0])  # power of images whose noise has power 1: one shell holds less, by chance


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

def example(seed: int, images: int = 7, references: int = 4) -> tuple[Array, Array, Array, Array]:
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


def whole_arrays(answer: Any, shape: tuple[int, ...], *inputs: Array | float) -> Array:
    """As `call_for_array`; `and`, max, a <= x <= b, which Python has for single numbers only, have their own words."""
    try:
        return call_for_array(answer, shape, *inputs)
    except Wrong as wrong:
        if "truth value" not in str(wrong):
            raise
        raise Wrong("`and`, `or`, `if`, max() and a chain such as a <= x <= b take single numbers, and here are "
                    "arrays. For arrays: (a <= x) & (x <= b), each in brackets, and np.maximum.") from None


def judge_power(answer: Any) -> str | None:
    """8.1: the power spectrum of the images."""
    X, _, shell, _ = example(811)
    right = power_spectrum(X, shell)
    value = call_for_array(answer, right.shape, X, shell)
    if same(value, right):
        return None
    square, count, modulus = np.abs(X) ** 2, np.bincount(shell), np.abs(X).mean(axis=0)
    added = np.bincount(shell, square.mean(axis=0) / 2)
    mean = np.array([np.abs(X[:, shell == k].mean()) ** 2 / 2 for k in range(len(count))])
    return first_match(value, {
        "The half is missing. |X|² is the power of a real and an imaginary part; σ² is that of one of them.": 2 * right,
        "That is the sum over each shell. Outer shells hold more components: divide by how many there are "
        "(np.bincount(shell)).": whichever(value, added, 2 * added),
        "You divide by the number of all components. Each shell has a number of its own: np.bincount(shell).":
            added / len(shell),
        "That is the sum over the images. Take their mean.": whichever(value, right * len(X), 2 * right * len(X)),
        "You add up over the images and over each shell. Both times the mean is asked for.":
            whichever(value, added * len(X), 2 * added * len(X)),
        "You average the components first and square then. Noise has no sign to agree on, so it cancels: square first.":
            whichever(value, per_shell(np.abs(X.mean(axis=0)) ** 2 / 2, shell), mean),
        "np.var takes off the mean of the images before it squares. All of |X|² is asked for: np.abs(X)**2.":
            whichever(value, per_shell(X.var(axis=0) / 2, shell), per_shell(X.var(axis=0), shell)),
        "That is made of the mean of |X|, an amplitude. Power is its square: square first, then take the mean.":
            whichever(value, *(f * per_shell(modulus**k, shell) for k in (1, 2) for f in (1, 0.5))),
        "That is the root of the power, an amplitude.": np.sqrt(right),
        "That is the power of the real or of the imaginary parts only. Use np.abs(X)**2, which takes in both, and "
        "halve it.": whichever(value, *(f * per_shell(np.mean(part**2, axis=0), shell)
                                  for part in (X.real, X.imag) for f in (1, 0.5))),
        "np.mean(X**2) squares complex numbers, and these have a phase. Use np.abs(X)**2.":
            whichever(value, per_shell(np.abs(np.mean(X**2, axis=0)) / 2, shell),
                      per_shell(np.mean(X**2, axis=0).real / 2, shell)),
    }) or ("That is not the power spectrum. Square the modulus, average over the images, halve, then take the mean of "
           "the components of each shell.")


def judge_odds(answer: Any) -> str | None:
    """8.2: which of two rotations, and by how much."""
    value = given_number(answer)
    if same(value, ODDS, 5e-3):
        return None
    own, other = (0.5 * float(np.sum(row / POWER)) for row in MISMATCH)  # the two sums, 5 and 7 2/3
    total = float(np.sum(MISMATCH[1] - MISMATCH[0]))
    exchanged = 0.5 * float(np.sum((MISMATCH[1] - MISMATCH[0]) / POWER[::-1]))
    return first_match(value, {
        "That is the difference of the two log-likelihoods. The odds are its exponential.": other - own,
        "That is b against a. The question is how many times likelier a is.": 1 / ODDS,
        "The 2 of 2σ² is missing: the exponent is −|X − A|²/(2σ²).": ODDS**2,
        "One 2 too many: the exponent is −|X − A|²/(2σ²), with one 2.": math.sqrt(ODDS),
        "You divide by σ, but the exponent holds 2σ², the power of the noise: 60 and 1 are powers already.":
            math.exp(float(0.5 * np.sum((MISMATCH[1] - MISMATCH[0]) / np.sqrt(POWER)))),
        "That is the noise model of lesson 3: one σ² for both shells. With it, b would win.":
            whichever(value, *(math.exp(total / (2 * s)) for s in (POWER.mean(), POWER.sum(), *POWER)), relative=5e-3),
        "The two σ² are exchanged: 240 and 200 belong to 60, 6 and 12 to 1.": math.exp(exchanged),
        "That is one rotation alone. The odds compare the two: divide the exponential of a by that of b.":
            whichever(value, math.exp(-own), math.exp(-other), own, other, relative=5e-3),
        "That is the probability of a, if there are only a and b. The odds are how many times likelier: P(a)/P(b).":
            ODDS / (1 + ODDS),
        "You divide one sum by the other. The likelihoods are exponentials of them: exp(−sum of a)/exp(−sum of b).":
            whichever(value, own / other, other / own, relative=5e-3),
        "You compare the mismatches themselves. Each has to be measured by the noise of its own shell first.":
            float(MISMATCH[1].sum() / MISMATCH[0].sum()),
        "Nearly: that is rounded too much. Let Python work it out, np.exp(…).": 14.0,
    }, 5e-3) or ("Not it. For each rotation: add up |X − A|²/(2σ²) over the two shells, each with its own σ². The odds "
                 "are the exponential of the difference of the two sums.")


def judge_scores(answer: Any) -> str | None:
    """8.3: the score under coloured noise."""
    for seed in (831, 832):
        X, A, _, sigma2 = example(seed)
        right = log_scores(X, A, sigma2)
        value = call_for_array(answer, right.shape, X, A, sigma2)
        if not same(value, right):
            overlap, energy = (X / sigma2) @ np.conj(A).T, np.sum(np.abs(A) ** 2 / sigma2, axis=1)
            product = overlap.real
            square = np.sum(np.abs(X) ** 2 / sigma2, axis=1, keepdims=True)
            return first_match(value, {
                "The energy of the reference is missing: − ½ Σ |A|²/σ².": product,
                "The ½ before Σ |A|²/σ² is missing.": product - energy,
                "Only the first term is divided by σ². The energy |A|² is weighed by 1/σ² too.":
                    product - 0.5 * np.sum(np.abs(A) ** 2, axis=1),
                "That is the whole square, −½ Σ |X − A|²/σ². As a likelihood it is right, but leave out the constant "
                "|X|²/(2σ²), as asked: it cancels in Γ, and its size would cost digits.": right - 0.5 * square,
                "That is a mismatch, Σ |X − A|²/σ². The score is −½ of it, less what only the image decides: the more "
                "likely, the higher.": whichever(value, 0.5 * square - right, square - 2 * right, 2 * right - square),
                "The sign is the wrong way round: the more likely the rotation, the higher the score.": -right,
                "The energy has the wrong sign: − ½ Σ |A|²/σ².": product + 0.5 * energy,
                "You take the modulus of the product. Then a reference of the opposite contrast fits as well: take the "
                "real part, np.real.": np.abs(overlap) - 0.5 * energy,
                "That is the imaginary part of the product. Take the real part, np.real.": overlap.imag - 0.5 * energy,
                "You take the real parts of X and of A before you multiply. Re(X A*) holds the product of the "
                "imaginary parts too: multiply first.": (X.real / sigma2) @ A.real.T - 0.5 * energy,
                "A² is not |A|²: a complex number squared keeps a phase. Use np.abs(A)**2.":
                    product - 0.5 * np.sum(A**2 / sigma2, axis=1).real,
                "The energy is Σ |A|²/σ²: the square is missing.": product - 0.5 * np.sum(np.abs(A) / sigma2, axis=1),
                "You add up the energy of all references. Each has its own: axis=1.": product - 0.5 * energy.sum(),
                "That is the energy of the images. Asked for is that of the references.":
                    product - 0.5 * square,
                "Both X and A are divided by σ². Together they have σ² below the line once.":
                    whichever(value, *(np.real((X / sigma2) @ np.conj(A / sigma2).T)
                                       - 0.5 * np.sum(np.abs(A) ** 2 / w, axis=1) for w in (sigma2**2, sigma2))),
                "One 2 too many: in this score σ² stands alone, and the ½ is before the energy.": right / 2,
                "That is the exponential or Γ already. The score is the logarithm: leave the exponential out.":
                    whichever(value, np.exp(right), softmax(right)),
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


def softmax(score: Array) -> Array:
    """Γ (N, R) of scores (N, R)."""
    weight = np.exp(score - score.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def judge_band_pass(answer: Any) -> str | None:
    """8.4: a filter by hand."""
    rng = np.random.default_rng(841)
    for low, high in ((14, 37), (19, 49)):
        resolution = np.concatenate([[np.inf], np.sort(rng.uniform(5, 300, 60))[::-1]])
        coarsest, finest = float(resolution[low]), float(resolution[high])
        right = band_pass(resolution, coarsest, finest)
        value = whole_arrays(answer, right.shape, resolution, coarsest, finest)
        if not same(value, right):
            return why_no_band(value, right, resolution, coarsest, finest)
    return None


def why_no_band(value: Array, right: Array, resolution: Array, coarsest: float, finest: float) -> str:
    """What is wrong with weights that are not those of the band-pass filter."""
    low, high = resolution >= finest, resolution <= coarsest
    rest, kept = np.unique(value[right == 0]), value[right == 1]
    if np.array_equal(value != 0, right != 0) or (np.all(kept == 1) and len(rest) == 1 and rest[0] not in (0, 1)):
        return "The band is the right one, but the weights are not: 1.0 inside it, 0.0 outside."
    return first_match(value, {
        "You keep what lies outside the band and remove what lies in it.": 1 - right,
        "That is a low-pass filter: it removes the fine detail, but keeps all that is too coarse.": low,
        "That is a high-pass filter: it removes what is coarse, but keeps all that is too fine.": high,
        "Nothing is kept. In Å, coarse is a large number and fine a small one: coarsest ≥ resolution ≥ finest.":
            np.zeros_like(right),
        "Everything is kept: with `or` (|), every component is on one side or the other. Both must hold: use &.":
            np.ones_like(right),
        "You add up the two conditions. Both must hold: use &, or multiply them.": low.astype(float) + high,
        "The two ends themselves belong to the band: use <= and >=.": whichever(
            value, (resolution < coarsest) & (resolution > finest), (resolution < coarsest) & low,
            high & (resolution > finest)),
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
            best, count = (gamma == gamma.max(axis=1, keepdims=True)).astype(float), np.bincount(shell)
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
                    whichever(value, noise_spectrum(X, A, best, shell), 2 * noise_spectrum(X, A, best, shell)),
                "That is the sum over each shell. Divide by the number of components in it.":
                    np.bincount(shell, (square - 2 * cross + energy).mean(axis=0) / 2),
                "That is the sum over the images. Take their mean.": right * len(X),
                "The energy of the references, Σ_φ Γ |A|², is missing.":
                    per_shell((square - 2 * cross).mean(axis=0) / 2, shell),
                "The cross term is missing: |X − A|² = |X|² − 2 Re X*A + |A|².": whichever(
                    value, *(per_shell((square + sign * energy).mean(axis=0) / 2, shell) for sign in (-1, 1))),
                "The complex conjugate is missing in the cross term: it is 2 Re X*A, np.conj(X) times A.":
                    per_shell((square - 2 * np.real(X * (gamma @ A)) + energy).mean(axis=0) / 2, shell),
                "A sign is wrong: |X − A|² = |X|² − 2 Re X*A + |A|².": whichever(
                    value, *(per_shell((square + a * cross + b * energy).mean(axis=0) / 2, shell)
                             for a, b in ((2, 1), (-2, -1), (2, -1)))),
                "That is the root, σ. Asked for is σ².": np.sqrt(right),
                "You add up over the images and over each shell. Both times the mean is asked for.":
                    whichever(value, right * len(X) * count, 2 * right * len(X) * count),
                "You take the mean over the rotations. Γ adds up to 1 already: add up over them.":
                    right / gamma.shape[1],
                "The weights Γ are missing, and what they should weigh is added up.": per_shell(
                    0.5 * np.mean(np.sum(np.abs(X[:, None] - A) ** 2, axis=1), axis=0), shell),
                "You take the smallest mismatch of each component. One rotation turns all components of an image: "
                "weight with Γ.": per_shell(
                    0.5 * np.min(np.abs(X[:, None] - A) ** 2, axis=1).mean(axis=0), shell),
                "You use |X − A|, an amplitude. The power is its square.": per_shell(
                    0.5 * np.einsum("nr,nrj->nj", gamma, np.abs(X[:, None] - A)).mean(axis=0), shell),
                "The cross term counts twice: |X − A|² = |X|² − 2 Re X*A + |A|².":
                    per_shell((square - cross + energy).mean(axis=0) / 2, shell),
            }) or ("That is not σ² by shell. Average Σ_φ Γ |X − A|² over the images and over the components of each "
                   "shell, and halve it.")
    return None


def judge_filter(answer: Any) -> str | None:
    """8.6: the 'optimal' filter from two spectra."""
    rng = np.random.default_rng(861)
    noise = rng.uniform(1, 5, 12)
    total = noise + rng.uniform(0.1, 9, 12)
    right = optimal_filter(total, noise)
    value = whole_arrays(answer, right.shape, total, noise)
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
            "That is the square of it: the filter is the share of the signal itself.": right**2,
            "That is upside down: signal above the line, signal and noise below.": total / signal,
            "That is half of it. Both powers are of one part, so no ½ is needed.": right / 2,
            "`total` holds the noise already: divide by total, not by total + noise.": signal / (total + noise),
            "That is noise minus total. The signal is what the total has more.": whichever(
                value, -right, -signal, np.zeros_like(right)),
        }) or "That is not signal/(signal + noise). The signal's power is what the total has more than the noise."
    total = TOO_LITTLE
    but = "Right, except where the images hold a little less than the noise, which happens by chance: "
    try:
        value = call_for_array(answer, total.shape, total, np.ones(3))
    except Wrong as wrong:
        raise wrong if "changes the arrays" in str(wrong) else Wrong(f"{but}put 0 there. {wrong}") from None
    if same(value, optimal_filter(total, np.ones(3))):
        return None
    if value[1] > 0:
        return f"{but}there is no sign of a signal there, so the weight is 0. Use np.maximum(total - noise, 0)."
    return f"{but}a power cannot be negative. Use np.maximum(total - noise, 0)."


EXERCISES = (
    Exercise("8.1", "Write the power spectrum of the images, shell by shell.", judge_power,
             "One number for each shell: that is all the noise model of this lesson adds to lesson 3.",
             ("Square the modulus of every component: np.abs(X)**2. Average over the images (axis=0) and halve.",
              "np.bincount(shell, power) adds up `power` shell by shell; np.bincount(shell) counts the components.",
              "power = np.mean(np.abs(X)**2, axis=0) / 2; return np.bincount(shell, power) / np.bincount(shell)"),
             power_spectrum, real_array),
    Exercise("8.2", "Which rotation is likelier, and by how much?", judge_odds,
             "The rotation with the larger mismatch wins, because its mismatch lies where the noise is strong.",
             ("Measure each mismatch by the noise of its own shell: 240 is little where σ² is 60.",
              "The exponent of a is −(240/(2·60) + 6/(2·1)) = −5. Now b.",
              "np.exp(-(240/120 + 6/2) + (200/120 + 12/2))"), ODDS),
    Exercise("8.3", "Write the score with a noise power for every component.", judge_scores,
             "This is the score of lesson 3, with pixels replaced by components and σ² no longer the same for all.",
             ("Start from lesson 3: (CCF − ½|A|²)/σ². Now σ² stands inside the sum over the components.",
              "The sum over components of X times conj(A), for all images and rotations: X @ np.conj(A).T.",
              "np.real((X / sigma2) @ np.conj(A).T) - 0.5 * np.sum(np.abs(A)**2 / sigma2, axis=1)"), log_scores,
             real_array),
    Exercise("8.4", "Write a band-pass filter.", judge_band_pass,
             "Two cuts, chosen by you. Soon you will see what a good choice is worth.",
             ("In Å, a coarse resolution is a large number, a fine one a small number.",
              "Two conditions that must both hold: (a) & (b), each in brackets.",
              "((resolution <= coarsest) & (resolution >= finest)).astype(float)"), band_pass, real_array),
    Exercise("8.5", "Write the M-step for σ², shell by shell.", judge_noise,
             "This is the equation of the lecture: the power of the noise is estimated from the data.",
             ("|X − A|² = |X|² − 2 Re X*A + |A|², so that no array of images × rotations × components is needed.",
              "gamma @ A is Σ_φ Γ A, shape (N, J); gamma @ np.abs(A)**2 is Σ_φ Γ |A|².",
              "residual = np.abs(X)**2 - 2*np.real(np.conj(X) * (gamma @ A)) + gamma @ np.abs(A)**2; then as in 8.1: "
              "mean over the images, half of it, mean over each shell."), noise_spectrum, real_array),
    Exercise("8.6", "Write the 'optimal' filter.", judge_filter,
             "No cut to choose, no expertise required: the data say how much of each shell to keep.",
             ("The images hold signal and noise, and their powers add up: signal = total − noise.",
              "The filter is signal/(signal + noise): 1 where all is signal, 0 where all is noise.",
              "np.maximum(total - noise, 0) / total"), optimal_filter, real_array),
)
