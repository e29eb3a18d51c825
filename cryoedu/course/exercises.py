"""What an exercise is, and how an answer is judged.

An exercise is data and a few small functions; each lesson keeps its own in one file (`lesson03`, …) as
``EXERCISES``. The ``judge`` of an exercise takes the learner's answer and returns what is wrong with it and why,
or None if it is right; it raises `NotDone` where nothing has been written yet.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryoedu.errors import InputError

LESSONS = {"0": "Start here", "1": "The experiment", "2": "maxCC alignment", "3": "ML alignment",
           "4": "2D classification", "5": "From 2D to 3D", "6": "ML3D classification", "7": "Fourier space",
           "8": "Coloured noise", "9": "Regularised likelihood", "10": "A whole refinement", "A": "The phase problem"}
MINUTES = {"0": 15, "1": 75, "2": 75, "3": 75, "4": 90, "5": 80, "6": 90, "7": 150, "8": 75, "9": 150, "10": 90,
           "A": 30}


class NotDone(Exception):
    """The answer is still the stub that the notebook came with."""


class Wrong(Exception):
    """The answer is wrong; the text says what and why."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    number: lesson and exercise, "3.2".
    title: what is asked, in a few words.
    judge: answer -> None if right, else a sentence or two: what is wrong, and why. May raise NotDone or Wrong.
    praise: what a right answer has shown.
    hints: from a nudge to nearly the answer.
    solution: an answer that is right (a number or a function).
    hands_on: what a right answer gives -> what later cells need of it: `real_array` makes an array of a list, `number`
        a plain number of an array that holds one. Of an answer that is a function it takes each result.
    """

    number: str
    title: str
    judge: Callable[[Any], str | None]
    praise: str
    hints: tuple[str, ...]
    solution: Any
    hands_on: Callable[[Any], Any] | None = None


def lesson_exercises(lesson: str) -> dict[str, Exercise]:
    """The exercises of a lesson ("3") by their numbers, in order; empty if the lesson has none."""
    if lesson not in LESSONS:
        return {}
    return {e.number: e for e in importlib.import_module(f"cryoedu.course.{module_name(lesson)}").EXERCISES}


def module_name(lesson: str) -> str:
    """The module of this package that holds a lesson's exercises: "lesson03" for "3"."""
    return f"lesson{lesson.lower():0>2}"


def exercise(number: str) -> Exercise:
    """The exercise with this number ("3.2"). Raises InputError if there is none, and names those there are."""
    number = str(number).strip()
    found = lesson_exercises(number.partition(".")[0])
    if number not in found:
        known = [n for lesson in LESSONS for n in lesson_exercises(lesson)]
        raise InputError(f"there is no exercise {number!r}: the exercises are {', '.join(known)}")
    return found[number]


def given_number(answer: Any) -> float:
    """The answer as one finite number. Raises NotDone (stub) or Wrong (not a number)."""
    if answer is ...:
        raise NotDone
    if answer is None:
        raise Wrong("Your answer is None, which is nothing. `print` shows a number and gives None: "
                    "write the number itself, or what computes it.")
    try:
        value = float(real(answer).item())
    except (TypeError, ValueError):
        raise Wrong(f"One number is asked for, but this is {describe(answer)}.") from None
    if not math.isfinite(value):
        raise Wrong(f"One finite number is asked for, but this is {value}. "
                    "Look for a division by zero, a logarithm of zero or an exponential of something huge.")
    return value


def real(values: Any) -> np.ndarray:
    """Values as an array of real numbers. Raises Wrong if they are complex, and what NumPy raises if no numbers."""
    array = np.asarray(values)
    if array.dtype.kind == "O":  # numbers of another library, or of several kinds
        array = np.asarray(values, dtype=complex if any(isinstance(v, complex) for v in array.flat) else float)
    if array.dtype.kind == "c":
        raise Wrong("The result is complex, but a real number is asked for in each place. If the imaginary part is "
                    "only rounding, end with np.real(…) or .real; if it is not, a step back to real space is missing, "
                    "or the complex conjugate of one factor.")
    if array.dtype.kind not in "biuf":  # text, which NumPy would read as a number
        raise TypeError(f"{describe(values)} is no number")
    return np.asarray(array, dtype=float)


def call(answer: Any, *inputs: np.ndarray | np.random.Generator | float) -> Any:
    """What the learner's function returns for copies of ``inputs``.

    Raises NotDone if it is a stub (no function yet, or one whose three dots are still there), and Wrong if it returns
    nothing, stops with an error or changes the arrays that it was given.
    """
    if answer is ...:
        raise NotDone
    if not callable(answer):
        raise Wrong(f"A function is asked for, but this is {describe(answer)}. "
                    "Hand over the function itself, without brackets after its name.")
    copies: list[Any] = [i.copy() if isinstance(i, np.ndarray) else i for i in inputs]
    with np.errstate(all="ignore"):
        try:
            result = answer(*copies)
        except Exception as error:
            raise Wrong(f"Your function stops with {type(error).__name__}{own_line(answer, error)}: "
                        f"{str(error).rstrip('.')}.") from error
    if result is ... or (result is None and is_stub(answer)):
        raise NotDone
    if result is None:
        raise Wrong("Your function gives nothing back (None). A function hands on its result with `return`; "
                    "`print` only shows it.")
    for before, after in zip(inputs, copies, strict=True):
        if isinstance(before, np.ndarray) and not np.array_equal(before, after, equal_nan=before.dtype.kind in "fc"):
            raise Wrong("Your function changes the arrays that it is given, so the next cell that uses them "
                        "would get other data. Work on a new array (`a = a - b` instead of `a -= b`).")
    return result


def is_stub(function: Any) -> bool:
    """Whether the three dots are still in a function's source; False where its source is not known."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    return any(isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, ast.Constant)
               and node.value.value is ... for node in ast.walk(tree))


def own_line(function: Any, error: BaseException) -> str:
    """Where in the learner's own function an error came up, " in line 3, `a = b`": nothing of what it called."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" in line {frames[-1].lineno}, `{frames[-1].line}`" if frames else ""


def call_for_array(answer: Any, shape: tuple[int, ...], *inputs: np.ndarray | float,
                   complex_too: bool = False) -> np.ndarray:
    """As `call`, for a function that returns an array of this shape with finite values: real ones, or with
    ``complex_too`` complex ones."""
    result = call(answer, *inputs)
    try:
        array = np.asarray(result, dtype=complex) if complex_too else real(result)
    except (TypeError, ValueError):
        raise Wrong(f"An array of shape {shape} is asked for, but your function returns {describe(result)}.") from None
    if array.shape != shape:
        raise Wrong(f"Your function returns an array of shape {array.shape}, but {shape} is asked for.")
    if not np.isfinite(array).all():
        raise Wrong("Your function returns infinite values or NaN for ordinary data.")
    return array


def call_for_number(answer: Any, *inputs: np.ndarray | float) -> float:
    """As `call`, for a function that returns one finite number."""
    result = call(answer, *inputs)
    try:
        return given_number(result)
    except Wrong as wrong:
        raise Wrong("Your function should return one number. " + str(wrong)) from None


# ---- what an accepted answer hands on to later cells -------------------------------------------------------------

def real_array(values: Any) -> np.ndarray:
    """An array of real numbers, in the precision that they have (lists and whole numbers: double)."""
    array = np.asarray(values)
    return np.asarray(array, dtype=np.result_type(array.dtype, np.float32))


def complex_array(values: Any) -> np.ndarray:
    """An array of complex numbers, in the precision that they have."""
    array = np.asarray(values)
    return np.asarray(array, dtype=np.result_type(array.dtype, np.complex64))


def whole_numbers(values: Any) -> np.ndarray:
    """An array of whole numbers that can be used as indices."""
    return np.rint(np.asarray(values, dtype=float)).astype(int)


def number(value: Any) -> float:
    """A plain number, also of an array that holds just one."""
    return float(np.asarray(value).item())


def whole_number(value: Any) -> int:
    """A plain whole number that can be used as an index."""
    return round(number(value))


def flag(value: Any) -> bool:
    """A plain True or False."""
    return bool(np.asarray(value).item())


# ---- comparing ---------------------------------------------------------------------------------------------------

def same(a: Any, b: Any, relative: float = 1e-3) -> bool:
    """Whether two numbers or arrays agree to ``relative`` of the larger one's size (float32 work passes)."""
    a, b = np.asarray(a), np.asarray(b)
    kind = complex if "c" in a.dtype.kind + b.dtype.kind else float
    a, b = a.astype(kind), b.astype(kind)
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    scale = float(np.max(np.abs(b), initial=0.0))
    return bool(np.max(np.abs(a - b), initial=0.0) <= relative * scale + 1e-12)


def first_match(answer: Any, mistakes: dict[str, Any], relative: float = 1e-3) -> str | None:
    """The explanation of the first typical wrong answer that equals ``answer``, or None."""
    return next((why for why, value in mistakes.items() if same(answer, value, relative)), None)


def whichever(answer: Any, *mistakes: Any, relative: float = 1e-3) -> Any:
    """The one of these wrong answers that equals ``answer``, else the first: for `first_match`, where several share
    an explanation."""
    return next((value for value in mistakes if same(answer, value, relative)), mistakes[0])


def shape_of(result: Any) -> tuple[int, ...] | None:
    """The shape of an array, a number, or nested lists; None if it is none of these, or rows are of unequal lengths."""
    try:
        array = np.asarray(result)
    except ValueError:
        return None
    return array.shape if array.dtype.kind in "biufc" or array.ndim else None


def has_nan(result: Any) -> bool:
    """Whether a result is, or holds, a real number that is NaN."""
    if shape_of(result) is None:
        return False
    array = np.asarray(result)
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def describe(answer: Any) -> str:
    """What kind of thing an answer is, in a few words."""
    if callable(answer):
        return "a function"
    if isinstance(answer, np.ndarray):
        return f"an array of shape {answer.shape}"
    return f"{type(answer).__name__} {str(answer)[:40]!r}"
