"""How long a file takes to open in JupyterLab, what the server holds meanwhile, and what it writes. A table beside this
file.

    python benchmarks/viewers.py [--repeats 3]

JupyterLab and headless Chromium run on this machine, as in the browser tests. The time runs from the command to open
the file to the first pictures on the page. The files are sparse: random numbers in their first sections, holes in the
others, which a file system reads as zeros; so the time of a disk is not in it, but all that is done with the file is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import mrcfile
import numpy as np
import psutil
import timed

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # browser.py
TABLE = Path(__file__).with_suffix(".md")
BOX, FILLED = 360, 24  # pixels of the images of a stack; sections that hold numbers
SIZES = {"64 MB": 64e6, "1 GB": 1e9, "8 GB": 8e9}
OPEN = """async ([path, shows]) => {
    const started = performance.now();
    await window.jupyterapp.commands.execute("docmanager:open", { path });
    const busy = "#jp-main-dock-panel .cryoedu[aria-busy]";
    const there = () => document.querySelector(shows) && !document.querySelector(busy);
    while (!there()) await new Promise(requestAnimationFrame);
    const took = performance.now() - started;
    await window.jupyterapp.commands.execute("application:close-all");
    return took;
}"""


def make(path: Path, sections: int, box: int) -> None:
    """A sparse MRC file of mode 2."""
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.zeros((1, box, box), np.float32))
        mrc.voxel_size = 1.0
        header = mrc.header.copy()
    header.nz = header.mz = sections
    header.ispg = 1
    with open(path, "r+b") as file:
        file.write(header.tobytes())
        np.random.default_rng(1).standard_normal((min(sections, FILLED), box, box), np.float32).tofile(file)
        file.truncate(1024 + 4 * sections * box * box)


@contextmanager
def most_held(process: psutil.Process) -> Iterator[list[float]]:
    """The most MB that a process held, looked at a hundred times a second."""
    most, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            most[0] = max(most[0], process.memory_info().rss / 1e6)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def beside(file: Path) -> int:
    """The bytes of all that lies beside a file and below, but what Jupyter keeps for itself in .home."""
    return sum(path.stat().st_size for path in file.parent.rglob("*")
               if path.is_file() and path != file and ".home" not in path.parts)


def row(page: Any, server: psutil.Process, what: str, path: Path, shows: str, repeats: int) -> str:
    """A row of the table: open and close the file so often."""
    others = beside(path)
    before = server.memory_info().rss / 1e6
    with most_held(server) as most:
        took = [page.evaluate(OPEN, [path.name, shows]) / 1000 for _ in range(repeats)]
    return f"| {what} | {took[0]:.2f} | {median(took):.2f} | {before:.0f} | {most[0]:.0f} | {beside(path) - others} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every file and write the table."""
    from browser import laboratory

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--largest", choices=SIZES, default="8 GB")
    parser.add_argument("--table", type=Path, default=TABLE)
    asked = parser.parse_args(arguments)
    lines = ["# Opening large files in JupyterLab", "",
             "Written by `python benchmarks/viewers.py`: seconds from the command to open a sparse file to its first",
             "pictures on the page, in headless Chromium and JupyterLab on the same machine, and what the server's",
             "process holds. A stack shows its first 24 images, a map three slices; both their statistics. Then it is",
             "closed; the last column says what has been written beside it.", "",
             f"Machine: {timed.machine()}, on which {psutil.getloadavg()[1]:.0f} other programs wanted to run in the "
             f"minutes before. Each file is opened {asked.repeats} times.", "",
             "| file | first time (s) | median (s) | server before (MB) | server at most (MB) | written (bytes) |",
             "|---" * 6 + "|"]
    sizes = list(SIZES.items())[: list(SIZES).index(asked.largest) + 1]
    with tempfile.TemporaryDirectory() as folder, laboratory(Path(folder)) as lab:
        server = next(p for p in psutil.Process().children(recursive=True) if "jupyterlab" in p.cmdline())
        lab.page.goto(f"{lab.url}/lab?reset", wait_until="domcontentloaded")
        lab.page.wait_for_selector(".jp-DirListing-content")
        for name, size in sizes:
            count, side = round(size / 4 / BOX**2), round((size / 4) ** (1 / 3))
            for what, file, sections, box, shows in (
                    (f"{name}: {count} images of {BOX} px", "stack.mrcs", count, BOX, ".cryoedu-gallery canvas"),
                    (f"{name}: a map of {side} px", "map.map", side, side, ".cryoedu-image:nth-child(3) canvas")):
                make(Path(folder) / file, sections, box)
                lines.append(row(lab.page, server, what, Path(folder) / file, shows, asked.repeats))
                print(lines[-1], flush=True)
                (Path(folder) / file).unlink()
        text = Path(folder) / "particles.star"
        with open(text, "w") as star:
            star.write("data_particles\nloop_\n" + "".join(f"_rlnColumn{i}\n" for i in range(28)))
            values = " ".join(f"{i}.123456" for i in range(27))
            star.writelines(f"{i:06d}@stack.mrcs {values}\n" for i in range(100_000))
        lines.append(row(lab.page, server, f"{text.stat().st_size / 1e6:.0f} MB: a STAR file of 100000 rows", text,
                         ".cryoedu-table td", asked.repeats))
        print(lines[-1], flush=True)
    asked.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
