"""Where images and predictions are compared: Fourier space (coloured noise, CTF) or real space (white noise).

A space turns images and maps into columns and back. Both have the same functions, so that nothing downstream
knows in which of the two it works.

    bins       (J,) noise bin of each column           unknowns  real numbers in one column (2 complex, 1 real)
    load       images (N, n, n) -> (N, J)              shifted   (N, J), shifts (S, 2) Å -> (N, S, J)
    project    maps (K, n, …), rotations -> (K, O, J)  backproject  its adjoint
    precision  weights (K, O, J) of columns as weights of Fourier components
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, namespace
from cryoedu.geometry.fourier import Components, components, gather, parted, scatter, shift_phases
from cryoedu.microscope import projection

LEAST_SHIFT = 1e-6  # pixels: what is less is the rounding of a division


@dataclass(frozen=True)
class FourierSpace:
    """Columns are the complex components up to ``radius`` shells; DC is the first and is not scored.

    known: shells up to which maps predict images, if fewer. A map that ends at a shell of its own grid does not end
    there between the grid's points, where slices run: the edges of the box spread it.
    free: share of the components of each shell after ``shared`` that are no columns (`cryoedu.inference.free`).
    """

    box: int
    ndim: int
    pixel_size: float
    radius: int
    known: int | None = None
    free: float = 0.0
    shared: int = 0

    unknowns = 2
    unscored = 1  # leading columns that take no part in the scores: DC, the background of the image

    @property
    def parts(self) -> Components:
        """The Fourier components that are the columns."""
        return parted(self.box, self.radius, self.free, self.shared)[0] if self.free else \
            components(self.box, self.radius)

    @property
    def bins(self) -> NDArray[np.int64]:
        """Shell of each column (J,)."""
        return self.parts.shell

    @property
    def bin_count(self) -> int:
        """Number of shells, from DC to Nyquist."""
        return self.box // 2 + 1

    def load(self, images: Array) -> Array:
        """Columns (N, J), complex, of images (N, n, n)."""
        return gather(images, self.parts)

    def shifted(self, columns: Array, shifts: NDArray[np.float64]) -> Array:
        """Columns (N, S, J) of (N, J) moved by each of ``shifts`` (S, 2), Å."""
        return columns[:, None, :] * shift_phases(shifts / self.pixel_size, self.parts, columns)[None, ...]

    def recentred(self, columns: Array, shifts: NDArray[np.float64]) -> Array:
        """Columns (N, J) with particle i moved by its own shift (N, 2), Å."""
        return columns * shift_phases(shifts / self.pixel_size, self.parts, columns)

    def project(self, maps: Array, rotations: NDArray[np.float64]) -> Array:
        """Predicted columns (K, O, J)."""
        return projection.project(maps, rotations, self.parts)

    def sliceable(self, maps: Array) -> Array:
        """Half volumes of maps (K, n, …) on the padded grid, as far as slices reach, with nothing beyond ``known``."""
        half = projection.transform(maps, most=projection.reach(self.parts))
        if self.known is None or self.known >= self.radius:
            return half
        kept = projection.padded_radius(half.shape[1:]) <= self.known + 0.5
        return half * namespace(maps).asarray(kept, dtype=maps.dtype)

    def backproject(self, columns: Array, rotations: NDArray[np.float64]) -> Array:
        """Adjoint of `project`: maps (K, n, …)."""
        return projection.backproject(columns, rotations, self.parts, self.ndim)

    def precision(self, weights: Array) -> Array:
        """The columns are Fourier components already."""
        return weights


@dataclass(frozen=True)
class FreeSpace(FourierSpace):
    """Columns are the components that `FourierSpace` leaves out."""

    @property
    def parts(self) -> Components:
        """The Fourier components that are the columns."""
        return parted(self.box, self.radius, self.free, self.shared)[1]


@dataclass(frozen=True)
class RealSpace(FourierSpace):
    """Columns are the n² pixels; every pixel has the same noise. References are turned in the image plane or
    projected through their transform, so they hold nothing beyond Nyquist."""

    unknowns = 1
    unscored = 0

    @property
    def bins(self) -> NDArray[np.int64]:
        """One bin for all pixels."""
        return np.zeros(self.box**2, dtype=np.int64)

    @property
    def bin_count(self) -> int:
        """White noise has one variance."""
        return 1

    def load(self, images: Array) -> Array:
        """Columns (N, n²), real, of images (N, n, n)."""
        return namespace(images).reshape(images, (images.shape[0], -1))

    def shifted(self, columns: Array, shifts: NDArray[np.float64]) -> Array:
        """Columns (N, S, n²) of (N, n²) moved by each of ``shifts`` (S, 2), Å.

        Whole pixels only change places: what takes a transform is each part of a pixel that occurs, not each shift.
        """
        pixels = shifts / self.pixel_size
        whole = np.floor(pixels + LEAST_SHIFT)
        some, part = np.unique(np.round((pixels - whole) / LEAST_SHIFT) * LEAST_SHIFT, axis=0, return_inverse=True)
        moved = self._pixels(super().shifted(self._components(columns), some * self.pixel_size))
        line = np.arange(self.box)
        x, y = ((line - whole[:, i : i + 1].astype(np.int64)) % self.box for i in (0, 1))  # (S, n): where from
        source = ((part.reshape(-1, 1, 1) * self.box + y[:, :, None]) * self.box + x[:, None, :]).ravel()
        xp, count = namespace(columns), columns.shape[0]
        found = xp.take(xp.reshape(moved, (count, -1)), xp.asarray(source), axis=1)
        return xp.reshape(found, (count, len(shifts), -1))

    def recentred(self, columns: Array, shifts: NDArray[np.float64]) -> Array:
        """Columns (N, n²) with particle i moved by its own shift (N, 2), Å."""
        return self._pixels(super().recentred(self._components(columns), shifts)) if np.any(shifts) else columns

    def project(self, maps: Array, rotations: NDArray[np.float64]) -> Array:
        """Predicted pixels (K, O, n²)."""
        return self._pixels(super().project(maps, rotations))

    def backproject(self, columns: Array, rotations: NDArray[np.float64]) -> Array:
        """Adjoint of `project`: maps (K, n, …)."""
        xp = namespace(columns)
        k, o, _ = columns.shape
        # `scatter` counts each component and its conjugate, over n² pixels; DC has no conjugate
        share = np.full(len(self.parts), 2.0 / self.box**2)
        share[0] /= 2
        parts = self._components(xp.reshape(columns, (k * o, -1))) * xp.asarray(share, dtype=columns.dtype)
        return super().backproject(xp.reshape(parts, (k, o, -1)), rotations)

    def precision(self, weights: Array) -> Array:
        """Mean pixel weight as the weight of each Fourier component (Parseval): (K, O, J')."""
        xp = namespace(weights)
        mean = xp.mean(weights, axis=-1, keepdims=True) * (2.0 / self.box**2)
        return mean * xp.ones((1, 1, len(self.parts)), dtype=weights.dtype)

    def _components(self, columns: Array) -> Array:
        return gather(namespace(columns).reshape(columns, (columns.shape[0], self.box, self.box)), self.parts)

    def _pixels(self, values: Array) -> Array:
        xp = namespace(values)
        flat = xp.reshape(values, (-1, values.shape[-1]))
        return xp.reshape(scatter(flat, self.parts), (*values.shape[:-1], self.box**2))
