"""One iteration in a process of its own: prints how many MB it took at its peak over what was there before.

    python tests/inference/budget_run.py NAME MEGABYTES

NAME is one of `CASES`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cryoedu.errors import InputError
from cryoedu.geometry.grids import local_search, search_2d, search_3d
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.em import refine
from cryoedu.inference.start import start_model
from cryoedu.microscope.experiment import Experiment, simulate
from cryoedu.microscope.specimen import Specimen

PIXEL = 4.0


def blobs(box: int, ndim: int, seed: int) -> np.ndarray:
    rng, out = np.random.default_rng(seed), np.zeros((box,) * ndim, np.float32)
    axes = np.meshgrid(*[np.arange(box, dtype=np.float32) - box // 2] * ndim, indexing="ij", sparse=True)
    for _ in range(6):
        centre = rng.uniform(-0.2, 0.2, ndim) * box
        out += np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / 8)
    return out


def made(box: int, images: int, classes: int, snr: float, ndim: int = 3, defocus: float = 1e4) -> Experiment:
    specimens = [Specimen(blobs(box, ndim, k), PIXEL) for k in range(classes)]
    return simulate(specimens, images, seed=1, snr=snr, defocus=(0.9 * defocus, defocus), progress=False)


def around(e: Experiment) -> Any:
    return local_search(e.truth.angles, e.truth.shifts, angular_range=6, angular_step=2, shift_range=4, shift_step=4)


CASES: dict[str, tuple[tuple[Any, ...], Callable[[Experiment], dict[str, Any]]]] = {
    "whole grid, order 3": ((32, 16, 1, 1.0), lambda e: {"search": search_3d(3)}),
    "whole grid of many shifts": ((32, 40, 2, 1.0), lambda e: {
        "search": search_3d(1, shift_range=20, shift_step=4)}),
    "in the plane": ((64, 200, 5, 0.1, 2), lambda e: {"search": search_2d(5, shift_range=12, shift_step=4)}),
    "adaptive, large box": ((96, 16, 1, 1.0), lambda e: {
        "search": search_3d(0, shift_range=8, shift_step=8), "adaptive": Adaptive(3, diameter=200)}),
    "adaptive, flat posteriors": ((32, 12, 2, 0.02), lambda e: {
        "search": search_3d(1, shift_range=8, shift_step=8), "adaptive": Adaptive(diameter=100)}),
    "local": ((48, 60, 2, 0.5), lambda e: {"search": around(e)}),
}


def turn(name: str, memory: str, *, small: bool = False) -> None:
    """One iteration of a case; of a small set, so that all that is compiled is there."""
    (box, count, *rest), options = CASES[name]
    experiment = made(16, 4, 1, 1.0, *rest[2:], defocus=2e3) if small else made(box, count, *rest)
    model = start_model(experiment.particles, np.stack([s.density for s in experiment.specimens]))
    asked = options(experiment)
    gc.collect()
    start = reset()
    next(refine(experiment.particles, model, asked.pop("search"), memory=memory, array_library="numpy", **asked))
    if not small:
        print(f"{(peak() - start) / 1e6:.0f}", flush=True)


def reset() -> int:
    """Bytes in use now, from which the peak is counted anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def peak() -> int:
    """Bytes at the peak since `reset`."""
    return status("VmHWM")


def status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


if __name__ == "__main__":
    case, megabytes = sys.argv[1], sys.argv[2]
    turn(case, "1 GB", small=True)
    try:
        turn(case, f"{megabytes} MB")
    except InputError as error:
        print(error)
