"""check, hint, carry_on and progress: a learner's mistakes must never look like the course's, and work must be kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cryoedu.course import carry_on, check, forget, hint, learner, lesson03, progress
from cryoedu.course.progress import progress_file, solved, tried


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("CRYOEDU_PROGRESS", str(tmp_path / "deep" / "progress.json"))
    monkeypatch.setattr(learner, "_hints_given", {})


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
    assert carry_on("3.2", mine) is mine
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
    assert repr(check("3.1", None)).startswith("… Exercise 3.1: not done yet.")


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
