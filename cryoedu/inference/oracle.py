"""The oracle: how well classes can be told apart by one who knows the true maps, poses and noise.

No classification of the same images can be expected to do better, so its answer stands beside every result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import library
from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.inference.blocks import as_columns, prepare
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Particles

BLOCK = 1024


def oracle(truth: Particles, specimens: Sequence[Specimen], sigma2: NDArray[np.float64],
           fractions: Sequence[float] | None = None) -> NDArray[np.float64]:
    """P(class | image, true pose) (N, K) of particles with their true angles and shifts.

    specimens: the K true maps on the scale of the images.  sigma2: (n//2 + 1,) or (G, n//2 + 1) true noise.
    fractions: true share of each class (default: equal).
    """
    if truth.angles is None:
        raise InputError("the oracle needs the true angles of the particles")
    space = FourierSpace(truth.box, specimens[0].ndim, truth.pixel_size, truth.box // 2)
    maps = np.stack([s.density for s in specimens]).astype(np.float32)
    noise = np.broadcast_to(np.atleast_2d(sigma2), (len(truth.optics), truth.box // 2 + 1))[:, space.bins]
    share = np.ones(len(maps)) / len(maps) if fractions is None else np.asarray(fractions) / np.sum(fractions)
    scores = np.empty((len(truth), len(maps)))
    for group in range(len(truth.optics)):
        mine = np.flatnonzero(truth.optics_group == group)
        for first in range(0, len(mine), BLOCK):
            rows = mine[first : first + BLOCK]
            block = prepare(truth, rows, group, noise[group], np.zeros((1, 2)), space, library("numpy"))
            predicted = space.project(maps, euler_to_matrix(truth.angles[rows]))  # (K, N', J)
            numerator = as_columns(block.b[:, 0, :], space, np).astype(np.complex128)
            match = np.einsum("nj,knj->nk", numerator.conj()[:, 1:], predicted[:, :, 1:]).real
            energy = np.einsum("nj,knj->nk", np.broadcast_to(block.c, numerator.shape)[:, 1:].astype(np.float64),
                               np.abs(predicted[:, :, 1:]) ** 2)
            scores[rows] = match - 0.5 * energy + np.log(share)
    scores -= scores.max(axis=1, keepdims=True)
    weights = np.exp(scores)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def noise_of_residuals(truth: Particles, specimens: Sequence[Specimen]) -> NDArray[np.float64]:
    """σ² (G, n//2 + 1) of what the true maps at the true poses and classes leave of the images."""
    if truth.angles is None or truth.classes is None:
        raise InputError("the noise under the truth needs the true angles and classes of the particles")
    space = FourierSpace(truth.box, specimens[0].ndim, truth.pixel_size, truth.box // 2)
    maps = np.stack([s.density for s in specimens]).astype(np.float32)
    bins = space.bin_count
    squares, counts = np.zeros((len(truth.optics), bins)), np.zeros((len(truth.optics), bins))
    for group in range(len(truth.optics)):
        mine = np.flatnonzero(truth.optics_group == group)
        for first in range(0, len(mine), BLOCK):
            rows = mine[first : first + BLOCK]
            block = prepare(truth, rows, group, np.ones(len(space.bins)), np.zeros((1, 2)), space, library("numpy"))
            numerator = as_columns(block.b[:, 0, :], space, np)
            every = space.project(maps, euler_to_matrix(truth.angles[rows]))
            predicted = every[truth.classes[rows], np.arange(len(rows))]
            change = block.c * np.abs(predicted) ** 2 - 2 * (numerator.conj() * predicted).real
            left = block.power + np.sum(change, axis=0, dtype=np.float64)
            squares[group] += np.bincount(space.bins, left, bins)
            counts[group] += np.bincount(space.bins, minlength=bins) * len(rows)
    measured = squares / np.maximum(2 * counts, 1)
    return np.where(counts > 0, measured, measured.max())
