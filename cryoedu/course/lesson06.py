"""The exercises of lesson 6, ML3D classification.

Arrays are named as in the lesson: ``log_p`` (N, K, H) log P(X|k,φ,Θ) of image, class and place (orientation and
shift), ``weights`` (K,) P(k|Θ), ``p`` (N, K) the probability of each class for each image, ``found`` and ``truth`` (N,)
class numbers from 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import (
    Exercise,
    call,
    call_for_array,
    call_for_number,
    first_match,
    given_number,
    number,
    real,
    real_array,
    same,
)
from cryoedu.course.namings import accuracy, judge_accuracy
from cryoedu.validation.classes import purity

Array = NDArray[Any]

# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

PARTICLES, CLASSES, ORIENTATIONS, SHIFTS = 91_114, 4, 4608, 21  # of exercise 6.1
SCORES = PARTICLES * CLASSES * ORIENTATIONS * SHIFTS


def class_posterior(log_p: Array, weights: Array) -> Array:
    """(N, K): the probability of each class for each image, whatever its orientation and shift."""
    with np.errstate(divide="ignore"):  # a class that has lost all its weight
        joint = log_p + np.log(weights)[:, None]
    gamma = np.exp(joint - joint.max(axis=(1, 2), keepdims=True))
    gamma = gamma / gamma.sum(axis=(1, 2), keepdims=True)
    return np.asarray(gamma.sum(axis=2))


def class_weights(p: Array) -> Array:
    """(K,): the M-step for the class weights."""
    return np.asarray(p.mean(axis=0))


def supervised(log_whole: Array, log_large: Array, share: float) -> Array:
    """(N,): the probability that a particle is a whole ribosome, from its log-likelihood under the two known maps."""
    return np.asarray(1 / (1 + np.exp(log_large - log_whole) * (1 - share) / share))


def overconfidence(p: Array, truth: Array) -> float:
    """How much more often the posterior claims to be right than it is."""
    return float(p.max(axis=1).mean() - np.mean(p.argmax(axis=1) == truth))


# ---- the judges -------------------------------------------------------------------------------------------------

def judge_scores(answer: Any) -> str | None:
    """6.1: N · K · orientations · shifts."""
    value, per_particle = given_number(answer), CLASSES * ORIENTATIONS * SHIFTS
    return None if same(value, SCORES, 0.01) else first_match(value, {
        "That is the number for one particle. All of them are compared, in every iteration.": per_particle,
        "The classes are missing: every orientation and shift is tried with each of the K maps.": SCORES / CLASSES,
        "The shifts are missing: every orientation is tried at each of the shifts.": SCORES / SHIFTS,
        "The orientations are missing.": SCORES / ORIENTATIONS,
        "Classes and shifts are missing: every orientation is tried at each shift, with each of the K maps.":
            PARTICLES * ORIENTATIONS,
        "Each particle is tried with all classes. It is not given to one of them beforehand: do not divide by K.":
            SCORES / CLASSES**2,
        "That is with the two maps of this lesson. Here K = 4.": SCORES / 2,
        "Those are the orientations and shifts of this lesson's own runs. Here there are 4,608 and 21.":
            PARTICLES * CLASSES * 576 * 5,
        "You added what must be multiplied: every class goes with every orientation and every shift.":
            PARTICLES * (CLASSES + ORIENTATIONS + SHIFTS),
        "You added the orientations and the shifts. Every orientation is tried at each shift: multiply.":
            PARTICLES * CLASSES * (ORIENTATIONS + SHIFTS),
        "That is the number in billions. Give the number itself.": SCORES / 1e9,
        "That is the number in millions. Give the number itself.": SCORES / 1e6,
    }, 0.002) or "That is not it. Multiply: particles, classes, orientations, shifts."


def scores(seed: int) -> tuple[Array, Array]:
    """Random log P(X|k,φ,Θ) (6, 3, 7), which differ by a few nats about 0, and class weights (3,)."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 2.0, (6, 3, 7)), np.array([0.6, 0.3, 0.1])[rng.permutation(3)]


def deep_scores(seed: int) -> tuple[Array, Array]:
    """As `scores`, where real ones are: thousands below 0, each image at its own depth, one class far below the others.

    The numbers are multiples of 1/64, which float32 holds.
    """
    log_p, weights = scores(seed)
    log_p = np.round(log_p * 64) / 64 - (3000.0 + 900.0 * np.arange(len(log_p)))[:, None, None]
    log_p[1, 2] -= 1500.0
    return log_p, weights


def judge_class_posterior(answer: Any) -> str | None:
    """6.2: the E-step, summed over the places."""
    for seed in (621, 622):
        log_p, weights = scores(seed)
        right = class_posterior(log_p, weights)
        shape = shape_of(call(answer, log_p, weights))
        if shape == log_p.shape:
            return ("That is one number for each image, class and place. The class alone is asked for: add up over "
                    "the places (axis 2).")
        if shape == (len(log_p), log_p.shape[2]):
            return "You added up over the classes (axis 1). The places are what must go: add up over axis 2."
        if shape == right.shape[1:]:
            return ("That is one number for each class, of all images together. Each image has its own probabilities: "
                    "keep axis 0.")
        p = call_for_array(answer, right.shape, log_p, weights)
        if not same(p, right):
            return first_match(p, posterior_mistakes(log_p, weights)) or (
                "These are not the class probabilities. Add log P(k|Θ) to the scores, take the exponential, divide "
                "each image by its sum over classes and places, then add up over the places (axis 2).")
    log_p, weights = deep_scores(623)
    deep = class_posterior(log_p, weights)
    with np.errstate(all="ignore"):
        given = real(call(answer, log_p, weights))
    if same(given, deep):
        return None
    of_first = np.isfinite(given).all(axis=1) & (np.abs(given - deep) < 1e-2).all(axis=1)
    return ("Right for small numbers, and here for the image with the largest scores only. Every image lies at its own "
            "depth: subtract the largest score of each image, not that of all images together."
            if of_first[0] and not of_first[1:].any() else
            "Right for small numbers, but real log-likelihoods are in the thousands, and exp(−4000) is 0 to a "
            "computer. Subtract the largest score of each image, over classes and places, before the exponential.")


def posterior_mistakes(log_p: Array, weights: Array) -> dict[str, Any]:
    """What is wrong with an answer to 6.2 -> the answer."""
    right, flat, likely = class_posterior(log_p, weights), np.ones(len(weights)), np.exp(log_p)
    joint = likely * weights[:, None]
    within = likely / likely.sum(axis=2, keepdims=True)
    by_image, best = joint.sum(axis=2), joint.max(axis=2)
    return {
        "The class weights P(k|Θ) are missing: add their logarithm to the scores.": class_posterior(log_p, flat),
        "You added the weights to the logarithms. A product of probabilities is a sum of logarithms: add "
        "np.log(weights).": class_posterior(log_p + weights[:, None], flat),
        "The class weights are in it twice: `joint` holds them already.": class_posterior(log_p, weights**2),
        "You keep only the best place of each class. That is maxCC over the poses; add up over all of them.":
            normalised(best),
        "You keep only the probability of the best place of each class. Add up over all places.":
            best / by_image.sum(axis=1, keepdims=True),
        "You averaged the logarithms over the places. Take the exponential first, then add up.":
            normalised(np.exp(log_p.mean(axis=2)) * weights),
        "You added up logarithms over the places. Take the exponential first, then add up.":
            normalised(np.exp(log_p.sum(axis=2)) * weights),
        "You averaged over the places at the end. Probabilities of places that exclude each other add up: take the "
        "sum.": right / log_p.shape[2],
        "You subtracted the largest score of each class for itself, so that the classes cannot compete. It must be one "
        "number for the whole image: the maximum over classes and places, axis=(1, 2).":
            normalised(by_image / best),
        "You subtracted another number in each place. It must be one number for the whole image: the maximum over "
        "classes and places, axis=(1, 2).": normalised((joint / joint.max(axis=1, keepdims=True)).sum(axis=2)),
        "You subtracted the largest score over the images (axis 0). It must be one number for each image: axis=(1, 2).":
            normalised((joint / joint.max(axis=0)).sum(axis=2)),
        "You normalised within each class, so that the classes cannot compete. Divide by the sum over classes "
        "and places together.": within.sum(axis=2) * weights,
        "You normalised within each class, and every class got everything. Divide by the sum over classes and "
        "places together.": np.ones_like(right),
        "You normalised within each place, over the classes alone. Divide by the sum over classes and places "
        "together.": (joint / joint.sum(axis=1, keepdims=True)).sum(axis=2),
        "The rows do not add up to 1: divide each image by its sum over classes and places.": by_image,
        "The rows do not add up to 1: after subtracting the largest score, divide each image by its sum over classes "
        "and places.": by_image / joint.max(axis=(1, 2))[:, None],
        "All images together add up to 1. Each image for itself must: sum over axis=(1, 2), with keepdims=True.":
            by_image / by_image.sum(),
        "You normalised over the images (axis 0). Each image must belong to one class or another.":
            by_image / by_image.sum(axis=0),
        "That is the logarithm. Take the exponential.": np.log(right),
        "That is the logarithm, and not normalised. Take the exponential, and divide each image by its sum.":
            np.log(by_image),
        "You give each image to one class. The E-step keeps every class, with its probability.":
            (right == right.max(axis=1, keepdims=True)).astype(float),
    }


def judge_class_weights(answer: Any) -> str | None:
    """6.3: the M-step for P(k|Θ)."""
    for seed in (631, 632):
        p = np.random.default_rng(seed).dirichlet([2.0, 1.0, 0.5], size=9)
        right = class_weights(p)
        shape = shape_of(call(answer, p))
        if shape == (len(p),):
            return "You averaged over the classes (axis 1). One number for each class is asked for: axis 0."
        if shape == ():
            return "That is one number for all classes together. One for each class is asked for: average over axis 0."
        value = call_for_array(answer, right.shape, p)
        if not same(value, right):
            hard = np.bincount(p.argmax(axis=1), minlength=3)
            return first_match(value, {
                "These are numbers of particles. P(k|Θ) is a share: divide by the number of particles.": p.sum(axis=0),
                "You counted each particle in its best class only. That is what maxCC would do; here a particle that "
                "is 60 % sure counts 0.6.": hard / len(p),
                "You counted each particle in its best class only, and did not divide by their number.": hard,
                "You divided by the number of classes. The sum over the particles is divided by their number.":
                    p.sum(axis=0) / p.shape[1],
                "You divided by the number of all entries. The sum over the particles is divided by their number.":
                    p.sum(axis=0) / p.size,
                "The shares are to be added up as they are: you took the largest of each class.": p.max(axis=0),
                "You took the middle particle of each class (the median). All of them count: take the mean.":
                    np.median(p, axis=0),
                "You averaged logarithms. The shares themselves are averaged.": np.exp(np.log(p).mean(axis=0)),
                "You averaged the squares. The shares themselves are averaged.": (p**2).mean(axis=0),
                "These do not depend on the particles: equal shares are where EM starts.": np.full(3, 1 / 3),
            }) or "That is not the mean of the probabilities over the particles."
    return None


def judge_supervised(answer: Any) -> str | None:
    """6.5: the posterior of two known maps."""
    for seed in (651, 652):
        rng = np.random.default_rng(seed)
        one, two = rng.normal(-6, 2, (2, 8))
        share = float(rng.uniform(0.15, 0.35))
        right = supervised(one, two, share)
        shape = shape_of(call(answer, one, two, share))
        if shape in ((2, *right.shape), (*right.shape, 2)):
            return "Only one probability for each particle is asked for: that of the whole ribosome."
        if shape == ():
            return "One probability for each particle is asked for, not one for all of them."
        p = call_for_array(answer, right.shape, one, two, share)
        if not same(p, right):
            odds, above = np.exp(one - two), share * np.exp(one)
            return first_match(p, {
                "The share is missing. Before we look, a particle is a whole ribosome with the probability share.":
                    supervised(one, two, 0.5),
                "That is the probability of the other one, the free large subunit.": 1 - right,
                "The share is on the wrong side: it belongs to the whole ribosome, 1 − share to the other.":
                    supervised(one, two, 1 - share),
                "That is the probability of the other one, and the share is missing.": supervised(two, one, 0.5),
                "You multiplied with the share only above the line, or only after dividing. It belongs to both places "
                "where exp(log_whole) stands, and 1 − share to exp(log_large).": share * supervised(one, two, 0.5),
                "The other map has a share too: 1 − share, before exp(log_large).":
                    above / (above + np.exp(two)),
                "You added the shares to the logarithms. A product of probabilities is a sum of logarithms: add "
                "np.log(share) and np.log(1 − share).": supervised(one + share, two + 1 - share, 0.5),
                "You multiplied the log-likelihoods with the shares. It is the probabilities that are multiplied.":
                    supervised(share * one, (1 - share) * two, 0.5),
                "These are odds, p : (1 − p). The probability is odds / (1 + odds).": odds * share / (1 - share),
                "These are odds, and the share is missing. The probability is odds / (1 + odds).": odds,
                "That is Bayes without the sum below the line: divide by share·exp(log_whole) + "
                "(1 − share)·exp(log_large).": above,
                "You divided by the sum over the particles. Divide by the sum over the two maps, for each particle.":
                    above / above.sum(),
                "You divide logarithms by each other. Probabilities follow the exponential of the log-likelihood.":
                    one / (one + two),
                "You divide logarithms by each other, with their shares. Probabilities follow their exponentials.":
                    share * one / (share * one + (1 - share) * two),
                "That is a decision, not a probability.": (right > 0.5).astype(float),
                "That is a decision for the other map, not a probability.": (right < 0.5).astype(float),
                "That is a decision that forgets the share.": (one > two).astype(float),
                "These are the logarithms of the odds.": one - two + math.log(share / (1 - share)),
                "That is the difference of the log-likelihoods. Bayes makes a probability of it, with the share.":
                    one - two,
                "That is the logarithm of the probability. Take the exponential.": np.log(right),
            }) or ("That is not P(whole | X). Bayes: share·exp(log_whole), divided by the same plus "
                   "(1 − share)·exp(log_large).")
    one, two = np.array([-3000.0, -4202.0, -7199.0, -5600.0]), np.array([-2999.0, -4200.0, -7202.0, -5603.5])
    with np.errstate(all="ignore"):
        value = real(call(answer, one, two, 0.3))
    deep = supervised(one, two, 0.3)
    if same(value, deep):
        return None
    return ("Right for small numbers, and here for the particle with the largest log-likelihood only. Every particle "
            "lies at its own depth: subtract the larger one of its own two, np.maximum(log_whole, log_large)."
            if same(value[0], deep[0]) else
            "Right for small numbers, but exp(−3000) is 0 to a computer, and 0/0 is NaN. Divide above and below by "
            "exp(log_whole): then only the difference of the two logarithms is left.")


def posterior_and_truth(seed: int, sharpness: float, share: float) -> tuple[Array, Array]:
    """Class probabilities (80, 3), the flatter the larger ``sharpness``; true classes (80,), that share their best."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(3, sharpness), size=80)
    best = p.argmax(axis=1)
    likely = np.array([1, 2, 1])[best]  # with other names more would agree
    other = np.where(rng.random(80) < 0.7, likely, 3 - best - likely)
    return p, np.where(rng.random(80) < share, best, other)


def judge_overconfidence(answer: Any) -> str | None:
    """6.6: claimed less correct, for a posterior that claims too much, and for one that claims too little."""
    for seed, sharpness, share in ((661, 0.4, 0.35), (662, 3.0, 0.8)):
        p, truth = posterior_and_truth(seed, sharpness, share)
        right, claimed = overconfidence(p, truth), p.max(axis=1).mean()
        correct, of_true = np.mean(p.argmax(axis=1) == truth), p[np.arange(len(p)), truth].mean()
        renamed = accuracy(p.argmax(axis=1), truth)
        shape = shape_of(call(answer, p, truth))
        if shape == truth.shape:
            return "That is one number for each particle. Take the mean over the particles."
        value = call_for_number(answer, p, truth)
        if not same(value, right):
            return first_match(value, {
                "That is what the posterior claims. Subtract how often its best class is the true one.": claimed,
                "That is how often the best class is the true one. Subtract it from what the posterior claims.":
                    correct,
                "You gave the classes other names first. Here both have the same names: compare the numbers as they "
                "are.": claimed - renamed,
                "You let every class stand for its commonest true class. Here both have the same names: compare the "
                "numbers as they are.": claimed - purity(p.argmax(axis=1), truth),
                "A posterior that claims too little is below zero. Leave the sign: no abs.": abs(right),
                "A posterior that claims too little is below zero. Leave it there: no max(0, …).": max(right, 0.0),
                "The sign is wrong: overconfidence is positive where more is claimed than is true.": -right,
                "You used the probability of the true class. The posterior does not know the truth: what it claims is "
                "the probability of its best class.": of_true - correct,
                "You subtracted the mean probability of the true class. What is correct is a count: how often the best "
                "class is the true one.": claimed - of_true,
                "That is the mean probability of the true class. Asked for is what is claimed less what is correct.":
                    of_true,
                "You averaged over the classes too: the mean of p is always 1/K. Claimed is the largest of each row.":
                    p.mean() - correct,
                "You subtracted the share that is wrong. Subtract the share that is right.": claimed - (1 - correct),
                "That is the share that is wrong.": 1 - correct,
                "That is the ratio of the two. Subtract.": claimed / correct,
                "That is in percent. Give the difference of the two shares.": 100 * right,
                "That is a sum over the particles. Take the mean.": len(p) * right,
            }) or ("That is not it. Claimed: the mean over the particles of their largest probability. Correct: the "
                   "share of the particles whose most probable class is the true one. Subtract.")
    return None


def shape_of(answer: Any) -> tuple[int, ...] | None:
    """The shape of what a function returned, or None if that is no array."""
    try:
        return np.shape(answer)
    except ValueError:  # rows of different lengths
        return None


def normalised(p: Array) -> Array:
    """Rows that add up to 1."""
    return np.asarray(p / p.sum(axis=1, keepdims=True))


EXERCISES = (
    Exercise("6.1", "How many scores does one E-step compute?", judge_scores,
             "Thirty-five billion, for a single iteration. K counts as a factor; half the angular step counts as a "
             "factor of eight.",
             ("A hypothesis is a class, an orientation and a shift. How many are there for one particle?",
              "Every class with every orientation with every shift: multiply.",
              "91_114 * 4 * 4608 * 21"), SCORES, number),
    Exercise("6.2", "The probability of each class, whatever the pose.", judge_class_posterior,
             "This is what marginalising is for: the pose may stay open while the class is settled.",
             ("Bayes, as in exercise 3.2. The prior of a place in class k is P(k|Θ), shared out over the places.",
              "joint = log_p + np.log(weights)[:, None]: a row for each class, the places along the last axis.",
              "Subtract joint.max(axis=(1, 2), keepdims=True), take the exponential, divide by the sum over axes "
              "(1, 2) with keepdims=True.",
              "… and at the end: return gamma.sum(axis=2)"), class_posterior, real_array),
    Exercise("6.3", "Write the M-step for the class weights.", judge_class_weights,
             "A particle that cannot decide counts a little in each class. Nobody is thrown away, and nobody is "
             "counted twice.",
             ("P(k|Θ) is the share of the particles that belong to class k.",
              "p[i, k] is how much of particle i belongs to class k. Add up over the particles.",
              "p.mean(axis=0)"), class_weights, real_array),
    Exercise("6.4", "How well do two classifications agree, whatever the classes are called?", judge_accuracy,
             "The same count serves for any two classifications: a run against the truth, two runs with different "
             "seeds, two programs.",
             ("Class numbers are only names. First count a table: how many particles are in class k of the one and l "
              "of the other?",
              "table = np.zeros((K, K)); np.add.at(table, (found, truth), 1)",
              "from itertools import permutations; for match in permutations(range(K)): "
              "sum(table[k, match[k]] for k in range(K))",
              "Take the largest of these sums and divide by len(truth)."), accuracy, number),
    Exercise("6.5", "Supervised classification: the probability of one of two known maps.", judge_supervised,
             "With two classes, Bayes comes down to one number for each particle: the difference of its two "
             "log-likelihoods.",
             ("Bayes: share·exp(log_whole) / (share·exp(log_whole) + (1 − share)·exp(log_large)).",
              "exp(−3000) is 0 to a computer. Divide above and below by share·exp(log_whole).",
              "1 / (1 + np.exp(log_large - log_whole) * (1 - share) / share)"), supervised, real_array),
    Exercise("6.6", "How much more sure is a posterior than it should be?", judge_overconfidence,
             "Around zero, the probabilities can be believed. Far above zero they cannot, however sure they look. You "
             "need the truth to know, or particles that had no part in the maps.",
             ("What does the posterior claim about one particle? That its best class is right, with that probability.",
              "Claimed: p.max(axis=1).mean(). Correct: how often p.argmax(axis=1) is the true class.",
              "p.max(axis=1).mean() - np.mean(p.argmax(axis=1) == truth)"), overconfidence, number),
)
