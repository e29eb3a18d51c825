"""cryoSPARC's tables: .cs files, which are structured NumPy arrays with fields such as blob/path and alignments3D/pose.

A job keeps what it changed in one file, and hands on the rest in others, with "passthrough" in their names; rows belong
together by their uid.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError

Columns = dict[str, NDArray[Any]]


def read_columns(path: str | os.PathLike[str], passed_through: Sequence[str | os.PathLike[str]] = ()) -> Columns:
    """All fields of a .cs file by name, each (N, …), and those that it lacks from the files ``passed_through``, or, if
    none are given, from those beside it that have "passthrough" in their names and know its rows.

    Raises InputError if a file is missing, is no .cs file, or, given by name, lacks rows.
    """
    path = Path(path)
    columns = _read(path)
    given = [Path(other) for other in passed_through]
    for other in given or sorted(p for p in path.parent.glob("*passthrough*.cs") if p != path):
        try:
            more = _read(other)
        except InputError:
            if given:
                raise
            continue  # of another job, perhaps
        if "uid" not in columns or "uid" not in more:
            continue
        order = np.argsort(more["uid"])
        at = order[np.minimum(np.searchsorted(more["uid"], columns["uid"], sorter=order), len(order) - 1)]
        missing = np.flatnonzero(more["uid"][at] != columns["uid"])
        if len(missing) == 0:
            columns = {name: values[at] for name, values in more.items()} | columns
        elif given:
            raise InputError(f"{other} has no row for uid {columns['uid'][missing[0]]}, which is row {missing[0] + 1} "
                             f"of {path}: give the file that the same job wrote")
    return columns


def _read(path: Path) -> Columns:
    try:
        table = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the name and the folder") from None
    except (OSError, ValueError, EOFError):
        raise InputError(f"{path} cannot be read as a .cs file: copy it again from the job's folder") from None
    if getattr(table, "dtype", np.dtype(float)).names is None or table.ndim != 1:
        raise InputError(f"{path} is not a .cs file: it holds no table with named fields")
    if not len(table):
        raise InputError(f"{path} holds no rows")
    return {name: table[name] for name in table.dtype.names}
