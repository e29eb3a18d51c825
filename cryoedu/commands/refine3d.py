"""The command ``cryoedu refine3d``: one map, refined against two halves of the particles that never meet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import typer

from cryoedu.commands.options import compute_of, folder_of, particles_of, truth_of
from cryoedu.commands.shell import against_truth, run_to_end
from cryoedu.pipeline.settings import Refine3D

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryoedu.inference.expectation import Tick
    from cryoedu.inference.model import Checkpoint, Iteration


def refine3d(context: typer.Context, settings: Refine3D) -> None:
    """Refine one map and all poses, against two halves of the particles, until nothing gets better."""
    from cryoedu.inference.gold import gold_standard, halves_of
    from cryoedu.pipeline import derive
    from cryoedu.runs.output import with_posterior
    from cryoedu.validation.fsc import resolution_text
    from cryoedu.validation.poses import pose_errors

    folder = folder_of(context, settings)
    particles = particles_of(settings.star, settings.angpix, settings.pixel_size)
    known = None if settings.truth is None else truth_of(settings.truth, particles, classes=False)
    true_map = None if settings.truth_map is None else derive.reference_of(settings.truth_map, particles)
    start = derive.reference_of(settings.reference, particles)
    subset = np.empty(len(particles), dtype=np.int64)
    for half, rows in enumerate(halves_of(particles, settings.random_seed), start=1):
        subset[rows] = half
    particles = replace(particles, subset=subset)  # which the STAR files say, so that others keep the halves apart
    search, told = derive.refine3d(settings, particles)
    compute = compute_of(context, settings, folder, settings.cluster)

    def job(tick: Tick, at: Checkpoint | None) -> Iterator[Iteration]:
        return gold_standard(particles, start, search, told, seed=settings.random_seed, compute=compute, after=at,
                             tick=tick)

    last = run_to_end(job, particles, folder, settings.iterations)
    if last is None:
        return
    assert last.fsc is not None
    reached = resolution_text(last.fsc, particles.pixel_size, last=last.resolved)
    typer.echo(f"resolution at FSC = 0.143 between the halves: {reached}")
    if known is not None and known.angles is not None:
        found = with_posterior(particles, last)
        assert found.angles is not None
        errors = pose_errors(found.angles, known.angles, found.shifts, known.shifts, symmetry=settings.symmetry)
        typer.echo(f"median pose error: {errors.median_angle:.1f} degrees, {errors.median_shift:.1f} Å, in a common "
                   "frame")
    if true_map is not None:
        typer.echo(f"{settings.truth_map}: {against_truth(last.model.maps[0], true_map, particles.pixel_size)}")
