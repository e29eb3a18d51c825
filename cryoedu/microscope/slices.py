"""The two kernels: read slices out of a transformed map, and add slices back to it.

Both walk over the same points. Component j of orientation o lies at the map frequency R_oᵀ (kx_j, ky_j, 0),
stretched by the padding factor; it is read from, or spread over, the eight voxels around it with trilinear
weights. A 2D reference is a map of one layer (z = 0) and goes through the same code: its upper voxels get
weight zero and are never touched. Half volumes hold x ≥ 0; a point with x < 0 is the conjugate of its mate.

On the CPU these are compiled by Numba (cached on disk), on a GPU they are the CUDA kernels of slices.cu. The arithmetic
of the CUDA source is tested by compiling it for the CPU; it has not yet run on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib import resources
from threading import Lock
from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange, set_num_threads

from cryoedu.arrays import Array, is_cupy, like, to_numpy
from cryoedu.threads import ALONE

ONE_AT_A_TIME = Lock()  # Numba's threads may be put to work by one other thread at a time


def extract(transform: Array, rotations: np.ndarray, kx: np.ndarray, ky: np.ndarray, padding: int) -> Array:
    """Slices (K, O, J), complex, of half volumes ``transform`` (K, Z, Y, X//2 + 1) at ``rotations`` (O, 3, 3)."""
    axes = np.ascontiguousarray(rotations[:, :2, :], dtype=np.float64) * padding
    if is_cupy(transform):
        return _cuda_extract(transform, axes, kx, ky)
    source = np.ascontiguousarray(to_numpy(transform))
    out = np.empty((len(source), len(axes), len(kx)), dtype=source.dtype)
    work = _as_reals(source), axes, kx, ky, _as_reals(out)
    if ALONE.get():  # other threads fill the other cores
        _extract_alone(*work)
    else:
        with ONE_AT_A_TIME, _threads(out.size):
            _extract(*work)
    return like(out, transform)


def insert(slices: Array, weights: Array | None, rotations: np.ndarray, kx: np.ndarray, ky: np.ndarray, padding: int,
           shape: tuple[int, int, int]) -> tuple[Array, Array | None]:
    """The adjoint of `extract`: half volumes (K, *shape), complex, with all slices (K, O, J) added to them,
    and, if ``weights`` (K, O, J) are given, real ones with the weights added in the same way (else None)."""
    axes = np.ascontiguousarray(rotations[:, :2, :], dtype=np.float64) * padding
    if is_cupy(slices):
        return _cuda_insert(slices, weights, axes, kx, ky, shape)
    values = np.ascontiguousarray(to_numpy(slices))
    real = values.real.dtype
    heavy = np.empty((len(values), 0, 0), dtype=real) if weights is None else np.ascontiguousarray(to_numpy(weights))
    if ALONE.get():
        sums, totals = _inserted(values, heavy, axes, kx, ky, shape, 1)
    else:
        with ONE_AT_A_TIME, _threads(values.size) as copies:
            sums, totals = _inserted(values, heavy, axes, kx, ky, shape, copies)
    return like(sums, slices), None if weights is None else like(totals, slices)


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


def _inserted(values: np.ndarray, weights: np.ndarray, axes: np.ndarray, kx: np.ndarray, ky: np.ndarray,
              shape: tuple[int, int, int], copies: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums and totals (K, *shape), from as many threads as ``copies``, each of which has its own, so that no two write
    to one voxel. The totals are empty where there are no weights."""
    sums = np.zeros((copies, len(values), *shape), dtype=values.dtype)
    totals = np.zeros((copies, len(values), *(shape if weights.shape[1] else (0, 0, 0))), dtype=values.real.dtype)
    work = _as_reals(values), weights, axes, kx, ky
    if copies == 1:
        _insert_some(*work, 0, len(axes), _as_reals(sums)[0], totals[0])
        return sums[0], totals[0]
    _insert(*work, _as_reals(sums), totals)
    return sums.sum(axis=0), totals.sum(axis=0)


def _as_reals(values: np.ndarray) -> np.ndarray:
    """The same numbers, of complex (…, J), as pairs of reals (…, 2 J), which the kernels work on."""
    return values.view(values.real.dtype)


@njit(inline="always")
def _row(frequency: int, length: int) -> Any:
    """Where a frequency stands along an axis of the transform. Every one is there: no need to divide, which is slow."""
    return frequency + length if frequency < 0 else frequency


@njit(inline="always")
def _cell(axes: Any, o: int, kx: float, ky: float, depth: int, height: int, width: int) -> Any:
    """Between which voxels a component lies, in half volumes of that shape, for its mate where x would be negative.

    Returns 1, or -1 for a mate; how far the point is beyond the first voxel, in x, y and z; and where that stands in
    the flat volume, with those one further in y, in z and in both. The one further in x comes next to each. They are
    unsigned, because Numba takes time to see whether an index counts from the end.
    """
    x = axes[o, 0, 0] * kx + axes[o, 1, 0] * ky
    y = axes[o, 0, 1] * kx + axes[o, 1, 1] * ky
    z = axes[o, 0, 2] * kx + axes[o, 1, 2] * ky
    sign = 1.0
    if x < 0:
        x, y, z, sign = -x, -y, -z, -1.0
    cx, cy, cz = np.floor(x), np.floor(y), np.floor(z)
    y0, y1 = _row(int(cy), height), _row(int(cy) + 1, height)
    z0, z1 = _row(int(cz), depth), min(_row(int(cz) + 1, depth), depth - 1)  # of a 2D reference there is one layer
    a, b = z0 * height, z1 * height
    i = int(cx)
    return sign, x - cx, y - cy, z - cz, (np.uint64((a + y0) * width + i), np.uint64((a + y1) * width + i),
                                          np.uint64((b + y0) * width + i), np.uint64((b + y1) * width + i))


@njit(nogil=True, cache=True)
def _extract_alone(source: Any, axes: Any, kx: Any, ky: Any, out: Any) -> None:
    maps, depth, height, width = source.shape
    real, flat = source.dtype.type, source.reshape(maps, depth * height * width)
    for o in range(axes.shape[0]):
        for j in range(kx.shape[0]):
            sign, x, y, z, corners = _cell(axes, o, float(kx[j]), float(ky[j]), depth, height, width // 2)
            sign, x, y, z = real(sign), real(x), real(y), real(z)
            one = real(1)
            weights = ((one - z) * (one - y), (one - z) * y, z * (one - y), z * y)
            for k in range(maps):
                re, im = real(0), real(0)
                voxels = flat[k]
                for c in range(4):
                    at = np.uint64(2) * corners[c]
                    re += weights[c] * ((one - x) * voxels[at] + x * voxels[at + np.uint64(2)])
                    im += weights[c] * ((one - x) * voxels[at + np.uint64(1)] + x * voxels[at + np.uint64(3)])
                out[k, o, 2 * j], out[k, o, 2 * j + 1] = re, sign * im


@njit(parallel=True, nogil=True, cache=True)
def _extract(source: Any, axes: Any, kx: Any, ky: Any, out: Any) -> None:
    for o in prange(axes.shape[0]):
        _extract_alone(source, axes[o : o + 1], kx, ky, out[:, o : o + 1])


@njit(nogil=True, cache=True)
def _insert_some(values: Any, weights: Any, axes: Any, kx: Any, ky: Any, first: int, last: int, sums: Any,
                 totals: Any) -> None:
    maps, depth, height, width = sums.shape
    real, weighted = values.dtype.type, weights.shape[1] > 0
    flat, heavy = sums.reshape(maps, depth * height * width), totals.reshape(maps, totals.size // maps)
    for o in range(first, last):
        for j in range(kx.shape[0]):
            sign, x, y, z, corners = _cell(axes, o, float(kx[j]), float(ky[j]), depth, height, width // 2)
            sign, x, y, z = real(sign), real(x), real(y), real(z)
            one = real(1)
            shares = ((one - z) * (one - y), (one - z) * y, z * (one - y), z * y)
            for k in range(maps):
                re, im = values[k, o, 2 * j], sign * values[k, o, 2 * j + 1]
                voxels, totalled = flat[k], heavy[k]
                for c in range(4):
                    at, near, far = np.uint64(2) * corners[c], (one - x) * shares[c], x * shares[c]
                    voxels[at] += near * re
                    voxels[at + np.uint64(1)] += near * im
                    voxels[at + np.uint64(2)] += far * re
                    voxels[at + np.uint64(3)] += far * im
                    if weighted:
                        totalled[corners[c]] += near * weights[k, o, j]
                        totalled[corners[c] + np.uint64(1)] += far * weights[k, o, j]


@njit(parallel=True, nogil=True, cache=True)
def _insert(values: Any, weights: Any, axes: Any, kx: Any, ky: Any, sums: Any, totals: Any) -> None:
    copies, count = sums.shape[0], axes.shape[0]
    for t in prange(copies):
        _insert_some(values, weights, axes, kx, ky, t * count // copies, (t + 1) * count // copies, sums[t], totals[t])


@lru_cache(maxsize=4)
def _cuda_kernel(name: str, real: str) -> Any:
    import cupy

    source = resources.files("cryoedu.microscope").joinpath("slices.cu").read_text(encoding="utf-8")
    return cupy.RawKernel(f"#define real {real}\n{source}", name)


def _launch(name: str, like_array: Array, points: int, *arguments: Any) -> None:
    real = "float" if like_array.dtype.itemsize == 8 else "double"
    threads = 256
    _cuda_kernel(name, real)(((points + threads - 1) // threads,), (threads,), arguments)


def _cuda_extract(source: Array, axes: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> Array:
    import cupy

    source = cupy.ascontiguousarray(source)
    maps, depth, height, width = source.shape
    out = cupy.empty((maps, len(axes), len(kx)), dtype=source.dtype)
    i32 = partial(cupy.asarray, dtype=cupy.int32)
    _launch("extract", source, len(axes) * len(kx), source, cupy.asarray(axes), i32(kx), i32(ky), out,
            np.int32(maps), np.int32(depth), np.int32(height), np.int32(width), np.int32(len(axes)), np.int32(len(kx)))
    return out


def _cuda_insert(values: Array, weights: Array | None, axes: np.ndarray, kx: np.ndarray, ky: np.ndarray,
                 shape: tuple[int, int, int]) -> tuple[Array, Array | None]:
    import cupy

    values = cupy.ascontiguousarray(values)
    maps = len(values)
    sums = cupy.zeros((maps, *shape), dtype=values.dtype)
    totals = None if weights is None else cupy.zeros((maps, *shape), dtype=values.real.dtype)
    null = np.uint64(0)
    i32 = partial(cupy.asarray, dtype=cupy.int32)
    heavy = null if totals is None else cupy.ascontiguousarray(weights, dtype=totals.dtype)
    _launch("insert", values, len(axes) * len(kx), values, heavy, cupy.asarray(axes), i32(kx), i32(ky), sums,
            null if totals is None else totals, np.int32(maps), *(np.int32(s) for s in shape), np.int32(len(axes)),
            np.int32(len(kx)))
    return sums, totals
