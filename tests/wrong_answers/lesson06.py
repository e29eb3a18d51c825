"""Lesson 6: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

from itertools import permutations

import numpy as np


def likely(log_p, weights):
    return np.exp(log_p) * weights[:, None]


def rows(p):
    return p / p.sum(1, keepdims=True)


def naive_posterior(log_p, weights):
    """The definition in loops, which underflows for real log-likelihoods."""
    p = np.array([[w * sum(np.exp(s) for s in k) for k, w in zip(image, weights)] for image in log_p])
    return np.array([row / row.sum() for row in p])


def counts(found, truth):
    K = max(found.max(), truth.max()) + 1
    return np.array([[np.sum((found == k) & (truth == l)) for l in range(K)] for k in range(K)])  # noqa: E741


def namings(found, truth):
    return list(permutations(range(max(found.max(), truth.max()) + 1)))


def loops_accuracy(found, truth):
    """The definition: rename the classes in every possible way."""
    return max(np.mean([match[f] == t for f, t in zip(found, truth)]) for match in namings(found, truth))


def greedy_accuracy(found, truth):
    """The fullest cell of the table, then the fullest one that is left, …"""
    left, total = counts(found, truth).astype(float), 0
    while (left >= 0).any():
        k, l = np.unravel_index(left.argmax(), left.shape)  # noqa: E741
        total += left[k, l]
        left[k], left[:, l] = -1, -1
    return total / len(truth)


def one_after_the_other(table):
    free, total = list(range(len(table))), 0
    for row in table:
        best = max(free, key=lambda j: row[j])
        total += row[best]
        free.remove(best)
    return total / table.sum()


def turned_accuracy(found, truth):
    K = max(found.max(), truth.max()) + 1
    return max(np.mean((found + turn) % K == truth) for turn in range(K))


def with_one_exchange(found, truth):
    return max(np.mean(np.array(m)[found] == truth) for m in namings(found, truth)
               if sum(k != name for k, name in enumerate(m)) <= 2)


def classes_that_occur(found, truth):
    """Counts only the classes of ``found``: one that is empty there is forgotten."""
    K = found.max() + 1
    table = np.zeros((K, K))
    np.add.at(table, (found, truth), 1)
    return max(sum(table[k, m[k]] for k in range(K)) for m in permutations(range(K))) / len(truth)


def posterior_less(subtracted):
    """6.2 with ``subtracted`` (joint -> what is taken off before the exponential)."""
    def answer(log_p, weights):
        joint = log_p + np.log(weights)[:, None]
        gamma = np.exp(joint - subtracted(joint))
        return (gamma / gamma.sum((1, 2), keepdims=True)).sum(2)
    return answer


def supervised_less(subtracted):
    """6.5 with ``subtracted`` ((2, N) log-likelihoods -> what is taken off before the exponential)."""
    def answer(one, two, share):
        one, two = np.array([one, two]) - subtracted(np.array([one, two]))
        return naive_supervised(one, two, share)
    return answer


def naive_supervised(a, b, share):
    return share * np.exp(a) / (share * np.exp(a) + (1 - share) * np.exp(b))


def correct(p, truth):
    return np.mean([row.argmax() == t for row, t in zip(p, truth)])


WRONG = [
    ("6.1", 4 * 4608 * 21, "for one particle"),
    ("6.1", 91_114 * 4608 * 21, "classes are missing"),
    ("6.1", 91_114 * 4 * 4608, "shifts are missing"),
    ("6.1", 91_114 * 4 * 21, "orientations are missing"),
    ("6.1", 91_114 * (4 + 4608 + 21), "multiplied"),
    ("6.1", 91_114 * 4 * (4608 + 21), "added the orientations and the shifts"),
    ("6.1", 91_114 * 4608, "Classes and shifts"),
    ("6.1", 91_114 / 4 * 4608 * 21, "do not divide by K"),
    ("6.1", 91_114 * 2 * 4608 * 21, "Here K = 4"),
    ("6.1", 91_114 * 4 * 576 * 5, "this lesson's own runs"),
    ("6.1", 35.27, "billions"),
    ("6.1", 35_269, "millions"),
    ("6.1", 1, "not it"),
    ("6.1", "many", "One number"),
    ("6.1", [91_114, 4, 4608, 21], "One number"),
    ("6.1", 35_268_678_000 * 1j, "complex"),
    ("6.1", None, "nothing"),
    ("6.2", lambda s, w: rows(np.exp(s).sum(2)), "weights P(k|Θ) are missing"),
    ("6.2", lambda s, w: rows((np.exp(s + w[:, None])).sum(2)), "np.log(weights)"),
    ("6.2", lambda s, w: rows(np.exp(s.max(2)) * w), "best place of each class"),
    ("6.2", lambda s, w: rows(np.exp(s.mean(2)) * w), "averaged the logarithms"),
    ("6.2", lambda s, w: rows(np.exp(s.sum(2)) * w), "added up logarithms"),
    ("6.2", lambda s, w: np.ones((6, 3)), "every class got everything"),
    ("6.2", lambda s, w: np.tile(w, (6, 1)), "within each class"),
    ("6.2", lambda s, w: likely(s, w).sum(2), "do not add up"),
    ("6.2", lambda s, w: likely(s, w).sum(2) / likely(s, w).sum(2).sum(0), "axis 0"),
    ("6.2", lambda s, w: np.eye(3)[naive_posterior(s, w).argmax(1)], "to one class"),
    ("6.2", lambda s, w: likely(s, w) / likely(s, w).sum((1, 2), keepdims=True), "axis 2"),
    ("6.2", lambda s, w: rows(likely(s, w).sum(1)), "over axis 2"),
    ("6.2", naive_posterior, "exp(−4000)"),
    ("6.2", lambda s, w: np.full((6, 3), 1 / 3), "not the class probabilities"),
    ("6.2", posterior_less(lambda joint: joint.max()), "not that of all images together"),
    ("6.2", posterior_less(lambda joint: joint.max(0)), "over the images (axis 0)"),
    ("6.2", posterior_less(lambda joint: joint.max(2, keepdims=True)), "one number for the whole image"),
    ("6.2", posterior_less(lambda joint: joint.max(1, keepdims=True)), "another number in each place"),
    ("6.2", posterior_less(lambda joint: joint.min((1, 2), keepdims=True)), "Subtract the largest score of each image"),
    ("6.2", posterior_less(lambda joint: joint.mean()), "exp(−4000)"),
    ("6.2", lambda s, w: naive_posterior(s + np.log(w)[:, None], w), "in it twice"),
    ("6.2", lambda s, w: likely(s, w).max(2) / likely(s, w).sum((1, 2))[:, None], "Add up over all places"),
    ("6.2", lambda s, w: naive_posterior(s, w) / 7, "averaged over the places at the end"),
    ("6.2", lambda s, w: likely(s, w).sum(2) / likely(s, w).sum(), "All images together"),
    ("6.2", lambda s, w: likely(s, w).sum(2) / likely(s, w).max((1, 2))[:, None], "after subtracting the largest"),
    ("6.2", lambda s, w: (likely(s, w) / likely(s, w).sum(1, keepdims=True)).sum(2), "within each place"),
    ("6.2", lambda s, w: np.log(naive_posterior(s, w)), "logarithm. Take the exponential"),
    ("6.2", lambda s, w: np.log(likely(s, w).sum(2)), "and not normalised"),
    ("6.2", lambda s, w: naive_posterior(s, w).mean(0), "keep axis 0"),
    ("6.2", lambda s, w: naive_posterior(s, w).T, "shape (3, 6)"),
    ("6.2", lambda s, w: naive_posterior(s, w).argmax(1), "shape (6,)"),
    ("6.2", lambda s, w: naive_posterior(s, w).ravel(), "shape (18,)"),
    ("6.2", lambda s, w: naive_posterior(s, w) + 0j, "complex"),
    ("6.2", lambda s, w: [[1.0], [0.5, 0.5]], "An array of shape"),
    ("6.2", lambda s: s, "TypeError"),
    ("6.3", lambda p: p.sum(0), "divide by the number of particles"),
    ("6.3", lambda p: np.bincount(p.argmax(1), minlength=3) / 9, "best class only"),
    ("6.3", lambda p: np.bincount(p.argmax(1), minlength=3), "did not divide"),
    ("6.3", lambda p: p.sum(0) / 3, "number of classes"),
    ("6.3", lambda p: p.mean(1), "axis 0"),
    ("6.3", lambda p: np.full(3, 1 / 3), "where EM starts"),
    ("6.3", lambda p: np.array([1.0, 0, 0]), "not the mean"),
    ("6.3", lambda p: p.mean(), "for all classes together"),
    ("6.3", lambda p: p.mean(0, keepdims=True), "shape (1, 3)"),
    ("6.3", lambda p: p.sum(0) / p.size, "number of all entries"),
    ("6.3", lambda p: p.max(0), "largest of each class"),
    ("6.3", lambda p: np.median(p, 0), "median"),
    ("6.3", lambda p: np.exp(np.log(p).mean(0)), "averaged logarithms"),
    ("6.3", lambda p: (p**2).mean(0), "squares"),
    ("6.3", lambda p: p[0], "not the mean"),
    ("6.3", lambda p: np.fft.ifft(np.fft.fft(p.mean(0))), "complex"),
    ("6.3", lambda p: p.__imul__(1 / 9).sum(0), "changes the arrays"),
    ("6.4", lambda f, t: np.mean(f == t), "every permutation"),
    ("6.4", lambda f, t: counts(f, t).max(1).sum() / len(f), "purity"),
    ("6.4", lambda f, t: counts(f, t).max(0).sum() / len(f), "true class pick"),
    ("6.4", greedy_accuracy, "fullest cell first"),
    ("6.4", lambda f, t: one_after_the_other(counts(f, t)), "one class after the other"),
    ("6.4", lambda f, t: one_after_the_other(counts(f, t).T), "one true class after the other"),
    ("6.4", lambda f, t: loops_accuracy(f, t) * len(f), "number of particles"),
    ("6.4", lambda f, t: loops_accuracy(f, t) * 100, "percent"),
    ("6.4", lambda f, t: 1 - loops_accuracy(f, t), "share that is wrong"),
    ("6.4", turned_accuracy, "K! permutations, not K"),
    ("6.4", with_one_exchange, "exchanged two names"),
    ("6.4", lambda f, t: loops_accuracy(f, t) / (f.max() + 1), "number of classes"),
    ("6.4", lambda f, t: min(np.mean(np.array(m)[f] == t) for m in namings(f, t)), "worst naming"),
    ("6.4", lambda f, t: np.mean([np.mean(np.array(m)[f] == t) for m in namings(f, t)]), "mean over all namings"),
    ("6.4", classes_that_occur, "a class may stay empty"),
    ("6.4", lambda f, t: greedy_accuracy(f, t) if f.max() == 3 else loops_accuracy(f, t), "fullest cell first"),
    ("6.4", lambda f, t: 0.123, "best naming"),
    ("6.4", lambda f, t: counts(f, t), "one number"),
    ("6.4", lambda f, t: (0.5, (0, 1)), "one number"),
    ("6.4", lambda f, t: 1j * loops_accuracy(f, t), "complex"),
    ("6.5", lambda a, b, s: 1 / (1 + np.exp(b - a)), "share is missing"),
    ("6.5", lambda a, b, s: 1 - naive_supervised(a, b, s), "the other one"),
    ("6.5", lambda a, b, s: naive_supervised(a, b, 1 - s), "wrong side"),
    ("6.5", lambda a, b, s: np.exp(a - b) * s / (1 - s), "These are odds, p"),
    ("6.5", lambda a, b, s: np.exp(a - b), "These are odds, and"),
    ("6.5", lambda a, b, s: a / (a + b), "divide logarithms"),
    ("6.5", lambda a, b, s: naive_supervised(a, b, s).round(), "decision, not"),
    ("6.5", lambda a, b, s: (a > b) * 1.0, "forgets the share"),
    ("6.5", lambda a, b, s: a - b + np.log(s / (1 - s)), "logarithms of the odds"),
    ("6.5", lambda a, b, s: np.stack([naive_supervised(a, b, s)] * 2), "Only one probability"),
    ("6.5", naive_supervised, "exp(−3000)"),
    ("6.5", lambda a, b, s: a * 0, "not P(whole | X)"),
    ("6.5", supervised_less(lambda both: both.max()), "lies at its own depth"),
    ("6.5", supervised_less(lambda both: both.max(1, keepdims=True)), "not P(whole | X)"),
    ("6.5", supervised_less(lambda both: both.mean()), "exp(−3000)"),
    ("6.5", lambda a, b, s: naive_supervised(b, a, 0.5), "the other one, and the share is missing"),
    ("6.5", lambda a, b, s: s * naive_supervised(a, b, 0.5), "only after dividing"),
    ("6.5", lambda a, b, s: s * np.exp(a) / (np.exp(a) + np.exp(b)), "only above the line"),
    ("6.5", lambda a, b, s: s * np.exp(a) / (s * np.exp(a) + np.exp(b)), "The other map has a share too"),
    ("6.5", lambda a, b, s: naive_supervised(a + s, b + 1 - s, 0.5), "np.log(share)"),
    ("6.5", lambda a, b, s: naive_supervised(a * s, b * (1 - s), 0.5), "multiplied the log-likelihoods"),
    ("6.5", lambda a, b, s: s * a / (s * a + (1 - s) * b), "with their shares"),
    ("6.5", lambda a, b, s: s * np.exp(a), "without the sum below the line"),
    ("6.5", lambda a, b, s: s * np.exp(a) / np.sum(s * np.exp(a)), "over the particles"),
    ("6.5", lambda a, b, s: 1 - naive_supervised(a, b, s).round(), "decision for the other map"),
    ("6.5", lambda a, b, s: naive_supervised(a, b, s) > 0.5, "decision, not"),
    ("6.5", lambda a, b, s: a - b, "difference of the log-likelihoods"),
    ("6.5", lambda a, b, s: np.log(naive_supervised(a, b, s)), "Take the exponential"),
    ("6.5", lambda a, b, s: naive_supervised(a, b, s).mean(), "not one for all of them"),
    ("6.5", lambda a, b, s: np.stack([naive_supervised(a, b, s)] * 2, axis=1), "Only one probability"),
    ("6.5", lambda a, b, s: naive_supervised(a, b, s) + 0j, "complex"),
    ("6.5", lambda a, b, s: [naive_supervised(x, y, s) for x, y in zip(a, b)][1:], "shape (7,)"),
    ("6.5", lambda a, b, s: print(naive_supervised(a, b, s)), "`print` only shows"),
    ("6.6", lambda p, t: p.max(1).mean(), "what the posterior claims. Subtract"),
    ("6.6", correct, "how often the best class"),
    ("6.6", lambda p, t: correct(p, t) - p.max(1).mean(), "sign"),
    ("6.6", lambda p, t: p[range(80), t].mean() - correct(p, t), "does not know the truth"),
    ("6.6", lambda p, t: p[range(80), t].mean(), "mean probability of the true class"),
    ("6.6", lambda p, t: p.max(1).mean() / correct(p, t), "ratio"),
    ("6.6", lambda p, t: 100 * (p.max(1).mean() - correct(p, t)), "percent"),
    ("6.6", lambda p, t: p.max(1).sum() - 80 * correct(p, t), "sum over the particles"),
    ("6.6", lambda p, t: 0.0, "That is not it"),
    ("6.6", lambda p, t: p.max(1).mean() - loops_accuracy(p.argmax(1), t), "other names first"),
    ("6.6", lambda p, t: p.max(1).mean() - counts(p.argmax(1), t).max(1).sum() / len(t), "commonest true class"),
    ("6.6", lambda p, t: abs(p.max(1).mean() - correct(p, t)), "no abs"),
    ("6.6", lambda p, t: max(p.max(1).mean() - correct(p, t), 0.0), "no max"),
    ("6.6", lambda p, t: p.max(1).mean() - p[range(80), t].mean(), "a count"),
    ("6.6", lambda p, t: p.mean() - correct(p, t), "always 1/K"),
    ("6.6", lambda p, t: p.max() - correct(p, t), "That is not it"),
    ("6.6", lambda p, t: p.max(0).mean() - correct(p, t), "That is not it"),
    ("6.6", lambda p, t: p.max(1).mean() - 1 + correct(p, t), "share that is right"),
    ("6.6", lambda p, t: 1 - correct(p, t), "share that is wrong"),
    ("6.6", lambda p, t: p.max(1) - (p.argmax(1) == t), "Take the mean"),
    ("6.6", lambda p, t: p.max(1).mean() - correct(p, t) + 0j, "complex"),
    ("6.6", lambda p, t: (p.max(1).mean(), correct(p, t)), "one number"),
]
