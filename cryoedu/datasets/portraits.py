"""Portraits, to show what alignment makes of noise: pictures that everybody recognises at once.

Both come from scikit-image, and are kept here in grey: ``astronaut`` is a NASA photograph of Eileen Collins (public
domain), ``cat`` is Chelsea the cat, by Stéfan van der Walt (CC0).
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError

PORTRAITS = ("astronaut", "cat")
WHITE = 255 * 10_000


def portrait(name: str = "astronaut", box: int = 64) -> NDArray[np.float32]:
    """A grey portrait (box, box) of mean 0 and, as a vector, of length 1: "astronaut" or "cat".

    Raises InputError for another name, or for a box that is not an even number from 16 to 190 pixels.
    """
    if name not in PORTRAITS:
        raise InputError(f"no portrait is called {name!r}: choose one of {', '.join(PORTRAITS)}")
    if not 16 <= box <= 190 or box % 2:
        raise InputError(f"portrait: the box is {box} pixels, but an even number from 16 to 190 is needed")
    with files("cryoedu.datasets").joinpath("data", "portraits.npz").open("rb") as file, np.load(file) as stored:
        grey = resized(stored[name] / WHITE, (box, box))
    grey = grey - grey.mean()
    return np.asarray(grey / np.linalg.norm(grey), dtype=np.float32)


def resized(picture: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.float64]:
    """The picture with ``shape`` pixels: blurred first by as much as it shrinks, then read between its pixels."""
    from scipy.ndimage import gaussian_filter, zoom

    factors = [old / new for old, new in zip(picture.shape, shape, strict=True)]
    smooth = gaussian_filter(picture, [max(0.0, (factor - 1) / 2) for factor in factors], mode="mirror")
    return np.asarray(zoom(smooth, [1 / factor for factor in factors], order=1, mode="mirror", grid_mode=True))
