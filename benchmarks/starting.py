"""How long it takes until something can be done: importing, the first call, the lessons' data, the course in a browser.

    python benchmarks/starting.py

Each line is a process of its own, as a learner's is. Cold: the compiled kernels and the data sets are not on disk yet.
A table beside this file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import timed

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_suffix(".md")
REPEATS = 5
FIRST_CALL = """
from cryoedu.datasets import load_particles
from cryoedu.inference import align2d, classify3d
from cryoedu.geometry.grids import search_2d, search_3d
import time
made = load_particles({data!r}, progress=False)
started = time.perf_counter()
reference = made.specimens[0].density
run = {job}
next(run)
print(time.perf_counter() - started)
"""
JOBS = {  # data set: what it is, how it is searched, the job
    "protein2d-particles": ("1,000 images of lesson 3", "5° in plane, 13 shifts",
                            "align2d(made.particles, search_2d(5, shift_range=8.0, shift_step=4.0), "
                            "reference=reference, iterations=1)"),
    "ribosome-particles": ("2,000 images of lesson 6", "K = 2, HEALPix order 1, 5 shifts",
                           "classify3d(made.particles, reference, 2, search_3d(1, shift_range=11.0, shift_step=11.0), "
                           "seed=1, iterations=1)"),
}


def seconds(command: Sequence[str], **variables: str) -> float:
    """Wall time of a command."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **variables}, cwd=ROOT)
    return time.perf_counter() - started


def said(program: str, **variables: str) -> float:
    """The number that a Python program prints."""
    made = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, **variables}, cwd=ROOT)
    return float(made.stdout)


def lab_start() -> float:
    """Seconds from `make lab` in an environment that is ready to the first answer of its server."""
    command = ["make", "lab", "PORT=8941", "ARGS=--no-browser --IdentityProvider.token="]
    started = time.perf_counter()
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              start_new_session=True)
    try:
        while time.perf_counter() - started < 120:
            try:
                urllib.request.urlopen("http://127.0.0.1:8941/api/status", timeout=1)
                return time.perf_counter() - started
            except OSError:
                time.sleep(0.05)
        raise TimeoutError("make lab did not answer within two minutes")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=TABLE)
    asked = parser.parse_args(arguments)
    rows: list[tuple[str, float, str]] = []

    def row(what: str, took: float, reach: str = "") -> None:
        rows.append((what, took, reach))
        print(f"{what}: {took:.2f} s", flush=True)

    def median(command: Sequence[str]) -> float:
        return statistics.median(seconds(command) for _ in range(REPEATS))

    load = os.getloadavg()[0]
    bare = median([sys.executable, "-c", "pass"])
    row("`import cryoedu`, beyond a bare Python", median([sys.executable, "-c", "import cryoedu"]) - bare, "0.5")
    row("`cryoedu --help`", median([sys.executable, "-m", "cryoedu.commands.app", "--help"]))
    with tempfile.TemporaryDirectory() as folder:
        for data, (images, how, job) in JOBS.items():
            places = {"CRYOEDU_CACHE": f"{folder}/data", "NUMBA_CACHE_DIR": f"{folder}/{data}"}
            program = FIRST_CALL.format(data=data, job=job)
            row(f"{images}, made at the first call",
                seconds([sys.executable, "-c", program.split("started")[0]], **places))
            row(f"an iteration on them, {how}, compiling the kernels", said(program, **places))
            row("the same in the next process", statistics.median(said(program, **places) for _ in range(REPEATS)))
    if shutil.which("make") and (ROOT / ".venv").is_dir():
        row("`make lab` until its server answers, from the second time on",
            statistics.median(lab_start() for _ in range(REPEATS)))
    lines = ["# Until something can be done", "",
             f"Written by `python benchmarks/starting.py`: seconds, medians of {REPEATS} of what can be repeated.",
             "", f"Machine: {timed.machine()}; load before the first: {load:.1f}. On a GPU: not measured.", "",
             "| what | seconds | to reach |", "|---|---|---|"]
    lines += [f"| {what} | {took:.2f} | {reach} |" for what, took, reach in rows]
    asked.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
