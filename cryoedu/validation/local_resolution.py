"""Local resolution: the FSC of two halves in a window that moves over the map."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, multiplicity, shells
from cryoedu.geometry.masks import check_mask, soft_sphere
from cryoedu.geometry.turning import Map, check_map
from cryoedu.validation.fsc import ROUNDING, resolution

BLOCK = 2_000_000  # voxels of windows that are transformed at a time


def local_resolution(half1: ArrayLike, half2: ArrayLike, pixel_size: float, *, window: float | None = None,
                     step: float | None = None, threshold: float = 0.5, mask: ArrayLike | None = None,
                     progress: bool = True) -> Map:
    """Å (n, n, n) at which two half maps (n, n, n) of ``pixel_size`` Å stop to agree around each voxel.

    The FSC is taken in a soft ball of ``window`` Å (default: 20 voxels) on a grid of ``step`` Å (default: a fifth of
    that), and spatial frequencies are interpolated between. Shells of a window are few and coarse, hence the
    ``threshold`` of 0.5 (kin of blocres; Cardone, Heymann & Steven 2013, J Struct Biol 184:226). Windows that agree
    throughout get Nyquist, those that never do the window's width; outside ``mask`` (n, n, n) stands 0.
    Raises InputError if the maps do not fit together or the window does not fit the box.
    """
    from scipy.ndimage import map_coordinates
    from tqdm.auto import tqdm

    one, two = check_map(half1, "first half"), check_map(half2, "second half")
    n = len(one)
    if one.shape != two.shape:
        raise InputError(f"halves of {n} and {len(two)} voxels cannot be compared: resample one of them")
    inside = np.ones(one.shape, dtype=np.float32) if mask is None else check_mask(np.asarray(mask), one.shape)
    width = 2 * round((20 if window is None else window / pixel_size) / 2)
    if not 8 <= width <= n:
        raise InputError(f"a window of {width} voxels cannot be moved over a map of {n}: take from "
                         f"{8 * pixel_size:g} to {n * pixel_size:g} Å")
    stride = max(1, round(width / 5 if step is None else step / pixel_size))
    side = ceil((n - 1) / stride) + 1  # grid points each way, the last at or beyond the last voxel
    ball = soft_sphere(width, 1.0, 0.75 * width, edge_pixels=0.125 * width)
    wide = [np.pad(x, (width // 2, width // 2 + stride), mode="reflect") for x in (one, two)]
    near = np.pad(inside, (0, side * stride - n)).reshape(side, stride, side, stride, side, stride).max(axis=(1, 3, 5))
    near = np.maximum.reduce([np.roll(near, s, axis=(0, 1, 2)) for s in np.ndindex(2, 2, 2)])
    places = np.argwhere(near > 0)
    frequency = np.full((side,) * 3, 1 / (width * pixel_size), dtype=np.float64)
    rows = max(1, BLOCK // width**3)
    with tqdm(total=len(places), desc="local resolution", unit="window", delay=2, leave=False,
              disable=not progress) as bar:
        for start in range(0, len(places), rows):
            some = places[start:start + rows]
            corners = some * stride
            windows = [np.stack([x[a:a + width, b:b + width, c:c + width] for a, b, c in corners]) for x in wide]
            curves = _curves(*((w - w.mean(axis=(1, 2, 3), keepdims=True)) * ball for w in windows))
            found = [resolution(curve, pixel_size, threshold=threshold) or 2 * pixel_size for curve in curves]
            frequency[tuple(some.T)] = 1 / np.clip(found, 2 * pixel_size, width * pixel_size)
            bar.update(len(some))
    axis = np.arange(n) / stride
    out = np.zeros(one.shape, dtype=np.float32)
    for z in range(n):  # a plane at a time
        plane = np.meshgrid(axis[z], axis, axis, indexing="ij")
        out[z] = 1 / map_coordinates(frequency, plane, order=1, mode="nearest")[0]
    return np.where(inside > 0, out, 0).astype(np.float32)


def _curves(one: NDArray[np.floating], two: NDArray[np.floating]) -> NDArray[np.float64]:
    """FSC (W, w//2 + 1) of each pair of windows (W, w, w, w)."""
    width = one.shape[-1]
    shell, weight = shells(width, 3).ravel(), multiplicity(width, 3).ravel()
    order = np.argsort(shell, kind="stable")[: np.count_nonzero(shell <= width // 2)]
    starts = np.searchsorted(shell[order], np.arange(width // 2 + 1))
    f, g = (fourier(x, 3).reshape(len(x), -1)[:, order] for x in (one, two))
    cross, first, second = (np.add.reduceat(values * weight[order], starts, axis=1)
                            for values in ((f * np.conj(g)).real, np.abs(f) ** 2, np.abs(g) ** 2))
    power = first * second
    seen = power > (ROUNDING * power.max(axis=1, keepdims=True))
    return np.asarray(np.divide(cross, np.sqrt(power), out=np.zeros_like(cross), where=seen))
