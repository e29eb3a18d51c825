"""How often a random start arrives: both algorithms of `cryoedu initial-model` over seeds, a table beside this file.

    python benchmarks/initial_models.py [--stacks STACKS] [--seeds 5] [--processes 2]

A start has succeeded if the map, aligned to the truth in whichever hand suits it better (projections do not tell the
hand), has an FSC above 0.5 to 40 Å. STACKS is a folder that make_relion_stack.py filled; without it only cryoedu's own
images are used. One process for each run, one thread in each.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from relion_stacks import processor, run

WANTED = 40.0  # Å
DIAMETER = 310.0  # Å of the ribosome
SETS = {"500, SNR 0.5": (500, 0.5), "500, SNR 0.25": (500, 0.25)}
RELION = "1,000 by relion_project, SNR 0.1 at 5 Å, read at 10 Å"
ALGORITHMS = {"sgd": "gradient descent", "shc": "hill climbing"}


def attempt(star: str, truth: str, algorithm: str, seed: int, options: str) -> tuple[float, bool, float]:
    """Resolution in Å against the truth, whether the map is mirrored, and seconds."""
    from cryoedu.geometry.fourier import resize
    from cryoedu.particles import read_map
    from cryoedu.validation.alignment import score_map

    with tempfile.TemporaryDirectory() as folder:
        command = (f"cryoedu initial-model {star} --o {folder} --algorithm {algorithm} --random-seed {seed} "
                   f"--particle-diameter {DIAMETER} --offset-range 15 {options}")
        started = time.perf_counter()
        run(command, Path.cwd())
        seconds = time.perf_counter() - started
        found = read_map(sorted(Path(folder).glob("run_it*_class001.mrc"))[-1])
    density = resize(read_map(Path(truth)).density, found.box, 3)  # same field of view
    score = score_map(found.density, density, found.pixel_size, wanted=WANTED, diameter=DIAMETER)
    return score.resolution or 2 * found.pixel_size, score.alignment.mirrored, seconds


def main() -> None:
    """Run all and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stacks", type=Path, help="folder that make_relion_stack.py filled")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    lines = ["# Initial models from random starts", "",
             "Written by `python benchmarks/initial_models.py --stacks STACKS`: the 80S ribosome, poses unknown, CTF",
             "and coloured noise, default options of `cryoedu initial-model` with `--particle-diameter 310`. Success:",
             f"FSC with the truth above 0.5 to {WANTED:.0f} Å, after alignment in either hand.", "",
             f"Machine: {processor()}; {asked.processes} runs at a time, a thread each.", "",
             "| particles | algorithm | successes | resolution, median (worst) | mirrored | seconds, median |",
             "|---" * 6 + "|"]
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(asked.processes) as pool:
        places = {}
        for name, (count, snr) in SETS.items():
            out = Path(folder) / f"{count}_{snr}"
            run(f"cryoedu simulate ribosome-80S --o {out} --n {count} --box 32 --pixel-size 11 --snr {snr} "
                "--random-seed 5", Path(folder))
            places[f"{name}, 32 px of 11 Å"] = (out / "particles_data.star", out / "truth_class001.mrc", "")
        if asked.stacks:
            one = asked.stacks.resolve() / "one_state_64"
            places[RELION] = (one / "particles.star", one / "true_class001.mrc", "--pixel-size 10")
        waiting = [(name, algorithm, [pool.submit(attempt, str(star), str(truth), algorithm, seed, options)
                                      for seed in range(1, asked.seeds + 1)])
                   for name, (star, truth, options) in places.items() for algorithm in ALGORITHMS]
        for name, algorithm, runs in waiting:
            resolution, mirrored, seconds = (np.array(column) for column in zip(*(r.result() for r in runs)))
            lines.append(f"| {name} | {ALGORITHMS[algorithm]} | {np.sum(resolution <= WANTED)} of {asked.seeds} | "
                         f"{np.median(resolution):.1f} Å ({resolution.max():.1f} Å) | {mirrored.sum()} | "
                         f"{np.median(seconds):.0f} |")
            print(lines[-1], flush=True)
            Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
