"""The widgets of lesson 2 in a real browser: what JavaScript computes is what Python says, forwards and backwards."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOW = """import json
from IPython.display import display
from cryoedu.datasets import load
from cryoedu.widgets.ccf_board import ccf_board
from cryoedu.widgets.noise_portrait import noise_portrait
board, stepper = ccf_board(load("protein2d", box=40), snr=0.3), noise_portrait(images=20)
display(board)
display(stepper)"""
TELL = """average = stepper.average()
low, high = average.mean() - 3 * average.std(), average.mean() + 3 * average.std()
grey = ((average - low) * 255 / (high - low)).clip(0, 255).round().astype(int)
print(json.dumps({"rotation": board.rotation, "particle": board.particle, "ccf": board.curve().round().tolist(),
    "images": stepper.images, "portrait": stepper.portrait, "aligned": stepper.aligned,
    "correlation": round(stepper.correlation(), 2), "average": grey.ravel().tolist()}))"""
GREY = """c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((v, i) => i % 4 === 0)"""


@pytest.fixture(scope="module")
def shown(lab):
    lab.notebook("maxcc.ipynb", SHOW, TELL, shows=".cryoedu-bias")
    return lab


def widget(shown, label):
    return shown.page.locator(f'.jp-OutputArea .cryoedu[aria-label="{label}"]')


def words(shown, name):
    return shown.page.locator(f".cryoedu-{name}").get_attribute("aria-label")


def test_the_curve_is_drawn_as_the_reference_turns(shown):
    """The lesson asks to predict the highest point before it is drawn: it must not stand there already."""
    board = widget(shown, "The CCF on the board")
    assert words(shown, "ccf").startswith("CCF, 1 of 72 points drawn")
    board.locator('input[type="range"]').first.focus()
    for _ in range(12):
        shown.page.keyboard.press("ArrowRight")
    said = shown.ask()
    assert said["rotation"] == 12 and words(shown, "ccf").startswith("CCF, 13 of 72 points drawn")
    now = board.locator("[aria-live]").inner_text()
    assert f"At φ = 60° the CCF is {said['ccf'][12]:.0f}." in now
    best = int(np.argmax(said["ccf"][:13]))
    assert f"{said['ccf'][best]:.0f} at {5 * best}" in words(shown, "ccf")
    board.get_by_label("show the whole curve").check()
    best = int(np.argmax(said["ccf"]))
    assert f"72 of 72 points drawn; highest of the 72 points drawn: {said['ccf'][best]:.0f} at {5 * best}" in \
        words(shown, "ccf")
    board.get_by_label("show the whole curve").uncheck()
    board.locator("button", has_text="another particle").click()
    assert words(shown, "ccf").startswith("CCF, 1 of 72 points drawn") and shown.ask()["particle"] == 1


def test_the_average_is_the_same_in_both_languages(shown):
    """Images are added and taken away again one by one: an error would pile up with every step."""
    stepper = widget(shown, "A portrait out of noise")
    canvas = stepper.locator("canvas").last
    buttons = {text: stepper.locator("button", has_text=re.compile(f"^{text}$")) for text in (
        "100 more", "10 fewer", "last", "100 fewer", "step")}
    for presses, choice in ((["100 more", "10 fewer", "step"], None), (["last", "100 fewer"], None),
                            (["10 fewer"], "cat")):
        for text in presses:
            buttons[text].click()
        if choice:
            stepper.locator("select").select_option(label=choice)
        said = shown.ask()
        assert np.abs(np.array(canvas.evaluate(GREY)) - said["average"]).max() <= 1
        assert f"{said['correlation']:.2f} measured" in words(shown, "bias")
        assert f"with {said['images']} noise images" in words(shown, "bias")
    assert (said["images"], said["portrait"]) == (890, 1)
    stepper.get_by_label("align the images to the portrait").uncheck()
    said = shown.ask()
    assert said["aligned"] is False and np.abs(np.array(canvas.evaluate(GREY)) - said["average"]).max() <= 1
    assert "0.00 predicted" in words(shown, "bias")


def test_nothing_went_wrong(shown):
    assert shown.outside == [] and shown.console == []
