"""The pictures of lab.md and lab_*.md: what JupyterLab shows, taken by a headless Chromium.

    python docs/pictures.py [NAME …]

Each is a function that does what a person would, on files that it makes in the folder that JupyterLab serves.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # browser.py
HERE = Path(__file__).with_suffix("")
RELION = ROOT / "tests" / "data" / "relion"
COLOURS = 20
CALM = "!document.querySelector('.cryoedu[aria-busy], .cryoedu [aria-busy]')"


def open_file(lab: Any, name: str, shows: str) -> Any:
    """The page with this file open, once it shows something and nothing is due any more."""
    lab.page.goto(f"{lab.url}/lab/tree/{name}?reset", wait_until="domcontentloaded")
    lab.page.wait_for_selector(shows, timeout=120_000)
    lab.page.wait_for_function(CALM)
    return lab.page


def tab(page: Any, name: str) -> None:
    """Choose a tab of the viewer."""
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_function(CALM)


def particles(folder: Path) -> None:
    """A small stack of simulated particles that can be seen by eye."""
    from cryoedu.datasets import load
    from cryoedu.files.mrc import write_stack
    from cryoedu.microscope.experiment import simulate

    made = simulate(load("ribosome-80S", box=64), 60, seed=1, snr=0.5, progress=False)
    write_stack(made.particles.images, folder / "particles.mrcs", made.particles.pixel_size)


def ribosome(folder: Path) -> None:
    """A map."""
    from cryoedu.datasets import load
    from cryoedu.microscope.specimen import write_map

    write_map(load("ribosome-80S", box=96), folder / "ribosome.mrc")


def gallery(lab: Any) -> None:
    """The images of a stack."""
    particles(lab.root)
    open_file(lab, "particles.mrcs", ".cryoedu-gallery button")


def spectrum(lab: Any) -> None:
    """The mean power spectrum of a stack."""
    particles(lab.root)
    page = open_file(lab, "particles.mrcs", ".cryoedu-gallery button")
    tab(page, "power spectrum")
    page.get_by_label("of", exact=True).select_option("many images, mean")
    page.wait_for_function(CALM)


def slices(lab: Any) -> None:
    """A map in slices."""
    ribosome(lab.root)
    open_file(lab, "ribosome.mrc", ".cryoedu-image >> nth=2")


def surface(lab: Any) -> None:
    """A map as a surface."""
    ribosome(lab.root)
    page = open_file(lab, "ribosome.mrc", ".cryoedu-image")
    tab(page, "surface")
    page.get_by_role("slider", name="seen from tilt").fill("60")
    page.get_by_role("slider", name="enlarged").fill("1.25")
    page.wait_for_function(CALM)


def star(lab: Any) -> None:
    """Rows of a STAR file, in the order of a column, and the image of one."""
    particles(lab.root)
    text = (RELION / "particles.star").read_text()
    (lab.root / "particles.star").write_text("".join(
        line for line in text.splitlines(keepends=True) if "@" not in line or int(line.split("@")[0]) <= 60))
    page = open_file(lab, "particles.star", ".cryoedu-table tbody tr")
    page.get_by_role("button", name="rlnAngleRot", exact=True).click()
    page.wait_for_function(CALM)
    page.locator(".cryoedu-table tbody tr").nth(4).click()
    page.wait_for_selector(".cryoedu-picked canvas")
    page.wait_for_function(CALM)


def lab_course(lab: Any) -> None:
    """A lesson beside the panel that leads through the course."""
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(path, lab.root)
    done = {"0": 3, "1": 6, "2": 6, "3": 3}
    solved = [f"{lesson}.{k + 1}" for lesson, count in done.items() for k in range(count)]
    (lab.root / ".home" / "progress.json").write_text(json.dumps({"solved": solved, "tried": ["3.4"]}))
    lab.page.set_viewport_size({"width": 900, "height": 860})
    lab.open("03_ml_alignment.ipynb")
    lab.page.evaluate("window.jupyterapp.commands.execute('cryoedu:course')")
    lab.page.locator("#cryoedu-course", has_text="1 kernel runs").wait_for()
    lab.page.locator("#cryoedu-course summary", has_text="ML alignment").press("Enter")


def lab_runs(lab: Any) -> None:
    """A refinement that has come to its end."""
    def cryoedu(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "cryoedu.commands.app", *words], cwd=lab.root, check=True)

    cryoedu("simulate", "ribosome-80S", "-o", "sim", "--n", "300", "--box", "32", "--pixel-size", "11", "--snr", "0.5",
            "--random-seed", "1")
    cryoedu("reconstruct", "sim/truth_data.star", "-o", "start.mrc")
    cryoedu("refine3d", "sim/particles_data.star", "-o", "runs/job007", "--reference", "start.mrc",
            "--particle-diameter", "310")
    lab.page.set_viewport_size({"width": 1060, "height": 960})
    lab.page.goto(f"{lab.url}/lab?reset", wait_until="domcontentloaded")
    lab.page.locator(".jp-LauncherCard", has_text="Runs").click(timeout=120_000)
    lab.page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    lab.page.wait_for_selector(".cryoedu-image canvas")


def lab_magics(lab: Any) -> None:
    """A map, particles and an answer in a notebook."""
    lab.page.set_viewport_size({"width": 900, "height": 900})
    lab.notebook(
        "notebook.ipynb",
        '%load_ext cryoedu\nfrom cryoedu.datasets import load\n\nribosome = load("ribosome-80S", box=64)\nribosome',
        "%cryoedu check 3.1 5",
        "from cryoedu.microscope.experiment import simulate\n\n"
        "experiment = simulate(ribosome, 60, seed=1, snr=0.5, progress=False)\nexperiment.particles",
        shows=".jp-OutputArea-output img")
    for cell in (1, 2):
        lab.run(cell)
    lab.page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")


SCENES: dict[str, Callable[[Any], None]] = {
    scene.__name__: scene for scene in (gallery, spectrum, slices, surface, star, lab_course, lab_runs,
                                      lab_magics)}


def save(png: bytes, path: Path) -> None:
    """A screenshot in few colours, which is a quarter of its size."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Take the pictures of these names, or all."""
    from browser import laboratory

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*SCENES, []])
    parser.add_argument("--folder", type=Path, default=HERE)
    asked = parser.parse_args(arguments)
    asked.folder.mkdir(exist_ok=True)
    served = Path(tempfile.mkdtemp())
    try:
        with laboratory(served) as lab:
            lab.page.set_viewport_size({"width": 1100, "height": 680})
            for name in asked.names or SCENES:
                SCENES[name](lab)
                save(lab.page.screenshot(), asked.folder / f"{name}.png")
                print(f"{name}.png")
    finally:
        shutil.rmtree(served, ignore_errors=True)


if __name__ == "__main__":
    main()
