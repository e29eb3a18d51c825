"""What is looked at: a 2D or 3D density with a pixel size, and the MRC files that hold it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.mrc import Header, read_header, split_name, store_map
from cryoedu.files.writing import replace_when_done


@dataclass(frozen=True)
class Specimen:
    """A density on a grid, white (positive) where there is mass.

    density: (n, n) indexed [y, x] or (n, n, n) indexed [z, y, x], float32, n even, centre at n // 2.
    pixel_size: Å.
    """

    density: np.ndarray
    pixel_size: float
    name: str = "specimen"

    def __post_init__(self) -> None:
        shape = np.shape(self.density)
        if len(shape) not in (2, 3) or len(set(shape)) != 1 or shape[0] % 2:
            raise InputError(f"{self.name}: the density has shape {shape}, but a square or cubic box with an even "
                             "number of pixels is needed: pad or crop it")
        if not np.isfinite(self.density).all():
            raise InputError(f"{self.name}: the density holds NaN or infinite values: replace them first")
        if not self.pixel_size > 0:
            raise InputError(f"{self.name}: the pixel size is {self.pixel_size} Å, but must be positive")

    @property
    def box(self) -> int:
        """Side of the box in pixels."""
        return int(self.density.shape[0])

    @property
    def ndim(self) -> int:
        """2 for an image, 3 for a map."""
        return int(self.density.ndim)


def read_map(path: str | os.PathLike[str], *, pixel_size: float | None = None) -> Specimen:
    """The map (n, n, n) or image (n, n) in an MRC file; "3@classes.mrcs" is the third image of a stack.

    pixel_size: Å, instead of the one in the header. Raises InputError if there is none in either place, if voxels are
    not cubes (within 1 %), or if the density is not a box that a `Specimen` may have.
    """
    index, file = (None, os.fspath(path)) if os.path.isfile(path) else split_name(os.fspath(path))
    header = read_header(file)
    count, height, width = header.shape
    stack = Path(file).suffix.lower() in (".mrcs", ".st") or header.of_images or (count > 1 and count != height)
    if index is None and stack and count > 1:
        raise InputError(f"{file} holds {count} images of {width} x {height} pixels, not one map: "
                         f"name one of them, like 1@{file}, or, if it is one map, give it a name in .map")
    if index is not None and index > count:
        raise InputError(f"{path}: {file} holds only {count} images: give a number from 1 to {count}")
    if index is not None or count == 1:
        density = np.asarray(header.pixels()[(index or 1) - 1], dtype=np.float32)
    else:
        place = [3 - axis for axis in reversed(header.axes)]  # where z, y, x (0, 1, 2) each of the file's axes goes
        density = np.asarray(header.pixels().transpose(np.argsort(place)), dtype=np.float32)
    size = _voxel_size(header) if pixel_size is None else pixel_size
    return Specimen(density, size, name=os.fspath(path))


def _voxel_size(header: Header) -> float:
    if header.pixel_size is None:
        raise InputError(f"{header.path} has no pixel size in its header: give one, in Å")
    sizes = [size for size in header.voxel_size[: 3 if header.shape[0] > 1 else 2] if size]
    if max(sizes) > 1.01 * min(sizes):
        raise InputError(f"{header.path} has voxels of {' x '.join(f'{s:.4g}' for s in sizes)} Å, but equal sides are "
                         "needed: resample it, or give the pixel size if the header is wrong")
    return header.pixel_size


def write_map(specimen: Specimen | Any, path: str | os.PathLike[str], pixel_size: float | None = None) -> None:
    """Write a `Specimen` or an array (n, n, n) or (n, n) as an MRC file of mode 2 that RELION and ChimeraX open.

    pixel_size: Å, needed with an array. The origin is 0: the first voxel is at the origin of coordinates, as in
    RELION's own maps, and the centre of the box at n // 2 voxels. Raises InputError if nothing can be written there.
    """
    if not isinstance(specimen, Specimen):
        if pixel_size is None:
            raise InputError(f"{path}: an array has no pixel size: give one, in Å")
        specimen = Specimen(np.asarray(specimen, dtype=np.float32), pixel_size, name=os.fspath(path))
    with replace_when_done(path) as part:
        store_map(specimen.density, part, specimen.pixel_size if pixel_size is None else pixel_size)
