"""Bad start in a real browser: what is chosen and stepped there is what Python has, and what is said is true."""

from __future__ import annotations

import os

import pytest
from widgets.examples import EXAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TELL = """import json
now = [widget.now(run) for run in (widget.left, widget.right)]
print(json.dumps({"traits": [widget.left, widget.right, widget.frame], "numbers": [n["numbers"] for n in now],
                  "reached": [round(n["resolution"]) for n in now]}))"""


@pytest.fixture(scope="module")
def shown(lab):
    lab.notebook("bad_start.ipynb", EXAMPLES["bad start"].strip() + "\nwidget", TELL,
                 shows=".jp-OutputArea .cryoedu svg")
    return lab


def test_stepping_moves_both_runs_and_the_shorter_one_waits(shown):
    shown.page.locator(".jp-OutputArea .cryoedu button", has_text="first").click()
    for _ in range(3):
        shown.page.locator(".jp-OutputArea .cryoedu button", has_text="step").click()
    said = shown.ask()
    assert said == {"traits": [0, 1, 3], "numbers": [4, 3], "reached": [68, 50]}
    assert "ball, iteration 4: FSC above 0.5 to 68 Å" in shown.words() and "noise, iteration 3" in shown.words()


def test_a_run_without_a_likelihood_in_common_says_none(shown):
    shown.page.locator(".jp-OutputArea .cryoedu button", has_text="first").click()
    text = shown.words()
    assert "ball, iteration 1: FSC above 0.5 to 120 Å, log L 8000 below the best" in text
    assert "noise, iteration 1: FSC above 0.5 to 120 Å, mean" in text


def test_choosing_shows_the_other_run(shown):
    shown.page.locator(".jp-OutputArea .cryoedu select").nth(1).select_option(label="ball")
    assert shown.ask()["traits"][:2] == [0, 0]
    same = shown.page.evaluate("""() => {
        const pictures = [...document.querySelectorAll('.jp-OutputArea .cryoedu canvas')];
        const all = pictures.map(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.join());
        return all[0] === all[3] && all[0] !== all[6]; }""")
    assert same
    shown.page.locator(".jp-OutputArea .cryoedu select").nth(1).select_option(label="noise")
    assert shown.ask()["traits"][:2] == [0, 1]
    if "CRYOEDU_SHOTS" in os.environ:
        shown.page.screenshot(path=os.environ["CRYOEDU_SHOTS"])
