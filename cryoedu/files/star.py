"""STAR files as tables of text, which become numbers where numbers are asked for.

A row is a line, as every program of the field writes it; values are read as RELION reads them (words, or what stands
between quotation marks). Names that look like numbers, or that hold #, ' or letters of an old encoding, stay as they
are, and columns that nobody asks for can be written back untouched. The CIF grammar, and with it its libraries, refuses
names that RELION writes, such as data_3.mrc or _x.mrc.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoedu.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

TOKEN = re.compile(rb"""(["'])(.*?)(?:\1(?=\s|$)|$)|(\S+)""")  # no quote is looked for twice: long lines stay quick
TEXT = {"encoding": "utf-8", "errors": "surrogateescape"}  # bytes of another encoding come back as they were


def values(line: bytes) -> list[bytes]:
    """The values in a line: words, or what stands between quotation marks (or from one to the end); a comment ends
    them."""
    if not any(mark in line for mark in (b'"', b"'", b"#")):
        return line.split()
    words = [(m[2] if m[1] else m[3], not m[1] and m[3].startswith(b"#")) for m in TOKEN.finditer(line)]
    comment = next((i for i, (_, starts) in enumerate(words) if starts), len(words))
    return [word for word, _ in words[:comment]]


def read_tables(path: str | os.PathLike[str]) -> dict[str, DataFrame]:
    """All tables of a STAR file by name (without "data_"), of text; a list of values becomes a table of one row.

    Raises InputError if there is no such file, or if it is empty, binary, cut short or no STAR file.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise InputError(f"there is no file {path}: check the name and the folder") from None
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{path} cannot be read ({reason}): check the name and its permissions") from None
    if not content.strip():
        raise InputError(f"{path} is empty: copy or make it again")
    if b"\0" in content[:4096]:
        raise InputError(f"{path} is not a STAR file, but a binary one: give the STAR file that belongs to it")
    lines = _lines(content.removeprefix(b"\xef\xbb\xbf"))  # what Windows' editors put first
    tables: dict[str, DataFrame] = {}
    line = next(lines, None)
    while line is not None and not line.startswith(b"data_"):
        line = next(lines, None)
    if line is None:
        raise InputError(f"{path} is not a STAR file: it has no line that begins with data_")
    while line is not None:
        name = values(line)[0][5:].decode(**TEXT)
        if name in tables:
            raise InputError(f"{path} has two tables data_{name}: leave one of them out")
        tables[name], line = _table(name, lines, path)
    return tables


def _lines(content: bytes) -> Iterator[bytes]:
    """All lines but the empty ones and comments, without the spaces around them."""
    for line in content.split(b"\n"):
        if (line := line.strip()) and not line.startswith(b"#"):
            yield line


def _table(name: str, lines: Iterator[bytes], path: Path) -> tuple[DataFrame, bytes | None]:
    """The table that begins after its line data_NAME, and the line after it, or None at the end of the file."""
    where, line = f"{path}: table data_{name}", next(lines, None)
    columns, rows = [], []
    if line == b"loop_":
        while (line := next(lines, None)) is not None and line.startswith(b"_") and len(values(line)) == 1:
            columns.append(values(line)[0][1:].decode(**TEXT))
        _once(columns, where)
        while line is not None and not (line.startswith(b"data_") and len(values(line)) < max(len(columns), 2)):
            rows.append(values(line))
            if len(rows[-1]) != len(columns):
                raise InputError(f"{path}: row {len(rows)} of table data_{name} {_uneven(columns, rows[-1])}")
            line = next(lines, None)
    else:
        rows.append([])
        while line is not None and not line.startswith(b"data_"):
            words = values(line)
            if len(words) != 2 or not words[0].startswith(b"_"):
                raise InputError(f"{where} has a line {line[:40].decode(**TEXT)!r}, which is no row, for there "
                                 "is no loop_ with columns before it, and no name with its value: correct it")
            columns.append(words[0][1:].decode(**TEXT))
            rows[0].append(words[1])
            line = next(lines, None)
        _once(columns, where)
    texts = ([word.decode(**TEXT) for word in column] for column in zip(*rows, strict=True))
    return as_table(dict(zip(columns, texts)) if rows else {column: [] for column in columns}), line


def as_table(columns: Mapping[str, Any]) -> DataFrame:
    """Columns by name as a table, text as objects: pandas' own type of text has no room for other encodings."""
    from pandas import DataFrame, Series

    def kind(values: Any) -> type | None:
        return None if len(values) and np.asarray(values).dtype.kind in "biuf" else object

    return DataFrame({name: Series(values, dtype=kind(values)) for name, values in columns.items()})


def _once(columns: Sequence[str], where: str) -> None:
    twice = next((column for i, column in enumerate(columns) if column in columns[:i]), None)
    if twice is not None:
        raise InputError(f"{where} has two columns {twice}: leave one of them out")


def _uneven(columns: Sequence[str], row: Sequence[bytes]) -> str:
    if len(row) < len(columns):
        return f"has no value for {columns[len(row)]}: the file may be cut short, copy or write it again"
    return (f"has {len(row)} values for {len(columns)} columns: put values with spaces between quotation marks, or "
            "write the file again")


def numbers(table: DataFrame, column: str, where: str | Path) -> np.ndarray:
    """A column as float64 (N,); ``where`` is the file, and table, that errors name.

    Raises InputError if the column is missing, or that names the row of what is no finite number.
    """
    if column not in table.columns:
        raise InputError(f"{where} has no column {column}: add it")
    values = table[column].to_numpy(dtype=object)
    try:
        found = values.astype(np.float64)
    except ValueError:
        found = np.array([_number(v) for v in values])
    wrong = np.flatnonzero(~np.isfinite(found))
    if len(wrong):
        raise InputError(f"{where}: row {wrong[0] + 1} has {column} {values[wrong[0]]!r}, not a finite number: "
                         "correct or remove the row")
    return found


def _number(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")


def integers(table: DataFrame, column: str, where: str | Path) -> np.ndarray:
    """A column as int64 (N,), like `numbers`. Raises InputError that names the row of what is no whole number."""
    values = numbers(table, column, where)
    wrong = np.flatnonzero(values != np.round(values))
    if len(wrong):
        raise InputError(f"{where}: row {wrong[0] + 1} has {column} {values[wrong[0]]:g}, which is not a whole number: "
                         "correct or remove the row")
    return values.astype(np.int64)


def write_tables(tables: Mapping[str, DataFrame | dict[str, Any]], path: Path) -> None:
    """Write tables by name in RELION's 3.1 layout, a dict as a list of values; numbers keep all their digits."""
    from pandas import DataFrame

    text = []
    for name, table in tables.items():
        text.append(f"\n# version 30001\n\ndata_{name}\n\n")
        columns = [_words(np.asarray(table[column] if isinstance(table, DataFrame) else [table[column]]))
                   for column in table]
        if isinstance(table, DataFrame):
            text.append("loop_\n" + "".join(f"_{column} #{i}\n" for i, column in enumerate(table, start=1)))
            text.extend("\t".join(row) + "\n" for row in zip(*columns, strict=True))
        else:
            width = max(map(len, table), default=0) + 5
            text.extend(f"{'_' + column:{width}}{word}\n" for column, (word,) in zip(table, columns, strict=True))
        text.append(" \n")
    path.write_text("".join(text), **TEXT)


def _words(column: np.ndarray) -> list[str]:
    """Values as they stand in a STAR file."""
    if column.dtype.kind in "biu":
        return [str(int(value)) for value in column.tolist()]
    if column.dtype.kind == "f":
        return [repr(value) for value in column.astype(np.float64).tolist()]
    return [_quoted(str(value)) for value in column]


def _quoted(word: str) -> str:
    """A word that is read as one."""
    if word and not word.startswith(("#", '"', "'")) and not any(letter.isspace() for letter in word):
        return word
    return f"'{word}'" if '"' in word else f'"{word}"'
