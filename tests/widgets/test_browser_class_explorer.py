"""The class explorer in a real browser: what it cuts and counts there is what Python has."""

from __future__ import annotations

import numpy as np
import pytest
from widgets.examples import EXAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TELL = """import json
maps, apart = widget.section()
print(json.dumps({"traits": [widget.iteration, widget.plane, widget.depth, widget.shown], "maps": maps.tolist(),
                  "range": widget._range, "table": widget.table().tolist(), "words": widget.words(),
                  "over": widget.counts()[:, 10:].sum(axis=1).tolist()}))"""
GREYS = """() => [...document.querySelectorAll('.cryoedu-stage canvas')].map(c => {
    const all = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    return Array.from({ length: c.width * c.height }, (_, i) => all[4 * i]); })"""


@pytest.fixture(scope="module")
def explorer(lab):
    lab.notebook("explorer.ipynb", EXAMPLES["class_explorer"].strip() + "\nwidget", TELL, shows=".cryoedu-table")
    return lab


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_sections_tables_and_words_agree_with_python(explorer, plane):
    """They are made twice, in JavaScript for speed and in Python for the picture: they must not drift apart."""
    page = explorer.page
    page.locator(".jp-OutputArea .cryoedu button", has_text="first").click()
    for _ in range(plane):
        page.locator(".jp-OutputArea .cryoedu button", has_text="step").click()
    page.locator(".jp-OutputArea .cryoedu select").nth(0).select_option(index=plane)
    page.locator(".jp-OutputArea .cryoedu select").nth(1).select_option(index=plane % 2)
    depth = page.locator(".jp-OutputArea .cryoedu input[type=range]").nth(1)
    for key in ["Home"] + ["ArrowRight"] * (8 - plane):
        depth.press(key)
    said = explorer.ask()
    assert said["traits"] == [plane, plane, 8 - plane, plane % 2]
    low, high = said["range"]
    wanted = (np.array(said["maps"]) - low) * 255 / (high - low)
    greys = page.evaluate(GREYS)[::2]  # the maps; the differences stand between them
    assert np.abs(np.array(greys) - wanted.reshape(len(wanted), -1)).max() <= 1
    cells = page.locator(".cryoedu-table td").all_inner_texts()
    assert [int(c) for c in cells if c] == np.ravel(said["table"]).tolist()
    assert explorer.words() == said["words"]
    labels = page.locator(".cryoedu-histogram").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    assert [label.split(": ")[1].split(" of")[0] for label in labels] == [f"{v:.0f}" for v in said["over"]]


def test_playing_goes_to_the_last_iteration_and_stops(explorer):
    page = explorer.page
    page.locator(".jp-OutputArea .cryoedu button", has_text="first").click()
    page.locator(".jp-OutputArea .cryoedu button", has_text="play").click()
    page.wait_for_function("""document.querySelector('.jp-OutputArea .cryoedu input[type=range]').value === '2' &&
        document.querySelector('.jp-OutputArea .cryoedu button').textContent === 'play'""")
    assert explorer.ask()["traits"][0] == 2
    assert explorer.console == [] and explorer.outside == []
