"""Particles out of cryoSPARC's .cs files.

The conventions are those by which pyem (Asarnow, Palovcak & Cheng 2019, doi:10.5281/zenodo.3576630) writes RELION's
columns: a pose is an axis times an angle in radians, and the transpose of that rotation is RELION's matrix; a shift is
in pixels of its own size and has the sign of RELION's origin; images, classes and halves count from 0.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.files.cs import Columns, read_columns
from cryoedu.geometry.euler import matrix_to_euler
from cryoedu.particles.names import ImageNames, parse_names, refuse_copies
from cryoedu.particles.particles import CTFParameters, Optics, Particles
from cryoedu.particles.stack import UnreadImages

MICROSCOPE = {"ctf/accel_kv": "voltage", "ctf/cs_mm": "spherical_aberration", "ctf/amp_contrast": "amplitude_contrast"}
# aberrations whose units nobody documents, as columns that are kept and told of
IGNORED = {"ctf/trefoil_A": "cryosparcTrefoil", "ctf/tetra_A": "cryosparcTetrafoil",
           "ctf/anisomag": "cryosparcAnisotropicMagnification"}
KEPT = {"uid": "cryosparcUid", "location/micrograph_path": "rlnMicrographName"}
Floats = NDArray[np.float64]


def read_cs(path: str | os.PathLike[str], *, passed_through: Sequence[str | os.PathLike[str]] = (),
            pixel_size: float | None = None) -> tuple[Particles, ImageNames, list[int]]:
    """The particles of a .cs file with images that are still to be read, their names, and each optics group's box.

    passed_through: files that hold the fields which this one lacks (default: those beside it).
    pixel_size: Å that a pixel of the images has, whatever the file says.
    Raises InputError, with the field, for whatever is missing or does not fit.
    """
    path = Path(path)
    columns = read_columns(path, passed_through)
    for name in ("blob/path", "blob/idx"):
        if name not in columns:
            raise InputError(f"{path} has no field {name}, so nobody knows where its images are: give the passthrough "
                             "file of the same job beside it, or the .cs file of the particles")
    count = len(columns["blob/path"])
    values = [f"{int(i) + 1:06d}@{_text(p)}" for i, p in zip(columns["blob/idx"], columns["blob/path"])]
    names = parse_names(values, path)
    optics, group, boxes = _optics(columns, path, pixel_size)
    pose, shift, size, classes, split = _alignments(columns)
    if pose is None:
        angles = None
    elif pose.ndim == 1:  # in the plane
        angles = np.column_stack([np.zeros((count, 2)), np.degrees(pose)])
    else:
        angles = _angles(pose)
    blob = np.array([o.pixel_size for o in optics])[group]
    shifts = None if shift is None else 0.0 - shift * (blob if size is None else size)[:, None]
    extra = {kept: np.array([_text(v) for v in columns[name]], dtype=object)
             for name, kept in KEPT.items() if name in columns}
    extra |= {kept: np.array([",".join(map(str, v)) for v in columns[name]], dtype=object)
              for name, kept in IGNORED.items() if name in columns and np.any(columns[name])}
    ctf = _ctf(columns)
    for name, found in {"alignment": angles, "shift": shifts, **(vars(ctf) if ctf else {})}.items():
        if found is not None and not np.isfinite(found).all():
            row = int(np.flatnonzero(~np.isfinite(found).reshape(count, -1).all(axis=1))[0])
            raise InputError(f"{path}: row {row + 1} has no finite {name.replace('_', ' ')}: leave the row out")
    particles = Particles(UnreadImages(names.files, names.file_of_row, names.index_in_file, boxes[0] if boxes else 0),
                          optics, group, ctf=ctf, angles=angles, shifts=shifts, classes=classes, subset=split,
                          extra=extra)
    refuse_copies(names, (particles.angles, particles.shifts), values, path)
    return particles, names, boxes


def _text(value: Any) -> str:
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    return text.lstrip(">")  # which marks a path within the project


def _angles(pose: Floats) -> Floats:
    from scipy.spatial.transform import Rotation

    return matrix_to_euler(np.swapaxes(Rotation.from_rotvec(pose).as_matrix(), 1, 2))


def _optics(columns: Columns, path: Path, pixel_size: float | None) -> tuple[tuple[Optics, ...], Any, list[int]]:
    """Optics groups, the group (N,) of each particle, and their boxes (0 if not said)."""
    count = len(columns["blob/path"])
    if pixel_size is None and "blob/psize_A" not in columns:
        raise InputError(f"{path} has no field blob/psize_A: say with --angpix how many Å a pixel of the images has")
    size = columns["blob/psize_A"] if pixel_size is None else np.full(count, pixel_size)
    if not (np.isfinite(size) & (size > 0)).all():
        raise InputError(f"{path} has a pixel size of {np.min(size):g} Å: say with --angpix how many Å a pixel has")
    told = {name: columns[name].astype(np.float64) for name in MICROSCOPE if name in columns}
    tilt = np.zeros((count, 2))
    if "ctf/tilt_A" in columns and "ctf/cs_mm" in told and (told["ctf/cs_mm"] > 0).all():
        tilt = 1e3 * np.arcsin(columns["ctf/tilt_A"] / told["ctf/cs_mm"][:, None] * 1e-7)
    box = columns["blob/shape"][:, 0] if "blob/shape" in columns else np.zeros(count)
    number = columns.get("ctf/exp_group_id", np.zeros(count))
    rows = np.column_stack([number, size, box, tilt, *told.values()]).astype(np.float64)
    _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    groups = [Optics(round(float(size[i]), 6), name=f"opticsGroup{g + 1}", beam_tilt=(tilt[i, 0], tilt[i, 1]))
              for g, i in enumerate(first)]
    for name, values in told.items():
        each: list[dict[str, Any]] = [{MICROSCOPE[name]: round(float(values[i]), 6)} for i in first]
        groups = [replace(o, **changed) for o, changed in zip(groups, each)]
    return tuple(groups), group.ravel().astype(np.int64), [int(box[i]) for i in first]


def _ctf(columns: Columns) -> CTFParameters | None:
    if "ctf/df1_A" not in columns:
        return None

    def field(name: str, factor: float = 1.0, none: float = 0.0) -> Floats:
        return np.asarray(columns[name], dtype=np.float64) * factor if name in columns else np.full(
            len(columns["ctf/df1_A"]), none)

    degrees = float(np.degrees(1.0))
    return CTFParameters.of(field("ctf/df1_A"), columns.get("ctf/df2_A", columns["ctf/df1_A"]),
                            field("ctf/df_angle_rad", degrees), field("ctf/phase_shift_rad", degrees),
                            field("ctf/bfactor"), field("ctf/scale", none=1.0))


def _alignments(columns: Columns) -> tuple[Floats | None, Floats | None, Floats | None, Any, Any]:
    """Pose (N, 3) or (N,), shift (N, 2), the size of its pixels (N,), class (N,) and half set (N,), or None for each:
    those of the one refinement there is, of the most probable of several classes, or of a 2D classification."""
    several = sorted((n.split("/")[0] for n in columns if n.startswith("alignments_class_") and n.endswith("/pose")),
                     key=lambda name: int(name.rsplit("_", 1)[1]))
    classes = None
    if "alignments3D/pose" in columns:
        found = {k: columns.get(f"alignments3D/{k}") for k in ("pose", "shift", "psize_A", "class", "split")}
        classes = found["class"]
    elif "alignments3D_multi/pose" in columns or several:
        keys = ("pose", "shift", "psize_A", "class_posterior")
        if several:
            each = {k: [columns[f"{name}/{k}"] for name in several if f"{name}/{k}" in columns] for k in keys}
            stacked = {k: np.stack(v, axis=1) if len(v) == len(several) else None for k, v in each.items()}
        else:
            stacked = {k: columns.get(f"alignments3D_multi/{k}") for k in keys}
        probability = stacked["class_posterior"]
        rows = np.arange(len(columns["blob/path"]))
        classes = np.zeros(len(rows), dtype=int) if probability is None else probability.argmax(axis=1)
        found = {k: None if v is None else v[rows, classes] if v.ndim > 1 else v for k, v in stacked.items()}
        found["split"] = columns.get(f"{several[0] if several else 'alignments3D_multi'}/split")
    else:
        found = {k: columns.get(f"alignments2D/{k}") for k in ("pose", "shift", "psize_A", "class", "split")}
        classes = found["class"]
    pose, shift, size = (None if found.get(k) is None else np.asarray(found[k], dtype=np.float64)
                         for k in ("pose", "shift", "psize_A"))
    split = found.get("split")
    halves = None if split is None or set(np.unique(split)) != {0, 1} else np.asarray(split, dtype=np.int64) + 1
    return pose, shift, size, None if classes is None else np.asarray(classes, dtype=np.int64), halves
