"""cryoedu doctor: the one page that somebody with a broken installation reads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cryoedu
from cryoedu import arrays, doctor

# What a broken CuPy does, as its module's source; None leaves a folder without one, as an uninstalled CuPy may.
BROKEN_CUPY = {
    "the driver's library is missing": "raise ImportError('libcuda.so.1: cannot open shared object file')",
    "the driver is too old": "raise RuntimeError('CUDA driver version is insufficient for CUDA runtime version')",
    "two CuPy disturb each other": "raise AttributeError('partially initialized module')",
    "the driver does not answer": ("class ndarray: pass\nclass cuda:\n class runtime:\n  @staticmethod\n"
                                   "  def getDeviceCount(): raise RuntimeError('cudaErrorUnknown: unknown error')"),
    "there is no GPU": ("class ndarray: pass\nclass cuda:\n class runtime:\n  @staticmethod\n"
                        "  def getDeviceCount(): return 0"),
    "kernels do not compile": ("class ndarray: pass\nclass cuda:\n class runtime:\n  @staticmethod\n"
                               "  def getDeviceCount(): return 1\nfloat32 = 'f4'\n"
                               "def ones(*a, **k): raise OSError('libnvrtc.so.12 not found')"),
    "half uninstalled": None,
}


def package(folder: Path, name: str, source: str | None) -> None:
    """A package of this name in a folder."""
    (folder / name).mkdir(parents=True)
    if source is not None:
        (folder / name / "__init__.py").write_text(source + "\n")


def program(folder: Path, name: str, script: str) -> None:
    """A program of this name in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def run(*command: str, modules: Path | None = None, programs: Path | None = None,
        **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with further modules and programs in front of the installed ones."""
    path = [str(p) for p in (modules, Path(cryoedu.__file__).parents[1]) if p]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables}
    if programs:
        environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, check=False)


def finding(findings: list[doctor.Finding], topic: str) -> doctor.Finding:
    return next(f for f in findings if f.topic == topic)


def test_the_brief_report_leaves_out_only_what_is_well():
    """A learner reads six lines; what is missing must be among them."""
    every = doctor.report()
    short = [f.topic for f in doctor.brief(every)]
    assert short[:2] == ["Python", "cryoedu"] and {"array library", "memory", "cores"} <= set(short)
    missing = doctor.Finding("numba", "not installed", "missing", "run: pip install numba")
    assert doctor.brief([*every, missing])[-1] == missing
    assert "→ run: pip install numba" in doctor.render(doctor.brief([*every, missing]))
    assert all(f.topic in short for f in every if f.next_step)
    assert "Ready to compute" in doctor.render(doctor.brief(every))



def test_a_healthy_machine_is_ready_and_says_what_it_has(monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody who asks for help pastes this page: every version and size has to be on it."""
    monkeypatch.setattr(arrays, "cupy_problem", lambda: "CuPy does not import")
    assert doctor.main() == 0
    text = capsys.readouterr().out
    for topic in ("Python", "cryoedu", "numpy", "scipy", "numba", "mrcfile", "jupyterlab", "ipywidgets", "cupy", "GPU",
                  "array library", "BLAS of numpy", "Numba's cache", "memory", "cores", "disk"):
        assert f" {topic} " in text
    assert text.rstrip().endswith("Ready to compute with NumPy, on the CPU.")


def test_every_requirement_is_looked_at() -> None:
    """A requirement that doctor does not know is the one whose absence nobody can explain."""
    project = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=]", requirement)[0] for requirement in project["dependencies"]}
    assert names == {*doctor.COMPUTING, *doctor.SPARED, *doctor.COURSE}


def test_threads_of_blas_are_those_that_are_used() -> None:
    """A classroom server with one thread too many per seat is slow for everybody: the page must show it."""
    printed = run("-m", "cryoedu.doctor", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1").stdout
    lines = [line for line in printed.splitlines() if "BLAS of" in line or "Numba's cache" in line]
    assert len(lines) == 3
    assert all("1 thread" in line for line in lines)


def test_too_many_threads_are_told_with_the_setting_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "cores", lambda: 0)
    blas = finding(doctor.report(), "BLAS of numpy")
    assert blas.state == "note"
    assert "_NUM_THREADS=0" in blas.next_step


@pytest.mark.parametrize("problem", BROKEN_CUPY)
def test_a_broken_cupy_never_breaks_the_cpu_path(problem: str, tmp_path: Path) -> None:
    """CUDA mismatches are the most common broken installation; people without a working GPU must still compute."""
    package(tmp_path, "cupy", BROKEN_CUPY[problem])
    code = ("from cryoedu import arrays; xp = arrays.library('auto'); x = xp.ones((2, 2)); "
            "print(arrays.namespace(x).__name__, arrays.to_numpy(x @ x).sum(), arrays.is_cupy(x))")
    computed = run("-c", code, modules=tmp_path)
    assert computed.stdout.split() == ["array_api_compat.numpy", "8.0", "False"], computed.stderr


@pytest.mark.parametrize("problem", ["the driver is too old", "half uninstalled"])
def test_a_broken_cupy_is_told_of_in_one_line(problem: str, tmp_path: Path) -> None:
    """The report must not fall over what it reports."""
    package(tmp_path, "cupy", BROKEN_CUPY[problem])
    told = run("-m", "cryoedu.doctor", modules=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "Traceback" not in told.stderr
    assert "Ready to compute with NumPy, on the CPU." in told.stdout


@pytest.mark.parametrize(("driver", "step"), [("580.65.06", "cryoedu[gpu-cuda13]"),
                                              ("535.183.01", "cryoedu[gpu-cuda12]"),
                                              ("470.82.01", "update NVIDIA's driver")])
def test_a_gpu_without_cupy_gets_the_step_that_fits_its_driver(driver: str, step: str, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver of CUDA 12 cannot run a CuPy of CUDA 13: naming the wrong extra would cost an hour."""
    program(tmp_path, "nvidia-smi", f"echo 'NVIDIA RTX A4000, 16376 MiB, {driver}'")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(arrays, "cupy_problem", lambda: "CuPy does not import (No module named 'cupy')")
    findings = doctor.report()
    assert "NVIDIA RTX A4000, 16376 MiB" in finding(findings, "GPU").found
    assert step in finding(findings, "cupy").next_step
    assert finding(findings, "cupy").state == "note"


@pytest.mark.parametrize("answer", ["echo 'NVIDIA-SMI has failed' >&2; exit 9", "echo garbage", "true"])
def test_a_driver_that_does_not_answer_is_no_gpu(answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "nvidia-smi", answer)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(arrays, "cupy_problem", lambda: "there is no GPU")
    assert finding(doctor.report(), "GPU").found.startswith("none")


def test_what_the_cpu_needs_and_is_missing_fails_with_the_next_step(tmp_path: Path) -> None:
    """Scripts that set up a classroom rely on the exit status; people on the command to run."""
    package(tmp_path, "numpy", "raise ImportError('numpy.core.multiarray failed to import')")
    told = run("-m", "cryoedu.doctor", modules=tmp_path)
    assert told.returncode == 1, told.stderr
    lines = told.stdout.splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith("! numpy"))
    assert "multiarray failed" in lines[row]
    assert "-m pip install 'numpy" in lines[row + 1]
    assert lines[-1].startswith("Not ready, this is needed first: numpy")


def test_a_version_out_of_range_is_missing_and_a_course_package_only_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy 1 imports happily and fails much later; without JupyterLab the shell commands still work."""
    ranges = {"numpy": ">=900", "jupyterlab": ">=900"}
    monkeypatch.setattr(doctor, "_wanted", lambda name: ranges.get(name, ""))
    findings = doctor.report()
    assert finding(findings, "numpy").state == "missing"
    assert "'numpy>=900'" in finding(findings, "numpy").next_step
    assert finding(findings, "jupyterlab").state == "note"


def test_a_container_s_limit_is_the_memory_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Binder the machine has 100 GB and a learner 2: the smaller number decides what runs."""
    monkeypatch.setattr(doctor, "container_limit", lambda: 2 * 10**9)
    assert "of the 2.0 GB that this container may use" in finding(doctor.report(), "memory").found


def test_numba_without_a_place_for_its_cache_is_told_with_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only installation with no home folder cannot compile cached kernels at all."""
    import numba

    def refuse(**_: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(numba, "njit", refuse)
    cache = finding(doctor.report(), "Numba's cache")
    assert cache.state == "missing"
    assert "NUMBA_CACHE_DIR" in cache.next_step
