"""Run one command, and measure what it took. Shared by the benchmarks that compare whole programs."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL = 0.2  # seconds between two looks at a command that is running


class Failed(Exception):
    """A command that ended badly, with its last words."""


@dataclass(frozen=True)
class Done:
    """What a command printed, and what it took, its child processes included.

    seconds: wall time.  cpu_seconds: of all its processes.  memory: MB, the peak of its largest process.
    """

    text: str
    seconds: float
    cpu_seconds: float
    memory: float


def run(command: str, folder: Path, logs: Path, watch: Callable[[float], None] | None = None) -> Done:
    """Run a command in ``folder``; stdout.log and stderr.log go to ``logs``. ``cryoedu`` is the one of this Python.

    A process starts with the peak memory of the one that it was forked from, and keeps it. So it is a second, small
    Python that starts the command and waits for it.

    watch: called with the seconds so far, some times a second.  Raises Failed if the command does.
    """
    words = shlex.split(command)
    if words[0] == "cryoedu":
        words = [sys.executable, "-m", "cryoedu.commands.app", *words[1:]]
    out, err, usage = logs / "stdout.log", logs / "stderr.log", logs / "usage.log"
    usage.unlink(missing_ok=True)
    started = time.perf_counter()
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-I", "-S", __file__, str(usage), *words], cwd=folder,
                                   stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        try:
            while process.poll() is None:
                time.sleep(POLL)
                if watch is not None:
                    watch(time.perf_counter() - started)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            raise
    text = out.read_text(errors="replace")
    if process.returncode:
        words = (text + err.read_text(errors="replace")).split()
        raise Failed(f"{command} failed with exit code {process.returncode}: {' '.join(words)[-500:]}")
    return Done(text, **json.loads(usage.read_text()))


def wait_for(usage: Path, words: Sequence[str]) -> int:
    """Run a command to its end, write what it took as JSON, and return its exit code."""
    started = time.perf_counter()
    process = subprocess.Popen(words)
    try:
        _, status, took = os.wait4(process.pid, 0)
    except KeyboardInterrupt:
        process.terminate()
        return 130
    usage.write_text(json.dumps({"seconds": time.perf_counter() - started, "cpu_seconds": took.ru_utime + took.ru_stime,
                                 "memory": took.ru_maxrss / 1024}))
    return abs(os.waitstatus_to_exitcode(status))


def machine() -> str:
    """The machine's processor and the cores that this process may use."""
    facts = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.*)", facts.read_text()) if facts.exists() else []
    cores = len(os.sched_getaffinity(0))
    return f"{names[0] if names else platform.processor()}, {cores} core{'s' if cores > 1 else ''}"


def peak_memory() -> int:
    """The most bytes that this process has held so far (Linux)."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    sys.exit(wait_for(Path(sys.argv[1]), sys.argv[2:]))
