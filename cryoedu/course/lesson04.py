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
    describe,
    first_match,
    given_number,
    number,
    real,
    real_array,
    same,
    shape_of,
)
from cryoedu.validation.classes import agreement

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


# of exercise 4.1; chosen so that all usual mistakes give different numbers
CCF_A, CCF_B, ENERGY_A, ENERGY_B, WEIGHT_A, WEIGHT_B, SIGMA_1 = 52.0, 50.0, 30.0, 38.0, 0.6, 0.15, 2.0
FIT = (CCF_A - CCF_B - (ENERGY_A - ENERGY_B) / 2) / SIGMA_1**2
ODDS = WEIGHT_A / WEIGHT_B * math.exp(FIT)


def judge_odds(answer: Any) -> str | None:
    """4.1: w_A/w_B · exp((ΔCCF - Δ|A|²/2) / σ²)."""
    value, share, ccf, energy = given_number(answer), WEIGHT_A / WEIGHT_B, CCF_A - CCF_B, ENERGY_A - ENERGY_B
    variance = SIGMA_1**2
    return None if same(value, ODDS, 0.01) else first_match(value, {
        "You left out how common the classes are: before anything is seen, A is four times as probable as B.":
            ODDS / share,
        "You left out the energies |A|²/2 and |B|²/2. In lesson 3 they cancelled, because one reference keeps its "
        "energy when it turns. Two classes differ in theirs.": share * math.exp(ccf / variance),
        "You left out both the energies and the shares of the classes.": math.exp(ccf / variance),
        "You left out what the image says, and took only the shares of the classes.": share,
        "You took the whole difference of the energies; the score has |A|²/2.":
            share * math.exp((ccf - energy) / variance),
        "The energies have the wrong sign: a reference must not win by being strong.":
            share * math.exp((ccf + energy / 2) / variance),
        "You divided by σ. The score is divided by σ².": share * math.exp(FIT * SIGMA_1),
        "You did not divide by σ².": share * math.exp(FIT * variance),
        "You divided by 2σ². The score (CCF − |A|²/2)/σ² has its factor ½ at the energy already.":
            share * math.exp(FIT / 2),
        "That is the logarithm of the answer. Take its exponential.": math.log(ODDS),
        "That is the difference of the two log P(X|k,φ,Θ). Take its exponential, and multiply with the odds of the "
        "shares.": FIT,
        "You divided the two scores. They are logarithms: take their difference, and the exponential of it.":
            (CCF_A - ENERGY_A / 2) / (CCF_B - ENERGY_B / 2),
        "The shares are multiplied with the probabilities, not added to the exponent: add their logarithms there.":
            math.exp(FIT + WEIGHT_A - WEIGHT_B),
        "You divided by the odds of the shares instead of multiplying: A is the commoner class.": ODDS / share**2,
        "The logarithms here are natural ones: np.exp, not a power of 10.": share * 10**FIT,
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
                "You add the logarithm of the weights to the probabilities. It belongs to the score, before the "
                "exponential.": normalised(score, (1, 2)) + np.log(weights)[:, None],
                "You subtract log w. A common class is more probable beforehand: add it.":
                    normalised(score - np.log(weights)[:, None], (1, 2)),
                "You add the weights themselves to the score. The score is a logarithm: add np.log(weights).":
                    normalised(score + weights[:, None], (1, 2)),
                "You multiply the score with the weights. It is the probability that is multiplied: add "
                "np.log(weights) to the score.": normalised(score * weights[:, None], (1, 2)),
                "You multiply with the weights after normalising, so the sum is no longer 1. Normalise last.":
                    normalised(score, (1, 2)) * weights[:, None],
                "This is the logarithm, not yet a probability: take the exponential and divide by the sum.": full,
                "The probabilities are not normalised: divide by the sum over classes and rotations.": np.exp(full),
                "You give all the weight to the best class and rotation. That is maxCC; the E-step keeps them all.":
                    one_hot(full),
                "That is the probability of each class at its best rotation. Γ keeps the rotations.":
                    np.broadcast_to(normalised(full.max(axis=2), (1,))[:, :, None], full.shape),
            }) or image_problem(gamma) or (
                "The numbers are not the posterior. Add log w of its class to each score, take the exponential, and "
                "divide by the sum over both classes and rotations.")
    images, references, sigma, weights = example(423, contrast=60.0)
    strong = real(call(answer, images, references, sigma, weights))
    if same(strong, posterior(images, references, sigma, weights)):
        return None
    score = log_scores(images, references, sigma) + np.log(weights)[:, None]
    weak = np.exp((score - score.max()).max(axis=(1, 2))) == 0  # beside the strongest image of all
    return (
        "Right for noisy images. But you subtract the largest score of *all* images. With a strong signal another "
        "image may lie a thousand below it, and all its probabilities become 0, and 0/0. Give each image its own "
        "largest score: score.max(axis=(1, 2), keepdims=True)." if np.isfinite(strong[~weak]).all() else
        "Right for noisy images, but a strong signal overflows: exp(800) is more than a computer can hold. Subtract "
        "the largest score of each image first, over classes and rotations: score.max(axis=(1, 2), keepdims=True).")


def judge_class_weights(answer: Any) -> str | None:
    """4.3: the M-step for the class weights."""
    for seed in (431, 432):
        gamma = random_gamma(seed, 7, 3, 5)
        right = class_weights(gamma)
        shape: Any = shape_of(call(answer, gamma))
        if problem := {
            (len(gamma), 3): "That is the class probability of each image, (N, K). The weight of a class is its mean "
                             "over images.",
            (3, 5): "That is for each class and rotation. Add up over the rotations too.",
            **dict.fromkeys([(5,), (7,), ()], "Keep the classes, the middle axis of Γ: one number for each."),
        }.get(shape):
            return problem
        value = call_for_array(answer, right.shape, gamma)
        if not same(value, right):
            hard = np.bincount(gamma.sum(axis=2).argmax(axis=1), minlength=3)
            pair = one_hot(gamma).sum(axis=(0, 2))
            return first_match(value, {
                "That is the number of images in each class. Divide by N to get shares.": right * len(gamma),
                "That is the mean over images and rotations. The rotations of one image add up to its class "
                "probability: sum over them, and average over the images only.": right / gamma.shape[2],
                "You count the best class of each image. In ML every image counts in every class, with its "
                "probability.": hard / len(gamma),
                "You count the class of the single largest Γ of each image. In ML every image counts in every class, "
                "with all its rotations.": pair / len(gamma),
                "You divide by the number of classes. A share is a share of the images: divide by N.":
                    right * len(gamma) / 3,
                "That is the weight of the best rotation only. Add up over the rotations.":
                    gamma.max(axis=2).mean(axis=0),
                "All classes get the same weight. Let the images decide.": np.full(3, 1 / 3),
            }) or "These are not the shares. Add up Γ over images and rotations and divide by the number of images."
    return None


def judge_averages(answer: Any) -> str | None:
    """4.4: the M-step for the averages."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(441)
    images = gaussian_filter(np.pad(rng.normal(size=(11, 10, 10)), ((0, 0), (5, 5), (5, 5))), (0, 2, 2), truncate=1.9)
    angles, gamma = np.array([0.0, 35.0, 110.0, 260.0]), random_gamma(442, 11, 3, 4)
    right, counts = weighted_averages(images, gamma, angles), gamma.sum(axis=(0, 2))[:, None, None]
    averages = call_for_array(answer, right.shape, images, gamma, angles)
    if not same(averages, right, 0.01):
        return first_match(averages, {
            "You divide by the number of all images. Only the images of a class stand behind its average: divide by "
            "the sum of their weights, gamma[:, k].sum().": right * counts / len(images),
            "The weighted sums are right, but not divided by the weights behind them.": right * counts,
            "You turn the images the wrong way: a particle that was turned by +φ is turned back by −φ.":
                weighted_averages(images, gamma, -angles),
            "You do not turn the images back, so all orientations are smeared into one another.":
                np.tensordot(gamma.sum(axis=2), images, axes=(0, 0)) / counts,
            "You use only the best class and rotation of each image. That is align-and-average, maxCC.":
                weighted_averages(images, one_hot(gamma), angles),
            "You keep only the last rotation. Add up over all of them.":
                weighted_averages(images, gamma * (angles == angles[-1]), angles)
                * gamma[:, :, -1].sum(axis=0)[:, None, None] / counts,
            "All your averages are the same, so the classes are lost: use gamma[:, k] for class k.":
                np.broadcast_to(np.sum(right * counts, axis=0) / len(images), right.shape),
        }, 0.01) or ("These are not the weighted averages. For each class: turn sums[k, r] back by −angles[r] and add "
                     "up over the rotations; then divide by gamma[:, k].sum().")
    gamma[:, 1] = 0.0
    empty = real(call(answer, images, gamma, angles))
    return None if np.isfinite(empty).all() else (
        "Right, but for an empty class you divide by 0, and NaN spreads to everything in the next round. Divide by "
        "max(gamma[:, k].sum(), 1e-9).")


def judge_purity(answer: Any) -> str | None:
    """4.5: the share that belongs to the commonest view of their class."""
    tables = (((40, 3, 19), (0, 31, 4), (11, 2, 1), (22, 0, 17)),           # classes × views; view A is split, and
              ((0, 33, 4), (3, 2, 18), (0, 0, 0), (41, 5, 23), (21, 1, 12)))  # two views have their most in one class
    for table in map(np.array, tables):  # the second leaves class 2 empty
        classes, truth = shuffled_labels(table, seed=451)
        right = purity(classes, truth)
        try:
            value = call_for_number(answer, classes, truth)
        except Wrong as wrong:
            if table.any(axis=1).all():
                raise
            return f"Right while every class has images. {wrong} Here class 2 is empty: go through np.unique(classes)."
        if not same(value, right, 1e-6):
            filled = table[table.any(axis=1)]
            return first_match(value, {
                "You compare class numbers. Nobody told the program which class is to be number 0: class 2 may well be "
                "view 0. Look at what is in each class.": float(np.mean(classes == truth)),
                "That is the agreement: you let no two classes bear the same name. For the purity they may: each class "
                "is named after its commonest view.": agreement(classes, truth),
                "That is the mean of the purities. A class of three images must not count as much as one of three "
                "hundred: count images, then divide once by N.":
                    float(np.mean(filled.max(axis=1) / filled.sum(axis=1))),
                "You look for the commonest class of each view. Turn it round: the commonest view of each class.":
                    float(table.max(axis=0).sum() / len(truth)),
                "That is the number of images. Divide by N.": right * len(truth),
                "Those are per cent. A share is between 0 and 1.": right * 100,
                "That is the share of images in the wrong class. Purity is 1 minus that.": 1 - right,
                "That is the purity of the last class alone. Go through all classes and add up.":
                    float(filled[-1].max() / filled[-1].sum()),
            }, 1e-6) or ("That is not the purity. For each class: how many of its images are of its commonest view? "
                         "Add these numbers up and divide by N.")
    return None


def shuffled_labels(table: Array, seed: int) -> tuple[Array, Array]:
    """Classes and truth (N,) of images that have this contingency table (classes, views), in a random order."""
    labels = np.argwhere(table >= 0).repeat(table.ravel(), axis=0)
    classes, truth = np.random.default_rng(seed).permutation(labels).T
    return classes.copy(), truth.copy()


def judge_selection(answer: Any) -> str | None:
    """4.6: what a choice of classes keeps, and how much junk comes with it."""
    for seed in (461, 462):
        rng = np.random.default_rng(seed)
        classes, good = rng.integers(0, 6, 120), np.array([0, 2, 5])
        particle = rng.random(120) < np.where(np.isin(classes, good), 0.9, 0.3)
        right = np.array(selection(classes, good, particle))
        result = call(answer, classes, good, particle)
        if shape_of(result) != (2,):
            raise Wrong(f"Two numbers are asked for, but your function returns {describe(result)}.")
        value = call_for_array(answer, right.shape, classes, good, particle)
        if not same(value, right, 1e-6):
            chosen, (kept, junk) = np.isin(classes, good), right
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
                "Those are per cent. A share is between 0 and 1.": 100 * right,
                "You count the images. Divide the first number by the number of particles, the second by the number of "
                "chosen images.": [int(chosen[particle].sum()), int((~particle[chosen]).sum())],
                "That is what the classes that were *not* chosen hold.":
                    [1 - kept, 1 - float(particle[~chosen].mean())],
            }, 1e-6) or ("These are not the two shares: the mean of chosen over the particles, and the share of images "
                         "that are no particles among the chosen ones.")
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
             "The CCF alone says 1.6 to 1. The weaker reference and the larger class make 18 to 1 of it.",
             ("Write the score of each class: (CCF − |A|²/2)/σ².",
              "A has 52 − 15 = 37, B has 50 − 19 = 31. Divide the difference by σ² = 4.",
              "Then multiply with the odds before anything is seen, 0.6/0.15.",
              "0.6 / 0.15 * np.exp(((52 - 30 / 2) - (50 - 38 / 2)) / 2**2)"), ODDS),
    Exercise("4.2", "Write the E-step over classes and rotations.", judge_posterior,
             "The hidden data have become a pair, class and rotation. Nothing else has changed.",
             ("The prior P(k, φ|Θ) is w_k/R. R is the same for all, so only log w_k has to be added to the score.",
              "score has the shape (N, K, R): np.log(weights)[:, None] has the shape (K, 1) and fits.",
              "From there on as in 3.2, but max and sum run over axis=(1, 2), with keepdims=True.",
              "score += np.log(weights)[:, None]; gamma = np.exp(score - score.max(axis=(1, 2), keepdims=True)); "
              "return gamma / gamma.sum(axis=(1, 2), keepdims=True)"), posterior, real_array),
    Exercise("4.3", "Write the M-step for the class weights.", judge_class_weights,
             "Nobody has to tell the program how common each view is, just as nobody told it σ.",
             ("Γ summed over the rotations is the class probability of an image.",
              "Its mean over the images is the share of the class.",
              "gamma.sum(axis=(0, 2)) / len(gamma)"), class_weights, real_array),
    Exercise("4.4", "Write the M-step for the averages: one for each class.", judge_averages,
             "Each image helps to build every average, as far as it may belong there.",
             ("sums[k, r] holds all images, weighted for class k and rotation r. It still has to be turned back.",
              "Add up rotate(sums[k, r], -angles[r]) over r.",
              "Divide by the weights behind the class, gamma[:, k].sum(). In an empty class that is 0: "
              "max(gamma[:, k].sum(), 1e-9).",
              "for r, angle in enumerate(angles): averages[k] += rotate(sums[k, r], -angle); then averages[k] /= "
              "max(gamma[:, k].sum(), 1e-9)"), weighted_averages, real_array),
    Exercise("4.5", "How pure are the classes?", judge_purity,
             "Purity needs no list of which class is which view. But it has a weakness: with one class for every image "
             "it is 1.",
             ("For one class k: truth[classes == k] are the views of its images.",
              "np.bincount counts how often each view occurs; its max() is the commonest one.",
              "sum(np.bincount(truth[classes == k]).max() for k in np.unique(classes)) / len(truth)"), purity, number),
    Exercise("4.6", "What do the chosen classes keep, and how much junk comes along?", judge_selection,
             "Two numbers, because one alone can always be made perfect: keep everything, or keep one image.",
             ("np.isin(classes, good) says for each image whether its class is among the good ones.",
              "particle holds True and False: particle images are images[particle]. The mean of True and False is a "
              "share.",
              "chosen = np.isin(classes, good); return chosen[particle].mean(), 1 - particle[chosen].mean()"),
             selection, real_array),
)
