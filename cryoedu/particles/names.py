"""RELION's names of images, such as 000012@Extract/mic1.mrcs: taken apart, and found on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.mrc import Header, read_header, split_name
from cryoedu.particles.particles import Optics


@dataclass(frozen=True)
class ImageNames:
    """Where N images are: row i is image ``index_in_file[i]`` (from 0) of ``files[file_of_row[i]]``.

    written: the files as they were named.  whole: (N,) whether a row names a file and no image in it.
    """

    files: tuple[Path, ...]
    written: tuple[str, ...]
    file_of_row: np.ndarray
    index_in_file: np.ndarray
    whole: np.ndarray

    def first_row(self, file: int) -> int:
        """The first row, from 1, of an image in this file."""
        return int(np.flatnonzero(self.file_of_row == file)[0]) + 1


def parse_names(values: Sequence[str], path: Path) -> ImageNames:
    """The image names in the STAR file ``path``, with their files looked for but not opened.

    Files are looked for from the folder of ``path``, from each folder above it, and from the working folder; one that
    is nowhere is taken to be in the first. Raises InputError for what is no image name.
    """
    places: dict[str, int] = {}
    files: dict[Path, int] = {}
    written: list[str] = []
    file_of_row = np.empty(len(values), dtype=np.int64)
    index_in_file = np.empty(len(values), dtype=np.int64)
    whole = np.zeros(len(values), dtype=bool)
    for row, value in enumerate(values):
        try:
            index, name = split_name(value)
        except InputError as error:
            raise InputError(f"{path}: row {row + 1}: rlnImageName {error}") from None
        if name not in places:
            file = locate(name, path)
            if file not in files:
                files[file] = len(written)
                written.append(name)
            places[name] = files[file]
        file_of_row[row] = places[name]
        index_in_file[row], whole[row] = (index or 1) - 1, index is None
    return ImageNames(tuple(files), tuple(written), file_of_row, index_in_file, whole)


def refuse_copies(names: ImageNames, poses: Sequence[np.ndarray | None], values: Sequence[str], path: Path) -> None:
    """Raise InputError if an image stands in two rows, unless it has other ``poses`` (N, …) there, as in a file whose
    symmetry was expanded."""
    told = [np.reshape(pose, (len(values), -1)) for pose in poses if pose is not None]
    rows = np.column_stack([names.file_of_row, names.index_in_file, *told])
    order = np.lexsort(rows.T[::-1])
    same = np.flatnonzero((np.diff(rows[order], axis=0) == 0).all(axis=1))
    if len(same):
        first, second = sorted(int(r) for r in order[same[0] : same[0] + 2])
        raise InputError(f"{path}: rows {first + 1} and {second + 1} are the same image, {values[first]}"
                         f"{', at the same pose' if told else ''}: remove one of them")


def locate(name: str, path: Path) -> Path:
    """The file ``name`` that the STAR file ``path`` means, or where it should have been."""
    folder = path.resolve().parent
    for base in (folder, *folder.parents, Path.cwd()):
        if os.path.isfile(base / name):  # False for what may not be looked at
            return (base / name).resolve()
    return folder / name


def open_stacks(names: ImageNames, path: Path) -> list[Header]:
    """The headers of the files of ``names``, every row of which is in its file.

    Raises InputError, with the row, if a stack is missing, unreadable or too short. Shows a progress bar where this
    takes more than two seconds.
    """
    from tqdm.auto import tqdm

    headers = []
    for number, file in enumerate(tqdm(names.files, desc="opening stacks", unit="file", delay=2, leave=False)):
        if not os.path.isfile(file):
            raise InputError(f"{path}: row {names.first_row(number)} names the stack {names.written[number]}, which is "
                             f"neither in {path.resolve().parent}, nor in a folder above it, nor in the working "
                             "folder: put it there or correct the name")
        headers.append(read_header(file))
    counts = np.array([h.shape[0] for h in headers], dtype=np.int64)
    several = np.flatnonzero(names.whole & (counts[names.file_of_row] > 1))
    if len(several):
        row = int(several[0])
        file = names.files[names.file_of_row[row]]
        raise InputError(f"{path}: row {row + 1} names {file} as a whole, which holds {counts[names.file_of_row[row]]} "
                         f"sections: name one image of it, like 000001@{names.written[names.file_of_row[row]]}; "
                         "subtomograms, and tilt series as RELION 5 extracts them, are not read")
    wrong = np.flatnonzero(names.index_in_file >= counts[names.file_of_row])
    if len(wrong):
        row = int(wrong[0])
        file = names.files[names.file_of_row[row]]
        raise InputError(f"{path}: row {row + 1} asks for image {names.index_in_file[row] + 1} of {file}, which holds "
                         f"only {counts[names.file_of_row[row]]}: correct the row, or copy the stack again")
    return headers


def compare_with_optics(headers: Sequence[Header], names: ImageNames, group: np.ndarray, optics: Sequence[Optics],
                        boxes: Sequence[int], path: Path, *, sizes_too: bool = True) -> None:
    """Raise InputError where headers and the STAR file disagree on the box or, if ``sizes_too``, on the pixel size (by
    more than 1 %).

    A header with a pixel size of 0 or 1 Å says nothing: programs leave it so when they do not know. A box of 0 says
    nothing either.
    """
    for file, number in np.unique(np.column_stack([names.file_of_row, group]), axis=0):
        header, pixel_size, box = headers[file], optics[number].pixel_size, boxes[number]
        if sizes_too and known_pixel_size(header) and abs(header.voxel_size[0] / pixel_size - 1) > 0.01:
            raise InputError(f"{header.path} has a pixel size of {header.voxel_size[0]:.4g} Å in its header, but "
                             f"{path} says {pixel_size:.4g} Å for {optics[number].name}: correct the one that is "
                             "wrong, or say with --angpix how many Å a pixel of the images has")
        if box and box != header.shape[2]:
            raise InputError(f"{header.path} holds images of {header.shape[2]} pixels, but {path} says rlnImageSize "
                             f"{box} for {optics[number].name}: correct the one that is wrong")


def known_pixel_size(header: Header) -> float | None:
    """Å, or None where the header holds 0 or 1, which is what programs write that do not know."""
    return None if header.pixel_size is None or abs(header.pixel_size - 1) < 1e-4 else header.pixel_size
