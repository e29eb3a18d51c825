"""What a run says of itself while it works, so that others can watch it: OUTPUT/run_status.json.

A process that was killed cannot say so. Whoever reads the file looks for that process, by its number and the moment at
which it began: numbers are given again.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryoedu.files.writing import replace_when_done
from cryoedu.machine import process_began, process_lives
from cryoedu.runs.names import STATUS

LARGEST = 1 << 20  # bytes of a record that can be right


@dataclass(frozen=True)
class Status:
    """The state of a run.

    state: "starting", "running", "finished", "stopped" (by a person, can go on) or "failed" (message: why).
    iteration: the last one that was done, of at most ``iterations``.
    host, process, began: where it runs, its process number and when that began (seconds since 1970).
    folder: the run's own, absolute.  arguments: of the command ``cryoedu``.  place: the folder it was started in.
    updated: when this was written.
    """

    state: str
    iteration: int = 0
    iterations: int = 0
    message: str = ""
    host: str = ""
    process: int = 0
    began: float = 0.0
    folder: str = ""
    arguments: tuple[str, ...] = ()
    place: str = ""
    updated: str = ""

    @property
    def going_on(self) -> bool:
        """Whether a process works at it."""
        return self.state in ("starting", "running")

    @property
    def here(self) -> bool:
        """Whether its process is, or was, one of this machine."""
        return self.host == platform.node()

    def __str__(self) -> str:
        of = f" of at most {self.iterations}" if self.iterations else ""
        done = f", {self.iteration} iterations{of} done" if self.iteration else ""
        return f"{self.state}{done}{': ' if self.message else ''}{self.message}"


def write_status(folder: Path, status: Status, process: int | None = None) -> Status:
    """Write the status with the ``process`` (default: this one) that the run is, and the time; as it was written."""
    number = os.getpid() if process is None else process
    said = replace(status, host=platform.node(), process=number, began=process_began(number),
                   folder=str(folder.resolve()), updated=datetime.now(UTC).isoformat(timespec="seconds"))
    with replace_when_done(folder / STATUS) as part:
        part.write_text(json.dumps(asdict(said), indent=1, ensure_ascii=False), encoding="utf-8")
    return said


def recorded(folder: Path) -> Status | None:
    """What the run in ``folder`` has written, as it stands there; None if there is nothing, or nothing that fits."""
    try:
        path = folder / STATUS
        if path.stat().st_size > LARGEST:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        return Status(**{part.name: _of_kind(found[part.name], part.type) for part in fields(Status)})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


KINDS: dict[Any, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}


def _of_kind(value: Any, kind: Any) -> Any:
    if kind.startswith("tuple") and isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    if not isinstance(value, KINDS.get(kind, ())):
        raise TypeError
    return value


def status_of(folder: Path) -> Status | None:
    """The state of the run in ``folder``, its process looked for; None if nothing was started there as far as it says.

    A run that was being worked at by a process of this machine that is gone has failed. Of one on another machine
    only the record is known.
    """
    said = recorded(folder)
    if said is None or not said.going_on:
        return said
    if said.folder != str(folder.resolve()):
        return replace(said, state="stopped", message="this is a copy of a run")
    if said.here and not is_alive(said):
        why = ("it ended before its first iteration began; the log says why" if said.state == "starting"
               else "its process is gone without a word, as after a power cut or for want of memory")
        return replace(said, state="failed", message=why)
    return said


def is_alive(status: Status) -> bool:
    """Whether the process that the status names is there, and the same one."""
    return process_lives(status.process, status.began)


@contextmanager
def watched(folder: Path, done: int, iterations: int, arguments: Sequence[str]) -> Iterator[Callable[[int], None]]:
    """Keep the status of a run while the block works at it; call what it gives with the number of each iteration done.

    done: iterations that are done already, of at most ``iterations``.
    SIGTERM, which `kill` and queues of jobs send, ends the block as Ctrl-C does: with KeyboardInterrupt, at once or at
    the latest where the iteration is done.
    """
    status = Status("running", done, iterations, arguments=tuple(arguments), place=os.getcwd())

    def turned(number: int) -> None:
        nonlocal status
        status = write_status(folder, replace(status, iteration=number))
        heed()

    with _interrupts() as heed:
        try:
            status = write_status(folder, status)
            yield turned
        except KeyboardInterrupt:
            write_status(folder, replace(status, state="stopped"))
            raise
        except BaseException as error:
            write_status(folder, replace(status, state="failed", message=str(error) or type(error).__name__))
            raise
        write_status(folder, replace(status, state="finished"))


@contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """SIGINT and SIGTERM raise KeyboardInterrupt; what this gives raises it again, if it was lost.

    It is lost where Python runs in a call from C or in a destructor, as threadpoolctl and Numba have them: there an
    exception is printed, and forgotten.
    """
    asked = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def heed() -> None:
        if asked:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield heed
        return
    numbers = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where a shell made a job deaf to Ctrl-C
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield heed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
