"""The two kernels on the CPU, compiled by Numba and cached on disk: see `cryoedu.microscope.slices`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange, set_num_threads

from cryoedu.threads import ALONE

CHUNK = 512  # components whose places are found at a time: what is known of them fits the fastest memory
ONE_AT_A_TIME = Lock()  # Numba's threads may be put to work by one other thread at a time


def extract(source: np.ndarray, axes: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
    """Slices (K, O, J) of half volumes (K, Z, Y, X); axes (O, 2, 3): the first two rows of each rotation, times the
    padding."""
    source = np.ascontiguousarray(source)
    out = np.empty((len(source), len(axes), len(kx)), dtype=source.dtype)
    work = _as_reals(source), axes, kx, ky, _as_reals(out)
    if ALONE.get():  # other threads fill the other cores
        extract_alone(*work)
    else:
        with ONE_AT_A_TIME, _threads(out.size):
            _extract(*work)
    return out


def insert_into(sums: np.ndarray, totals: np.ndarray | None, values: np.ndarray, weights: np.ndarray | None,
                axes: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> None:
    """Add slices (K, O, J) to half volumes (K, Z, Y, X), and their weights to the real ones, if there are any."""
    values = np.ascontiguousarray(values, dtype=sums.dtype)
    if weights is None or totals is None:  # what the kernel takes for none
        heavy, totals = (np.empty((len(sums), *none), dtype=sums.real.dtype) for none in ((0, 0), (0, 0, 0)))
    else:
        heavy = np.ascontiguousarray(weights, dtype=totals.dtype)
    work = _as_reals(values), heavy, axes, kx, ky
    if ALONE.get():
        _insert_some(*work, 0, len(axes), _as_reals(sums), totals)
        return
    # each thread has volumes of its own, so that no two write to one voxel; they pay where more is added than they hold
    with ONE_AT_A_TIME, _threads(min(values.size, 2**17 * (values.size // sums.size))) as copies:
        if copies == 1:
            _insert_some(*work, 0, len(axes), _as_reals(sums), totals)
            return
        each, each_total = (np.zeros((copies, *part.shape), dtype=part.dtype) for part in (sums, totals))
        _insert(*work, _as_reals(each), each_total)
        sums += each.sum(axis=0)
        totals += each_total.sum(axis=0)


@contextmanager
def _threads(points: int) -> Iterator[int]:
    """As many threads as ``points`` are worth: starting one costs as much as some ten thousand of them."""
    all_of_them = get_num_threads()
    wanted = max(1, min(all_of_them, points // 2**17))
    set_num_threads(wanted)
    try:
        yield wanted
    finally:
        set_num_threads(all_of_them)


def _as_reals(values: np.ndarray) -> np.ndarray:
    """The same numbers, of complex (…, J), as pairs of reals (…, 2 J), which the kernels work on."""
    return values.view(values.real.dtype)


@njit(nogil=True, cache=True)
def _cells(axes: Any, kx: Any, ky: Any, shape: Any, beyond: Any, corners: Any) -> None:
    """Between which voxels some components (C,) lie, in half volumes of ``shape``; of mates where x would be negative.

    beyond: (4, C), filled with how far each is beyond its first voxel in x, y and z, and with 1, or -1 for a mate.
    corners: (4, C), filled with where that voxel stands in the flat volume, and those one further in y, in z and in
        both. The one further in x comes next to each. To be read as unsigned, because Numba takes time to see whether
        an index counts from the end.
    A loop of its own, without branches and in one kind of number, so that it is compiled to wide instructions.
    """
    depth, height, width = float(shape[0]), float(shape[1]), float(shape[2])
    x_x, y_x, z_x, x_y, y_y, z_y = axes[0, 0], axes[0, 1], axes[0, 2], axes[1, 0], axes[1, 1], axes[1, 2]
    beyond_x, beyond_y, beyond_z, sign = beyond[0], beyond[1], beyond[2], beyond[3]
    first, next_y, next_z, next_yz = corners[0], corners[1], corners[2], corners[3]
    for j in range(len(kx)):
        x, y, z = x_x * kx[j] + x_y * ky[j], y_x * kx[j] + y_y * ky[j], z_x * kx[j] + z_y * ky[j]
        mate = x < 0
        x, y, z = -x if mate else x, -y if mate else y, -z if mate else z
        x0, y0, z0 = np.floor(x), np.floor(y), np.floor(z)
        beyond_x[j], beyond_y[j], beyond_z[j], sign[j] = x - x0, y - y0, z - z0, -1.0 if mate else 1.0
        y1, z1 = y0 + 1.0, z0 + 1.0
        y0, y1 = y0 + height if y0 < 0 else y0, y1 + height if y1 < 0 else y1
        z0, z1 = z0 + depth if z0 < 0 else z0, z1 + depth if z1 < 0 else z1
        z1 = z1 if z1 < depth else depth - 1.0  # of a 2D reference there is one layer
        first[j], next_y[j] = np.int64((z0 * height + y0) * width + x0), np.int64((z0 * height + y1) * width + x0)
        next_z[j], next_yz[j] = np.int64((z1 * height + y0) * width + x0), np.int64((z1 * height + y1) * width + x0)


@njit(inline="always")
def _shares(beyond: Any, j: int) -> Any:
    """How much of component j falls to each of its four corners, and how much of that to the next voxel in x."""
    x, y, z, one = beyond[0, j], beyond[1, j], beyond[2, j], beyond.dtype.type(1)
    return ((one - z) * (one - y), (one - z) * y, z * (one - y), z * y), x


@njit(nogil=True, cache=True)
def extract_alone(source: Any, axes: Any, kx: Any, ky: Any, out: Any) -> None:
    """Slices (K, O, 2 J) of half volumes (K, Z, Y, 2 X), as pairs of reals, in one thread: for other kernels too.

    axes: (O, 2, 3) the first two rows of each rotation, times the padding.
    """
    maps, depth, height, width = source.shape
    flat, shape, count = source.reshape(maps, depth * height * width), (depth, height, width // 2), kx.shape[0]
    beyond, corners = np.empty((4, CHUNK), source.dtype), np.empty((4, CHUNK), np.int64)
    one, im, pair = source.dtype.type(1), np.uint64(1), np.uint64(2)  # to imaginary parts, and from voxel to voxel
    for o in range(axes.shape[0]):
        for start in range(0, count, CHUNK):
            some = slice(start, min(start + CHUNK, count))
            _cells(axes[o], kx[some], ky[some], shape, beyond, corners)
            for k in range(maps):
                voxels, found = flat[k], out[k, o, 2 * start : 2 * some.stop]
                for j in range(some.stop - start):
                    (s, t, u, v), x = _shares(beyond, j)
                    a, b = pair * np.uint64(corners[0, j]), pair * np.uint64(corners[1, j])
                    c, d = pair * np.uint64(corners[2, j]), pair * np.uint64(corners[3, j])
                    near_re = s * voxels[a] + t * voxels[b] + u * voxels[c] + v * voxels[d]
                    near_im = s * voxels[a + im] + t * voxels[b + im] + u * voxels[c + im] + v * voxels[d + im]
                    a, b, c, d = a + pair, b + pair, c + pair, d + pair
                    far_re = s * voxels[a] + t * voxels[b] + u * voxels[c] + v * voxels[d]
                    far_im = s * voxels[a + im] + t * voxels[b + im] + u * voxels[c + im] + v * voxels[d + im]
                    found[2 * j] = (one - x) * near_re + x * far_re
                    found[2 * j + 1] = beyond[3, j] * ((one - x) * near_im + x * far_im)


@njit(parallel=True, nogil=True, cache=True)
def _extract(source: Any, axes: Any, kx: Any, ky: Any, out: Any) -> None:
    for o in prange(axes.shape[0]):
        extract_alone(source, axes[o : o + 1], kx, ky, out[:, o : o + 1])


@njit(nogil=True, cache=True)
def _insert_some(values: Any, weights: Any, axes: Any, kx: Any, ky: Any, first: int, last: int, sums: Any,
                 totals: Any) -> None:
    maps, depth, height, width = sums.shape
    weighted, count = weights.shape[1] > 0, kx.shape[0]
    flat, heavy = sums.reshape(maps, depth * height * width), totals.reshape(maps, totals.size // maps)
    beyond, corners = np.empty((4, CHUNK), values.dtype), np.empty((4, CHUNK), np.int64)
    one, im, pair = values.dtype.type(1), np.uint64(1), np.uint64(2)
    for o in range(first, last):
        for start in range(0, count, CHUNK):
            some = slice(start, min(start + CHUNK, count))
            _cells(axes[o], kx[some], ky[some], (depth, height, width // 2), beyond, corners)
            for k in range(maps):
                voxels, totalled = flat[k], heavy[k]
                for j in range(some.stop - start):
                    shares, x = _shares(beyond, j)
                    real, imaginary = values[k, o, 2 * (start + j)], beyond[3, j] * values[k, o, 2 * (start + j) + 1]
                    for c in range(4):
                        voxel, near, far = np.uint64(corners[c, j]), (one - x) * shares[c], x * shares[c]
                        at = pair * voxel
                        voxels[at] += near * real
                        voxels[at + im] += near * imaginary
                        voxels[at + pair] += far * real
                        voxels[at + pair + im] += far * imaginary
                        if weighted:
                            totalled[voxel] += near * weights[k, o, start + j]
                            totalled[voxel + im] += far * weights[k, o, start + j]


@njit(parallel=True, nogil=True, cache=True)
def _insert(values: Any, weights: Any, axes: Any, kx: Any, ky: Any, sums: Any, totals: Any) -> None:
    copies, count = sums.shape[0], axes.shape[0]
    for t in prange(copies):
        _insert_some(values, weights, axes, kx, ky, t * count // copies, (t + 1) * count // copies, sums[t], totals[t])
