"""The Wiener and T explorer in a browser: it shows what Python computes, wherever its controls stand."""

from __future__ import annotations

import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOW = """from cryoedu.datasets import load
from cryoedu.widgets.wiener import wiener_explorer
explorer = wiener_explorer(load("protein2d", box=64), images=20, snr=0.05)
explorer"""
TELL = """import json
print(json.dumps(explorer._words(explorer.curves(), explorer.sweep())))"""
NUMBERS = r"(\d+) images|SNR (\d[\d.]*\d|\d)|map (\d\.\d\d)|prior (\d\.\d\d)|owest (\d\.\d\d)|T = 1: (\d\.\d\d)"


@pytest.fixture(scope="module")
def explorer(lab):
    lab.notebook("explorer.ipynb", SHOW, TELL, shows=".jp-OutputArea .cryoedu svg")
    return lab


def numbers(words):
    return sorted(next(filter(None, found)) for found in re.findall(NUMBERS, words))


@pytest.mark.parametrize("source", range(5), ids=["truth", "map", "halves", "flat", "none"])
def test_the_browser_and_python_find_the_same_map(explorer, source):
    """The sums are done twice, in JavaScript for speed and in Python for the picture: they must not drift apart."""
    explorer.page.locator(".jp-OutputArea .cryoedu select").select_option(index=source)
    for slider, keys in ((2, ["ArrowRight"] * 12), (0, ["ArrowRight"] * 2), (1, ["ArrowLeft"] * 3)):
        explorer.page.locator('.jp-OutputArea .cryoedu input[type="range"]').nth(slider).focus()
        for key in keys if source % 2 else [k.replace("Right", "Up").replace("Left", "Down") for k in keys]:
            explorer.page.keyboard.press(key)
    shown, python = explorer.words(), explorer.ask()
    assert len(numbers(python)) >= 5 and numbers(shown) == numbers(python), (shown, python)


def test_a_click_on_the_error_curve_sets_t(explorer):
    explorer.page.locator(".jp-OutputArea .cryoedu select").select_option(index=0)
    frame = explorer.page.locator(".cryoedu-errors .frame").bounding_box()
    explorer.page.mouse.click(frame["x"] + frame["width"] / 2, frame["y"] + 20)
    strength = explorer.page.locator('.jp-OutputArea .cryoedu input[type="range"]').nth(2)
    assert strength.get_attribute("aria-valuetext") in ("1", "1.0")


def test_the_truth_on_the_canvas_is_the_particle(explorer):
    """The Fourier transform is written in JavaScript: a wrong sign would turn the picture upside down."""
    pixels = explorer.page.locator(".jp-OutputArea .cryoedu canvas[role=img]").first.evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((v, i) => i % 4 === 0)")
    import numpy as np

    from cryoedu.datasets import load

    density = load("protein2d", box=64).density
    assert np.corrcoef(np.array(pixels, dtype=float), density.ravel())[0, 1] > 0.99
