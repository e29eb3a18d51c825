"""Images normalised by their background: mean 0 and standard deviation 1 outside the particle's circle.

As relion_preprocess does it (Sorzano et al. 2004, J Struct Biol 146:381, compare ways to do so). A noise spectrum that
all images of an optics group share is right for images whose background is alike, and for no others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.files.images import Images
from cryoedu.geometry.masks import radius_from_centre
from cryoedu.particles.particles import Particles

CIRCLE = 0.75  # of the box: diameter of the circle that holds the particle, if nobody says
ALIKE = 1.5  # standard deviations of the background that differ by less are taken as alike
LOOKED_AT = 500  # images that are looked at to tell
CORE = 0.5  # of the box: diameter of the disc that is all particle
CLEAR = 5.0  # standard errors from which on a contrast is no chance

Floats = NDArray[np.float64]


def background(images: NDArray[np.floating], radius: float) -> tuple[Floats, Floats]:
    """Mean (N,) and standard deviation (N,) of images (N, n, n) outside the circle of ``radius`` pixels."""
    outside = np.asarray(images)[:, radius_from_centre(images.shape[-1], 2) > radius]
    return outside.mean(axis=1, dtype=np.float64), outside.std(axis=1, dtype=np.float64)


def normalise(images: NDArray[np.floating], radius: float) -> NDArray[np.float32]:
    """Images (N, n, n) less the mean of their background, over its standard deviation.

    radius: pixels, of the circle around the particle, outside of which is background.  Raises InputError if that is
    the same everywhere in an image.
    """
    mean, deviation = background(images, radius)
    if not (deviation > 0).all():
        raise InputError(f"image {int(np.argmin(deviation)) + 1} of a block has a background without any variance, so "
                         "it cannot be normalised: leave it out, or choose a smaller circle")
    return ((images - mean[:, None, None]) / deviation[:, None, None]).astype(np.float32)


class NormalisedImages:
    """N images (N, n, n) that are normalised when they are asked for; see `normalise`."""

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(self, source: Images, radius: float, sign: int = 1) -> None:
        self.source, self.radius, self.sign, self.shape = source, radius, np.float32(sign), source.shape

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        """Images of ``rows`` (slice, indices or mask) as (k, n, n), of one row as (n, n); float32."""
        images = np.asarray(self.source[rows], dtype=np.float32)
        found = self.sign * normalise(images if images.ndim == 3 else images[None], self.radius)
        return found if images.ndim == 3 else found[0]


def normalised(particles: Particles, diameter: float | None = None, *, invert: bool = False) -> Particles:
    """The particles with normalised images, read from disk, if they are there, when they are asked for.

    diameter: Å, of the circle around the particle (default: three quarters of the box).  invert: with their signs
    changed.  Raises InputError if the circle leaves no background.
    """
    radius = _radius(particles, diameter)
    return replace(particles, images=NormalisedImages(particles.images, radius, -1 if invert else 1))


class InvertedImages:
    """N images (N, n, n) whose signs are changed when they are asked for."""

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(self, source: Images) -> None:
        self.source, self.shape = source, source.shape

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        """Images of ``rows`` (slice, indices or mask) as (k, n, n), of one row as (n, n); float32."""
        return -np.asarray(self.source[rows], dtype=np.float32)


def inverted(particles: Particles) -> Particles:
    """The particles with dark and bright exchanged, read from disk, if they are there, when they are asked for."""
    return replace(particles, images=InvertedImages(particles.images))


def uneven_background(particles: Particles) -> tuple[float, float] | None:
    """Standard deviations of the background that nine images in ten lie between, if they are not alike; else None.

    Looked for in 500 images, evenly through the rows.
    """
    _, deviation = background(_some(particles), _radius(particles, None))
    low, high = np.quantile(deviation, [0.05, 0.95])
    return None if high <= ALIKE * low else (float(low), float(high))


def contrast(particles: Particles) -> float:
    """By how many standard errors the middle of the images is brighter than their rim; below 0 particles are dark.

    Looked for in 500 images, evenly through the rows. Infinite for images that are all the same in this.
    """
    images = _some(particles)
    middle = images[:, radius_from_centre(particles.box, 2) < CORE * particles.box / 2]
    rim, _ = background(images, _radius(particles, None))
    each = middle.mean(axis=1, dtype=np.float64) - rim
    spread = each.std(ddof=1) if len(each) > 1 else abs(each[0])
    return float(each.mean() / max(spread / np.sqrt(len(each)), 1e-12))


def _some(particles: Particles) -> NDArray[np.float32]:
    """Images evenly from all rows."""
    rows = np.unique(np.linspace(0, len(particles) - 1, min(len(particles), LOOKED_AT)).astype(int))
    return np.asarray(particles.images[rows], dtype=np.float32)


def _radius(particles: Particles, diameter: float | None) -> float:
    side = particles.box * particles.pixel_size
    diameter = CIRCLE * side if diameter is None else diameter
    if not 0 < diameter <= side:
        raise InputError(f"a circle of {diameter:g} Å leaves no background in a box of {side:g} Å: give a diameter "
                         "between 0 and that")
    return diameter / 2 / particles.pixel_size
