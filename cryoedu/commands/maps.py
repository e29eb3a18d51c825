"""The commands about one map or one run: ``cryoedu reconstruct``, ``fsc``, ``report`` and ``doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryoedu.commands.options import particles_of
from cryoedu.errors import InputError
from cryoedu.pipeline.settings import AngPix, Library, Memory, PixelSize, Star, Symmetry


def reconstruct(
    star: Star,
    o: Annotated[Path, typer.Option("--o", "-o", help="map to write, .mrc", show_default=False)],
    subset: Annotated[int | None, typer.Option(help="only this half, 1 or 2 (rlnRandomSubset)")] = None,
    class_number: Annotated[int | None, typer.Option("--class", min=1, help="only this class, counted from 1")] = None,
    maxres: Annotated[float | None, typer.Option(help="Å, nothing finer is reconstructed")] = None,
    symmetry: Symmetry = "C1",
    angpix: AngPix = None,
    pixel_size: PixelSize = None,
    memory: Memory = None,
    array_library: Library = "auto",
) -> None:
    """A map from particles whose orientations are in the STAR file."""
    import numpy as np

    from cryoedu.files.writing import check_writable
    from cryoedu.inference.reconstruction import reconstruct as solve
    from cryoedu.microscope import write_map

    check_writable(o.parent)
    particles = particles_of(star, angpix, pixel_size)
    keep = np.ones(len(particles), dtype=bool)
    for column, wanted, name in (
        (particles.subset, subset, "rlnRandomSubset"),
        (None if particles.classes is None else particles.classes + 1, class_number, "rlnClassNumber"),
    ):
        if wanted is not None:
            if column is None:
                raise InputError(f"{star} has no column {name}: leave the option out")
            keep &= column == wanted
    if not keep.any():
        raise InputError(f"{star} has no particle of that class and subset: choose another")
    chosen = particles if keep.all() else particles.subset_of(keep)
    write_map(solve(chosen, resolution=maxres, symmetry=symmetry, memory=memory, array_library=array_library), o)
    typer.echo(f"map from {len(chosen)} particles: {o}")


def fsc(
    first: Annotated[Path, typer.Argument(help="a map, .mrc")],
    second: Annotated[Path, typer.Argument(help="another")],
    mask: Annotated[Path | None, typer.Option(help="soft mask, .mrc, on both")] = None,
    threshold: Annotated[float, typer.Option(help="0.143 between halves, 0.5 against the truth")] = 0.143,
) -> None:
    """Fourier shell correlation of two maps, shell by shell, and the resolution."""
    from cryoedu.microscope import read_map
    from cryoedu.validation.fsc import fsc as correlate
    from cryoedu.validation.fsc import resolution_text

    a, b = read_map(first), read_map(second)
    if abs(a.pixel_size / b.pixel_size - 1) > 5e-3:
        raise InputError(
            f"{first} has {a.pixel_size:g} Å per pixel and {second} {b.pixel_size:g}: resample one of them, or "
            "correct its header"
        )
    curve = correlate(a.density, b.density, mask=None if mask is None else read_map(mask).density)
    typer.echo("shell  resolution (Å)     FSC")
    for shell, value in enumerate(curve):
        typer.echo(f"{shell:5d}  {a.box * a.pixel_size / shell if shell else float('inf'):14.2f}  {value:6.3f}")
    typer.echo(f"resolution at FSC = {threshold:g}: {resolution_text(curve, a.pixel_size, threshold=threshold)}")


def report(
    folder: Annotated[Path, typer.Argument(help="of a run, finished or not", show_default=False)],
) -> None:
    """One HTML page about a run: maps, spectra, convergence, and how it was made."""
    from cryoedu.runs.report import write_report

    typer.echo(f"report: {write_report(folder)}")


def doctor() -> None:
    """What is on this machine, and the next step for anything missing."""
    from cryoedu.doctor import main as examine

    raise typer.Exit(examine())
