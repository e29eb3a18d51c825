"""How much a 2D average looks like the truth, when nobody knows which way is up.

Compared is what is not round. Images that were averaged in any rotations give the particle's rotational average, a
ring without features, and a plain correlation of that with the particle may be as high as 0.8. So on each ring about
the centre the mean is taken off first, of both pictures; what is left is what rotations can be told by.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import resize

Floats = NDArray[np.float64]
SPOKES = 360
FINER = 2  # the image is sampled so much more finely before it is read by splines, which would smooth its noise


def off_rings(image: ArrayLike) -> Floats:
    """(rings, 360): an image (n, n) on rings about its centre n // 2, a sample for each degree, less each ring's mean.

    The rings lie a pixel apart and end where the box does. They are weighted with the root of their lengths, so that
    sums of squares and of products over the samples are in proportion to those over the disc.
    Raises InputError if the image is not square or its box is odd.
    """
    from scipy.ndimage import map_coordinates

    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2 or image.shape[0] != image.shape[1] or len(image) % 2 or len(image) < 4:
        raise InputError(f"an image of shape {image.shape} has no rings about its centre: give a square one with an "
                         "even number of pixels a side, at least 4")
    radius, angle = np.arange(1.0, len(image) // 2)[:, None], np.radians(np.arange(SPOKES))
    places = [FINER * (len(image) // 2 + radius * along) for along in (np.sin(angle), np.cos(angle))]  # y, x
    samples = map_coordinates(resize(image, FINER * len(image), 2), places, order=3)
    return np.asarray((samples - samples.mean(axis=1, keepdims=True)) * np.sqrt(radius))


def likeness(average: ArrayLike, truth: ArrayLike) -> float:
    """Correlation, -1 to 1, of an average (n, n) with the truth (n, n) away from their rings, turned as fits best.

    The average may be turned as a whole, which is tried in steps of 1°. What has no features, a ring or a disc, comes
    to about 0.1 or less, as only the pixels' grid is left of it. Raises InputError if the shapes differ.
    """
    found, true = off_rings(average), off_rings(truth)
    if found.shape != true.shape:
        raise InputError(f"an average of {np.shape(average)} pixels cannot be compared with {np.shape(truth)}")
    products = np.fft.irfft(np.sum(np.fft.rfft(found) * np.conj(np.fft.rfft(true)), axis=0), SPOKES)
    return float(products.max() / max(float(np.linalg.norm(found) * np.linalg.norm(true)), 1e-30))


def contrast(average: ArrayLike, truth: ArrayLike) -> float:
    """How strong an average (n, n) is away from its rings, as a fraction of the truth (n, n): 1 is right."""
    return float(np.linalg.norm(off_rings(average)) / max(float(np.linalg.norm(off_rings(truth))), 1e-30))
