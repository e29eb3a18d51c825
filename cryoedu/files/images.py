"""What images are to whoever reads them: an array in memory, or what reads them from disk when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

BLOCK_BYTES = 16 * 10**6


class Images(Protocol):
    """What both a NumPy array (N, n, n) and an ImageStack on disk can do."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: Any) -> np.ndarray: ...

    def __len__(self) -> int: ...


def taken(images: Images, rows: Any) -> Images:
    """The images of these rows (indices); those in stacks on disk stay there."""
    on_disk = None if isinstance(images, np.ndarray) else getattr(images, "take", None)
    return images[rows] if on_disk is None else on_disk(rows)


def blocks(images: Images, block_bytes: int = BLOCK_BYTES) -> Iterator[np.ndarray]:
    """The images (N, n, n) in order, as float32 blocks of at most about ``block_bytes``."""
    size = max(1, block_bytes // max(4 * images.shape[1] * images.shape[2], 1))
    for start in range(0, len(images), size):
        yield np.asarray(images[start : start + size], dtype=np.float32)
