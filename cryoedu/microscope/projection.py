"""Projection by slices, and its exact adjoint.

By the projection-slice theorem the transform of a projection is a central slice of the map's transform. The
map is divided by sinc², padded, transformed and read by trilinear interpolation: interpolating in Fourier space
multiplies real space by a sinc² along each axis, so the division (the gridding correction, separable) undoes it.
An image (a 2D reference) is the same with one layer, and its "projections" are its in-plane rotations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, namespace
from cryoedu.geometry.fourier import Components

PADDING = 2
TOGETHER = 2**18  # voxels of small volumes that are worked on together


@lru_cache(maxsize=16)
def _gridding_correction(box: int, padding: int, ndim: int) -> np.ndarray:
    """1 / sinc² along each axis (box,)*ndim: what trilinear interpolation on the padded grid takes away."""
    one = 1.0 / np.sinc((np.arange(box) - box // 2) / (box * padding)) ** 2
    out = one
    for _ in range(ndim - 1):
        out = out[..., None] * one
    return out


def transform(maps: Array, padding: int = PADDING, most: int | None = None) -> Array:
    """Half volumes (K, Z, Y, X), ready for slices, of maps (K, n, n, n); (K, 1, Y, X) of (K, n, n).

    most: the frequency on the padded grid up to which they go along each axis (default: Nyquist); see `half_shape`.
    """
    xp = namespace(maps)
    ndim, box = maps.ndim - 1, maps.shape[-1]
    correction, shape = _as(_gridding_correction(box, padding, ndim), maps), half_shape(box, ndim, padding, most)
    half = by_class(lambda k: padded_fourier(maps[k, ...] * correction, shape, padding), maps.shape[0],
                    math.prod(shape))
    return half if ndim == 3 else xp.expand_dims(half, axis=1)


def by_class(look: Callable[[slice], Array], classes: int, voxels: int) -> Array:
    """``look`` of some classes at a time, joined: of one volume of many ``voxels``, or of several small ones, so that
    what it holds for a while hardly grows with their number."""
    size = min(max(TOGETHER // voxels, 1), classes)
    first = look(slice(0, size))
    if classes == size:
        return first
    xp = namespace(first)
    out = xp.empty((classes, *first.shape[1:]), dtype=first.dtype)
    out[:size, ...] = first
    for k in range(size, classes, size):
        some = slice(k, min(k + size, classes))
        out[some, ...] = look(some)
    return out


def transform_adjoint(half: Array, box: int, ndim: int, padding: int = PADDING) -> Array:
    """The adjoint of `transform`: maps (K, n, …) from half volumes, for the real inner products of both sides."""
    xp = namespace(half)
    maps = padded_fourier_adjoint(half if ndim == 3 else xp.squeeze(half, axis=1), box, padding)
    return maps * _as(_gridding_correction(box, padding, ndim), maps)


def padded_fourier(maps: Array, shape: tuple[int, int, int], padding: int) -> Array:
    """Maps (K, n, …) padded with zeros and transformed, centre at the origin: half volumes of ``shape``.

    Axis by axis, as products with a matrix of waves (`_waves`). Only the frequencies that are wanted are computed, and
    nothing is padded: for 64 voxels at shell 5 a hundredth of the numbers that a padded FFT goes through.
    """
    xp = namespace(maps)
    ndim, box = maps.ndim - 1, maps.shape[-1]
    out = xp.astype(maps, xp.complex64 if maps.dtype == xp.float32 else xp.complex128)
    for axis in range(ndim, 0, -1):  # x first: half of its frequencies are enough
        length = shape[axis - ndim + 2]
        out = _times(_as(_waves(box, length, axis == ndim, padding), out), out, axis)
    return out


def padded_fourier_adjoint(half: Array, box: int, padding: int) -> Array:
    """The adjoint of `padded_fourier`: maps (K, n, …), for the real inner products of both sides."""
    ndim, out = half.ndim - 1, half
    for axis in range(1, ndim + 1):
        out = _times(_as(_waves(box, half.shape[axis], axis == ndim, padding).conj().T, out), out, axis)
    return namespace(half).real(out)


@lru_cache(maxsize=64)
def _waves(box: int, length: int, half: bool, padding: int) -> np.ndarray:
    """exp(-2πi k x / N) (length, n) for the frequencies k of an axis on the padded grid, x counted from the centre."""
    k = np.arange(length) if half else np.fft.fftfreq(length, 1 / length).round()
    return np.exp(-2j * np.pi * np.outer(k, np.arange(box) - box // 2) / (box * padding))


def _times(matrix: Array, x: Array, axis: int) -> Array:
    """A matrix (m, n) applied along an axis of ``x`` of length n."""
    xp = namespace(x)
    before, after = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    if after == 1:
        out = xp.reshape(x, (before, x.shape[axis])) @ matrix.T
    else:
        out = matrix @ xp.reshape(x, (before, x.shape[axis], after))
    return xp.reshape(out, (*x.shape[:axis], matrix.shape[0], *x.shape[axis + 1 :]))


def project(maps: Array, rotations: np.ndarray, parts: Components, padding: int = PADDING) -> Array:
    """Components (K, O, J) of the projections of ``maps`` (K, n, n, n), or (K, n, n), at ``rotations`` (O, 3, 3).

    Grey values add up along the line of sight, voxel by voxel. Kin of RELION's projector (Scheres 2012,
    J Struct Biol 180:519).
    """
    from cryoedu.microscope.slices import extract

    return extract(transform(maps, padding, reach(parts, padding)), rotations, parts.kx, parts.ky, padding)


def backproject(slices: Array, rotations: np.ndarray, parts: Components, ndim: int, padding: int = PADDING) -> Array:
    """The exact adjoint of `project`: ⟨project(V), S⟩ = ⟨V, backproject(S)⟩, both sides real inner products.

    Slices (K, O, J) give maps (K, n, n, n) for ``ndim`` 3 or (K, n, n) for 2.
    """
    from cryoedu.microscope.slices import insert

    shape = half_shape(parts.box, ndim, padding, reach(parts, padding))
    sums, _ = insert(slices, None, rotations, parts.kx, parts.ky, padding, shape)
    return transform_adjoint(sums, parts.box, ndim, padding)


def reach(parts: Components, padding: int = PADDING) -> int:
    """The highest frequency on the padded grid that slices of these components touch along an axis, turned anyhow."""
    return math.floor(padding * math.sqrt(int((parts.kx**2 + parts.ky**2).max()))) + 1


def half_shape(box: int, ndim: int, padding: int = PADDING, most: int | None = None) -> tuple[int, int, int]:
    """Shape of a half volume for maps (ndim 3) or images (ndim 2) of ``box`` pixels, which holds the frequencies up to
    ``most`` along each axis (default: Nyquist): those of x from 0, the others in the order of the FFT."""
    wide = box * padding
    most = wide // 2 if most is None else min(most, wide // 2)
    full = min(2 * most + 1, wide)
    return (full if ndim == 3 else 1, full, most + 1)


def padded_radius(shape: Sequence[int], padding: int = PADDING) -> NDArray[np.float64]:
    """Distance from the origin, in shells of the maps' own grid, of the points of a half volume of ``shape``."""
    wide = (np.fft.fftfreq(length, 1 / length) for length in shape[:-1])
    return np.sqrt(sum(np.square(axis) for axis in np.ix_(*wide, np.arange(shape[-1])))) / padding


def window(values: Array, shape: tuple[int, int, int], ndim: int) -> Array:
    """The part of a half plane or volume (…, N, …, N//2 + 1) that one of ``shape`` holds."""
    xp = namespace(values)
    for axis in range(-ndim, -1):
        whole, length = values.shape[axis], shape[axis]
        if length < whole:
            kept = np.r_[: (length + 1) // 2, whole - length // 2 : whole]
            values = xp.take(values, xp.asarray(kept), axis=axis)
    return values[..., : shape[-1]]


def _as(values: np.ndarray, x: Array) -> Array:
    xp = namespace(x)
    return xp.asarray(values, dtype=x.dtype)
