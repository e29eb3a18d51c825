"""The commands that make data: ``cryoedu simulate`` and ``cryoedu normalise``."""

from __future__ import annotations

from typing import Annotated

import typer

from cryoedu.commands.options import specimen_of
from cryoedu.pipeline.settings import AngPix, Output, Seed, Star


def simulate(
    specimens: Annotated[list[str], typer.Argument(help="names of data sets, MRC maps, or PDB and mmCIF files")],
    o: Output,
    n: Annotated[int, typer.Option("--n", min=1, help="number of particles")] = 1000,
    snr: Annotated[float, typer.Option(help="variance of signal over noise inside the particle; 0: no noise")] = 0.1,
    box: Annotated[int, typer.Option(help="pixels (an MRC map keeps its own)")] = 64,
    pixel_size: Annotated[float, typer.Option("--pixel-size", help="Å (an MRC map keeps its own)")] = 5.0,
    defocus: Annotated[tuple[float, float], typer.Option(help="lowest and highest, Å; 0 0: no CTF")] = (
        10000.0,
        25000.0,
    ),
    astigmatism: Annotated[float, typer.Option(help="largest U - V, Å")] = 500.0,
    b_factor: Annotated[float, typer.Option("--b-factor", help="of the envelope, Å²")] = 0.0,
    phase_shift: Annotated[float, typer.Option("--phase-shift", help="of a phase plate, degrees")] = 0.0,
    shift_sigma: Annotated[float, typer.Option("--sigma-offset", help="spread of the shifts, Å")] = 5.0,
    preferred: Annotated[float, typer.Option(help="crowding of the views around z; 0: none")] = 0.0,
    white_noise: Annotated[bool, typer.Option("--white-noise", help="white instead of coloured noise")] = False,
    random_seed: Seed = 0,
) -> None:
    """Particle images of one or several specimens, as RELION-readable STAR and MRC, the truth beside them."""
    from cryoedu.files.writing import check_writable
    from cryoedu.microscope.experiment import simulate as make
    from cryoedu.microscope.experiment import write_experiment
    from cryoedu.microscope.noise import coloured, white

    check_writable(o)
    maps = [specimen_of(text, box, pixel_size) for text in specimens]
    experiment = make(
        maps,
        n,
        seed=random_seed,
        snr=snr or None,
        noise=white if white_noise else coloured,
        defocus=defocus if any(defocus) else None,
        astigmatism=astigmatism if any(defocus) else 0.0,
        b_factor=b_factor,
        phase_shift=phase_shift,
        shift_sigma=shift_sigma,
        preferred=preferred,
    )
    path = write_experiment(experiment, o)
    typer.echo(f"{n} particles of {', '.join(m.name for m in maps)}: {path}")
    typer.echo(f"their true poses and classes: {path.with_name('truth_data.star')}")


def normalise(
    star: Star,
    o: Output,
    bg_diameter: Annotated[
        float | None, typer.Option("--bg-diameter", help="Å: outside is background (default: 3/4 of the box)")
    ] = None,
    invert: Annotated[bool, typer.Option("--invert", help="turn dark particles into bright ones")] = False,
    angpix: AngPix = None,
) -> None:
    """Images with background of mean 0 and standard deviation 1, as a new stack with its STAR file."""
    from cryoedu.errors import InputError
    from cryoedu.files.writing import check_writable
    from cryoedu.particles import check_images, read_particles, write_particles
    from cryoedu.particles.joining import particle_file
    from cryoedu.particles.normalisation import normalised

    check_writable(o)
    path = o / "particles_data.star"
    if path.exists():
        raise InputError(f"{path} is there already: choose another folder")
    particles = read_particles(particle_file(star), pixel_size=angpix)
    check_images(particles.images, str(star))
    write_particles(normalised(particles, bg_diameter, invert=invert), path, stack_name="particles.mrcs")
    typer.echo(f"{len(particles)} normalised particles: {path}")
