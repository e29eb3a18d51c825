"""The CTF explorer and the projection-slice explorer in a real browser: every pixel against Python's own numbers."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.widgets.ctf_explorer import ctf_explorer
from cryoedu.widgets.page import cividis
from cryoedu.widgets.slice_explorer import DECADES, slice_explorer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CTF = """from cryoedu.datasets import load
from cryoedu.widgets.ctf_explorer import ctf_explorer
ctf_explorer(load("protein2d", box=128, pixel_size=2.5))"""
SLICES = """from cryoedu.datasets import load
from cryoedu.widgets.slice_explorer import slice_explorer
slice_explorer(load("ribosome-80S", box=32))"""
PIXELS = """i => { const c = document.querySelectorAll('.jp-OutputArea .cryoedu canvas[role=img]')[i];
    return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }"""
TABLE = np.frombuffer(cividis(), np.uint8).reshape(256, 3).astype(int)
GREYS = np.repeat(np.arange(256)[:, None], 3, axis=1)


def opened(lab, name, code):
    lab.notebook(f"{name}.ipynb", code, shows=".jp-OutputArea .cryoedu svg")
    return lab


def slide(page, label, *keys):
    """Press keys on the slider with this label; returns its value."""
    slider = page.page.get_by_label(label, exact=True)
    slider.focus()
    for key in keys:
        page.page.keyboard.press(key)
    return float(slider.input_value())


def painted(page, index):
    return np.array(page.page.evaluate(PIXELS, index)).reshape(-1, 4)[:, :3]


def expected(values, low, high, table):
    levels = np.clip(np.rint((np.ravel(values) - low) * 255 / (high - low)), 0, 255).astype(int)
    return table[levels]


def agree(page, index, values, low, high, table=GREYS, share=1.0):
    """Whether at least this share of the pixels of a canvas are Python's, to two levels in 256."""
    return np.mean(np.abs(painted(page, index) - expected(values, low, high, table)).max(axis=1) <= 4) >= share


def spread(values):
    return values.mean() - 3 * values.std(), values.mean() + 3 * values.std()


SETTINGS = ({}, {"defocus Δf": ["PageUp"] * 2, "astigmatism": ["PageUp"] * 3, "angle of U": ["ArrowRight"] * 5},
            {"phase plate": ["End"], "envelope B": ["PageUp"], "voltage": ["Home"], "aberration Cₛ": ["End"]},
            {"defocus Δf": ["Home"], "contrast Q₀": ["PageUp"] * 3})
TRAITS = {"defocus Δf": "defocus", "astigmatism": "astigmatism", "angle of U": "angle", "phase plate": "phase_shift",
          "envelope B": "b_factor", "voltage": "voltage", "aberration Cₛ": "cs", "contrast Q₀": "amplitude_contrast"}


def test_the_browser_s_ctf_is_python_s(lab):
    """The formula is written twice, in JavaScript for speed: a sign or a factor that differs would teach it wrong."""
    page, mine = opened(lab, "ctf", CTF), ctf_explorer(load("protein2d", box=128, pixel_size=2.5))
    seen = set()
    for setting in SETTINGS:
        for label, keys in setting.items():
            setattr(mine, TRAITS[label], slide(page, label, *keys))
        words, now = page.words(), mine.planes()
        assert agree(page, 1, now["ctf"] ** 2, 0, 1, TABLE, share=0.999)
        assert agree(page, 2, now["psf"], *spread(now["psf"]), share=0.99)
        assert agree(page, 3, now["image"], now["image"].min(), now["image"].max(), share=0.99)
        zero = mine.first_zero()
        assert ("no zero" if zero is None else f"first zero at {zero:.1f} Å") in words
        assert f"keeps {mine.contrast():.0%}".replace("%", " %") in words
        assert f"up to {mine.displacement(5):.0f} Å from where they belong" in words
        seen.add(words)
    assert len(seen) == len(SETTINGS)
    page.page.get_by_text("as at the start").click()
    assert [slide(page, label) for label in ("defocus Δf", "phase plate", "voltage")] == [12000, 0, 300]
    mine.close()
    assert page.outside == []


def test_a_key_is_painted_at_once(lab):
    """256 × 256 pixels, two transforms: the bound is loose, for busy machines."""
    page = opened(lab, "large", CTF.replace("box=128, pixel_size=2.5", "box=256, pixel_size=1.5"))
    took = page.page.evaluate("""async () => {
        const slider = document.querySelector('.jp-OutputArea .cryoedu input[type=range]'), times = [];
        for (let i = 0; i < 15; i++) {
            const start = performance.now();
            slider.value = 10000 + 250 * i; slider.dispatchEvent(new Event('input'));
            times.push(performance.now() - start);
            await new Promise(requestAnimationFrame);
        }
        return times; }""")
    print("median ms:", round(statistics.median(took), 1))
    assert statistics.median(took) < 150


def test_the_browser_s_slices_are_python_s(lab):
    page, mine = opened(lab, "slices", SLICES), slice_explorer(load("ribosome-80S", box=32))
    top = np.log10(np.frombuffer(mine._map, np.float32).sum())
    for rot, tilt, count, kind in ((0, 0, 0, 0), (7, 11, 20, 1), (50, 20, 30, 2)):
        mine.rot, mine.tilt = slide(page, "rot", "Home", *["ArrowRight"] * rot), \
            slide(page, "tilt", "Home", *["ArrowRight"] * tilt)
        mine.slices = int(slide(page, "how many", "Home", *["ArrowRight"] * count))
        mine.kind = kind
        page.page.get_by_label("many views").select_option(str(kind))
        words, now = page.words(), mine.look()
        assert agree(page, 0, np.maximum(now["slice"], -30), top - DECADES, top, TABLE, share=0.99)
        assert agree(page, 1, now["from_slice"], *spread(now["from_slice"]), share=0.99)
        assert agree(page, 2, now["by_sums"], *spread(now["by_sums"]), share=0.98)
        assert agree(page, 3, now["reached"], 0, 1, TABLE)
        assert count == 0 or agree(page, 4, now["section"], *spread(now["section"]), share=0.99)
        alike = np.corrcoef(now["from_slice"].ravel(), now["by_sums"].ravel())[0, 1]
        assert f"correlation of the two projections is {alike:.3f}" in words and f"{count} slices" in words
    mine.close()
    assert page.outside == [] and not [line for line in page.console if "cryoedu" in line]
