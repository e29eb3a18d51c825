"""No answer is lost: not of two tabs at once, not of twenty kernels, not by who is stopped half way, not to forget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cryoedu.course.progress import DAY, forget, progress_file, record, record_try, solved, solved_in, tried


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("CRYOEDU_PROGRESS", str(tmp_path / "progress.json"))


def stands() -> dict[str, list[str]]:
    """What the record itself says, as it is handed in."""
    return json.loads(progress_file().read_text())


def at_once(*programs: str) -> None:
    """Run these, each in a process of its own; all of them begin at the same moment."""
    go = progress_file().with_name("go")
    code = "import os, time\nfrom cryoedu.course.progress import forget, record, record_try\n" \
        f"print(flush=True)\nwhile not os.path.exists({str(go)!r}): pass\n"
    running = [subprocess.Popen([sys.executable, "-c", code + program], stdout=subprocess.PIPE) for program in programs]
    for process in running:
        process.stdout.readline()
    go.touch()
    assert [process.wait(60) for process in running] == [0] * len(running)
    for process in running:
        process.stdout.close()


@pytest.mark.parametrize("processes, answers", [(2, 50), (10, 8)])
def test_answers_of_many_kernels_at_once_are_all_kept(processes, answers):
    at_once(*(f"for i in range({answers}): assert record(f'{process}.{{i}}') is None" for process in range(processes)))
    expected = {f"{process}.{i}" for process in range(processes) for i in range(answers)}
    assert solved() == expected and set(stands()["solved"]) == expected


def test_a_lesson_that_is_begun_again_takes_no_other_s_answers_with_it():
    progress_file().write_text(json.dumps({"solved": [f"3.{i}" for i in range(50)], "tried": ["3.60", "4.60"]}))
    at_once("for i in range(30): assert record(f'4.{i}') is None",
            "for i in range(30): assert record_try(f'5.{i}') is None",
            "for i in range(20): assert forget('3') is None")
    assert solved() == {f"4.{i}" for i in range(30)} and tried() == {"4.60", *(f"5.{i}" for i in range(30))}
    assert set(stands()["solved"]) == solved() and set(stands()["tried"]) == tried()


@pytest.mark.parametrize("other, expected", [
    (lambda: record("4.1"), {"3.1", "3.2", "4.1"}), (lambda: forget("3"), set()),
    (lambda: (forget("3"), record("3.1")), {"3.1"})], ids=["an answer", "a fresh start", "an answer after it"])
def test_what_another_program_does_while_the_record_is_written_counts(monkeypatch, other, expected):
    """It comes after the record was read, and before it is written."""
    record("3.1")
    replace, others = os.replace, [other]

    def late(old, new):
        if others:
            others.pop()()
        replace(old, new)

    monkeypatch.setattr(os, "replace", late)
    record("3.2")
    assert solved() == expected and set(stands()["solved"]) == expected


@pytest.mark.parametrize("place", ["touch", "replace"])
def test_who_is_stopped_half_way_leaves_nothing_that_stops_others(monkeypatch, place):
    record("3.1")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(*{"touch": (Path, "touch"), "replace": (os, "replace")}[place],
                        lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        record("3.2")
    begun = time.monotonic()
    assert record("3.3") is None and time.monotonic() - begun < 5
    kept = {"3.1", "3.3"} | ({"3.2"} if place == "replace" else set())
    assert solved() == kept and set(stands()["solved"]) == kept


def test_a_lesson_can_be_solved_again_after_it_was_forgotten():
    progress_file().write_text('{"solved": ["3.1", "4.1"]}')
    record_try("3.2")
    assert forget("3") is None and solved() == {"4.1"} and tried() == set()
    assert record("3.1") is None and solved() == {"3.1", "4.1"} and stands() == {"solved": ["3.1", "4.1"], "tried": []}
    assert forget("3") is None and solved() == {"4.1"}


def test_a_record_that_is_brought_from_elsewhere_counts():
    """A copy of another machine's, put beside one's own answers; and one's own, handed in alone."""
    record("3.1")
    progress_file().write_text('{"solved": ["4.1"], "tried": ["4.2"]}')
    assert solved() == {"3.1", "4.1"} and tried() == {"4.2"}
    record_try("3.2")
    alone = progress_file().parent / "handed-in.json"
    alone.write_bytes(progress_file().read_bytes())
    assert solved_in(alone) == {"3.1", "4.1"}
    forget("4")
    (mark,) = progress_file().with_name("progress.json.d").glob("*.forgotten")
    os.utime(mark, (time.time() - 2 * DAY,) * 2)  # a lesson forgotten long ago may come back with a copy
    record("3.2")
    progress_file().write_text(alone.read_text())
    assert solved() == {"3.1", "3.2", "4.1"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied"),
                                   OSError(30, "Read-only file system")], ids=lambda error: error.strerror)
def test_a_disk_that_is_full_or_may_only_be_read_is_said(monkeypatch, error):
    record("4.1")
    monkeypatch.setattr(Path, "touch", lambda *_, **__: (_ for _ in ()).throw(error))
    for told in (record("3.1"), record_try("3.2"), forget("4")):
        assert told.startswith("Your progress could not be kept in") and error.strerror in told
        assert "set CRYOEDU_PROGRESS to a file that you may write" in told
    assert solved() == {"4.1"} and tried() == set()
