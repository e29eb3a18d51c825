"""cryoedu beside RELION 3.1 on the same particles with the same sampling, as a table beside this file.

    python benchmarks/make_relion_stack.py STACKS               # once; needs RELION 3.1
    python benchmarks/against_relion.py STACKS --work FOLDER    # many hours of one core, in as many calls as wanted

Every run leaves FOLDER/EXPERIMENT/PROGRAM/seedN/run.json, what it took, and result.json, what it is worth. It is not
run again while run.json holds the same command line; without result.json its outcome is only measured again. The table,
benchmarks/against_relion.md, is written anew after each run from all results that there are.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from comparison import PROGRAMS, table
from timed import Failed, machine, run

import cryoedu
from cryoedu.inference.oracle import noise_of_residuals, oracle
from cryoedu.particles import read_map, read_particles
from cryoedu.particles.tables import read_tables
from cryoedu.validation.classes import agreement
from cryoedu.validation.fsc import fsc, resolution
from cryoedu.validation.poses import pose_errors

LOST = 10.0  # degrees beyond which a particle's orientation counts as lost
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """One comparison. ``relion`` and ``cryoedu`` are command lines that run in the stack's folder.

    Several steps of one program are joined by " && ".

    stack: folder that make_relion_stack.py filled.  judge: what is measured on the outcome, from the folder that the
    program wrote into and that of the stack; cryoedu names its files as RELION does.
    seeds: whether the outcome depends on one.
    """

    title: str
    stack: str
    relion: str
    cryoedu: str
    judge: Callable[[Path, Path], Numbers]
    seeds: bool = True

    def command(self, program: str, seed: int, out: Path | str) -> str:
        """The command line of a program for one seed."""
        line: str = getattr(self, program)
        return line.format(seed=seed, out=out)


def last(folder: Path, pattern: str) -> Path:
    """The last of the files that the iterations of a run wrote."""
    return max(folder.glob(pattern))


def judge_reconstruction(out: Path, stack: Path) -> Numbers:
    """FSC of the map with the truth."""
    truth = read_map(stack / "true_class001.mrc")
    curve = fsc(read_map(out / "map.mrc").density, truth.density)
    return {"true_resolution": resolution(curve, truth.pixel_size, threshold=0.5), "true_fsc": curve.round(4).tolist()}


def judge_gold(out: Path, stack: Path) -> Numbers:
    """What the refinement says of itself, and what its map and poses are worth against the truth.

    The map is compared in its own frame: the start, the true map at low resolution, is in that of the truth.
    """
    truth, true_map = read_particles(stack / "truth.star", images=False), read_map(stack / "true_class001.mrc")
    pixel_size = true_map.pixel_size
    found = read_particles(out / "run_data.star", images=False)
    halves = [read_map(out / f"run_half{h}_class001_unfil.mrc").density for h in (1, 2)]
    assert found.angles is not None and truth.angles is not None
    errors = pose_errors(found.angles, truth.angles, found.shifts, truth.shifts)
    curve = fsc(read_map(out / "run_class001.mrc").density, true_map.density)
    general = read_tables(out / "run_model.star")["model_general"]
    return {"reported_resolution": float(general["rlnCurrentResolution"].iloc[0]),
            "half_map_resolution": resolution(fsc(*halves), pixel_size),
            "true_resolution": resolution(curve, pixel_size, threshold=0.5), "true_fsc": curve.round(4).tolist(),
            "median_angle": errors.median_angle, "median_shift": errors.median_shift,
            "lost": float(np.mean(errors.angles > LOST)),
            "frame_angle": float(np.degrees(np.arccos(np.clip((np.trace(errors.frame) - 1) / 2, -1, 1)))),
            "frame_shift": float(np.linalg.norm(errors.offset))}


def judge_classes(out: Path, stack: Path) -> Numbers:
    """Agreement of the classes with the true ones under the best permutation, and the oracle's.

    noise_ratio: the last noise spectrum over that of the true residuals, median from shell 5 to half of Nyquist.
    """
    truth = read_particles(stack / "truth.star")
    found = read_particles(last(out, "run_it*_data.star"), images=False)
    assert found.classes is not None and truth.classes is not None
    maps = [read_map(path) for path in sorted(stack.glob("true_class*.mrc"))]
    noise = noise_of_residuals(truth, maps)
    best = oracle(truth, maps, noise).argmax(axis=1)
    group = read_tables(last(out, "run_it*_model.star"))["model_group_1"]
    found_noise = group["rlnSigma2Noise"].to_numpy(float) * truth.box**4  # RELION divides transforms by n²
    ratio = found_noise / noise[0, : len(found_noise)]  # images on larger pixels have fewer shells
    return {"agreement": agreement(found.classes, truth.classes), "oracle": float(np.mean(best == truth.classes)),
            "largest_class": float(np.bincount(found.classes).max() / len(found)),
            "noise_ratio": float(np.median(ratio[5 : truth.box // 4 + 1]))}


# The references are true maps: on the images' scale (so no --firstiter_cc), and corrected for the CTF. Without the word
# --ctf_corrected_ref RELION leaves the CTF out of the first iteration, and loses the orientations there.
COMMON = ("--ctf --ctf_corrected_ref --norm --scale --pad 2 --particle_diameter 310 --flatten_solvent --zero_mask "
          "--dont_check_norm --j 1")
CLASS3D = ("relion_refine --i {star} --o {{out}}/run --ref true_class001.mrc --ini_high 60 --K 2 --iter 25 "
           "--tau2_fudge 4 " + COMMON + " --random_seed {{seed}} {how}")
# cryoedu reads the images on larger pixels, where RELION crops their transforms to the shells that it looks at.
FOLDS = ("{how} --strict-highres {limit} --cross-fit 5 --pixel-size {pixel_size} --particle-diameter 290 "
         "--solvent-mask auto --random-seed {{seed}}")


def classes_at_true_poses(count: int, stack: str, limit: int | None) -> Experiment:
    """Two classes from one low-passed map, angles and origins held at the truth; limit: Å, nothing finer is scored."""
    end = "" if limit is None else f", nothing finer than {limit} Å scored"
    theirs = "" if limit is None else f" --strict_highres_exp {limit}"
    how = "--skip-align --iter 42 --reference true_class001.mrc --ini-high 60 --k 2 --first-resolution 80"
    ours = FOLDS.format(how=how, limit=22 if limit is None else limit, pixel_size=10)
    return Experiment(f"3D classes, true poses{end}: {TWO.format(f'{count:,}')}", stack,
                      CLASS3D.format(star="poses.star", how="--skip_align" + theirs),
                      "cryoedu classify3d poses.star --o {out} " + ours, judge_classes)


ONE = "1,000 particles of the 80S ribosome, 64 px, 5 Å, SNR 0.1"
TWO = "{} particles of two ribosome states that differ by 8 % of the mass, 64 px, 5 Å, SNR 0.1"
EXPERIMENTS = {
    "reconstruction": Experiment(
        f"Reconstruction from true poses: {ONE}", "one_state_64",
        "relion_reconstruct --i poses.star --o {out}/map.mrc --ctf --pad 2",
        "cryoedu reconstruct poses.star --o {out}/map.mrc", judge_reconstruction, seeds=False),
    "gold": Experiment(
        f"Gold-standard refinement from 45 Å: {ONE}", "one_state_64",
        # three ranks, of which two work, on two cores: one that waits must not keep another from its core
        "mpirun --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n 3 "
        "relion_refine_mpi --i particles.star --o {out}/run --ref true_class001.mrc --ini_high 45 "
        "--auto_refine --split_random_halves --healpix_order 2 --auto_local_healpix_order 4 "
        "--offset_range 5 --offset_step 2 --oversampling 1 --low_resol_join_halves 40 "
        + COMMON + " --random_seed {seed}",
        "cryoedu refine3d particles.star --o {out} --reference true_class001.mrc --ini-high 45 --healpix-order 2 "
        "--offset-range 25 --offset-step 10 --particle-diameter 310 --random-seed {seed}",
        judge_gold),
    "classes_true_poses_2000": classes_at_true_poses(2000, "trimmed_64", None),
    "classes_true_poses_2000_at_30A": classes_at_true_poses(2000, "trimmed_64", 30),
    "classes_true_poses_10000": classes_at_true_poses(10000, "trimmed_64_10000", None),
    "classes_true_poses_10000_at_30A": classes_at_true_poses(10000, "trimmed_64_10000", 30),
    "classes_unknown_10000": Experiment(
        f"3D classes, poses unknown: {TWO.format('10,000')}", "trimmed_64_10000",
        CLASS3D.format(star="particles.star",
                       how="--healpix_order 1 --oversampling 1 --offset_range 5 --offset_step 2"),
        "cryoedu refine3d particles.star --o {out}/poses --reference true_class001.mrc --ini-high 60 --healpix-order 2 "
        "--offset-range 25 --offset-step 10 --pixel-size 8 --particle-diameter 290 --random-seed {seed} && "
        "cryoedu classify3d {out}/poses/run_data.star --o {out}/held " + FOLDS.format(how="--skip-align --iter 42 "
        "--reference true_class001.mrc --ini-high 60 --k 2 --first-resolution 80", limit=17, pixel_size=8) + " && "
        "cryoedu classify3d {out}/poses/run_data.star --o {out} " + FOLDS.format(how="--local-range 4 --local-step 2 "
        "--offset-range 2.5 --offset-step 2.5 --iter 4 --first-resolution 17 --reference "
        "{out}/held/run_it042_class001.mrc --reference {out}/held/run_it042_class002.mrc", limit=17, pixel_size=8),
        judge_classes),
}


def watcher(label: str, out: Path) -> Callable[[float], None]:
    """Shows on a terminal for how long a run has been going, and the newest file that it wrote."""
    shown = [0.0]

    def watch(seconds: float) -> None:
        if sys.stderr.isatty() and seconds - shown[0] >= 1:
            shown[0] = seconds
            files = [file for file in out.iterdir() if file.suffix != ".log"]
            newest = max(files, key=lambda file: file.stat().st_mtime).name if files else ""
            print(f"\r{label}: {seconds:.0f} s {newest:40.40s}", end="", file=sys.stderr, flush=True)

    return watch


def kept(path: Path, command: str) -> Numbers | None:
    """What a JSON file holds, if it is there and comes from this command line."""
    found: Numbers = json.loads(path.read_text()) if path.exists() else {}
    return found if found.get("command") == command else None


def keep(path: Path, numbers: Numbers) -> Numbers:
    """Write a JSON file, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(numbers, indent=1) + "\n")
    part.rename(path)
    return numbers


def measure(name: str, program: str, seed: int, version: str, stacks: Path, work: Path) -> Numbers:
    """Run a program on an experiment with one seed, unless that was done, and measure what came out."""
    experiment, out = EXPERIMENTS[name], work / name / program / f"seed{seed}"
    stack, command = stacks / experiment.stack, experiment.command(program, seed, "OUT")
    ran = kept(out / "run.json", command)
    if ran is None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        watch = watcher(f"{name}, {program}, seed {seed}", out)
        steps = [run(step, stack, out, watch) for step in experiment.command(program, seed, out).split(" && ")]
        ran = keep(out / "run.json", {
            "experiment": name, "program": program, "version": version, "seed": seed, "command": command,
            "seconds": round(sum(s.seconds for s in steps), 1),
            "cpu_seconds": round(sum(s.cpu_seconds for s in steps), 1), "memory": round(max(s.memory for s in steps)),
            "machine": machine(), "load": round(os.getloadavg()[2], 1)})
    return keep(out / "result.json", ran | {"measured": experiment.judge(out, stack)})


def results_in(work: Path) -> list[Numbers]:
    """All results in the folder of the runs that come from the command lines that stand here."""
    found = [(EXPERIMENTS[name].command(path.parents[1].name, int(path.parent.name.removeprefix("seed")), "OUT"), path)
             for name in EXPERIMENTS for path in sorted((work / name).glob("*/seed*/result.json"))]
    return [result for command, path in found if (result := kept(path, command)) is not None]


def versions() -> dict[str, str | None]:
    """The programs that can be run and their versions; None for one that is not installed."""
    relion = None
    if shutil.which("relion_refine") and shutil.which("mpirun"):
        said = subprocess.run(["relion_refine", "--version"], capture_output=True, text=True, check=False).stdout
        relion = said.splitlines()[0].split(":")[-1].strip() if said else "of unknown version"
    return {"relion": relion, "cryoedu": cryoedu.__version__}


def arguments() -> argparse.Namespace:
    """The command line, once the stacks that it needs are known to be there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stacks", type=Path, help="folder that make_relion_stack.py filled")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs and their results")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, metavar="NAME", default=list(EXPERIMENTS),
                        help=f"of {', '.join(EXPERIMENTS)} (default: all; the last takes hours)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    for program in PROGRAMS:
        parser.add_argument(f"--{program}", action=argparse.BooleanOptionalAction, default=True,
                            help=f"whether to run {program} (default: yes)")
    asked = parser.parse_args()
    asked.stacks, asked.work = asked.stacks.resolve(), asked.work.resolve()
    needed = dict.fromkeys(EXPERIMENTS[name].stack for name in asked.only)
    if missing := " ".join(stack for stack in needed if not (asked.stacks / stack / "poses.star").exists()):
        parser.error(f"stacks are missing: python benchmarks/make_relion_stack.py {asked.stacks} {missing}")
    return asked


def run_all(name: str, program: str, version: str, asked: argparse.Namespace) -> None:
    """The runs of one program on one experiment that are not there yet, and the table after each."""
    for seed in asked.seeds if EXPERIMENTS[name].seeds else asked.seeds[:1]:
        label = f"{name}, {program}, seed {seed}"
        command = EXPERIMENTS[name].command(program, seed, "OUT")
        if kept(asked.work / name / program / f"seed{seed}" / "result.json", command) is not None:
            continue
        print(f"{label}: started {time.strftime('%H:%M')}", flush=True)
        try:
            result = measure(name, program, seed, version, asked.stacks, asked.work)
        except Failed as error:
            print(f"\r{label}: {error}", flush=True)
            break  # the other seeds would fail alike
        told = {k: v for k, v in result["measured"].items() if not isinstance(v, list)}
        print(f"\r{label}: {result['seconds']:.0f} s, {told}", flush=True)
        write_table(asked.work)


def main() -> None:
    """Run what is wanted and not there yet."""
    asked, here = arguments(), versions()
    if asked.relion and here["relion"] is None:
        print("RELION is not installed (Debian and Ubuntu: apt install relion): only cryoedu is run", flush=True)
    wanted = {program: version for program, version in here.items() if version and getattr(asked, program)}
    try:
        for name in asked.only:
            for program, version in wanted.items():
                run_all(name, program, version, asked)
    except KeyboardInterrupt:
        sys.exit("\nstopped; what was finished is kept")
    write_table(asked.work)


def write_table(work: Path) -> None:
    """The table beside this file, from all results in ``work``."""
    titles = {name: experiment.title for name, experiment in EXPERIMENTS.items()}
    text = table(titles, results_in(work), relion=versions()["relion"])
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
