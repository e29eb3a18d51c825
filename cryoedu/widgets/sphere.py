"""A Mollweide map of viewing directions: which direction each pixel shows, and where a direction is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH = 192  # pixels; half as many high


def unit_vectors(angles: ArrayLike) -> NDArray[np.float64]:
    """Unit vectors (N, 3) to where particles are looked at from: angles (N, 2 or 3), rot and tilt first, degrees."""
    rot, tilt = np.radians(np.asarray(angles, dtype=np.float64)[:, :2]).T
    return np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], axis=1)


def views(angles: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The viewing directions (D, 2) rot, tilt among orientations (O, 3), and the direction (O,) of each of these.

    A direction at a pole has one name, whatever its rot.
    """
    angles = np.asarray(angles, dtype=np.float64)
    _, first, direction = np.unique(np.round(unit_vectors(angles), 6) + 0.0, axis=0, return_index=True,
                                    return_inverse=True)
    return angles[first, :2], direction.reshape(-1)


def mollweide(directions: ArrayLike, width: int = WIDTH) -> NDArray[np.int32]:
    """The nearest of ``directions`` (D, 2) for each pixel (width//2, width) of the map; -1 outside of its ellipse.

    Longitude is rot, -180° at the left; latitude is 90° - tilt. Equal areas on the sphere are equal on the map
    (Snyder 1987, Map Projections, p. 249).
    """
    from scipy.spatial import cKDTree

    x, y = np.meshgrid((np.arange(width) + 0.5) * 2 / width - 1, 1 - (np.arange(width // 2) + 0.5) * 4 / width)
    inside = x**2 + y**2 < 1
    theta = np.arcsin(y[inside])
    latitude = np.arcsin(np.clip((2 * theta + np.sin(2 * theta)) / np.pi, -1, 1))
    rot = np.degrees(np.pi * x[inside] / np.cos(theta))
    pixels = unit_vectors(np.stack([rot, 90 - np.degrees(latitude)], axis=1))
    out = np.full(x.shape, -1, dtype=np.int32)
    out[inside] = cKDTree(unit_vectors(directions)).query(pixels)[1]
    return out


def mollweide_pixels(directions: ArrayLike, width: int = WIDTH) -> NDArray[np.float64]:
    """Where ``directions`` (D, 2) lie on that map: x, y in pixels (D, 2)."""
    vector = unit_vectors(directions)  # a tilt below 0° or beyond 180° has its place too
    longitude, latitude = np.arctan2(vector[:, 1], vector[:, 0]), np.arcsin(np.clip(vector[:, 2], -1, 1))
    theta = np.arcsin(2 * latitude / np.pi)
    for _ in range(60):  # Newton's method; slow only at the poles
        slope = 2 + 2 * np.cos(2 * theta)
        theta = theta - (2 * theta + np.sin(2 * theta) - np.pi * np.sin(latitude)) / np.maximum(slope, 1e-9)
        theta = np.clip(theta, -np.pi / 2, np.pi / 2)
    x, y = longitude / np.pi * np.cos(theta), np.sin(theta)
    return np.stack([(x + 1) * width / 2, (1 - y) * width / 4], axis=1)
