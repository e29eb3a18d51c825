"""One image before points of a finer grid: how much each of them, with each shift, counts, and what that adds up to.

What is said here in whole arrays is said again in compiled loops for the CPU (`cryoedu.inference.kernels`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, namespace, to_numpy
from cryoedu.geometry.euler import Floats
from cryoedu.geometry.fourier import shift_phases
from cryoedu.inference import kernels
from cryoedu.inference.blocks import as_reals
from cryoedu.inference.points import Keys, Points
from cryoedu.microscope.projection import PADDING


@dataclass(frozen=True)
class Seen:
    """What an image says of the children (H,) of some families and of some shifts (S,).

    images: (S, 2 J) moved by each shift, as reals.  gamma: (H, S) weights, of sum 1.
    of_points: (H,) and of_shifts: (S,) its sums.  log_evidence: of them all, up to a constant of the image.
    """

    images: Array
    gamma: NDArray[np.float32]
    of_points: NDArray[np.float32]
    of_shifts: Floats
    log_evidence: float


def seen(b: Array, c: Array, points: Points, families: Keys, shifts: Floats, of_families: Floats,
         of_shifts: Floats) -> Seen:
    """One image, b and c (J,), shifted back by ``shifts`` (S, 2) Å, before the children of ``families`` (F,), whose log
    priors are ``of_families`` (F,) and ``of_shifts`` (S,)."""
    parts, xp, split = points.space.parts, namespace(b), len(points.turns)
    b, pairs, pixels = b[: len(parts)], _pairs(c[: len(parts)]), -shifts / points.space.pixel_size
    if isinstance(b, np.ndarray):
        images = kernels.moved(as_reals(b, xp), pixels, parts.kx, parts.ky, parts.box)
        scratch = points.buffer()
        found = kernels.weigh(images, pairs, of_families.astype(np.float32), of_shifts.astype(np.float32), scratch,
                              *_whereabouts(points, families))
        points.spare.append(scratch)
        return Seen(images, *found)
    images = as_reals(b[None, :] * shift_phases(pixels, parts, b), xp)
    keys = (families[:, None] * split + np.arange(split)).ravel()
    gamma = np.empty((len(keys), len(shifts)), dtype=np.float32)
    for some in _pieces(len(keys), points.at_once):
        flat = points.slices(keys[some])[:, 2:]  # DC is not scored
        match = flat @ images[:, 2:].T
        gamma[some] = to_numpy(match - 0.5 * ((flat * flat) @ pairs[2:])[:, None])
    gamma += np.repeat(of_families, split).astype(np.float32)[:, None] + of_shifts.astype(np.float32)
    top = gamma.max()
    gamma = np.exp(gamma - top)
    evidence = gamma.sum(dtype=np.float64)
    gamma /= evidence.astype(np.float32)
    return Seen(images, gamma, gamma.sum(axis=1), gamma.sum(axis=0, dtype=np.float64), float(top + np.log(evidence)))


def summed(gamma: NDArray[np.float32], images: Array, c: Array, points: Points, families: Keys,
           children: NDArray[np.int64]) -> tuple[Array, Floats, Floats]:
    """What some ``children`` (M,) of ``families``, numbered as in `Seen`, add to the sums: numerators Γ B (M, 2 J),
    of no more than are looked at together, and of each column (J,) the sums of Re Γ B* A and Γ C |A|²."""
    split, xp, pairs = len(points.turns), namespace(c), _pairs(c)
    if isinstance(images, np.ndarray):
        numerator = points.buffer()[: len(children)]
        overlap, energy = kernels.summed(numerator, gamma, images, pairs, children, *_whereabouts(points, families))
    else:
        weights = xp.asarray(gamma)
        numerator, overlap, energy = weights @ images, np.zeros(pairs.shape[0]), np.zeros(pairs.shape[0])
        keys = families[children // split] * split + children % split
        for some in _pieces(len(keys), points.at_once):
            flat = points.slices(keys[some])
            overlap += to_numpy(xp.sum(numerator[some, :] * flat, axis=0))
            energy += to_numpy(xp.sum(weights[some, :], axis=1) @ (flat * flat) * pairs)
    return numerator, overlap.reshape(-1, 2).sum(axis=1), energy.reshape(-1, 2).sum(axis=1)


def _pairs(c: Array) -> Array:
    """C of each real number of a column (2 J,)."""
    xp = namespace(c)
    return xp.reshape(xp.stack([c, c], axis=-1), (-1,))


def _pieces(rows: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, rows)) for first in range(0, rows, size)]


def _whereabouts(points: Points, families: Keys) -> tuple[Any, ...]:
    """Where the kernels find the slices of the children of ``families``: from ``slots`` to ``padding``."""
    slots, parts = points.slots(families), points.space.parts
    anew = families if (slots < 0).any() else families[:0]
    return (slots, points.values, points.turns, as_reals(points.half, np), points.parents.classes(anew),
            points.parents.rotations(anew), parts.kx.astype(np.float64), parts.ky.astype(np.float64), PADDING)
