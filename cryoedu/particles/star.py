"""Particles in and out of STAR files: RELION 3.0 and 3.1 are read, 3.1 is written.

Signs and counts change here and nowhere else: a particle sits at minus rlnOriginXAngst, rlnOriginYAngst, and classes
count from 1 in files. The columns are those of RELION (Scheres 2012, doi:10.1016/j.jsb.2012.09.006).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.images import blocks
from cryoedu.files.mrc import Header, stream_stack
from cryoedu.files.star import as_table, integers, numbers, read_tables, write_tables
from cryoedu.files.writing import replace_when_done
from cryoedu.particles import optics as optics_groups
from cryoedu.particles.cs import read_cs
from cryoedu.particles.names import (
    ImageNames,
    compare_with_optics,
    known_pixel_size,
    open_stacks,
    parse_names,
    refuse_copies,
)
from cryoedu.particles.particles import ISOTROPIC, CTFParameters, Particles
from cryoedu.particles.resampling import ResampledImages, resample
from cryoedu.particles.stack import ImageStack, UnreadImages

if TYPE_CHECKING:
    from pandas import DataFrame

CTF = {"rlnDefocusU": "defocus_u", "rlnDefocusV": "defocus_v", "rlnDefocusAngle": "astigmatism_angle",
       "rlnPhaseShift": "phase_shift", "rlnCtfBfactor": "b_factor", "rlnCtfScalefactor": "scale"}
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
ORIGINS_PIXELS = ("rlnOriginX", "rlnOriginY")  # RELION 3.0
COLUMNS = {*CTF, *ANGLES, *ORIGINS, *ORIGINS_PIXELS, "rlnImageName", "rlnOpticsGroup", "rlnClassNumber",
           "rlnRandomSubset"}


def read_particles(path: str | os.PathLike[str], *, images: bool = True, pixel_size: float | None = None,
                   resample_to: float | None = None) -> Particles:
    """The particles of a RELION STAR file (3.0 or 3.1), or of cryoSPARC's .cs file, their images on disk until they are
    asked for.

    images: False reads names and columns only; the stacks need not be there.
    pixel_size: Å that a pixel of the images has, whatever the files say of it.
    resample_to: pixel size in Å to bring all optics groups to; needed where their boxes differ (see `resample`).

    Stacks are looked for from the folder of the STAR file, then from the folders above it, then from the working
    folder. Columns that `Particles` has no name for stand in ``extra``. Optics groups without particles are left out.
    Raises InputError, with the file, the row (from 1) and the value, for whatever is missing or contradicts itself.
    """
    path = Path(path)
    if path.suffix.lower() == ".cs":
        particles, names, boxes = read_cs(path, pixel_size=pixel_size)
        headers = open_stacks(names, path) if images else []
        if not images:
            return particles
        compare_with_optics(headers, names, particles.optics_group, particles.optics, boxes, path,
                            sizes_too=pixel_size is None)
        return _with_images(particles, headers, names, resample_to)
    tables = read_tables(path)
    table = _particle_table(tables, path)
    _refuse_tilt_series(tables, path)
    values = [str(v) for v in table["rlnImageName"]]
    names = parse_names(values, path)
    headers = open_stacks(names, path) if images else []
    has_ctf = "rlnDefocusU" in table.columns or "rlnDefocusV" in table.columns
    known = COLUMNS
    if "optics" in tables:
        optics, group, boxes = optics_groups.from_table(tables["optics"], table, path, has_ctf, pixel_size)
    else:
        found = _the_one([known_pixel_size(h) for h in headers])
        optics, group, boxes = optics_groups.from_columns(table, path, has_ctf, found, pixel_size)
        known = COLUMNS | optics_groups.COLUMNS
    particles = Particles(
        UnreadImages(names.files, names.file_of_row, names.index_in_file, _the_one(boxes) or 0), optics, group,
        ctf=_ctf(table, path) if has_ctf else None,
        angles=_columns(table, ANGLES, path),
        shifts=_shifts(table, np.array([o.pixel_size for o in optics])[group], path),
        classes=_classes(table, path),
        subset=_subset(table, path),
        extra={str(c): table[c].to_numpy() for c in table.columns if c not in known})
    refuse_copies(names, (particles.angles, particles.shifts), values, path)
    if not images:
        return particles
    compare_with_optics(headers, names, group, optics, boxes, path, sizes_too=pixel_size is None)
    return _with_images(particles, headers, names, resample_to)


def _with_images(particles: Particles, headers: list[Header], names: ImageNames,
                 resample_to: float | None) -> Particles:
    if resample_to is None or _the_one([h.shape[2] for h in headers]):
        particles = replace(particles, images=ImageStack(headers, names.file_of_row, names.index_in_file))
        return particles if resample_to is None else resample(particles, resample_to)
    stacks, row_in_stack = [], np.empty(len(particles), dtype=np.int64)
    for number in range(len(particles.optics)):  # a box of its own for each group
        rows = np.flatnonzero(particles.optics_group == number)
        files, file_of_row = np.unique(names.file_of_row[rows], return_inverse=True)
        stacks.append(ImageStack([headers[f] for f in files], file_of_row, names.index_in_file[rows]))
        row_in_stack[rows] = np.arange(len(rows))
    sizes = [o.pixel_size for o in particles.optics]
    return replace(particles, optics=tuple(replace(o, pixel_size=resample_to) for o in particles.optics),
                   images=ResampledImages(stacks, particles.optics_group, row_in_stack, sizes, resample_to))


def _the_one(values: Sequence[Any]) -> Any:
    """The value that they all are, or None."""
    return values[0] if len(set(values)) == 1 else None


def _particle_table(tables: dict[str, DataFrame], path: Path) -> DataFrame:
    named = [t for name, t in tables.items() if name != "optics" and (name == "particles" or "rlnImageName" in t)]
    if not named or "rlnImageName" not in named[0]:
        raise InputError(f"{path} has no column rlnImageName: give the STAR file of the particles, with their images")
    if not len(named[0]):
        raise InputError(f"{path} holds no particles: its table has no rows")
    return named[0]


def _refuse_tilt_series(tables: dict[str, DataFrame], path: Path) -> None:
    """RELION 5's particles of tilt series: several images in each row."""
    for name, table in tables.items():
        column = "rlnTomoSubTomosAre2DStacks"
        if column in table and (integers(table, column, f"{path}, table data_{name}") != 0).any():
            raise InputError(f"{path} holds particles of tilt series ({column} 1), a stack of images for each, but one "
                             "image for each is needed: give the STAR file of single particles")


def _columns(table: DataFrame, columns: Sequence[str], path: Path) -> np.ndarray | None:
    """(N, len(columns)), 0 for a column that is missing; None if all are."""
    if not any(c in table.columns for c in columns):
        return None
    return np.column_stack([numbers(table, c, path) if c in table.columns else np.zeros(len(table)) for c in columns])


def _shifts(table: DataFrame, pixel_sizes: np.ndarray, path: Path) -> np.ndarray | None:
    origins = _columns(table, ORIGINS, path)
    if origins is None:
        origins = _columns(table, ORIGINS_PIXELS, path)
        origins = None if origins is None else origins * pixel_sizes[:, None]
    return None if origins is None else 0.0 - origins


def _ctf(table: DataFrame, path: Path) -> CTFParameters:
    values = {field: numbers(table, column, path) for column, field in CTF.items() if column in table.columns}
    if "defocus_u" not in values:
        raise InputError(f"{path} has rlnDefocusV, but no column rlnDefocusU: add it")
    astigmatic = np.flatnonzero(values["defocus_u"] != values.get("defocus_v", values["defocus_u"]))
    if len(astigmatic) and "astigmatism_angle" not in values:
        raise InputError(f"{path}: row {astigmatic[0] + 1} is astigmatic (rlnDefocusU and rlnDefocusV differ), but "
                         "there is no column rlnDefocusAngle: add it")
    return CTFParameters.of(**values)


def _classes(table: DataFrame, path: Path) -> np.ndarray | None:
    if "rlnClassNumber" not in table.columns:
        return None
    classes = integers(table, "rlnClassNumber", path)
    return None if (classes < 1).all() else np.maximum(classes, 0) - 1  # 0 and -999 are RELION's "not yet"


def _subset(table: DataFrame, path: Path) -> np.ndarray | None:
    if "rlnRandomSubset" not in table.columns:
        return None
    subset = integers(table, "rlnRandomSubset", path)
    if (subset == 0).all():
        return None
    wrong = np.flatnonzero((subset != 1) & (subset != 2))
    if len(wrong):
        raise InputError(f"{path}: row {wrong[0] + 1} has rlnRandomSubset {subset[wrong[0]]}, but half sets are 1 and "
                         "2: correct or remove the row")
    return subset


def write_particles(particles: Particles, path: str | os.PathLike[str], *, stack_name: str | None = None,
                    optics: bool = True) -> None:
    """Write a STAR file of RELION 3.1 with optics groups, and the images beside it if they are not in stacks already.

    stack_name: file name of the new stack, by default that of the STAR file with .mrcs. Images that are in stacks on
    disk are copied only if it is given; else the STAR file refers to the stacks there are, relative to its own folder.
    optics: False writes the layout of 3.0, one table in which each particle has what its optics group has.

    Both files take their places together at the end, so that nothing on disk is half written. Raises InputError if a
    column is not of the particles' length or holds NaN or infinite values, and if nothing can be written there.
    """
    path = Path(path)
    with ExitStack() as outputs:
        star = outputs.enter_context(replace_when_done(path))
        images = particles.images
        if stack_name is None and isinstance(images, ImageStack | UnreadImages):
            folder = os.path.realpath(path.parent)
            files = np.array([os.path.relpath(os.path.realpath(file), folder) for file in images.files], dtype=object)
            stacks, index = files[images.file_of_row], images.index_in_file
        else:
            stack = path.parent / (stack_name or path.with_suffix(".mrcs").name)
            stacks, index = np.full(len(particles), os.path.relpath(stack, path.parent)), np.arange(len(particles))
        tables = {"optics": _optics_table(particles), "particles": _table(particles, stacks, index, path)}
        write_tables(tables if optics else {"": _old_table(tables["particles"], particles, path)}, star)
        if stack_name is not None or not isinstance(images, ImageStack | UnreadImages):
            part = outputs.enter_context(replace_when_done(stack))
            pixel_size = _the_one([o.pixel_size for o in particles.optics]) or 0.0
            stream_stack(blocks(images), part, os.fspath(stack), pixel_size, len(particles))


def _optics_table(particles: Particles) -> DataFrame:
    groups = particles.optics
    names = [o.name for o in groups]
    if len(set(names)) < len(names):  # RELION tells groups apart by name too
        names = [f"{name}_{i + 1}" for i, name in enumerate(names)]
    table: dict[str, Any] = {"rlnOpticsGroupName": names, "rlnOpticsGroup": np.arange(len(groups)) + 1}
    for column, field in optics_groups.MICROSCOPE.items():
        table[column] = [float(getattr(o, field)) for o in groups]
    table["rlnImagePixelSize"] = [float(o.pixel_size) for o in groups]
    table["rlnImageSize"] = [int(o.extra.get("rlnImageSize", particles.box)) for o in groups]
    table["rlnImageDimensionality"] = [2] * len(groups)
    if any(o.ctf_premultiplied for o in groups):
        table["rlnCtfDataAreCtfPremultiplied"] = [int(o.ctf_premultiplied) for o in groups]
    for i, column in enumerate(optics_groups.TILT):
        if any(any(o.beam_tilt) for o in groups):
            table[column] = [o.beam_tilt[i] for o in groups]
    for column, field in ((optics_groups.ODD, "odd_zernike"), (optics_groups.EVEN, "even_zernike")):
        if any(any(getattr(o, field)) for o in groups):
            table[column] = [f"[{','.join(map(repr, getattr(o, field)))}]" for o in groups]
    if any(o.magnification != ISOTROPIC for o in groups):
        for i, column in enumerate(optics_groups.MAGNIFICATION):
            table[column] = [o.magnification[i // 2][i % 2] for o in groups]
    for column in dict.fromkeys(c for o in groups for c in o.extra if c not in table):
        table[column] = [o.extra.get(column, "nan") for o in groups]
    return as_table(table)


def _table(particles: Particles, stacks: np.ndarray, index: np.ndarray, path: Path) -> DataFrame:
    table: dict[str, Any] = {"rlnImageName": [f"{i + 1:06d}@{stack}" for i, stack in zip(index.tolist(), stacks)],
                             "rlnOpticsGroup": np.asarray(particles.optics_group) + 1}
    if particles.ctf is not None:
        table |= {column: getattr(particles.ctf, field) for column, field in CTF.items()}
    for columns, values in ((ANGLES, particles.angles), (ORIGINS, particles.shifts)):
        if values is not None:
            signed = values if columns is ANGLES else 0.0 - np.asarray(values)
            table |= {column: signed[:, i] for i, column in enumerate(columns)}
    if particles.classes is not None:
        table["rlnClassNumber"] = np.asarray(particles.classes) + 1
    if particles.subset is not None:
        table["rlnRandomSubset"] = np.asarray(particles.subset)
    for column, values in table.items():
        if column != "rlnImageName" and not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise InputError(f"{path}: {column} of row {row + 1} would be {values[row]}: correct it or leave the row "
                             "out")
    for column, values in particles.extra.items():
        if column not in table:
            table[column] = np.asarray(values, dtype=int) if np.asarray(values).dtype == bool else values
    for column, values in table.items():
        if len(values) != len(particles):
            raise InputError(f"{path}: {column} has {len(values)} rows, but there are {len(particles)} particles")
    return as_table(table)


def _old_table(table: DataFrame, particles: Particles, path: Path) -> DataFrame:
    """A table of particles in RELION 3.0's layout. Raises InputError for aberrations that it has no columns for."""
    for o in particles.optics:
        if any((*o.odd_zernike, *o.even_zernike)) or o.magnification != ISOTROPIC:
            raise InputError(f"{path}: {o.name} has measured aberrations, for which RELION 3.0 has no columns: write "
                             "optics groups")
    each = [particles.optics[g] for g in particles.optics_group]
    size = np.array([o.pixel_size for o in each])
    columns = {str(name): table[name].to_numpy() for name in table.columns if name != "rlnOpticsGroup"}
    for pixels, angstrom in zip(ORIGINS_PIXELS, ORIGINS):
        if angstrom in columns:
            columns[pixels] = np.asarray(columns.pop(angstrom), dtype=np.float64) / size
    for column, field in optics_groups.MICROSCOPE.items():
        columns[column] = np.array([getattr(o, field) for o in each])
    columns["rlnMagnification"], columns["rlnDetectorPixelSize"] = np.full(len(each), 10000.0), size
    for i, column in enumerate(optics_groups.TILT):
        if any(any(o.beam_tilt) for o in particles.optics):
            columns[column] = np.array([o.beam_tilt[i] for o in each])
    if any(o.ctf_premultiplied for o in particles.optics):
        columns["rlnCtfDataAreCtfPremultiplied"] = np.array([int(o.ctf_premultiplied) for o in each])
    return as_table(columns)
