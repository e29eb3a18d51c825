"""MRC files for the viewer: plain ones as they lie on disk, packed ones (gzip, bzip2) once they are unpacked."""

from __future__ import annotations

import bz2
import gzip
import math
import tempfile
import threading
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.mrc import HEADER_BYTES, Header, header_record, parse_header, read_start
from cryoedu.files.ondisk import ChangedError, OnDisk

MOST_UNPACKED = 512 * 10**6  # bytes that a packed file may take on the disk of the server
CHUNK = 1 << 20
OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}
UNKNOWN = 1 << 80  # the length of what is packed, until it is unpacked
_one_at_a_time = threading.Lock()


def open_mrc(path: Path) -> tuple[Header, Any]:
    """The header of an MRC file, checked, and its record of fields as they stand in the file.

    Raises InputError, as `read_header`, and if what is packed would unpack to more than half a gigabyte.
    """
    raw, path, length, changed = read_start(path)
    packed = raw[:2] in OPENERS
    if packed:
        raw, length = b"".join(_contents(path, HEADER_BYTES)), UNKNOWN
    header = parse_header(raw, path, length, changed)
    size = header.offset + header.dtype.itemsize * math.prod(header.shape)
    if packed and size > MOST_UNPACKED:
        raise InputError(f"{path} would take {size / 1e9:.1f} GB unpacked, and only up to {MOST_UNPACKED / 1e9:.1f} GB "
                         "are unpacked to be looked at: unpack it first, with gunzip or bunzip2")
    return header, header_record(raw)


def pixels(header: Header) -> np.ndarray | OnDisk:
    """The data (sections, height, width), on disk. Raises InputError if they are packed and not all there."""
    if header.size < UNKNOWN:
        return header.pixels()
    with _one_at_a_time:  # two requests for one file wait for the same
        return _unpacked(header)


@lru_cache(maxsize=2)
def _unpacked(header: Header) -> np.ndarray:
    wanted = header.offset + header.dtype.itemsize * math.prod(header.shape)
    with tempfile.TemporaryFile() as file:  # it has no name, and goes when nothing maps it any more
        try:
            for chunk in _contents(header.path, wanted):
                file.write(chunk)
            file.flush()
        except OSError as error:
            raise InputError(f"{header.path} cannot be unpacked ({error.strerror}): make room in "
                             f"{tempfile.gettempdir()}") from None
        if file.tell() < wanted:
            raise InputError(f"{header.path} is truncated: unpacked it has {file.tell()} bytes, but its header "
                             f"promises {wanted}: copy or make it again")
        if header.path.stat().st_mtime_ns != header.changed:
            raise ChangedError(header.path)
        return np.memmap(file, header.dtype, mode="r", offset=header.offset, shape=header.shape)  # nobody else has it


def _contents(path: Path, most: int) -> Any:
    """The first ``most`` bytes, unpacked, in chunks; fewer if there are no more."""
    opener = OPENERS.get(read_start(path)[0][:2])
    if opener is None:
        raise ChangedError(path)
    with opener(path, "rb") as file:
        while most > 0:
            try:
                chunk = file.read(min(CHUNK, most))
            except (EOFError, gzip.BadGzipFile, zlib.error, ValueError, OSError) as error:
                if isinstance(error, OSError) and error.errno:
                    raise
                raise InputError(f"{path} cannot be unpacked, it is cut short or damaged: copy it again") from None
            if not chunk:
                return
            most -= len(chunk)
            yield chunk
