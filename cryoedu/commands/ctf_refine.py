"""The command ``cryoedu ctf-refine``: better defoci for particles whose poses are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryoedu.commands.options import particles_of
from cryoedu.pipeline.settings import AngPix, Library, Memory, Output, Star


def ctf_refine(
    star: Star,
    o: Output,
    maps: Annotated[list[Path], typer.Option("--map", help="map (MRC) of the particles; once for each class")],
    reach: Annotated[float, typer.Option(help="Å, how far from the old defocus is looked")] = 1500.0,
    step: Annotated[float, typer.Option(help="Å, step of the defoci looked at")] = 100.0,
    sigma: Annotated[float, typer.Option(help="Å, how far off the old defoci are taken to be")] = 500.0,
    per_micrograph: Annotated[
        bool, typer.Option("--per-micrograph", help="one change for all particles of a micrograph")
    ] = False,
    angpix: AngPix = None,
    maxres: Annotated[float | None, typer.Option(help="Å, nothing finer is looked at")] = None,
    memory: Memory = None,
    array_library: Library = "auto",
) -> None:
    """Refine the defocus of each particle, or of each micrograph, at the poses in the STAR file."""
    import numpy as np

    from cryoedu.files.writing import check_writable
    from cryoedu.inference.defocus import model_of, refine_defocus
    from cryoedu.particles import write_particles
    from cryoedu.pipeline.derive import reference_of

    check_writable(o)
    particles = particles_of(star, angpix)
    densities = np.stack([reference_of(path, particles) for path in maps])
    model = model_of(particles, densities, memory=memory, array_library=array_library)
    found = refine_defocus(
        particles, model, reach=reach, step=step, sigma=sigma, per_micrograph=per_micrograph, resolution=maxres,
        memory=memory, array_library=array_library,
    )
    path = o / "particles_ctf_refine.star"
    write_particles(found.particles, path)
    typer.echo(f"defoci changed by {np.median(np.abs(found.change)):.0f} Å (median), known to "
               f"{np.median(found.deviation):.0f} Å (median standard deviation): {path}")
