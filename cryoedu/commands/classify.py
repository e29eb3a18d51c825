"""The commands that align and classify: ``cryoedu align2d``, ``classify2d`` and ``classify3d``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryoedu.commands.options import (
    Diameter,
    FirstRes,
    Fudge,
    Iterations,
    LastRes,
    Library,
    Mask,
    MaxCC,
    Memory,
    OffsetSigma,
    Output,
    Overwrite,
    PixelSize,
    PsiStep,
    Range,
    Resume,
    Scale,
    Seed,
    Star,
    Step,
    Symmetry,
    Truth,
    TruthMaps,
    folder_of,
    particles_of,
    reference_of,
    refinement_options,
)
from cryoedu.commands.shell import run_job
from cryoedu.errors import InputError

if TYPE_CHECKING:
    from cryoedu.checkpoints import Checkpoint


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
        random_seed=random_seed,
        pixel_size=pixel_size,
        memory=memory,
        array_library=array_library,
    )


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
    offset_sigma: OffsetSigma = None,
    scale: Scale = False,
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

    options |= {"scale": scale, "offset_sigma": offset_sigma}

    def job(tick: Any, at: Checkpoint | None) -> Any:
        if at is not None:
            return refine(particles, at.model, search, number_from=at.number + 1, tick=tick, **options)
        return jobs.classify2d(particles, k, search, seed=random_seed, tick=tick, **options)

    run_job(job, particles, folder, iterations, tau2_fudge, truth, None)


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
    symmetry: Symmetry = "C1",
    ini_high: Annotated[float, typer.Option("--ini-high", help="Å: low-pass filter of a single reference")] = 60.0,
    tau2_fudge: Fudge = 4.0,
    particle_diameter: Diameter = None,
    solvent_mask: Mask = None,
    maxcc: MaxCC = False,
    supervised: Annotated[bool, typer.Option("--supervised", help="keep the given maps: only classify")] = False,
    first_resolution: FirstRes = None,
    strict_highres: LastRes = None,
    offset_sigma: OffsetSigma = None,
    scale: Scale = False,
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
    options |= {"fixed": ("maps", "tau2") if supervised else (), "symmetry": symmetry, "scale": scale,
                "offset_sigma": offset_sigma}
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
