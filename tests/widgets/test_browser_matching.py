"""Matching by hand as a learner does it: in JupyterLab, in a real browser."""

from __future__ import annotations

import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOW = """from cryoedu.datasets import load
from cryoedu.widgets.matching import match_by_hand
widget = match_by_hand(load("ribosome-80S", box=32), images=3)
widget"""
TELL = """import json
print(json.dumps({name: getattr(widget, name) for name in ("rot", "tilt", "psi", "snr", "image", "revealed")} |
    {"score": widget.score(), "best": float(widget.grid_scores().max()), "at": widget.best_angles().tolist()}))"""

BEGIN = """widget.image = 1  # another image forgets the tries
with widget.hold_sync():
    widget.image, widget.snr, widget.revealed, widget.rot, widget.tilt, widget.psi = 0, 1.0, False, 0, 90, 0
print(widget.score(), widget.grid_scores().max())"""


@pytest.fixture(scope="module")
def matching(lab):
    lab.notebook("match.ipynb", SHOW, TELL, BEGIN, shows=".jp-OutputArea .cryoedu svg")
    return lab


@pytest.fixture(autouse=True)
def beginning(matching):
    """Every test begins at the first image, without what the others did."""
    matching.run(1)  # until the kernel has heard of the last keys
    now, best = map(float, matching.run(2).split())
    wanted = f"now {now:.2f}, your best {now:.2f}, the computer's best {best:.2f}"
    matching.page.wait_for_function("words => document.querySelector('.cryoedu-tries').ariaLabel.includes(words)",
                                    arg=wanted)


def plot_says(page):
    words = page.page.locator(".cryoedu-tries").get_attribute("aria-label")
    return tuple(map(float, re.findall(r"-?\d\.\d\d", words)))  # now, your best, the computer's best


def click(page, words):
    page.page.locator(".jp-OutputArea .cryoedu button", has_text=words).click()


def press(page, slider, *keys):
    page.page.locator('.jp-OutputArea .cryoedu input[type="range"]').nth(slider).focus()
    for key in keys:
        page.page.keyboard.press(key)


def test_the_browser_and_python_see_the_same_score(matching):
    """The map is turned twice, in JavaScript for speed and in Python for the picture: they must not drift apart."""
    seen = set()
    for slider, key, times in ((0, "ArrowRight", 9), (1, "ArrowLeft", 7), (2, "ArrowRight", 20), (3, "ArrowLeft", 5)):
        press(matching, slider, *[key] * times)
        said, (now, _, best) = matching.ask(), plot_says(matching)
        assert now == pytest.approx(said["score"], abs=0.011) and best == pytest.approx(said["best"], abs=0.011)
        seen.add(now)
    assert len(seen) == 4
    assert (said["rot"], said["tilt"], said["psi"]) == (45, 55, 100)


def test_my_best_is_kept_and_another_image_begins_anew(matching):
    tops = []
    for _ in range(6):
        press(matching, 2, "ArrowRight", "ArrowRight")
        now, mine, _ = plot_says(matching)
        tops.append(mine)
        assert mine >= now
    assert tops == sorted(tops)
    click(matching, "another image")
    now, mine, _ = plot_says(matching)
    assert now == mine and matching.ask()["image"] == 1


def test_the_computers_best_is_shown_but_not_counted_as_mine(matching):
    before = plot_says(matching)[1]
    click(matching, "computer's best")
    said, (now, mine, best) = matching.ask(), plot_says(matching)
    assert now > best - 0.1 and mine == before < now
    assert all(abs((said[name] - at + 180) % 360 - 180) <= 2.6 for name, at in zip(("rot", "tilt", "psi"), said["at"]))


@pytest.mark.parametrize("image", range(3))
def test_near_the_truth_a_few_keys_win(matching, image):
    """What a learner does with help: from nearby, one angle after the other uphill."""
    for _ in range(image):
        click(matching, "another image")
    click(matching, "bring me near")
    for slider in (0, 1, 2) * 3:
        for key, back in (("ArrowRight", "ArrowLeft"), ("ArrowLeft", "ArrowRight")):
            for _ in range(6):
                before = plot_says(matching)[0]
                press(matching, slider, key)
                if plot_says(matching)[0] < before:
                    press(matching, slider, back)
                    break
    now, _, best = plot_says(matching)
    assert now > best - 0.05


def test_the_landscape_is_hidden_until_it_is_asked_for_and_can_be_clicked(matching):
    landscape = matching.page.locator(".cryoedu-image", has_text="for each side").locator("canvas[role=img]")
    assert not landscape.is_visible()
    matching.page.locator('.jp-OutputArea .cryoedu input[type="checkbox"]').check()
    assert landscape.is_visible() and "highest at rot" in landscape.get_attribute("aria-label")
    box = landscape.bounding_box()
    matching.page.mouse.click(box["x"] + box["width"] / 2 + 1, box["y"] + box["height"] / 2 + 1)
    said = matching.ask()
    assert (said["rot"], said["tilt"], said["revealed"]) == (180, 90, True)
    assert "The truth" in matching.page.locator(".jp-OutputArea .cryoedu [aria-live]").inner_text()


def test_a_key_is_painted_at_once(matching):
    """Turning a map and adding it up must follow the hand. The bound is loose, for busy machines."""
    took = matching.page.evaluate("""async () => {
        const slider = document.querySelectorAll('.jp-OutputArea .cryoedu input[type=range]')[0], times = [];
        for (let i = 0; i < 20; i++) {
            const start = performance.now();
            slider.value = 5 * i; slider.dispatchEvent(new Event('input'));
            times.push(performance.now() - start);
            await new Promise(requestAnimationFrame);
        }
        return times.sort((a, b) => a - b)[10]; }""")
    assert took < 80
    assert matching.outside == []
