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

ONE_AT_A_TIME = Lock()  # Numba's threads may be put to work by one other thread at a time


def extract(transform: Array, rotations: np.ndarray, kx: np.ndarray, ky: np.ndarray, padding: int) -> Array:
    """Slices (K, O, J), complex, of half volumes ``transform`` (K, Z, Y, X//2 + 1) at ``rotations`` (O, 3, 3)."""
    axes = np.ascontiguousarray(rotations[:, :2, :], dtype=np.float64) * padding
    if is_cupy(transform):
        return _cuda_extract(transform, axes, kx, ky)
    source = np.ascontiguousarray(to_numpy(transform))
    out = np.empty((len(source), len(axes), len(kx)), dtype=source.dtype)
    with ONE_AT_A_TIME, _threads(out.size):
        _extract(source, axes, kx, ky, out)
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
    # copies of the sums, one for each thread, so that no two write to one voxel
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
    """Sums and totals (K, *shape); the totals are empty where there are no weights."""
    sums = np.zeros((copies, len(values), *shape), dtype=values.dtype)
    totals = np.zeros((copies, len(values), *(shape if weights.shape[1] else (0, 0, 0))), dtype=values.real.dtype)
    _insert(values, weights, axes, kx, ky, sums, totals)
    return sums.sum(axis=0), totals.sum(axis=0)


@njit(inline="always")
def _point(axes: Any, o: int, kx: float, ky: float) -> Any:
    """Map frequency of one component and whether its mate with x ≥ 0 is meant."""
    x = axes[o, 0, 0] * kx + axes[o, 1, 0] * ky
    y = axes[o, 0, 1] * kx + axes[o, 1, 1] * ky
    z = axes[o, 0, 2] * kx + axes[o, 1, 2] * ky
    if x < 0:
        return -x, -y, -z, True
    return x, y, z, False


@njit(inline="always")
def _row(frequency: int, length: int) -> Any:
    """Where a frequency stands along an axis of the transform. Every one is there: no need to divide, which is slow."""
    return frequency + length if frequency < 0 else frequency


@njit(parallel=True, cache=True)
def _extract(source: Any, axes: Any, kx: Any, ky: Any, out: Any) -> None:
    maps, depth, height = source.shape[0], source.shape[1], source.shape[2]
    for o in prange(axes.shape[0]):
        for j in range(kx.shape[0]):
            x, y, z, mate = _point(axes, o, kx[j], ky[j])
            ix, iy, iz = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
            fx, fy, fz = x - ix, y - iy, z - iz
            y0, y1, z0, z1 = _row(iy, height), _row(iy + 1, height), _row(iz, depth), _row(iz + 1, depth)
            for k in range(maps):
                re, im = 0.0, 0.0
                for c in range(4):
                    w = (fy if c & 1 else 1 - fy) * (fz if c & 2 else 1 - fz)
                    if w > 0:
                        yc, zc = y1 if c & 1 else y0, z1 if c & 2 else z0
                        a, b = source[k, zc, yc, ix], source[k, zc, yc, ix + 1]
                        re += w * ((1 - fx) * a.real + fx * b.real)
                        im += w * ((1 - fx) * a.imag + fx * b.imag)
                out[k, o, j] = complex(re, -im if mate else im)


@njit(parallel=True, cache=True)
def _insert(values: Any, weights: Any, axes: Any, kx: Any, ky: Any, sums: Any, totals: Any) -> None:
    copies, maps, depth, height = sums.shape[0], sums.shape[1], sums.shape[2], sums.shape[3]
    weighted = weights.shape[1] > 0
    for t in prange(copies):
        for o in range(t, axes.shape[0], copies):
            for j in range(kx.shape[0]):
                x, y, z, mate = _point(axes, o, kx[j], ky[j])
                ix, iy, iz = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
                fx, fy, fz = x - ix, y - iy, z - iz
                y0, y1, z0, z1 = _row(iy, height), _row(iy + 1, height), _row(iz, depth), _row(iz + 1, depth)
                for k in range(maps):
                    v = values[k, o, j]
                    if mate:
                        v = v.conjugate()
                    for c in range(4):
                        w = (fy if c & 1 else 1 - fy) * (fz if c & 2 else 1 - fz)
                        if w > 0:
                            yc, zc = y1 if c & 1 else y0, z1 if c & 2 else z0
                            sums[t, k, zc, yc, ix] += w * (1 - fx) * v
                            sums[t, k, zc, yc, ix + 1] += w * fx * v
                            if weighted:
                                totals[t, k, zc, yc, ix] += w * (1 - fx) * weights[k, o, j]
                                totals[t, k, zc, yc, ix + 1] += w * fx * weights[k, o, j]


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
