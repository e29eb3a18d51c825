"""The pictures of lab.md: what JupyterLab shows, taken by a headless Chromium.

    python docs/pictures.py [NAME …]

Each is a function that does what a person would, on files that it makes in the folder that JupyterLab serves.
"""

from __future__ import annotations

import argparse
import io
import shutil
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
    from cryoedu.microscope.experiment import simulate
    from cryoedu.particles.mrc import write_stack

    made = simulate(load("ribosome-80S", box=64), 60, seed=1, snr=0.5, progress=False)
    write_stack(made.particles.images, folder / "particles.mrcs", made.particles.pixel_size)


def ribosome(folder: Path) -> None:
    """A map."""
    from cryoedu.datasets import load
    from cryoedu.particles.mrc import write_map

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


SCENES: dict[str, Callable[[Any], None]] = {
    scene.__name__: scene for scene in (gallery, spectrum, slices, surface, star)}


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
