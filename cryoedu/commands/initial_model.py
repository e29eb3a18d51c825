"""The command ``cryoedu initial-model``: maps from particles alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cryoedu.commands.options import (
    Diameter,
    Library,
    Mask,
    Memory,
    Output,
    Overwrite,
    PixelSize,
    Range,
    Resume,
    Seed,
    Star,
    Step,
    folder_of,
    mask_of,
    particles_of,
    reference_of,
    shell_of,
)
from cryoedu.commands.shell import against_truth, run_to_end
from cryoedu.errors import InputError

if TYPE_CHECKING:
    from cryoedu.inference.model import Checkpoint

DEFAULT_ITERATIONS = {"sgd": 200, "shc": 60}
COARSE_ORDER, FINE_SHARE = 1, 0.1  # the last tenth of the iterations searches as finely as was asked for


def initial_model(
    context: typer.Context,
    star: Star,
    o: Output,
    algorithm: Annotated[
        Literal["sgd", "shc"], typer.Option(help="sgd: stochastic gradient descent, shc: stochastic hill climbing")
    ] = "sgd",
    k: Annotated[int, typer.Option("--k", min=1, help="number of classes (sgd)")] = 1,
    iterations: Annotated[
        int | None, typer.Option("--iter", min=1, help="number of iterations (default: sgd 200, shc 60)")
    ] = None,
    healpix_order: Annotated[
        int, typer.Option("--healpix-order", min=0, max=3, help="sampling in the last tenth: 1: 30°, 2: 15°, 3: 7.5°")
    ] = 2,
    offset_range: Range = 15.0,
    offset_step: Step = None,
    particle_diameter: Diameter = None,
    solvent_mask: Mask = None,
    first_resolution: Annotated[
        float | None, typer.Option("--first-resolution", help="Å used in the first iteration (default: 1/3 of the box)")
    ] = None,
    strict_highres: Annotated[
        float | None, typer.Option("--strict-highres", help="Å used in the last iteration (default: 1/10 of the box)")
    ] = None,
    write_iter: Annotated[
        int, typer.Option("--write-iter", min=1, help="write maps and a checkpoint each so many iterations")
    ] = 10,
    random_seed: Seed = 0,
    pixel_size: PixelSize = None,
    memory: Memory = None,
    array_library: Library = "auto",
    truth_map: Annotated[
        list[Path] | None, typer.Option(help="true map, to compare with in either hand; repeat it for several states")
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Maps without a reference, from particles in unknown orientations and a random start."""
    from cryoedu.geometry.grids import search_3d
    from cryoedu.inference.gradient_descent import stochastic_gradient_descent
    from cryoedu.inference.hillclimbing import stochastic_hill_climbing
    from cryoedu.inference.loop import opening

    if algorithm == "shc" and k > 1:
        raise InputError(f"--k {k} does not go with --algorithm shc, which finds one map: leave it out, or choose sgd")
    folder = folder_of(context)
    particles = particles_of(star, pixel_size)
    truths = [reference_of(path, particles) for path in truth_map or []]
    count = iterations or DEFAULT_ITERATIONS[algorithm]
    box = particles.box * particles.pixel_size
    last = shell_of(strict_highres or box / 10, particles)
    first = min(shell_of(first_resolution or box / 3, particles), last)
    steps = {"shift_range": offset_range, "shift_step": offset_step or particles.pixel_size}
    coarse = count - round(FINE_SHARE * count)
    searches = [search_3d(min(COARSE_ORDER, healpix_order), **steps)] * coarse + [search_3d(healpix_order, **steps)]
    options: dict[str, Any] = {
        "seed": random_seed,
        "iterations": count,
        "radii": opening(first, last, count),
        "mask": mask_of(particles, 3, particle_diameter, solvent_mask),
        "memory": folder.memory,
        "array_library": array_library,
    }
    if algorithm == "sgd":
        options["classes"] = k

    def job(tick: Any, at: Checkpoint | None) -> Any:
        solver: Any = stochastic_gradient_descent if algorithm == "sgd" else stochastic_hill_climbing
        if at is not None:
            options.update(model=at.model, state=at.arrays, number_from=at.number + 1)
            if algorithm == "shc":
                options["parts"] = at.parts
        return solver(particles, searches, tick=tick, **options)

    end = run_to_end(job, particles, folder, count, 0.0, every=write_iter)
    if end is not None and truths:
        largest = int(end.model.class_weights.argmax())
        for path, density in zip(truth_map or [], truths, strict=True):
            typer.echo(f"{path.name}: {against_truth(end.model.maps[largest], density, particles.pixel_size)}")
