"""What a learner calls: `check`, `hint`, `carry_on`, `progress`. None of them ever raises because of an answer.

`say` is for the lessons: sentences whose numbers come from what was run.
"""

from __future__ import annotations

import functools
import html
import textwrap
from dataclasses import dataclass
from typing import Any

from cryoedu.course.exercises import LESSONS, Exercise, NotDone, Wrong, exercise, lesson_exercises
from cryoedu.course.limits import TooLong, limited
from cryoedu.course.progress import record, record_try, solved
from cryoedu.errors import InputError

# state -> (mark, words, edge colour); the mark and the words say it too, so the colour is never alone
STATES = {"right": ("✓", "right", "#0072b2"), "wrong": ("✗", "not yet", "#d55e00"),
          "open": ("…", "not done yet", "#777777"), "note": ("→", "", "#777777")}

TOO_LONG = ("Is there a loop that never ends, or one over every pixel? A loop over images or angles takes well under a "
            "second here.")

_hints_given: dict[str, int] = {}
_checked: dict[str, tuple[Any, bool]] = {}  # the last answer to each exercise, and whether it was right


@dataclass(frozen=True)
class Message:
    """A short answer to the learner: a line of text in a terminal, a box with a coloured edge in a notebook."""

    state: str  # "right", "wrong", "open" or "note"
    subject: str
    text: str

    def __repr__(self) -> str:
        mark, words, _ = STATES[self.state]
        return f"{mark} {self._head(words)} {self.text}".strip()

    def _head(self, words: str) -> str:
        return f"{self.subject}: {words}." if words else f"{self.subject}:"

    def _repr_html_(self) -> str:
        mark, words, colour = STATES[self.state]
        return (f'<div role="status" style="border-left: 5px solid {colour}; padding: 0.4em 0.8em; margin: 0.3em 0; '
                f'max-width: 46em; line-height: 1.45"><strong><span aria-hidden="true">{mark}</span> '
                f"{html.escape(self._head(words))}</strong> {html.escape(self.text)}</div>")


def check(number: str, answer: Any = ...) -> Message:
    """Judge an answer (a number or a function) to an exercise: not done yet, what is wrong and why, or right.

    ``number`` is lesson and exercise, "3.2". Never raises. What was tried and what was right is remembered (see
    `progress`).
    """
    try:
        asked = exercise(number)
    except InputError as error:
        return Message("note", "Check", str(error))
    state, text = judged(asked, answer)
    _checked[asked.number] = answer, state == "right"
    if state == "right":
        text = " ".join(filter(None, (text, record(asked.number))))
    elif state == "wrong":
        record_try(asked.number)
    return Message(state, f"Exercise {asked.number}", text)


def judged(asked: Exercise, answer: Any) -> tuple[str, str]:
    """("right" | "wrong" | "open", explanation) for an answer to an exercise; nothing is remembered."""
    try:
        problem = limited(lambda: asked.judge(answer))
    except TooLong as late:
        problem = f"Your function was stopped after {late.seconds:.0f} seconds. " + TOO_LONG
    except NotDone:
        return "open", (f"{asked.title} Replace the three dots and run the cell again; "
                        f'if you are stuck, ask hint("{asked.number}").')
    except Wrong as wrong:
        problem = str(wrong)
    except Exception as error:  # an answer so odd that judging it fails is a wrong answer, not a crash
        problem = f"The answer could not be judged ({type(error).__name__}: {error})."
    return ("right", asked.praise) if problem is None else ("wrong", problem)


def hint(number: str) -> Message:
    """The next hint for an exercise: each call gives one more, from a nudge to nearly the answer. Never raises."""
    try:
        asked = exercise(number)
    except InputError as error:
        return Message("note", "Hint", str(error))
    given = min(_hints_given.get(asked.number, 0), len(asked.hints) - 1)
    _hints_given[asked.number] = given + 1
    more = "" if given + 1 < len(asked.hints) else " (This was the last hint.)"
    return Message("note", f"Hint {given + 1} of {len(asked.hints)} for {asked.number}", asked.hints[given] + more)


def carry_on(number: str, answer: Any = ...) -> Any:
    """The learner's own answer if it is right, else the course's, so that the lesson goes on either way.

    Without ``answer``, the one that `check` saw last: that also goes on where a cell could not be run at all. What an
    answer of one's own gives is handed on in the form that the lesson's later cells need.
    """
    asked = exercise(number)
    if answer is ...:
        answer, right = _checked.get(asked.number, (..., False))
    else:
        right = judged(asked, answer)[0] == "right"
    whose = "your own" if right else "the course's"
    print(f"From here on, exercise {asked.number} runs with {whose} answer.")
    return _handed_on(asked, answer) if right else asked.solution


def _handed_on(asked: Exercise, answer: Any) -> Any:
    if asked.hands_on is None:
        return answer
    hands_on = asked.hands_on
    if not callable(answer):
        return hands_on(answer)

    @functools.wraps(answer)
    def answering(*inputs: Any, **named: Any) -> Any:
        return hands_on(answer(*inputs, **named))

    return answering


def say(text: str) -> None:
    """Show Markdown whose numbers come from the run, so that it says what is so on this machine, with these data."""
    from IPython.display import display

    lines = textwrap.dedent(text).strip()
    display({"text/markdown": lines, "text/plain": lines}, raw=True)  # type: ignore[no-untyped-call]


Rows = list[tuple[str, str, bool]]  # of exercises: number, title, solved


@dataclass(frozen=True)
class Progress:
    """How far the learner is: the exercises of each lesson, and which of them are solved."""

    lessons: dict[str, Rows]

    def __repr__(self) -> str:
        lines = [] if len(self.lessons) == 1 else [self._whole()]
        for lesson, rows in self.lessons.items():
            lines.append(_head(lesson, rows))
            lines += [f"  {'✓' if done else '·'} {number}  {title}" for number, title, done in rows]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """One lesson is shown with all its exercises; the whole course as one line for each lesson, to be opened."""
        if len(self.lessons) == 1:
            ((lesson, rows),) = self.lessons.items()
            return f'<div style="max-width: 46em"><strong>{_head(lesson, rows)}</strong>{_bar(rows)}{_list(rows)}</div>'
        every = [row for rows in self.lessons.values() for row in rows]
        lessons = "".join(f'<details style="margin: 0.3em 0"><summary>{_head(lesson, rows)}</summary>'
                          f"{_bar(rows)}{_list(rows)}</details>" for lesson, rows in self.lessons.items())
        return f'<div style="max-width: 46em"><strong>{self._whole()}</strong>{_bar(every)}{lessons}</div>'

    def heads(self) -> list[str]:
        """One line for each lesson: its title, and how many of its exercises are done."""
        return [_head(lesson, rows) for lesson, rows in self.lessons.items()]

    def _whole(self) -> str:
        done = [solved for rows in self.lessons.values() for *_, solved in rows]
        return f"The course: {sum(done)} of {len(done)} exercises done"


def _head(lesson: str, rows: Rows) -> str:
    return f"Lesson {lesson}, {LESSONS.get(lesson, '')}: {sum(done for *_, done in rows)} of {len(rows)} exercises done"


def _bar(rows: Rows) -> str:
    share = 100 * sum(done for *_, done in rows) // max(len(rows), 1)
    return ('<div aria-hidden="true" style="height: 8px; margin: 6px 0; background: #d9d9d9; border-radius: 4px">'
            f'<div style="height: 8px; width: {share}%; background: #0072b2; border-radius: 4px"></div></div>')


def _list(rows: Rows) -> str:
    items = "".join(f'<li>{"✓" if done else "○"} <strong>{number}</strong> {html.escape(title)}'
                    f'{"" if done else " <em>(open)</em>"}</li>' for number, title, done in rows)
    return f'<ul style="list-style: none; padding-left: 0.2em; margin: 0">{items}</ul>'


def progress(lesson: str | int | None = None) -> Progress:
    """The exercises of one lesson (3), or of all, and which of them are solved; also after a restart."""
    done = solved()
    wanted = list(LESSONS) if lesson is None else [str(lesson)]
    return Progress({name: [(e.number, e.title, e.number in done) for e in lesson_exercises(name).values()]
                     for name in wanted})
