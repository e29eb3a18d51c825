"""How time and memory of an iteration grow with the problem, on this machine; a table beside this file.

    python benchmarks/growth.py

One thing grows at a time; each point is a process of its own. The exponent is that of the line through the points in
logarithmic scales: 1 means twice as much for twice as much. Beside it stands the straight line with the least relative
error: what is there from the start, and what each one adds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import timed

from cryoedu.datasets import load
from cryoedu.geometry.grids import search_3d
from cryoedu.inference import refine, start_model
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles import read_particles, write_particles

TABLE = Path(__file__).with_suffix(".md")
BASE = {"particles": 1000, "box": 48, "classes": 2, "order": 1, "shifts": 13, "shells": 9}
SHIFT_RANGES = {1: 0.0, 5: 1.0, 13: 2.0, 29: 3.0, 49: 4.0}  # shifts: range in steps
GROWS = {  # what, its values, and what to make of the row
    "particles": ("N, particles", [500, 1000, 2000, 4000, 8000],
                  "Slices and maps cost the same for few particles as for many, each particle as much as any other: "
                  "a line, which does not start at zero. Particles are read and forgotten in blocks, so that memory "
                  "holds a block of them, whatever their number."),
    "box": ("n, box size in pixels, all shells", [24, 32, 48, 64, 96],
            "The number of frequencies in an image grows as n², and all work on images and slices with it. The maps, "
            "which grow as n³, are a small part until the box is large."),
    "classes": ("K, classes", [1, 2, 4, 8],
                "Each class has its own slices, products and map. Images are prepared once for all."),
    "order": ("O, orientations", [0, 1, 2],
              "An orientation costs its slice and its column of the products. With few of them, reading, transforming "
              "and shifting the images, and solving for the maps, take most of the time, and that does not grow."),
    "shifts": ("S, shifts", [1, 5, 13, 29, 49],
               "A shift multiplies the rows of the products, not the slices. With few of them most of the time goes to "
               "what does not grow."),
}
REPEATS, MEMORY = 3, "1 GB"
WHAT = (f"an iteration of ML3D in Fourier space, {BASE['particles']:,} images of {BASE['box']} px,\n{BASE['classes']} "
        f"classes, HEALPix order {BASE['order']}, {BASE['shifts']} shifts, {BASE['shells']} shells, of which one grows "
        f"at a time. Medians of {REPEATS}.\nMemory is what an iteration takes beyond the program and the particles' "
        f"metadata; budget {MEMORY}.")


def stack_of(settings: dict[str, int], folder: Path) -> Path:
    """The STAR file of simulated particles of this number and size, written if it is not there."""
    path = folder / f"{settings['particles']}_{settings['box']}.star"
    if not path.exists():
        made = simulate(ribosome(settings["box"]), settings["particles"], seed=1, snr=0.1, defocus=(10_000, 20_000),
                        progress=False)
        write_particles(made.particles, path)
    return path


def ribosome(box: int) -> Specimen:
    """The 80S ribosome in a box of 320 Å."""
    return load("ribosome-80S", box=box, pixel_size=320 / box)


def point(settings: dict[str, int], stack: Path, array_library: str) -> dict[str, float]:
    """Seconds of an iteration, and MB: the peak of this process less what it had before, on a GPU what CuPy took."""
    particles = read_particles(stack)
    step = particles.pixel_size
    search = search_3d(settings["order"], shift_range=SHIFT_RANGES[settings["shifts"]] * step, shift_step=step)
    density, rng = ribosome(settings["box"]).density, np.random.default_rng(0)
    maps = np.stack([density + 0.01 * rng.standard_normal(density.shape) for _ in range(settings["classes"])])
    model = start_model(particles, maps.astype(np.float32))
    options: dict[str, Any] = {"radii": [settings["shells"]], "memory": MEMORY, "array_library": array_library}
    next(refine(particles.subset_of(np.arange(20)), model, search, **options))  # loads and compiles
    before = psutil.Process().memory_info().rss
    run = refine(particles, model, search, iterations=REPEATS, **options)
    seconds = [sum(iteration.seconds.values()) for iteration in run]
    if array_library == "cupy":
        import cupy

        memory = cupy.get_default_memory_pool().total_bytes()
    else:
        memory = timed.peak_memory() - before
    return {"orientations": len(search.angles), "memory": memory / 1e6, "seconds": statistics.median(seconds)}


def measure(settings: dict[str, int], folder: Path, array_library: str) -> dict[str, float]:
    """`point` in a process of its own."""
    asked = [sys.executable, __file__, "--point", json.dumps(settings), str(stack_of(settings, folder)), array_library]
    found: dict[str, float] = json.loads(subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of log y over log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Start and slope of the straight line with the least relative error."""
    slope, start = np.polyfit(x, y, 1, w=1 / np.asarray(y))
    return float(start), float(slope)


def rows(name: str, most: int, folder: Path, array_library: str) -> list[str]:
    """The table of one thing that grows, and the sentences below it."""
    label, values, sentence = GROWS[name]
    settings = [BASE | {name: value} for value in values[:most]]
    if name == "box":
        settings = [s | {"shells": s["box"] // 2} for s in settings]
    found = [measure(s, folder, array_library) for s in settings]
    x = [int(f["orientations"]) if name == "order" else s[name] for f, s in zip(found, settings, strict=True)]
    seconds, memory = ([f[what] for f in found] for what in ("seconds", "memory"))
    symbol = label.split(",")[0]
    fit = f"{symbol}^{exponent(x, seconds):.2f}"
    if name != "box":  # a square at least
        fit += " or {:.2f} + {:.1e} {}".format(*line(x, seconds), symbol)
    return [f"| {label} | " + " | ".join(f"{v:,}" for v in x) + " | grows as |", "|---" * (len(x) + 2) + "|",
            "| seconds | " + " | ".join(f"{s:.2f}" for s in seconds) + f" | {fit} |",
            "| memory, MB | " + " | ".join(f"{m:.0f}" for m in memory) + f" | {symbol}^{exponent(x, memory):.2f} |",
            "", sentence, ""]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all points and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=GROWS, default=list(GROWS))
    parser.add_argument("--most", type=int, default=10, help="points of each (default: all)")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--point", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.point:
        settings, stack, array_library = asked.point
        print(json.dumps(point(json.loads(settings), Path(stack), array_library)))
        return
    lines = ["# How time and memory grow", "",
             f"Written by `python benchmarks/growth.py`: {WHAT}", "",
             f"Machine: {timed.machine()}; load before the first: {os.getloadavg()[0]:.1f}. "
             "On a GPU: [gpu.md](gpu.md).", ""]
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.only:
            lines += rows(name, asked.most, Path(folder), "numpy")
            print("\n".join(lines[-7:]), flush=True)
    asked.table.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
