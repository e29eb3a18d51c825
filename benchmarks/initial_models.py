"""How often a random start arrives: both algorithms of `cryoedu initial-model` over seeds, a table beside this file.

    python benchmarks/initial_models.py [--stacks STACKS] [--seeds 4] [--processes 2]

A start has succeeded if the map, aligned to the truth in whichever hand suits it better (projections do not tell the
hand), has an FSC above 0.5 to 40 Å. STACKS is a folder that make_relion_stack.py filled; without it only cryoedu's own
images are used. One process for each run, one thread in each.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import timed

WANTED = 40.0  # Å
DIAMETER = 310.0  # Å of the ribosome
SETS = {f"500, SNR {snr:g}, 32 px of 11 Å": (500, snr) for snr in (1.0, 0.5, 0.25)}
RELION = "1,000 by relion_project, SNR 0.1 at 5 Å, read at 10 Å"
ALGORITHMS = {"sgd": "gradient descent", "shc": "hill climbing"}
TABLE = Path(__file__).with_suffix(".md")


def attempt(star: Path, truth: Path, algorithm: str, seed: int, options: str) -> tuple[float, bool, bool, float]:
    """Resolution in Å against the truth, whether that is enough, whether the map is mirrored, and seconds."""
    from cryoedu.geometry.fourier import resize
    from cryoedu.microscope import read_map
    from cryoedu.validation.alignment import score_map

    with tempfile.TemporaryDirectory() as folder:
        command = (f"cryoedu initial-model {star} --o {folder}/run --algorithm {algorithm} --random-seed {seed} "
                   f"--particle-diameter {DIAMETER} {options}")
        seconds = timed.run(command, Path.cwd(), Path(folder)).seconds
        found = read_map(sorted(Path(folder).glob("run/run_it*_class001.mrc"))[-1])
    density = resize(read_map(truth).density, found.box, 3)  # same field of view
    score = score_map(found.density, density, found.pixel_size, wanted=WANTED, diameter=DIAMETER)
    return score.resolution or 2 * found.pixel_size, score.success, score.alignment.mirrored, seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stacks", type=Path, help="folder that make_relion_stack.py filled")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    parser.add_argument("--options", default="", help="further options of cryoedu initial-model")
    asked = parser.parse_args(arguments)
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    given = f", and `{asked.options}`" if asked.options else ""
    lines = ["# Initial models from random starts", "",
             "Written by `python benchmarks/initial_models.py`: the 80S ribosome, poses unknown, CTF and coloured",
             f"noise, default options of `cryoedu initial-model` with `--particle-diameter {DIAMETER:.0f}`{given}.",
             f"Success: FSC with the truth above 0.5 to {WANTED:.0f} Å, after alignment in either hand.", "",
             f"Machine: {timed.machine()}; runs at a time: {asked.processes}, a thread each; load before the first:",
             f"{os.getloadavg()[0]:.1f}.", "",
             "| particles | algorithm | successes | resolution, median (worst) | mirrored | seconds, median |",
             "|---" * 6 + "|"]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(asked.processes) as pool:
        places = {}
        for name, (count, snr) in SETS.items():
            out = Path(folder) / f"{count}_{snr}"
            timed.run(f"cryoedu simulate ribosome-80S --o {out} --n {count} --box 32 --pixel-size 11 --snr {snr} "
                      "--random-seed 5", Path(folder), Path(folder))
            places[name] = (out / "particles_data.star", out / "truth_class001.mrc", asked.options)
        if asked.stacks:
            one = asked.stacks.resolve() / "one_state_64"
            places[RELION] = (one / "particles.star", one / "true_class001.mrc", f"--pixel-size 10 {asked.options}")
        waiting = [(name, algorithm, [pool.submit(attempt, star, truth, algorithm, seed, options)
                                      for seed in range(1, asked.seeds + 1)])
                   for name, (star, truth, options) in places.items() for algorithm in ALGORITHMS]
        for name, algorithm, runs in waiting:
            reached, success, mirrored, seconds = (np.array(c) for c in zip(*(r.result() for r in runs), strict=True))
            lines.append(f"| {name} | {ALGORITHMS[algorithm]} | {success.sum()} of {asked.seeds} | "
                         f"{np.median(reached):.1f} Å ({reached.max():.1f} Å) | {mirrored.sum()} | "
                         f"{np.median(seconds):.0f} |")
            print(lines[-1], flush=True)
            TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
