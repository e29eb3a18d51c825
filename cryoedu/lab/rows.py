"""STAR files for the viewer: where each row of each table begins, so that only the rows that are shown are read.

`cryoedu.files.star` reads a whole file at once, and makes sure of every row; a file of a million particles would
take minutes of a small server's memory for that. Here a row is a line, as every program of the field writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.files.ondisk import Fill, reading
from cryoedu.files.star import values

LARGEST = 2 * 10**9  # bytes of a file
MOST_LINES, MOST_TABLES, MOST_COLUMNS = 10**7, 2000, 500
LONGEST, LONGEST_NAME = 1 << 16, 200  # bytes of a line, of a name
CHUNK = 1 << 22
HEAD, SPACES = b"data_", np.frombuffer(b" \t\r\v\f", np.uint8)


@dataclass(frozen=True, eq=False)
class Table:
    """A table of a STAR file, which stays on disk. A list of values is a table of the columns "name" and "value".

    starts, ends: (N,) where each row's line begins and ends in the file, in bytes.  size, changed: the file's length
    and time stamp (ns) then.  Reading rows raises ChangedError if it has others now.
    """

    path: Path
    size: int
    changed: int
    name: str
    columns: tuple[str, ...]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, chosen: Sequence[int] | NDArray[np.int64]) -> Iterator[list[bytes]]:
        """The values of these rows, as they stand there; a row that is cut short has fewer than there are columns."""
        held, at = b"", 0  # what was read last, and from where: mostly the next row is in it
        with reading(self.path, self.size, self.changed) as fill:
            for i in chosen:
                start, end = int(self.starts[i]), int(self.ends[i])
                if end - start > LONGEST:
                    raise InputError(f"{self.path}: row {i + 1} of table data_{self.name} is longer than {LONGEST} "
                                     "characters: this is no STAR file as programs write it")
                if not at <= start <= end <= at + len(held):
                    held, at = _bytes(fill, start, min(LONGEST, self.size - start)), start
                yield values(held[start - at : end - at])

    def column(self, number: int) -> NDArray[np.float64] | NDArray[np.object_]:
        """A whole column (N,), as float64 if all of it are numbers, else as objects, which are bytes."""
        return _column(self, number)

    def problem(self) -> str | None:
        """What is wrong with the first or the last row, in a sentence, or None."""
        for i in sorted({0, len(self) - 1}) if len(self) else []:
            found = sum(map(len, self.rows([i])))
            if found != len(self.columns):
                return (f"row {i + 1} of table data_{self.name} has {found} values for {len(self.columns)} columns: "
                        "the file may be cut short, copy or write it again")
        return None


def read_tables(path: Path) -> tuple[Table, ...]:
    """The tables of the STAR file ``path``, in order.

    Raises InputError if it is too large, empty, binary or no STAR file.
    """
    stat = path.stat()
    return _tables(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4)
def _tables(path: Path, size: int, changed: int) -> tuple[Table, ...]:
    if size > LARGEST:
        raise InputError(f"{path} has {size / 1e9:.1f} GB, and only files of up to {LARGEST / 1e9:.0f} GB are shown: "
                         "take some of its particles, for example with relion_star_handler")
    if not size:
        raise InputError(f"{path} is empty: copy or make it again")
    with reading(path, size, changed) as fill:
        lines = _lines(path, size, fill)
        heads = np.flatnonzero(lines.heads).tolist()
        if not heads:
            raise InputError(f"{path} is not a STAR file: it has no line that begins with data_")
        if len(heads) > MOST_TABLES:
            raise InputError(f"{path} has {len(heads)} tables, and only up to {MOST_TABLES} are shown: split it")
        return tuple(_table(path, size, changed, fill, lines.part(first, last))
                     for first, last in zip(heads, [*heads[1:], len(lines.starts)]))


@dataclass(frozen=True, eq=False)
class _Lines:
    """Lines of a file. starts, ends: (N,) where they begin and end, in bytes.  first: (N,) their first bytes, that of
    the line's end where it is empty.  heads: (N,) whether they begin with "data_"."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    first: NDArray[np.uint8]
    heads: NDArray[np.bool_]

    def part(self, first: int, last: int) -> _Lines:
        """The lines from ``first`` on, without ``last``."""
        return _Lines(self.starts[first:last], self.ends[first:last], self.first[first:last], self.heads[first:last])


def _bytes(fill: Fill, start: int, count: int) -> bytes:
    held = bytearray(count)
    fill(start, held)
    return bytes(held)


def _lines(path: Path, size: int, fill: Fill) -> _Lines:
    """All lines; a chunk of the file is in memory at a time."""
    starts, first, heads, count = [], [], [], 0
    for at in range(0, size, CHUNK):
        length = min(CHUNK, size - at)
        held = np.full(length + len(HEAD), ord("\n"), dtype=np.uint8)  # with the beginning of a line that comes next
        fill(at, held[: min(len(held), size - at)])
        if at == 0 and (held[:4096] == 0).any():
            raise InputError(f"{path} is not a STAR file, but a binary one: give the STAR file that belongs to it")
        begins = np.flatnonzero(held[:length] == ord("\n")) + 1
        begins = begins if at else np.concatenate([[0], begins])
        count += len(begins)
        if count > MOST_LINES:
            raise InputError(f"{path} has more than {MOST_LINES:,} lines, the most that are shown: take some of its "
                             "particles, for example with relion_star_handler")
        starts.append(begins + at)
        first.append(held[begins])
        heads.append(np.all([held[begins + i] == letter for i, letter in enumerate(HEAD)], axis=0))
    beginning = np.concatenate(starts)
    return _Lines(beginning, np.append(beginning[1:] - 1, size), np.concatenate(first), np.concatenate(heads))


def _table(path: Path, size: int, changed: int, fill: Fill, lines: _Lines) -> Table:
    """The table of these lines, of which the first begins with "data_"."""
    starts, ends = lines.starts, lines.ends

    def line(i: int) -> bytes:
        return _bytes(fill, int(starts[i]), min(int(ends[i] - starts[i]), LONGEST)).strip()

    name = line(0)[5:].split(b"#")[0].decode("utf-8", "replace").strip()[:LONGEST_NAME]
    at = 1
    while at < len(starts) and (not line(at) or line(at).startswith(b"#")):
        at += 1
    columns: list[str] = ["name", "value"]
    if at < len(starts) and line(at).split() == [b"loop_"]:
        columns = []
        while (at := at + 1) < len(starts) and line(at).startswith(b"_"):
            columns.append(line(at).split()[0][1:].decode("utf-8", "replace")[:LONGEST_NAME])
        if not 0 < len(columns) <= MOST_COLUMNS:
            raise InputError(f"{path}: table data_{name} has {len(columns)} columns, where 1 to {MOST_COLUMNS} can be "
                             "shown: correct it or write it again")
    rows = np.arange(at, len(starts))
    rows = rows[ends[rows] > starts[rows]]  # not at the end of the file
    rows = rows[lines.first[rows] != ord("#")]
    length = ends[rows] - starts[rows]
    blank = np.isin(lines.first[rows], SPACES) & (length < 2 * len(columns))  # so short that it may be
    for i in np.flatnonzero(blank & (length > 1)):
        blank[i] = not line(int(rows[i]))
    rows = rows[~blank]
    return Table(path, size, changed, name, tuple(columns), starts[rows], ends[rows])


@lru_cache(maxsize=3)
def _column(table: Table, number: int) -> NDArray[np.float64] | NDArray[np.object_]:
    found = []
    for i, row in enumerate(table.rows(range(len(table)))):
        if len(row) <= number:
            raise InputError(f"{table.path}: row {i + 1} of table data_{table.name} has {len(row)} values for "
                             f"{len(table.columns)} columns: the file may be cut short, copy or write it again")
        found.append(row[number])
    try:
        return np.array([float(value) for value in found], dtype=np.float64)
    except ValueError:
        return np.array(found, dtype=object)  # one long word does not make all of them long
