"""Runs that go on by themselves: without the notebook, browser or shell that started them.

>>> from cryoedu.commands.background import start, stop
>>> folder = start("classify2d", "particles_data.star", o="runs/class2d", k=8, iter=15)  # doctest: +SKIP
>>> stop(folder)  # doctest: +SKIP
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cryoedu.errors import InputError
from cryoedu.machine import process_words
from cryoedu.runs.names import LOG
from cryoedu.runs.status import Status, recorded, status_of, write_status

JOBS = ("align2d", "classify2d", "classify3d", "refine3d", "initial-model")  # the commands that leave a run
PROGRAM = "cryoedu.commands.app"
_starting = threading.Lock()


def start(job: str, *arguments: str | os.PathLike[str], **options: Any) -> Path:
    """Start ``cryoedu JOB ARGUMENTS`` as a process of its own; the folder of the run.

    options: as the command has them, with _ for -: ``o="runs/a", k=8, particle_diameter=310``; a switch is True, what
    may be repeated a list. What the run says goes to FOLDER/run_log.txt; `cryoedu.runs.status_of` and the panel Runs of
    JupyterLab show how far it is.

    Raises InputError if there is no such job or option, or if the folder holds a run and is neither to be resumed nor
    overwritten.
    """
    from cryoedu.runs.names import outputs_of

    words = [job, *(os.fspath(argument) for argument in arguments), *_words(options)]
    given = parsed(words)
    folder = Path(given["o"])
    if folder.is_dir() and outputs_of(folder) and not (given["resume"] or given["overwrite"]):
        raise InputError(f"{folder} already holds a run: go on with resume=True, replace it with overwrite=True, or "
                         "choose another folder")
    _launch(words, folder, Path.cwd())
    return folder


def _words(options: dict[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is True:
                yield f"--{name.replace('_', '-')}"
            elif item is not None and item is not False:
                yield f"--{name.replace('_', '-')}={item}"


def parsed(words: Sequence[str]) -> dict[str, Any]:
    """The options of a run from the arguments of ``cryoedu``, as its command reads them; nothing is run.

    Raises InputError if they are not those of a command that leaves a run.
    """
    import typer

    from cryoedu.commands.app import app

    if not words or words[0] not in JOBS:
        raise InputError(f"{words[0] if words else 'nothing'!r} is no job that leaves a run: choose "
                         f"{', '.join(JOBS[:-1])} or {JOBS[-1]}")
    command: Any = typer.main.get_command(app)
    try:
        context = command.commands[words[0]].make_context(words[0], list(words[1:]))
    except Exception as error:  # its own kind of error, which says what is wrong; or an exit, after --help
        said = getattr(error, "format_message", lambda: "its options ask for no run")()
        raise InputError(f"cryoedu {words[0]}: {said}") from None
    return dict(context.params)


def asked_of(folder: Path) -> tuple[list[str], Path]:
    """The arguments of ``cryoedu`` that started the run in ``folder``, and the folder they were given in.

    Raises InputError if they are not known, or not those of a run in this very folder.
    """
    from cryoedu.runs.report import read_job

    said = recorded(folder)
    if said is not None and said.arguments:
        words, place = list(said.arguments), Path(said.place)
    else:
        try:
            last = read_job(folder)["starts"][-1]
            words, place = shlex.split(str(last["command"]))[1:], Path(str(last["folder"]))
        except (IndexError, KeyError, ValueError):
            raise InputError(f"{folder} does not say how its run was started") from None
    given = parsed(words)
    if "\0" in f"{place}{given['o']}" or not place.is_absolute() or (place / given["o"]).resolve() != folder.resolve():
        raise InputError(f"the run in {folder} was started for the folder {given['o']}: a copy cannot go on, unless "
                         "from a shell, with its new place after --o")
    return words, place


def resumable(folder: Path) -> tuple[list[str], Path]:
    """As `asked_of`. Raises InputError too if the run would go to a machine that nobody but its record has named.

    Whoever a Dask client talks to can have it run any program; and the folder of a run may come from a stranger.
    """
    words, place = asked_of(folder)
    cluster = parsed(words).get("cluster")
    if cluster is not None and not cluster.isdecimal():
        raise InputError(f"the run in {folder} computes on the cluster at {cluster}: resume it from a shell, if you "
                         "know that machine")
    return words, place


def resume(folder: Path) -> Status:
    """Start the run in ``folder`` again where it was stopped, or anew if it was stopped in its first iteration.

    Raises InputError if it is going on or finished, or as `resumable`.
    """
    from cryoedu.runs.names import CHECKPOINT

    said = recorded(folder)
    if said is not None and said.state == "finished":
        raise InputError(f"the run in {folder} is finished: there is nothing left to do")
    words, place = resumable(folder)
    if not place.is_dir():
        raise InputError(f"the folder {place}, in which the run was started, is gone: resume it from a shell")
    words = [word for word in words if word not in ("--resume", "--overwrite")]
    if (folder / CHECKPOINT).exists():
        words.append("--resume")
    return _launch(words, folder, place)


def stop(folder: Path) -> None:
    """Ask the run in ``folder`` to end, as Ctrl-C does: the iterations that were finished stay, and it can be resumed.

    Raises InputError if no process of this machine works at it.
    """
    status = status_of(folder)
    if status is None or not status.going_on:
        raise InputError(f"nothing works at the run in {folder}: it is {status.state if status else 'not going on'}")
    if not status.here:
        raise InputError(f"the run in {folder} is going on at {status.host}: stop it there")
    words, _ = asked_of(folder)
    if process_words(status.process)[-len(words):] != words:
        raise InputError(f"process {status.process} is not the run in {folder}: it is left alone")
    os.kill(status.process, signal.SIGTERM)
    if status.state == "starting":  # it ends at once, and says nothing
        write_status(folder, replace(status, state="stopped"), status.process)


def _launch(words: Sequence[str], folder: Path, place: Path) -> Status:
    """Start ``cryoedu WORDS`` in the folder ``place``, detached, its output at the end of the log of the run."""
    folder = place / folder
    with _starting:
        status = status_of(folder)
        if status is not None and status.going_on:
            raise InputError(f"the run in {folder} is going on: wait for its end, or stop it")
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)  # not into a file elsewhere
        with open(os.open(folder / LOG, flags, 0o666), "a", encoding="utf-8") as log:
            log.write(f"{datetime.now().isoformat(sep=' ', timespec='seconds')} {shlex.join(['cryoedu', *words])}\n")
            log.flush()
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", PROGRAM, *words],  # -P: no module from the folder it starts in
                cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "MPLBACKEND": "agg", "PYTHONUNBUFFERED": "1"})
        started = write_status(folder, Status("starting", arguments=tuple(words), place=str(place.resolve())),
                               process.pid)
    threading.Thread(target=process.wait, daemon=True).start()  # or it would stay as a zombie
    return started
