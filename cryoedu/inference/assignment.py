"""From scores to weights: the two options of the lecture.

Option 1, maximum cross-correlation, adds the hidden variables to the model: all of a particle's weight goes to
its best hypothesis. Option 2, maximum likelihood, sums over them: each hypothesis gets its posterior probability.
Both see the two products of the expectation step,

    match  = B · Aᵀ    (N, S, H)   how well image and prediction overlap
    energy = C · |A|²ᵀ  (N, 1, H)   the power of the prediction in that image

and differ in what they make of them. ``settle`` makes weights of the scores of all hypotheses. Where these come in
several lots, ``reduce`` is taken over each lot, ``combine`` joins the lots, and ``weigh`` uses the joined result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cryoedu.arrays import Array, is_cupy, namespace

LEAST = -80.0  # log of the smallest Γ before it is divided by the sum


@dataclass(frozen=True)
class Assignment:
    """How hypotheses are scored and weighted.

    score: (match, energy, log priors that are added up) -> (N, S, H), may overwrite match.
    settle: scores -> Γ (N, S, H) and its evidence (N,), may overwrite scores; what reduce and weigh give one after the
        other, in fewer visits to memory.
    reduce: (N, S, H) -> (N,).  combine: two (N,) -> (N,).
    weigh: (scores, joined (N,)) -> Γ (N, S, H), may overwrite scores.
    single: all the weight goes to one hypothesis, the first one of those that are equally good; in `weigh` to the first
        of a lot that is as good as joined.
    log_likelihood: (Σ_i joined, log density of the bare images, log density of the residuals) -> what the
        algorithm climbs: log P(X | Θ) for ML, log P(X | Y, Θ) for maxCC.
    """

    name: str
    score: Callable[..., Array]
    settle: Callable[[Array], tuple[Array, Array]]
    reduce: Callable[[Array], Array]
    combine: Callable[[Array, Array], Array]
    weigh: Callable[[Array, Array], Array]
    log_likelihood: Callable[[float, float, float], float]
    single: bool = False


def log_posterior(match: Array, energy: Array, *log_priors: Array) -> Array:
    """log P(X | h, s) + log P(h, s), less a constant of the image."""
    match -= 0.5 * energy
    for log_prior in log_priors:
        match += log_prior
    return match


def cross_correlation(match: Array, energy: Array, *log_priors: Array) -> Array:
    """Normalised cross-correlation, up to a factor of the image; the priors have no say."""
    xp = namespace(match)
    match /= xp.sqrt(energy + xp.finfo(energy.dtype).tiny)
    return match


def log_sum_exp(scores: Array) -> Array:
    """log Σ exp over all hypotheses (N,), of (N, S, H), without overflow."""
    top = _maximum(scores)
    xp = namespace(scores)
    return top + xp.log(xp.sum(xp.exp(scores - top[:, None, None]), axis=(1, 2)))


def log_add(a: Array, b: Array) -> Array:
    """log(exp a + exp b)."""
    return namespace(a).logaddexp(a, b)


def _maximum(scores: Array) -> Array:
    return namespace(scores).max(scores, axis=(1, 2))


def _larger(a: Array, b: Array) -> Array:
    return namespace(a).maximum(a, b)


def _exp(scores: Array) -> Array:
    """exp(scores), in their own memory where the library can: to get as much afresh takes longer than to compute it.

    What is less than exp(LEAST) becomes 0. It weighs nothing, but numbers below 1e-38 are no longer normal ones, and
    a product with many of them takes a processor a hundred times as long.
    """
    xp = namespace(scores)
    scores[scores < LEAST] = -xp.inf
    return xp.exp(scores, out=scores) if isinstance(scores, np.ndarray) or is_cupy(scores) else xp.exp(scores)


def _softmax(scores: Array, evidence: Array) -> Array:
    scores -= evidence[:, None, None]
    return _exp(scores)


def _settled(scores: Array) -> tuple[Array, Array]:
    xp, top = namespace(scores), _maximum(scores)
    scores -= top[:, None, None]
    gamma = _exp(scores)
    total = xp.sum(gamma, axis=(1, 2))
    gamma *= (1 / total)[:, None, None]
    return gamma, top + xp.log(total)


def _all_to_the_best(scores: Array) -> tuple[Array, Array]:
    best = _maximum(scores)
    return _best(scores, best), best


def _best(scores: Array, best: Array) -> Array:
    xp = namespace(scores)
    flat = xp.reshape(scores, (scores.shape[0], -1))
    first = xp.arange(flat.shape[1])[None, :] == xp.argmax(flat, axis=1)[:, None]  # of equals: a particle counts once
    return xp.reshape(xp.astype(first & (flat >= best[:, None]), scores.dtype), scores.shape)


MAXIMUM_LIKELIHOOD = Assignment("ML", log_posterior, _settled, log_sum_exp, log_add, _softmax,
                                lambda evidence, images, residuals: evidence + images)
MAXIMUM_CROSS_CORRELATION = Assignment("maxCC", cross_correlation, _all_to_the_best, _maximum, _larger, _best,
                                       lambda evidence, images, residuals: residuals, single=True)
