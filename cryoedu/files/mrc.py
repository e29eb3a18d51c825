"""MRC files in and out: headers, densities, and stacks that are written block by block.

Read are modes 0 (int8, or uint8 where the header says so), 1 (int16), 2 (float32), 6 (uint16) and 12 (float16) in both
byte orders, always as float32. Written is mode 2. Field names, types and byte orders of the header are those of the
package mrcfile (Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import byte_order_from_machine_stamp, dtype_from_mode

from cryoedu.errors import InputError
from cryoedu.files.images import Images, blocks
from cryoedu.files.ondisk import OnDisk, unreadable
from cryoedu.files.writing import replace_when_done

HEADER_BYTES = 1024
IMOD = 1146047817  # the stamp of its files
MODES = (0, 1, 2, 6, 12)
LARGEST = 1 << 24  # sections or pixels on a side beyond which a header cannot be right


@dataclass(frozen=True)
class Header:
    """What the header of an MRC file says, once the file was found to be long enough for it.

    shape: (sections, height, width).  dtype: as on disk, byte order included.  offset: bytes before the data.
    voxel_size: Å along x, y, z, 0 where unset.  axes: which of x, y, z (1, 2, 3) columns, rows and sections are.
    of_images: whether it says that its sections are images, not a volume (ISPG 0 and MZ 1); a name in .map says no.
    size, changed: the file's bytes and time stamp (ns) when it was read.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    voxel_size: tuple[float, float, float]
    axes: tuple[int, int, int]
    of_images: bool
    size: int
    changed: int

    @property
    def pixel_size(self) -> float | None:
        """Å along x, or None where unset."""
        return self.voxel_size[0] or None

    def pixels(self) -> OnDisk:
        """The data, of this shape and dtype, on disk. Reading them raises InputError if the file has changed."""
        return OnDisk.whole(self.path, self.size, self.changed, self.dtype, self.offset, self.shape)


def read_header(path: str | os.PathLike[str]) -> Header:
    """The header of the MRC file ``path``, checked against the length of the file.

    Raises InputError if there is no such file, if it is empty, truncated, compressed or no MRC file, or if its mode
    is not one of 0, 1, 2, 6 and 12.
    """
    return parse_header(*read_start(path))


def read_start(path: str | os.PathLike[str]) -> tuple[bytes, Path, int, int]:
    """The first 1024 bytes of a file, its path, its length and its time stamp (ns). Raises InputError if there is no
    such file, or none that may be read."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            raw, stat = file.read(HEADER_BYTES), os.fstat(file.fileno())
    except OSError as error:
        raise unreadable(path, error) from None
    return raw, path, stat.st_size, stat.st_mtime_ns


def parse_header(raw: bytes, path: Path, size: int, changed: int) -> Header:
    """The header in the first 1024 bytes of the file ``path``, which is ``size`` bytes long and was ``changed`` at that
    time (ns). Raises InputError as `read_header`."""
    if not raw:
        raise InputError(f"{path} is empty: copy or make it again")
    if raw[:2] == b"\x1f\x8b" or raw[:3] == b"BZh":
        raise InputError(f"{path} is compressed: unpack it first, for example with gunzip or bunzip2")
    if raw[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        raise InputError(f"{path} is a TIFF or EER file, of movie frames or of a micrograph, and only MRC files are "
                         "read: average its frames (motion correction does), or convert it with IMOD's tif2mrc")
    if len(raw) < HEADER_BYTES:
        raise InputError(f"{path} has only {len(raw)} bytes, too few for the header of an MRC file: "
                         "copy or make it again")
    header = header_record(raw)
    if header is None:
        raise InputError(f"{path} is not an MRC file, or its header is damaged: give an MRC file, or copy it again")
    if int(header["mode"]) not in MODES:
        raise InputError(f"{path} has MRC mode {int(header['mode'])}, but only modes 0, 1, 2, 6 and 12 (real numbers) "
                         "are read: convert it to mode 2 (float32)")
    order = header.dtype["mode"].byteorder
    dtype = np.dtype(np.uint8) if _unsigned(header, raw) else dtype_from_mode(int(header["mode"])).newbyteorder(order)
    shape = (int(header["nz"]), int(header["ny"]), int(header["nx"]))
    offset = HEADER_BYTES + int(header["nsymbt"])
    section = shape[1] * shape[2] * dtype.itemsize
    if size < offset + shape[0] * section:
        raise InputError(f"{path} is truncated: its header promises {shape[0]} sections of {shape[2]} x {shape[1]} "
                         f"pixels, but the file ends after {max(size - offset, 0) // section}: "
                         "copy or make it again")
    lengths = [(float(header["cella"][x]), int(header["m" + x])) for x in "xyz"]
    x, y, z = (length / steps if steps > 0 and 0 < length < np.inf else 0.0 for length, steps in lengths)
    axes = (int(header["mapc"]), int(header["mapr"]), int(header["maps"]))
    of_images = (shape[0] > 1 and int(header["ispg"]) == 0 and int(header["mz"]) == 1
                 and path.suffix.lower() not in (".map", ".ccp4"))
    return Header(path, shape, dtype, offset, (x, y, z), axes if sorted(axes) == [1, 2, 3] else (1, 2, 3), of_images,
                  size, changed)


def header_record(raw: bytes) -> Any:
    """The header in the byte order of its machine stamp, in the other one if only that makes sense, or None."""
    header = np.frombuffer(raw, dtype=HEADER_DTYPE)[0]
    try:
        stamped = byte_order_from_machine_stamp(header["machst"])
    except ValueError:
        stamped = "<"
    for order in (stamped, "<" if stamped == ">" else ">"):
        header = np.frombuffer(raw, dtype=HEADER_DTYPE.newbyteorder(order))[0]
        sides = [int(header[name]) for name in ("nx", "ny", "nz")]
        if all(0 < s <= LARGEST for s in sides) and 0 <= int(header["mode"]) <= 101 and int(header["nsymbt"]) >= 0:
            return header
    return None


def _unsigned(header: Any, raw: bytes) -> bool:
    """Whether mode 0 means bytes from 0 to 255, as old files have it: IMOD says so in a flag, and others' headers by
    the range of values that they give (Mastronarde, IMOD's description of the format)."""
    if int(header["mode"]) != 0:
        return False
    stamp, flags = np.frombuffer(raw, dtype=header.dtype["mode"], count=2, offset=152)
    if stamp == IMOD:
        return not flags & 1
    return bool(header["dmin"] >= 0 and header["dmax"] > 127)


def split_name(name: str) -> tuple[int | None, str]:
    """RELION's name of an image, "000012@stack.mrcs", as (12, "stack.mrcs"); a plain file name gives (None, name).

    "p.mrc:mrcs", by which RELION is told that the file p.mrc is a stack, is p.mrc.
    """
    name = re.sub(r":(mrcs?|st)$", "", name)
    index, at, file = name.partition("@")
    if not at:
        return None, name
    if not index.strip().isdigit() or int(index) < 1 or not file:
        raise InputError(f"{name!r} is not the name of an image: write it like 000012@stack.mrcs, counting from 1")
    return int(index), file


def store_map(density: np.ndarray, part: Path, pixel_size: float) -> None:
    """Write a density (n, n, n) or (n, n) into the new file ``part``, pixel size in Å."""
    with mrcfile.new(part) as mrc:
        mrc.set_data(np.ascontiguousarray(density, dtype=np.float32))
        mrc.voxel_size = pixel_size
        _sign(mrc.header)


def write_stack(images: Images | Iterable[np.ndarray], path: str | os.PathLike[str], pixel_size: float,
                count: int | None = None) -> None:
    """Write images (N, n, n), or an iterable of blocks (k, n, n) with ``count`` images in all, as a stack of mode 2.

    One block is in memory at a time. Raises InputError if there are no images, if blocks and ``count`` disagree, or if
    nothing can be written there.
    """
    if hasattr(images, "shape"):
        whole = cast(Images, images)
        source: Iterable[np.ndarray] = blocks(whole)
        count = len(whole)
    elif count is None:
        raise InputError(f"{path}: blocks of images need their number as well: give count")
    else:
        source = images
    with replace_when_done(path) as part:
        stream_stack(source, part, os.fspath(path), pixel_size, count)


def stream_stack(source: Iterable[np.ndarray], part: Path, name: str, pixel_size: float, count: int) -> None:
    """Write ``count`` images, in blocks (k, n, n), into the new file ``part``; ``name`` is what errors call it.

    pixel_size: Å, 0 to leave it unset. Raises InputError if there are no images, more, or fewer.
    """
    source = iter(source)
    first = next(source, None)
    if first is None or count < 1:
        raise InputError(f"{name}: there are no images to write")
    with mrcfile.new(part) as mrc:  # a header for one image, corrected below when all are written
        mrc.set_data(np.zeros((1, *first.shape[1:]), dtype=np.float32))
        mrc.set_image_stack()
        mrc.voxel_size = pixel_size
        _sign(mrc.header)
        header = mrc.header.copy()
    done, total, squares, low, high = 0, 0.0, 0.0, np.inf, -np.inf
    with open(part, "r+b") as file:
        file.seek(HEADER_BYTES)
        block: np.ndarray | None = first
        while block is not None:
            values = np.ascontiguousarray(block, dtype=np.float32)
            if values.shape[1:] != first.shape[1:]:
                raise InputError(f"{name}: images of {values.shape[1:]} and {first.shape[1:]} pixels do not fit into "
                                 "one stack: bring them to one box")
            values.astype("<f4", copy=False).tofile(file)
            done += len(values)
            total += float(np.sum(values, dtype=np.float64))
            squares += float(np.sum(np.square(values, dtype=np.float64)))
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            block = next(source, None)
        if done != count:
            raise InputError(f"{name}: {done} images came, but {count} were announced")
        mean = total / (count * first[0].size)
        header.nz, header.mz = count, 1
        header.dmin, header.dmax, header.dmean = low, high, mean
        header.rms = np.sqrt(max(squares / (count * first[0].size) - mean**2, 0.0))
        file.seek(0)
        file.write(header.tobytes())


def _sign(header: Any) -> None:
    """A label without a date, so that the same data give the same file."""
    header.label[0] = b"cryoedu".ljust(80)
