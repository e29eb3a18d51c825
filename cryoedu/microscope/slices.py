"""The two kernels: read slices out of a transformed map, and add slices back to it.

Both walk over the same points. Component j of orientation o lies at the map frequency R_oᵀ (kx_j, ky_j, 0),
stretched by the padding factor; it is read from, or spread over, the eight voxels around it with trilinear
weights. A 2D reference is a map of one layer (z = 0) and goes through the same code: its upper voxels get
weight zero and are never touched. Half volumes hold x ≥ 0; a point with x < 0 is the conjugate of its mate.

There are three bodies: loops that Numba compiles (`slices_numba`), CUDA kernels for arrays of CuPy (`slices_cupy`), and
whole arrays of NumPy where Numba is not there (`slices_numpy`), as in a browser.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, is_cupy, like, namespace, to_numpy
from cryoedu.microscope import slices_cupy

COMPILES = find_spec("numba") is not None
on_cpu: ModuleType
if COMPILES:
    from cryoedu.microscope import slices_numba as on_cpu
else:
    from cryoedu.microscope import slices_numpy as on_cpu


def in_loops(x: Array) -> bool:
    """Whether loops are compiled for arrays like ``x``: those of NumPy, where Numba is there."""
    return COMPILES and isinstance(x, np.ndarray)


def extract(transform: Array, rotations: np.ndarray, kx: np.ndarray, ky: np.ndarray, padding: int) -> Array:
    """Slices (K, O, J), complex, of half volumes ``transform`` (K, Z, Y, X//2 + 1) at ``rotations`` (O, 3, 3)."""
    places = _places(rotations, kx, ky, padding)
    if is_cupy(transform):
        return slices_cupy.extract(transform, *places)
    return like(on_cpu.extract(to_numpy(transform), *places), transform)


def extract_each(transform: Array, classes: NDArray[np.int64], rotations: np.ndarray, kx: np.ndarray, ky: np.ndarray,
                 padding: int) -> Array:
    """One slice (N, J) at each of ``rotations`` (N, 3, 3), of the half volume of its class (N,), from 0."""
    xp, order = namespace(transform), np.argsort(classes, kind="stable")
    of_classes = [extract(transform[k : k + 1, ...], rotations[classes == k], kx, ky, padding)[0, ...]
                  for k in np.unique(classes)]
    return xp.take(xp.concat(of_classes, axis=0), xp.asarray(np.argsort(order)), axis=0)


def insert(slices: Array, weights: Array | None, rotations: np.ndarray, kx: np.ndarray, ky: np.ndarray, padding: int,
           shape: tuple[int, int, int]) -> tuple[Array, Array | None]:
    """The adjoint of `extract`: half volumes (K, *shape), complex, with all slices (K, O, J) added to them,
    and, if ``weights`` (K, O, J) are given, real ones with the weights added in the same way (else None)."""
    xp = namespace(slices) if is_cupy(slices) else np
    sums = xp.zeros((slices.shape[0], *shape), dtype=to_numpy(slices[:, :0, :]).dtype)
    totals = None if weights is None else xp.zeros(sums.shape, dtype=sums.real.dtype)
    insert_into(sums, totals, slices, weights, rotations, kx, ky, padding)
    return like(sums, slices), None if totals is None else like(totals, slices)


def insert_into(sums: Array, totals: Array | None, slices: Array, weights: Array | None, rotations: np.ndarray,
                kx: np.ndarray, ky: np.ndarray, padding: int) -> None:
    """Add to half volumes what `insert` would give: to ``sums`` (K, Z, Y, X//2 + 1), complex, and to ``totals``, real,
    of NumPy, or of CuPy if the slices (K, O, J) are."""
    places = _places(rotations, kx, ky, padding)
    if is_cupy(slices):
        slices_cupy.insert_into(sums, totals, slices, weights, *places)
    else:
        on_cpu.insert_into(sums, totals, to_numpy(slices), None if weights is None else to_numpy(weights), *places)


def _places(rotations: np.ndarray, kx: np.ndarray, ky: np.ndarray,
            padding: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The first two rows of each rotation (O, 2, 3), times the padding, and kx and ky (J,), as all bodies take them."""
    axes = np.ascontiguousarray(rotations[:, :2, :], dtype=np.float64) * padding
    return axes, kx.astype(np.float64), ky.astype(np.float64)
