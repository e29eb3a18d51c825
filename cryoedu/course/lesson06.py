"""The exercises of lesson 6, ML3D classification.

Arrays are named as in the lesson: ``log_p`` (N, K, H) log P(X|k,φ,Θ) of image, class and place (orientation and
shift), ``weights`` (K,) P(k|Θ), ``p`` (N, K) the probability of each class for each image, ``found`` and ``truth`` (N,)
class numbers from 0.
"""

from __future__ import annotations

import math
from itertools import permutations
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
    same,
)

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


def accuracy(found: Array, truth: Array) -> float:
    """Share of the particles in matching classes, whatever the classes are called."""
    count = int(max(found.max(), truth.max())) + 1
    table = np.zeros((count, count))
    np.add.at(table, (found, truth), 1)
    best = max(sum(table[k, match[k]] for k in range(count)) for match in permutations(range(count)))
    return float(best / len(truth))


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
        "You added what must be multiplied: every class goes with every orientation and every shift.":
            PARTICLES * (CLASSES + ORIENTATIONS + SHIFTS),
        "That is the number in billions. Give the number itself.": SCORES / 1e9,
        "That is the number in millions. Give the number itself.": SCORES / 1e6,
    }, 0.01) or "That is not it. Multiply: particles, classes, orientations, shifts."


def scores(seed: int, level: float = 0.0) -> tuple[Array, Array]:
    """Random log P(X|k,φ,Θ) (6, 3, 7), which differ by a few nats about ``level``, and class weights (3,)."""
    rng = np.random.default_rng(seed)
    return rng.normal(level, 2.0, (6, 3, 7)), np.array([0.6, 0.3, 0.1])[rng.permutation(3)]


def judge_class_posterior(answer: Any) -> str | None:
    """6.2: the E-step, summed over the places."""
    for seed in (621, 622):
        log_p, weights = scores(seed)
        right = class_posterior(log_p, weights)
        shape = np.shape(call(answer, log_p, weights))
        if shape == log_p.shape:
            return ("That is one number for each image, class and place. The class alone is asked for: add up over "
                    "the places (axis 2).")
        if shape == (len(log_p), log_p.shape[2]):
            return "You added up over the classes (axis 1). The places are what must go: add up over axis 2."
        p = call_for_array(answer, right.shape, log_p, weights)
        if not same(p, right):
            flat, likely = np.ones(3), np.exp(log_p)
            within = likely / likely.sum(axis=2, keepdims=True)
            by_image = likely.sum(axis=2) * weights
            return first_match(p, {
                "The class weights P(k|Θ) are missing: add their logarithm to the scores.":
                    class_posterior(log_p, flat),
                "You added the weights to the logarithms. A product of probabilities is a sum of logarithms: add "
                "np.log(weights).": class_posterior(log_p + weights[:, None], flat),
                "You keep only the best place of each class. That is maxCC over the poses; add up over all of them.":
                    normalised(np.exp(log_p.max(axis=2)) * weights),
                "You averaged the logarithms over the places. Take the exponential first, then add up.":
                    normalised(np.exp(log_p.mean(axis=2)) * weights),
                "You added up logarithms over the places. Take the exponential first, then add up.":
                    normalised(np.exp(log_p.sum(axis=2)) * weights),
                "You normalised within each class, so that the classes cannot compete. Divide by the sum over classes "
                "and places together.": within.sum(axis=2) * weights,
                "You normalised within each class, and every class got everything. Divide by the sum over classes and "
                "places together.": np.ones_like(right),
                "The rows do not add up to 1: divide each image by its sum over classes and places.": by_image,
                "You normalised over the images (axis 0). Each image must belong to one class or another.":
                    by_image / by_image.sum(axis=0),
                "You give each image to one class. The E-step keeps every class, with its probability.":
                    (right == right.max(axis=1, keepdims=True)).astype(float),
            }) or ("These are not the class probabilities. Add log P(k|Θ) to the scores, take the exponential, divide "
                   "each image by its sum over classes and places, then add up over the places (axis 2).")
    log_p, weights = scores(623, level=-4000.0)
    with np.errstate(all="ignore"):
        deep = np.asarray(call(answer, log_p, weights), dtype=float)
    return None if same(deep, class_posterior(log_p, weights)) else (
        "Right for small numbers, but real log-likelihoods are in the thousands, and exp(−4000) is 0 to a computer. "
        "Subtract the largest score of each image, over classes and places, before the exponential.")


def judge_class_weights(answer: Any) -> str | None:
    """6.3: the M-step for P(k|Θ)."""
    for seed in (631, 632):
        p = np.random.default_rng(seed).dirichlet([2.0, 1.0, 0.5], size=9)
        right = class_weights(p)
        if np.shape(call(answer, p)) == (len(p),):
            return "You averaged over the classes (axis 1). One number for each class is asked for: axis 0."
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
                "These do not depend on the particles: equal shares are where EM starts.": np.full(3, 1 / 3),
            }) or "That is not the mean of the probabilities over the particles."
    return None


def naming(seed: int) -> tuple[Array, Array]:
    """Class numbers (90,) of three classes under other names, and true ones: every way to count wrongly differs."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat([0, 1, 2], [40, 30, 20]))
    found = np.array([1, 0, 1])[truth]  # two true classes share one: matching by rows or columns counts some twice
    stray = rng.permutation(90)[:24]
    found[stray] = rng.integers(0, 3, 24)
    return found, truth


def judge_accuracy(answer: Any) -> str | None:
    """6.4: agreement under the best naming of the classes."""
    for seed in (641, 642):
        found, truth = naming(seed)
        right = accuracy(found, truth)
        value = call_for_number(answer, found, truth)
        if not same(value, right):
            table = np.zeros((3, 3))
            np.add.at(table, (found, truth), 1)
            cyclic = max(np.mean((found + turn) % 3 == truth) for turn in range(3))
            return first_match(value, {
                "You compare the numbers as they are. Class 0 of a run may be class 2 of the truth: try every "
                "permutation of the names and take the best.": np.mean(found == truth),
                "You let every class pick its commonest true class, so that two classes may pick the same one. That is "
                "the purity; here the names must be matched one to one.": table.max(axis=1).sum() / 90,
                "You let every true class pick its commonest class, so that two may pick the same one. The names must "
                "be matched one to one.": table.max(axis=0).sum() / 90,
                "That is the number of particles. Divide it by how many there are.": right * 90,
                "That is in percent. Give the share, from 0 to 1.": right * 100,
                "That is the share that is wrong.": 1 - right,
                "You only turned the names round (0→1→2→0). Three classes have six permutations, not three.": cyclic,
                "That is the worst naming. Take the best one: max, not min.":
                    min(np.mean(np.array(m)[found] == truth) for m in permutations(range(3))),
            }, 1e-4) or ("That is not the share under the best naming. Count a table [found, truth]; for each "
                         "permutation of 0 … K−1 add up the cells it picks; divide the best sum by the number of "
                         "particles.")
    return None


def judge_supervised(answer: Any) -> str | None:
    """6.5: the posterior of two known maps."""
    for seed in (651, 652):
        rng = np.random.default_rng(seed)
        one, two = rng.normal(-50, 2, (2, 8))
        share = float(rng.uniform(0.15, 0.35))
        right = supervised(one, two, share)
        if np.shape(call(answer, one, two, share)) == (2, *right.shape) or \
                np.shape(call(answer, one, two, share)) == (*right.shape, 2):
            return "Only one probability for each particle is asked for: that of the whole ribosome."
        p = call_for_array(answer, right.shape, one, two, share)
        if not same(p, right):
            odds = np.exp(one - two)
            return first_match(p, {
                "The share is missing. Before we look, a particle is a whole ribosome with the probability share.":
                    supervised(one, two, 0.5),
                "That is the probability of the other one, the free large subunit.": 1 - right,
                "The share is on the wrong side: it belongs to the whole ribosome, 1 − share to the other.":
                    supervised(one, two, 1 - share),
                "These are odds, p : (1 − p). The probability is odds / (1 + odds).": odds * share / (1 - share),
                "These are odds, and the share is missing. The probability is odds / (1 + odds).": odds,
                "You divide logarithms by each other. Probabilities follow the exponential of the log-likelihood.":
                    one / (one + two),
                "That is a decision, not a probability.": (right > 0.5).astype(float),
                "That is a decision that forgets the share.": (one > two).astype(float),
                "These are the logarithms of the odds.": one - two + math.log(share / (1 - share)),
            }) or ("That is not P(whole | X). Bayes: share·exp(log_whole), divided by the same plus "
                   "(1 − share)·exp(log_large).")
    deep = np.array([-3000.0, -3002.0, -2999.0])
    with np.errstate(all="ignore"):
        value = np.asarray(call(answer, deep, deep[::-1].copy(), 0.5), dtype=float)
    return None if same(value, supervised(deep, deep[::-1], 0.5)) else (
        "Right for small numbers, but exp(−3000) is 0 to a computer, and 0/0 is NaN. Divide above and below by "
        "exp(log_whole): then only the difference of the two logarithms is left.")


def judge_overconfidence(answer: Any) -> str | None:
    """6.6: claimed less correct."""
    for seed in (661, 662):
        rng = np.random.default_rng(seed)
        p = rng.dirichlet(np.full(3, 0.4), size=80)
        truth = np.where(rng.random(80) < 0.55, p.argmax(axis=1), rng.integers(0, 3, 80))
        right, claimed = overconfidence(p, truth), p.max(axis=1).mean()
        correct = np.mean(p.argmax(axis=1) == truth)
        value = call_for_number(answer, p, truth)
        if not same(value, right):
            return first_match(value, {
                "That is what the posterior claims. Subtract how often its best class is the true one.": claimed,
                "That is how often the best class is the true one. Subtract it from what the posterior claims.":
                    correct,
                "The sign is wrong: overconfidence is positive where more is claimed than is true.": -right,
                "You used the probability of the true class. The posterior does not know the truth: what it claims is "
                "the probability of its best class.": p[np.arange(80), truth].mean() - correct,
                "That is the mean probability of the true class. Asked for is what is claimed less what is correct.":
                    p[np.arange(80), truth].mean(),
                "That is the ratio of the two. Subtract.": claimed / correct,
                "That is in percent. Give the difference of the two shares.": 100 * right,
                "That is a sum over the particles. Take the mean.": 80 * right,
            }) or ("That is not it. Claimed: the mean over the particles of their largest probability. Correct: the "
                   "share of the particles whose most probable class is the true one. Subtract.")
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
              "91_114 * 4 * 4608 * 21"), SCORES),
    Exercise("6.2", "The probability of each class, whatever the pose.", judge_class_posterior,
             "This is what marginalising is for: the pose may stay open while the class is settled.",
             ("Bayes, as in exercise 3.2. The prior of a place in class k is P(k|Θ), shared out over the places.",
              "joint = log_p + np.log(weights)[:, None]: a row for each class, the places along the last axis.",
              "Subtract joint.max(axis=(1, 2), keepdims=True), take the exponential, divide by the sum over axes "
              "(1, 2) with keepdims=True.",
              "… and at the end: return gamma.sum(axis=2)"), class_posterior),
    Exercise("6.3", "Write the M-step for the class weights.", judge_class_weights,
             "A particle that cannot decide counts a little in each class. Nobody is thrown away, and nobody is "
             "counted twice.",
             ("P(k|Θ) is the share of the particles that belong to class k.",
              "p[i, k] is how much of particle i belongs to class k. Add up over the particles.",
              "p.mean(axis=0)"), class_weights),
    Exercise("6.4", "How well do two classifications agree, whatever the classes are called?", judge_accuracy,
             "The same count serves for any two classifications: a run against the truth, two runs with different "
             "seeds, two programs.",
             ("Class numbers are only names. First count a table: how many particles are in class k of the one and l "
              "of the other?",
              "table = np.zeros((K, K)); np.add.at(table, (found, truth), 1)",
              "from itertools import permutations; for match in permutations(range(K)): "
              "sum(table[k, match[k]] for k in range(K))",
              "Take the largest of these sums and divide by len(truth)."), accuracy),
    Exercise("6.5", "Supervised classification: the probability of one of two known maps.", judge_supervised,
             "With two classes, Bayes comes down to one number for each particle: the difference of its two "
             "log-likelihoods.",
             ("Bayes: share·exp(log_whole) / (share·exp(log_whole) + (1 − share)·exp(log_large)).",
              "exp(−3000) is 0 to a computer. Divide above and below by share·exp(log_whole).",
              "1 / (1 + np.exp(log_large - log_whole) * (1 - share) / share)"), supervised),
    Exercise("6.6", "How much more sure is a posterior than it should be?", judge_overconfidence,
             "Around zero, the probabilities can be believed. Far above zero they cannot, however sure they look. You "
             "need the truth to know, or particles that had no part in the maps.",
             ("What does the posterior claim about one particle? That its best class is right, with that probability.",
              "Claimed: p.max(axis=1).mean(). Correct: how often p.argmax(axis=1) is the true class.",
              "p.max(axis=1).mean() - np.mean(p.argmax(axis=1) == truth)"), overconfidence),
)
