"""Masks: 1 where the particle is, 0 in the solvent, a soft edge between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError


def radius_from_centre(box: int, ndim: int) -> NDArray[np.float64]:
    """Distance in pixels of every pixel or voxel from the box centre n // 2."""
    axis = np.arange(box) - box // 2
    axes = np.meshgrid(*[axis] * ndim, indexing="ij", sparse=True)
    return np.sqrt(sum(np.asarray(a, dtype=np.float64) ** 2 for a in axes))


def soft_sphere(box: int, pixel_size: float, diameter: float, *, edge_pixels: float = 3.0,
                ndim: int = 3) -> NDArray[np.float32]:
    """A disc (ndim 2) or ball (ndim 3) of ``diameter`` Å with a raised-cosine edge outside it.

    Raises InputError if it is wider than the box.
    """
    radius = diameter / 2 / pixel_size
    if not 0 < radius <= box / 2:
        raise InputError(f"a mask of {diameter:g} Å does not fit a box of {box} pixels of {pixel_size:g} Å: give a "
                         f"diameter between 0 and {box * pixel_size:g} Å")
    t = np.clip((radius_from_centre(box, ndim) - radius) / max(edge_pixels, 1e-9), 0.0, 1.0)
    return ((1 + np.cos(np.pi * t)) / 2).astype(np.float32)


def solvent_mask(density: NDArray[np.floating], pixel_size: float, *, resolution: float = 30.0,
                 threshold: float = 0.15, extend: float = 10.0, edge: float = 20.0) -> NDArray[np.float32]:
    """A mask (n, n, n) that follows the particle: 1 where the smoothed map is dense, falling to 0 around it.

    density: (n, n, n).  resolution: Å, a Gaussian of this full width at half maximum smooths the map first.
    threshold: share of the smoothed map's 99.9th percentile that counts as particle.  extend and edge: Å around that,
    and the width of the raised-cosine edge outside. If nothing is that dense (a flat map), all of the box is kept.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    smooth = gaussian_filter(np.asarray(density, dtype=np.float64), resolution / pixel_size / 2.355)
    top = np.percentile(smooth, 99.9)
    inside = smooth > threshold * top
    if top <= 0 or not inside.any():
        return np.ones(smooth.shape, dtype=np.float32)
    away = distance_transform_edt(~inside) * pixel_size
    t = np.clip((away - extend) / max(edge, 1e-9), 0.0, 1.0)
    return ((1 + np.cos(np.pi * t)) / 2).astype(np.float32)


def check_mask(mask: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A user's mask as float32, or InputError if its shape or values cannot be a mask for a map of ``shape``."""
    mask = np.asarray(mask, dtype=np.float32)
    if mask.shape != shape:
        raise InputError(f"the mask has shape {mask.shape}, but the map {shape}: resample the mask to the map's box")
    if not np.isfinite(mask).all() or mask.min() < -1e-3 or mask.max() > 1 + 1e-3:
        raise InputError(f"the mask holds values from {mask.min():g} to {mask.max():g}, but a mask runs from 0 "
                         "(solvent) to 1 (particle): threshold and scale it first")
    if not mask.any():
        raise InputError("the mask is zero everywhere: nothing would be left of the map")
    return np.clip(mask, 0.0, 1.0)
