"""What a solver is told: one frozen dataclass for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MaskOf = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # a mask (n, n, n) from a map


@dataclass(frozen=True)
class Sampling:
    """When and how far orientations are searched more finely.

    finest: halvings of the grid's steps at most.  local_from: halvings from which only the neighbourhood of the last
    pose is searched, ``reach`` steps around it.  patience: iterations without progress before something changes.
    """

    finest: int = 4
    local_from: int = 3
    reach: int = 3
    patience: int = 2


SAMPLING = Sampling()
