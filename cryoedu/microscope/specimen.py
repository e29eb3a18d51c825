"""What is looked at: a 2D or 3D density with a pixel size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryoedu.errors import InputError


@dataclass(frozen=True)
class Specimen:
    """A density on a grid, white (positive) where there is mass.

    density: (n, n) indexed [y, x] or (n, n, n) indexed [z, y, x], float32, n even, centre at n // 2.
    pixel_size: Å.
    """

    density: np.ndarray
    pixel_size: float
    name: str = "specimen"

    def __post_init__(self) -> None:
        shape = np.shape(self.density)
        if len(shape) not in (2, 3) or len(set(shape)) != 1 or shape[0] % 2:
            raise InputError(f"{self.name}: the density has shape {shape}, but a square or cubic box with an even "
                             "number of pixels is needed: pad or crop it")
        if not np.isfinite(self.density).all():
            raise InputError(f"{self.name}: the density holds NaN or infinite values: replace them first")
        if not self.pixel_size > 0:
            raise InputError(f"{self.name}: the pixel size is {self.pixel_size} Å, but must be positive")

    @property
    def box(self) -> int:
        """Side of the box in pixels."""
        return int(self.density.shape[0])

    @property
    def ndim(self) -> int:
        """2 for an image, 3 for a map."""
        return int(self.density.ndim)
