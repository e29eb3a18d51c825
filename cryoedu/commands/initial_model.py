"""The command ``cryoedu initial-model``: maps from particles alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cryoedu.commands.options import compute_of, folder_of, particles_of
from cryoedu.commands.shell import against_truth, run_to_end
from cryoedu.errors import InputError
from cryoedu.pipeline.settings import InitialModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryoedu.inference.expectation import Tick
    from cryoedu.inference.model import Checkpoint, Iteration


def initial_model(context: typer.Context, settings: InitialModel) -> None:
    """Maps without a reference, from particles in unknown orientations and a random start."""
    from cryoedu.inference.gradient_descent import stochastic_gradient_descent
    from cryoedu.inference.hillclimbing import stochastic_hill_climbing
    from cryoedu.inference.settings import HillClimbing
    from cryoedu.pipeline import derive

    if settings.algorithm == "shc" and settings.k > 1:
        raise InputError(f"--k {settings.k} does not go with --algorithm shc, which finds one map: leave it out, or "
                         "choose sgd")
    folder = folder_of(context, settings)
    particles = particles_of(settings.star, settings.angpix, settings.pixel_size)
    truths = [derive.reference_of(path, particles) for path in settings.truth_map or []]
    searches, told = derive.initial_model(settings, particles)
    compute = compute_of(context, settings, folder)

    def job(tick: Tick, at: Checkpoint | None) -> Iterator[Iteration]:
        if isinstance(told, HillClimbing):
            return stochastic_hill_climbing(particles, searches, told, seed=settings.random_seed, compute=compute,
                                            after=at, tick=tick)
        return stochastic_gradient_descent(particles, searches, told, seed=settings.random_seed, compute=compute,
                                           after=at, tick=tick)

    end = run_to_end(job, particles, folder, told.iterations, every=settings.write_iter)
    if end is not None and truths:
        largest = int(end.model.class_weights.argmax())
        for path, density in zip(settings.truth_map or [], truths, strict=True):
            typer.echo(f"{path.name}: {against_truth(end.model.maps[largest], density, particles.pixel_size)}")
