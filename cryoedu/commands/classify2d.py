"""The commands for images in a plane: ``cryoedu align2d`` and ``classify2d``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryoedu.commands.options import (
    Cluster,
    Diameter,
    FirstRes,
    Fudge,
    Iterations,
    LastRes,
    Library,
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
    Truth,
    folder_of,
    machine_of,
    particles_of,
    refinement_options,
)
from cryoedu.commands.shell import run_job

if TYPE_CHECKING:
    from cryoedu.inference.model import Checkpoint


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
    cluster: Cluster = None,
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
        cluster=cluster,
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
    cluster: Cluster = None,
    truth: Truth = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Align and classify particles in 2D, from averages of random subsets."""
    from cryoedu.geometry.grids import search_2d
    from cryoedu.inference import em
    from cryoedu.inference.em import refine

    folder = folder_of(context)
    particles = particles_of(star, pixel_size)
    step = offset_step or particles.pixel_size
    search = search_2d(psi_step, shift_range=offset_range, shift_step=step)
    options = refinement_options(
        particles, 2, iterations, tau2_fudge, particle_diameter, None, maxcc, first_resolution, strict_highres,
        random_seed, machine_of(context, folder),
    )

    options |= {"scale": scale, "offset_sigma": offset_sigma}

    def job(tick: Any, at: Checkpoint | None) -> Any:
        if at is not None:
            return refine(particles, at.model, search, number_from=at.number + 1, tick=tick, **options)
        return em.classify2d(particles, k, search, seed=random_seed, tick=tick, **options)

    run_job(job, particles, folder, iterations, tau2_fudge, truth, None)
