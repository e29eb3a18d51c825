"""The course panel as a learner meets it: in JupyterLab, in a real browser, driven with keys."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from nbformat import read

from cryoedu.course import build
from cryoedu.course.exercises import LESSONS, lesson_exercises

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PANEL = "#cryoedu-course"
START, ML = "00_start_here.ipynb", "03_ml_alignment.ipynb"
FRONT = "window.jupyterapp.shell.currentWidget?.context?.path"


@pytest.fixture(scope="module")
def course(either):
    """The page on a JupyterLab that serves copies of the lessons."""
    for path in build.ROOT.glob("*.ipynb"):
        shutil.copy(path, either.root)
    return either


@pytest.fixture
def panel(course):
    """The panel of a learner who has done nothing yet; no notebook is open and no kernel runs."""
    (course.root / ".home" / "progress.json").unlink(missing_ok=True)
    page = course.page
    page.goto(f"{course.url}/lab?reset", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-LauncherCard", timeout=120_000)
    page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
    course.console.clear()
    course.outside.clear()
    page.evaluate("window.jupyterapp.commands.execute('cryoedu:course')")
    page.wait_for_selector(f"{PANEL} .cryoedu-lessons > li")
    until(course, "No kernel runs.")
    return course


def until(lab, words, where=PANEL):
    """Wait until the panel says so."""
    lab.page.locator(where, has_text=words).first.wait_for()


def learn(lab, **record):
    """What a kernel writes when an answer was checked."""
    path = lab.root / ".home" / "progress.json"
    path.with_suffix(".new").write_text(json.dumps({"solved": [], "tried": []} | record))
    os.replace(path.with_suffix(".new"), path)


def press(lab, name, key="Enter", within=PANEL):
    """Press a button of this name by its key."""
    lab.page.locator(within).get_by_role("button", name=name, exact=True).press(key)


def kernels(lab):
    return lab.page.evaluate("[...window.jupyterapp.serviceManager.sessions.running()].map(s => s.path).sort()")


def focused(lab):
    return lab.page.evaluate("document.activeElement.textContent")


def complaints(lab):
    """Errors in the console, but for three of JupyterLab's own: its debugger does not like a kernel to end while it
    looks at it, nor do its subshells while they are being made, and JupyterLab 4.2 goes on drawing a notebook that was
    closed while it was still being drawn."""
    own = ("debugger state", "debug_request message", "create_subshell_request", "reading 'insertWidget'")
    return [text for text in lab.console if not any(words in text for words in own)]


def opened(lab, path):
    """Wait until the notebook is in front and its kernel is there."""
    lab.page.wait_for_function(f"{FRONT} === '{path}'")
    running = "[...window.jupyterapp.serviceManager.sessions.running()]"
    lab.page.wait_for_function(f"{running}.some(s => s.path === '{path}')", timeout=120_000)


def test_the_lessons_stand_in_order_with_time_and_progress(panel):
    rows = panel.page.locator(f"{PANEL} .cryoedu-lessons > li > details > summary").all_inner_texts()
    assert len(rows) == 12 and " ".join(rows[0].split()) == "0 Start here 15 min, 0 of 3 done"
    assert rows[10].startswith("10 A whole refinement") and rows[11].startswith("A The phase problem")
    assert panel.page.locator(f"{PANEL} [aria-current=step]").inner_text().startswith("0 Start here")
    assert complaints(panel) == [] and panel.outside == []


def test_a_checked_answer_is_seen_and_said_without_a_click(panel):
    """A learner who does not see the screen hears that the exercise is done."""
    learn(panel, solved=["0.1", "0.2", "0.3", "3.1"], tried=["3.2"])
    until(panel, "Exercise 3.1: done. Exercise 3.2: tried, not yet right. Lesson 3: 1 of 6 done.",
          f"{PANEL} [role=status][aria-live=polite]")
    until(panel, f"4 of {sum(len(lesson_exercises(lesson)) for lesson in LESSONS)} exercises done")
    lesson = panel.page.locator(f"{PANEL} .cryoedu-lessons > li").nth(3)
    lesson.locator("summary").press("Enter")
    marks = lesson.locator("ul li").all_inner_texts()
    assert marks[0].startswith("✓ 3.1") and marks[0].endswith("(done)")
    assert marks[1].startswith("✗ 3.2") and marks[1].endswith("(tried, not yet right)")
    assert marks[2].endswith("(not yet)")
    assert panel.page.locator(f"{PANEL} [aria-current=step]").inner_text().startswith("1 The experiment")
    assert complaints(panel) == []


def test_everything_is_reached_with_the_tab_key(panel):
    page = panel.page
    page.locator(f"{PANEL} summary").nth(0).press("Enter")
    page.get_by_role("button", name="Go on with lesson 0").focus()
    seen = []
    for _ in range(5):
        seen.append(page.evaluate("(e => e.getAttribute('aria-label') ?? e.innerText)(document.activeElement)"))
        page.keyboard.press("Tab")
    assert [words.split("\n")[0] for words in seen] == [
        "Go on with lesson 0", "Index of the course", "0 Start here", "Open lesson 0", "Start lesson 0 again"]
    unnamed = page.locator(f"{PANEL} :is(button, summary, progress)").evaluate_all(
        "all => all.filter(e => !(e.innerText || e.getAttribute('aria-label')).trim()).length")
    assert unnamed == 0 and page.locator(PANEL).get_by_role("region", name="cryoedu course").count() == 1


def test_the_next_lesson_opens_and_the_others_kernels_are_shut_down_after_a_question(panel):
    """A seat on Binder holds two kernels; a third one ends all of them."""
    press(panel, "Go on with lesson 0")
    opened(panel, START)
    panel.page.locator(f"{PANEL} summary").nth(3).press("Enter")
    press(panel, "Open lesson 3", "Space")
    opened(panel, ML)
    until(panel, "2 kernels run; a seat on Binder holds 2.")
    until(panel, "its kernel runs")
    press(panel, "Shut down the others…")
    dialog = panel.page.locator(".jp-Dialog")
    until(panel, "lost: Lesson 0, Start here.", ".jp-Dialog")
    panel.page.keyboard.press("Enter")  # a key too many takes nothing away
    dialog.wait_for(state="detached")
    assert kernels(panel) == [START, ML] and focused(panel) == "Shut down the others…"
    press(panel, "Shut down the others…")
    dialog.get_by_role("button", name="Shut down").press("Enter")
    until(panel, "1 kernel runs")
    assert kernels(panel) == [ML]
    until(panel, "1 kernel shut down.", f"{PANEL} [role=status]")
    assert panel.page.get_by_role("button", name="Shut down the others…").is_disabled()
    assert focused(panel).startswith("1 kernel runs")  # the keys go on from there
    assert complaints(panel) == []


def test_a_lesson_is_started_again_and_no_answer_is_lost(panel):
    """Even what was typed last and not saved yet."""
    page, path = panel.page, panel.root / "04_2d_classification.ipynb"
    solved = (build.ROOT / "solutions" / path.name).read_bytes()
    learn(panel, solved=["4.1", "3.1"])
    page.locator(f"{PANEL} summary").nth(4).press("Enter")
    press(panel, "Open lesson 4")
    opened(panel, path.name)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.evaluate("""() => {
        const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
        for (let i = 0; i < cells.length; i++) if (cells.get(i).type === "code") {
            cells.get(i).sharedModel.setSource("mine = 'typed last'"); return; } }""")
    press(panel, "Start lesson 4 again")
    dialog = panel.page.locator(".jp-Dialog")
    dialog.get_by_role("button", name="Cancel").press("Enter")
    assert not list(panel.root.glob("old_answers/*"))
    press(panel, "Start lesson 4 again")
    dialog.locator("input[type=checkbox]").press("Space")
    dialog.get_by_role("button", name="Start again").press("Enter")
    until(panel, "Your old answers are in old_answers/04_2d_classification_", f"{PANEL} [role=status]")
    opened(panel, path.name)
    (old,) = panel.root.glob("old_answers/04_2d_classification_*.ipynb")
    assert "mine = 'typed last'" in [cell.source for cell in read(old, 4).cells]
    page.wait_for_function("window.jupyterapp.shell.currentWidget.content.model?.cells.length > 5")
    shown = page.evaluate("JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.toJSON())")
    assert "typed last" not in shown
    assert [c.source for c in read(path, 4).cells] == [c.source for c in read(build.ROOT / path.name, 4).cells]
    assert json.loads((panel.root / ".home" / "progress.json").read_text())["solved"] == ["3.1"]
    assert (build.ROOT / "solutions" / path.name).read_bytes() == solved and complaints(panel) == []


def test_a_lesson_that_was_removed_is_written_when_it_is_opened(panel):
    (panel.root / "A_phase_problem.ipynb").unlink(missing_ok=True)
    panel.page.locator(f"{PANEL} summary").nth(11).press("Enter")
    press(panel, "Open lesson A")
    opened(panel, "A_phase_problem.ipynb")
    assert (panel.root / "A_phase_problem.ipynb").exists()


def test_a_card_in_the_launcher_opens_the_index(panel):
    panel.page.locator(".jp-LauncherCard", has_text="cryoedu course").press("Enter")
    panel.page.wait_for_function(f"{FRONT} === 'index.ipynb'")
    assert complaints(panel) == [] and panel.outside == []


def test_what_goes_wrong_is_said_and_goes_away(panel):
    panel.page.route("**/cryoedu/course**", lambda route: route.fulfill(
        status=400, content_type="application/json", body='{"message": "the <b>disk</b> is full"}'))
    until(panel, "the <b>disk</b> is full", f"{PANEL} [role=alert]")
    assert panel.page.locator(f"{PANEL} b").count() == 0
    panel.page.unroute("**/cryoedu/course**")
    panel.page.wait_for_function(f"!document.querySelector('{PANEL} [role=alert]').textContent")
