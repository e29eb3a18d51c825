"""What cryoedu finds on this machine, and for anything missing the one next step.

Only the standard library is imported at the top, so that ``python -m cryoedu.doctor`` also runs where NumPy does not.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cryoedu
from cryoedu.machine import container_limit, free_bytes, total_bytes
from cryoedu.threads import cores

GIGABYTE = 10**9
COMPUTING = ("numpy", "scipy", "array-api-compat", "healpix", "mrcfile", "pandas", "matplotlib", "jinja2", "typer",
              "tqdm", "platformdirs", "threadpoolctl", "lazy-loader")
SPARED = ("numba", "gemmi", "psutil")  # without them: much slower, no atomic models, memory guessed but on Linux
COURSE = ("jupyterlab", "jupyter-server", "ipywidgets", "anywidget", "k3d")
MODULES = {"array-api-compat": "array_api_compat", "lazy-loader": "lazy_loader", "jupyter-server": "jupyter_server"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    state: "ok"; "note" where something is missing that the CPU path does without; "missing" where it does not.
    next_step: what to do, one sentence; empty where nothing has to be done.
    """

    topic: str
    found: str
    state: Literal["ok", "note", "missing"] = "ok"
    next_step: str = ""


def main() -> int:
    """Print the report; return the exit status: 1 if something is missing that computing on the CPU needs, else 0."""
    findings = report()
    print(render(findings))
    return int(any(finding.state == "missing" for finding in findings))


def report() -> list[Finding]:
    """Everything that was looked at, in the order in which it is read."""
    python = f"{platform.python_version()} ({sys.executable}), {platform.system()} {platform.machine()}"
    findings = [Finding("Python", python),
                Finding("cryoedu", f"{cryoedu.__version__} in {Path(cryoedu.__file__).parent}")]
    findings += [_package(name, "missing") for name in COMPUTING]
    findings += [_package(name, "note") for name in SPARED + COURSE]
    broken = {finding.topic for finding in findings if finding.state == "missing"}
    if not broken & {"numpy", "array-api-compat"}:
        findings += _gpu()
    if not broken & {"numpy", "threadpoolctl"}:
        findings += _blas()
    if not any(finding.topic == "numba" and finding.state != "ok" for finding in findings):
        findings.append(_numba())
    if not broken & {"numpy", "array-api-compat"}:
        findings.append(_memory())
    findings.append(Finding("cores", f"{cores()} may be used"))
    if not broken:
        findings.append(_disk())
    return findings


def brief(findings: list[Finding]) -> list[Finding]:
    """What computes, and whatever needs a step: the part of the report that is read before anything is wrong."""
    topics = ("Python", "cryoedu", "GPU", "array library", "memory", "cores")
    return [finding for finding in findings if finding.topic in topics or finding.next_step]


def render(findings: list[Finding]) -> str:
    """The findings as text: one line each, the next step under what needs one, a verdict at the end."""
    width = max(len(finding.topic) for finding in findings)
    signs = {"ok": " ", "note": "·", "missing": "!"}
    lines = []
    for finding in findings:
        lines.append(f"{signs[finding.state]} {finding.topic:<{width}}  {finding.found}")
        if finding.next_step:
            lines.append(f"  {'':<{width}}  → {finding.next_step}")
    missing = [finding.topic for finding in findings if finding.state == "missing"]
    if missing:
        lines += ["", f"Not ready, this is needed first: {', '.join(missing)}."]
    else:
        lines += ["", *(f"Ready to compute with {f.found}." for f in findings if f.topic == "array library")]
    return "\n".join(lines)


def _package(name: str, if_missing: Literal["note", "missing"]) -> Finding:
    """Whether a package imports and has a version that cryoedu works with."""
    wanted = _wanted(name)
    install = f"run: {sys.executable} -m pip install '{name}{wanted}'"
    module = MODULES.get(name, name)
    try:
        importlib.import_module(module)
        version = importlib.metadata.version(name)
    except ModuleNotFoundError as error:  # its own, or that of something it needs; no metadata is one too
        found = "not installed" if error.name in (module, name) else f"does not import ({_first_line(error)})"
        return Finding(name, found, if_missing, install)
    except Exception as error:  # a broken binary raises all kinds of errors
        return Finding(name, f"does not import ({_first_line(error)})", if_missing, f"{install} --force-reinstall")
    if wanted and not _within(version, wanted):
        return Finding(name, f"{version}, but cryoedu needs {wanted}", if_missing, install)
    return Finding(name, version)


def _wanted(name: str) -> str:
    """The versions that cryoedu was installed to work with, such as ">=2,<3"; empty where that is not known."""
    with contextlib.suppress(ImportError):
        from packaging.requirements import Requirement

        for text in importlib.metadata.requires("cryoedu") or []:
            requirement = Requirement(text)
            if requirement.name == name and not requirement.marker:
                return str(requirement.specifier)
    return ""


def _within(version: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version, prereleases=True)


def _gpu() -> list[Finding]:
    """The GPU, CuPy, and which array library computes."""
    from cryoedu import arrays

    card = _nvidia()
    problem = arrays.cupy_problem()
    if problem is None:
        import cupy

        properties = cupy.cuda.runtime.getDeviceProperties(0)
        free, total = cupy.cuda.runtime.memGetInfo()
        name = properties["name"]
        runtime, driver = cupy.cuda.runtime.runtimeGetVersion(), cupy.cuda.runtime.driverGetVersion()
        return [Finding("GPU", f"{name.decode() if isinstance(name, bytes) else name}, {total / GIGABYTE:.1f} GB "
                               f"({free / GIGABYTE:.1f} GB free), with CUDA {_cuda(runtime)}, "
                               f"driver for CUDA {_cuda(driver)}"),
                Finding("cupy", str(cupy.__version__)),
                Finding("array library", "CuPy, on the GPU")]
    installed = _cupy_distributions()
    cupy = f"{', '.join(installed)}: " if installed else ""
    library = Finding("array library", "NumPy, on the CPU")
    if card is None:
        if not installed:
            return [Finding("GPU", "none that NVIDIA's driver knows of"), Finding("cupy", "not installed"), library]
        return [Finding("GPU", "none that NVIDIA's driver knows of"),
                Finding("cupy", cupy + _first_line(problem), "note",
                        "without an NVIDIA GPU nothing has to be done; with one, install NVIDIA's driver"), library]
    extra = card.extra
    if extra is None:
        step = "update NVIDIA's driver to 525 or newer"
    else:
        remove = f"{sys.executable} -m pip uninstall {' '.join(n.split()[0] for n in installed)}; then " if installed \
            else ""
        step = f"to compute on the GPU run: {remove}{sys.executable} -m pip install 'cryoedu[{extra}]'"
    return [Finding("GPU", f"{card.name}, {card.memory}, driver {card.driver}"),
            Finding("cupy", cupy + _first_line(problem) if installed else "not installed", "note", step), library]


@dataclass(frozen=True)
class _Card:
    """What NVIDIA's driver says of the first GPU."""

    name: str
    memory: str
    driver: str

    @property
    def extra(self) -> str | None:
        """The extra of cryoedu whose CUDA this driver runs: 13 from driver 580 on, 12 from 525 on."""
        major = self.driver.split(".")[0]
        if not major.isdigit() or int(major) < 525:
            return None
        return "gpu-cuda13" if int(major) >= 580 else "gpu-cuda12"


def _nvidia() -> _Card | None:
    """The first GPU that ``nvidia-smi`` lists, or None."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        answer = subprocess.run([tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
                                capture_output=True, text=True, timeout=20, check=True).stdout
        name, memory, driver = (part.strip() for part in answer.splitlines()[0].split(","))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return _Card(name, memory, driver)


def _cupy_distributions() -> list[str]:
    """Name and version of every installed CuPy (two of them disturb each other)."""
    found = {(d.metadata["Name"] or "", d.version) for d in importlib.metadata.distributions()}
    return sorted(f"{name} {version}" for name, version in found if name.split("-")[0] == "cupy")


def _cuda(version: int) -> str:
    """12040 as CUDA itself writes it: 12.4."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _blas() -> Iterator[Finding]:
    """The linear algebra libraries that NumPy and SciPy bring, with their threads."""
    import threadpoolctl

    with contextlib.suppress(Exception):  # told of already, with the packages
        importlib.import_module("scipy.linalg")  # SciPy brings a BLAS of its own
    allowed = cores()
    for pool in threadpoolctl.threadpool_info():
        if pool["user_api"] != "blas":
            continue
        library, threads = pool["internal_api"], pool["num_threads"]
        found = f"{library} {pool['version'] or ''}, {_threads(threads)}"
        step = ""
        if threads > allowed:
            variable = {"mkl": "MKL_NUM_THREADS", "openblas": "OPENBLAS_NUM_THREADS"}.get(library, "OMP_NUM_THREADS")
            step = f"more threads than cores make it slower, set {variable}={allowed} before Python starts"
        yield Finding(f"BLAS of {_owner(pool['filepath'])}", found, "note" if step else "ok", step)


def _owner(filepath: str) -> str:
    """Which package a BLAS belongs to: wheels keep their libraries in PACKAGE.libs or PACKAGE/.dylibs."""
    parts = Path(filepath).parts
    return next((name for name in ("numpy", "scipy") for part in parts if part in (name, f"{name}.libs")), "the system")


def _numba() -> Finding:
    """Whether compiled kernels can be kept from one start to the next."""
    import numba

    threads = _threads(numba.get_num_threads())
    try:
        folder = numba.njit(cache=True)(_owner).stats.cache_path
    except RuntimeError:  # Numba refuses to compile a kernel whose cache has no place
        return Finding("Numba's cache", f"cannot be written; {threads}", "missing",
                       "set NUMBA_CACHE_DIR to a folder that you may write to before Python starts")
    return Finding("Numba's cache", f"{folder}; {threads}")


def _memory() -> Finding:
    """Memory in all and free, of this machine or of the container it runs in."""
    from cryoedu import arrays

    total, free = total_bytes(), free_bytes(arrays.library("numpy"))
    found = f"{free / GIGABYTE:.1f} GB free of {total / GIGABYTE:.1f} GB"
    limit = container_limit()
    if limit is not None and limit < total:
        found = f"{free / GIGABYTE:.1f} GB free of the {limit / GIGABYTE:.1f} GB that this container may use"
    if free < GIGABYTE // 2:
        return Finding("memory", found, "note", "shut down notebooks that you do not need (in JupyterLab: Kernel menu)")
    return Finding("memory", found)


def _disk() -> Finding:
    """Room where datasets are kept."""
    from cryoedu.datasets.store import folder as cache

    folder = cache()
    place = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / GIGABYTE:.1f} GB free for datasets in {folder}"
    if not os.access(place, os.W_OK):
        return Finding("disk", f"{folder} cannot be written", "note",
                       "set CRYOEDU_CACHE to a folder that you may write to")
    if free < GIGABYTE:
        return Finding("disk", found, "note", "make room there, or set CRYOEDU_CACHE to a folder on a larger disk")
    return Finding("disk", found)


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


def _first_line(error: object) -> str:
    """The first line of a message that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip(" =")), type(error).__name__)


if __name__ == "__main__":
    sys.exit(main())
