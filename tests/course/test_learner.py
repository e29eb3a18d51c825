"""check, hint, carry_on and progress: a learner's mistakes must never look like the course's, and work must be kept."""

from __future__ import annotations

import inspect
import json
import linecache
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from cryoedu.course import carry_on, check, exercises, forget, hint, learner, lesson03, limits, progress, say
from cryoedu.course.progress import progress_file, solved, tried


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("CRYOEDU_PROGRESS", str(tmp_path / "deep" / "progress.json"))
    monkeypatch.setattr(learner, "_hints_given", {})
    monkeypatch.setattr(learner, "_checked", {})


class Hostile:
    def __array__(self, *a, **k):
        raise RuntimeError("no")

    def __float__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("answer", [None, ..., "text", [], {}, object(), Hostile(), float("nan"), 1j, lambda: 1 / 0,
                                    lambda *a: Hostile(), lambda *a: "x", lambda *a: [[1], [1, 2]]])
@pytest.mark.parametrize("number", ["3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "99.9", "", 3.1, None])
def test_check_never_raises(number, answer):
    message = check(number, answer)
    assert message.state in ("open", "wrong", "note") and message.text
    assert not solved()


def test_a_right_answer_is_remembered_in_another_process():
    assert check("3.1", lesson03.ODDS).state == "right"
    check("3.2", lesson03.posterior)
    seen = subprocess.run([sys.executable, "-c", "from cryoedu.course import progress; print(progress(3))"],
                          capture_output=True, text=True, check=True).stdout
    assert "2 of 6" in seen and "✓ 3.1" in seen and "· 3.3" in seen
    forget("3")
    assert solved() == set()


def test_a_wrong_answer_later_does_not_take_the_mark_away():
    check("3.1", lesson03.ODDS)
    check("3.1", 1.0)
    assert solved() == {"3.1"}


def test_progress_is_written_whole_or_not_at_all(monkeypatch):
    check("3.1", lesson03.ODDS)
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    message = check("3.2", lesson03.posterior)
    assert message.state == "right" and "No space left" in message.text
    assert json.loads(progress_file().read_text()) == {"solved": ["3.1"], "tried": []}
    assert {p.name for p in progress_file().parent.iterdir()} == {"progress.json", "progress.json.d"}
    assert solved() == {"3.1", "3.2"}  # in this folder it is known all the same


def test_a_damaged_file_is_kept_aside_and_work_goes_on():
    progress_file().parent.mkdir(parents=True)
    progress_file().write_text('{"solved": ["3.1"')
    assert solved() == set()
    assert check("3.2", lesson03.posterior).state == "right"
    assert solved() == {"3.2"}
    assert progress_file().with_name("progress.json.unreadable").read_text() == '{"solved": ["3.1"'


def test_an_unwritable_place_is_said_and_the_answer_still_counts(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CRYOEDU_PROGRESS", str(tmp_path / "file" / "progress.json"))
    message = check("3.1", lesson03.ODDS)
    assert message.state == "right" and "CRYOEDU_PROGRESS" in message.text


def test_hints_come_one_by_one_and_the_last_one_stays():
    texts = [hint("3.1").text for _ in range(5)]
    assert len(set(texts)) == 3 and texts[2] == texts[3] == texts[4] and "last hint" in texts[2]
    assert "exercises are " in hint("7.77").text and "3.1, 3.2" in hint("7.77").text


def test_carry_on_takes_the_learners_answer_only_if_it_is_right(capsys):
    mine = lambda x, a, s: lesson03.posterior(x, a, s)  # noqa: E731
    assert inspect.unwrap(carry_on("3.2", mine)) is mine
    assert carry_on("3.2", lambda *a: None) is lesson03.posterior
    assert carry_on("3.2", ...) is lesson03.posterior
    said = capsys.readouterr().out
    assert "your own" in said and "the course's" in said
    assert solved() == set()


def test_messages_say_in_words_what_the_colour_says():
    page = check("3.1", 1.25)._repr_html_()
    assert "not yet" in page and 'role="status"' in page
    assert "<script>" not in check("3.1", "<script>")._repr_html_()
    assert "○" in progress(3)._repr_html_() and "(open)" in progress(3)._repr_html_()
    assert repr(check("3.1")).startswith("… Exercise 3.1: not done yet.")


def test_the_whole_course_is_counted_and_each_lesson_can_be_opened():
    check("3.1", lesson03.ODDS)
    whole = progress()
    assert f"1 of {sum(len(rows) for rows in whole.lessons.values())} exercises" in repr(whole).splitlines()[0]
    assert "<summary>Lesson 3, ML alignment: 1 of 6" in whole._repr_html_()


def test_a_wrong_answer_counts_as_tried_until_it_is_right_or_forgotten():
    """A learner who comes back next week sees where the work stopped; a stub that was run is no answer."""
    check("3.1")
    assert tried() == set()
    check("3.1", 1.0)
    check("3.2", 1.0)
    assert tried() == {"3.1", "3.2"} and solved() == set()
    check("3.1", lesson03.ODDS)
    check("3.1", 1.0)
    assert tried() == {"3.2"} and solved() == {"3.1"}
    forget("3")
    assert tried() == solved() == set()


def test_a_record_of_an_older_version_is_read():
    progress_file().parent.mkdir(parents=True)
    progress_file().write_text('{"solved": ["3.1"]}')
    assert solved() == {"3.1"} and tried() == set()


def typed(cell: str, name: str = "f"):
    """A function as it comes from a notebook's cell, with its source at hand."""
    file = f"<cell {abs(hash(cell))}>"
    linecache.cache[file] = len(cell), None, cell.splitlines(keepends=True), file
    names = {"np": np}
    exec(compile(cell, file, "exec"), names)
    return names[name]


def test_carry_on_takes_what_check_saw_last(capsys):
    """A cell with a SyntaxError is not run: its function does not exist, and the next cell must not need it."""
    assert carry_on("3.2") is lesson03.posterior
    mine = lambda x, a, s: lesson03.posterior(x, a, s)  # noqa: E731
    check("3.2", mine)
    assert inspect.unwrap(carry_on("3.2")) is mine
    check("3.2", lambda x, a, s: x)
    assert carry_on("3.2") is lesson03.posterior
    said = capsys.readouterr().out.splitlines()
    assert ["own" in line for line in said] == [False, True, False]


def test_what_is_handed_on_has_the_form_that_later_cells_need():
    listed = exercises.real_array([[1, 2], [3, 4]])
    assert listed.dtype == np.float64 and exercises.real_array(np.ones(2, np.float32)).dtype == np.float32
    assert exercises.complex_array([1, 2j]).dtype == np.complex128
    assert exercises.whole_numbers([1.0, 2.9999999]).tolist() == [1, 3]
    assert exercises.number(np.array([[2.5]])) == 2.5 and type(exercises.number(np.float32(2))) is float
    assert "abc"[exercises.whole_number(np.array([1.0]))] == "b" and exercises.flag(np.array([True])) is True


def test_a_right_answer_of_another_form_is_handed_on_in_the_lessons_form(monkeypatch):
    item = exercises.Exercise("3.2", "t", lambda answer: None, "p", ("h",), np.ones(2), exercises.real_array)
    monkeypatch.setattr(learner, "exercise", lambda number: item)
    assert isinstance(carry_on("3.2", [1, 2]), np.ndarray)
    assert isinstance(carry_on("3.2", lambda count, *, start: list(range(start, count)))(3, start=1), np.ndarray)


def test_an_error_is_said_with_the_learners_own_line_and_no_other():
    """The last frame is deep in NumPy; what the learner can mend is the line that called it."""
    cell = "def f(images, references, sigma):\n    half = images / 2\n    return np.tensordot(half, refrences)\n"
    text = check("3.2", typed(cell)).text
    assert "NameError in line 3, `return np.tensordot(half, refrences)`: name 'refrences'" in text
    cell = "def f(images, references, sigma):\n    return np.linalg.inv(images[0, 0])\n"
    text = check("3.2", typed(cell)).text
    assert "line 2, `return np.linalg.inv(images[0, 0])`" in text and text.count("line") == 1


def test_three_dots_that_are_still_there_are_told_from_a_forgotten_return():
    stub = "def f(images, references, sigma):\n    best = images[..., 0]\n    ...  # your code\n"
    assert check("3.2", typed(stub)).state == "open"
    assert check("3.2", typed(stub.replace("    ...  # your code", "    best + 1"))).state == "wrong"


@pytest.mark.parametrize("cell", ["while True:\n        pass", "import time\n    time.sleep(60)"])
def test_a_loop_without_an_end_is_stopped_and_leaves_no_thread(cell, monkeypatch):
    monkeypatch.setattr(limits, "PROCESSOR_SECONDS", 0.3)
    monkeypatch.setattr(limits, "SECONDS", 0.6)
    threads, began = threading.active_count(), time.monotonic()
    message = check("3.2", typed(f"def f(images, references, sigma):\n    {cell}\n"))
    assert message.state == "wrong" and "stopped after" in message.text
    assert time.monotonic() - began < 20 and threading.active_count() == threads
    assert carry_on("3.2") is lesson03.posterior


def test_a_server_that_was_started_in_the_background_has_the_time_limit_too(monkeypatch):
    """A shell lets what it starts with '&' ignore Ctrl-C, and its children inherit that."""
    monkeypatch.setattr(limits, "PROCESSOR_SECONDS", 0.3)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ends = time.monotonic() + 10
        with pytest.raises(limits.TooLong):
            limits.limited(lambda: [None for _ in iter(lambda: time.monotonic() < ends, False)])
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_an_answer_is_judged_is_the_learners_own():
    def interrupted(*inputs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("3.2", interrupted)


def test_say_shows_markdown_and_the_same_as_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    say(f"""
        It ends at **{17.64:.1f} Å** (to ±1.2).
    """)
    assert shown == [dict.fromkeys(("text/markdown", "text/plain"), "It ends at **17.6 Å** (to ±1.2).")]
