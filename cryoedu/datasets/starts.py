"""Maps to start from that have nothing to do with the particle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryoedu.geometry.fourier import low_pass
from cryoedu.geometry.masks import soft_sphere

Map = NDArray[np.float32]


def noise_map(box: int, pixel_size: float, *, diameter: float, seed: int, resolution: float = 60.0) -> Map:
    """White noise (n, n, n) without what is finer than ``resolution`` Å, inside a ball of ``diameter`` Å.

    Shapeless, but full of detail that is nowhere in the particles. Raises InputError if the ball does not fit the box.
    """
    white = np.random.default_rng(seed).standard_normal((1, box, box, box))
    return low_pass(white, pixel_size, resolution)[0] * soft_sphere(box, pixel_size, diameter)


def barrel(box: int, pixel_size: float, *, radius: float = 90.0, wall: float = 60.0, height: float = 200.0) -> Map:
    """A hollow barrel (n, n, n) about the z axis, such as chaperones are: another molecule.

    radius: Å from the axis to the middle of the wall, which is ``wall`` Å thick (full width at half maximum).
    """
    axis = (np.arange(box) - box // 2) * pixel_size
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    shape = np.exp(-((np.hypot(x, y) - radius) ** 2) / (2 * (wall / 2.355) ** 2) - (2 * z / height) ** 4)
    return np.asarray(shape, dtype=np.float32)
