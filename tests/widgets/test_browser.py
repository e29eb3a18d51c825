"""The boards as a learner meets them: in JupyterLab, in a real browser, with every address but the server's closed."""

from __future__ import annotations

import os
import re
import statistics

import nbformat
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOW = """from cryoedu.datasets import load
from cryoedu.widgets import ccf_pdf_boards
boards = ccf_pdf_boards(load("protein2d", box=40), snr=0.1)
boards"""
TELL = """import json
now = boards.curves()
print(json.dumps({name: getattr(boards, name) for name in ("rotation", "snr", "sigma", "shifts", "particle")} |
    {"likely": int(now["pdf"].argmax()) * 5, "percent": round(100 * float(now["pdf"].max())),
     "best": int(now["ccf"].argmax()) * 5}))"""


@pytest.fixture(scope="module")
def boards(lab):
    lab.notebook("boards.ipynb", SHOW, TELL, shows=".jp-OutputArea .cryoedu svg")
    return lab


def sliders(page):
    return page.page.locator('.jp-OutputArea .cryoedu input[type="range"]')


def painted(page):
    return page.page.evaluate("""[...document.querySelectorAll('.jp-OutputArea .cryoedu canvas')].map(c => {
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        return new Set(d).size; })""")


def test_it_paints_and_says_what_it_paints(boards):
    particle, _, reference, _ = painted(boards)
    assert particle > 20 and reference > 20
    pictures = boards.page.locator(".jp-OutputArea .cryoedu [role=img]")
    labels = pictures.evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    assert len(labels) == 6 and all(labels)
    names = sliders(boards).evaluate_all("all => all.map(e => e.labels[0].textContent)")
    assert names == ["rotation φ", "SNR of the image", "σ of the model"]
    assert boards.page.locator(".jp-OutputArea .cryoedu [aria-live]").inner_text().startswith("At φ = 0°")


def test_arrow_keys_turn_the_reference_and_stay_in_the_widget(boards):
    """JupyterLab would take the arrows to go to the next cell."""
    cell = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    sliders(boards).nth(0).focus()
    before = boards.page.evaluate(cell)
    for _ in range(9):
        boards.page.keyboard.press("ArrowRight")
    for _ in range(2):
        boards.page.keyboard.press("ArrowDown")
    assert sliders(boards).nth(0).get_attribute("aria-valuetext") == "35°"
    assert boards.page.evaluate(cell) == before
    said = boards.ask()
    assert said["rotation"] == 7


def test_the_browser_and_python_draw_the_same_boards(boards):
    """The sums are done twice, in JavaScript for speed and in Python for the picture: they must not drift apart."""
    seen = set()
    for keys in ((), ("ArrowLeft",) * 20, ("ArrowRight",) * 26):
        sliders(boards).nth(1).focus()
        for key in keys:
            boards.page.keyboard.press(key)
        said = boards.ask()
        words = boards.page.locator(".cryoedu-pdf").get_attribute("aria-label")
        assert re.search(r"(\d+) percent at (\d+)", words).groups() == (str(said["percent"]), str(said["likely"]))
        assert f"highest at {said['best']} degrees" in boards.page.locator(".cryoedu-ccf").get_attribute("aria-label")
        seen.add(words)
    assert len(seen) == 3


def test_extreme_positions_draw_numbers(boards):
    boards.page.locator('.jp-OutputArea .cryoedu input[type="checkbox"]').check()
    for snr in ("Home", "End"):
        for sigma in ("Home", "End"):
            for slider, key in ((1, snr), (2, sigma), (0, sigma)):
                sliders(boards).nth(slider).focus()
                boards.page.keyboard.press(key)
            boards.words()
            shown = boards.page.locator(".jp-OutputArea .cryoedu").inner_html()
            assert "NaN" not in shown and "Infinity" not in shown and "undefined" not in shown
    particle, ccf_map, reference, pdf_map = painted(boards)
    assert min(particle, ccf_map, reference) > 20 and pdf_map >= 3  # at this SNR the PDF is one point
    said = boards.ask()
    assert (said["snr"], said["sigma"], said["shifts"]) == (pytest.approx(10), pytest.approx(10), True)


def test_buttons_and_clicks(boards):
    boards.page.locator(".jp-OutputArea .cryoedu button", has_text="another particle").click()
    boards.page.locator(".jp-OutputArea .cryoedu button", has_text="true σ").click()
    box = boards.page.locator(".cryoedu-ccf .frame").bounding_box()
    boards.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    said = boards.ask()
    assert (said["particle"], said["sigma"]) == (1, 1.0) and abs(said["rotation"] - 36) <= 1


def test_a_key_is_painted_at_once(boards):
    """What is dragged must follow the hand. The bound is loose, for busy machines; typical is a few milliseconds."""
    took = boards.page.evaluate("""async () => {
        const slider = document.querySelectorAll('.jp-OutputArea .cryoedu input[type=range]')[0], times = [];
        for (let i = 0; i < 30; i++) {
            const start = performance.now();
            slider.value = i; slider.dispatchEvent(new Event('input'));
            times.push(performance.now() - start);
            await new Promise(requestAnimationFrame);
        }
        return times; }""")
    assert statistics.median(took) < 50


def test_two_views_and_a_closed_widget_leave_no_error(boards):
    for _ in range(3):
        boards.run(0)
    boards.page.wait_for_selector(".jp-OutputArea .cryoedu svg")
    assert boards.page.locator(".jp-OutputArea .cryoedu").count() == 1


def test_nothing_came_from_outside_and_nothing_went_wrong(boards):
    assert boards.outside == []
    assert [line for line in boards.console if "cryoedu" in line or "widget" in line.lower()] == []
    if "CRYOEDU_SHOTS" in os.environ:
        boards.page.screenshot(path=os.environ["CRYOEDU_SHOTS"])


def test_the_still_picture_hides_behind_the_live_view(boards):
    assert boards.page.locator(".cryoedu-still").count() == 1
    assert not boards.page.locator(".cryoedu-still").is_visible()
    assert boards.page.locator(".jp-OutputArea .cryoedu svg").first.is_visible()


def test_opened_the_next_day_the_learners_notebook_shows_the_picture(boards):
    """The kernel is gone, and the widget with it; JupyterLab would show nothing but an error."""
    boards.command("docmanager:save")
    boards.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    boards.open("boards.ipynb")
    picture = boards.page.locator(".cryoedu-still img")
    picture.wait_for(state="visible")
    assert "CCF and PDF boards" in picture.get_attribute("alt")
    boards.page.wait_for_timeout(2000)  # until the widget has failed to load
    assert picture.is_visible()
    assert not boards.page.get_by_text("Error displaying widget").is_visible()


def test_a_stored_notebook_that_is_not_trusted_shows_the_picture(boards):
    """The solved notebooks as they are downloaded: nothing was run, and the server has not signed them."""
    from cryoedu.course.build import tidy, to_text

    stored = tidy(nbformat.read(boards.root / "boards.ipynb", 4))
    (boards.root / "stored.ipynb").write_text(to_text(stored))
    boards.open("stored.ipynb")
    picture = boards.page.locator(".jp-OutputArea img")
    assert picture.count() == 1 and "CCF and PDF boards" in picture.get_attribute("alt")
    assert picture.evaluate("e => e.naturalWidth") > 400
