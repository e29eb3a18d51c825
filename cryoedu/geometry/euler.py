"""Orientations: RELION's Euler angles and rotation matrices.

A matrix takes map coordinates (x, y, z) to image coordinates: a point p of the map is imaged at
(R p)_x, (R p)_y. The angles are RELION's rot, tilt, psi in degrees (ZYZ, intrinsic; Heymann, Chagoyen &
Belnap 2005, J Struct Biol 151:196). `scipy.spatial.transform` calls another matrix "ZYZ".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def euler_to_matrix(angles: ArrayLike) -> Floats:
    """Rotation matrices (..., 3, 3) of the angles (..., 3): rot, tilt, psi in degrees."""
    a, b, g = np.moveaxis(np.radians(np.asarray(angles, dtype=np.float64)), -1, 0)
    ca, sa, cb, sb, cg, sg = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(g), np.sin(g)
    rows = [[cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_euler(rotations: ArrayLike) -> Floats:
    """Angles (..., 3) rot, tilt, psi in degrees of the matrices (..., 3, 3).

    Where tilt is 0 or 180 only one combination of rot and psi is defined; rot is then given as 0.
    """
    r = np.asarray(rotations, dtype=np.float64)
    sin_tilt = np.hypot(r[..., 2, 0], r[..., 2, 1])
    tilt = np.arctan2(sin_tilt, r[..., 2, 2])
    rot = np.where(sin_tilt < 1e-9, 0.0, np.arctan2(r[..., 2, 1], r[..., 2, 0]))
    c, s = np.cos(rot), np.sin(rot)
    # what rot leaves to psi, so that near a pole, where rot is rounding noise, psi makes up for it
    psi = np.arctan2(c * r[..., 0, 1] - s * r[..., 0, 0], c * r[..., 1, 1] - s * r[..., 1, 0])
    return np.degrees(np.stack([rot, tilt, psi], axis=-1))


def random_rotations(count: int, rng: np.random.Generator) -> Floats:
    """Matrices (count, 3, 3) drawn uniformly from all rotations (Shoemake 1992: a uniform unit quaternion)."""
    q = rng.standard_normal((count, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_angle(rotations: ArrayLike) -> Floats:
    """Angle of rotation in degrees (...,) of matrices (..., 3, 3); accurate near 0 and near 180 too."""
    r = np.asarray(rotations, dtype=np.float64)
    axis = np.stack([r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]], axis=-1)
    trace = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    return np.degrees(np.arctan2(np.linalg.norm(axis, axis=-1), trace - 1.0))


def angular_distance(first: ArrayLike, second: ArrayLike) -> Floats:
    """Degrees (...,) by which the orientations ``first`` and ``second``, matrices (..., 3, 3), differ."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return rotation_angle(a @ np.swapaxes(b, -1, -2))
