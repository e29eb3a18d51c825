"""A job of the command line from its checks to its report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cryoedu.commands.options import truth_of

if TYPE_CHECKING:
    from cryoedu.inference.model import Iteration
    from cryoedu.runs.folder import RunFolder

MOST_SAID = 10  # classes of which each is told


def run_job(
    job: Any,
    particles: Any,
    folder: RunFolder,
    iterations: int,
    truth: Path | None,
    truth_maps: list[Path] | None,
    *,
    symmetry: str = "C1",
) -> None:
    """Check the truth, run the job, say where the results are and how they compare."""
    from cryoedu.pipeline.derive import reference_of
    from cryoedu.runs.compare import compare

    known = None if truth is None else truth_of(truth, particles)
    maps = [reference_of(path, particles) for path in truth_maps or []]
    last = run_to_end(job, particles, folder, iterations)
    if last is not None:
        typer.echo(resolution_of_classes(last))
    if last is not None and known is not None:
        typer.echo(compare(last.posterior, particles, known, maps, symmetry=symmetry))


def resolution_of_classes(last: Iteration) -> str:
    """How far each map of the last iteration is resolved, in words."""
    from cryoedu.inference.model import resolution_of

    if last.resolved_by_class is None:
        return ("resolution: not measured, as nothing was left out that could tell it (poses or maps were given, or "
                "all shells used from the start)")
    shared = int(last.state.get("shared", 0))
    said = [f"{resolution_of(shell, last.model.box, last.model.pixel_size):.1f} Å"
            + (" (the start's)" if shell <= shared else "") for shell in last.resolved_by_class]
    finest = f"{len(said)} classes, the finest to {said[int(last.resolved_by_class.argmax())]}"
    return ("resolution by components that nothing was compared with (FSC 0.5 with the truth): "
            + (", ".join(said) if len(said) <= MOST_SAID else finest))


def against_truth(density: Any, truth: Any, pixel_size: float) -> str:
    """How a map compares with the true one after alignment, in words; arrays (n, n, n), Å."""
    from cryoedu.validation.alignment import score_map

    score = score_map(density, truth, pixel_size, wanted=0.0)
    reached = "at or beyond Nyquist" if score.resolution is None else f"{score.resolution:.1f} Å"
    hand = "the mirror image" if score.alignment.mirrored else "the true hand"
    return f"FSC 0.5 against the truth at {reached}, after alignment; {hand}"


def run_to_end(
    job: Any, particles: Any, folder: RunFolder, iterations: int, *, every: int = 1
) -> Iteration | None:
    """Run the job, say where the results are, write the report; its last iteration, or None if none was left to do."""
    from cryoedu.runs.output import run
    from cryoedu.runs.report import write_report
    from cryoedu.runs.status import watched

    last = None
    try:
        if not folder.finished and (folder.last is None or folder.last.number < iterations):
            last = run(job, particles, folder, iterations, every=every)
    except KeyboardInterrupt:
        done = f"the iterations that were finished are in {folder.path}: go on with --resume"
        typer.echo(f"\ncryoedu: stopped; {done if folder.last else 'no iteration was finished'}", err=True)
        raise typer.Exit(130) from None
    if last is None:  # it had ended, or was stopped between its end and the note that says so
        with watched(folder.path, folder.last.number if folder.last else 0, iterations, sys.argv[1:]):
            typer.echo(f"the run in {folder.path} is finished: there is nothing left to do")
        typer.echo(f"report: {write_report(folder.path)}")
        return None
    weights = ", ".join(f"{w:.3f}" for w in last.model.class_weights)
    typer.echo(f"class weights: {weights}; results: {folder.path}/run_it{last.number:03d}_*")
    typer.echo(f"report: {write_report(folder.path)}")
    return last
