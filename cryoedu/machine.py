"""The machine: its memory and what of it is free, its processes, and what computes on it.

Nothing else in the package asks psutil; where that is not installed, Linux itself is asked. Array libraries are
imported where they are needed, so that `doctor` runs without any.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import cryoedu
from cryoedu.errors import InputError
from cryoedu.threads import cores

PACKAGES = ("numpy", "scipy", "numba")  # whose versions matter to a result
CLOCK = 2.0  # seconds by which the moment at which a process began may differ: clocks are set


def _psutil() -> ModuleType | None:
    try:
        import psutil
    except ImportError:
        return None
    found: ModuleType = psutil
    return found


def total_bytes() -> int:
    """Memory of this machine."""
    psutil = _psutil()
    return int(psutil.virtual_memory().total) if psutil else _meminfo("MemTotal")


def free_bytes(xp: ModuleType) -> int:
    """Memory that is free now, in bytes: on the GPU for CuPy, else of this machine (or its container)."""
    from cryoedu.arrays import on_gpu

    if on_gpu(xp):
        import cupy

        return int(cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes())
    psutil = _psutil()
    return min(int(psutil.virtual_memory().available) if psutil else _meminfo("MemAvailable"), _container_free_bytes())


def _meminfo(name: str) -> int:
    """A row of Linux's own account of the memory, in bytes; a gigabyte where there is none."""
    try:
        return next(int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines()
                    if line.startswith(f"{name}:"))
    except (OSError, StopIteration):
        return 1 << 30


CGROUP = "/sys/fs/cgroup"


def _container_free_bytes() -> int:
    """What a cgroup limit (Binder, JupyterHub, Docker) leaves free; huge where there is none.

    Files that were read lately count as used there, but give way to anybody who asks.
    """
    for limit, used, stat in ((f"{CGROUP}/memory.max", f"{CGROUP}/memory.current", f"{CGROUP}/memory.stat"),
                              (f"{CGROUP}/memory/memory.limit_in_bytes", f"{CGROUP}/memory/memory.usage_in_bytes",
                               f"{CGROUP}/memory/memory.stat")):
        try:
            with open(limit) as a, open(used) as b:
                size, taken = int(a.read()), int(b.read())
        except (OSError, ValueError):
            continue
        return max(min(size - taken + _file_cache(stat), size), 0)
    return 1 << 62


def _file_cache(stat: str) -> int:
    """Bytes of inactive file cache by a cgroup's ``stat`` file, 0 where it does not say."""
    try:
        with open(stat) as file:
            counts = dict(line.split()[:2] for line in file)
        return int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0


UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
         "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def memory_budget(memory: str | int | None, xp: ModuleType) -> int:
    """Bytes that a computation may fill with its blocks.

    ``memory`` is a size such as "1 GB" or a number of bytes; None takes half of what is free now.
    Raises InputError if the size cannot be read or is too small to work in (under 16 MB).
    """
    if memory is None:
        return max(free_bytes(xp) // 2, 64 * 10**6)
    text = str(memory).upper().replace(" ", "")
    digits = text.rstrip("KMGTIB")
    try:
        size = int(float(digits) * UNITS[text[len(digits):]])
    except (ValueError, KeyError, OverflowError):
        raise InputError(f"memory {memory!r} is not a size: write it like '1 GB' or '512 MB'") from None
    if size < 16 * 10**6:
        raise InputError(f"memory {memory!r} is too small to work in: give at least '16 MB'")
    return size


def container_limit() -> int | None:
    """Bytes that a container (Binder, JupyterHub, Docker) or a batch system lets this process use, or None."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(path).read_text())
        except (OSError, ValueError):
            continue
    return None


def held_bytes() -> int:
    """Memory that this process holds now."""
    psutil = _psutil()
    if psutil:
        return int(psutil.Process().memory_info().rss)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_memory() -> dict[str, float]:
    """Most memory that this process has held until now, in MB, on the host and, if CuPy is in use, on the GPU."""
    from cryoedu.arrays import gpu_bytes_held

    try:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        found = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6}
    except ImportError:  # Windows
        import psutil

        found = {"peak_memory_mb": psutil.Process().memory_info().peak_wset / 1e6}
    if (held := gpu_bytes_held()) is not None:
        found["peak_gpu_memory_mb"] = held / 1e6
    return found


def surroundings(array_library: str) -> dict[str, Any]:
    """Time, versions and machine: what somebody who repeats a run has to know."""
    name = array_library.rsplit(".", 1)[-1]
    versions = {"cryoedu": cryoedu.__version__, "python": platform.python_version(),
                **{package: metadata.version(package) for package in PACKAGES if find_spec(package)}}
    machine = f"{platform.system()} {platform.machine()}, {_processor()}, {cores()} cores"
    if name == "cupy":
        import cupy

        versions["cupy"] = cupy.__version__
        card = cupy.cuda.runtime.getDeviceProperties(0)["name"]
        machine += f", {card.decode() if isinstance(card, bytes) else card}"
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions, "machine": machine,
            "array_library": name}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.*)$", text, flags=re.MULTILINE)
    return found[1] if found else platform.processor()


def process_began(number: int) -> float:
    """When the process began, in seconds since 1970; 0 if there is none (any more), or where that cannot be known."""
    psutil = _psutil()
    if psutil:
        try:
            return float(psutil.Process(number).create_time())
        except (psutil.Error, ValueError, OverflowError):
            return 0.0
    try:
        ticks = int(_after_name(number)[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return 0.0


def process_lives(number: int, began: float) -> bool:
    """Whether process ``number`` is there, and the one that ``began`` then: numbers are given again."""
    there = process_began(number)
    return there > 0 and abs(there - began) < CLOCK and not _is_zombie(number)


def _is_zombie(number: int) -> bool:
    psutil = _psutil()
    try:
        if psutil:
            return bool(psutil.Process(number).status() == psutil.STATUS_ZOMBIE)
        return _after_name(number)[0] == "Z"
    except Exception:  # it has just ended
        return True


def _after_name(number: int) -> list[str]:
    """What Linux says of a process, from its state on: the name before may hold anything."""
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()


def process_words(number: int) -> list[str]:
    """The command line of a process; empty if there is none, or if it is somebody else's."""
    psutil = _psutil()
    try:
        if psutil:
            return list(psutil.Process(number).cmdline())
        return Path(f"/proc/{number}/cmdline").read_text().split("\0")[:-1]
    except Exception:  # it has just ended, or may not be asked
        return []
