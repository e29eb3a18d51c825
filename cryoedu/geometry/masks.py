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
