"""The commands for images in a plane: ``cryoedu align2d`` and ``classify2d``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cryoedu.commands.options import compute_of, folder_of, particles_of
from cryoedu.commands.shell import run_job
from cryoedu.pipeline.settings import Align2D, Classify2D

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryoedu.inference.expectation import Tick
    from cryoedu.inference.model import Checkpoint, Iteration


def align2d(context: typer.Context, settings: Align2D) -> None:
    """Align particles in the plane to one average, which is re-estimated each time round."""
    in_plane(context, settings, 1)


def classify2d(context: typer.Context, settings: Classify2D) -> None:
    """Align and classify particles in 2D, from averages of random subsets."""
    in_plane(context, settings, settings.k)


def in_plane(context: typer.Context, settings: Align2D, classes: int) -> None:
    """Both of them: one class is an alignment."""
    from cryoedu.inference import em
    from cryoedu.pipeline.derive import plane

    folder = folder_of(context, settings)
    particles = particles_of(settings.star, settings.angpix, settings.pixel_size)
    search, told = plane(settings, particles)
    compute = compute_of(context, settings, folder, settings.cluster)

    def job(tick: Tick, at: Checkpoint | None) -> Iterator[Iteration]:
        return em.classify2d(particles, classes, search, told, seed=settings.random_seed, compute=compute, after=at,
                             tick=tick)

    truth = settings.truth if isinstance(settings, Classify2D) else None
    run_job(job, particles, folder, settings.iterations, truth, None)
