"""The run monitor's part of the server: which runs there are, how far each is, stop and resume.

A run is what its files say, so it does not matter who started it. Nothing in a folder of a run is believed further than
needed: links are not followed, sizes are limited, and what is resumed is one of cryoedu's own jobs in its own folder.
"""

from __future__ import annotations

import csv
import math
import os
import re
import shlex
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.commands.background import resumable, resume, stop
from cryoedu.errors import InputError
from cryoedu.files.mrc import read_header
from cryoedu.files.ondisk import OnDisk
from cryoedu.lab.handlers import Handler, below, handler, pack
from cryoedu.lab.pictures import grey, shrink
from cryoedu.lab.rows import read_tables
from cryoedu.runs.names import HISTORY, JOB, LOG, REPORT, STATUS
from cryoedu.runs.status import Status, recorded, status_of

MOST_FOLDERS, DEEPEST, MOST_RUNS = 3000, 6, 200  # of a walk
MOST_ROWS, MOST_CLASSES, LOG_BYTES = 2000, 48, 6000  # shown of one run
LARGEST_HISTORY, LARGEST_MODEL = 8 * 10**6, 20 * 10**6  # bytes
LONGEST = 1000  # characters of what a run says of itself
PICTURE = 128  # pixels on a side, at most
MODEL = re.compile(r"run_it(\d{3,9})_model\.star")
COLUMNS = ("iteration", "log_likelihood", "resolution_angstrom", "resolved_angstrom", "fsc_resolution_angstrom",
           "changed_classes", "seconds")


def find_runs(top: Path) -> tuple[list[Path], bool]:
    """The folders of runs in ``top`` and below it, the nearest first, and whether the search ended before its end.

    Neither hidden folders nor links are entered, nor the folders of runs.
    """
    found: list[Path] = []
    level, seen = [top], 0
    for _ in range(DEEPEST):
        below_it: list[Path] = []
        for folder in level:
            seen += 1
            if seen > MOST_FOLDERS or len(found) >= MOST_RUNS:
                return found, True
            if (folder / STATUS).is_file() or (folder / JOB).is_file():
                found.append(folder)
            else:
                below_it += _folders(folder)
        level = below_it
    return found, bool(level)


def _folders(above: Path) -> list[Path]:
    try:
        with os.scandir(above) as entries:
            return sorted(Path(entry.path) for entry in islice(entries, MOST_FOLDERS)
                          if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False))
    except OSError:  # a folder of somebody else
        return []


def own_files(folder: Path) -> dict[str, Path]:
    """The files of a run by name. Raises InputError if one of them is a link or no plain file."""
    files = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("run_"):
                if not entry.is_file(follow_symlinks=False):
                    raise InputError(f"{entry.name} in {folder} is no plain file, so this is not a run as cryoedu "
                                     "leaves it: it is not opened")
                files[entry.name] = Path(entry.path)
    if not files.keys() & {STATUS, JOB}:
        raise InputError(f"{folder} holds no run of cryoedu: choose the folder that was given after --o")
    return files


def state_of(folder: Path) -> Status:
    """The state of the run in ``folder``; what an older version or another machine left is read from its job."""
    from cryoedu.runs.report import read_job

    said = status_of(folder)
    if said is not None:
        return said
    try:
        finished = read_job(folder)["finished"]
    except InputError as error:
        return Status("failed", message=str(error))
    return Status("finished" if finished else "stopped")


def summary(folder: Path, root: Path) -> dict[str, Any]:
    """A line of the list of runs."""
    try:
        own_files(folder)
        status = state_of(folder)
    except (InputError, OSError) as error:
        status = Status("failed", message=str(error))
    return {"path": _relative(folder, root), **_told(status)}


def _told(status: Status) -> dict[str, Any]:
    return {"state": status.state[:LONGEST], "message": status.message[:LONGEST], "updated": status.updated[:LONGEST],
            "iteration": status.iteration, "iterations": status.iterations,
            "job": status.arguments[0][:LONGEST] if status.arguments else "",
            "elsewhere": status.host[:LONGEST] if status.going_on and not status.here else ""}


def _relative(path: Path, root: Path) -> str:
    relative = path.relative_to(os.path.realpath(root)).as_posix()
    return "" if relative == "." else relative


def listed(root: Path, top: Path) -> dict[str, Any]:
    """All runs below ``top``, those that go on first, then the latest."""
    found, more = find_runs(top)
    runs = [summary(folder, root) for folder in found]
    runs.sort(key=lambda run: str(run["updated"]), reverse=True)
    runs.sort(key=lambda run: run["state"] not in ("starting", "running"))
    return {"runs": runs, "more": more}


def detail(folder: Path, root: Path, since: str = "") -> dict[str, Any]:
    """All that is shown of one run; only the stamp if that is still ``since``.

    can_stop, can_resume: whether these can be asked for; why_not: why it cannot be resumed.
    history: columns of numbers, a row for each iteration that was kept.  pictures: see `pictures`.
    curves: frequencies (1/Å), and the SSNR of each class and the FSC of the halves at them.
    """
    files, status = own_files(folder), state_of(folder)
    if not status.iterations and (said := recorded(folder)):
        status = replace(status, iteration=said.iteration, iterations=said.iterations)
    changed = [files[name].stat().st_mtime_ns for name in (STATUS, JOB, HISTORY, LOG, REPORT) if name in files]
    stamp = f"{status.state} {changed}"
    if stamp == since:
        return {"stamp": stamp}
    history = read_columns(files[HISTORY]) if HISTORY in files else {}
    number = max((int(found[1]) for name in files if (found := MODEL.fullmatch(name))), default=0)
    command, why_not = _command(folder)
    resumable = status.state in ("stopped", "failed") and not why_not
    return {"stamp": stamp, "path": _relative(folder, root), **_told(status), "command": command, "why_not": why_not,
            "can_stop": status.going_on and status.here, "can_resume": resumable, "report": REPORT in files,
            "history": {name: history[name] for name in COLUMNS if name in history},
            "weights": [values[-1] for name, values in history.items() if name.startswith("class_weight_")],
            "curves": read_curves(files[f"run_it{number:03d}_model.star"]) if number else {},
            "pictures": number, "log": tail(files[LOG]) if LOG in files else ""}


def _command(folder: Path) -> tuple[str, str]:
    """The exact command of a run, and why it cannot be resumed ("" if it can)."""
    try:
        words, _ = resumable(folder)
    except InputError as error:
        said = recorded(folder)
        return shlex.join(["cryoedu", *said.arguments]) if said and said.arguments else "", str(error)
    return shlex.join(["cryoedu", *words]), ""


def read_columns(path: Path) -> dict[str, list[float | None]]:
    """The columns of run_history.csv that are shown, None for what is empty or no finite number; its last rows."""
    if path.stat().st_size > LARGEST_HISTORY:
        raise InputError(f"{path} is too large to be the history of a run: look at it from a shell")
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        lines = csv.reader(file)
        try:
            names = next(lines, [])
            rows = deque(filter(None, lines), MOST_ROWS)
        except csv.Error as error:
            raise InputError(f"{path} is damaged ({error}): restore it, or run again") from None
    classes = [name for name in names if name.startswith("class_weight_")][:MOST_CLASSES]
    shown = {name: names.index(name) for name in (*COLUMNS, *classes) if name in names} if rows else {}
    return {name: [_number(row[i] if i < len(row) else None) for row in rows] for name, i in shown.items()}


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def read_curves(path: Path) -> dict[str, Any]:
    """Frequencies (1/Å), SSNR by class and, from two halves, their FSC, from a run_itNNN_model.star."""
    if path.stat().st_size > LARGEST_MODEL:
        raise InputError(f"{path} is too large to be the model of a run: look at it from a shell")
    try:
        blocks = {table.name: table for table in read_tables(path)}
    except InputError:
        return {}

    def column(k: int, name: str) -> list[float | None]:
        table = blocks.get(f"model_class_{k}")
        if table is None or f"rln{name}" not in table.columns:
            return []
        at = table.columns.index(f"rln{name}")
        return [_number(row[at] if at < len(row) else None)
                for row in table.rows(range(min(len(table), MOST_ROWS)))]

    ssnr = [column(k, "SsnrMap") for k in range(1, MOST_CLASSES + 1) if f"model_class_{k}" in blocks]
    fsc = column(1, "GoldStandardFsc")
    return {"frequencies": column(1, "Resolution"), "ssnr": [values for values in ssnr if values],
            "fsc": fsc if any(fsc) else []}


def tail(path: Path) -> str:
    """The last lines of a log, as they would stand in a terminal."""
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        long = file.tell() > LOG_BYTES
        file.seek(-LOG_BYTES if long else 0, os.SEEK_END if long else os.SEEK_SET)
        text = file.read(LOG_BYTES).decode("utf-8", errors="replace")
    lines = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")][long:]
    return "".join(c for c in "\n".join(lines) if c == "\n" or c == "\t" or c.isprintable())


def pictures(folder: Path, number: int) -> bytes:
    """The classes after iteration ``number`` as levels (count, views, size, size), packed with this shape.

    One view of a 2D average, the central slices across z, y and x of a map; each on a grey scale of its own, smaller
    if it has more than 128 pixels on a side.
    """
    files, start = own_files(folder), f"run_it{number:03d}_"
    if f"{start}classes.mrcs" in files:
        shown = [[image] for image in read_header(files[f"{start}classes.mrcs"]).pixels()[:MOST_CLASSES]]
    else:
        maps = [files[name] for name in sorted(files) if re.fullmatch(rf"{start}class\d{{3}}\.mrc", name)]
        shown = [_central(read_header(path).pixels()) for path in maps[:MOST_CLASSES]]
    if not shown:
        raise InputError(f"{folder} holds no pictures of iteration {number}")
    if len({shape := view.shape for views in shown for view in views}) > 1 or shape[0] != shape[1]:
        raise InputError(f"the pictures of iteration {number} in {folder} are not all squares of one size: a run of "
                         "cryoedu does not leave such")
    levels = np.stack([[_levels(view) for view in views] for views in shown])
    return pack({"shape": list(levels.shape)}, levels)


def _central(density: OnDisk) -> list[OnDisk]:
    z, y, x = (n // 2 for n in density.shape)
    return [density[z], density[:, y], density[:, :, x]]


def _levels(image: OnDisk) -> NDArray[np.uint8]:
    """Levels between all but the darkest and brightest thousandth."""
    values, _, _ = shrink(image, PICTURE)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [0.1, 99.9]) if finite.size else (0.0, 1.0)
    return grey(values, float(low), float(high))


def _folder(request: Handler) -> Path:
    return below(request.root(), request.text("path"), hidden=request.contents_manager.allow_hidden, folder=True)


def _told_to(act: Callable[[Path], object]) -> Callable[[Handler], dict[str, Any]]:
    def work(request: Handler) -> dict[str, Any]:
        folder = _folder(request)
        own_files(folder)  # no links
        act(folder)
        return {}

    return work


HANDLERS = {
    "runs": handler(get=lambda request: listed(request.root(), _folder(request))),
    "runs/one": handler(get=lambda request: detail(_folder(request), request.root(), request.text("since"))),
    "runs/pictures": handler(get=lambda request: pictures(_folder(request), request.number("number", 0, 0, 10**9))),
    "runs/stop": handler(programs=True, post=_told_to(stop)),
    "runs/resume": handler(programs=True, post=_told_to(resume))}
