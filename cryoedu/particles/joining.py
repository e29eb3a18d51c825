"""Several sets of particles as one, and the files that a RELION job leaves its particles in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.star import read_tables
from cryoedu.particles.names import locate
from cryoedu.particles.particles import CTFParameters, Particles
from cryoedu.particles.resampling import image_numbers
from cryoedu.particles.stack import ImageStack

WRITTEN = ("run_data.star", "particles.star", "shiny.star")  # by jobs that leave one file of particles


def particle_file(path: str | os.PathLike[str]) -> Path:
    """The file of particles that ``path`` means: itself, or that of the RELION job whose folder, job.star or
    run_optimiser.star it is. Raises InputError if that job left none."""
    path = Path(path)
    if path.name == "job.star":
        return particle_file(path.parent)
    if path.is_dir():
        found = [path / name for name in WRITTEN if (path / name).is_file()]
        found += sorted(path.glob("run_it*_data.star"))[-1:]
        if not found:
            raise InputError(f"{path} holds no particles (none of {', '.join(WRITTEN)}, run_it000_data.star): name "
                             "their STAR file")
        return found[0]
    if path.name.endswith("_optimiser.star"):
        general = next((t for t in read_tables(path).values() if "rlnExperimentalDataStarFile" in t), None)
        if general is None or not len(general):
            raise InputError(f"{path} names no rlnExperimentalDataStarFile: name the STAR file of the particles")
        return locate(str(general["rlnExperimentalDataStarFile"].iloc[0]), path)
    return path


def joined(sets: Sequence[Particles]) -> tuple[Particles, list[str]]:
    """The particles of all ``sets``, whose images are in stacks of one box, one after the other, each with optics
    groups of its own; and the columns that were left out, because some of the sets lack them.

    Raises InputError if their boxes differ, if a set has no stacks, or if two have the same image at the same pose.
    """
    if len(sets) == 1:
        return sets[0], []
    boxes = sorted({p.box for p in sets})
    if len(boxes) > 1:
        raise InputError(f"the particles have boxes of {' and '.join(map(str, boxes))} pixels, and only one can be "
                         "joined: bring each set to one pixel size first, with 'cryoedu convert --pixel-size'")
    stacks = [p.images for p in sets if isinstance(p.images, ImageStack)]
    if len(stacks) < len(sets):
        raise InputError("only particles whose images are in stacks on disk can be joined: write them first")
    headers = list({h.path: h for s in stacks for h in s.headers}.values())  # sets may share files
    number = {h.path: i for i, h in enumerate(headers)}
    images = ImageStack(headers, np.concatenate([np.array([number[h.path] for h in s.headers])[s.file_of_row]
                                                 for s in stacks]), np.concatenate([s.index_in_file for s in stacks]))
    groups = np.cumsum([0, *(len(p.optics) for p in sets)])
    lost = []

    def column(name: str) -> Any:
        values = [getattr(p, name) for p in sets]
        if any(v is None for v in values):
            lost.extend([name] if any(v is not None for v in values) else [])
            return None
        return np.concatenate(values)

    ctf = None
    if all(p.ctf is not None for p in sets):
        ctf = CTFParameters(*(np.concatenate([getattr(p.ctf, f.name) for p in sets]) for f in fields(CTFParameters)))
    elif any(p.ctf is not None for p in sets):
        lost.append("ctf")
    every = dict.fromkeys(name for p in sets for name in p.extra)
    kept = [name for name in every if all(name in p.extra for p in sets)]
    whole = Particles(images, tuple(o for p in sets for o in p.optics),
                      np.concatenate([p.optics_group + g for p, g in zip(sets, groups)]), ctf=ctf,
                      angles=column("angles"), shifts=column("shifts"), classes=column("classes"),
                      subset=column("subset"), extra={n: np.concatenate([p.extra[n] for p in sets]) for n in kept})
    poses = [np.reshape(pose, (len(whole), -1)) for pose in (whole.angles, whole.shifts) if pose is not None]
    _, first, same = np.unique(np.column_stack([image_numbers(images), *poses]), axis=0, return_index=True,
                               return_inverse=True)
    if len(first) < len(whole):
        row = int(np.flatnonzero(first[same.ravel()] != np.arange(len(whole)))[0])
        raise InputError(f"{images.name(row)} is in two of the files, at the same pose: leave it out of one of them")
    return whole, lost + [name for name in every if name not in kept]
