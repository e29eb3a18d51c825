"""The parts that widgets are made of, each by itself on an empty page of a real browser."""

from __future__ import annotations

import os

import pytest
from browser import CHROMIUM, FLAGS

from cryoedu.widgets.page import module

pytestmark = [pytest.mark.browser]


@pytest.fixture(scope="module")
def browser():
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A page on which the toolkit's functions are there by name, and ``root`` to put things into."""
    page = browser.new_page(viewport={"width": 900, "height": 700})
    wrong: list[str] = []
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.set_content(f"<style>{module('common.css')}</style><body></body><script>{module('common.js', 'plots.js')}"
                     "const root = board(document.body, 'test');</script>")
    yield page
    if "CRYOEDU_SHOTS" in os.environ:
        page.screenshot(path=os.environ["CRYOEDU_SHOTS"])
    page.close()
    assert wrong == []


PLAYER = """() => {
    window.seen = [];
    window.film = player({ label: "iteration", frames: 4, seconds: 0.05, onInput: (i) => seen.push(i) });
    root.append(film.box); }"""


def test_the_player_plays_to_the_end_and_stops(page):
    page.evaluate(PLAYER)
    play = page.get_by_role("button", name="play")
    play.click()
    page.wait_for_function("seen.length === 3 && document.querySelector('button').textContent === 'play'")
    page.wait_for_timeout(200)
    assert page.evaluate("seen") == [1, 2, 3]
    play.click()  # again from the start
    page.wait_for_function("seen.length === 7")
    assert page.evaluate("seen") == [1, 2, 3, 0, 1, 2, 3]


def test_the_player_goes_where_it_is_sent_and_no_further(page):
    page.evaluate(PLAYER)
    for name in ("step", "step", "back", "last", "step", "first", "back"):
        page.get_by_role("button", name=name).click()
    assert page.evaluate("seen") == [1, 2, 1, 3, 0]  # nothing beyond the ends
    page.get_by_role("slider").focus()
    for key in ("ArrowRight", "End", "Home"):
        page.keyboard.press(key)
    assert page.evaluate("seen") == [1, 2, 1, 3, 0, 1, 3, 0]
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "1 of 4"


def test_a_key_or_the_end_of_the_view_stops_the_player(page):
    page.evaluate(PLAYER.replace("0.05", "0.2"))
    page.get_by_role("button", name="play").click()
    assert page.get_by_role("button", name="pause").count() == 1
    page.get_by_role("slider").press("End")
    assert page.get_by_role("button", name="play").count() == 1
    page.get_by_role("button", name="play").click()
    page.evaluate("() => { root.remove(); window.before = seen.length; }")
    page.wait_for_timeout(500)
    assert page.evaluate("seen.length === before && document.querySelector('button') === null")


def test_choice_and_tick_box_tell_what_was_chosen(page):
    page.evaluate("""() => { window.told = [];
        const pick = choice({ label: "specimen", options: ["protein", "ribosome"], onInput: (i) => told.push(i) });
        const tick = tickBox({ label: "with noise", value: true, onInput: (on) => told.push(on) });
        root.append(controls(pick.box, tick.box)); }""")
    page.get_by_label("specimen").select_option("ribosome")
    page.get_by_label("with noise").click()
    assert page.evaluate("told") == [1, False]


PLOT = """(options) => { window.plot = linePlot({ title: "FSC", xLabel: "1/Å", yLabel: "correlation", x: [0, 0.1],
    series: [{ name: "halves" }, { name: "truth" }, { name: "bars", kind: "bars" }], ...options });
    root.append(row(plot.svg)); }"""


def test_a_plot_has_ticks_with_numbers_a_legend_and_its_lines(page):
    page.evaluate(PLOT, {})
    page.evaluate("""plot.draw({ values: [[1, 0.5, 0], [1, 0.8, 0.2], [0.1, 0.2, 0.3]], cursor: 0.05, truth: 0.02,
        lines: [{ y: 0.143, name: "0.143" }, { x: 0.07, name: "7 Å" }] })""")
    words = page.locator(".cryoedu-plot text").all_text_contents()
    for word in ("FSC", "1/Å", "correlation", "0.02", "0.1", "0.6", "halves", "truth", "bars", "0.143", "7 Å"):
        assert word in words, words
    lines = page.locator(".cryoedu-plot > path").evaluate_all("all => all.map(e => e.getAttribute('d'))")
    assert [line.count("L") for line in lines[:2]] == [2, 2] and lines[2].count("M") == 3
    shown = page.locator(".cryoedu-plot").get_attribute("aria-label")
    assert "correlation over 1/Å" in shown and "halves from 1 to 0" in shown


def test_drawing_again_makes_no_new_elements(page):
    """A plot that grows with each key press slows down, and in the end the page with it."""
    page.evaluate(PLOT, {})
    counts = page.evaluate("""() => Array.from({ length: 40 }, (_, i) => {
        plot.draw({ values: [[1, i], [i, -i], [0, 1]], y: [-50, 50], lines: [{ y: 1 }] });
        return plot.svg.querySelectorAll("*").length; })""")
    assert len(set(counts)) == 1


@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
def test_a_plot_survives_every_number(page, log):
    page.evaluate(PLOT, {"log": log, "x": [0.01, 100]})
    for values in ("[NaN, NaN, NaN]", "[Infinity, 0, -Infinity]", "[0, 0, 0]", "[1e-30, 1, 1e30]", "[-5, -5, -5]", "[]",
                   "[7]"):
        page.evaluate(f"plot.draw({{ values: [{values}, {values}, {values}], cursor: 1 }})")
        html = page.locator(".cryoedu").inner_html()
        assert not any(word in html for word in ("NaN", "undefined", "Infinity")), (values, html)


@pytest.mark.parametrize("low, high", [(-2.1e6, -4e5), (1.1e5, 4.9e5), (1e-5, 6e-5), (0, 0.0024), (-3, 7)])
def test_what_stands_at_an_axis_is_the_value_there(page, low, high):
    """A log-likelihood of -1,500,000 that is called -2e6 stands beside another -2e6."""
    page.evaluate(PLOT, {})
    page.evaluate(f"plot.draw({{ values: [[{low}, {high}], [{low}], [{low}]], y: [{low}, {high}] }})")
    ticks = page.locator(".cryoedu-plot text[text-anchor=end]").evaluate_all(
        "all => all.map(e => [Number(e.textContent), Number(e.previousSibling.getAttribute('y1'))])")
    (first, y0), *_, (last, y1) = ticks
    assert len({value for value, _ in ticks}) == len(ticks) >= 3
    for value, y in ticks:
        assert value == pytest.approx(first + (y - y0) / (y1 - y0) * (last - first), abs=0.01 * (last - first))


def test_a_click_on_a_plot_gives_the_value_there(page):
    page.evaluate("""() => { window.picked = [];
        for (const [x, log] of [[[0, 10], ""], [[1, 100], "x"]]) {
          const plot = linePlot({ title: "t", xLabel: "x", yLabel: "y", x, log, series: [{}],
                                  onPick: (v) => picked.push(v) });
          plot.draw({ values: [[1, 2]] }); root.append(plot.svg); } }""")
    for frame in page.locator(".frame").all():
        box = frame.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    assert page.evaluate("picked") == pytest.approx([5, 10], rel=0.05)


def test_an_image_of_any_shape_is_painted_pixel_for_pixel(page):
    colours = page.evaluate("""() => { window.picked = [];
        const table = Uint8Array.from({ length: 768 }, (_, i) => i % 3 === 0 ? Math.floor(i / 3) : 9);
        const panel = imagePanel({ title: "map", width: 3, height: 2, shown: 300, table, unit: "Å",
                                   onPick: (x, y) => picked.push([x, y]) });
        root.append(row(panel.box));
        panel.draw({ values: [0, 1, 2, 3, NaN, 5], range: [0, 5], marks: [["circle", { cx: 1, cy: 1, r: 1 }]],
                     words: "six numbers" });
        return Array.from(panel.canvas.getContext("2d").getImageData(0, 0, 3, 2).data); }""")
    assert colours[0::4] == [0, 51, 102, 153, 0, 255] and set(colours[1::4]) == {9} and set(colours[3::4]) == {255}
    image = page.get_by_role("img", name="six numbers")
    box = image.bounding_box()
    assert box["width"] == pytest.approx(300) and box["height"] == pytest.approx(200)
    page.mouse.click(box["x"] + 290, box["y"] + 10)
    assert page.evaluate("picked") == [[2, 0]]
    assert page.locator(".cryoedu-scale").inner_text().split() == ["0", "5", "Å"]
    assert page.locator(".cryoedu-stage circle").count() == 1


def test_words_are_seen_at_once_and_said_once_when_all_is_calm(page):
    """A screen reader that reads every step of a dragged slider is one that is switched off; the eye wants them all."""
    said = page.evaluate("""async () => {
        const line = statusLine(100), said = [], live = line.box.querySelector("[aria-live]");
        root.append(line.box);
        new MutationObserver(() => said.push(live.textContent)).observe(live, { childList: true });
        for (let i = 0; i < 5; i++) { line.say(`step ${i}`); await new Promise((r) => setTimeout(r, 10)); }
        await new Promise((r) => setTimeout(r, 300));
        line.say("never"); line.stop();
        await new Promise((r) => setTimeout(r, 300));
        return said; }""")
    assert said == ["step 4"]


def test_words_keep_up_with_the_player(page):
    """While a film plays, what stood below the picture was of the frame at which it began."""
    seen = page.evaluate("""async () => {
        const line = statusLine(), seen = [];
        const film = player({ label: "turn", frames: 6, seconds: 0.05, onInput: (i) => line.say(`turn ${i}`) });
        root.append(film.box, line.box);
        new MutationObserver(() => seen.push(root.innerText.match(/turn \\d/)?.[0])).observe(line.box,
            { childList: true, subtree: true });
        document.querySelector("button").click();
        await new Promise((r) => setTimeout(r, 900));
        return [...new Set(seen)]; }""")
    assert seen == [f"turn {i}" for i in range(1, 6)]
