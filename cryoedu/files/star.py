"""STAR files as tables: the package starfile, with its errors told in sentences and columns checked by name and row."""

from __future__ import annotations

import linecache
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import starfile

from cryoedu.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

# read as text: names, which may look like numbers, and what becomes a number here, to the last digit and with the
# row named where it cannot
TEXT = ["rlnImageName", "rlnMicrographName", "rlnOpticsGroupName", "rlnGroupName", "rlnImageOriginalName",
        "rlnParticleName", "rlnOriginalParticleName", "rlnReconstructImageName", "rlnTomoName", "rlnTomoParticleName",
        "rlnMtfFileName", "rlnBodyStarFile", "rlnReferenceImage"]
NUMBERS = ["rlnOpticsGroup", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnImagePixelSize",
           "rlnPixelSize", "rlnDetectorPixelSize", "rlnMagnification", "rlnImageSize", "rlnImageDimensionality",
           "rlnCtfDataAreCtfPremultiplied", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift",
           "rlnCtfBfactor", "rlnCtfScalefactor", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginX",
           "rlnOriginY", "rlnOriginXAngst", "rlnOriginYAngst", "rlnClassNumber", "rlnRandomSubset"]


def read_tables(path: str | os.PathLike[str]) -> dict[str, DataFrame]:
    """All tables of a STAR file by name (without "data_"); a list of values becomes a table of one row.

    Raises InputError if there is no such file, or if it is empty, binary, cut short or no STAR file.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise InputError(f"there is no file {path}: check the name and the folder") from None
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{path} cannot be read ({reason}): check the name and its permissions") from None
    if not head.strip():
        raise InputError(f"{path} is empty: copy or make it again")
    if b"\0" in head:
        raise InputError(f"{path} is not a STAR file, but a binary one: give the STAR file that belongs to it")
    linecache.checkcache(str(path))  # starfile reads through linecache, which may hold an older version
    try:
        blocks = starfile.read(path, always_dict=True, parse_as_string=TEXT + NUMBERS)
    except Exception as error:  # pandas and starfile raise many kinds
        raise InputError(f"{path} cannot be read as a STAR file, because {_reason(error)}: correct it or write it "
                         "again") from None
    if not blocks:
        raise InputError(f"{path} is not a STAR file: it has no line that begins with data_")
    return {name: _whole(block, name, path) for name, block in blocks.items()}


def _reason(error: Exception) -> str:
    text = str(error)
    if fields := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", text):
        return f"row {fields[2]} of a table has {fields[3]} values for {fields[1]} columns"
    if fields := re.search(r"axis has (\d+) elements, new values have (\d+)", text):
        return f"a table has {fields[1]} values in a row for {fields[2]} columns"
    if "No columns to parse" in text:
        return "a table has no rows"
    return "a table is not laid out as a header and rows"


def _whole(block: Any, name: str, path: Path) -> DataFrame:
    """The block as a table, once no row of it is found to be cut short (which leaves its last columns empty)."""
    from pandas import DataFrame

    if isinstance(block, dict):
        return DataFrame([block])
    if len(block) and len(block.columns):
        missing = (block.isna() | (block == "")).to_numpy()
        needed = np.array([c == "rlnImageName" or c in NUMBERS for c in block.columns])
        cut = missing[:, -1] & (np.arange(len(block)) == len(block) - 1) & ~missing[:, -1].all()
        wrong = np.flatnonzero(missing[:, needed].any(axis=1) | cut)
        if len(wrong):
            column = block.columns[int(np.flatnonzero(missing[wrong[0]])[0])]
            raise InputError(f"{path}: row {wrong[0] + 1} of table data_{name} has no value for {column}: "
                             "the file may be cut short, copy or write it again")
    return block


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
    """Write tables by name in RELION's 3.1 layout; numbers keep all their digits."""
    text = []
    for name, table in tables.items():
        block = starfile.to_string({name: table}, float_format=None, na_rep="nan")
        text.append("\n# version 30001\n\n" + block[block.index("data_") :].rstrip() + "\n \n")
    path.write_text("".join(text))
