"""What every widget owes its user, in a real JupyterLab and browser: keys, labels, numbers, a picture, an end."""

from __future__ import annotations

import re

import pytest
from widgets.examples import EXAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ACTIVE_CELL = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
VISIBLE = "e => e.checkVisibility({ visibilityProperty: true })"
DISTINCT = """all => all.filter(e => e.checkVisibility({ visibilityProperty: true })).map(c => {
    const copy = document.createElement('canvas');
    [copy.width, copy.height] = [c.width, c.height];
    copy.getContext('2d').drawImage(c, 0, 0);
    return new Set(copy.getContext('2d').getImageData(0, 0, c.width, c.height).data).size; })"""
NAMES = """all => all.map(e => e.getAttribute('aria-label') || e.textContent.trim() ||
    [...e.labels ?? []].map(l => l.textContent.trim()).join(' '))"""


@pytest.fixture(scope="module", params=EXAMPLES)
def shown(lab, request):
    """A page with one widget on it, whose notebook is saved; the next cell closes it."""
    lab.name = f"{request.param}.ipynb"
    lab.notebook(lab.name, EXAMPLES[request.param].strip() + "\nwidget",
                 "widget.close()\nprint('closed', widget.comm is None)")
    lab.words()
    lab.command("docmanager:save")
    yield lab
    lab.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")


LAPTOP = {"width": 1366, "height": 768}
VISIBLE_HEIGHT = """() => { const panel = document.querySelector('.jp-WindowedPanel-outer').getBoundingClientRect();
    return Math.min(panel.bottom, innerHeight) - panel.top; }"""


def inside(page, selector):
    return page.page.locator(f".jp-OutputArea .cryoedu :is({selector})" if selector else ".jp-OutputArea .cryoedu")


def sliders(page):
    return [s for s in inside(page, 'input[type="range"]').all()
            if s.evaluate(VISIBLE) and s.get_attribute("min") != s.get_attribute("max")]


def is_numbers(page):
    """Nothing on the widget says NaN, undefined or Infinity, neither to the eye nor to a screen reader."""
    page.words()
    found = re.findall(r".{0,60}(?:NaN|undefined|Infinity|\[object).{0,20}", inside(page, "").inner_html())
    return found == [] and min(inside(page, "canvas[role=img]").evaluate_all(DISTINCT), default=9) >= 2


def test_it_paints(shown):
    colours = inside(shown, "canvas[role=img]").evaluate_all(DISTINCT)
    paths = inside(shown, "svg[role=img] path").evaluate_all("all => all.filter(e => e.getAttribute('d')).length")
    assert colours or paths
    assert all(count >= 3 for count in colours)
    assert bool(paths) == bool(inside(shown, "svg[role=img]").count())


def test_pictures_and_sliders_are_seen_together_on_a_laptop(shown):
    """Who scrolls from the slider to the picture and back does not see what one does to the other."""
    for tick in inside(shown, 'input[type="checkbox"]').all():  # some show one more picture
        tick.check()
    before = shown.page.viewport_size
    shown.page.set_viewport_size(LAPTOP)
    shown.words()
    tall, room = inside(shown, "").bounding_box()["height"], shown.page.evaluate(VISIBLE_HEIGHT)
    shown.page.set_viewport_size(before)
    print(f"{shown.name}: {tall:.0f} of {room:.0f} px")
    assert tall <= room


def test_everything_has_a_name(shown):
    """To a screen reader, a control without a name is a button that says 'button'."""
    named = shown.page.locator('.jp-OutputArea .cryoedu[role="group"][aria-label]')
    assert inside(shown, "").count() == named.count() == 1
    for selector in ("input", "select", "button", "[role=img]", "[role=group]"):
        assert all(inside(shown, selector).evaluate_all(NAMES)), selector
    assert all(inside(shown, "[role=img]").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))"))
    assert inside(shown, "[aria-live]").count() >= 1
    assert all(text.strip() for text in inside(shown, "[aria-live]").all_inner_texts())


def test_keys_move_the_sliders_and_stay_in_the_widget(shown):
    """JupyterLab would take the arrows to go to the next cell, or letters to cut it."""
    before = shown.page.evaluate(ACTIVE_CELL)
    for control in inside(shown, "input, select, button, [tabindex]").all():
        assert control.get_attribute("data-lm-suppress-shortcuts") == "true"
    for slider in sliders(shown):
        slider.focus()
        start = slider.input_value()
        shown.page.keyboard.press("ArrowLeft" if start == slider.get_attribute("max") else "ArrowRight")
        assert slider.input_value() != start
        assert slider.get_attribute("aria-valuetext")
        for key in ("ArrowUp", "ArrowDown"):
            shown.page.keyboard.press(key)
        assert slider.evaluate("e => document.activeElement === e")
    assert shown.page.evaluate(ACTIVE_CELL) == before
    assert is_numbers(shown)


def test_extreme_positions_draw_numbers(shown):
    for keys in (["Home"], ["End"], ["Home", "End"], ["End", "Home"]):
        for i, slider in enumerate(sliders(shown)):
            slider.focus()
            shown.page.keyboard.press(keys[i % len(keys)])
        assert is_numbers(shown), keys
    for slider in sliders(shown):
        for key in ("End", "Home"):
            slider.focus()
            shown.page.keyboard.press(key)
            assert is_numbers(shown), (slider.get_attribute("aria-valuetext"), key)


def test_every_choice_and_button_draws_numbers(shown):
    for tick in inside(shown, 'input[type="checkbox"]').all():
        tick.click()
        assert is_numbers(shown)
    for select in inside(shown, "select").all():
        for option in range(select.locator("option").count()):
            select.select_option(index=option)
            assert is_numbers(shown)
    for button in inside(shown, "button").all():
        button.click()
        assert is_numbers(shown), button.inner_text()


def test_the_still_picture_hides_behind_the_live_view(shown):
    still = shown.page.locator(".cryoedu-still")
    assert still.count() == 1 and not still.is_visible()
    assert len(still.locator("img").get_attribute("alt")) > 40
    assert inside(shown, "").is_visible()


def test_closing_frees_it(shown):
    assert shown.run(1).strip() == "closed True"
    shown.page.wait_for_function("!document.querySelector('.jp-OutputArea .cryoedu')")


def test_nothing_came_from_outside_and_nothing_went_wrong(shown):
    assert shown.outside == []
    assert shown.console == []


def test_without_its_kernel_the_page_shows_the_picture(shown):
    """The next day the kernel is gone, and the widget with it; JupyterLab would show nothing but an error."""
    shown.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    shown.open(shown.name)
    picture = shown.page.locator(".cryoedu-still img")
    picture.wait_for(state="visible")
    shown.page.wait_for_timeout(2000)  # until the widget has failed to load
    assert picture.is_visible() and picture.evaluate("e => e.naturalWidth") > 400
    assert not shown.page.get_by_text("Error displaying widget").is_visible()
