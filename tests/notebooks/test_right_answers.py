"""A lesson runs to its end with every right answer, not only with the course's: lists, loops, other numbers."""

from __future__ import annotations

import pytest
from lesson_runs import answered, right_answers

from cryoedu.course import build as B
from cryoedu.course.exercises import LESSONS, lesson_exercises

ASKED = {B.source_of(lesson): set(lesson_exercises(lesson)) for lesson in LESSONS}
TURNS = [(path, turn) for path in ASKED for turn in range(max(map(len, right_answers(path).values()), default=0))]


@pytest.mark.parametrize("path", ASKED, ids=lambda p: p.stem)
def test_each_exercise_has_other_right_answers(path):
    """An exercise that was never tried with any answer but its maker's."""
    answers = right_answers(path)
    assert set(answers) == ASKED[path]
    assert min(map(len, answers.values())) >= 2


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.parametrize(("path", "turn"), TURNS, ids=[f"{path.stem}-{turn}" for path, turn in TURNS])
def test_the_lesson_runs_to_its_end_with_other_right_answers(path, turn, tmp_path):
    """A right answer that the judge refuses, or that breaks a later cell."""
    notebook = B.run(answered(path, turn), tmp_path)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [(cell.source, str(output)) for cell in cells for output in cell.outputs]
    judged = [output for source, output in outputs if "check(" in source and "Exercise" in output]
    assert len(judged) == len(ASKED[path])
    assert not [output for output in judged if ": right." not in output]
    assert not [output for _, output in outputs if "'stderr'" in output]
    assert not [output for source, output in outputs if "carry_on(" in source and "the course's answer" in output]
