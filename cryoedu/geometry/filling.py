"""Which part of Fourier space a set of views fills: slices, and what they leave empty.

The projection along a direction d (a unit vector in the map) gives the components of the map's transform on the plane
through the origin across d. On a grid, a component counts as reached if that plane passes within half a voxel of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError

Floats = NDArray[np.float64]
VIEWS = {"all": "from all sides", "top": "from the top only (tilt up to 30°)", "tilt series": "one axis, up to ±60°"}
GOLDEN, PLASTIC = 0.6180339887498949, (0.7548776662466927, 0.5698402909980532)  # steps that never fall into a rhythm


def views(kind: str, count: int) -> Floats:
    """Angles (count, 3), rot, tilt and psi in degrees, of the first ``count`` views of one of `VIEWS`.

    They spread evenly, however many are taken: one-dimensional steps of the golden ratio for the tilt series, its
    two-dimensional cousin (Roberts' R2 sequence) for the others. Raises InputError for another kind.
    """
    if kind not in VIEWS:
        raise InputError(f"views {kind!r} are unknown: choose one of {', '.join(VIEWS)}")
    j = np.arange(count)
    if kind == "tilt series":
        tilt = 120 * ((0.5 + GOLDEN * j) % 1) - 60
        return np.stack([np.zeros(count), tilt, np.zeros(count)], axis=1)
    lowest = 0.0 if kind == "all" else np.cos(np.radians(30))
    tilt = np.degrees(np.arccos(1 - (1 - lowest) * ((0.5 + PLASTIC[0] * j) % 1)))
    return np.stack([360 * ((0.5 + PLASTIC[1] * j) % 1), tilt, np.zeros(count)], axis=1)


def reached(box: int, rotations: ArrayLike) -> NDArray[np.bool_]:
    """Components (box, box, box), indexed [z, y, x] with frequency 0 at box // 2, that the views' slices reach.

    rotations: (O, 3, 3), of which only the third rows, the directions of view, matter. Components at or beyond Nyquist
    are never reached.
    """
    axis = np.arange(box, dtype=np.float64) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    out = np.zeros((box,) * 3, dtype=bool)
    for dx, dy, dz in np.reshape(np.asarray(rotations, dtype=np.float64), (-1, 3, 3))[:, 2]:
        out |= np.abs(dx * x + dy * y + dz * z) <= 0.5
    return out & (x**2 + y**2 + z**2 < (box // 2) ** 2)
