"""The two kernels in whole arrays of NumPy, where nothing compiles them: see `cryoedu.microscope.slices`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cryoedu.geometry.trilinear import read, spread

POINTS = 2**14  # that are looked at together: what is known of them stays in fast memory


def extract(source: np.ndarray, axes: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
    """Slices (K, O, J) of half volumes (K, Z, Y, X); axes (O, 2, 3): the first two rows of each rotation, times the
    padding."""
    out = np.empty((len(source), len(axes), len(kx)), dtype=source.dtype)
    z, y, middle = _around(source.shape[1:])
    around = np.pad(source[:, z[:, None], y], ((0, 0),) * 3 + ((0, 1),))
    for some, points, mate in _points(axes, kx, ky):
        values = read(around, points + middle)
        out[:, some] = np.where(mate, values.conj(), values)
    return out


def insert_into(sums: np.ndarray, totals: np.ndarray | None, values: np.ndarray, weights: np.ndarray | None,
                axes: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> None:
    """Add slices (K, O, J) to half volumes (K, Z, Y, X), and their weights to the real ones, if there are any."""
    z, y, middle = _around(sums.shape[1:])
    for volume, added, complex_too in ((sums, values, True), (totals, weights, False)):
        if volume is None or added is None:
            continue
        around = np.zeros((len(volume), len(z), len(y), volume.shape[3] + 1), dtype=volume.dtype)
        for some, points, mate in _points(axes, kx, ky):
            mine = added[:, some]
            spread(around, np.where(mate, mine.conj(), mine) if complex_too else mine, points + middle)
        rows: Any = (slice(None), z[:, None], y)
        np.add.at(volume, rows, around[..., :-1])


def _around(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of a half volume (Z, Y, X) along z and y in the order of their frequencies, one more on either side than
    there are, so that every voxel has a next one; and where the origin is then (x, y, z)."""
    depth, height, width = shape
    rows = np.arange(-width, width + 1)
    if depth == 1:
        return np.zeros(1, dtype=int), rows % height, np.array([0, width, 0])
    return rows % depth, rows % height, np.array([0, width, width])


def _points(axes: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Some orientations at a time, the points (O', J, 3) of their components, and which of them (O', J) are those of
    mates, where x would be negative."""
    size = max(POINTS // len(kx), 1)
    for first in range(0, len(axes), size):
        some = slice(first, first + size)
        points = kx[:, None] * axes[some, None, 0] + ky[:, None] * axes[some, None, 1]
        mate = points[..., 0] < 0
        yield some, np.where(mate[..., None], -points, points), mate
