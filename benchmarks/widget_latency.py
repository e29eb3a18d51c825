"""From a key to its picture: how long a learner waits for a widget, in a real browser. A table beside this file.

    python benchmarks/widget_latency.py [--keys 28]

JupyterLab and headless Chromium run on this machine, as in the browser tests. An arrow key is pressed on a slider; the
time runs from that event in the browser to the first frame after the picture has changed. Each widget is measured as
the machine is, and then with every core kept busy by another program.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import timed

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # browser.py
PAUSE = 150  # ms from a picture to the next key
TABLE = Path(__file__).with_suffix(".md")
REFERENCE = '.jp-OutputArea .cryoedu [role=img][aria-label^="reference"]'
WIDGETS = {  # what it is, its code, its slider, the picture that changes, the most milliseconds that it may take
    "projection viewer, 128 × 128 px": ("the kernel, for each key", """
from cryoedu.datasets import load
from cryoedu.widgets.projection import projection_viewer
projection_viewer(load("ribosome-80S", box=128), tilt=60)""", "rot", ".jp-OutputArea .cryoedu canvas[role=img]", 50),
    "CCF and PDF boards, 72 rotations × 81 shifts": ("the browser, from sums sent once", """
from cryoedu.datasets import load
from cryoedu.widgets.boards import ccf_pdf_boards
boards = ccf_pdf_boards(load("protein2d", box=64))
boards.shifts = True
boards""", "rotation φ", REFERENCE, 20),
    "EM stepper, 4 classes of 64 × 64 px, 60 turns": ("the browser, from frames sent once", """
from cryoedu.datasets import load
from cryoedu.geometry.grids import search_2d
from cryoedu.inference import classify2d
from cryoedu.microscope.experiment import simulate
from cryoedu.widgets.stepper import em_stepper
made = simulate(load("protein2d", box=64), 60, seed=1, snr=0.5, progress=False)
job = classify2d(made.particles, 4, search_2d(10), seed=1, iterations=60, radii=[12])
stepper = em_stepper(job, made.particles, search_2d(5))
stepper.frame = 0
stepper""", "turns done", REFERENCE, 20),
}
WATCH = """([slider, picture]) => {
    const sliders = [...document.querySelectorAll(".jp-OutputArea .cryoedu input[type=range]")];
    const input = sliders.find((e) => e.labels[0].textContent === slider);
    input.focus();
    window.took = [];
    let pressed = null;
    input.addEventListener("keydown", (event) => { pressed = event.timeStamp; });
    new MutationObserver(() => requestAnimationFrame(() => {  // a message sent from a frame arrives once it is painted
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => { if (pressed !== null) took.push(performance.now() - pressed); pressed = null; };
        port2.postMessage(0);
    })).observe(document.querySelector(picture), { attributes: true, attributeFilter: ["aria-label"] });
}"""


def milliseconds(page: Any, keys: int) -> list[float]:
    """What each of so many presses of the right arrow key took; the slider must have that many steps left."""
    page.evaluate("took.length = 0")
    for i in range(keys):
        page.wait_for_timeout(PAUSE)
        page.keyboard.press("ArrowRight")
        page.wait_for_function(f"took.length > {i}", timeout=20_000, polling=20)
    return list(page.evaluate("took"))


def busy(stack: ExitStack) -> None:
    """Keep every core busy until the stack is left."""
    for _ in os.sched_getaffinity(0):
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        stack.callback(process.wait)
        stack.callback(process.kill)
    time.sleep(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every widget and write the table."""
    from browser import laboratory

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=28, choices=range(1, 29), metavar="1…28")
    parser.add_argument("--table", type=Path, default=TABLE)
    asked = parser.parse_args(arguments)
    lines = ["# From a key to its picture", "",
             "Written by `python benchmarks/widget_latency.py`: milliseconds from an arrow key on a slider to the",
             "first frame after the picture has changed, in headless Chromium and JupyterLab on the same machine.",
             f"Keys come {PAUSE} ms after the last picture. All cores busy: a program on each computes without end.",
             "",
             f"Machine: {timed.machine()}; load before the first: {os.getloadavg()[0]:.1f}; keys of each kind: "
             f"{asked.keys}.", "",
             "| widget | computed by | machine | median | 90 % within | to reach, median |", "|---" * 6 + "|"]
    with tempfile.TemporaryDirectory() as folder, laboratory(Path(folder)) as page:
        for i, (name, (where, code, slider, picture, most)) in enumerate(WIDGETS.items()):
            page.notebook(f"{i}.ipynb", code.strip(), shows=picture)
            page.page.evaluate(WATCH, [slider, picture])
            milliseconds(page.page, 3)  # the first ones compile
            for state in ("as it is", "all cores busy"):
                with ExitStack() as stack:
                    if state != "as it is":
                        busy(stack)
                    took = np.array(milliseconds(page.page, asked.keys))
                lines.append(f"| {name} | {where} | {state} | {np.median(took):.0f} | {np.quantile(took, 0.9):.0f} | "
                             f"{most} |")
                print(lines[-1], flush=True)
    asked.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
