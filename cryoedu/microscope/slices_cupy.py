"""The two kernels on a GPU: the CUDA source of slices.cu, compiled and launched by CuPy. See
`cryoedu.microscope.slices`.

The arithmetic of the source is tested by compiling it for the CPU; it has not yet run on a GPU.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from cryoedu.arrays import Array


def extract(source: Array, axes: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> Array:
    """Slices (K, O, J) of half volumes (K, Z, Y, X); axes (O, 2, 3): the first two rows of each rotation, times the
    padding."""
    import cupy

    source = cupy.ascontiguousarray(source)
    out = cupy.empty((len(source), len(axes), len(kx)), dtype=source.dtype)
    _launch("extract", source, len(axes) * len(kx), source, *map(cupy.asarray, (axes, kx, ky)), out,
            *(np.int32(s) for s in (*source.shape, len(axes), len(kx))))
    return out


def insert_into(sums: Array, totals: Array | None, values: Array, weights: Array | None, axes: np.ndarray,
                kx: np.ndarray, ky: np.ndarray) -> None:
    """Add slices (K, O, J) to half volumes (K, Z, Y, X), and their weights to the real ones, if there are any."""
    import cupy

    values, null = cupy.ascontiguousarray(values, dtype=sums.dtype), np.uint64(0)
    heavy = null if totals is None else cupy.ascontiguousarray(weights, dtype=totals.dtype)
    _launch("insert", values, len(axes) * len(kx), values, heavy, *map(cupy.asarray, (axes, kx, ky)), sums,
            null if totals is None else totals, *(np.int32(s) for s in (*sums.shape, len(axes), len(kx))))


@lru_cache(maxsize=4)
def _kernel(name: str, real: str) -> Any:
    import cupy

    source = resources.files("cryoedu.microscope").joinpath("slices.cu").read_text(encoding="utf-8")
    return cupy.RawKernel(f"#define real {real}\n{source}", name)


def _launch(name: str, like_array: Array, points: int, *arguments: Any) -> None:
    real = "float" if like_array.dtype.itemsize == 8 else "double"
    threads = 256
    _kernel(name, real)(((points + threads - 1) // threads,), (threads,), arguments)
