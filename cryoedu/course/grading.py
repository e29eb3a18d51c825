"""For classes that give marks: the lessons as nbgrader assignments, and a table of points. The course needs neither.

    python -m cryoedu.course.grading nbgrader FOLDER           # an nbgrader course: one assignment for each lesson
    python -m cryoedu.course.grading points                    # what each exercise is worth
    python -m cryoedu.course.grading points anna.ipynb ben.ipynb -o points.csv

The second table runs each notebook from top to bottom, as it was handed in, and gives the points of the exercises that
its own `check` calls find right. It also takes the ``progress.json`` of a learner, which it believes.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cryoedu.course import build
from cryoedu.course.exercises import LESSONS, Exercise, exercise, lesson_exercises
from cryoedu.course.learner import judged
from cryoedu.course.progress import solved_in
from cryoedu.errors import InputError
from cryoedu.files.writing import replace_when_done

CONFIGURATION = '''\
# Written by cryoedu. Each lesson is an assignment; what the student leaves undone is not an error, but earns no points.
c = get_config()
c.CourseDirectory.course_id = "cryoedu"
c.ClearSolutions.code_stub = {"python": ""}
c.ClearSolutions.enforce_metadata = False
c.ExecutePreprocessor.timeout = 600
'''


def points(item: Exercise) -> int:
    """What an exercise is worth: 1 for a number or an array, 2 for a function."""
    return 2 if callable(item.solution) else 1


def grade(number: str, answer: Any) -> None:
    """Raise AssertionError with the reason unless an answer is right: what a test cell of nbgrader calls."""
    state, text = judged(exercise(number), answer)
    assert state == "right", text


def assignment(path: Path) -> Any:
    """A lesson's source as the instructor's version of an nbgrader assignment.

    Each exercise becomes a cell to be solved, its `check`, and a locked cell that grades it.
    """
    notebook = build.read_source(path)
    cells = []
    for cell in notebook.cells:
        if build.BEGIN not in cell.source:
            cells.append(cell)
            continue
        lines = cell.source.splitlines()
        asked = next(line for line in lines if line.startswith("check("))
        number, answer = (part.strip() for part in asked.removeprefix("check(").rstrip(")").split(",", 1))
        cell.source = "\n".join(line for line in lines if line != asked).rstrip()
        identity = "exercise-" + number.strip('"').replace(".", "-")
        cell.metadata["nbgrader"] = _metadata(identity, solution=True)
        item = exercise(number.strip('"'))
        test = type(cell)(cell)
        test.id = f"{cell.id}-t"
        test.source = f"from cryoedu.course.grading import grade\n\ngrade({number}, {answer})"
        test.metadata = {"nbgrader": {**_metadata(f"{identity}-test", grade=True, locked=True), "points": points(item)}}
        look = type(cell)(cell)
        look.id, look.source, look.metadata = f"{cell.id}-c", asked, {}
        cells += [cell, look, test]
    notebook.cells = cells
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _metadata(identity: str, *, solution: bool = False, grade: bool = False, locked: bool = False) -> dict[str, Any]:
    return {"grade_id": identity, "solution": solution, "grade": grade, "locked": locked, "task": False,
            "schema_version": 3, "cell_type": "code"}


def write_nbgrader(folder: Path, sources: Iterable[Path]) -> list[Path]:
    """An nbgrader course in ``folder``: its configuration, and ``source/LESSON/LESSON.ipynb`` for each lesson.

    Returns what was written. Raises InputError if the folder holds another nbgrader configuration.
    """
    settings = folder / "nbgrader_config.py"
    if settings.exists() and settings.read_text(encoding="utf-8") != CONFIGURATION:
        raise InputError(f"{settings} is there already, and is not one of ours: choose an empty folder")
    texts = {settings: CONFIGURATION}
    for path in sources:
        if build.has_solutions(path):
            texts[folder / "source" / path.stem / f"{path.stem}.ipynb"] = build.to_text(assignment(path))
    for target, text in texts.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_done(target) as part:
            part.write_text(text, encoding="utf-8")
    return list(texts)


def solved_by(path: Path) -> set[str]:
    """The exercises that a learner's file solves: a notebook is run, a record of progress (.json) is read.

    Raises InputError for anything else.
    """
    if path.suffix == ".json":
        found = solved_in(path)
        if found is None:
            raise InputError(f"{path} is not a record of progress: hand over progress.json or a notebook")
        return found
    if path.suffix != ".ipynb" or not path.exists():
        raise InputError(f"{path} is not a notebook (.ipynb) or a record of progress (.json): correct its name")
    import nbformat
    from nbclient import NotebookClient

    try:
        notebook = nbformat.read(path, 4)
    except Exception as error:
        raise InputError(f"{path} cannot be read as a notebook ({error}): ask for it again") from None
    with tempfile.TemporaryDirectory() as scratch:
        record = Path(scratch) / "progress.json"
        with build.environment(CRYOEDU_PROGRESS=str(record), **build.ONE_THREAD):
            NotebookClient(notebook, timeout=600, kernel_name="python3", allow_errors=True,
                           resources={"metadata": {"path": scratch}}).execute()
        return solved_in(record) or set()


def worth() -> list[list[str]]:
    """The table of what each exercise is worth."""
    return [["lesson", "exercise", "points", "title"],
            *([lesson, item.number, str(points(item)), item.title]
              for lesson in LESSONS for item in lesson_exercises(lesson).values())]


def earned(files: Sequence[Path]) -> list[list[str]]:
    """The table of what each file earned: a row for each file, a column for each exercise that any of them solves."""
    solved = {path: solved_by(path) for path in files}
    found = set().union(*solved.values())
    items = [e for lesson in LESSONS for e in lesson_exercises(lesson).values() if e.number in found]
    return [["file", "points", *(e.number for e in items)],
            *([path.name, str(sum(points(e) for e in items if e.number in mine)),
               *(str(points(e) * (e.number in mine)) for e in items)] for path, mine in solved.items())]


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 if all is well, 2 and one sentence if not."""
    parser = argparse.ArgumentParser(prog="python -m cryoedu.course.grading",
                                     description="The course for classes that give marks.")
    commands = parser.add_subparsers(dest="command", required=True)
    nbgrader = commands.add_parser("nbgrader", help="write the lessons as an nbgrader course")
    nbgrader.add_argument("folder", type=Path)
    table = commands.add_parser("points", help="what exercises are worth, or what files earned, as CSV")
    table.add_argument("files", nargs="*", type=Path, help="notebooks (they are run) and progress.json files")
    table.add_argument("-o", "--output", type=Path, help="write here instead of to the screen")
    asked = parser.parse_args(arguments)
    try:
        if asked.command == "nbgrader":
            for path in write_nbgrader(asked.folder, build.sources()):
                print(path)
        else:
            rows = earned(asked.files) if asked.files else worth()
            if asked.output is None:
                csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
            else:
                with replace_when_done(asked.output) as part, open(part, "w", encoding="utf-8", newline="") as file:
                    csv.writer(file, lineterminator="\n").writerows(rows)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
