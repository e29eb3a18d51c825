"""The steps of ML alignment as lesson 3 writes them: the solutions of its exercises, which its later cells use.

Arrays are named as in the lesson: ``images`` (N, n, n), ``references`` (R, n, n) the current reference turned by
each rotation, ``gamma`` (N, R) the probability Γ of each rotation for each image, ``sigma`` the noise per pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def log_scores(images: Array, references: Array, sigma: float) -> Array:
    """log P(X|φ,Θ) (N, R), less a constant of each image: (CCF - |A|²/2) / σ²."""
    ccf = np.tensordot(images, references, axes=([1, 2], [1, 2]))
    return np.asarray((ccf - 0.5 * np.sum(references**2, axis=(1, 2))) / sigma**2)


def posterior(images: Array, references: Array, sigma: float) -> Array:
    """Γ (N, R): the probability of each rotation for each image, every rotation being equally likely beforehand."""
    score = log_scores(images, references, sigma)
    gamma = np.exp(score - score.max(axis=1, keepdims=True))
    return np.asarray(gamma / gamma.sum(axis=1, keepdims=True))


def rotations_left(gamma: Array) -> Array:
    """(N,): how many rotations each image still leaves open, exp of the entropy of Γ."""
    return np.asarray(np.exp(-np.sum(gamma * np.log(np.maximum(gamma, 1e-30)), axis=1)))


def weighted_average(images: Array, gamma: Array, angles: Array) -> Array:
    """(n, n): every image turned back by every rotation, weighted with Γ, added up and divided by N."""
    from cryoedu.microscope.realspace import rotate

    average = np.zeros(images.shape[1:])
    for k, angle in enumerate(angles):
        average += rotate(np.tensordot(gamma[:, k], images, axes=1), -angle)
    return average / len(images)


def noise(images: Array, references: Array, gamma: Array) -> float:
    """σ: the root mean square of what the references leave unexplained, weighted with Γ."""
    ccf = np.tensordot(images, references, axes=([1, 2], [1, 2]))
    energy = np.sum(references**2, axis=(1, 2))
    squares = np.sum(images**2, dtype=float) - 2 * np.sum(gamma * ccf) + np.sum(gamma * energy)
    return float(np.sqrt(squares / images.size))


def log_likelihood(images: Array, references: Array, sigma: float) -> float:
    """log L(Θ): of all images, whatever their rotations."""
    score = log_scores(images, references, sigma)
    best = score.max(axis=1)
    marginal = best + np.log(np.mean(np.exp(score - best[:, None]), axis=1))
    constant = np.sum(images**2, dtype=float) / (2 * sigma**2) + images.size / 2 * np.log(2 * np.pi * sigma**2)
    return float(np.sum(marginal) - constant)


def softmax(score: Array) -> Array:
    """Rows of probabilities from rows of log-probabilities."""
    gamma = np.exp(score - score.max(axis=1, keepdims=True))
    return np.asarray(gamma / gamma.sum(axis=1, keepdims=True))


def one_hot(score: Array) -> Array:
    """All the weight on the best of each row: the assignment of maxCC."""
    return np.asarray((score == score.max(axis=1, keepdims=True)).astype(float))
