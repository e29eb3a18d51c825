"""Images before points of a finer grid: how much each of them, with each shift, counts, and what that adds up to.

What is said here in whole arrays, of several images with equal numbers of candidates together, is said again in
compiled loops for the CPU (`cryoedu.inference.kernels`), which look at one image at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, namespace, to_numpy
from cryoedu.geometry.euler import Floats
from cryoedu.geometry.fourier import shift_phases
from cryoedu.inference.blocks import as_reals
from cryoedu.inference.points import Keys, Points
from cryoedu.microscope.projection import PADDING
from cryoedu.microscope.slices import COMPILES, in_loops

if COMPILES:
    from cryoedu.inference import kernels


@dataclass(frozen=True)
class Seen:
    """What an image says of the children (H,) of some families and of some shifts (S,).

    images: (S, 2 J) moved by each shift, as reals.  gamma: (H, S) weights, of sum 1.
    of_points: (H,) and of_shifts: (S,) its sums.  log_evidence: of them all, up to a constant of the image.
    """

    images: Array
    gamma: Array
    of_points: NDArray[np.float32]
    of_shifts: Floats
    log_evidence: float


def seen(b: Array, c: Array, points: Points, families: Keys, shifts: Floats, of_families: Floats,
         of_shifts: Floats) -> list[Seen]:
    """Images b and c (N', J), shifted back by ``shifts`` (N', S, 2) Å, before the children of ``families`` (N', F),
    whose log priors are ``of_families`` (N', F) and ``of_shifts`` (N', S)."""
    parts, xp, (count, steps, _) = points.space.parts, namespace(b), shifts.shape
    b, pairs, pixels = b[:, : len(parts)], _pairs(c[:, : len(parts)]), -shifts / points.space.pixel_size
    if in_loops(b):
        found = []
        for i in range(count):
            images = kernels.moved(as_reals(b[i], xp), pixels[i], parts.kx, parts.ky, parts.box)
            scratch = points.buffer()
            found.append(Seen(images, *kernels.weigh(
                images, pairs[i], of_families[i].astype(np.float32), of_shifts[i].astype(np.float32), scratch,
                *_whereabouts(points, families[i]))))
            points.spare.append(scratch)
        return found
    phases = xp.reshape(shift_phases(pixels.reshape(-1, 2), parts, b), (count, steps, -1))
    images, split = as_reals(b[:, None, :] * phases, xp), len(points.turns)
    keys = (families[:, :, None] * split + np.arange(split)).reshape(count, -1)
    gamma = xp.empty((*keys.shape, steps), dtype=xp.float32)
    for some in _pieces(keys.shape[1], points.at_once // count):
        flat = _slices(points, keys[:, some])[..., 2:]  # DC is not scored
        match = xp.matmul(flat, xp.permute_dims(images[..., 2:], (0, 2, 1)))
        gamma[:, some, :] = match - 0.5 * xp.matmul(flat * flat, pairs[:, 2:, None])
    gamma += xp.asarray(np.repeat(of_families, split, axis=1).astype(np.float32))[:, :, None]
    gamma += xp.asarray(of_shifts.astype(np.float32))[:, None, :]
    top = xp.max(gamma, axis=(1, 2))
    gamma -= top[:, None, None]
    gamma = xp.exp(gamma)
    total = xp.sum(gamma, axis=(1, 2), dtype=xp.float64)
    gamma /= xp.astype(total, gamma.dtype)[:, None, None]
    over_shifts, over_points, evidence = (to_numpy(x) for x in (
        xp.sum(gamma, axis=2), xp.sum(gamma, axis=1, dtype=xp.float64), xp.astype(top, xp.float64) + xp.log(total)))
    return [Seen(images[i, ...], gamma[i, ...], over_shifts[i], over_points[i], float(evidence[i]))
            for i in range(count)]


def summed(gamma: NDArray[np.float32], images: Array, c: Array, points: Points, families: Keys,
           children: NDArray[np.int64]) -> tuple[Array, Floats, Floats]:
    """What some ``children`` (N', M) of ``families`` (N', F) of images (N', S, 2 J), numbered as in `Seen`, add to the
    sums with Γ (N', M, S): numerators Γ B (N', M, 2 J), of no more than are looked at together, and of each image and
    column (N', J) the sums of Re Γ B* A and Γ C |A|². On the CPU a single image (N' = 1)."""
    split, xp, pairs = len(points.turns), namespace(c), _pairs(c)
    if in_loops(images):
        ((gamma, images, pairs, families, children),) = zip(gamma, images, pairs, families, children, strict=True)
        out = points.buffer()[: len(children)]
        overlap, energy = kernels.summed(out, gamma, images, pairs, children, *_whereabouts(points, families))
        numerator = out[None]
    else:
        weights = xp.asarray(gamma)
        numerator = xp.matmul(weights, images)
        flat = _slices(points, np.take_along_axis(families, children // split, 1) * split + children % split)
        overlap = to_numpy(xp.sum(numerator * flat, axis=1)).astype(np.float64)
        power = xp.matmul(xp.sum(weights, axis=2)[:, None, :], flat * flat)[:, 0, :]
        energy = to_numpy(power * pairs).astype(np.float64)
    overlap, energy = (x.reshape(numerator.shape[0], -1, 2).sum(axis=2) for x in (overlap, energy))
    return numerator, overlap, energy


def _slices(points: Points, keys: Keys) -> Array:
    """Slices (N', M, 2 J) of the points of each image, as reals."""
    flat = points.slices(keys.ravel())
    return namespace(flat).reshape(flat, (*keys.shape, -1))


def _pairs(c: Array) -> Array:
    """C (…, J) of each real number of a column (…, 2 J)."""
    xp = namespace(c)
    return xp.reshape(xp.stack([c, c], axis=-1), (*c.shape[:-1], -1))


def _pieces(rows: int, size: int) -> list[slice]:
    return [slice(first, min(first + max(size, 1), rows)) for first in range(0, rows, max(size, 1))]


def _whereabouts(points: Points, families: Keys) -> tuple[Any, ...]:
    """Where the kernels find the slices of the children of ``families``: from ``slots`` to ``padding``."""
    slots, parts = points.slots(families), points.space.parts
    anew = families if (slots < 0).any() else families[:0]
    return (slots, points.values, points.turns, as_reals(points.half, np), points.parents.classes(anew),
            points.parents.rotations(anew), parts.kx.astype(np.float64), parts.ky.astype(np.float64), PADDING)
