"""The exercises of lesson 4, 2D classification.

Arrays are named as in the lesson: ``images`` (N, n, n), ``references`` (K, R, n, n) the average of each class turned
by each rotation, ``gamma`` (N, K, R) the probability Γ of each class and rotation for each image, ``weights`` (K,) the
share of each class, ``sigma`` the noise per pixel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import (
    Exercise,
    Wrong,
    call,
    call_for_array,
    call_for_number,
    first_match,
    given_number,
    same,
)

Array = NDArray[Any]


def log_scores(images: Array, references: Array, sigma: float) -> Array:
    """log P(X|k,φ,Θ) (N, K, R), less a constant of each image: (CCF - |A|²/2) / σ²."""
    ccf = np.tensordot(images, references, axes=([1, 2], [2, 3]))
    return np.asarray((ccf - 0.5 * np.sum(references**2, axis=(2, 3))) / sigma**2)


# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

def posterior(images: Array, references: Array, sigma: float, weights: Array) -> Array:
    """Γ (N, K, R): the probability of each class and rotation for each image; those of one image add up to 1."""
    score = log_scores(images, references, sigma) + np.log(np.maximum(weights, 1e-30))[:, None]
    gamma = np.exp(score - score.max(axis=(1, 2), keepdims=True))
    return np.asarray(gamma / gamma.sum(axis=(1, 2), keepdims=True))


def class_weights(gamma: Array) -> Array:
    """(K,): the share of the images that belongs to each class, whatever their rotations."""
    return np.asarray(gamma.sum(axis=(0, 2)) / len(gamma))


def weighted_averages(images: Array, gamma: Array, angles: Array) -> Array:
    """(K, n, n): for each class all images, turned back by all rotations, weighted with Γ; 0 for an empty class."""
    from cryoedu.microscope.realspace import rotate

    sums = np.tensordot(gamma, images, axes=(0, 0))
    averages = np.zeros((len(sums), *images.shape[1:]))
    for k in range(len(averages)):
        for r, angle in enumerate(angles):
            averages[k] += rotate(sums[k, r], -angle)
        averages[k] /= max(gamma[:, k].sum(), 1e-9)
    return averages


def purity(classes: Array, truth: Array) -> float:
    """Share of the images that belong to the commonest view of their own class."""
    right = sum(np.bincount(truth[classes == k]).max() for k in np.unique(classes))
    return float(right / len(truth))


def selection(classes: Array, good: Array, particle: Array) -> tuple[float, float]:
    """Share of the particles that are in the ``good`` classes, and share of junk among the images there."""
    chosen = np.isin(classes, good)
    return float(chosen[particle].mean()), float(1 - particle[chosen].mean())


# ---- the judges -------------------------------------------------------------------------------------------------

def example(seed: int, contrast: float = 1.0) -> tuple[Array, Array, float, Array]:
    """Small random images (5, 8, 8), references (3, 4, 8, 8) of unequal contrast, a σ, and unequal weights (3,)."""
    rng = np.random.default_rng(seed)
    references = rng.normal(size=(3, 4, 8, 8)) * rng.uniform(0.1, 0.3, (3, 4, 1, 1))
    sigma = float(rng.uniform(0.6, 0.9))
    images = references[rng.integers(0, 3, 5), rng.integers(0, 4, 5)] + sigma * rng.normal(size=(5, 8, 8))
    return images * contrast, references * contrast, sigma, np.array([0.62, 0.3, 0.08])[rng.permutation(3)]


def random_gamma(seed: int, images: int, classes: int, rotations: int) -> Array:
    """Probabilities (images, classes, rotations) that differ from image to image, with classes of unequal weight."""
    rng = np.random.default_rng(seed)
    alpha = np.outer(rng.uniform(0.2, 1.5, classes), np.ones(rotations)).ravel()
    return rng.dirichlet(alpha, size=images).reshape(images, classes, rotations)


CCF_A, CCF_B, ENERGY_A, ENERGY_B, WEIGHT_A, WEIGHT_B, SIGMA_1 = 52.0, 50.0, 30.0, 34.0, 0.6, 0.2, 2.0  # of exercise 4.1
FIT = (CCF_A - CCF_B - (ENERGY_A - ENERGY_B) / 2) / SIGMA_1**2
ODDS = WEIGHT_A / WEIGHT_B * math.exp(FIT)


def judge_odds(answer: Any) -> str | None:
    """4.1: w_A/w_B · exp((ΔCCF - Δ|A|²/2) / σ²)."""
    value, share = given_number(answer), WEIGHT_A / WEIGHT_B
    return None if same(value, ODDS, 0.01) else first_match(value, {
        "You left out how common the classes are: before anything is seen, A is three times as probable as B.":
            ODDS / share,
        "You left out the energies |A|²/2 and |B|²/2. In lesson 3 they cancelled, because one reference keeps its "
        "energy when it turns. Two classes differ in theirs.": share * math.exp((CCF_A - CCF_B) / SIGMA_1**2),
        "You left out both the energies and the shares of the classes.": math.exp((CCF_A - CCF_B) / SIGMA_1**2),
        "You took the whole difference of the energies; the score has |A|²/2.":
            share * math.exp((CCF_A - CCF_B - (ENERGY_A - ENERGY_B)) / SIGMA_1**2),
        "The energies have the wrong sign: a reference must not win by being strong.":
            share * math.exp((CCF_A - CCF_B + (ENERGY_A - ENERGY_B) / 2) / SIGMA_1**2),
        "You divided by σ. The score is divided by σ².": share * math.exp(FIT * SIGMA_1),
        "You did not divide by σ².": share * math.exp(FIT * SIGMA_1**2),
        "That is the logarithm of the answer. Take its exponential.": math.log(ODDS),
        "The shares are multiplied with the probabilities, not added to the exponent: add their logarithms there.":
            math.exp(FIT + WEIGHT_A - WEIGHT_B),
        "The other way round: this is how likely B is against A.": 1 / ODDS,
        "That is the probability of A if there were only these two, p₁/(p₁ + p₂). Asked for is p₁/p₂.":
            ODDS / (1 + ODDS),
    }, 0.01) or ("That is not it. Write log P(X|k,φ,Θ) + log w for both and subtract: the constant of the image "
                 "cancels, the energies and the shares do not.")


def judge_posterior(answer: Any) -> str | None:
    """4.2: the E-step over classes and rotations."""
    for seed in (421, 422):
        images, references, sigma, weights = example(seed)
        right = posterior(images, references, sigma, weights)
        score = log_scores(images, references, sigma)
        full = score + np.log(weights)[:, None]
        gamma = call_for_array(answer, right.shape, images, references, sigma, weights)
        if not same(gamma, right):
            return first_match(gamma, {
                "The class weights are missing: a common class is more probable before anything is seen. Add log w to "
                "the score of each class.": normalised(score, (1, 2)),
                "You normalise over the rotations only, so each class has probability 1. An image is in one class: "
                "normalise over classes and rotations together, axis=(1, 2).": normalised(full, (2,)),
                "You normalise over the classes only. An image has one class and one rotation: normalise over both "
                "together, axis=(1, 2).": normalised(full, (1,)),
                "You normalise over the images. Each image must have some class and rotation: axis=(1, 2).":
                    normalised(full, (0,)),
                "All images together add up to 1. Each image for itself must: axis=(1, 2) and keepdims=True.":
                    normalised(full, (0, 1, 2)),
                "You add the weights themselves to the score. The score is a logarithm: add np.log(weights).":
                    normalised(score + weights[:, None], (1, 2)),
                "You multiply the score with the weights. It is the probability that is multiplied: add "
                "np.log(weights) to the score.": normalised(score * weights[:, None], (1, 2)),
                "You multiply with the weights after normalising, so the sum is no longer 1. Normalise last.":
                    normalised(score, (1, 2)) * weights[:, None],
                "This is the logarithm, not yet a probability: take the exponential and divide by the sum.": full,
                "The probabilities are not normalised: divide by the sum over classes and rotations.": np.exp(full),
                "The probabilities of one image do not add up to 1: after subtracting the largest score, divide by "
                "the sum.": np.exp(full - full.max(axis=(1, 2), keepdims=True)),
                "You give all the weight to the best class and rotation. That is maxCC; the E-step keeps them all.":
                    one_hot(full),
            }) or image_problem(gamma) or (
                "The numbers are not the posterior. Add log w of its class to each score, take the exponential, and "
                "divide by the sum over both classes and rotations.")
    images, references, sigma, weights = example(423, contrast=60.0)
    strong = np.asarray(call(answer, images, references, sigma, weights), dtype=float)
    return None if same(strong, posterior(images, references, sigma, weights)) else (
        "Right for noisy images, but a strong signal overflows: exp(800) is more than a computer can hold. Subtract "
        "the largest score of each image first, over classes and rotations: score.max(axis=(1, 2), keepdims=True).")


def judge_class_weights(answer: Any) -> str | None:
    """4.3: the M-step for the class weights."""
    for seed in (431, 432):
        gamma = random_gamma(seed, 7, 3, 5)
        right = class_weights(gamma)
        value = np.asarray(call(answer, gamma), dtype=float)
        if value.shape == (len(gamma), 3):
            return "That is the class probability of each image, (N, K). The weight of a class is its mean over images."
        if value.shape == (3, 5):
            return "That is for each class and rotation. Add up over the rotations too."
        value = call_for_array(answer, right.shape, gamma)
        if not same(value, right):
            hard = np.bincount(gamma.sum(axis=2).argmax(axis=1), minlength=3)
            return first_match(value, {
                "That is the number of images in each class. Divide by N to get shares.": right * len(gamma),
                "That is the mean over images and rotations. The rotations of one image add up to its class "
                "probability: sum over them, and average over the images only.": right / gamma.shape[2],
                "You count the best class of each image. In ML every image counts in every class, with its "
                "probability.": hard / len(gamma),
                "You count the best class of each image, and do not divide by N.": hard,
                "That is the weight of the best rotation only. Add up over the rotations.":
                    gamma.max(axis=2).mean(axis=0),
                "All classes get the same weight. Let the images decide.": np.full(3, 1 / 3),
            }) or "These are not the shares. Add up Γ over images and rotations and divide by the number of images."
    return None


def judge_averages(answer: Any) -> str | None:
    """4.4: the M-step for the averages."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(441)
    images = gaussian_filter(rng.normal(size=(5, 20, 20)), (0, 2, 2)) * 10
    angles, gamma = np.array([0.0, 35.0, 110.0, 260.0]), random_gamma(442, 5, 3, 4)
    right, counts = weighted_averages(images, gamma, angles), gamma.sum(axis=(0, 2))[:, None, None]
    averages = call_for_array(answer, right.shape, images, gamma, angles)
    if not same(averages, right, 0.01):
        best = one_hot(np.log(gamma))
        return first_match(averages, {
            "You divide by the number of all images. Only the images of a class stand behind its average: divide by "
            "the sum of their weights, gamma[:, k].sum().": right * counts / len(images),
            "The weighted sums are right, but not divided by the weights behind them.": right * counts,
            "You turn the images the wrong way: a particle that was turned by +φ is turned back by −φ.":
                weighted_averages(images, gamma, -angles),
            "You do not turn the images back, so all orientations are smeared into one another.":
                np.tensordot(gamma.sum(axis=2), images, axes=(0, 0)) / counts,
            "You use only the best class and rotation of each image. That is align-and-average, maxCC.":
                weighted_averages(images, best, angles),
            "All your averages are the same, so the classes are lost: use gamma[:, k] for class k.":
                np.broadcast_to(np.sum(right * counts, axis=0) / len(images), right.shape),
            "You divide by the number of rotations. The weights behind a class are gamma[:, k].sum().":
                right * counts / len(angles),
        }, 0.01) or ("These are not the weighted averages. For each class: turn sums[k, r] back by −angles[r] and add "
                     "up over the rotations; then divide by gamma[:, k].sum().")
    gamma[:, 1] = 0.0
    empty = np.asarray(call(answer, images, gamma, angles), dtype=float)
    return None if np.isfinite(empty).all() else (
        "Right, but for an empty class you divide by 0, and NaN spreads to everything in the next round. Divide by "
        "max(gamma[:, k].sum(), 1e-9).")


def judge_purity(answer: Any) -> str | None:
    """4.5: the share that belongs to the commonest view of their class."""
    for seed, labels in ((451, (2, 0, 1, 3)), (452, (1, 0, 4, 2))):  # the second leaves class 3 empty
        rng = np.random.default_rng(seed)
        truth = rng.choice(3, size=90, p=[0.5, 0.3, 0.2])
        classes = np.array(labels)[np.where(rng.random(90) < 0.65, truth, rng.integers(0, 4, 90))]
        table = np.zeros((5, 3))
        np.add.at(table, (classes, truth), 1)
        table = table[table.any(axis=1)]
        right = purity(classes, truth)
        try:
            value = call_for_number(answer, classes, truth)
        except Wrong as wrong:
            return str(wrong) if seed == 451 else (
                f"Right while every class has images. {wrong} Here class 3 is empty: go through np.unique(classes).")
        if not same(value, right, 1e-6):
            return first_match(value, {
                "You compare class numbers. Nobody told the program which class is to be number 0: class 2 may well be "
                "view 0. Look at what is in each class.": float(np.mean(classes == truth)),
                "That is the mean of the purities. A class of three images must not count as much as one of three "
                "hundred: count images, then divide once by N.": float(np.mean(table.max(axis=1) / table.sum(axis=1))),
                "You look for the commonest class of each view. Turn it round: the commonest view of each class.":
                    float(table.max(axis=0).sum() / len(truth)),
                "That is the number of images. Divide by N.": right * len(truth),
                "That is the share of images in the wrong class. Purity is 1 minus that.": 1 - right,
            }, 1e-6) or ("That is not the purity. For each class: how many of its images are of its commonest view? "
                         "Add these numbers up and divide by N.")
    return None


def judge_selection(answer: Any) -> str | None:
    """4.6: what a choice of classes keeps, and how much junk comes with it."""
    for seed in (461, 462):
        rng = np.random.default_rng(seed)
        classes, good = rng.integers(0, 6, 120), np.array([0, 2, 5])
        particle = rng.random(120) < np.where(np.isin(classes, good), 0.9, 0.3)
        right = np.array(selection(classes, good, particle))
        value = call_for_array(answer, right.shape, classes, good, particle)
        if not same(value, right, 1e-6):
            chosen = np.isin(classes, good)
            kept, junk = right
            all_kept, caught = float(chosen.mean()), float(chosen[~particle].mean())
            return first_match(value, {
                "The two numbers are swapped: first the share of the particles that is kept, then the share of junk.":
                    [junk, kept],
                "The second number is the share of *particles* among the chosen images. Junk is the rest, 1 minus "
                "that.": [kept, 1 - junk],
                "The second number is the share of all junk that is kept. Asked for is how much of what you *keep* is "
                "junk.": [kept, caught],
                "The second number is the share of all junk that is left behind. Asked for is how much of what you "
                "*keep* is junk.": [kept, 1 - caught],
                "The first number is the share of all images that is kept. Asked for is the share of the particles.":
                    [all_kept, junk],
                "You divide by the number of all images both times. The first number is a share of the particles, the "
                "second a share of the chosen images.": [kept * particle.mean(), junk * all_kept],
                "That is what the classes that were *not* chosen hold.":
                    [1 - kept, 1 - float(particle[~chosen].mean())],
            }, 1e-6) or ("These are not the two shares. chosen = np.isin(classes, good) says for each image whether "
                         "its class is good. Then: the mean of chosen over the particles, and the share of images that "
                         "are no particles among the chosen ones.")
    return None


def normalised(score: Array, axes: tuple[int, ...]) -> Array:
    """exp(score) divided by its sum over ``axes``."""
    gamma = np.exp(score - score.max(axis=axes, keepdims=True))
    return np.asarray(gamma / gamma.sum(axis=axes, keepdims=True))


def one_hot(score: Array) -> Array:
    """All the weight of each image on its best class and rotation."""
    return np.asarray((score == score.max(axis=(1, 2), keepdims=True)).astype(float))


def image_problem(gamma: Array) -> str | None:
    """What is wrong with probabilities (N, K, R) that are none."""
    if (gamma < 0).any():
        return "Some of your probabilities are negative."
    if not np.allclose(gamma.sum(axis=(1, 2)), 1, atol=1e-3):
        return f"The probabilities of the first image add up to {gamma[0].sum():.3f}, not to 1."
    return None


EXERCISES = (
    Exercise("4.1", "How many times likelier is one class than another?", judge_odds,
             "The CCF alone says 1.6 to 1. The weaker reference and the larger class make 8 to 1 of it.",
             ("Write the score of each class: (CCF − |A|²/2)/σ².",
              "A has 52 − 15 = 37, B has 50 − 17 = 33. Divide the difference by σ² = 4.",
              "Then multiply with the odds before anything is seen, 0.6/0.2.",
              "0.6 / 0.2 * np.exp(((52 - 30 / 2) - (50 - 34 / 2)) / 2**2)"), ODDS),
    Exercise("4.2", "Write the E-step over classes and rotations.", judge_posterior,
             "The hidden data have become a pair, class and rotation. Nothing else has changed.",
             ("The prior P(k, φ|Θ) is w_k/R. R is the same for all, so only log w_k has to be added to the score.",
              "score has the shape (N, K, R): np.log(weights)[:, None] has the shape (K, 1) and fits.",
              "From there on as in 3.2, but max and sum run over axis=(1, 2), with keepdims=True.",
              "score += np.log(weights)[:, None]; gamma = np.exp(score - score.max(axis=(1, 2), keepdims=True)); "
              "return gamma / gamma.sum(axis=(1, 2), keepdims=True)"), posterior),
    Exercise("4.3", "Write the M-step for the class weights.", judge_class_weights,
             "Nobody has to tell the program how common each view is, just as nobody told it σ.",
             ("Γ summed over the rotations is the class probability of an image.",
              "Its mean over the images is the share of the class.",
              "gamma.sum(axis=(0, 2)) / len(gamma)"), class_weights),
    Exercise("4.4", "Write the M-step for the averages: one for each class.", judge_averages,
             "Each image helps to build every average, as far as it may belong there.",
             ("sums[k, r] holds all images, weighted for class k and rotation r. It still has to be turned back.",
              "Add up rotate(sums[k, r], -angles[r]) over r.",
              "Divide by the weights behind the class, gamma[:, k].sum(). In an empty class that is 0: "
              "max(gamma[:, k].sum(), 1e-9).",
              "for r, angle in enumerate(angles): averages[k] += rotate(sums[k, r], -angle); then averages[k] /= "
              "max(gamma[:, k].sum(), 1e-9)"), weighted_averages),
    Exercise("4.5", "How pure are the classes?", judge_purity,
             "Purity needs no list of which class is which view. But it has a weakness: with one class for every image "
             "it is 1.",
             ("For one class k: truth[classes == k] are the views of its images.",
              "np.bincount counts how often each view occurs; its max() is the commonest one.",
              "sum(np.bincount(truth[classes == k]).max() for k in np.unique(classes)) / len(truth)"), purity),
    Exercise("4.6", "What do the chosen classes keep, and how much junk comes along?", judge_selection,
             "Two numbers, because one alone can always be made perfect: keep everything, or keep one image.",
             ("np.isin(classes, good) says for each image whether its class is among the good ones.",
              "particle holds True and False: particle images are images[particle]. The mean of True and False is a "
              "share.",
              "chosen = np.isin(classes, good); return chosen[particle].mean(), 1 - particle[chosen].mean()"),
             selection),
)
