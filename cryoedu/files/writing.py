"""Outputs that are never half written: they grow beside their place and are renamed when they are done."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryoedu.errors import InputError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


def check_writable(folder: str | os.PathLike[str]) -> Path:
    """``folder``, made if it is missing, once a file could be written into it.

    Raises InputError if it cannot be made or written to. To be called before a long computation starts.
    """
    folder = Path(folder)
    probe = folder / f".{uuid.uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"x")
        finally:
            probe.unlink(missing_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{folder} cannot be an output folder, because it or a part of it is a file: "
                         "choose another name") from None
    except OSError as error:
        raise InputError(f"nothing can be written into {folder} ({_reason(error)}): "
                         "choose another folder or change its permissions") from None
    return folder


@contextmanager
def replace_when_done(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path``: what is written there takes the place of ``path`` when the block ends well.

    If the block ends in any other way (an error, Ctrl-C) the temporary file is removed and ``path`` stays as it was.
    A missing folder is made. Raises InputError, before the block is entered, if the folder cannot be written to or
    ``path`` is a folder, and when the disk is full.
    """
    target = Path(os.path.realpath(path))  # a link keeps pointing to its file
    if target.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file to write")
    check_writable(target.parent)
    part = target.with_name(f".{target.name[:80]}.{uuid.uuid4().hex}.part")
    try:
        yield part
        with open(part, "r+b") as file:
            os.fsync(file.fileno())  # else a power cut could leave the new name with nothing in it
        os.replace(part, target)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise InputError(f"{path} could not be written ({_reason(error)}): free some space or choose another "
                             "folder") from None
        raise
    finally:
        part.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
