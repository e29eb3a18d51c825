"""What a learner's function costs: a right answer that fills the memory or takes hours ends the lesson all the same."""

from __future__ import annotations

import tracemalloc
from typing import Any
from unittest import mock

import numpy as np

from cryoedu.course.exercises import call


def peak_bytes(answer: Any, *inputs: np.ndarray | float) -> int:
    """Bytes that a learner's function holds at most while it works. Raises as `call` does."""
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        call(answer, *inputs)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not traced:
            tracemalloc.stop()


def turns(answer: Any, *inputs: np.ndarray | float) -> int:
    """How many pictures a learner's function turns with ``rotate``. Raises as `call` does."""
    from scipy import ndimage

    with mock.patch.object(ndimage, "affine_transform", wraps=ndimage.affine_transform) as turned:
        call(answer, *inputs)
    return turned.call_count
