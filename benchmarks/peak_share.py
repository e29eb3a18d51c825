"""How close the expectation step comes to the matrix products that it is made of, on this machine; a table beside this
file.

    python benchmarks/peak_share.py [--images 2000]

The peak is that of square products in the same precision, a product in each core, measured before each case in the
same run: the highest counts, for all cases. The step is timed from end to end: slices out of the maps, images read and
transformed, both products, softmax and all sums. Beside it stands what its products reach alone, in blocks of the same
shapes: narrow ones take longer for each operation than square ones, whatever is done between them.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import timed

from cryoedu import threads
from cryoedu.arrays import on_gpu
from cryoedu.datasets import load
from cryoedu.geometry.grids import Search, search_2d, search_3d
from cryoedu.inference import start_model
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.blocks import block_sizes
from cryoedu.inference.expectation import expectation
from cryoedu.inference.model import Model
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.projection import PADDING, transform
from cryoedu.microscope.slices import extract, insert
from cryoedu.particles.particles import Particles

TABLE = Path(__file__).with_suffix(".md")
BOX, PIXEL, REPEATS, TO_REACH, BUDGET = 64, 5.0, 5, 85, 2 * 10**9
SHIFTS = {"shift_range": 10.0, "shift_step": 5.0}
CASES = {  # what, dimensions, classes, search, shells
    "2D, 10 classes, 5° in plane": (2, 10, search_2d(5, **SHIFTS), 20),
    "3D, 2 classes, HEALPix order 1": (3, 2, search_3d(1, **SHIFTS), 9),
    "3D, 2 classes, HEALPix order 2": (3, 2, search_3d(2, **SHIFTS), 9),
    "3D, 2 classes, HEALPix order 2, finer": (3, 2, search_3d(2, **SHIFTS), 15),
}
PARTS = {  # of a profile: functions of cryoedu.inference and all that they call
    "slices and their power": ["expectation._predict"],
    "images: read, transformed, shifted, weighted": ["blocks.load", "blocks.prepared"],
    "products of images and predictions": ["expectation._scores"], "softmax": ["assignment._settled"],
    "products of weights and images, sums, best hypotheses": ["expectation.products"],
}


def median_seconds(work: Callable[[], Any], xp: ModuleType) -> float:
    """Wall time of ``work``, which was run once before, until a GPU has done it."""
    took = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        work()
        if on_gpu(xp):
            xp.cuda.Device().synchronize()
        took.append(time.perf_counter() - started)
    return statistics.median(took[1:])


def at_once(work: Callable[[Any], Any], items: Sequence[Any], xp: ModuleType) -> float:
    """Median seconds of ``work`` on all items, one in each core at a time (on a GPU one after another)."""
    return median_seconds(lambda: [None for _ in threads.in_threads(work, items, xp)], xp)


def matrix_peak(xp: ModuleType) -> float:
    """GFLOP/s of products of large square matrices in float32."""
    size, count = (8192, 1) if on_gpu(xp) else (2048, threads.cores())
    rng = np.random.default_rng(0)
    pairs = [tuple(xp.asarray(rng.standard_normal((2, size, size), dtype=np.float32))) for _ in range(count)]
    return 4 * count * 2 * size**3 / at_once(lambda pair: pair[0] @ pair[1], pairs * 4, xp) / 1e9


def copy_bandwidth(xp: ModuleType) -> float:
    """GB/s, read and written, of copies that no cache can hold."""
    count = 1 if on_gpu(xp) else threads.cores()
    size = 2**29 if on_gpu(xp) else 2**25
    arrays = [(xp.zeros(size, dtype=xp.float32), xp.ones(size, dtype=xp.float32)) for _ in range(count)]

    def copy(pair: tuple[Any, Any]) -> None:
        pair[0][...] = pair[1]

    return 2 * 4 * size * count / at_once(copy, arrays, xp) / 1e9


def operations(particles: Particles, model: Model, search: Search, space: FourierSpace) -> float:
    """Floating-point operations in the matrix products of one step."""
    columns = len(space.bins)
    hypotheses = model.classes * len(search.angles)
    return len(particles) * hypotheses * 4.0 * columns * (space.unknowns * len(search.shifts) + 1)


def products_alone(particles: Particles, model: Model, search: Search, space: FourierSpace, xp: ModuleType) -> float:
    """Seconds of the matrix products of a step, in blocks of its shapes, and nothing else."""
    orientations, shifts, u = len(search.angles), len(search.shifts), space.unscored
    images, lot, _ = block_sizes(space, model.classes, orientations, shifts, BUDGET, xp)
    hypotheses, columns = model.classes * lot, len(space.bins)

    def some(*shape: int) -> Any:
        return xp.asarray(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))

    b, c = some(images * shifts, space.unknowns * columns), some(images, columns)
    predicted, power = some(hypotheses, b.shape[1]), some(hypotheses, columns)
    gamma, weights = some(len(b), hypotheses), some(images, hypotheses)

    def products(_: int) -> tuple[Any, ...]:
        return (b[:, u:] @ predicted[:, u:].T, c[:, u:] @ power[:, u:].T, gamma.T @ b, weights.T @ c)

    blocks = len(particles) * orientations / (images * lot)
    whole = max(round(blocks), 1)
    return at_once(products, range(whole), xp) * blocks / whole


def profile(step: Callable[[], Any]) -> dict[str, float]:
    """Shares of the processor time of a step in one thread."""
    recorder = cProfile.Profile(time.process_time)
    with patch.object(threads, "cores", lambda: 1):
        recorder.runcall(step)
    stats: Any = pstats.Stats(recorder)
    total = stats.total_tt
    times = {f"{Path(file).stem}.{called}": took[3] for (file, _, called), took in stats.stats.items()}
    found = {name: sum(times[function] for function in functions) / total for name, functions in PARTS.items()}
    found["the rest"] = 1 - sum(found.values())
    return found


def slices_against_memory(maps: np.ndarray, xp: ModuleType) -> list[str]:
    """Rows: GB/s of extraction and insertion, counting what they must touch, beside a plain copy."""
    space, rotations = FourierSpace(BOX, 3, PIXEL, 15), search_3d(2).rotations
    half = xp.asarray(transform(maps, PADDING))
    shape, parts = half.shape[1:], space.parts
    slices = extract(half, rotations, parts.kx, parts.ky, PADDING)
    weights = xp.abs(slices)
    copy = copy_bandwidth(xp)
    read = median_seconds(lambda: extract(half, rotations, parts.kx, parts.ky, PADDING), xp)
    added = median_seconds(lambda: insert(slices, weights, rotations, parts.kx, parts.ky, PADDING, shape), xp)
    rows = []
    # extraction: 8 neighbours read, one value written; insertion: a value and its weight read, 8 of each read, written
    for name, seconds, touched in (("extraction", read, 9 * 8), ("insertion", added, 12 + 2 * 8 * 12)):
        speed = slices.size * touched / seconds / 1e9
        rows.append(f"| {name} of {len(rotations)} × {len(maps)} slices | {1e9 * seconds / slices.size:.2f} | "
                    f"{speed:.1f} | {copy:.1f} |")
    return ["Slices (15 shells), counting the bytes that interpolation must touch, beside a copy of arrays that",
            "no cache holds. Most neighbours come from a cache, so that more than the copy's is possible.", "",
            "| | ns a value | GB/s | copy, GB/s |", "|---" * 4 + "|", *rows]


def shares(images: int, cases: Sequence[str], xp: ModuleType, to_reach: int) -> list[str]:
    """The tables for one array library: share of the peak, on the CPU a profile, and slices."""
    ribosome = [load(name, box=BOX, pixel_size=PIXEL) for name in ("ribosome-80S", "ribosome-large-subunit")]
    made = simulate(ribosome, images, seed=1, noise=coloured, defocus=(10_000, 20_000), shift_sigma=4.0)
    maps = np.stack([s.density for s in ribosome])
    profiles, measured = {}, {}
    for name in cases:
        ndim, classes, search, shells = CASES[name]
        references = maps if ndim == 3 else np.stack([maps[i % 2].sum(axis=i // 2 % 3) for i in range(classes)])
        model, space = start_model(made.particles, references), FourierSpace(BOX, ndim, PIXEL, shells)

        def step(model: Model = model, search: Search = search, space: FourierSpace = space) -> None:
            expectation(made.particles, model, search, space, MAXIMUM_LIKELIHOOD, xp=xp, budget=BUDGET)

        peak, seconds = matrix_peak(xp), median_seconds(step, xp)
        speed = operations(made.particles, model, search, space) / seconds / 1e9
        alone = speed * seconds / products_alone(made.particles, model, search, space, xp)
        measured[f"{name}, {shells} shells"] = (seconds, speed, peak, alone)
        if not on_gpu(xp):  # a GPU computes while Python goes on: a profile of Python would blame the wrong lines
            profiles[name] = profile(step)
        print(f"{name}: {seconds:.2f} s, {speed:.0f} of {peak:.0f} GFLOP/s", flush=True)
    peak = max(found for _, _, found, _ in measured.values())
    lines = [f"| expectation step | seconds | GFLOP/s | peak, GFLOP/s | share, % (to reach: {to_reach}) | its products "
             "alone, % |", "|---" * 6 + "|"]
    lines += [f"| {name} | {seconds:.2f} | {speed:.0f} | {peak:.0f} | {100 * speed / peak:.0f} | "
              f"{100 * alone / peak:.0f} |" for name, (seconds, speed, _, alone) in measured.items()]
    lines += ["",
              "Between the peak and the products alone lie shapes narrower than square ones: the fewer shells, the",
              "narrower. Between these and the whole step: images, softmax and sums, and cores that wait for memory."]
    if profiles:
        lines += ["", "Where the processor time of a step in one thread goes, %:", "",
                  "| | " + " | ".join(profiles) + " |", "|---" * (1 + len(profiles)) + "|"]
        lines += [f"| {part} | " + " | ".join(f"{100 * found[part]:.0f}" for found in profiles.values()) + " |"
                  for part in [*PARTS, "the rest"]]
    return [*lines, "", *slices_against_memory(maps, xp)]


def what(images: int) -> str:
    """What is measured, for the head of a table."""
    return (f"{images} images of {BOX} px, {len(search_2d(5, **SHIFTS).shifts)} shifts. Medians of {REPEATS}.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--table", type=Path, default=TABLE)
    asked = parser.parse_args(arguments)
    head = ["# The expectation step against the machine", "",
            f"Written by `python benchmarks/peak_share.py`: {what(asked.images)}", "",
            f"Machine: {timed.machine()}; load before the first: {os.getloadavg()[0]:.1f}. On a GPU: [gpu.md](gpu.md).",
            ""]
    lines = head + shares(asked.images, asked.cases, np, TO_REACH)
    print("\n".join(lines[-2:]))
    asked.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
