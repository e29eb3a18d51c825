"""The same jobs from a shell: every command is a function of the API with its options spelled out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryoedu.cli_initial import initial_model
from cryoedu.errors import InputError
from cryoedu.options import (
    Diameter,
    FirstRes,
    Fudge,
    Iterations,
    LastRes,
    Library,
    Mask,
    MaxCC,
    Memory,
    Output,
    Overwrite,
    PixelSize,
    PsiStep,
    Range,
    Resume,
    Seed,
    Star,
    Step,
    Truth,
    TruthMaps,
    folder_of,
    particles_of,
    reference_of,
    refinement_options,
    specimen_of,
)
from cryoedu.shell import run_job

if TYPE_CHECKING:
    from cryoedu.checkpoints import Checkpoint

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Single-particle cryo-EM image refinement, to learn it by doing it.",
)

@app.command()
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
    from cryoedu.files import check_writable
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


@app.command()
def reconstruct(
    star: Star,
    o: Annotated[Path, typer.Option("--o", "-o", help="map to write, .mrc", show_default=False)],
    subset: Annotated[int | None, typer.Option(help="only this half, 1 or 2 (rlnRandomSubset)")] = None,
    class_number: Annotated[int | None, typer.Option("--class", min=1, help="only this class, counted from 1")] = None,
    maxres: Annotated[float | None, typer.Option(help="Å, nothing finer is reconstructed")] = None,
    pixel_size: PixelSize = None,
    memory: Memory = None,
    array_library: Library = "auto",
) -> None:
    """A map from particles whose orientations are in the STAR file."""
    import numpy as np

    from cryoedu.files import check_writable
    from cryoedu.inference.reconstruction import reconstruct as solve
    from cryoedu.particles import write_map

    check_writable(o.parent)
    particles = particles_of(star, pixel_size)
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
    write_map(solve(chosen, resolution=maxres, memory=memory, array_library=array_library), o)
    typer.echo(f"map from {len(chosen)} particles: {o}")


@app.command()
def align2d(
    context: typer.Context,
    star: Star,
    o: Output,
    iterations: Iterations = 20,
    psi_step: PsiStep = 5.0,
    offset_range: Range = 15.0,
    offset_step: Step = None,
    tau2_fudge: Fudge = 0.0,
    particle_diameter: Diameter = None,
    maxcc: MaxCC = False,
    first_resolution: FirstRes = 60.0,
    strict_highres: LastRes = None,
    random_seed: Seed = 0,
    pixel_size: PixelSize = None,
    memory: Memory = None,
    array_library: Library = "auto",
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Align particles in the plane to one average, which is re-estimated each time round."""
    classify2d(
        context,
        star,
        o,
        1,
        iterations,
        psi_step,
        offset_range,
        offset_step,
        tau2_fudge,
        particle_diameter,
        maxcc,
        first_resolution,
        strict_highres,
        random_seed,
        pixel_size,
        memory,
        array_library,
    )


@app.command()
def classify2d(
    context: typer.Context,
    star: Star,
    o: Output,
    k: Annotated[int, typer.Option("--k", min=1, help="number of classes")] = 10,
    iterations: Iterations = 25,
    psi_step: PsiStep = 5.0,
    offset_range: Range = 15.0,
    offset_step: Step = None,
    tau2_fudge: Fudge = 0.0,
    particle_diameter: Diameter = None,
    maxcc: MaxCC = False,
    first_resolution: FirstRes = 60.0,
    strict_highres: LastRes = None,
    random_seed: Seed = 0,
    pixel_size: PixelSize = None,
    memory: Memory = None,
    array_library: Library = "auto",
    truth: Truth = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Align and classify particles in 2D, from averages of random subsets."""
    from cryoedu.geometry.grids import search_2d
    from cryoedu.inference import jobs
    from cryoedu.inference.loop import refine

    folder = folder_of(context)
    particles = particles_of(star, pixel_size)
    step = offset_step or particles.pixel_size
    search = search_2d(psi_step, shift_range=offset_range, shift_step=step)
    options = refinement_options(
        particles, 2, iterations, tau2_fudge, particle_diameter, None, maxcc, first_resolution, strict_highres,
        random_seed, folder.memory, array_library,
    )

    def job(tick: Any, at: Checkpoint | None) -> Any:
        if at is not None:
            return refine(particles, at.model, search, number_from=at.number + 1, tick=tick, **options)
        return jobs.classify2d(particles, k, search, seed=random_seed, tick=tick, **options)

    run_job(job, particles, folder, iterations, tau2_fudge, truth, None)


@app.command()
def classify3d(
    context: typer.Context,
    star: Star,
    o: Output,
    reference: Annotated[
        list[Path], typer.Option(help="map (MRC) to start from; one for each class makes them the starts")
    ],
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="classes from random subsets (default: 2; or the references)")
    ] = None,
    iterations: Iterations = 25,
    healpix_order: Annotated[
        int, typer.Option("--healpix-order", min=0, max=5, help="sampling of the orientations: 1: 30°, 2: 15°, 3: 7.5°")
    ] = 2,
    oversampling: Annotated[
        int, typer.Option(min=0, max=4, help="how often the steps are halved around what counts for each particle")
    ] = 0,
    offset_range: Range = 15.0,
    offset_step: Step = None,
    ini_high: Annotated[float, typer.Option("--ini-high", help="Å: low-pass filter of a single reference")] = 60.0,
    tau2_fudge: Fudge = 4.0,
    particle_diameter: Diameter = None,
    solvent_mask: Mask = None,
    maxcc: MaxCC = False,
    supervised: Annotated[bool, typer.Option("--supervised", help="keep the given maps: only classify")] = False,
    first_resolution: FirstRes = None,
    strict_highres: LastRes = None,
    random_seed: Seed = 0,
    pixel_size: PixelSize = None,
    memory: Memory = None,
    array_library: Library = "auto",
    truth: Truth = None,
    truth_map: TruthMaps = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Classify particles in 3D with unknown orientations, from seeds or from maps of your own."""
    import numpy as np

    from cryoedu.geometry.grids import search_3d
    from cryoedu.inference import jobs
    from cryoedu.inference.adaptive import Adaptive
    from cryoedu.inference.loop import refine, start_model

    folder = folder_of(context)
    particles = particles_of(star, pixel_size)
    maps = [reference_of(path, particles) for path in reference]
    if len(maps) > 1 and k not in (None, len(maps)):
        raise InputError(f"--k {k} does not fit {len(maps)} references, each of which starts a class: leave --k out, "
                         "or give one reference")
    if supervised and len(maps) < 2:
        raise InputError("--supervised needs at least two maps to choose between: give --reference once for each")
    step = offset_step or particles.pixel_size
    search = search_3d(healpix_order, shift_range=offset_range, shift_step=step)
    options = refinement_options(
        particles, 3, iterations, tau2_fudge, particle_diameter, solvent_mask, maxcc, first_resolution or ini_high,
        strict_highres, random_seed, folder.memory, array_library,
    )
    options["fixed"] = ("maps", "tau2") if supervised else ()
    if oversampling:
        diameter = particle_diameter or 0.8 * particles.box * particles.pixel_size
        options["adaptive"] = Adaptive(levels=oversampling, diameter=diameter)

    def job(tick: Any, at: Checkpoint | None) -> Any:
        if at is not None:
            return refine(particles, at.model, search, number_from=at.number + 1, tick=tick, **options)
        if len(maps) > 1:
            return refine(particles, start_model(particles, np.stack(maps)), search, tick=tick, **options)
        return jobs.classify3d(
            particles, maps[0], k or 2, search, seed=random_seed, resolution=ini_high, tick=tick, **options
        )

    run_job(job, particles, folder, iterations, tau2_fudge, truth, truth_map)


app.command("initial-model")(initial_model)


@app.command()
def fsc(
    first: Annotated[Path, typer.Argument(help="a map, .mrc")],
    second: Annotated[Path, typer.Argument(help="another")],
    mask: Annotated[Path | None, typer.Option(help="soft mask, .mrc, on both")] = None,
    threshold: Annotated[float, typer.Option(help="0.143 between halves, 0.5 against the truth")] = 0.143,
) -> None:
    """Fourier shell correlation of two maps, shell by shell, and the resolution."""
    from cryoedu.particles import read_map
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


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="of a run, finished or not", show_default=False)],
) -> None:
    """One HTML page about a run: maps, spectra, convergence, and how it was made."""
    from cryoedu.report import write_report

    typer.echo(f"report: {write_report(folder)}")


@app.command()
def doctor() -> None:
    """What is on this machine, and the next step for anything missing."""
    from cryoedu.doctor import main as examine

    raise typer.Exit(examine())


def main() -> None:
    """Entry point of the command ``cryoedu``: bad input ends in one sentence."""
    try:
        app()
    except InputError as error:
        sys.exit(f"cryoedu: {error}")
    except MemoryError:
        sys.exit("cryoedu: there is not enough memory: give a smaller --memory, or close other programs")
    except OSError as error:
        sys.exit(
            f"cryoedu: {error.filename or 'a file'} could not be read or written ({error.strerror or error}): check "
            "the path, its permissions and the room on the disk"
        )


if __name__ == "__main__":
    main()
