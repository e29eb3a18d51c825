"""The command ``cryoedu refine3d``: one map, refined against two halves of the particles that never meet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from cryoedu.commands.options import (
    Cluster,
    Library,
    Memory,
    Output,
    Overwrite,
    PixelSize,
    Range,
    Resume,
    Seed,
    Star,
    Symmetry,
    folder_of,
    machine_of,
    mask_of,
    particles_of,
    reference_of,
    truth_of,
)
from cryoedu.commands.shell import against_truth, run_to_end

if TYPE_CHECKING:
    from cryoedu.checkpoints import Checkpoint


def refine3d(
    context: typer.Context,
    star: Star,
    o: Output,
    reference: Annotated[Path, typer.Option(help="map (MRC) to start from")],
    ini_high: Annotated[float, typer.Option("--ini-high", min=1.0, help="Å: low-pass filter of the reference")] = 60.0,
    healpix_order: Annotated[
        int, typer.Option("--healpix-order", min=0, max=3, help="coarsest sampling of the orientations: 2: 15°")
    ] = 2,
    offset_range: Range = 15.0,
    offset_step: Annotated[
        float | None,
        typer.Option("--offset-step", help="coarsest step of the shifts, Å (default: 2 pixels, or half the range)"),
    ] = None,
    particle_diameter: Annotated[
        float | None,
        typer.Option("--particle-diameter", help="Å, of the sphere around the maps (default: 0.8 of the box)"),
    ] = None,
    solvent_mask: Annotated[
        Path | None, typer.Option("--solvent-mask", help="mask (MRC, 0 to 1) on the maps; the FSC is corrected for it")
    ] = None,
    low_resol_join_halves: Annotated[
        float, typer.Option("--low-resol-join-halves", min=1.0, help="Å: coarser than this the halves share their map")
    ] = 40.0,
    iterations: Annotated[int, typer.Option("--iter", min=1, help="at most; it ends when nothing gets better")] = 30,
    symmetry: Symmetry = "C1",
    random_seed: Seed = 0,
    pixel_size: PixelSize = None,
    memory: Memory = None,
    array_library: Library = "auto",
    cluster: Cluster = None,
    truth: Annotated[Path | None, typer.Option(help="STAR file with the true poses, to compare with")] = None,
    truth_map: Annotated[
        Path | None, typer.Option("--truth-map", help="true map, to compare with after alignment")
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Refine one map and all poses, against two halves of the particles, until nothing gets better."""
    from cryoedu.geometry.grids import search_3d
    from cryoedu.inference.gold import gold_standard, halves_of
    from cryoedu.runs import with_posterior
    from cryoedu.validation.fsc import resolution_text
    from cryoedu.validation.poses import pose_errors

    folder = folder_of(context)
    particles = particles_of(star, pixel_size)
    known = None if truth is None else truth_of(truth, particles, classes=False)
    true_map = None if truth_map is None else reference_of(truth_map, particles)
    start = reference_of(reference, particles)
    subset = np.empty(len(particles), dtype=np.int64)
    for half, rows in enumerate(halves_of(particles, random_seed), start=1):
        subset[rows] = half
    particles = replace(particles, subset=subset)  # which the STAR files say, so that others keep the halves apart
    step = 2 * particles.pixel_size if offset_step is None else offset_step
    if offset_step is None and offset_range > 0:
        step = min(step, offset_range / 2)  # or large pixels would leave one shift to search
    search = search_3d(healpix_order, shift_range=offset_range, shift_step=step)
    options: dict[str, Any] = {
        "seed": random_seed,
        "initial_resolution": ini_high,
        "diameter": particle_diameter,
        "mask": None if solvent_mask is None else mask_of(particles, 3, None, solvent_mask),
        "join": low_resol_join_halves,
        "iterations": iterations,
        "symmetry": symmetry,
        **machine_of(context, folder),
    }

    def job(tick: Any, at: Checkpoint | None) -> Any:
        if at is not None:
            options.update(number_from=at.number + 1, model=at.model, parts=at.parts, state=at.arrays)
        return gold_standard(particles, start, search, tick=tick, **options)

    last = run_to_end(job, particles, folder, iterations, 0.0)
    if last is None:
        return
    assert last.fsc is not None
    reached = resolution_text(last.fsc, particles.pixel_size, last=last.resolved)
    typer.echo(f"resolution at FSC = 0.143 between the halves: {reached}")
    if known is not None and known.angles is not None:
        found = with_posterior(particles, last)
        assert found.angles is not None
        errors = pose_errors(found.angles, known.angles, found.shifts, known.shifts, symmetry=symmetry)
        typer.echo(f"median pose error: {errors.median_angle:.1f} degrees, {errors.median_shift:.1f} Å, in a common "
                   "frame")
    if true_map is not None:
        typer.echo(f"{truth_map}: {against_truth(last.model.maps[0], true_map, particles.pixel_size)}")
