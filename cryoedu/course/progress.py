"""Which exercises a learner has solved or tried: kept in one small file, so that a restart forgets nothing."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def progress_file() -> Path:
    """Where progress is kept: the file named by CRYOEDU_PROGRESS, or one in the user's data folder."""
    chosen = os.environ.get("CRYOEDU_PROGRESS")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("cryoedu", appauthor=False)) / "progress.json"


def solved() -> set[str]:
    """The numbers of the exercises solved so far; empty where there is no file, or none that can be read."""
    return solved_in(progress_file()) or set()


def solved_in(path: Path) -> set[str] | None:
    """The numbers of the solved exercises in a record, or None if there is no file, or none that can be read."""
    found = _read(path)
    return None if found is None else found[0]


def tried() -> set[str]:
    """The numbers of the exercises that were answered, but not yet rightly; empty as for `solved`."""
    right, wrong = _read(progress_file()) or (set(), set())
    return wrong - right


def _read(path: Path) -> tuple[set[str], set[str]] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {str(number) for number in record["solved"]}, {str(number) for number in record.get("tried", ())}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def record(number: str) -> str | None:
    """Remember that an exercise is solved. Returns None, or one sentence why it could not be kept."""
    before = solved()
    return None if number in before else _write(before | {number}, tried())


def record_try(number: str) -> str | None:
    """Remember that an exercise was answered, but wrongly. Returns as `record` does."""
    right, wrong = solved(), tried()
    return None if number in right | wrong else _write(right, wrong | {number})


def forget(lesson: str) -> str | None:
    """Forget the exercises of one lesson ("3"), to begin it again. Returns as `record` does."""
    return _write(*({n for n in numbers if n.partition(".")[0] != lesson} for numbers in (solved(), tried())))


def _write(right: Iterable[str], wrong: Iterable[str]) -> str | None:
    """Write beside the old file and rename, so that a crash leaves the old one or the new one, never half.

    A file that cannot be read is kept under another name.
    """
    path = progress_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and solved_in(path) is None:
            os.replace(path, path.with_name(path.name + ".unreadable"))
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".new")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"solved": sorted(right, key=_order), "tried": sorted(set(wrong) - set(right), key=_order)},
                          file, indent=1)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        return (f"Your progress could not be kept in {path} ({error.strerror or error}): "
                "set CRYOEDU_PROGRESS to a file that you may write.")
    return None


def _order(number: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in number.split(".")]
