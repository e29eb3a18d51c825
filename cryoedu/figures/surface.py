"""An isosurface as a shaded picture, for pages where nothing turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.geometry.euler import euler_to_matrix

MARGIN = 1.05  # of the box is in the picture


def shaded(density: ArrayLike, level: float, angles: ArrayLike = (0.0, 0.0, 0.0), *,
           pixels: int = 160) -> NDArray[np.float64]:
    """Where a map (n, n, n) first exceeds ``level``, lit from the upper left: (pixels, pixels), 0 to 1, NaN beside it.

    Looked at as the projection at ``angles`` (rot, tilt, psi in degrees) adds it up, from its near side: a ray for each
    pixel, in steps of half a voxel.
    """
    from scipy.ndimage import map_coordinates

    volume = np.asarray(density, dtype=np.float64)
    n, back = volume.shape[0], euler_to_matrix(angles).T  # image to map coordinates
    across = (np.arange(pixels) + 0.5 - pixels / 2) * (n * MARGIN / pixels)
    y, x = np.meshgrid(across, across, indexing="ij")
    hit = np.full((3, pixels * pixels), np.nan)
    open_rays = np.arange(pixels * pixels)
    for z in np.arange(-0.87 * n, 0.87 * n, 0.5):
        ray = np.stack([x.ravel()[open_rays], y.ravel()[open_rays], np.full(len(open_rays), z)])
        place = (back @ ray)[::-1] + n // 2  # z, y, x in voxels
        inside = map_coordinates(volume, place, order=1, cval=-np.inf) >= level
        hit[:, open_rays[inside]] = place[:, inside]
        open_rays = open_rays[~inside]
    found = np.isfinite(hit[0])
    slope = np.stack([map_coordinates(along, hit[:, found], order=1, mode="nearest") for along in np.gradient(volume)])
    normal = -(back.T @ slope[::-1])  # x, y, z of the image, out of the surface
    normal /= np.maximum(np.linalg.norm(normal, axis=0), 1e-12)
    light = np.array([-0.4, -0.5, -0.77])  # z points away from the viewer
    out = np.full(pixels * pixels, np.nan)
    out[found] = 0.25 + 0.75 * np.clip(light @ normal, 0, 1)
    return out.reshape(pixels, pixels)
