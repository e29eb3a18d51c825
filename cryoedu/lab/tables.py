"""What the viewer of STAR files asks for: the tables, some of their rows in some order, columns to plot, an image."""

from __future__ import annotations

import posixpath
from typing import Any

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.mrc import split_name
from cryoedu.lab.files import open_mrc
from cryoedu.lab.handlers import Handler, below, handler
from cryoedu.lab.rows import Table, read_tables

MOST_ROWS = 500  # of a page
MOST_POINTS, BINS = 4000, 40  # of a plot
LONGEST = 300  # characters of a value that are shown
IMAGES = ("rlnImageName", "rlnReferenceImage", "rlnMicrographName", "rlnMicrographNameNoDW", "rlnUnfilteredMapHalf1")
SUFFIXES = (".mrc", ".mrcs", ".map", ".mrc.gz", ".mrcs.gz", ".map.gz", ".mrc.bz2", ".mrcs.bz2", ".map.bz2")


def _table(ask: Handler) -> Table:
    tables = read_tables(ask.file())
    ask.unchanged(tables[0].path, tables[0].changed)
    return tables[ask.number("table", 0, 0, len(tables) - 1)]


def _shown(value: bytes) -> str:
    return value[:LONGEST].decode("utf-8", "replace")


def overview(ask: Handler) -> list[dict[str, Any]]:
    """Each table: its name, its number of rows, its columns, which of them are numbers in the first rows, and whether
    a row names an image; and what is wrong with it, if anything."""
    made = []
    for table in read_tables(ask.file()):
        first = list(table.rows(range(min(len(table), 5))))
        numeric = [bool(first) and all(len(row) > i and _is_number(row[i]) for row in first)
                   for i in range(len(table.columns))]
        made.append({"name": table.name, "rows": len(table), "columns": list(table.columns), "numeric": numeric,
                     "images": _image_column(table, first[0] if first else []), "problem": table.problem(),
                     "changed": str(table.changed)})
    return made


def _is_number(value: bytes) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _image_column(table: Table, row: list[bytes]) -> int | None:
    """The column that names an image: one that RELION calls so, else the first that looks like it in this row."""
    named = [table.columns.index(name) for name in IMAGES if name in table.columns]
    looks = [i for i, value in enumerate(row) if b"@" in value or _shown(value).lower().endswith(SUFFIXES)]
    return next((i for i in [*named, *looks] if i < len(row) and i in looks), None)


def page(ask: Handler) -> dict[str, Any]:
    """Rows ``first`` and the next, ``count`` in all, in the order of column ``sort`` (from 0; none: of the file).

    numbers: of the rows, from 1.  cells: their values as text.  Numbers are ordered as such; NaN comes last.
    """
    table = _table(ask)
    first, count = ask.number("first", 0, 0, 10**9), ask.number("count", 100, 1, MOST_ROWS)
    if ask.text("sort"):
        values = table.column(ask.number("sort", 0, 0, len(table.columns) - 1))
        order = np.argsort(values, kind="stable")
        if ask.text("descending") == "true":
            known = order[: len(order) - int(np.isnan(values).sum())] if values.dtype.kind == "f" else order
            order = np.concatenate([known[::-1], order[len(known):]])
        chosen = order[first : first + count]
    else:
        chosen = np.arange(first, min(first + count, len(table)))
    return {"numbers": [int(i) + 1 for i in chosen],
            "cells": [[_shown(value) for value in row] for row in table.rows(chosen)]}


def plot(ask: Handler) -> dict[str, Any]:
    """Column ``y`` against column ``x`` (or, if none, the number of the row), or without y how often values of x occur.

    Of many rows 4000, evenly spread, are taken for points; ``rows`` says which, from 1. All are counted in ``counts``,
    between ``edges``.
    """
    table = _table(ask)
    x = _numbers(table, ask, "x") if ask.text("x") else np.arange(1.0, len(table) + 1)
    if not ask.text("y"):
        good = x[np.isfinite(x)]
        if not good.size:
            raise InputError("this column holds no numbers: choose another")
        counts, edges = np.histogram(good, bins=BINS, range=_span(good))
        return {"counts": counts.tolist(), "edges": edges.tolist(), "left_out": int(x.size - good.size)}
    y = _numbers(table, ask, "y")
    good = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not good.size:
        raise InputError("no row has a number in both columns: choose others")
    some = good[np.unique(np.linspace(0, len(good) - 1, MOST_POINTS).astype(np.int64))]
    return {"x": x[some].tolist(), "y": y[some].tolist(), "rows": (some + 1).tolist(),
            "left_out": int(x.size - good.size)}


def _span(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    reach = max(abs(low), abs(high), 1e-30)
    return (low, high) if high - low > 1e-9 * reach else (low - 0.5 * reach, high + 0.5 * reach)


def _numbers(table: Table, ask: Handler, which: str) -> np.ndarray:
    number = ask.number(which, 0, 0, len(table.columns) - 1)
    values = table.column(number)
    if values.dtype.kind != "f":
        raise InputError(f"column {table.columns[number]} holds words, not only numbers: choose another")
    return np.where(np.abs(values) < 1e300, values, np.nan)  # what a plot can hold


def picture(ask: Handler) -> dict[str, Any]:
    """The image that row ``row`` (from 0) names: its file as Jupyter writes it, and which of its images (from 0).

    The file is looked for from the folder of the STAR file, and from each folder above it up to the one that Jupyter
    serves; an absolute name has to be below that one.  Raises InputError if there is none, or if it is broken.
    """
    table = _table(ask)
    number = ask.number("row", 0, 0, len(table) - 1)
    (row,) = table.rows([number])
    column = _image_column(table, row)
    if column is None:
        raise InputError(f"row {number + 1} of this table names no image")
    index, name = split_name(_shown(row[column]))
    top = str(below(ask.root(), "", folder=True))
    folder = posixpath.dirname(ask.text("path").strip("/"))
    if name.startswith(f"{top}/"):
        name, folder = name[len(top) + 1:], ""
    bases = [folder]
    while bases[-1]:
        bases.append(posixpath.dirname(bases[-1]))
    for base in bases if not name.startswith("/") else []:
        place = posixpath.normpath(posixpath.join(base, name))
        try:
            found = below(ask.root(), place, hidden=ask.contents_manager.allow_hidden)
        except InputError:
            continue
        count = open_mrc(found)[0].shape[0]
        if index is not None and index > count:
            raise InputError(f"{place} holds {count} images, but row {number + 1} names number {index}: it may be the "
                             "stack of another STAR file")
        return {"path": place, "at": (index or 1) - 1, "name": _shown(row[column])}
    raise InputError(f"{name} is neither in {folder or 'the folder that Jupyter serves'} nor in a folder above it that "
                     "Jupyter serves: put it there, or start Jupyter in the folder of the project")


HANDLERS = {
    "star": handler(get=overview),
    "star/rows": handler(get=page),
    "star/plot": handler(get=plot),
    "star/picture": handler(get=picture),
}
