"""The command ``cryoedu convert``: particles from one program for another, all of them or some."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from cryoedu.errors import InputError
from cryoedu.pipeline.settings import AngPix, PixelSize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryoedu.particles.particles import Particles

CONDITION = re.compile(r"\s*(\w+)\s*(==|=|!=|<=|>=|<|>)\s*(.*?)\s*")
COMPARED = {"=": np.equal, "==": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater,
            ">=": np.greater_equal}


def convert(
    particles: Annotated[
        list[Path], typer.Argument(help="STAR files, .cs files, folders of RELION jobs, or their run_optimiser.star; "
                                   "several are joined", show_default=False)
    ],
    o: Annotated[Path, typer.Option("--o", "-o", help="STAR file to write", show_default=False)],
    class_number: Annotated[
        list[int] | None, typer.Option("--class", min=1, help="only this class, counted from 1; may be repeated")
    ] = None,
    subset: Annotated[int | None, typer.Option(min=1, max=2, help="only this half, 1 or 2")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="only rows of which this holds, such as 'rlnDefocusU < 20000'")
    ] = None,
    angpix: AngPix = None,
    pixel_size: PixelSize = None,
    invert: Annotated[bool, typer.Option("--invert", help="write images with dark and bright exchanged")] = False,
    old: Annotated[bool, typer.Option("--relion30", help="write RELION 3.0's layout, without optics groups")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the files that are there")] = False,
) -> None:
    """Particles of RELION or cryoSPARC as a STAR file: chosen, joined, resampled, inverted."""
    from cryoedu.files.writing import check_writable
    from cryoedu.particles import check_images, read_particles, write_particles
    from cryoedu.particles.joining import joined, particle_file
    from cryoedu.particles.normalisation import inverted
    from cryoedu.particles.resampling import resample

    if o.suffix.lower() != ".star":
        raise InputError(f"{o} is to be written, but only STAR files are: give a name that ends in .star")
    check_writable(o.parent)
    changed = invert or pixel_size is not None
    there = [path for path in (o, *([o.with_suffix(".mrcs")] if changed else [])) if path.exists()]
    if there and not overwrite:
        raise InputError(f"{there[0]} is there already: choose another name, or give --overwrite")
    files = [particle_file(path) for path in particles]
    if o.resolve() in {file.resolve() for file in files}:
        raise InputError(f"{o} is one of the files that are read: choose another name")
    sets = [read_particles(file, pixel_size=angpix) for file in files]
    stack = o.with_suffix(".mrcs").resolve()
    if changed and any(stack == read.resolve() for each in sets for read in getattr(each.images, "files", ())):
        raise InputError(f"{stack} would be replaced, from which the images are read: choose another name for {o}")
    sets = [chosen(each, file, class_number or [], subset, where or []) for each, file in zip(sets, files)]
    found, lost = joined(sets)
    if not len(found):
        raise InputError("no particle is left: choose other classes, halves or conditions")
    if lost:
        typer.echo(f"warning: left out, because not all files have them: {', '.join(lost)}", err=True)
    if pixel_size is not None:
        found = resample(found, pixel_size)
    if changed:
        check_images(found.images, ", ".join(map(str, files)))
        found = inverted(found) if invert else found
    write_particles(found, o, stack_name=o.with_suffix(".mrcs").name if changed else None, optics=not old)
    typer.echo(f"{len(found)} particles: {o}")


def chosen(particles: Particles, file: Path, classes: list[int], subset: int | None, where: list[str]) -> Particles:
    """The particles of these classes (from 1) and this half of which all conditions hold, such as "rlnDefocusU < 2e4".

    Raises InputError if a column is missing, or if a condition is none.
    """
    keep = np.ones(len(particles), dtype=bool)
    if classes:
        if particles.classes is None:
            raise InputError(f"{file} has no classes (rlnClassNumber): leave --class out")
        keep &= np.isin(particles.classes + 1, classes)  # those that are not known yet are in none
    if subset is not None:
        if particles.subset is None:
            raise InputError(f"{file} has no column rlnRandomSubset: leave --subset out")
        keep &= particles.subset == subset
    for condition in where:
        keep &= _holds(condition, file, len(particles))
    return particles if keep.all() else particles.subset_of(keep)


def _holds(condition: str, file: Path, count: int) -> NDArray[np.bool_]:
    """Of which rows of a STAR file a condition holds: numbers by their value, all else as text, = and != only."""
    from cryoedu.files.star import read_tables

    parsed = CONDITION.fullmatch(condition)
    if parsed is None:
        raise InputError(f"{condition!r} is no condition: write one such as 'rlnDefocusU < 20000' or "
                         "'rlnMicrographName = mic1.mrc'")
    if file.suffix.lower() == ".cs":
        raise InputError(f"{file} has no columns of RELION: convert it first, then choose from the STAR file")
    name, sign, wanted = parsed.groups()
    table = next((t for t in read_tables(file).values() if "rlnImageName" in t), None)
    if table is None or name not in table or len(table) != count:
        raise InputError(f"{file} has no column {name}: choose another")
    values = table[name].to_numpy(dtype=str)
    try:
        return np.asarray(COMPARED[sign](values.astype(np.float64), float(wanted)))
    except ValueError:
        if sign not in ("=", "==", "!="):
            raise InputError(f"{name} of {file} is no number throughout, or {wanted!r} is none: only = and != can be "
                             "asked") from None
        return np.asarray(COMPARED[sign](values, wanted))
