"""The folder of a run: what it was asked for, what came out of each iteration, and from where it can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.writing import check_writable, replace_when_done
from cryoedu.geometry.euler import angular_distance, euler_to_matrix
from cryoedu.inference.model import Checkpoint, Iteration, resolution_of
from cryoedu.machine import peak_memory, surroundings
from cryoedu.runs.checkpoints import read_checkpoint, write_checkpoint
from cryoedu.runs.names import CHECKPOINT, HISTORY, JOB, REPORT, outputs_of
from cryoedu.runs.status import status_of
from cryoedu.validation.fsc import resolution as fsc_resolution

ANEW = "start anew with --overwrite or in another folder"


@dataclass
class RunFolder:
    """Where a run writes, and what it knows of itself.

    asked: what the results depend on, by option; files stand there as their digests.
    starts: one entry for each time that the run was started or resumed.  history: one row for each iteration.
    last: the state to go on from, None for a new run.  memory: bytes that blocks may fill.
    finished: whether the run came to its end, by its last iteration or because it converged.
    """

    path: Path
    asked: Mapping[str, Any]
    starts: list[dict[str, Any]]
    memory: int
    last: Checkpoint | None = None
    overwrite: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    finished: bool = False

    def begin(self) -> None:
        """Make the folder this run's: remove what an older run left there, and write down what was started."""
        if self.overwrite:
            for name in (CHECKPOINT, REPORT, HISTORY):
                (self.path / name).unlink(missing_ok=True)
            for path in outputs_of(self.path):
                path.unlink()
        for part in self.path.glob(".run_*.part"):  # what a killed process was writing
            part.unlink(missing_ok=True)
        self._write_job()

    def finish(self) -> None:
        """Write down that there is nothing left to do."""
        self.finished = True
        self._write_job()

    def _write_job(self) -> None:
        job = {"asked": self.asked, "starts": self.starts, "finished": self.finished}
        with replace_when_done(self.path / JOB) as part:
            part.write_text(json.dumps(job, indent=1, ensure_ascii=False), encoding="utf-8")

    def add(self, iteration: Iteration, seconds: float) -> None:
        """Keep the iteration, once its outputs are written: a row of the history, and the state to go on from."""
        found = iteration.posterior
        before = {} if self.last is None else self.last.arrays
        self.history.append(history_row(iteration, before, seconds))
        write_history(self.history, self.path / HISTORY)
        arrays = {"classes": found.classes, "angles": found.angles, "shifts": found.shifts, **iteration.state}
        notes = {"asked": self.asked, "starts": self.starts, "memory": self.memory, "history": self.history}
        self.last = Checkpoint(iteration.number, [iteration.model, *iteration.folds], arrays, notes)
        write_checkpoint(self.last, self.path / CHECKPOINT)


def open_folder(path: Path, asked: Mapping[str, Any], inputs: Iterable[Path] = (), *, command: str,
                resume: bool = False, overwrite: bool = False, memory: str | None = None,
                array_library: str = "auto") -> RunFolder:
    """The folder ``path`` for a run, new or resumed; nothing in it is changed yet.

    inputs: files that the run reads.  Raises InputError if the folder holds a run and neither ``resume`` nor
    ``overwrite`` is set, if there is nothing to resume, if the run was started with other options or files, or if an
    input would be overwritten.
    """
    from cryoedu.arrays import library
    from cryoedu.machine import memory_budget

    if resume and overwrite:
        raise InputError("--resume and --overwrite are both given: choose one")
    check_writable(path)
    _refuse_two(path)
    xp = library(array_library)
    budget = memory_budget(memory, xp)
    start = {"command": command, "folder": str(Path.cwd()), "from_iteration": 1, **surroundings(xp.__name__)}
    asked = json.loads(json.dumps(asked))  # as it will be read again: tuples become lists
    there = sorted(outputs_of(path))
    if not resume:
        _refuse_to_mix(path, there, inputs, overwrite)
        return RunFolder(path, asked, [start], budget, overwrite=overwrite)
    if there and not (path / CHECKPOINT).exists():
        raise InputError(f"{path} holds a run without a checkpoint ({CHECKPOINT}) to go on from: {ANEW}")
    last = read_checkpoint(path / CHECKPOINT)
    notes = last.notes
    if changed := differences(notes["asked"], asked):
        raise InputError(f"the run in {path} was started with {changed}: give what it was started with, or {ANEW}")
    if memory is None and notes["memory"] < 2 * budget:  # still free: the same blocks give the same rounding
        budget = notes["memory"]
    start["from_iteration"] = last.number + 1
    return RunFolder(path, asked, [*notes["starts"], start], budget, last, history=list(notes["history"]),
                     finished=_is_finished(path))


def _refuse_two(path: Path) -> None:
    """Two processes that write into one folder spoil each other's run."""
    status = status_of(path)
    if status is not None and status.going_on and status.here and status.process != os.getpid():
        raise InputError(f"process {status.process} works at the run in {path}: wait for its end, stop it, or choose "
                         "another folder")


def _is_finished(path: Path) -> bool:
    try:
        return bool(json.loads((path / JOB).read_text(encoding="utf-8"))["finished"])
    except (OSError, ValueError, KeyError, TypeError):
        return False  # then the last iterations are looked for, and there are none


def _refuse_to_mix(path: Path, there: list[Path], inputs: Iterable[Path], overwrite: bool) -> None:
    if overwrite:
        if there and not (path / JOB).exists():
            raise InputError(f"{path} holds a run that another program or version made: choose another folder")
        mine = {file.resolve() for file in there}
        for file in inputs:
            if file.resolve() in mine:
                raise InputError(f"{file} belongs to the run that --overwrite would replace: choose another folder")
    elif there:
        go_on = "go on with --resume, " if (path / CHECKPOINT).exists() else ""
        raise InputError(f"{path} already holds a run ({there[-1].name}): {go_on}choose another folder, or replace it "
                         "with --overwrite")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two sets of options, in words; empty if nothing does."""
    said = []
    for name in [*before, *(n for n in now if n not in before)]:
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if any("sha256:" in str(value) for value in (old, new)):
            said.append(f"no {name}" if old is None else name if new is None else f"another content of {name}")
        elif name == "command":
            said.append(f"cryoedu {old}, not {new}")
        else:
            said.append(f"{name} {_plain(old)}, not {_plain(new)}")
    return " and ".join(said)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    return {True: "on", False: "off", None: "at its default"}[value] if value is None or isinstance(value, bool) \
        else f"{value:g}" if isinstance(value, float) else str(value)


def history_row(iteration: Iteration, before: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """What is worth following from iteration to iteration; changes against the poses and classes ``before``."""
    found, model = iteration.posterior, iteration.model
    row = {"iteration": iteration.number, "log_likelihood": iteration.log_likelihood,
           "resolution_angstrom": iteration.resolution, "mean_max_probability": float(found.max_probability.mean()),
           "offset_sigma_angstrom": model.offset_sigma}
    if before:
        angles = angular_distance(euler_to_matrix(found.angles), euler_to_matrix(before["angles"]))
        shifts = np.sum((found.shifts - before["shifts"]) ** 2, axis=1)
        row |= {"changed_classes": float(np.mean(found.classes != before["classes"])),
                "median_angle_change_degrees": float(np.median(angles)),
                "rms_shift_change_angstrom": float(np.sqrt(shifts.mean()))}
    if iteration.fsc is not None:
        row["fsc_resolution_angstrom"] = (fsc_resolution(iteration.fsc, model.pixel_size, last=iteration.resolved)
                                          or 2 * model.pixel_size)
    elif iteration.resolved is not None:
        row["resolved_angstrom"] = resolution_of(iteration.resolved, model.box, model.pixel_size)
    row |= {f"class_weight_{k + 1}": float(w) for k, w in enumerate(model.class_weights)}
    row |= {f"seconds_{part}": float(value) for part, value in iteration.seconds.items()}
    return row | {"seconds": seconds, **peak_memory()}


def write_history(history: list[dict[str, float]], path: Path) -> None:
    """Write the rows as a table of comma-separated values; what a row does not have stays empty."""
    from pandas import DataFrame

    with replace_when_done(path) as part:
        DataFrame(history).to_csv(part, index=False)
