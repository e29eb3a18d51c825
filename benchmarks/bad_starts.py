"""How often a bad start is left behind: refinements of the same images from maps of noise, a table beside this file.

    python benchmarks/bad_starts.py [--starts 10] [--methods NAME …]

Lesson 5 shows one of these starts; this is how typical it is. With --methods only these rows are made anew. A run has
arrived if its last map, aligned to the truth in whichever hand suits it better, has an FSC above 0.5 to 60 Å. One
thread.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

import numpy as np

from cryoedu.datasets import load
from cryoedu.datasets.starts import noise_map
from cryoedu.geometry.grids import search_3d
from cryoedu.geometry.masks import soft_sphere
from cryoedu.inference import (
    Iteration,
    opening,
    refine,
    start_model,
    stochastic_gradient_descent,
    stochastic_hill_climbing,
)
from cryoedu.microscope.experiment import Experiment, simulate
from cryoedu.validation.alignment import score_map

BOX, COUNT, DIAMETER, WANTED = 24, 250, 310.0, 60.0
LAST, FINER = 8, 12  # shells: 44 Å, and 29 Å
TABLE = Path(__file__).with_suffix(".md")
Job = Callable[[Experiment, Any, Any, int], Iterator[Iteration]]


def em(radii: Sequence[int], turned: bool) -> Job:
    """Expectation maximisation, 15 iterations on the 15° grid."""
    return lambda e, model, mask, seed: refine(
        e.particles, model, search_3d(2), iterations=15, radii=radii, steps=2, mask=mask,
        perturb_seed=seed if turned else None)


def chance(algorithm: Callable[..., Iterator[Iteration]], radii: Sequence[int], iterations: int, **more: Any) -> Job:
    """A stochastic method: nine tenths of its iterations on the 30° grid, the rest on the 15° grid."""
    grids = [search_3d(1)] * (iterations * 9 // 10) + [search_3d(2)]
    return lambda e, model, mask, seed: algorithm(e.particles, grids, seed=seed, iterations=iterations, radii=radii,
                                                  mask=mask, model=model, **more)


JOBS: dict[str, Job] = {
    "EM": em([LAST], False),
    "EM, the grid turned at random": em([LAST], True),
    "EM, low frequencies first": em(opening(3, LAST, 11), False),
    "EM, both": em(opening(3, LAST, 11), True),
    "EM, detail to 29 Å": em([FINER], False),
    "EM, low frequencies first, detail to 29 Å": em(opening(3, FINER, 11), False),
    "hill climbing": chance(stochastic_hill_climbing, [LAST], 40),
    "hill climbing, but greedy": chance(stochastic_hill_climbing, [LAST], 40, greedy=True),
    "gradient descent": chance(stochastic_gradient_descent, [LAST], 100, batches=[50]),
    "gradient descent, low frequencies first": chance(stochastic_gradient_descent, opening(3, LAST, 100), 100,
                                                      batches=[50]),
}


def written() -> dict[tuple[str, str], tuple[str, str]]:
    """The rows that are there: (SNR, method) -> (arrived, resolution)."""
    text = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
    return {(snr, name): (arrived, reached) for snr, name, arrived, reached in cells if name in JOBS}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--methods", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--snrs", type=float, nargs="+", default=[3.0])
    asked = parser.parse_args(arguments)
    specimen = load("ribosome-80S", box=BOX)
    mask = soft_sphere(BOX, specimen.pixel_size, DIAMETER)
    lines = ["# Bad starts", "",
             f"Written by `python benchmarks/bad_starts.py`: {COUNT} images of the 80S ribosome, {BOX} px of "
             f"{specimen.pixel_size:.1f} Å, without CTF,", f"from {asked.starts} maps of noise (60 Å). Arrived: FSC "
             f"with the truth above 0.5 to {WANTED:.0f} Å, after alignment in either hand.", "",
             "One thread. Nothing is timed, and another machine differs by rounding only.", "",
             "| SNR | method | arrived | resolution, median (best to worst) |", "|---|---|---|---|"]
    rows = written()
    for snr in asked.snrs:
        made = simulate(specimen, COUNT, seed=5, snr=snr, particle_diameter=DIAMETER, progress=False)
        truth = made.specimens[0].density
        for name in asked.methods:
            job, scores = JOBS[name], []
            for seed in range(1, asked.starts + 1):
                start = noise_map(BOX, specimen.pixel_size, diameter=DIAMETER, seed=seed)
                start *= np.linalg.norm(truth) / np.linalg.norm(start)
                (*_, last) = job(made, start_model(made.particles, start[None]), mask, seed)
                scores.append(score_map(last.model.maps[0], truth, specimen.pixel_size, wanted=WANTED,
                                        diameter=DIAMETER))
            reached = np.array([s.resolution or 2 * specimen.pixel_size for s in scores])
            rows[f"{snr:g}", name] = (f"{sum(s.success for s in scores)} of {asked.starts}",
                                      f"{np.median(reached):.0f} Å ({reached.min():.0f} to {reached.max():.0f} Å)")
            print(snr, name, *rows[f"{snr:g}", name], flush=True)
            ordered = sorted(rows.items(), key=lambda row: (row[0][0], list(JOBS).index(row[0][1])))
            table = [f"| {' | '.join([*what, *values])} |" for what, values in ordered]
            TABLE.write_text("\n".join([*lines, *table]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
