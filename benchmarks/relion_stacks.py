"""The shell commands on particle stacks that RELION made, one process each, as a table beside this file.

    python benchmarks/make_relion_stack.py STACKS      # once; needs RELION 3.1
    python benchmarks/relion_stacks.py STACKS          # about ten minutes on two cores

Writes benchmarks/relion_stacks.md: the commands, their wall time and peak memory, and what came out against the truth.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

import numpy as np
import timed

from cryoedu.microscope import read_map
from cryoedu.validation.fsc import fsc, resolution_text

SEEDS = (1, 2, 3)


def run(command: str, stacks: Path, out: Path) -> tuple[str, float, float]:
    """What a command printed, its wall time in seconds and its peak memory in MB."""
    try:
        done = timed.run(command, stacks, out)
    except timed.Failed as error:
        raise SystemExit(str(error)) from None
    return done.text, done.seconds, done.memory


def reconstruction(stacks: Path, out: Path) -> list[str]:
    """`reconstruct` from true poses beside relion_reconstruct's map of the same particles."""
    command = f"cryoedu reconstruct one_state_64/truth.star --o {out}/one.mrc"
    _, seconds, memory = run(command, stacks, out)
    truth = read_map(stacks / "one_state_64/true_class001.mrc")
    ours = fsc(read_map(out / "one.mrc").density, truth.density)
    theirs = fsc(read_map(stacks / "one_state_64/relion_class001.mrc").density, truth.density)
    words = [resolution_text(c, truth.pixel_size, threshold=0.5) for c in (ours, theirs)]
    return ["## Reconstruction from true poses", "", "1,000 particles of the 80S ribosome, 64 px, 5 Å, SNR 0.1.", "",
            f"    {command.replace(str(out) + '/', '')}", "",
            "| | cryoedu | RELION 3.1 |", "|---|---|---|",
            f"| FSC against the truth = 0.5 at | {words[0]} | {words[1]} |",
            f"| lowest difference in any shell | {np.min((ours - theirs)[1:]):+.3f} | |",
            f"| wall time, peak memory | {seconds:.0f} s, {memory:.0f} MB | |", ""]


def classes_3d(stacks: Path, out: Path) -> list[str]:
    """`classify3d` of the free large subunit against the whole ribosome, poses unknown."""
    lines = ["## 3D classification, poses unknown", "",
             "The free large subunit against the whole ribosome, 32 px, 11 Å; seeds from random subsets.", ""]
    rows = ["| particles | SNR | seed | agreement | oracle | wall time | peak memory |", "|---" * 7 + "|"]
    for name, snr, seeds in (("large_subunit_32", 0.25, SEEDS), ("large_subunit_32_snr0.5", 0.5, SEEDS[:1])):
        for seed in seeds:
            command = (f"cryoedu classify3d {name}/particles.star --o {out}/{name}_{seed} --k 2 --iter 20 "
                       f"--healpix-order 2 --reference {name}/true_class001.mrc --offset-range 22 --random-seed {seed} "
                       f"--truth {name}/truth.star --truth-map {name}/true_class001.mrc "
                       f"--truth-map {name}/true_class002.mrc")
            text, seconds, memory = run(command, stacks, out)
            agreement, oracle = re.findall(r"([\d.]+) %", text)
            rows.append(f"| 2,000 | {snr} | {seed} | {agreement} % | {oracle} % | {seconds:.0f} s | {memory:.0f} MB |")
            if len(rows) == 3:
                lines += [f"    {command.replace(str(out) + '/', '')}", ""]
    return [*lines, *rows, "", "The reference is low-passed to 60 Å before it is used.", ""]


def classes_2d(stacks: Path, out: Path) -> list[str]:
    """`classify2d` into ten classes."""
    command = f"cryoedu classify2d trimmed_64/particles.star --o {out}/c2d --k 10 --random-seed 1"
    text, seconds, memory = run(command, stacks, out)
    weights = next(line for line in text.splitlines() if line.startswith("class weights")).split(";")[0]
    return ["## 2D classes", "", "2,000 particles of two ribosome states, 64 px, 5 Å, SNR 0.1, K = 10.", "",
            f"    {command.replace(str(out) + '/', '')}", "", f"{weights}; {seconds:.0f} s, {memory:.0f} MB.", ""]


def main() -> None:
    """Run all three and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stacks", type=Path, help="folder that make_relion_stack.py filled")
    stacks = parser.parse_args().stacks.resolve()
    lines = ["# The shell commands on stacks that RELION made", "",
             "Written by `python benchmarks/relion_stacks.py STACKS`; the stacks by `benchmarks/make_relion_stack.py`.",
             f"Machine: {timed.machine()}.", ""]
    with tempfile.TemporaryDirectory() as folder:
        for part in (reconstruction, classes_3d, classes_2d):
            lines += part(stacks, Path(folder))
            print("\n".join(lines), flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
