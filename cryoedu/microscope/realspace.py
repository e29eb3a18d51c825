"""Projection and rotation in real space, as one would do them by hand.

Slower than slices, and easier to believe: a map is turned voxel by voxel with cubic splines and its columns
are added up. The first lessons use these; the slices of `projection` are compared with them in the tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix


def rotate(image: ArrayLike, psi: ArrayLike, *, order: int = 3) -> NDArray[np.float32]:
    """Images (P, n, n) of one image (n, n) turned by each psi (P,) degrees, or (n, n) for a single psi.

    The sense is RELION's psi: the content of ``image`` is the reference, the result is what a particle with that
    in-plane angle shows. Pixels from outside the box are 0. ``order`` is the spline order: 1 linear, 3 cubic.
    Raises InputError if this is not one square image.
    """
    from scipy.ndimage import affine_transform, spline_filter

    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2 or image.shape[0] != image.shape[1]:
        several = ": turn them one by one, [rotate(x, angle) for x in images]" if image.ndim == 3 else ""
        raise InputError(f"rotate turns one square image, and this has the shape {image.shape}{several}")
    centre = np.full(2, image.shape[0] // 2)
    source = spline_filter(image, order) if order > 1 else image
    turned = []
    for angle in np.atleast_1d(np.asarray(psi, dtype=np.float64)):
        r = euler_to_matrix([0.0, 0.0, angle])[:2, :2]
        back = r.T[::-1, ::-1]  # image (y, x) to reference (y, x)
        turned.append(affine_transform(source, back, centre - back @ centre, order=order, prefilter=False))
    out = np.asarray(turned, dtype=np.float32)
    return out if np.ndim(psi) else out[0]


def rotate_map(density: ArrayLike, angles: ArrayLike, *, order: int = 3) -> NDArray[np.float32]:
    """A map (n, n, n) turned by rot, tilt, psi (3,) degrees, so that adding up its z axis gives the projection."""
    from scipy.ndimage import affine_transform

    density = np.asarray(density, dtype=np.float64)
    centre = np.full(3, density.shape[0] // 2)
    back = euler_to_matrix(angles).T[::-1, ::-1]
    return np.asarray(affine_transform(density, back, centre - back @ centre, order=order), dtype=np.float32)


def project_by_sums(density: ArrayLike, angles: ArrayLike, *, order: int = 3) -> NDArray[np.float32]:
    """Projections (O, n, n) of a map (n, n, n) at angles (O, 3): turn it, then add up the line of sight."""
    return np.stack([rotate_map(density, a, order=order).sum(axis=0) for a in np.atleast_2d(angles)])


def shift(images: ArrayLike, shifts_pixels: ArrayLike) -> NDArray[np.float32]:
    """Images (N, n, n) moved by (N, 2) or (2,) x, y pixels by Fourier phases; what leaves one side comes back on
    the other.

    Exact, but that a wave of Nyquist frequency cannot be moved by parts of a pixel: what stays of it is its cosine.
    """
    from cryoedu.geometry.fourier import fourier, frequencies, inverse

    images = np.asarray(images, dtype=np.float32)
    n = images.shape[-1]
    s = np.broadcast_to(np.asarray(shifts_pixels, dtype=np.float64), (len(images), 2))
    moved = fourier(images)
    for k, along in zip(frequencies(n, 2), (s[:, 1], s[:, 0])):
        phases = np.exp(-2j * np.pi / n * k * along[:, None, None])
        moved = moved * np.where(np.abs(k) == n // 2, phases.real, phases)
    return np.asarray(inverse(moved), dtype=np.float32)
