"""A seat on Binder: the steps that repo2docker takes from binder/, then a lesson in the memory of a small seat."""

from __future__ import annotations

import contextlib
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from jupyter_client import BlockingKernelClient
from newcomer import ROOT, bare, fetch, free_port, pins

import cryoedu

BINDER = ROOT / "binder"
LESSON = "03_ml_alignment.ipynb"
SEAT = 1000  # MB
# What this test's own process sets, and what would lead into the home folder of whoever runs it.
OWN = ("CRYOEDU_", "JUPYTER", "IPYTHON", "MPL", "NUMBA_", "OMP_", "OPENBLAS_", "MKL_", "XDG_", "PYTEST_")
linux = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(),
                           reason="counts memory that processes share once, as only Linux tells it")


class Seat(threading.Thread):
    """Looks five times a second at what a process and its descendants hold in memory, and ends them above a limit (MB).

    Nothing else at hand bounds what is really held. RLIMIT_AS counts addresses, of which threads, NumPy and LLVM
    reserve gigabytes that they never touch; RLIMIT_RSS does nothing on Linux; the true thing, a cgroup, wants rights
    that a container or a build machine does not give. What rises and falls between two looks is in `peak`, which Linux
    keeps.
    """

    def __init__(self, root: int, limit: float) -> None:
        super().__init__(daemon=True)
        self.root, self.limit, self.most, self.broken = psutil.Process(root), limit, 0.0, False
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.over.wait(0.2):
            held = sum(map(proportional, processes := family(self.root)))
            self.most = max(self.most, held)
            if held > self.limit:
                self.broken = True
                for process in processes:
                    end(process)
                return

    def close(self) -> None:
        self.over.set()
        self.join()


def family(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def proportional(process: psutil.Process) -> float:
    """MB that a process holds; of pages that it shares with others, its part."""
    try:
        return float(process.memory_full_info().pss) / 1e6
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


def end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def peak(process: psutil.Process) -> float:
    """The most MB that a process ever held."""
    return int(re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1]) * 1024 / 1e6


def python() -> str:
    """The Python that runtime.txt names if it works here, else the one that runs this test."""
    named = (BINDER / "runtime.txt").read_text().strip().replace("-", "")
    found = shutil.which(named)
    works = found and subprocess.run([found, "-c", "import venv, ensurepip"], capture_output=True, check=False)
    return found if works and not works.returncode else str(getattr(sys, "_base_executable", sys.executable))


def run(command: list[str | Path], **options: Any) -> str:
    """What a command said. Fails with the end of it if the command does."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.fixture
def classroom(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A copy of the repository as repo2docker would have made it ready, and the variables of a shell there."""
    environment, copy = tmp_path / "environment", tmp_path / "repository"
    run([python(), "-m", "venv", environment])
    command = [environment / "bin" / "python", "-m", "pip", "install", "--no-input", "--progress-bar", "off", "-r",
               BINDER / "requirements.txt"]
    asked = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "PIP_CONFIG_FILE"}
    shell = {name: value for name, value in bare(*OWN).items() if name != "PIP_CONFIG_FILE"}
    installed = subprocess.run(command, env={**shell, **asked}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, check=False)
    if installed.returncode:
        told = runpy.run_path(str(ROOT / "tools" / "environment.py"))["explain"](installed.stdout, tmp_path)
        if "no way to the package index" in told:
            pytest.skip(f"the packages of binder/requirements.txt cannot be installed here: {told.partition(':')[0]}")
        pytest.fail(f"pip could not install binder/requirements.txt: {installed.stdout[-3000:]}")
    left_out = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "docs", "runs", "shots", "tests")
    shutil.copytree(ROOT, copy, ignore=left_out)
    home = tmp_path / "home"
    home.mkdir()
    variables = bare(*OWN, HOME=str(home), PATH=f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
                     JUPYTER_RUNTIME_DIR=str(tmp_path / "runtime"), PIP_NO_INDEX="1")  # nothing more is fetched
    try:
        run([copy / "binder" / "postBuild"], cwd=copy, env=variables)
        yield copy, variables
    finally:
        shutil.rmtree(environment)  # a gigabyte, which pytest would keep three times


def test_binder_holds_no_address() -> None:
    """A pin that names one machine's registry fails on every other machine, and shows where that one is."""
    for path in BINDER.iterdir():
        found = re.findall(r"\S*://\S*|--?(?:extra-)?index(?:-url)?\b|--find-links|--trusted-host|\bPIP_\w+",
                           path.read_text())
        assert not found, f"{path.name}: {found}"


@linux
def test_a_seat_that_grows_too_large_is_ended() -> None:
    """The limit below is worth something only if it holds."""
    grows = "import time; kept = bytearray(150_000_000); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", grows]) as process:
        seat = Seat(process.pid, limit=100)
        assert process.wait(timeout=30) == -signal.SIGKILL
        seat.close()
    assert seat.broken and seat.most > 100


@linux
@pytest.mark.slow
def test_a_lesson_runs_in_a_seat_of_one_gigabyte(classroom: tuple[Path, dict[str, str]], tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """A pin that is missing, a postBuild that needs the network, a lesson that a small server kills in mid-class."""
    repository, shell = classroom
    port = free_port()
    command = [repository / "binder" / "start", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}",
               "--ServerApp.port_retries=0", "--IdentityProvider.token=none"]
    with open(tmp_path / "said.txt", "w") as said, \
            subprocess.Popen(command, cwd=repository, env=shell, stdout=said, stderr=said) as server:
        seat = Seat(server.pid, SEAT)
        try:
            kernel = open_notebook(port, f"notebooks/{LESSON}")["kernel"]["id"]
            cells, failed = run_cells(tmp_path / "runtime" / f"kernel-{kernel}.json", repository / "notebooks" / LESSON)
            assert not seat.broken, f"the seat was ended at {seat.most:.0f} MB, before the end of the lesson"
            peaks = [peak(process) for process in family(seat.root)]
            seconds = sum(sum(process.cpu_times()[:2]) for process in family(seat.root))
            threads = {process.environ().get("NUMBA_NUM_THREADS") for process in family(seat.root)}
        finally:
            seat.close()
            for process in family(seat.root):
                end(process)
    with capsys.disabled():
        print(f"\n{LESSON}, {cells} cells, {seconds:.0f} s of processor: the seat held at most {seat.most:.0f} MB "
              f"of {SEAT}; peaks of the server and the kernel: {' and '.join(f'{most:.0f} MB' for most in peaks)}")
    assert not failed, "\n".join(failed)
    assert threads == {"1"}  # what binder/start is for
    assert len(peaks) == 2 and sum(peaks) < SEAT
    assert packages(shell) == {**pins("binder/requirements.txt"), "cryoedu": cryoedu.__version__}
    run(["python", "-m", "pip", "check"], env=shell)


def open_notebook(port: int, path: str) -> dict[str, Any]:
    """What JupyterLab does when a person opens a notebook: the session that it gets, with a kernel."""
    at = f"http://127.0.0.1:{port}/api/"
    fetch(f"{at}status?token=none", seconds=60)
    return fetch(f"{at}sessions?token=none", seconds=60, post={
        "path": path, "name": Path(path).name, "type": "notebook", "kernel": {"name": "python3"}})


def run_cells(connection: Path, notebook: Path) -> tuple[int, list[str]]:
    """Run the cells from top to bottom, as a person would: how many there are, and what each says that fails."""
    cells = [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    client = BlockingKernelClient(connection_file=str(connection))
    client.load_connection_file()
    client.start_channels()
    failed = []
    try:
        client.wait_for_ready(timeout=60)
        for number, source in enumerate(cells, 1):
            reply = client.execute_interactive(source, output_hook=lambda message: None, timeout=180)["content"]
            if reply["status"] != "ok":
                failed.append(f"cell {number}: {reply.get('ename')}: {reply.get('evalue')}")
    except TimeoutError:
        failed.append(f"cell {number}: no answer for three minutes")
    finally:
        client.stop_channels()
    return len(cells), failed


def packages(shell: dict[str, str]) -> dict[str, str]:
    """Names and versions of all that is installed, but for what every new environment holds."""
    listed = json.loads(run(["python", "-m", "pip", "list", "--format=json"], env=shell))
    versions = {re.sub(r"[-_.]+", "-", package["name"]).lower(): package["version"] for package in listed}
    return {name: version for name, version in versions.items() if name not in ("pip", "setuptools")}
