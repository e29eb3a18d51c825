"""The engine on a GPU: whether it computes what the CPU does, and how fast; a table beside this file.

    python -m benchmarks.gpu

First one iteration of each kind on both, and how far apart they end. Then what other benchmarks measure on the CPU: the
share of the matrix-product peak (peak_share.py), growth (growth.py), and the lecture's data set (lecture.py), all of
it on the GPU and its part on both.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # of the other benchmarks, which `python -m` does not add
import growth
import lecture
import peak_share

from cryoedu.arrays import cupy_problem, library
from cryoedu.datasets import load
from cryoedu.geometry.grids import LocalSearch, Search, local_search, search_2d, search_3d
from cryoedu.inference import refine, start_model
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION
from cryoedu.inference.model import Iteration
from cryoedu.machine import surroundings
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured

TABLE = Path(__file__).with_suffix(".md")
BOX, PIXEL, RADII, TO_REACH = 32, 10.0, [9], 60
KINDS: dict[str, tuple[int, dict[str, Any]]] = {  # dimensions and options of one iteration; around: degrees
    "2D": (2, {}), "2D, real space": (2, {"space": "real"}),
    "2D, maxCC": (2, {"assignment": MAXIMUM_CROSS_CORRELATION}),
    "3D": (3, {}), "3D, with the prior": (3, {"tau2_fudge": 4.0}), "3D, adaptive": (3, {"adaptive": Adaptive()}),
    "3D, local": (3, {"around": 9.0}),
}


def iteration(kind: str, count: int, array_library: str) -> Iteration:
    """One iteration of a kind on ``count`` simulated images."""
    ndim, options = KINDS[kind][0], dict(KINDS[kind][1])
    in_fourier_space = options.get("space", "fourier") == "fourier"  # real space has no CTF
    states = [load(name, box=BOX, pixel_size=PIXEL) for name in ("ribosome-80S", "ribosome-large-subunit")]
    made = simulate(states, count, seed=1, noise=coloured, defocus=(10_000, 20_000) if in_fourier_space else None,
                    progress=False)
    maps = np.stack([state.density if ndim == 3 else state.density.sum(axis=0) for state in states])
    model = start_model(made.particles, maps, space=options.get("space", "fourier"))
    search: Search | LocalSearch
    if around := options.pop("around", 0.0):
        search = local_search(made.truth.angles, made.truth.shifts, angular_range=around, angular_step=around / 3,
                              shift_range=PIXEL, shift_step=PIXEL)
    else:
        search = (search_3d(1, shift_range=PIXEL, shift_step=PIXEL) if ndim == 3 else
                  search_2d(10, shift_range=PIXEL, shift_step=PIXEL))
    radii = RADII if in_fourier_space else None
    return next(refine(made.particles, model, search, iterations=1, radii=radii, array_library=array_library,
                       **options))


def apart(one: Iteration, other: Iteration) -> tuple[float, float, float]:
    """How far apart two iterations end: log-likelihood and maps, relative; class probabilities, the largest."""
    maps = np.sqrt(np.mean((one.model.maps - other.model.maps) ** 2) / np.mean(one.model.maps**2))
    return (abs(one.log_likelihood / other.log_likelihood - 1), float(maps),
            float(np.abs(one.posterior.class_probability - other.posterior.class_probability).max()))


def equality(count: int, array_library: str) -> list[str]:
    """The table of how far this array library and NumPy end apart."""
    rows = [f"| {kind} | " + " | ".join(f"{number:.1e}" for number in apart(
            iteration(kind, count, "numpy"), iteration(kind, count, array_library))) + " |" for kind in KINDS]
    return ["| an iteration | log-likelihood, relative | maps, relative rms | class probabilities, largest |",
            "|---" * 4 + "|", *rows]


def speeds(images: int, iterations: int, part: int, whole: int, array_library: str) -> list[str]:
    """The tables of the other benchmarks, for ``images``, and of ``part`` and ``whole`` of the lecture's data set."""
    lines = ["", "## Share of the peak", "", peak_share.what(images), "",
             *peak_share.shares(images, list(peak_share.CASES), library(array_library), TO_REACH), "", "## Growth", "",
             growth.WHAT, ""]
    with tempfile.TemporaryDirectory() as folder:
        for name in growth.GROWS:
            lines += growth.rows(name, 10, Path(folder), array_library)
        some, every = Path(folder) / "part.star", Path(folder) / "all.star"
        lecture.prepare(part, some)
        lecture.prepare(whole, every)
        rows = [lecture.row(name, lecture.measured(star, where, iterations)) for name, star, where in
                (("a part on the CPU", some, "numpy"), ("the same on the GPU", some, array_library),
                 ("all on the GPU (to reach: 60 s)", every, array_library))]
    return [*lines, "## The lecture's data set", "", lecture.WHAT, "", *lecture.HEADER, *rows]


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="for the comparison and the share of the peak")
    parser.add_argument("--iterations", type=int, default=25, help="of the lecture's data set")
    parser.add_argument("--part", type=int, default=2000, help="of the lecture's data set, for both")
    parser.add_argument("--all", type=int, default=lecture.ALL, help="particles of the whole data set")
    parser.add_argument("--table", type=Path, default=TABLE)
    asked = parser.parse_args(arguments)
    if problem := cupy_problem():
        parser.error(f"there is nothing to measure: {problem}; 'cryoedu doctor' says what is missing")
    lines = ["# On a GPU", "", f"Written by `python -m benchmarks.gpu` on {surroundings('cupy')['machine']}.", "",
             "## What the CPU computes", "", f"{asked.images} images of {BOX} px, both in single precision.", "",
             *equality(asked.images, "cupy")]
    print("\n".join(lines), flush=True)
    lines += speeds(asked.images, asked.iterations, asked.part, asked.all, "cupy")
    asked.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
