"""Make cryoedu/datasets/data/portraits.npz from two pictures that come with scikit-image.

    python -m pip install scikit-image
    python make_portraits.py ../../cryoedu/datasets/data/portraits.npz
"""

import sys

import numpy as np
from skimage import data

SQUARES = {"astronaut": (data.astronaut, 15, 130, 190), "cat": (data.chelsea, 0, 72, 300)}  # first row, column, side
LUMINANCE = np.array([2125, 7154, 721])  # of red, green and blue, in 1/10,000

portraits = {}
for name, (picture, top, left, side) in SQUARES.items():
    colours = picture()[top : top + side, left : left + side].astype(np.int64)
    portraits[name] = (colours @ LUMINANCE).astype(np.int32)  # white is 255 · 10,000
np.savez_compressed(sys.argv[1], **portraits)
