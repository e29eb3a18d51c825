"""Turn, shift and mirror maps.

A map is sampled twice as finely in Fourier space, where that is exact, and then read by cubic splines, so that turning
there and back keeps more than 99 % of the amplitude up to 0.9 of Nyquist. Outside its box a map is zero: the corners
of a turned map are empty, and what is moved out of the box is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, inverse, resize, shells

Map = NDArray[np.float32]
OVERSAMPLING = 2


def check_map(density: ArrayLike, what: str = "map") -> Map:
    """``density`` as float32 (n, n, n), or InputError if it is no cube, its box is odd, or a value is not finite."""
    array = np.asarray(density, dtype=np.float32)
    if array.ndim != 3 or len(set(array.shape)) != 1 or array.shape[0] % 2 or array.shape[0] < 4:
        raise InputError(f"the {what} has shape {array.shape}, but a cubic box with an even number of voxels, at least "
                         "4, is needed: pad or crop it")
    if not np.isfinite(array).all():
        raise InputError(f"the {what} holds NaN or infinite values: replace them first")
    return array


def mirrored(density: ArrayLike) -> Map:
    """The other hand of a map (n, n, n): what stood at z stands at -z. The centre stays where it is."""
    return np.roll(check_map(density)[::-1], 1, axis=0)  # plane 0 has no mate but itself


def turned(density: ArrayLike, rotation: ArrayLike, shift: ArrayLike = (0.0, 0.0, 0.0), *,
           pixel_size: float = 1.0) -> Map:
    """The map (n, n, n) turned by ``rotation`` (3, 3) about its centre, then moved by ``shift`` (3,) x, y, z in Å.

    What was at p (x, y, z from the centre) comes to R p + shift, so that the projection of the turned map along z is
    that of the map at the orientation R. Frequencies beyond the Nyquist sphere, which would turn out of the box, are
    left out. Takes about 100 bytes a voxel. Raises InputError if the rotation or the map is none.
    """
    return next(_read(density, [np.asarray(rotation, dtype=np.float64)], np.asarray(shift) / pixel_size))


def turned_each(density: ArrayLike, rotations: ArrayLike) -> Iterator[Map]:
    """The map turned by each of ``rotations`` (M, 3, 3), one after the other; see `turned`."""
    return _read(density, np.asarray(rotations, dtype=np.float64), np.zeros(3))


def _read(density: ArrayLike, rotations: Iterable[NDArray[np.float64]], shift: NDArray[np.floating]) -> Iterator[Map]:
    from scipy import ndimage

    source = check_map(density)
    n = source.shape[0]
    wide = n * OVERSAMPLING
    fine = fourier(resize(source, wide, 3), 3)
    fine[shells(wide, 3) >= n // 2] = 0
    coefficients = ndimage.spline_filter(inverse(fine, 3), order=3, output=np.float32, mode="grid-wrap")
    centre = np.full(3, n // 2)
    for rotation in rotations:
        if rotation.shape != (3, 3) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4):
            raise InputError(f"{rotation.tolist()} is no rotation matrix: make one with euler_to_matrix")
        back = rotation.T[::-1, ::-1] * OVERSAMPLING  # from z, y, x of the turned map to those of the fine one
        start = OVERSAMPLING * centre - back @ (centre + np.asarray(shift)[::-1])
        yield ndimage.affine_transform(coefficients, back, offset=start, output_shape=source.shape, order=3,
                                       mode="grid-constant", prefilter=False, output=np.float32)
