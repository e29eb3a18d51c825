"""A plugin for nbval (``-p tolerance``): numbers are compared within the tolerance that an output states beside them.

Other processors add in another order, so that a particle may change its class and a resolution its shell. Where a
lesson prints such a number, it says how far it moves: ``1,998 (to ±3)`` or ``17.6 Å (to ±1.2)`` for the number before
it, a line ``(numbers above: to ±0.02)`` for all above it. All else has to be the same, character by character, but for
the spaces beside such a number.
"""

from __future__ import annotations

import re

NUMBER = r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
HELD = "\x00"  # in the place of a number that has a tolerance
BESIDE = re.compile(rf"(?P<number>{NUMBER})(?P<unit>[^\d\n()]{{0,24}})\(to ±(?P<tolerance>[\d.]+)[^\d\n()]{{0,8}}\)")
ABOVE = re.compile(r"\(numbers above: to ±(?P<tolerance>[\d.]+)[^\d\n()]{0,8}\)")


def value(number: str) -> float:
    return float(number.replace(",", "").replace("−", "-"))


def taken_apart(text: str) -> tuple[str, list[tuple[float, float]]]:
    """The text with each number that has a tolerance held back, and those numbers with their tolerances, in order."""
    held: list[tuple[int, float, float]] = []

    def hold(number: re.Match[str], tolerance: float, start: int = 0) -> None:
        held.append((start + number.start(), value(number.group().strip()), tolerance))

    begin = 0
    for block in ABOVE.finditer(text):
        for number in re.finditer(NUMBER, text[begin : block.start()]):
            if not BESIDE.match(text, begin + number.start()):
                hold(number, float(block["tolerance"]), begin)
        begin = block.end()
    for beside in BESIDE.finditer(text):
        held.append((beside.start("number"), value(beside["number"]), float(beside["tolerance"])))
    held.sort()
    kept, end = [], 0
    for start, *_ in held:
        kept += [text[end:start], HELD]
        end = re.compile(NUMBER).match(text, start).end()
    rest = re.sub(rf"[ \t]*{HELD}[ \t]*", HELD, "".join([*kept, text[end:]]))
    return rest, [(number, tolerance) for _, number, tolerance in held]


def agree(reference: str, test: str) -> bool:
    """Whether two outputs are the same but for numbers that differ by no more than the tolerance that both state."""
    if str.__eq__(reference, test):
        return True
    (rest, numbers), (other_rest, other_numbers) = taken_apart(reference), taken_apart(test)
    return rest == other_rest and len(numbers) == len(other_numbers) and all(
        abs(a - b) <= tolerance * (1 + 1e-9) for (a, tolerance), (b, _) in zip(numbers, other_numbers))


class Tolerant(str):
    """A text that equals another one within the tolerances that both state."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and agree(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other


def pytest_configure() -> None:
    from nbval.plugin import IPyNbCell

    sanitize = IPyNbCell.sanitize

    def sanitized(self: IPyNbCell, text: object) -> object:
        clean = sanitize(self, text)
        return Tolerant(clean) if isinstance(clean, str) else clean

    IPyNbCell.sanitize = sanitized
