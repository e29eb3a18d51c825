"""Marks: an assignment must pass the right answer, fail the stub, and tell nobody the solution by itself."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import nbformat
import pytest

from cryoedu.course import build, grading, lesson03
from cryoedu.course.exercises import LESSONS, lesson_exercises
from cryoedu.errors import InputError

ITEMS = {e.number: e for lesson in LESSONS for e in lesson_exercises(lesson).values()}
SOURCES = [path for path in build.sources() if build.has_solutions(path)]


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_each_exercise_is_a_cell_to_solve_and_a_locked_cell_that_grades(path):
    """nbgrader refuses a notebook in which two cells have one name, and gives no points where none are written."""
    notebook = grading.assignment(path)
    nbformat.validate(notebook)
    marked = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    names = [cell.metadata.nbgrader.grade_id for cell in marked]
    assert len(set(names)) == len(names) == 2 * sum(build.BEGIN in cell.source for cell in notebook.cells)
    for answer, test in zip(marked[::2], marked[1::2]):
        assert answer.metadata.nbgrader.solution and not answer.metadata.nbgrader.grade
        assert build.BEGIN in answer.source and "check(" not in answer.source
        assert test.metadata.nbgrader.grade and test.metadata.nbgrader.locked and build.BEGIN not in test.source
        number = test.source.split('"')[1]
        assert test.metadata.nbgrader.points == (2 if callable(ITEMS[number].solution) else 1)


def test_a_grading_cell_fails_for_a_stub_and_says_why_an_answer_is_wrong():
    grading.grade("3.1", lesson03.ODDS)
    with pytest.raises(AssertionError, match="Replace the three dots"):
        grading.grade("3.1", ...)
    with pytest.raises(AssertionError, match="logarithm"):
        grading.grade("3.1", 1.25)


def test_the_nbgrader_course_is_written_once_and_spares_what_is_not_ours(tmp_path):
    written = grading.write_nbgrader(tmp_path / "course", SOURCES)
    assert len(written) == len(SOURCES) + 1
    assert grading.write_nbgrader(tmp_path / "course", SOURCES) == written
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()  # the teacher's own")
    with pytest.raises(InputError, match="not one of ours"):
        grading.write_nbgrader(tmp_path, SOURCES)


def test_the_table_of_what_exercises_are_worth_holds_them_all(capsys):
    assert grading.main(["points"]) == 0
    rows = table(capsys.readouterr().out)
    assert rows[0] == ["lesson", "exercise", "points", "title"]
    assert [row[1] for row in rows[1:]] == list(ITEMS)
    assert ["3", "3.2", "2", ITEMS["3.2"].title] in rows


def test_records_of_progress_become_points(tmp_path, capsys):
    (tmp_path / "anna.json").write_text(json.dumps({"solved": ["3.1", "3.2"]}))
    (tmp_path / "ben.json").write_text(json.dumps({"solved": ["3.1"]}))
    out = tmp_path / "points.csv"
    assert grading.main(["points", str(tmp_path / "anna.json"), str(tmp_path / "ben.json"), "-o", str(out)]) == 0
    assert table(out.read_text()) == [["file", "points", "3.1", "3.2"], ["anna.json", "3", "1", "2"],
                                      ["ben.json", "1", "1", "0"]]
    (tmp_path / "bad.json").write_text("{")
    assert grading.main(["points", str(tmp_path / "bad.json")]) == 2
    assert grading.main(["points", str(tmp_path / "gone.ipynb")]) == 2
    said = capsys.readouterr().err
    assert "bad.json is not a record" in said and "gone.ipynb is not a notebook" in said


@pytest.mark.notebook
def test_a_notebook_is_run_and_gets_what_its_own_checks_find_right(tmp_path: Path):
    """What a notebook claims is not believed, but run; and a cell that stops with an error ends nothing."""
    from nbformat.v4 import new_code_cell, new_notebook

    cells = ["from cryoedu.course import check", 'check("3.1", 2.718281828459045 ** 1.25)', "1 / 0",
             'check("3.3", lambda gamma: 1)', "from cryoedu.course import lesson03",
             'check("3.2", lesson03.posterior)']
    nbformat.write(new_notebook(cells=[new_code_cell(c) for c in cells]), tmp_path / "anna.ipynb")
    assert grading.solved_by(tmp_path / "anna.ipynb") == {"3.1", "3.2"}
