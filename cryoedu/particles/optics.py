"""Optics groups in STAR files: the table data_optics of RELION 3.1, and the columns of 3.0."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.star import integers, numbers
from cryoedu.particles.cs import IGNORED
from cryoedu.particles.particles import ISOTROPIC, Optics, Particles

if TYPE_CHECKING:
    from pandas import DataFrame

MICROSCOPE = {"rlnVoltage": "voltage", "rlnSphericalAberration": "spherical_aberration",
              "rlnAmplitudeContrast": "amplitude_contrast"}
PIXEL_SIZES = ("rlnImagePixelSize", "rlnPixelSize")
SAY = "say with --angpix how many Å a pixel of the images has"
TILT, ODD, EVEN = ("rlnBeamTiltX", "rlnBeamTiltY"), "rlnOddZernike", "rlnEvenZernike"
MAGNIFICATION = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")
COLUMNS = {*TILT, ODD, EVEN, *MAGNIFICATION, *MICROSCOPE, *PIXEL_SIZES, "rlnDetectorPixelSize", "rlnMagnification",
           "rlnOpticsGroup", "rlnOpticsGroupName", "rlnImageSize", "rlnImageDimensionality",
           "rlnCtfDataAreCtfPremultiplied"}

Groups = tuple[tuple[Optics, ...], np.ndarray, list[int]]


def from_table(optics: DataFrame, particles: DataFrame, path: Path, ctf: bool, given: float | None = None) -> Groups:
    """RELION 3.1: the groups that have particles, the group (N,) of each particle from 0, and boxes (0 if not said).

    ctf: whether the particles have one, so that the microscope must be known.  given: Å, whatever the file says.
    Raises InputError for a group that is missing or there twice.
    """
    where = f"{path}, table data_optics"
    numbered = integers(optics, "rlnOpticsGroup", where)
    if len(set(numbered)) < len(numbered):
        twice = next(n for n in numbered if (numbered == n).sum() > 1)
        raise InputError(f"{where} has two groups of rlnOpticsGroup {twice}: give each its own number")
    if "rlnOpticsGroup" in particles.columns:
        asked = integers(particles, "rlnOpticsGroup", path)
    elif len(numbered) == 1:
        asked = np.full(len(particles), numbered[0])
    else:
        raise InputError(f"{path}, table data_particles has no column rlnOpticsGroup, but there are {len(numbered)} "
                         "optics groups: add it")
    wrong = np.flatnonzero(~np.isin(asked, numbered))
    if len(wrong):
        raise InputError(f"{path}: row {wrong[0] + 1} has rlnOpticsGroup {asked[wrong[0]]}, but table data_optics has "
                         f"only {', '.join(str(n) for n in numbered)}: correct the row or add the group")
    rows = np.flatnonzero(np.isin(numbered, asked))
    used = optics.iloc[rows]
    sizes = _pixel_sizes(used, where, given)
    if sizes is None:
        raise InputError(f"{where} has no column rlnImagePixelSize: add it, or {SAY}")
    _refuse_volumes(used, path)
    names = [str(n) for n in used["rlnOpticsGroupName"]] if "rlnOpticsGroupName" in used else [
        f"opticsGroup{n}" for n in numbered[rows]]
    extra = [{str(c): used[c].iloc[i] for c in used.columns if c not in COLUMNS} for i in range(len(used))]
    groups = _groups(used, sizes, names, extra, where, ctf)
    boxes = integers(used, "rlnImageSize", where).tolist() if "rlnImageSize" in used else [0] * len(groups)
    group = np.searchsorted(np.sort(numbered[rows]), asked)
    return groups, np.argsort(numbered[rows])[group].astype(np.int64), boxes


def from_columns(particles: DataFrame, path: Path, ctf: bool, pixel_size: float | None,
                 given: float | None = None) -> Groups:
    """RELION 3.0: one group for each set of values that the particles' own columns hold.

    pixel_size: Å, taken where no column tells one.  given: Å, whatever the file says. Raises InputError if none does.
    """
    sizes = _pixel_sizes(particles, str(path), given)
    if sizes is None:
        if pixel_size is None:
            raise InputError(f"{path} tells no pixel size: add a column rlnImagePixelSize, or rlnDetectorPixelSize and "
                             f"rlnMagnification, or {SAY}")
        sizes = np.full(len(particles), pixel_size)
    columns = [c for c in (*MICROSCOPE, "rlnCtfDataAreCtfPremultiplied", "rlnImageSize", *TILT)
               if c in particles.columns]
    _refuse_volumes(particles, path)
    values = np.column_stack([sizes, *(numbers(particles, c, path) for c in columns)])
    _, first, group = np.unique(values, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # groups in the order in which they first appear
    used = particles.iloc[first[order]]
    names = [f"opticsGroup{i + 1}" for i in range(len(order))]
    groups = _groups(used, sizes[first[order]], names, [{}] * len(order), str(path), ctf)
    boxes = integers(used, "rlnImageSize", path).tolist() if "rlnImageSize" in used else [0] * len(groups)
    return groups, np.argsort(order)[group.ravel()].astype(np.int64), boxes


def _groups(used: DataFrame, sizes: np.ndarray, names: list[str], extra: list[dict[str, object]], where: str,
            ctf: bool) -> tuple[Optics, ...]:
    if ctf:
        for column in MICROSCOPE:
            if column not in used.columns:
                raise InputError(f"{where} has no column {column}, which the CTF of its particles needs: add it")
    known = {field: numbers(used, c, where) for c, field in MICROSCOPE.items() if c in used.columns}
    premultiplied = (integers(used, "rlnCtfDataAreCtfPremultiplied", where) != 0
                     if "rlnCtfDataAreCtfPremultiplied" in used.columns else np.zeros(len(used), dtype=bool))
    tilts = np.column_stack([numbers(used, c, where) if c in used.columns else np.zeros(len(used)) for c in TILT])
    odd, even = (_coefficients(used, c, where) for c in (ODD, EVEN))
    stretched = np.column_stack([numbers(used, c, where) if c in used.columns else np.full(len(used), none)
                                 for c, none in zip(MAGNIFICATION, np.ravel(ISOTROPIC))]).reshape(-1, 2, 2)
    if "voltage" in known and not (known["voltage"] > 0).all():
        raise InputError(f"{where} has rlnVoltage {known['voltage'].min():g}: give it in kV, such as 300")
    return tuple(Optics(float(sizes[i]), name=names[i], ctf_premultiplied=bool(premultiplied[i]), extra=extra[i],
                        beam_tilt=(float(tilts[i, 0]), float(tilts[i, 1])), odd_zernike=odd[i], even_zernike=even[i],
                        magnification=stretched[i].tolist(),
                        **{field: float(values[i]) for field, values in known.items()}) for i in range(len(used)))


def _pixel_sizes(table: DataFrame, where: str, given: float | None) -> np.ndarray | None:
    """Å for each row, or None where no column tells. Raises InputError where two sources differ by more than 1 %."""
    if given is not None:
        if not 0 < given < np.inf:
            raise InputError(f"a pixel size of {given:g} Å is none: give a positive number")
        return np.full(len(table), given)
    told = {column: numbers(table, column, where) for column in PIXEL_SIZES if column in table.columns}
    if {"rlnDetectorPixelSize", "rlnMagnification"} <= set(table.columns):
        magnification = numbers(table, "rlnMagnification", where)
        if not (magnification > 0).all():
            raise InputError(f"{where}: row {np.argmin(magnification) + 1} has rlnMagnification "
                             f"{magnification.min():g}, but it must be positive: correct it")
        detector = numbers(table, "rlnDetectorPixelSize", where)
        told["rlnDetectorPixelSize / rlnMagnification"] = 1e4 * detector / magnification  # µm to Å
    for column, sizes in told.items():
        if not (sizes > 0).all():
            raise InputError(f"{where}: row {np.argmin(sizes) + 1} has {column} {sizes.min():g}, but it must be "
                             "positive: correct it")
    if not told:
        return None
    (first, sizes), *others = told.items()
    for column, other in others:
        wrong = np.flatnonzero(np.abs(other / sizes - 1) > 0.01)
        if len(wrong):
            raise InputError(f"{where}: row {wrong[0] + 1} has a pixel size of {sizes[wrong[0]]:.4g} Å by {first}, and "
                             f"of {other[wrong[0]]:.4g} Å by {column}: correct the one that is wrong, or {SAY}")
    return sizes


def _refuse_volumes(table: DataFrame, path: Path) -> None:
    if "rlnImageDimensionality" in table.columns and (integers(table, "rlnImageDimensionality", path) != 2).any():
        raise InputError(f"{path} holds 3D particles (rlnImageDimensionality 3), but images are needed: "
                         "give the STAR file of 2D particles")


def unapplied(particles: Particles) -> list[str]:
    """Columns of aberrations that are not taken into account: beam tilts of single particles beside those of their
    optics groups, and what cryoSPARC has in its own units."""
    tilts = [column for column in TILT
             if column in particles.extra and np.any(np.asarray(particles.extra[column], dtype=np.float64) != 0)]
    return tilts + [column for column in IGNORED.values() if column in particles.extra]


def _coefficients(used: DataFrame, column: str, where: str) -> list[tuple[float, ...]]:
    """Lists such as [0,0.1,-0.2] of each row, none where there is no such column."""
    out = []
    for row, text in enumerate(used[column] if column in used else [""] * len(used), start=1):
        try:
            out.append(tuple(float(value) for value in str(text).strip("[] ").split(",") if value.strip()))
        except ValueError:
            out.append((np.nan,))
        if not np.isfinite(out[-1]).all():
            raise InputError(f"{where}: row {row} has {column} {text}, which is no list of numbers such as [0,0.1]: "
                             "correct it")
    return out
