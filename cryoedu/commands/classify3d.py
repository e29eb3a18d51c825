"""The command ``cryoedu classify3d``: several maps from one stack, orientations searched, refined or taken as known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from cryoedu.commands.options import (
    AUTO,
    Cluster,
    Diameter,
    FirstRes,
    Fudge,
    Iterations,
    LastRes,
    Library,
    MaskOrAuto,
    MaxCC,
    Memory,
    OffsetSigma,
    Output,
    Overwrite,
    PixelSize,
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
    machine_of,
    particles_of,
    reference_of,
    refinement_options,
    refuse_together,
)
from cryoedu.commands.shell import run_job
from cryoedu.errors import InputError

if TYPE_CHECKING:
    from cryoedu.geometry.grids import LocalSearch, Search
    from cryoedu.inference.model import Checkpoint
    from cryoedu.inference.settings import MaskOf
    from cryoedu.particles.particles import Particles


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
    cross_fit: Annotated[
        int, typer.Option("--cross-fit", min=0, help="folds, each scored against maps without it; 0: off, 5 is usual")
    ] = 0,
    healpix_order: Annotated[
        int, typer.Option("--healpix-order", min=0, max=5, help="sampling of the orientations: 1: 30°, 2: 15°, 3: 7.5°")
    ] = 2,
    oversampling: Annotated[
        int, typer.Option(min=0, max=4, help="how often the steps are halved around what counts for each particle")
    ] = 0,
    offset_range: Range = 15.0,
    offset_step: Step = None,
    skip_align: Annotated[
        bool, typer.Option("--skip-align", help="take the poses in the STAR file as they are: only classify")
    ] = False,
    local_range: Annotated[
        float | None, typer.Option("--local-range", min=0.0, help="degrees searched around the poses in the STAR file")
    ] = None,
    local_step: Annotated[
        float | None, typer.Option("--local-step", help="degrees between them (default: a third of the range)")
    ] = None,
    symmetry: Symmetry = "C1",
    ini_high: Annotated[float, typer.Option("--ini-high", help="Å: low-pass filter of a single reference")] = 60.0,
    tau2_fudge: Fudge = 4.0,
    particle_diameter: Diameter = None,
    solvent_mask: MaskOrAuto = None,
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
    cluster: Cluster = None,
    truth: Truth = None,
    truth_map: TruthMaps = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Classify particles in 3D with unknown orientations, from seeds or from maps of your own."""
    from cryoedu.inference import crossfit, em
    from cryoedu.inference.adaptive import Adaptive
    from cryoedu.inference.crossfit import cross_fit as fit_in_folds
    from cryoedu.inference.em import refine
    from cryoedu.inference.start import start_model

    _check_choices(context, cross_fit, skip_align, local_range)
    if cross_fit == 0 and solvent_mask == AUTO:
        raise InputError("--solvent-mask auto follows the map of all particles, which only --cross-fit has: give "
                         "--cross-fit too, or a mask")
    folder = folder_of(context)
    particles = particles_of(star, pixel_size)
    maps = [reference_of(path, particles) for path in reference]
    if len(maps) > 1 and k not in (None, len(maps)):
        raise InputError(f"--k {k} does not fit {len(maps)} references, each of which starts a class: leave --k out, "
                         "or give one reference")
    if supervised and len(maps) < 2:
        raise InputError("--supervised needs at least two maps to choose between: give --reference once for each")
    step = offset_step or particles.pixel_size
    search = _search(particles, star, healpix_order, offset_range, step, skip_align, local_range, local_step)
    options = refinement_options(
        particles, 3, iterations, tau2_fudge, particle_diameter,
        None if solvent_mask in (None, AUTO) else Path(str(solvent_mask)), maxcc, first_resolution or ini_high,
        strict_highres, random_seed, machine_of(context, folder),
    )
    options["symmetry"] = symmetry
    if oversampling:
        diameter = particle_diameter or 0.8 * particles.box * particles.pixel_size
        options["adaptive"] = Adaptive(levels=oversampling, diameter=diameter)
    solver: Any = refine
    if cross_fit:
        solver = fit_in_folds
        for name in ("tau2_fudge", "assignment"):
            del options[name]
        if solvent_mask == AUTO:
            options["mask"] = _following(options["mask"], particles.pixel_size)
    else:
        options |= {"fixed": ("maps", "tau2") if supervised else (), "scale": scale, "offset_sigma": offset_sigma}
    of_folds = {"seed": random_seed, "folds": cross_fit} if cross_fit else {}

    def job(tick: Any, at: Checkpoint | None) -> Any:
        if at is not None:
            parts = {"parts": at.parts} if cross_fit else {}
            return solver(particles, at.model, search, number_from=at.number + 1, tick=tick, **options, **of_folds,
                          **parts)
        if len(maps) > 1:
            return solver(particles, start_model(particles, np.stack(maps)), search, tick=tick, **options, **of_folds)
        if cross_fit:
            return crossfit.classify3d_in_folds(
                particles, maps[0], k or 2, search, resolution=ini_high, tick=tick, **options, **of_folds
            )
        return em.classify3d(
            particles, maps[0], k or 2, search, seed=random_seed, resolution=ini_high, tick=tick, **options
        )

    run_job(job, particles, folder, iterations, 0.0 if cross_fit else tau2_fudge, truth, truth_map, symmetry=symmetry)


def _check_choices(context: typer.Context, folds: int, skip_align: bool, local_range: float | None) -> None:
    """Refuse options that the other ones leave without a meaning."""
    if skip_align:
        refuse_together(context, "does not go with --skip-align, which searches nothing", "healpix_order",
                        "oversampling", "offset_range", "offset_step", "local_range", "local_step", "offset_sigma")
    elif local_range is not None:
        refuse_together(context, "does not go with --local-range, which searches around known poses only",
                        "healpix_order", "oversampling")
    else:
        refuse_together(context, "is of no use without --local-range", "local_step")
    if folds:
        refuse_together(context, "does not go with --cross-fit, where the other folds set the filter of the maps, and "
                        "the likelihood decides", "tau2_fudge", "maxcc", "supervised", "scale", "offset_sigma")
        if folds == 1:
            raise InputError("--cross-fit 1 leaves no particles to make the maps from: give at least 2 folds, or 0 for "
                             "none")
        if context.params["k"] == 1:
            raise InputError("--cross-fit finds differences between classes: give --k 2 or more")


def _search(particles: Particles, star: Path, healpix_order: int, offset_range: float, offset_step: float,
            skip_align: bool, local_range: float | None, local_step: float | None) -> Search | LocalSearch:
    """The hypotheses: all orientations, or those around the poses in the STAR file."""
    from cryoedu.geometry.grids import local_search, search_3d

    if not skip_align and local_range is None:
        return search_3d(healpix_order, shift_range=offset_range, shift_step=offset_step)
    if particles.angles is None:
        raise InputError(f"{star} has no angles (rlnAngleRot, rlnAngleTilt, rlnAnglePsi): leave out "
                         f"{'--skip-align' if skip_align else '--local-range'}, or give a STAR file that a refinement "
                         "wrote")
    centres = np.zeros((len(particles), 2))
    if local_range is None:
        return local_search(particles.angles, centres)
    step = (local_range / 3 or 1.0) if local_step is None else local_step
    return local_search(particles.angles, centres, angular_range=local_range, angular_step=step,
                        shift_range=offset_range, shift_step=offset_step)


def _following(sphere: Any, pixel_size: float) -> MaskOf:
    """A tight mask from a map, within ``sphere`` (n, n, n)."""
    from cryoedu.geometry.masks import solvent_mask

    return lambda density: solvent_mask(density, pixel_size) * sphere
