"""``%load_ext cryoedu``: the line magic ``%cryoedu`` for notebooks and IPython, and displays of the course's objects.

>>> %load_ext cryoedu  # doctest: +SKIP
>>> %cryoedu status  # doctest: +SKIP
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import cryoedu
from cryoedu.course.exercises import LESSONS, lesson_exercises
from cryoedu.course.learner import Message, Progress, check, hint, progress
from cryoedu.errors import InputError

MEGABYTE = 10**6
USAGE = {"status": "", "check": " N.k NAME", "hint": " N.k", "doctor": "", "progress": " [N]"}
Names = Mapping[str, Any]


def load(shell: Any) -> None:
    """Give this IPython shell the magic with its completions, and the displays. May be called again."""
    from cryoedu.figures import displays

    def magic(line: str) -> Message | Progress | None:
        return answer(line, shell.user_ns)

    magic.__doc__ = f"The course at hand: {_usage()}."
    shell.register_magic_function(magic, "line", "cryoedu")
    shell.set_hook("complete_command", lambda _, event: completions(event.text_until_cursor, shell.user_ns),
                   str_key="%cryoedu")
    displays.register(shell)


def answer(line: str, names: Names) -> Message | Progress | None:
    """What ``%cryoedu LINE`` answers where the notebook knows these names. Bad input gets one sentence."""
    word, *arguments = line.split() or ["status"]
    if word not in USAGE:
        near = difflib.get_close_matches(word.lower(), USAGE, 1)
        meant = f", perhaps {near[0]!r} is meant" if near else ""
        return Message("note", "%cryoedu", f"There is no {word!r}{meant}: write {_usage()}.")
    try:
        return COMMANDS[word](arguments, names)
    except InputError as error:
        return Message("note", f"%cryoedu {word}", f"{str(error)[:1].upper()}{str(error)[1:]}.")


def _usage() -> str:
    *others, last = (f"%cryoedu {word}{arguments}" for word, arguments in USAGE.items())
    return f"{', '.join(others)} or {last}"


def _exactly(count: int, word: str, arguments: list[str]) -> None:
    if len(arguments) != count:
        given = f"this has {len(arguments)}" if arguments else "here is none"
        asked = "nothing more" if not count else f"{count} word{'s' if count > 1 else ''} after it"
        raise InputError(f"{word!r} takes {asked}, but {given}: write %cryoedu {word}{USAGE[word]}")


def _check(arguments: list[str], names: Names) -> Message:
    _exactly(2, "check", arguments)
    number, name = arguments
    return check(number, names[name] if name in names else _number(name))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"there is nothing called {text!r} in this notebook yet: run the cell that makes it, or write "
                         "the name of your answer as it stands there") from None


def _hint(arguments: list[str], _: Names) -> Message:
    _exactly(1, "hint", arguments)
    return hint(arguments[0])


def _progress(arguments: list[str], _: Names) -> Progress:
    if not arguments:
        return progress()
    _exactly(1, "progress", arguments)
    lesson = arguments[0].upper().lstrip("0") or "0"
    if lesson not in LESSONS:
        raise InputError(f"there is no lesson {arguments[0]!r}: the lessons are {', '.join(LESSONS)}")
    return progress(lesson)


def _doctor(arguments: list[str], _: Names) -> None:
    _exactly(0, "doctor", arguments)
    from cryoedu import doctor

    print(doctor.render(doctor.report()))


def _status(arguments: list[str], _: Names) -> None:
    _exactly(0, "status", arguments)
    print("\n".join(status()))


def status() -> list[str]:
    """Version, array library, memory of this kernel and widgets, a line each; then one for each lesson."""
    from cryoedu import arrays, machine

    library = arrays.library()
    where = "CuPy, on the GPU" if library.__name__.endswith("cupy") else "NumPy, on the CPU"
    held = machine.held_bytes()
    free = machine.free_bytes(arrays.library("numpy"))
    page = sys.modules.get("cryoedu.widgets.page")  # no widget is alive where nobody has imported one
    kinds = page.alive() if page else {}
    listed = f" ({', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))})" if kinds else ""
    return [f"cryoedu {cryoedu.__version__}", f"array library: {where}",
            f"memory: this kernel holds {held // MEGABYTE:,} MB, {free // MEGABYTE:,} MB are free",
            f"widgets alive: {sum(kinds.values())}{listed}", *progress().heads()]


COMMANDS: dict[str, Callable[[list[str], Names], Message | Progress | None]] = {
    "status": _status, "check": _check, "hint": _hint, "doctor": _doctor, "progress": _progress}


def completions(line: str, names: Names) -> list[str]:
    """What may stand where ``line``, from the magic's own name on, ends: a command, an exercise, a lesson or a name."""
    before = line.split()[1:] if line[-1:].isspace() else line.split()[1:-1]
    if not before:
        return list(USAGE)
    if before[0] in ("check", "hint") and len(before) == 1:
        return [number for lesson in LESSONS for number in lesson_exercises(lesson)]
    if before == ["progress"]:
        return list(LESSONS)
    if before[0] == "check" and len(before) == 2:
        return sorted(name for name in names if not name.startswith("_"))
    return []
