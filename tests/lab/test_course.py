"""The course panel's part of the server: lessons are found wherever Jupyter starts, and no answer is ever lost."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime
from pathlib import Path

import nbformat
import pytest

from cryoedu.course import build, check, lesson03
from cryoedu.course.exercises import LESSONS
from cryoedu.course.progress import progress_file
from cryoedu.errors import InputError
from cryoedu.lab import course

ML = "03_ml_alignment.ipynb"
NOON = datetime(2026, 3, 1, 12, 0, 5)
PACKAGE = Path(course.__file__).parents[2]


@pytest.fixture(autouse=True)
def own_progress(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CRYOEDU_PROGRESS", str(tmp_path_factory.mktemp("data") / "progress.json"))


@pytest.fixture
def root(tmp_path):
    """What a learner's Jupyter serves: a folder with lesson 3, answered, and its solved twin."""
    (tmp_path / "solutions").mkdir()
    shutil.copy(build.ROOT / ML, tmp_path / ML)
    (tmp_path / ML).write_text((tmp_path / ML).read_text().replace("# your code", "# my own answer"))
    shutil.copy(build.ROOT / "solutions" / ML, tmp_path / "solutions")
    return tmp_path


@pytest.mark.parametrize("served", ["notebooks", ".", ".."], ids=["make lab", "Binder", "a folder above"])
def test_the_lessons_of_a_checkout_are_found(served):
    assert course.course_folder(PACKAGE / "notebooks" if served == "notebooks" else PACKAGE / served) == build.ROOT


def test_copies_that_a_teacher_handed_out_are_found_and_the_solved_ones_are_not(root):
    """Opening the next lesson must not open its solutions."""
    (root / "class").mkdir()
    (root / ML).rename(root / "class" / ML)
    assert course.course_folder(root) == root / "class"
    (root / "class" / ML).unlink()
    assert course.course_folder(root) is None


def test_links_are_not_followed_out_of_the_folder_that_jupyter_serves(root, tmp_path_factory):
    served = tmp_path_factory.mktemp("served")
    (served / "notebooks").symlink_to(root)
    assert course.course_folder(served) is None


def test_the_panel_says_what_is_done_tried_and_next(root):
    told = course.state(root)
    assert [lesson["lesson"] for lesson in told["lessons"]] == list(LESSONS) and told["next"] == "0"
    assert told["lessons"][3]["path"] == ML and told["lessons"][4]["path"] is None
    check("3.1", lesson03.ODDS)
    check("3.2", 1.0)
    now = course.state(root, told["stamp"])
    states = [exercise["state"] for exercise in now["lessons"][3]["exercises"]]
    assert states[:3] == ["done", "tried", "open"] and now["lessons"][3]["done"] == 1


def test_nothing_is_sent_while_nothing_changes(root):
    """It is asked every few seconds, on a seat that shares its core with a refinement."""
    told = course.state(root)
    assert course.state(root, told["stamp"]) == {"stamp": told["stamp"]}
    (root / ML).unlink()
    assert "lessons" in course.state(root, told["stamp"])


def test_the_next_lesson_is_the_first_that_is_not_finished(root):
    everything = [e["number"] for lesson in course.state(root)["lessons"] for e in lesson["exercises"]]
    progress_file().write_text(json.dumps({"solved": [n for n in everything if n != "4.2"]}))
    assert course.state(root)["next"] == "4"
    progress_file().write_text(json.dumps({"solved": everything}))
    assert course.state(root)["next"] is None


def test_a_fresh_lesson_is_the_one_that_was_shipped_and_the_old_answers_stay(root):
    solved, old = (root / "solutions" / ML).read_bytes(), (root / ML).read_bytes()
    path, aside = course.reset(root, "3", when=NOON)
    assert path == root / ML and path.read_bytes() == (build.ROOT / ML).read_bytes()
    assert aside == root / "old_answers" / "03_ml_alignment_2026-03-01_12-00-05.ipynb" and aside.read_bytes() == old
    _, second = course.reset(root, "3", when=NOON)
    assert second.name == "03_ml_alignment_2026-03-01_12-00-05_2.ipynb" and aside.read_bytes() == old
    assert (root / "solutions" / ML).read_bytes() == solved


@pytest.mark.parametrize("lesson", ["index", *LESSONS])
def test_lessons_can_be_written_where_there_are_none(tmp_path, lesson):
    """After pip install there are no notebooks yet: opening a lesson writes it, and never over another file."""
    path = course.find_or_write(tmp_path, lesson)
    assert path.parent == tmp_path / "cryoedu-course"
    nbformat.validate(nbformat.read(path, 4))
    assert path.read_bytes() == (build.ROOT / path.name).read_bytes()
    path.write_text("mine")
    assert course.find_or_write(tmp_path, lesson).read_text() == "mine"


def test_a_disk_that_is_full_takes_no_answers_with_it(root, monkeypatch):
    old = (root / ML).read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="free some space"):
        course.reset(root, "3", when=NOON)
    kept = [path for path in (root / ML, *root.glob("old_answers/*")) if path.exists()]
    assert [path.read_bytes() for path in kept] == [old]


def test_a_lesson_that_is_a_link_is_not_replaced(root, tmp_path_factory):
    """What it leads to may be the teacher's."""
    teachers = tmp_path_factory.mktemp("teacher") / ML
    (root / ML).rename(teachers)
    (root / ML).symlink_to(teachers)
    (root / "04_2d_classification.ipynb").write_text("{}")  # or it would be no folder of lessons
    before = teachers.read_bytes()
    with pytest.raises(InputError, match="is a link"):
        course.reset(root, "3")
    assert teachers.read_bytes() == before
    (root / "old_answers").symlink_to(teachers.parent)
    with pytest.raises(InputError, match="is a link"):
        course.reset(root, "4")


@pytest.mark.parametrize("lesson", ["", "11", "../3", "03", "solutions", "3/..", "a"])
def test_there_are_no_other_lessons(root, lesson):
    with pytest.raises(InputError, match="no lesson"):
        course.reset(root, lesson)


def test_a_folder_that_nobody_may_read_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    shutil.copytree(build.ROOT, tmp_path / "b", ignore=shutil.ignore_patterns("so*"))
    monkeypatch.setattr(os, "scandir", lambda path, scan=os.scandir: scan(path) if Path(path).name != "a" else
                        (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    assert course.course_folder(tmp_path) == tmp_path / "b"
