"""Portraits, to show what alignment makes of noise: pictures that everybody recognises at once.

Both come with scikit-image: ``astronaut`` is a NASA photograph of Eileen Collins (public domain), ``cat`` is Chelsea
the cat, by Stéfan van der Walt (CC0).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError

# The square that is cut out: name in skimage.data, first row, first column, side in pixels
PORTRAITS = {"astronaut": ("astronaut", 15, 130, 190), "cat": ("chelsea", 0, 72, 300)}


def portrait(name: str = "astronaut", box: int = 64) -> NDArray[np.float32]:
    """A grey portrait (box, box) of mean 0 and, as a vector, of length 1: "astronaut" or "cat".

    Raises InputError for another name, or for a box that is not an even number from 16 to 190 pixels.
    """
    from skimage import data
    from skimage.color import rgb2gray
    from skimage.transform import resize

    if name not in PORTRAITS:
        raise InputError(f"no portrait is called {name!r}: choose one of {', '.join(PORTRAITS)}")
    if not 16 <= box <= 190 or box % 2:
        raise InputError(f"portrait: the box is {box} pixels, but an even number from 16 to 190 is needed")
    source, top, left, side = PORTRAITS[name]
    colours = getattr(data, source)()[top : top + side, left : left + side]
    grey = np.asarray(resize(rgb2gray(colours), (box, box), anti_aliasing=True))  # type: ignore[no-untyped-call]
    grey = grey - grey.mean()
    return np.asarray(grey / np.linalg.norm(grey), dtype=np.float32)
