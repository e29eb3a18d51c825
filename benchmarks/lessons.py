"""What each lesson takes, solved and run from top to bottom: processor time and memory; a table beside this file.

    python benchmarks/lessons.py [03 07 …]

One thread, as on a seat of Binder. Data sets are made anew, as on a seat's first day.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import timed
from nbformat.v4 import new_code_cell, new_notebook

from cryoedu.course import build

TABLE = Path(__file__).with_suffix(".md")
USAGE = """
import json, pathlib, time
_status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps([time.process_time(), int(_status["VmHWM"].split()[0]) / 1000]))
"""


def used(notebook: object) -> tuple[float, float]:
    """Seconds of processor time and MB of memory at the peak of a notebook's kernel."""
    notebook.cells.append(new_code_cell(USAGE))  # type: ignore[attr-defined]
    ran = build.run(notebook, build.ROOT / "solutions")
    seconds, memory = json.loads(ran.cells[-1].outputs[-1].text)
    return seconds, memory


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the lessons and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of names; all lessons if none is given")
    asked = parser.parse_args(arguments)
    bare = used(new_notebook(metadata=build.NOTEBOOK_METADATA))
    lines = ["# What a lesson takes", "",
             "Written by `python benchmarks/lessons.py`: the solved notebooks, one thread, data sets made anew.", "",
             f"Machine: {timed.machine()}. A bare kernel has {bare[1]:.0f} MB.", "",
             "| lesson | processor seconds | memory at the peak, MB |", "| --- | ---: | ---: |"]
    for path in build.sources():
        if build.has_solutions(path) and (not asked.names or path.stem.startswith(tuple(asked.names))):
            with tempfile.TemporaryDirectory() as cache:
                os.environ["CRYOEDU_CACHE"] = cache
                seconds, memory = used(build.unrun_solved_notebook(path))
            lines.append(f"| {path.stem.replace('_', ' ')} | {seconds:.0f} | {memory:.0f} |")
            print(lines[-1], flush=True)
    if not asked.names:
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
