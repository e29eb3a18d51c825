"""How time and memory of an iteration grow with the problem, on this machine; a table beside this file.

    python benchmarks/growth.py

One thing grows at a time; each point is a process of its own. The exponent is that of the line through the points in
logarithmic scales: 1 means twice as much for twice as much.
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
import psutil
import timed

from cryoedu.datasets import load
from cryoedu.geometry.grids import search_3d
from cryoedu.inference.loop import refine, start_model
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles import read_particles, write_particles

TABLE = Path(__file__).with_suffix(".md")
BASE = {"particles": 1000, "box": 48, "classes": 2, "order": 1, "shifts": 13, "shells": 9}
SHIFT_RANGES = {1: 0.0, 5: 1.0, 13: 2.0, 29: 3.0, 49: 4.0}  # shifts: range in steps
GROWS = {
    "particles": ("N, particles", [500, 1000, 2000, 4000, 8000]),
    "box": ("n, box size in pixels, all shells", [24, 32, 48, 64, 96]),
    "classes": ("K, classes", [1, 2, 4, 8]),
    "order": ("O, orientations", [0, 1, 2]),
    "shifts": ("S, shifts", [1, 5, 13, 29, 49]),
}
REPEATS, MEMORY = 3, "1 GB"


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


def point(settings: dict[str, int], stack: Path) -> dict[str, float]:
    """Seconds of an iteration, and the peak of this process in MB, less what it had before."""
    particles = read_particles(stack)
    step = particles.pixel_size
    search = search_3d(settings["order"], shift_range=SHIFT_RANGES[settings["shifts"]] * step, shift_step=step)
    density, rng = ribosome(settings["box"]).density, np.random.default_rng(0)
    maps = np.stack([density + 0.01 * rng.standard_normal(density.shape) for _ in range(settings["classes"])])
    model = start_model(particles, maps.astype(np.float32))
    options = {"radii": [settings["shells"]], "memory": MEMORY}
    next(refine(particles.subset_of(np.arange(20)), model, search, **options))  # loads and compiles
    before = psutil.Process().memory_info().rss
    run = refine(particles, model, search, iterations=REPEATS, **options)
    seconds = [sum(iteration.seconds.values()) for iteration in run]
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    return {"orientations": len(search.angles), "memory": (peak - before) / 1e6,
            "seconds": statistics.median(seconds)}


def measure(settings: dict[str, int], folder: Path) -> dict[str, float]:
    """`point` in a process of its own."""
    asked = [sys.executable, __file__, "--point", json.dumps(settings), str(stack_of(settings, folder))]
    found: dict[str, float] = json.loads(subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of log y over log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all points and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=GROWS, default=list(GROWS))
    parser.add_argument("--most", type=int, default=10, help="points of each (default: all)")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.point:
        print(json.dumps(point(json.loads(asked.point[0]), Path(asked.point[1]))))
        return
    lines = ["# How time and memory grow", "",
             f"Written by `python benchmarks/growth.py`: an iteration of ML3D in Fourier space, {BASE['particles']:,} "
             f"images of {BASE['box']} px,", f"{BASE['classes']} classes, HEALPix order {BASE['order']}, "
             f"{BASE['shifts']} shifts, {BASE['shells']} shells, of which one grows at a time. Medians of {REPEATS}.",
             f"Memory is what an iteration takes beyond the program and the particles' metadata; budget {MEMORY}.", "",
             f"Machine: {timed.machine()}; load before the first: {os.getloadavg()[0]:.1f}. On a GPU: not measured.",
             ""]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.only:
            label, values = GROWS[name]
            settings = [BASE | {name: value} for value in values[: asked.most]]
            if name == "box":
                settings = [s | {"shells": s["box"] // 2} for s in settings]
            found: list[dict[str, Any]] = [measure(s, Path(folder)) for s in settings]
            x = [f["orientations"] if name == "order" else s[name] for f, s in zip(found, settings, strict=True)]
            slopes = {what: exponent(x, [f[what] for f in found]) for what in ("seconds", "memory")}
            lines += [f"| {label} | " + " | ".join(f"{v:,}" for v in x) + " | grows as |", "|---" * (len(x) + 2) + "|"]
            symbol = label.split(",")[0]
            for what, digits in (("seconds", 2), ("memory", 0)):
                words = {"seconds": "seconds", "memory": "memory, MB"}[what]
                lines.append(f"| {words} | " + " | ".join(f"{f[what]:.{digits}f}" for f in found) +
                             f" | {symbol}^{slopes[what]:.2f} |")
            lines.append("")
            print("\n".join(lines[-4:]), f"({time.perf_counter() - started:.0f} s)", flush=True)
    asked.table.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
