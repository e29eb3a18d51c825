"""Between the voxels of a grid: reading, and its adjoint, spreading, by trilinear weights.

This is NumPy, in whole arrays: what turns maps onto each other reads with it, and so do slices where their compiled
loops are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def read(volume: NDArray[np.inexact], points: Floats) -> NDArray[Any]:
    """Values (K, …) of volumes (K, Z, Y, X) at ``points`` (…, 3) x, y, z in voxels from the first one, all of them
    before the last one of each axis; on a grid of one layer z is 0."""
    out = np.zeros((len(volume), *points.shape[:-1]), dtype=volume.dtype)
    for place, weight in _corners(points, volume.shape[1:], volume.real.dtype):
        for found, voxels in zip(out, volume.reshape(len(volume), -1), strict=True):
            found += weight * voxels[place]
    return out


def spread(volume: NDArray[np.inexact], values: NDArray[np.inexact], points: Floats) -> None:
    """Add ``values`` (K, …) at ``points`` (…, 3) to the voxels around them, in volumes (K, Z, Y, X): the adjoint of
    `read`."""
    for place, weight in _corners(points, volume.shape[1:], np.dtype(np.float64)):
        at = place.ravel()
        for total, value in zip(volume.reshape(len(volume), -1), weight * values, strict=True):
            for part in (np.real, np.imag) if np.iscomplexobj(total) else (np.real,):
                view = part(total)
                view += np.bincount(at, part(value).ravel(), len(total))


def _corners(points: Floats, shape: tuple[int, ...],
             real: np.dtype[Any]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.floating]]]:
    """The eight voxels around each point, one after the other: where they stand in the flat volume, and their weights
    (…)."""
    depth, height, width = shape
    low = np.floor(points).astype(np.int64)
    fx, fy, fz = np.moveaxis((points - low).astype(real), -1, 0)
    first = (low[..., 2] * height + low[..., 1]) * width + low[..., 0]
    for dz, in_z in ((0, 1 - fz), (height * width, fz)) if depth > 1 else ((0, 1 - fz),):
        for dy, in_y in ((0, 1 - fy), (width, fy)):
            share = in_z * in_y
            yield first + (dz + dy), share * (1 - fx)
            yield first + (dz + dy + 1), share * fx
