"""The course panel's part of the server: where the lessons are, how far the learner is, and a fresh copy of a lesson.

A fresh notebook is written from the lesson's text source, which belongs to the installed package and which nobody edits
in class. So it works in a checkout, on Binder and after ``pip install`` alike, whatever became of the notebooks.
"""

from __future__ import annotations

import os
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from cryoedu.course import build
from cryoedu.course.exercises import LESSONS, MINUTES, lesson_exercises
from cryoedu.course.progress import forget, solved, tried
from cryoedu.errors import InputError
from cryoedu.files.writing import replace_when_done
from cryoedu.lab.handlers import Handler, handler

ASIDE = "old_answers"  # the folder beside the lessons that takes what was moved out of their place
NEW = "cryoedu-course"  # the folder below Jupyter's that is made where there are no lessons yet
NOT_LESSONS = {ASIDE, "solutions", "source"}
MOST_FOLDERS = 500  # looked at on each level: a home folder may hold anything


def course_folder(root: Path) -> Path | None:
    """The folder of the learner's lessons: ``root``, this checkout's own below it, or the first one two levels down.

    Neither hidden folders nor links are followed. None if there are no lessons.
    """
    root = Path(os.path.realpath(root))
    if _has_lessons(root):
        return root
    if build.ROOT.is_relative_to(root) and _has_lessons(build.ROOT):
        return build.ROOT
    level = [root]
    for _ in range(2):
        level = [folder for above in level for folder in _folders(above)][:MOST_FOLDERS]
        for folder in level:
            if _has_lessons(folder):
                return folder
    return None


def _has_lessons(folder: Path) -> bool:
    return any((folder / f"{path.stem}.ipynb").is_file() for path in build.sources() if path.stem != "index")


def _folders(above: Path) -> list[Path]:
    try:
        with os.scandir(above) as entries:
            return sorted(Path(entry.path) for entry in islice(entries, MOST_FOLDERS)
                          if entry.is_dir(follow_symlinks=False) and entry.name not in NOT_LESSONS
                          and not entry.name.startswith("."))
    except OSError:  # a folder of somebody else
        return []


def state(root: Path, since: str = "") -> dict[str, Any]:
    """What the panel shows: each lesson with its file, minutes and exercises; only the stamp if it is still ``since``.

    The file is None where the lesson has to be written first. ``next`` is the lesson to go on with, None at the end.
    """
    folder = course_folder(root)
    files = {lesson: build.source_of(lesson).with_suffix(".ipynb").name for lesson in LESSONS}
    missing = [lesson for lesson, name in files.items() if folder is None or not (folder / name).is_file()]
    right, wrong = solved(), tried()
    stamp = f"{folder} {missing} {' '.join(sorted(right))} / {' '.join(sorted(wrong))}"
    if stamp == since:
        return {"stamp": stamp}
    lessons: list[dict[str, Any]] = []
    for lesson, title in LESSONS.items():
        exercises = [{"number": e.number, "title": e.title,
                      "state": "done" if e.number in right else "tried" if e.number in wrong else "open"}
                     for e in lesson_exercises(lesson).values()]
        where = None if lesson in missing or folder is None else _relative(folder / files[lesson], root)
        lessons.append({"lesson": lesson, "title": title, "minutes": MINUTES[lesson], "path": where,
                        "exercises": exercises, "done": sum(e["state"] == "done" for e in exercises)})
    unfinished = [found["lesson"] for found in lessons if found["done"] < len(found["exercises"])]
    return {"stamp": stamp, "lessons": lessons, "next": unfinished[0] if unfinished else None,
            "folder": None if folder is None else _relative(folder, root)}


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(os.path.realpath(root)).as_posix()


def find_or_write(root: Path, lesson: str) -> Path:
    """The notebook of a lesson, or of the "index", written fresh if it is missing. InputError if it cannot be."""
    source, path = _place(root, lesson)
    if not path.exists():
        _write(source, path)
    return path


def reset(root: Path, lesson: str, *, when: datetime | None = None) -> tuple[Path, Path | None]:
    """Write the notebook of a lesson anew; the old one is moved to old_answers/NAME_DATE_TIME.ipynb beside it.

    Returns the new one and where the old one is now, None if there was none. Raises InputError if it cannot be done;
    the old answers are lost in no case.
    """
    source, path = _place(root, lesson)
    aside = path.parent / ASIDE
    _refuse_link(aside)
    old = None
    if path.exists():
        stamp = (when or datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")
        aside.mkdir(exist_ok=True)
        old = next(name for count in range(1, 1000)
                   if not (name := aside / f"{path.stem}_{stamp}{f'_{count}' * (count > 1)}.ipynb").exists())
    _write(source, path, keep=old)
    return path, old


def _place(root: Path, lesson: str) -> tuple[Path, Path]:
    """The source of a lesson, or of the "index", and where the learner's notebook is or has to be."""
    source = build.source_of("0").with_name("index.py") if lesson == "index" else build.source_of(lesson)
    path = (course_folder(root) or Path(os.path.realpath(root)) / NEW) / f"{source.stem}.ipynb"
    _refuse_link(path)
    return source, path


def _refuse_link(path: Path) -> None:
    """What it leads to may be somebody else's, or the only copy."""
    if path.is_symlink():
        raise InputError(f"{path.name} is a link to another file: remove it, and the lesson is written in its place")


def _write(source: Path, path: Path, *, keep: Path | None = None) -> None:
    """The fresh notebook, whole, in the place of ``path``; what was there becomes ``keep``."""
    fresh = build.to_text(build.student_notebook(source))
    try:
        with replace_when_done(path) as part:
            part.write_text(fresh, encoding="utf-8")
            if keep is not None:
                path.rename(keep)
    except OSError as error:
        raise InputError(f"{path.name} could not be written ({(error.strerror or str(error)).lower()}): check the "
                         "permissions of its folder") from None


def _opened(request: Handler) -> dict[str, Any]:
    return {"path": _relative(find_or_write(request.root(), request.text("lesson")), request.root())}


def _reset(request: Handler) -> dict[str, Any]:
    lesson = request.text("lesson")
    path, old = reset(request.root(), lesson)
    problem = forget(lesson) if request.number("forget", 0, 0, 1) else None
    return {"path": _relative(path, request.root()), "old": old and _relative(old, request.root()), "problem": problem}


HANDLERS = {"course": handler(get=lambda request: state(request.root(), request.text("since"))),
            "course/open": handler(post=_opened), "course/reset": handler(post=_reset)}
