"""What a computation holds all the time, in bytes, so that blocks can be made of what is left of the budget.

The maps before they are read as slices, the sums, and what solving for maps takes cannot be made smaller by smaller
blocks. A budget that cannot hold them is refused before anything is computed.
"""

from __future__ import annotations

import math

import numpy as np

from cryoedu.errors import InputError
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.projection import TOGETHER, half_shape, reach

SLICES = 2**24  # bytes of complex slices that are made at a time where all of a grid are needed


def room(budget: int, beside: int, least: int, what: str, instead: str) -> int:
    """Bytes of ``budget`` that are left beside those that are held all the time.

    least: bytes that are needed of them.  Raises InputError if they are fewer, which names the least budget for
    ``what``, and what to try ``instead``.
    """
    if budget - beside < least:
        raise InputError(f"a memory budget of {budget / 1e6:.0f} MB cannot hold {what}: give at least "
                         f"{max(np.ceil((beside + least) / 1e6), 16):.0f} MB (--memory), or try {instead}")
    return budget - beside


def voxels(space: FourierSpace) -> int:
    """Voxels of a half volume on the padded grid, as far as slices reach."""
    return math.prod(half_shape(space.box, space.ndim, most=reach(space.parts)))


def together(space: FourierSpace, classes: int) -> int:
    """Voxels of the volumes that are worked on together (`by_class`)."""
    return min(max(voxels(space), TOGETHER), classes * voxels(space))


def transforming(space: FourierSpace, classes: int) -> int:
    """Bytes of all maps' transforms, and of making them."""
    return 8 * classes * voxels(space) + 8 * together(space, classes) + 16 * space.box**space.ndim


def solving(space: FourierSpace, classes: int) -> int:
    """Bytes of solving for the maps beside the sums themselves."""
    return 4 * classes * voxels(space) + 28 * together(space, classes) + 40 * classes * space.box**space.ndim


def grid_sums(space: FourierSpace, classes: int) -> int:
    """Bytes of `VolumeSums`."""
    return 12 * classes * voxels(space)


def slice_sums(space: FourierSpace, classes: int, orientations: int) -> int:
    """Bytes of `SliceSums`."""
    return 4 * classes * orientations * len(space.bins) * (space.unknowns + 1)


def reading_grid(space: FourierSpace, classes: int) -> int:
    """Bytes of an expectation step beside sums on the grid: what a batch adds to them, and the maps' transforms."""
    return grid_sums(space, 1) + transforming(space, classes)


def room_beside_grid(space: FourierSpace, classes: int, budget: int, least: int) -> int:
    """Bytes that are left of ``budget`` beside sums on the grid, what a batch adds to them, and the maps' transforms.

    Raises InputError if they are fewer than ``least``.
    """
    beside = grid_sums(space, classes) + reading_grid(space, classes)
    return room(budget, beside, least, _maps(space, classes), "fewer shells, or smaller images")


def room_beside_folds(space: FourierSpace, classes: int, budget: int, folds: int, searching: int,
                      orientations: int | None) -> int:
    """Bytes of ``budget`` for the particles of one of some ``folds``, beside the sums of the others.

    searching: bytes that an expectation step needs at the least beside its sums.
    orientations: of a whole grid, or None where the sums are on the padded grid.
    Raises InputError if that step, or solving for the maps with the sums of all folds at hand, would need more.
    """
    if orientations is None:
        sums, least = grid_sums(space, classes), max(searching, solving(space, classes))
        what, instead = _maps(space, classes), "fewer shells, or smaller images"
    else:
        sums = slice_sums(space, classes, orientations)
        least = max(searching, solving(space, classes) + min(5 * SLICES // 2, 2 * sums))
        what, instead = f"the sums over {orientations:,} orientations", "a coarser search, or an adaptive one"
    room(budget, folds * sums, least, what, instead)
    return budget - (folds - 1) * sums


def _maps(space: FourierSpace, classes: int) -> str:
    return f"the sums of {classes} map{'s' if classes > 1 else ''} of {space.box} pixels up to shell {space.radius}"
