"""Images on disk: rows of a STAR file that point into one or many stacks, read when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.images import BLOCK_BYTES, Images
from cryoedu.files.mrc import Header, read_header
from cryoedu.files.ondisk import PIECE, reading


class ImageStack:
    """N images (N, n, n) in MRC stacks on disk; ``stack[rows]`` reads them as float32, as from a NumPy array.

    The stacks may hold more than memory does, and be more than a process may open: a file is open while images of it
    are read. Row i is image ``index_in_file[i]`` (from 0) of file ``file_of_row[i]``, so rows may stand in any order.

    Raises InputError if a row points past the end of its file, if the files differ in their box, or if the box is not
    square and even; and, when images are read, if their file has changed since its header was.
    """

    def __init__(self, headers: Sequence[Header], file_of_row: Any, index_in_file: Any) -> None:
        self.headers = tuple(headers)
        self.file_of_row = np.asarray(file_of_row, dtype=np.int64)
        self.index_in_file = np.asarray(index_in_file, dtype=np.int64)
        box = common_box(self.headers)
        counts = np.array([h.shape[0] for h in self.headers], dtype=np.int64)
        wrong = np.flatnonzero((self.index_in_file < 0) | (self.index_in_file >= counts[self.file_of_row]))
        if len(wrong):
            row = int(wrong[0])
            held = counts[self.file_of_row[row]]
            raise InputError(f"row {row + 1} asks for {self.name(row)}, but that file holds {held} images: "
                             "correct the row, or copy the stack again")
        self.shape = (len(self.file_of_row), box, box)

    @classmethod
    def open(cls, *paths: str | os.PathLike[str]) -> ImageStack:
        """All the images of these stacks, one file after the other."""
        headers = [read_header(path) for path in paths]
        counts = [h.shape[0] for h in headers]
        return cls(headers, np.repeat(np.arange(len(headers)), counts), np.concatenate([np.arange(c) for c in counts]))

    dtype = np.dtype(np.float32)
    ndim = 3

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        n, box, _ = self.shape
        return f"ImageStack({n} images of {box} x {box} pixels in {len(self.headers)} files)"

    @property
    def files(self) -> tuple[Path, ...]:
        """The stacks, in the order that ``file_of_row`` counts them."""
        return tuple(h.path for h in self.headers)

    def name(self, row: int) -> str:
        """RELION's name of an image, such as 000012@stack.mrcs."""
        return f"{int(self.index_in_file[row]) + 1:06d}@{self.headers[int(self.file_of_row[row])].path}"

    def take(self, rows: Any) -> ImageStack:
        """The stack of these rows (slice, indices or mask), still on disk; it knows no file that holds none."""
        files, file_of_row = np.unique(self.file_of_row[rows], return_inverse=True)
        headers = [self.headers[f] for f in files] or self.headers[:1]  # which tells the box of no image too
        return ImageStack(headers, file_of_row, self.index_in_file[rows])

    def reading_order(self) -> np.ndarray:
        """The rows (N,) in the order in which they lie on disk."""
        return np.lexsort((self.index_in_file, self.file_of_row))

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Images of ``rows`` (slice, indices or mask) as (k, n, n), of one row as (n, n); float32."""
        files, index = self.file_of_row[rows], self.index_in_file[rows]
        if np.ndim(files) == 0:
            return self[np.atleast_1d(rows)][0]
        out = np.empty((len(files), *self.shape[1:]), dtype=np.float32)
        order = np.lexsort((index, files))
        for group in np.split(order, np.flatnonzero(np.diff(files[order])) + 1):
            if len(group):
                self._read(int(files[group[0]]), index[group], group, out)
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("images on disk cannot become an array without a copy")
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)

    def _read(self, file: int, index: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
        """Read images ``index`` (k,) of one file, in rising order, into ``out[places]``."""
        header = self.headers[file]
        shape, size = out.shape[1:], header.dtype.itemsize * out[0].size
        straight = header.dtype == out.dtype and bool((np.diff(places) == 1).all())  # where they belong, as they are
        most = len(index) if straight else max(1, PIECE // size)
        with reading(header.path, header.size, header.changed) as fill:
            for start in range(0, len(index), most):
                some, there = index[start : start + most], places[start : start + most]
                held = out[there[0] : there[-1] + 1] if straight else np.empty((len(some), *shape), header.dtype)
                ends = [0, *(np.flatnonzero(np.diff(some) != 1) + 1).tolist(), len(some)]
                for first, last in pairwise(ends):  # neighbours come at once
                    fill(header.offset + int(some[first]) * size, held[first:last])
                if not straight:
                    out[there] = held

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["headers"] = tuple(replace(h, path=h.path.absolute()) for h in self.headers)  # it may work elsewhere
        return state


class UnreadImages:
    """The names of N images whose pixels are not looked at: a STAR file read for its poses alone.

    shape: (N, box, box), with box 0 where it is not known.  Other attributes as in `ImageStack`.
    """

    def __init__(self, files: Sequence[Path], file_of_row: Any, index_in_file: Any, box: int) -> None:
        self.files = tuple(files)
        self.file_of_row = np.asarray(file_of_row, dtype=np.int64)
        self.index_in_file = np.asarray(index_in_file, dtype=np.int64)
        self.shape = (len(self.file_of_row), box, box)

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: Any) -> UnreadImages:
        """The names of these rows (slice, indices or mask)."""
        return UnreadImages(self.files, self.file_of_row[rows], self.index_in_file[rows], self.shape[1])

    def __getitem__(self, rows: Any) -> np.ndarray:
        raise InputError("these particles were read without their images: read the STAR file again with images=True")


def common_box(headers: Sequence[Header]) -> int:
    """The one box (pixels) of all stacks, 0 if there are none.

    Raises InputError if a box is not square, not even, or not that of the others.
    """
    for header in headers:
        _, height, width = header.shape
        if height != width:
            raise InputError(f"{header.path} holds images of {width} x {height} pixels, but square ones are needed: "
                             "crop or extract them again")
        if width % 2:
            raise InputError(f"{header.path} holds images of {width} x {width} pixels, but an even box is needed: "
                             f"crop them to {width - 1} or extract them again")
        if width != headers[0].shape[2]:
            raise InputError(f"{header.path} holds images of {width} pixels, {headers[0].path} of "
                             f"{headers[0].shape[2]}, but one box is needed: extract them again, or resample them to "
                             "one pixel size")
    return headers[0].shape[2] if headers else 0


def check_images(images: Images, name: str = "the stack", *, block_bytes: int = BLOCK_BYTES) -> None:
    """Look once at every image (N, n, n), block by block in the order on disk, for what no result can come from.

    Raises InputError that names the first image (file and number from 1) with NaN or infinite values, without any
    variance, or with values so large that its bytes must be swapped, and says how many more there are. ``name`` is what
    an array in memory is called. Shows a progress bar if it takes more than two seconds.
    """
    from tqdm.auto import tqdm

    bad: dict[int, str] = {}
    order = images.reading_order() if isinstance(images, ImageStack) else np.arange(len(images))
    size = max(1, block_bytes // max(4 * images.shape[1] * images.shape[2], 1))
    with tqdm(total=len(order), desc="checking images", unit="image", delay=2, leave=False) as bar:
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            block = np.asarray(images[rows], dtype=np.float32)
            low, high = block.min(axis=(1, 2)), block.max(axis=(1, 2))
            flat = low == high
            wild = ~(np.isfinite(low) & np.isfinite(high)) | (np.maximum(-low, high) > 1e15)
            for i in np.flatnonzero(flat | wild):
                bad[int(rows[i])] = "has no variance: all its pixels are the same" if flat[i] else _wildness(block[i])
            bar.update(len(rows))
    if not bad:
        return
    row = min(bad)
    more = f" ({len(bad) - 1} more images are bad too)" if len(bad) > 1 else ""
    if isinstance(images, ImageStack):
        file = images.files[int(images.file_of_row[row])]
        place = f"{file}: image {int(images.index_in_file[row]) + 1} (row {row + 1})"
    else:
        place = f"{name}: image {row + 1}"
    raise InputError(f"{place} {bad[row]}{more}: remove it from the particles, or copy or extract the images again")


def _wildness(image: np.ndarray) -> str:
    swapped = image.byteswap()
    if np.isfinite(swapped).all() and 0 < np.abs(swapped).max() < 1e10:
        return "makes sense only with its bytes swapped, against what the file's header says"
    return "holds NaN or infinite values" if not np.isfinite(image).all() else "holds values beyond 1e15"
