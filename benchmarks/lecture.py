"""The data set of the lecture, 91,114 particles in four classes, on this machine; a table beside this file.

    python benchmarks/lecture.py [--particles 2000] [--iterations 25] [--repeats 3]

Images of 64 px of whole ribosomes and of free large subunits, with CTF and coloured noise, are classified from a map at
60 Å: HEALPix order 2 and one level finer where the weight is (7.5°), 2.5 Å in the plane. The CPU takes a part, and the
time for all is that for the part times the ratio, said to be so: what does not grow with the number of particles makes
it a little too long. benchmarks/gpu.py takes all of them. Each run is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timed

from cryoedu.datasets import load
from cryoedu.geometry.grids import search_3d
from cryoedu.inference import classify3d, opening
from cryoedu.inference.adaptive import Adaptive
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.particles import read_particles, write_particles
from cryoedu.validation.classes import contingency

TABLE = Path(__file__).with_suffix(".md")
ALL, CLASSES, BOX, PIXEL, FIRST_SHELL, LAST_SHELL = 91_114, 4, 64, 5.0, 5, 15
MEMORY, REPEATS = "4 GB", 3
WHAT = (f"{BOX} px of {PIXEL:.0f} Å, SNR 0.1, two states, K = {CLASSES},\nHEALPix order 2 and one level finer, shells "
        f"{FIRST_SHELL} to {LAST_SHELL}, memory {MEMORY}.")
HEADER = ["| which | particles | iterations | one takes, s | all, s | peak memory, MB | in a class of their state, % |",
          "|---" * 7 + "|"]


def prepare(count: int, star: Path) -> None:
    """Make the particles, of known class, and write them."""
    states = [load(name, box=BOX, pixel_size=PIXEL) for name in ("ribosome-80S", "ribosome-large-subunit")]
    made = simulate(states, count, seed=1, snr=0.1, noise=coloured, shift_sigma=5.0, defocus=(10_000, 30_000),
                    astigmatism=500, particle_diameter=310, progress=sys.stderr.isatty())
    write_particles(made.particles, star)
    np.save(star.with_suffix(".npy"), made.truth.classes)


def classify(star: Path, array_library: str, iterations: int) -> dict[str, float]:
    """Classify and measure; seconds are wall time from the particles on disk to the last map, seeds included."""
    particles, truth = read_particles(star), np.load(star.with_suffix(".npy"))
    search = search_3d(2, shift_range=10.0, shift_step=5.0)
    start = load("ribosome-80S", box=BOX, pixel_size=PIXEL).density
    started, took = time.perf_counter(), []
    for iteration in classify3d(particles, start, CLASSES, search, seed=1, resolution=60.0, iterations=iterations,
                                radii=opening(FIRST_SHELL, LAST_SHELL, iterations), adaptive=Adaptive(diameter=310.0),
                                tau2_fudge=4.0, memory=MEMORY, array_library=array_library):
        took.append(sum(iteration.seconds.values()))
        print(f"{array_library}, {len(particles):,} particles: iteration {iteration.number}, {took[-1]:.1f} s",
              file=sys.stderr, flush=True)
    table = contingency(iteration.posterior.classes, truth)
    return {"particles": len(particles), "iterations": iterations, "one": float(np.median(took)),
            "all": time.perf_counter() - started, "memory": timed.peak_memory() / 1e6,
            "agreement": float(table.max(axis=1).sum() / table.sum())}


def measured(star: Path, array_library: str, iterations: int, repeats: int = REPEATS) -> dict[str, float]:
    """Medians over runs of `classify`, each in a process of its own."""
    asked = [sys.executable, __file__, "--run", str(star), array_library, "--iterations", str(iterations)]
    runs = [json.loads(subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout)
            for _ in range(repeats)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def row(name: str, found: dict[str, Any]) -> str:
    """A row of the table."""
    return (f"| {name} | {found['particles']:,.0f} | {found['iterations']:.0f} | {found['one']:.1f} | "
            f"{found['all']:.1f} | {found['memory']:.0f} | {100 * found['agreement']:.1f} |")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what this machine can and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=2000, help="of the part (default: 2000)")
    parser.add_argument("--iterations", type=int, default=25)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.run:
        print(json.dumps(classify(Path(asked.run[0]), asked.run[1], asked.iterations)))
        return
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.star"
        prepare(asked.particles, part)
        found = measured(part, "numpy", asked.iterations, asked.repeats)
    hours = found["all"] * ALL / found["particles"] / 3600
    lines = ["# The lecture's data set", "", f"Written by `python benchmarks/lecture.py`: {WHAT}",
             f"Medians of {asked.repeats}.", "",
             f"Machine: {timed.machine()}; load before the first: {load_before:.1f}. On a GPU: [gpu.md](gpu.md).", "",
             *HEADER, row("a part", found), "",
             f"On these cores all {ALL:,} particles would take {hours:.3g} hours: extrapolated from the part, not "
             "measured."]
    print("\n".join(lines[-3:]))
    asked.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
