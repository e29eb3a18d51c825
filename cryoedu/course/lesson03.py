"""The exercises of lesson 3, ML alignment.

Arrays are named as in the lesson: ``images`` (N, n, n), ``references`` (R, n, n) the current reference turned by
each rotation, ``gamma`` (N, R) the probability Γ of each rotation for each image, ``sigma`` the noise per pixel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.effort import peak_bytes, turns
from cryoedu.course.exercises import (
    Exercise,
    Wrong,
    call,
    call_for_array,
    call_for_number,
    first_match,
    given_number,
    has_nan,
    number,
    real,
    real_array,
    same,
    shape_of,
)
from cryoedu.course.ml_steps import (
    log_likelihood,
    log_scores,
    noise,
    one_hot,
    posterior,
    rotations_left,
    softmax,
    weighted_average,
)

Array = NDArray[Any]


def example(seed: int, contrast: float = 1.0) -> tuple[Array, Array, float]:
    """Small random images (5, 8, 8), references (7, 8, 8) of unequal contrast and mean, and a σ."""
    rng = np.random.default_rng(seed)
    references = (rng.normal(size=(7, 8, 8)) + 0.2) * rng.uniform(0.1, 0.3, (7, 1, 1))
    sigma = float(rng.uniform(0.6, 0.9))
    images = references[rng.integers(0, 7, 5)] + sigma * rng.normal(size=(5, 8, 8))
    return images * contrast, references * contrast, sigma


def random_gamma(seed: int, rows: int, columns: int) -> Array:
    """Probabilities (rows, columns) that differ from row to row."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(columns, 0.5), size=rows)


CCF_1, CCF_2, SIGMA_1 = 31.0, 26.0, 2.0  # of exercise 3.1
ODDS = math.exp((CCF_1 - CCF_2) / SIGMA_1**2)


def judge_odds(answer: Any) -> str | None:
    """3.1: exp(ΔCCF / σ²)."""
    value, d = given_number(answer), CCF_1 - CCF_2
    return None if same(value, ODDS, 0.01) else first_match(value, {
        "That is the ratio of the two CCF values. Probabilities do not follow the CCF itself, but its exponential: "
        "it is the difference of the CCF values that counts.": CCF_1 / CCF_2,
        "You took the exponential of the difference, but the noise is missing: divide by σ² first.": math.exp(d),
        "You divided by σ. The Gaussian has the square, σ², below its exponent.": math.exp(d / SIGMA_1),
        "You divided by 2σ². The 2 is used up already: (X − A)² holds the CCF twice, as −2 X·A.":
            math.exp(d / (2 * SIGMA_1**2)),
        "That is the logarithm of the answer. Take its exponential.": d / SIGMA_1**2,
        "The Gaussian has the exponential to the base e, np.exp, not a power of 2.": 2 ** (d / SIGMA_1**2),
        "The Gaussian has the exponential to the base e, np.exp, not a power of 10.": 10 ** (d / SIGMA_1**2),
        "You multiplied with σ². The noise makes the odds smaller: divide by σ².": math.exp(d * SIGMA_1**2),
        "The other way round: this is how likely 95° is against 90°.": 1 / ODDS,
        "That is the probability of 90° if there were only these two rotations, p₁/(p₁ + p₂). Asked for is p₁/p₂.":
            ODDS / (1 + ODDS),
    }, 0.01) or ("That is not it. Write down log P(X|φ,Θ) for both rotations and subtract: |X|² and |A|² are the same "
                 "for both and cancel.")


def judge_posterior(answer: Any) -> str | None:
    """3.2: the E-step."""
    for seed in (321, 322):
        images, references, sigma = example(seed)
        right, score = posterior(images, references, sigma), log_scores(images, references, sigma)
        ccf, energy = score * sigma**2 + 0.5 * np.sum(references**2, (1, 2)), np.sum(references**2, (1, 2))
        gamma = call_for_array(answer, right.shape, images, references, sigma)
        if not same(gamma, right):
            by_image = np.exp(score - score.max(axis=0))
            return first_match(gamma, {
                "You divide by σ, but the Gaussian has σ² below its exponent.": softmax(score * sigma),
                "You divide by 2σ² although your score has lost its factor 2 already: (X − A)²/(2σ²) = "
                "… − X·A/σ² + |A|²/(2σ²).": softmax(score / 2),
                "You left out the energy of the reference, −|A|²/2. It cancels only if all references have the same "
                "energy, and a pixelated image that turns does not quite keep it.": softmax(ccf / sigma**2),
                "The sign of −|A|²/2 is wrong: a strong reference must not win just by being strong.":
                    softmax((ccf + 0.5 * energy) / sigma**2),
                "The sign is wrong: the best match must get the most, not the least.": softmax(-score),
                "This is log P(X|φ,Θ), not yet a probability: take the exponential and divide by the sum.": score,
                "That is log Γ. Take the exponential.": np.log(right),
                "You divide the score by its sum. First take the exponential: it is exp(score) that adds up to the "
                "probability.": score / score.sum(axis=1, keepdims=True),
                "The probabilities are not normalised: divide the row of each image by its sum.": np.exp(score),
                "The probabilities of one image do not add up to 1: after subtracting the largest score, divide the "
                "row by its sum.": np.exp(score - score.max(axis=1, keepdims=True)),
                "You normalise over the images (axis 0). Each image must have one rotation or another: "
                "normalise over the rotations (axis 1).": by_image / by_image.sum(axis=0),
                "You give all the weight to the best rotation. That is maxCC; the E-step keeps every rotation, "
                "with its probability.": one_hot(score),
                "That is the normalised CCF. It ranks the rotations, but it is no probability.":
                    ccf / np.sqrt(energy * np.sum(images**2, (1, 2))[:, None]),
            }) or rows_problem(gamma) or ("The numbers are not the posterior. Compute the score (X·A − |A|²/2)/σ² "
                                          "first, then its exponential, then divide each row by its sum.")
    images, references, sigma = example(323, contrast=60.0)
    strong = real(call(answer, images, references, sigma))
    if not np.isfinite(strong).all():
        return ("Right for noisy images, but a strong signal gives NaN or infinity: exp(800) is more than a computer "
                "can hold, and exp(−800) is 0 to it. Subtract the largest score of each image, not of all, before the "
                "exponential; the ratio stays the same.")
    return None if same(strong, posterior(images, references, sigma)) else \
        "Right for noisy images, but wrong for a strong signal. Subtract the largest score of each image before exp."


def judge_rotations_left(answer: Any) -> str | None:
    """3.3: exp(entropy)."""
    inside = random_gamma(331, 4, 7)
    right = rotations_left(inside)
    shape = shape_of(call(answer, inside))
    if shape == ():
        return "One number for each image is asked for: add up over the rotations (axis=1), not over everything."
    if shape == (inside.shape[1],):
        return "That is one number for each rotation. Add up over the rotations (axis=1): one number for each image."
    value = call_for_array(answer, right.shape, inside)
    if not same(value, right):
        entropy = np.log(right)
        return first_match(value, {
            "That is the entropy itself. Take its exponential to count rotations.": entropy,
            "That is Σ Γ log Γ. Take the exponential of minus this.": -entropy,
            "That is the entropy in bits. Take 2 to this power, or use the natural logarithm and exp.":
                entropy / np.log(2),
            "The sign is wrong: logarithms of probabilities are negative, so the sum needs a minus.": 1 / right,
            "You mixed two bases: with log2 use 2**…, with the natural logarithm use exp.":
                np.exp(entropy / np.log(2)),
            "You mixed two bases: with the natural logarithm use exp, with log2 use 2**….": 2**entropy,
            "You mixed two bases: with log10 use 10**…, with the natural logarithm use exp.":
                np.exp(entropy / np.log(10)),
            "You took the mean over the rotations. The entropy is the sum.": np.exp(entropy / inside.shape[1]),
            "The weight is missing: it is Σ Γ log Γ, not Σ log Γ.": np.exp(-np.sum(np.log(inside), axis=1)),
            "That is 1/Σ Γ², another fair way to count; here the exponential of the entropy is asked for.":
                1 / np.sum(inside**2, axis=1),
            "That counts the rotations whose probability is not zero. Count them by their weight.":
                np.sum(inside > 0, axis=1),
        }) or "That is not exp(−Σ Γ log Γ). For a flat Γ over R rotations the answer must be R, for a certain one 1."
    certain = np.vstack([np.eye(5)[:2], np.full((1, 5), 0.2)])
    if not same(real(call(answer, certain)), [1.0, 1.0, 5.0]):
        return ("Right, except where a probability is exactly 0: 0·log 0 counts as 0, but the computer makes NaN of "
                "it. Use np.log(np.maximum(gamma, 1e-30)).")
    return None


def judge_average(answer: Any) -> str | None:
    """3.4: the M-step for the reference."""
    from scipy.ndimage import gaussian_filter

    from cryoedu.microscope.realspace import rotate

    for seed in (341, 342):
        rng = np.random.default_rng(seed)
        images = gaussian_filter(rng.normal(size=(5, 20, 20)), (0, 2, 2)) * 10
        angles, gamma = np.array([15.0, 110.0, 260.0]), random_gamma(seed, 5, 3)
        right = weighted_average(images, gamma, angles)
        average = call_for_array(answer, right.shape, images, gamma, angles)
        if same(average, right, 0.01):
            continue
        sums = np.array([np.tensordot(gamma[:, k], images, 1) for k in range(len(angles))])
        forward = sum(rotate(total, a) for total, a in zip(sums, angles)) / len(images)
        own = sum(rotate(total / weight, -a) for total, weight, a in zip(sums, gamma.sum(axis=0), angles))
        flat = weighted_average(images, np.full_like(gamma, 1 / gamma.shape[1]), angles)
        return first_match(average, {
            "You turn the images the wrong way: the particle was turned by +φ, so it is turned back by −φ.": forward,
            "You turn the wrong way, and you do not divide by the number of images.": forward * len(images),
            "You do not turn the images back, so all orientations are smeared into one another.": images.mean(axis=0),
            "The weighted sum is right, but it is not divided by the number of images.": right * len(images),
            "You divide by the number of rotations. The weights of one image add up to 1: divide by the number of "
            "images.": right * len(images) / len(angles),
            "You divide by the number of rotations times the number of images. The weights of one image add up to 1 "
            "already: divide by the number of images.": right / len(angles),
            "You divide by the number of pixels in a row, len(average). Divide by the number of images.":
                right * len(images) / len(right),
            "You divide by all the pixels of all images (images.size). Divide by the number of images, len(images).":
                right / right.size,
            "You divide twice by the number of images.": right / len(images),
            "You divide the sum of each rotation by its own weights. Then a rotation that hardly any image has counts "
            "as much as one that most have: add up all, and divide by the number of images.": own / len(angles),
            "You divide the sum of each rotation by its own weights, and add up. Add up the sums themselves, and "
            "divide by the number of images.": own,
            "You use only the best rotation of each image. That is align-and-average, maxCC; "
            "here every rotation counts, with its weight Γ.": weighted_average(images, one_hot(gamma), angles),
            "The weights are missing: every rotation counts the same here, which gives a rotational average.": flat,
            "The weights are missing: every image goes into every rotation with weight 1.": flat * len(angles),
            "That is the last rotation only. Add up in the loop (average += …).": rotate(sums[-1], -angles[-1]),
            "That is the last rotation only, divided. Add up in the loop (average += …).":
                rotate(sums[-1], -angles[-1]) / len(images),
            "That is zero everywhere: nothing was added to `average`.": np.zeros(right.shape),
        }, 0.01) or ("That is not the weighted average. For each rotation: add up the images with their weights Γ, "
                     "turn the sum back by −φ, add it to the average; at the end divide by the number of images.")
    if turns(answer, images, gamma, angles) >= gamma.size:
        return ("Right, but you turn every image by every rotation. With 500 images that takes 500 times as long, and "
                "the lesson would run for half an hour. First add up the images with their weights, then turn their "
                "sum once for each rotation.")
    return None


def noise_mistakes(images: Array, references: Array, gamma: Array) -> dict[str, float]:
    """What is said of a usual wrong σ, and that σ; NaN where it is the root of something negative."""
    ccf = np.tensordot(images, references, axes=([1, 2], [1, 2]))
    energy, x, size = np.sum(references**2, axis=(1, 2)), float(np.sum(images**2)), images.size
    count, rotations = gamma.shape
    cross, power = float(np.sum(gamma * ccf)), float(np.sum(gamma * energy))
    right = x - 2 * cross + power
    squares = {
        "That is the root mean square of the images, signal included. Subtract what the references explain.": x,
        "The sign of the CCF is wrong: |X − A|² = |X|² − 2 CCF + |A|².": x + 2 * cross + power,
        "The sign of the energy is wrong: |X − A|² = |X|² − 2 CCF + |A|².": x - 2 * cross - power,
        "The CCF counts twice: |X − A|² = |X|² − 2 CCF + |A|².": x - cross + power,
        "The energy counts whole: |X − A|² = |X|² − 2 CCF + |A|². (The ½ of the score is gone.)":
            x - 2 * cross + power / 2,
        "The energy of the references, + Σ Γ |A|², is missing from the square.": x - 2 * cross,
        "The term −2 Σ Γ CCF is missing from the square.": x + power,
        "You add up the energies of all references without their weights. Each counts as often as images have it: "
        "Σ_i Σ_φ Γ |A|².": x - 2 * cross + float(energy.sum()),
        "You add the energies of all references for each image, without Γ. Weight them: Σ_i Σ_φ Γ |A|².":
            x - 2 * cross + count * float(energy.sum()),
        "You take the plain mean of the energies. Weight them with Γ: Σ_i Σ_φ Γ |A|².":
            x - 2 * cross + count * float(energy.mean()),
        "You add up the CCF without Γ. Weight it: Σ_i Σ_φ Γ CCF.": x - 2 * float(ccf.sum()) + power,
        "Γ is missing in two places: weight the CCF and the energies, Σ_i Σ_φ Γ CCF and Σ_i Σ_φ Γ |A|².":
            x - 2 * float(ccf.sum()) + float(energy.sum()),
        "You add |X|² for every rotation, without Γ. The weights of one image add up to 1, so |X|² counts once.":
            rotations * x - 2 * cross + power,
        "Γ is missing: that adds up over all rotations as if each of them were certain.":
            rotations * x - 2 * float(ccf.sum()) + count * float(energy.sum()),
        "You divide by the number of rotations too. The weights of one image add up to 1 already: divide by "
        "images.size.": right / rotations,
        "The 2 below the exponent of the Gaussian has no place here: σ² is the mean of the squares.": right / 2,
        "You divide by the number of images only. σ is the noise of a pixel: divide by the number of images "
        "times the number of pixels (images.size).": right * images[0].size,
        "You divide by the number of pixels of one image. Divide by the number of images times the number of pixels "
        "(images.size).": right * count,
        "You do not divide: σ² is the mean over all pixels of all images. Divide by images.size.": right * size,
        "You take the root first and then divide by images.size. Divide first.": right / size,
    }
    mean_reference = np.tensordot(gamma, references, axes=1)
    return {
        "That is σ². Take the square root.": right / size,
        "That is Σ Γ |X − A|², summed over everything. Divide by images.size, and take the root.": right,
        **{why: math.sqrt(value / size) if value >= 0 else math.nan for why, value in squares.items()},
        "That is the spread of the images themselves, signal included. Subtract what the references explain.":
            float(np.std(images)),
        "You subtract the averaged reference Σ Γ A from each image. Square first, then average: the uncertainty about "
        "the rotation belongs to the noise too.": float(np.sqrt(np.mean((images - mean_reference) ** 2))),
        "You use only the best rotation of each image (maxCC). Weight every rotation with its Γ.":
            noise(images, references, one_hot(gamma)),
        "The weights Γ are missing: every rotation counts the same here.":
            noise(images, references, np.full_like(gamma, 1 / rotations)),
    }


def judge_noise(answer: Any) -> str | None:
    """3.5: the M-step for σ."""
    for seed in (511, 571):  # none of `noise_mistakes` is another one by accident
        images, references, _ = example(seed)
        references = 2 * references  # strong enough that each mistake shows
        gamma = random_gamma(seed, len(images), len(references))
        result = call(answer, images, references, gamma)
        if has_nan(result):
            return ("The root of a negative number is NaN. Squares cannot add up to less than 0, so a sign or a weight "
                    "is wrong: Σ |X|² − 2 Σ Γ CCF + Σ Γ |A|².")
        if shape_of(result) == images.shape[:1]:
            return "You give a σ for each image. One σ for all is asked for: add up over the images too."
        value = call_for_number(answer, images, references, gamma)
        if not same(value, noise(images, references, gamma)):
            return first_match(value, noise_mistakes(images, references, gamma)) or (
                "That is not the root mean square of the residual. Add up Γ |X − A|² over images and rotations, "
                "divide by images.size, take the root.")
    images, references = np.ones((30, 24, 24)), np.ones((40, 24, 24))
    gamma = np.full((30, 40), 1 / 40)
    if peak_bytes(answer, images, references, gamma) > 2 * len(images) * references.size:  # bytes
        return ("Right, but your function holds images × rotations × pixels at once, which would take up to a gigabyte "
                "in the next section. Multiply out the square: |X − A|² = |X|² − 2 CCF + |A|².")
    return None


def judge_log_likelihood(answer: Any) -> str | None:
    """3.6: option 2, the marginal likelihood."""
    for seed in (361, 362):
        images, references, sigma = example(seed)
        right, score = log_likelihood(images, references, sigma), log_scores(images, references, sigma)
        if shape_of(call(answer, images, references, sigma)) == images.shape[:1]:
            return "You give a number for each image. The images are independent: add up their log-likelihoods."
        value = call_for_number(answer, images, references, sigma)
        if not same(value, right, 1e-4):
            squares, count = np.sum(images**2) / (2 * sigma**2), images.size / 2
            norm = count * np.log(2 * np.pi * sigma**2)
            marginal, prior = right + squares + norm, len(images) * np.log(len(references))
            return first_match(value, {
                "The prior is missing: P(φ|Θ) = 1/R for R rotations. Average over the rotations instead of adding up.":
                    right + prior,
                "You keep only the best rotation of each image. That is option 1, maxCC; the likelihood adds up over "
                "all rotations.": np.sum(score.max(axis=1)) - squares - norm,
                "You keep only the best rotation of each image, with its prior. That is option 1; the likelihood adds "
                "up over all rotations.": np.sum(score.max(axis=1)) - squares - norm - prior,
                "The normalisation of the Gaussian is missing, −½ log(2πσ²) for every pixel. Without it a larger σ "
                "would always win.": right + norm,
                "The normalisation is −½ log(2πσ²) for every pixel; yours lacks the ½.": right - norm,
                "The term −|X|²/(2σ²) is missing.": right + squares,
                "Both constants are missing: −|X|²/(2σ²) and −½ log(2πσ²) for every pixel.": marginal,
                "That is the mean over the images. The images are independent: their log-likelihoods add up.":
                    right / len(images),
                "The sign is wrong: log L is asked for, not −log L.": -right,
                "The constant is to be subtracted, you add it.": marginal + squares + norm,
                "You subtract the constant for every image. It holds the sum over all images already.":
                    marginal - len(images) * (squares + norm),
                "You take the mean of the scores. It is the mean of exp(score) that counts, and then its logarithm.":
                    np.sum(score.mean(axis=1)) - squares - norm,
                "You average over the images before the logarithm. Each image has a logarithm of its own, and these "
                "add up.": np.log(np.mean(np.exp(score))) - squares - norm,
                "You add up over the images before the logarithm. Each image has a logarithm of its own, and these "
                "add up.": np.log(np.sum(np.mean(np.exp(score), axis=1))) - squares - norm,
                "The logarithm is missing: log L adds up logarithms.":
                    np.sum(np.mean(np.exp(score), axis=1)) - squares - norm,
                "You took out the largest score and did not add it again after the logarithm.":
                    right - np.sum(score.max(axis=1)),
                "You took out the largest score of all once for each image, but it must come back for each image: add "
                "it after the logarithm, inside the sum.": right - (len(images) - 1) * score.max(),
            }, 1e-4) or ("That is not log L. For each image: the logarithm of the average over the rotations of "
                         "exp(score); add this up over the images, then subtract Σ|X|²/(2σ²) and, for every pixel of "
                         "every image, ½ log(2πσ²).")
    images, references, sigma = example(363, contrast=60.0)
    try:
        strong = call_for_number(answer, images, references, sigma)
    except Wrong:
        strong = math.nan
    return None if same(strong, log_likelihood(images, references, sigma), 1e-4) else (
        "Right for noisy images, but a strong signal makes the exponential overflow, or vanish so that log 0 follows. "
        "Take the largest score of each image out of the exponential and add it again after the logarithm.")


def rows_problem(gamma: Array) -> str | None:
    """What is wrong with rows that are no probabilities."""
    if (gamma < 0).any():
        return "Some of your probabilities are negative."
    if not np.allclose(gamma.sum(axis=1), 1, atol=1e-3):
        return f"The probabilities of the first image add up to {gamma[0].sum():.3f}, not to 1."
    return None


EXERCISES = (
    Exercise("3.1", "How many times likelier is one rotation than another?", judge_odds,
             "Five units of CCF at σ = 2 are odds of 3.5 to 1: better, but far from certain. maxCC would have "
             "forgotten the loser.",
             ("The two scores differ only in the CCF: |X|² and |A|² are the same for both rotations.",
              "log P(X|φ,Θ) = CCF/σ² + the same constant. What happens to a difference of logarithms under exp?",
              "np.exp((31 - 26) / 2**2)"), ODDS, number),
    Exercise("3.2", "Write the E-step: the probability of each rotation for each image.", judge_posterior,
             "This is the E-step of every program named at the end of this lesson; they only have more hypotheses.",
             ("Start from the score of the cell above: score = (CCF − |A|²/2)/σ², one row for each image.",
              "Bayes: Γ = exp(score), divided by the sum of its row. keepdims=True keeps the shapes fitting.",
              "exp overflows for large scores: subtract score.max(axis=1, keepdims=True) first. It cancels.",
              "ccf = np.tensordot(images, references, axes=([1, 2], [1, 2])); "
              "score = (ccf - 0.5 * np.sum(references**2, axis=(1, 2))) / sigma**2; …"), posterior, real_array),
    Exercise("3.3", "How many rotations does an image still leave open?", judge_rotations_left,
             "1 means certain; as many as there are rotations means that the image says nothing.",
             ("The entropy of one row is −Σ Γ log Γ.",
              "Its exponential counts: exp(log R) = R for a flat row.",
              "0·log 0 is NaN to a computer: use np.log(np.maximum(gamma, 1e-30))."), rotations_left, real_array),
    Exercise("3.4", "Write the M-step for the reference: the probability-weighted average.", judge_average,
             "With all the weight on one rotation this function is align-and-average; with Γ it is ML. Nothing else "
             "tells the two apart.",
             ("Turn back what was turned: rotate(image, -angle).",
              "Turning is linear: add up the weighted images of one rotation first and turn the sum once.",
              "average += rotate(np.tensordot(gamma[:, k], images, axes=1), -angle) for each k, angle; "
              "at the end divide by len(images)."), weighted_average, real_array),
    Exercise("3.5", "Write the M-step for σ: what the references leave unexplained.", judge_noise,
             "Nobody has to tell the program how noisy the images are.",
             ("|X − A|² = |X|² − 2 X·A + |A|²: nothing of size images × rotations × pixels is needed.",
              "Σ_φ Γ = 1 for each image, so |X|² needs no weights.",
              "squares = np.sum(images**2) - 2 * np.sum(gamma * ccf) + np.sum(gamma * energy), with energy = "
              "np.sum(references**2, axis=(1, 2)); divide by images.size and take the root."), noise, number),
    Exercise("3.6", "Write the log-likelihood: the images, whatever their rotations.", judge_log_likelihood,
             "This number is what ML maximises. It can only climb.",
             ("For one image: log of the average over φ of exp(score), because P(φ|Θ) = 1/R.",
              "Take the largest score out of the exponential and add it again after the logarithm.",
              "Then subtract what the score left out: Σ|X|²/(2σ²) and images.size/2 · log(2πσ²)."), log_likelihood,
             number),
)
