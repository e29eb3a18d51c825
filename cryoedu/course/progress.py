"""Which exercises a learner has solved or tried, kept so that a restart forgets nothing and no answer is ever lost.

Several kernels write at once, of two tabs or of two machines with one home, where locks are not to be relied on. So
none is needed: each answer is a file of its own, empty, in a folder beside the record, and its name says all
(``3.1.solved``, ``3.2.tried``; ``3.forgotten`` of a lesson that was begun again). Who makes one changes no other, and
who is stopped at any moment leaves nothing half done. The record, ``progress.json``, is the sum of them, for whoever it
is handed in to; what only stands in it (written by an older version, or brought from elsewhere) counts too.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

ROUNDS = 100  # of bringing the record up to date while others do so too
TRIES = 3  # of writing it where the system refuses
DAY = 86_400.0  # seconds after which no program can still hold, and write, what a lesson was begun again without


def progress_file() -> Path:
    """Where progress is kept: the file named by CRYOEDU_PROGRESS, or one in the user's data folder."""
    chosen = os.environ.get("CRYOEDU_PROGRESS")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("cryoedu", appauthor=False)) / "progress.json"


def solved() -> set[str]:
    """The numbers of the exercises solved so far; empty where there is no record, or none that can be read."""
    return solved_in(progress_file()) or set()


def solved_in(path: Path) -> set[str] | None:
    """The numbers of the solved exercises in a record, or None if there is none, or none that can be read."""
    found = _read(path)
    return None if found is None else found[0]


def tried() -> set[str]:
    """The numbers of the exercises that were answered, but not yet rightly; empty as for `solved`."""
    return (_read(progress_file()) or (set(), set()))[1]


def record(number: str) -> str | None:
    """Remember that an exercise is solved. Returns None, or one sentence why it could not be kept."""
    return _keep(progress_file(), None if number in solved() else f"{number}.solved")


def record_try(number: str) -> str | None:
    """Remember that an exercise was answered, but wrongly. Returns as `record` does."""
    return _keep(progress_file(), None if number in solved() | tried() else f"{number}.tried")


def forget(lesson: str) -> str | None:
    """Forget the exercises of one lesson ("3"), to begin it again. Returns as `record` does.

    An answer that comes at the same moment is forgotten or kept; those to other lessons are kept.
    """
    return _keep(progress_file(), f"{lesson}.forgotten")


def _keep(path: Path, name: str | None) -> str | None:
    """Make the file of this name, if any, and bring the record up to date."""
    try:
        if name is not None:
            folder = _folder(path)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
            lesson, _, what = name.rpartition(".")
            for answer in _names(path) if what == "forgotten" else ():
                if _lesson(answer) == lesson and answer != name:
                    (folder / answer).unlink(missing_ok=True)
        _write(path)
    except OSError as error:
        return (f"Your progress could not be kept in {path} ({error.strerror or error}): "
                "set CRYOEDU_PROGRESS to a file that you may write.")
    return None


def _folder(path: Path) -> Path:
    return path.with_name(f"{path.name}.d")


def _names(path: Path) -> set[str]:
    """The names of the answers beside a record."""
    try:
        return set(os.listdir(_folder(path)))
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _lesson(number: str) -> str:
    return number.partition(".")[0]


def _read(path: Path) -> tuple[set[str], set[str]] | None:
    """What is solved and what is tried, but not solved, by answers and record; None if there are neither."""
    try:
        names = _names(path)
    except OSError:  # somebody else's
        names = set()
    try:
        kept = _record(path.read_bytes())
    except (OSError, ValueError):
        kept = None
    return _sum(names, kept) if names or kept else None


def _record(content: bytes) -> tuple[set[str], set[str]]:
    """What a record says is solved, and tried. Raises ValueError if it is none."""
    try:
        found = json.loads(content)
        return {str(number) for number in found["solved"]}, {str(number) for number in found.get("tried", ())}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no record of progress") from error


def _sum(names: set[str], kept: tuple[set[str], set[str]] | None) -> tuple[set[str], set[str]]:
    """What is solved, and what is only tried, by the answers and what a record says besides."""
    def named(what: str) -> set[str]:
        return {name.removesuffix(f".{what}") for name in names if name.endswith(f".{what}")}

    forgotten = named("forgotten")
    right, wrong = ({number for number in numbers if _lesson(number) not in forgotten} for numbers in kept or ((), ()))
    right |= named("solved")
    return right, (wrong | named("tried")) - right


def _write(path: Path) -> None:
    """Make the record say what answers and record together say, until that is what stands there.

    Whoever writes last has seen all answers, or the one who made the next is still to write. It is written beside the
    old one and renamed, so that a crash leaves the old one or the new one; one that cannot be read is kept aside.
    """
    for attempt in range(ROUNDS):
        try:
            if _written(path):
                return
        except OSError:
            if attempt >= TRIES:
                raise
            time.sleep(0.02)  # another has just put its own there, which some file systems trip over


def _written(path: Path) -> bool:
    """Whether the record says all; else it is written."""
    kept = None
    try:
        content = path.read_bytes()
        try:
            kept = _record(content)
        except ValueError:
            path.with_name(f"{path.name}.unreadable").write_bytes(content)
    except FileNotFoundError:
        pass
    names = _names(path)
    now = _sum(names, kept)
    if now == kept:
        for name in names:
            if name.endswith(".forgotten") and time.time() - (_folder(path) / name).stat().st_mtime > DAY:
                (_folder(path) / name).unlink(missing_ok=True)
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            right, wrong = (sorted(numbers, key=_order) for numbers in now)
            json.dump({"solved": right, "tried": wrong}, file, indent=1)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return False


def _order(number: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in number.split(".")]
