"""What each lesson takes, solved and run from top to bottom: time and memory; a table beside this file.

    python benchmarks/lessons.py [03 07 …]

A kernel as `make lab` starts it, with no settings, on a machine that is free, and once more while as many other
processes as there are cores compute. Data sets are made anew, as on a seat's first day. A second table has what one
iteration takes on data of the kind and size of the lessons that run many of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import timed
from nbformat.v4 import new_code_cell, new_notebook

from cryoedu.course import build
from cryoedu.datasets import load, load_particles
from cryoedu.geometry.grids import search_2d, search_3d
from cryoedu.inference import classify2d, classify3d, refine, start_model
from cryoedu.inference.model import Iteration
from cryoedu.microscope.experiment import Experiment, simulate
from cryoedu.microscope.noise import coloured
from cryoedu.threads import cores, one_thread

REPEATS = 5
TABLE = Path(__file__).with_suffix(".md")
USAGE = """
import json, pathlib, time
_status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps([time.process_time(), int(_status["VmHWM"].split()[0]) / 1000]))
"""


def used(notebook: object) -> tuple[float, float, float]:
    """Seconds by the clock and of processor time, and MB of memory at the peak, of a notebook's kernel."""
    notebook.cells.append(new_code_cell(USAGE))  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as cache:
        began = time.perf_counter()
        ran = build.run(notebook, build.ROOT / "solutions", variables={"CRYOEDU_CACHE": cache})
    seconds, memory = json.loads(ran.cells[-1].outputs[-1].text)
    return time.perf_counter() - began, seconds, memory


@contextmanager
def busy() -> Iterator[None]:
    """As many processes as there are cores, each of which computes all the time."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores())]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def ribosomes(count: int, box: int, snr: float) -> Experiment:
    """Images of whole ribosomes and free large subunits, with CTF, in coloured noise."""
    states = [load(name, box=box) for name in ("ribosome-80S", "ribosome-large-subunit")]
    return simulate(states, count, seed=1, snr=snr, noise=coloured, shift_sigma=5.0, defocus=(10_000, 30_000),
                    particle_diameter=310.0, progress=False)


def alignment(made: Experiment, degrees: float) -> Iterator[Iteration]:
    """One reference, turned in the plane and shifted by up to two pixels."""
    pixel = made.particles.pixel_size
    return refine(made.particles, start_model(made.particles, made.specimens[0].density[None]),
                  search_2d(degrees, shift_range=2 * pixel, shift_step=pixel), iterations=REPEATS + 1)


def refinement(made: Experiment, order: int, shells: int) -> Iterator[Iteration]:
    """One map, without shifts."""
    return refine(made.particles, start_model(made.particles, made.specimens[0].density[None]), search_3d(order),
                  iterations=REPEATS + 1, radii=[shells])


def classes(made: Experiment, pixels: int) -> Iterator[Iteration]:
    """Two maps, HEALPix order 1, shifts by up to some pixels."""
    step = made.particles.pixel_size
    return classify3d(made.particles, made.specimens[0].density, 2,
                      search_3d(1, shift_range=pixels * step, shift_step=step), seed=1, iterations=REPEATS + 1)


def averages(made: Experiment, count: int) -> Iterator[Iteration]:
    """Classes in the plane, 10° and one pixel."""
    step = made.particles.pixel_size
    return classify2d(made.particles, count, search_2d(10, shift_range=step, shift_step=step), seed=1,
                      iterations=REPEATS + 1)


ITERATIONS: dict[str, tuple[str, Callable[[], Iterator[Iteration]]]] = {
    "03": ("1,000 images of 64 px, 5° in the plane, 13 shifts",
           lambda: alignment(load_particles("protein2d-particles", progress=False), 5)),
    "04": ("1,200 images of 32 px, 12 classes, 10° in the plane, 5 shifts",
           lambda: averages(load_particles("ribosome-particles", count=1200, progress=False), 12)),
    "05": ("250 images of 24 px, HEALPix order 2, 8 shells",
           lambda: refinement(simulate(load("ribosome-80S", box=24), 250, seed=5, snr=3, progress=False), 2, 8)),
    "06": ("2,000 images of 32 px, 2 classes, HEALPix order 1, 5 shifts",
           lambda: classes(load_particles("ribosome-particles", progress=False), 1)),
    "08": ("600 images of 64 px, 5° in the plane, 13 shifts",
           lambda: alignment(load_particles("protein2d-particles", count=600, progress=False), 5)),
    "09": ("300 images of 32 px, 7.5° in the plane, 13 shifts",
           lambda: alignment(simulate(load("protein2d", box=32), 300, seed=9, snr=0.03, progress=False), 7.5)),
    "10": ("2,000 images of 48 px, 2 classes, HEALPix order 1, 13 shifts",
           lambda: classes(ribosomes(2000, 48, 0.25), 2)),
}


def iteration_rows(lessons: Sequence[str]) -> Iterator[str]:
    """A row for one iteration of the engine in each lesson: the median over some, without the first."""
    with one_thread():
        for lesson in lessons:
            what, job = ITERATIONS[lesson]
            took = [sum(iteration.seconds.values()) for iteration in job()]
            yield f"| {lesson} | {what} | {median(took[1:]):.2f} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the lessons and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of names; all lessons if none is given")
    asked = parser.parse_args(arguments)
    for variable in build.ONE_THREAD:  # as a student's computer is
        os.environ.pop(variable, None)
    bare = used(new_notebook(metadata=build.NOTEBOOK_METADATA))
    lines = ["# What a lesson takes", "",
             "Written by `python benchmarks/lessons.py`: the solved notebooks in a kernel without any settings, data "
             "sets made anew; busy: while as many other processes as there are cores compute.", "",
             f"Machine: {timed.machine()}. A bare kernel has {bare[2]:.0f} MB.", "",
             "| lesson | seconds | processor seconds | memory at the peak, MB | busy: seconds "
             "| busy: processor seconds |",
             "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for path in build.sources():
        if build.has_solutions(path) and (not asked.names or path.stem.startswith(tuple(asked.names))):
            clock, seconds, memory = used(build.unrun_solved_notebook(path))
            with busy():
                slow, more, _ = used(build.unrun_solved_notebook(path))
            lines.append(f"| {path.stem.replace('_', ' ')} | {clock:.0f} | {seconds:.0f} | {memory:.0f} | {slow:.0f} "
                         f"| {more:.0f} |")
            print(lines[-1], flush=True)
    lines += ["", f"One iteration of the engine, all shells where none are named; medians of {REPEATS}:", "",
              "| lesson | of | seconds |", "| --- | --- | ---: |"]
    for row in iteration_rows([lesson for lesson in ITERATIONS if not asked.names or lesson in asked.names]):
        lines.append(row)
        print(row, flush=True)
    if not asked.names:
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
