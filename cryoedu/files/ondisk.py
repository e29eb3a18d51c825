"""Numbers in a file that other programs may write, read when they are asked for, and never from another file.

There is no memory map: where a file that is mapped grows shorter, the system ends the process that looks (SIGBUS), with
all that it holds. Here a read that comes out short, or a file that has another length or date than before, is an error.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cryoedu.errors import InputError

GAP = 4096  # bytes between two numbers that are read and thrown away rather than skipped
PIECE = 1 << 22  # bytes that are read at once and not yet where they belong

Fill = Callable[[int, Any], None]  # fills a buffer with the bytes of a file from a place on


class ChangedError(InputError):
    """Another program has written to the file ``path`` since its header was read, or is writing to it."""

    def __init__(self, path: Path, way_out: str = "read it again") -> None:
        super().__init__(f"{path} has changed since it was opened: {way_out}")
        self.path = path


def unreadable(path: Path, error: OSError) -> InputError:
    """What to say when the system does not give the file."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"there is no file {path}: check the name and the folder")
    reason = (error.strerror or str(error)).lower()
    return InputError(f"{path} cannot be read ({reason}): check the name and its permissions")


@contextmanager
def reading(path: Path, size: int, changed: int) -> Iterator[Fill]:
    """The file while it is open: ``fill(place, buffer)`` reads as many bytes as the buffer has.

    size, changed: the length and time stamp (ns) that the file has to have, before and after.  Raises ChangedError if
    it has others or ends too soon, and InputError if it cannot be read.
    """
    def same() -> None:
        now = os.fstat(file.fileno())
        if (now.st_size, now.st_mtime_ns) != (size, changed):
            raise ChangedError(path)

    def fill(place: int, buffer: Any) -> None:
        rest = memoryview(buffer).cast("B")
        file.seek(place)
        while rest:
            got = file.readinto(rest)
            if not got:
                raise ChangedError(path)
            rest = rest[got:]

    try:
        with open(path, "rb", buffering=0) as file:
            same()
            yield fill
            same()
    except OSError as error:
        raise unreadable(path, error) from None


@dataclass(frozen=True)
class OnDisk:
    """An array in a file. Indices, slices and transposing give other views of it; `numpy.asarray` and `into` read one.

    shape, strides: of this view; strides in bytes.  offset: where in the file its first number is.
    size, changed: the file's length and time stamp (ns), see `reading`.
    """

    path: Path
    size: int
    changed: int
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def whole(cls, path: Path, size: int, changed: int, dtype: np.dtype[Any], offset: int,
              shape: tuple[int, ...]) -> OnDisk:
        """The array that begins at ``offset``, in C order."""
        strides = [dtype.itemsize * math.prod(shape[axis + 1:]) for axis in range(len(shape))]
        return cls(path, size, changed, dtype, offset, shape, tuple(strides))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> OnDisk:
        """The view of these indices and slices (with steps above 0), one for each of the first axes."""
        keys = key if isinstance(key, tuple) else (key,)
        offset, shape, strides = self.offset, [], []
        for axis, stride in enumerate(self.strides):
            n, wanted = self.shape[axis], keys[axis] if axis < len(keys) else slice(None)
            if isinstance(wanted, slice):
                start, stop, step = wanted.indices(n)
                shape.append(len(range(start, stop, step)))
                strides.append(step * stride)
                offset += start * stride
            elif -n <= wanted < n:
                offset += int(wanted) % n * stride
            else:
                raise IndexError(f"index {wanted} is out of bounds for axis {axis} with size {n}")
        return replace(self, offset=offset, shape=tuple(shape), strides=tuple(strides))

    def __iter__(self) -> Iterator[OnDisk]:
        return (self[i] for i in range(len(self)))

    def transpose(self, axes: Sequence[int] | np.ndarray) -> OnDisk:
        """The view with its axes in this order."""
        return replace(self, shape=tuple(self.shape[a] for a in axes), strides=tuple(self.strides[a] for a in axes))

    def ravel(self) -> OnDisk:
        """All numbers of an array in C order, in a row."""
        return replace(self, shape=(math.prod(self.shape),), strides=(self.dtype.itemsize,))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("numbers on disk cannot become an array without a copy")
        out = np.empty(self.shape, dtype=self.dtype if dtype is None else dtype)
        self.into(out)
        return out

    def into(self, out: np.ndarray) -> None:
        """Read into an array of this shape and of any type. Raises ChangedError and InputError as `reading`."""
        if not out.size:
            return
        order = sorted(range(self.ndim), key=lambda axis: -self.strides[axis])  # as the numbers lie on disk
        with reading(self.path, self.size, self.changed) as fill:
            if out.flags.c_contiguous and (out.dtype, out.strides) == (self.dtype, self.strides):
                fill(self.offset, out)
            else:
                _gather(fill, self.offset, [self.strides[axis] for axis in order], self.dtype, out.transpose(order))


def _gather(fill: Fill, place: int, strides: list[int], dtype: np.dtype[Any],
            out: np.ndarray) -> None:
    """Fill ``out`` with numbers that lie ``strides`` bytes apart, the largest first.

    What lies close together is read at once, gaps included, a `PIECE` at most at a time.
    """
    inner, span = out.ndim, dtype.itemsize  # the axes from ``inner`` on come in one read of ``span`` bytes
    while inner and strides[inner - 1] - span < GAP:
        longer = span + (out.shape[inner - 1] - 1) * strides[inner - 1]
        if longer > PIECE:
            break
        inner, span = inner - 1, longer
    if not inner:
        inner, strides, out = 1, [span, *strides], out[None]
    step, close = strides[inner - 1], strides[inner - 1] - span < GAP
    apart = step if close else span  # of two that are in memory
    n = out.shape[inner - 1]
    most = min(n, max(1, (PIECE - span) // apart + 1))
    raw = np.empty((most - 1) * apart + span, dtype=np.uint8)
    held, layout = raw.data, (apart, *strides[inner:])
    for index in np.ndindex(out.shape[: inner - 1]):
        line, start = out[index], place + sum(i * stride for i, stride in zip(index, strides))
        for first in range(0, n, most):
            part = line[first : first + most]
            if close:
                fill(start + first * step, held[: (len(part) - 1) * step + span])
            else:
                for i in range(len(part)):
                    fill(start + (first + i) * step, held[i * span : (i + 1) * span])
            part[...] = np.ndarray(part.shape, dtype, raw, 0, layout)
