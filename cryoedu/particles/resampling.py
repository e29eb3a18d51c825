"""Particles of several pixel sizes, brought to one: the smallest field of view, and the detail of the coarsest.

An image of n pixels is taken as the sum of its Fourier components; those beyond the Nyquist frequency of the new pixel
size are left out, and the sum is evaluated at the new pixels, x' = (j - m // 2) q. Where m q = n p this is Fourier
cropping; written as a matrix product it holds for any ratio q / p. Grey values are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.images import BLOCK_BYTES, Images, taken
from cryoedu.particles.particles import Particles
from cryoedu.particles.stack import ImageStack, UnreadImages

SAME = 1e-6  # relative difference of pixel sizes that are taken as equal


class ResampledImages:
    """N images (N, m, m) of one pixel size, made from ``sources`` of other pixel sizes when they are asked for.

    sources: images of each optics group; ``row_in_source`` (N,) says which of them a row is.
    group: (N,) the source of each row.  pixel_sizes: Å of each source.  pixel_size: Å to make.
    The box m is the largest even one that fits into the field of view of every source.

    Raises InputError if ``pixel_size`` is finer than that of a source, which has no such detail.
    """

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(self, sources: Sequence[Images], group: np.ndarray, row_in_source: np.ndarray,
                 pixel_sizes: Sequence[float], pixel_size: float) -> None:
        coarsest = max(pixel_sizes)
        if not pixel_size >= coarsest * (1 - SAME):
            raise InputError(f"particles with a pixel size of {coarsest:.4g} Å cannot be resampled to "
                             f"{pixel_size:.4g} Å, which is finer: choose {coarsest:.4g} Å or more")
        self.sources, self.pixel_sizes, self.pixel_size = tuple(sources), tuple(pixel_sizes), pixel_size
        self.group, self.row_in_source = np.asarray(group), np.asarray(row_in_source)
        view = min(s.shape[1] * p for s, p in zip(sources, pixel_sizes))
        box = 2 * int(view / pixel_size / 2 + SAME)
        if box < 2:
            raise InputError(f"a pixel size of {pixel_size:.4g} Å is as large as the images ({view:.4g} Å): "
                             "choose a smaller one")
        self.shape = (len(self.group), box, box)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Images of ``rows`` (slice, indices or mask) as (k, m, m), of one row as (m, m); float32."""
        group, source_row = self.group[rows], self.row_in_source[rows]
        if np.ndim(group) == 0:
            return self._resampled(int(group), np.atleast_1d(source_row))[0]
        out = np.empty((len(group), *self.shape[1:]), dtype=np.float32)
        for number in np.unique(group):
            at = np.flatnonzero(group == number)
            size = max(1, BLOCK_BYTES // (4 * self.sources[number].shape[1] ** 2))  # the sources may be much larger
            for some in (at[start : start + size] for start in range(0, len(at), size)):
                out[some] = self._resampled(int(number), source_row[some])
        return out

    def take(self, rows: Any) -> ResampledImages:
        """The images of these rows (indices or mask), still to be read and resampled."""
        group, row_in_source = self.group[rows], self.row_in_source[rows]
        position, sources = np.empty(len(group), dtype=np.int64), []
        for number, source in enumerate(self.sources):
            mine = np.flatnonzero(group == number)
            position[mine] = np.arange(len(mine))
            sources.append(taken(source, row_in_source[mine]))
        return ResampledImages(sources, group, position, self.pixel_sizes, self.pixel_size)

    def _resampled(self, group: int, rows: np.ndarray) -> np.ndarray:
        images = np.asarray(self.sources[group][rows], dtype=np.float32)
        n, m, pixel_size = images.shape[1], self.shape[1], self.pixel_sizes[group]
        if abs(self.pixel_size / pixel_size - 1) < SAME:
            start = n // 2 - m // 2
            return images[:, start : start + m, start : start + m]
        matrix = interpolation_matrix(n, m, self.pixel_size / pixel_size)
        return np.matmul(np.matmul(matrix, images), matrix.T)


@lru_cache(maxsize=16)
def interpolation_matrix(n: int, m: int, ratio: float) -> np.ndarray:
    """Matrix (m, n), float32, from n samples to m samples that are ``ratio`` times as far apart, centres on centres.

    The components |k| < n / 2 with |k| < n / (2 ratio) are kept: those below both Nyquist frequencies.
    """
    highest = int(np.ceil(n / (2 * max(ratio, 1.0)) - SAME)) - 1
    offset = (np.arange(m) - m // 2)[:, None] * ratio - (np.arange(n) - n // 2)
    total = np.ones((m, n))
    for k in range(1, highest + 1):
        total += 2 * np.cos(2 * np.pi * k / n * offset)
    return np.asarray(total / n, dtype=np.float32)


def resample(particles: Particles, pixel_size: float | None = None) -> Particles:
    """The particles with the images of every optics group at one pixel size (Å; by default the coarsest of them).

    Images are resampled when they are asked for; the box becomes the largest even one that fits into every field of
    view. Poses and CTF parameters are physical (Å, degrees) and stay. Raises InputError if ``pixel_size`` is finer than
    that of a group.
    """
    sizes = [o.pixel_size for o in particles.optics]
    target = max(sizes) if pixel_size is None else pixel_size
    images = ResampledImages([particles.images] * len(sizes), particles.optics_group, np.arange(len(particles)), sizes,
                             target)
    return replace(particles, images=images, optics=tuple(replace(o, pixel_size=target) for o in particles.optics))


def as_on_disk(particles: Particles) -> Particles:
    """The particles with the images that theirs are resampled from, if those are in stacks, where they stay unread.

    What was found with resampled images holds for these: poses and CTF parameters are in Å and degrees. So a job can
    write it without a copy of the stacks.
    """
    images = particles.images
    if not isinstance(images, ResampledImages) or not all(isinstance(s, ImageStack) for s in images.sources):
        return particles
    files: dict[Path, int] = {}
    file_of_row, index = np.empty(len(images), dtype=np.int64), np.empty(len(images), dtype=np.int64)
    optics = list(particles.optics)
    for number, source in enumerate(cast(tuple[ImageStack, ...], images.sources)):
        rows = np.flatnonzero(images.group == number)
        at = images.row_in_source[rows]
        places = np.array([files.setdefault(file, len(files)) for file in source.files])
        file_of_row[rows], index[rows] = places[source.file_of_row[at]], source.index_in_file[at]
        for group in np.unique(particles.optics_group[rows]):
            optics[group] = replace(optics[group], pixel_size=images.pixel_sizes[number],
                                    extra={**optics[group].extra, "rlnImageSize": source.shape[1]})
    return replace(particles, optics=tuple(optics), images=UnreadImages(tuple(files), file_of_row, index, 0))


def image_numbers(images: Images) -> np.ndarray:
    """Which image each row (N,) is, counted as they first come: the same for rows that are one image on disk."""
    if isinstance(images, ImageStack | UnreadImages):
        rows = images.file_of_row, images.index_in_file
    elif isinstance(images, ResampledImages):
        numbers = [image_numbers(source) for source in images.sources]
        rows = images.group, np.array([numbers[g][i] for g, i in zip(images.group, images.row_in_source)], dtype=int)
    else:
        return np.arange(len(images))
    _, first, number = np.unique(np.column_stack(rows), axis=0, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number.ravel()]
