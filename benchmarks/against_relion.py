"""cryoedu beside RELION 3.1 on the same particles with the same sampling, as a table beside this file.

    python benchmarks/make_relion_stack.py STACKS               # once; needs RELION 3.1
    python benchmarks/against_relion.py STACKS --work FOLDER    # many hours of one core, in as many calls as wanted

Every run leaves FOLDER/EXPERIMENT/PROGRAM/seedN/run.json, what it took, and result.json, what it is worth. It is not
run again while run.json holds the same command line; without result.json its outcome is only measured again. After each
run its result takes its place in benchmarks/against_relion.json, from which the table, benchmarks/against_relion.md, is
written anew: results from another folder, day or machine stay until they are measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from comparison import PROGRAMS, table
from experiments import EXPERIMENTS, Numbers
from timed import Failed, machine, run

import cryoedu

RESULTS = Path(__file__).with_suffix(".json")
IMPORTS = "import numpy, scipy.ndimage, scipy.spatial.transform, numba, pandas"


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


def replace(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def keep(path: Path, numbers: Numbers) -> Numbers:
    """Write a JSON file."""
    replace(path, json.dumps(numbers, indent=1) + "\n")
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
            "machine": machine(), "host": host(), "load": round(os.getloadavg()[2], 1)})
    return keep(out / "result.json", ran | {"measured": experiment.judge(out, stack)})


def host() -> str:
    """This machine since it was started (Linux; elsewhere its name): times of one machine can be compared."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text()[:8] if boot.exists() else platform.node()


def is_current(result: Numbers) -> bool:
    """Whether a result comes from a command line that stands here."""
    experiment = EXPERIMENTS.get(result["experiment"])
    return experiment is not None and experiment.command(result["program"], result["seed"], "OUT") == result["command"]


def results_in(*folders: Path) -> list[Numbers]:
    """All results of the file beside this one and of folders of runs, in the table's order; the last of a kind counts.

    Those from other command lines than stand here are left out.
    """
    found = json.loads(RESULTS.read_text())["results"] if RESULTS.exists() else []
    found += [json.loads(path.read_text()) for folder in folders for path in folder.glob("*/*/seed*/result.json")]
    last = {(list(EXPERIMENTS).index(r["experiment"]), PROGRAMS.index(r["program"]), r["seed"]): r
            for r in found if is_current(r)}
    return [last[place] for place in sorted(last)]


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
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3],
                        help="a run for each, also of what depends on none (default: 1 2 3)")
    for program in PROGRAMS:
        parser.add_argument(f"--{program}", action=argparse.BooleanOptionalAction, default=True,
                            help=f"whether to run {program} (default: yes)")
    asked = parser.parse_args()
    asked.stacks, asked.work = asked.stacks.resolve(), asked.work.resolve()
    needed = dict.fromkeys(EXPERIMENTS[name].stack for name in asked.only)
    if missing := " ".join(stack for stack in needed if not (asked.stacks / stack / "poses.star").exists()):
        parser.error(f"stacks are missing: python benchmarks/make_relion_stack.py {asked.stacks} {missing}")
    return asked


def run_one(name: str, program: str, seed: int, version: str, asked: argparse.Namespace) -> bool:
    """Run a program on an experiment with a seed, unless that is there, and write the table: False if it failed."""
    label = f"{name}, {program}, seed {seed}"
    command = EXPERIMENTS[name].command(program, seed, "OUT")
    if kept(asked.work / name / program / f"seed{seed}" / "result.json", command) is not None:
        return True
    print(f"{label}: started {time.strftime('%H:%M')}", flush=True)
    try:
        result = measure(name, program, seed, version, asked.stacks, asked.work)
    except Failed as error:
        print(f"\r{label}: {error}", flush=True)
        return False
    told = {k: v for k, v in result["measured"].items() if not isinstance(v, list)}
    print(f"\r{label}: {result['seconds']:.0f} s, {told}", flush=True)
    write_table(asked.work)
    return True


def main() -> None:
    """Run what is wanted and not there yet."""
    asked, here = arguments(), versions()
    if asked.relion and here["relion"] is None:
        print("RELION is not installed (Debian and Ubuntu: apt install relion): only cryoedu is run", flush=True)
    wanted = {program: version for program, version in here.items() if version and getattr(asked, program)}
    try:
        for name in asked.only:
            able = dict(wanted)  # where one seed fails, the others would fail alike
            for seed in asked.seeds:
                able = {program: version for program, version in able.items()  # in turns
                        if run_one(name, program, seed, version, asked)}
    except KeyboardInterrupt:
        sys.exit("\nstopped; what was finished is kept")
    write_table(asked.work)


def page(results: Sequence[Numbers], imports: float) -> str:
    """The table. imports: MB that importing takes before anything is done."""
    return table({name: experiment.title for name, experiment in EXPERIMENTS.items()}, results, imports=imports,
                 remarks={name: experiment.remark for name, experiment in EXPERIMENTS.items()})


def write_table(work: Path) -> None:
    """The results beside this file, with those in ``work``, and their table."""
    with tempfile.TemporaryDirectory() as folder:
        imports = round(run(f"{sys.executable} -c '{IMPORTS}'", Path(folder), Path(folder)).memory)
    results = results_in(work)
    rows = ",\n".join(json.dumps(result, ensure_ascii=False) for result in results)
    replace(RESULTS, f'{{"imports": {imports}, "results": [\n{rows}\n]}}\n')
    replace(RESULTS.with_suffix(".md"), page(results, imports))


if __name__ == "__main__":
    main()
