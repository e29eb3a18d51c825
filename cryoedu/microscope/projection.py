"""Projection by slices, and its exact adjoint.

By the projection-slice theorem the transform of a projection is a central slice of the map's transform. The
map is divided by sinc², padded, transformed and read by trilinear interpolation: interpolating in Fourier space
multiplies real space by a sinc² along each axis, so the division (the gridding correction, separable) undoes it.
An image (a 2D reference) is the same with one layer, and its "projections" are its in-plane rotations.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cryoedu.arrays import Array, namespace
from cryoedu.geometry.fourier import Components, fourier, inverse, multiplicity

PADDING = 2


@lru_cache(maxsize=16)
def _gridding_correction(box: int, padding: int, ndim: int) -> np.ndarray:
    """1 / sinc² along each axis (box,)*ndim: what trilinear interpolation on the padded grid takes away."""
    one = 1.0 / np.sinc((np.arange(box) - box // 2) / (box * padding)) ** 2
    out = one
    for _ in range(ndim - 1):
        out = out[..., None] * one
    return out


def transform(maps: Array, padding: int = PADDING) -> Array:
    """Half volumes (K, Z, Y, X//2 + 1), ready for slices, of maps (K, n, n, n); (K, 1, Y, X//2 + 1) of (K, n, n)."""
    xp = namespace(maps)
    ndim, box = maps.ndim - 1, maps.shape[-1]
    corrected = maps * _as(_gridding_correction(box, padding, ndim), maps)
    half = fourier(pad(corrected, box * padding, ndim), ndim)
    return half if ndim == 3 else xp.expand_dims(half, axis=1)


def transform_adjoint(half: Array, box: int, ndim: int, padding: int = PADDING) -> Array:
    """The adjoint of `transform`: maps (K, n, …) from half volumes, for the real inner products of both sides."""
    xp = namespace(half)
    wide = box * padding
    flat = half if ndim == 3 else xp.squeeze(half, axis=1)
    # `inverse` counts a component as often as it stands in the full transform, the adjoint counts it once
    real = xp.float32 if half.dtype == xp.complex64 else xp.float64
    full = inverse(flat * xp.asarray(wide**ndim / multiplicity(wide, ndim), dtype=real), ndim)
    maps = cut(full, box, ndim)
    return maps * _as(_gridding_correction(box, padding, ndim), maps)


def project(maps: Array, rotations: np.ndarray, parts: Components, padding: int = PADDING) -> Array:
    """Components (K, O, J) of the projections of ``maps`` (K, n, n, n), or (K, n, n), at ``rotations`` (O, 3, 3).

    Grey values add up along the line of sight, voxel by voxel. Kin of RELION's projector (Scheres 2012,
    J Struct Biol 180:519).
    """
    from cryoedu.microscope.slices import extract

    return extract(transform(maps, padding), rotations, parts.kx, parts.ky, padding)


def backproject(slices: Array, rotations: np.ndarray, parts: Components, ndim: int, padding: int = PADDING) -> Array:
    """The exact adjoint of `project`: ⟨project(V), S⟩ = ⟨V, backproject(S)⟩, both sides real inner products.

    Slices (K, O, J) give maps (K, n, n, n) for ``ndim`` 3 or (K, n, n) for 2.
    """
    from cryoedu.microscope.slices import insert

    sums, _ = insert(slices, None, rotations, parts.kx, parts.ky, padding, half_shape(parts.box, ndim, padding))
    return transform_adjoint(sums, parts.box, ndim, padding)


def half_shape(box: int, ndim: int, padding: int = PADDING) -> tuple[int, int, int]:
    """Shape of a half volume for maps (ndim 3) or images (ndim 2) of ``box`` pixels."""
    wide = box * padding
    return (wide if ndim == 3 else 1, wide, wide // 2 + 1)


def pad(x: Array, wide: int, ndim: int) -> Array:
    """Zeros around the last ``ndim`` axes, the centre n // 2 going to wide // 2."""
    xp = namespace(x)
    before = (wide - x.shape[-1]) // 2
    for axis in range(-ndim, 0):
        shape = list(x.shape)
        shape[axis] = before
        zeros = xp.zeros(tuple(shape), dtype=x.dtype)
        x = xp.concat([zeros, x, zeros], axis=axis)
    return x


def cut(x: Array, box: int, ndim: int) -> Array:
    """The middle ``box`` pixels of the last ``ndim`` axes of (K, …): what `pad` put zeros around."""
    first = x.shape[-1] // 2 - box // 2
    return x[(slice(None), *[slice(first, first + box)] * ndim)]


def _as(values: np.ndarray, x: Array) -> Array:
    xp = namespace(x)
    return xp.asarray(values, dtype=x.dtype)
