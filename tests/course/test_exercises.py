"""Every exercise: a right answer must be called right, and a usual mistake must be named for what it is."""

from __future__ import annotations

import importlib
import io
import re

import numpy as np
import pytest

from cryoedu.course import build
from cryoedu.course.exercises import LESSONS, MINUTES, exercise, lesson_exercises, module_name
from cryoedu.course.learner import judged

ITEMS = [item for lesson in LESSONS for item in lesson_exercises(lesson).values()]
WRONG = [wrong for lesson in LESSONS
         for wrong in importlib.import_module(f"wrong_answers.{module_name(lesson)}").WRONG]
every_exercise = pytest.mark.parametrize("item", ITEMS, ids=lambda e: e.number)


def untouched(*inputs):
    """The function of a lesson as a student finds it."""
    result = ...  # your code
    return None if result is ... else result


def shows(*inputs):
    print("shown", file=io.StringIO())


@every_exercise
def test_the_solution_is_right_and_the_stub_is_open(item):
    assert judged(item, item.solution) == ("right", item.praise)
    for stub in [..., lambda *inputs: ..., untouched] if callable(item.solution) else [...]:
        state, text = judged(item, stub)
        assert state == "open" and item.title in text


@every_exercise
def test_an_answer_that_gives_nothing_is_told_so(item):
    """A forgotten `return`, or `print` in its place: "replace the three dots" would send the learner to look for dots
    that are not there."""
    for nothing in [shows, lambda *inputs: None] if callable(item.solution) else [None]:
        state, text = judged(item, nothing)
        assert state == "wrong" and "None" in text and "`print`" in text and "dots" not in text


@every_exercise
def test_a_complex_answer_is_refused_where_a_real_one_is_due(item):
    """A forgotten np.real passes as right with a warning, and a later cell stops with an error that nobody expects."""
    if callable(item.solution):
        def answer(*inputs):
            result = item.solution(*inputs)
            return tuple(map(little_more, result)) if isinstance(result, tuple) else little_more(result)

        asked_for = np.iscomplexobj(call_once(item))
    else:
        answer, asked_for = little_more(item.solution), False
    state, text = judged(item, answer)
    assert state == "right" if asked_for else state == "wrong" and "complex" in text, text


@every_exercise
def test_a_number_in_quotation_marks_is_no_number(item):
    """NumPy reads it as one, and the next cell that computes with it stops."""
    if not callable(item.solution) and np.ndim(item.solution) == 0:
        assert judged(item, str(item.solution))[0] == "wrong"


def little_more(result):
    return np.asarray(result) + 1e-9j


def call_once(item):
    """What the solution gives when its judge calls it first."""
    given = []
    judged(item, lambda *inputs: given.append(item.solution(*inputs)) or given[-1])
    return given[0][0] if isinstance(given[0], tuple) else given[0]


@pytest.mark.parametrize(("number", "answer", "says"), WRONG, ids=[f"{n} {s}" for n, _, s in WRONG])
def test_a_usual_mistake_is_named(number, answer, says):
    state, text = judged(exercise(number), answer)
    assert state == "wrong" and says in text


@every_exercise
def test_each_exercise_knows_three_mistakes_and_gives_hints(item):
    assert len({says for number, _, says in WRONG if number == item.number}) >= 3
    assert len(item.hints) >= 3


@every_exercise
def test_float32_work_passes(item):
    """The lessons' images are float32; an answer that stays in float32 is right."""
    if callable(item.solution):
        single = [np.dtype(np.float32), np.dtype(np.complex64)]

        def answer(*inputs):
            return item.solution(*[i.astype(single[np.iscomplexobj(i)]) if isinstance(i, np.ndarray)
                                   and i.dtype.kind in "fc" else i for i in inputs])

        assert judged(item, answer)[0] == "right"


@every_exercise
def test_a_function_that_spoils_its_input_is_told_so(item):
    if callable(item.solution):
        def spoils(*inputs):
            answer = item.solution(*inputs)
            for array in inputs:
                if isinstance(array, np.ndarray) and array.dtype.kind in "fc":
                    array += 1
            return answer

        takes_arrays = "changes the arrays" in judged(item, spoils)[1]
        assert takes_arrays or judged(item, spoils)[0] == "right"  # right only if it is given no arrays


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_takes_as_long_wherever_it_is_said(lesson):
    """A teacher who plans an afternoon with the index, and finds another time in the lesson or in the panel."""
    source = build.source_of(lesson)
    assert re.search(rf"^# \*\*Time:\*\* (about )?{MINUTES[lesson]} minutes", source.read_text(), flags=re.MULTILINE)
    index = (source.parent / "index.py").read_text()
    assert re.search(rf"\({source.stem}\.ipynb\).*\| {MINUTES[lesson]} min \|$", index, flags=re.MULTILINE)
