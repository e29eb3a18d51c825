"""make lab and make test on a bare machine: what goes wrong there ends in one sentence with the next step."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import heed_ctrl_c
from newcomer import bare, fetch, free_port

ROOT = Path(__file__).resolve().parents[1]

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny"
version = "1"
"""
# A build backend that needs nothing: pip installs the folder itself, or hangs while SLOW is set.
BACKEND = '''\
import os, time, zipfile

METADATA = "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n" + os.environ.get("NEEDS", "")

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    if os.environ.get("SLOW"):
        open("building", "w").close()
        time.sleep(60)
    name = "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("tiny.pth", os.getcwd())
        wheel.writestr("tiny-1.dist-info/METADATA", METADATA)
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    return name
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile and its tool with a package that installs in a second and needs no network."""
    folder = tmp_path / "checkout"
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copy(ROOT / "tools" / "environment.py", folder / "tools")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "constraints.txt").write_text("")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "tiny.py").write_text("")
    return folder


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder to stand alone on PATH: a shell and what make itself needs, no Python."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sh", "make", "id"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def make(checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=checkout, env=bare(**variables), capture_output=True, text=True,
                          check=False, timeout=120)


def environment(checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "tools/environment.py", *arguments], cwd=checkout, env=bare(**variables),
                          capture_output=True, text=True, check=False, timeout=120)


def sentence(failed: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a failed start (make adds a line of its own)."""
    assert failed.returncode != 0, failed.stdout
    assert "Traceback" not in failed.stderr
    lines = [line for line in failed.stderr.splitlines() if line.strip() and not line.startswith("make: ***")]
    assert len(lines) == 1, failed.stderr
    return lines[0]


def python_with(folder: Path, module: str, source: str) -> Path:
    """A Python that finds this module before its own, as a system that lacks or changes a part of it would have."""
    (folder / "modules").mkdir(exist_ok=True)
    (folder / "modules" / f"{module}.py").write_text(source)
    python = folder / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}/modules" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python


@pytest.mark.parametrize("target", ["lab", "test"])
def test_no_python(target: str, checkout: Path, programs: Path) -> None:
    told = sentence(make(checkout, target, PATH=str(programs)))
    assert "No Python 3.11 or newer was found" in told
    assert f"make {target} PYTHON=" in told


def test_an_old_python_is_not_taken(checkout: Path, programs: Path) -> None:
    """What many clusters call python3 is 3.6: its own error message would be a riddle."""
    (programs / "python3").write_text("#!/bin/sh\nexit 1  # as sys.exit(sys.version_info < (3, 11)) does there\n")
    (programs / "python3").chmod(0o755)
    assert "No Python 3.11 or newer" in sentence(make(checkout, "lab", PATH=str(programs)))
    told = sentence(make(checkout, "lab", f"PYTHON={programs}/python3"))
    assert told.startswith(f"{programs}/python3 is not a Python 3.11 or newer")


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_python_without_the_venv_module(module: str, checkout: Path, tmp_path: Path) -> None:
    """Debian and Ubuntu ship Python so."""
    python = python_with(tmp_path, module, f"raise ImportError('No module named {module}')")
    told = sentence(make(checkout, "lab", f"PYTHON={python}", f"PORT={free_port()}"))
    assert f"has no {module} module" in told
    assert "apt install python3." in told
    assert not (checkout / ".venv").exists()


def test_no_room_on_the_disk(checkout: Path, tmp_path: Path) -> None:
    """A disk that fills up in mid-install leaves ten screens of pip; better to be told before."""
    python = python_with(tmp_path, "sitecustomize", "import shutil, collections\n"
                         "shutil.disk_usage = lambda path: collections.namedtuple('u', 'free')(3 * 10**8)\n")
    told = sentence(make(checkout, "test", f"PYTHON={python}"))
    assert "has 0.3 GB left, but the environment needs 2.2 GB" in told
    assert "make room" in told
    assert not (checkout / ".venv").exists()


def test_a_plugin_that_has_changed_is_installed_again(checkout: Path) -> None:
    """JupyterLab reads a copy: who has pulled a newer version would see the old one."""
    module = runpy.run_path(str(checkout / "tools" / "environment.py"))
    plugins = checkout / "labextension" / "static"
    plugins.mkdir(parents=True)
    (plugins / "mrc.js").write_text("old")
    with open(checkout / "pyproject.toml", "a") as project:
        project.write('[tool.hatch.build.targets.wheel.shared-data]\n"labextension" = "share/somewhere"\n')
    environment = module["Environment"](checkout)
    stamps = [environment.wanted({})["versions"]]
    old, other = plugins / "mrc.js", plugins / "star.js"
    for change in (lambda: old.write_text("new"), lambda: old.rename(other), other.unlink):
        change()
        stamps.append(environment.wanted({})["versions"])
    (checkout / "tiny.py").write_text("# not copied, so nothing has to be installed again")
    assert len(set(stamps)) == 4 and environment.wanted({})["versions"] == stamps[-1]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_is_taken(checkout: Path, taken_port: int) -> None:
    """The second JupyterLab of a person, and what to type instead."""
    told = sentence(make(checkout, "lab", f"PORT={taken_port}", f"PYTHON={sys.executable}"))
    assert told.startswith(f"Port {taken_port} is taken")
    other = told.rsplit("make lab PORT=", 1)[1].split("'")[0]
    assert other.isdigit() and int(other) != taken_port
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("port", ["http", "0", "70000", "-1"])
def test_a_port_that_is_none(port: str, checkout: Path) -> None:
    told = sentence(make(checkout, "lab", f"PORT={port}", f"PYTHON={sys.executable}"))
    assert told.startswith(f"PORT={port} is not a port")


@pytest.mark.slow
def test_no_network(checkout: Path) -> None:
    """A laptop on a train; and the next start, with a network, must work."""
    nothing = "http://127.0.0.1:9/simple"  # no server listens on the discard port
    told = sentence(environment(checkout, PIP_INDEX_URL=nothing, PIP_RETRIES="1", NEEDS="Requires-Dist: numpy\n"))
    assert "could not be fetched" in told
    assert "connect to the network" in told
    again = environment(checkout)
    assert again.returncode == 0, again.stderr
    assert imports_tiny(checkout)


@pytest.mark.slow
def test_the_first_start_a_second_one_and_a_changed_pin(checkout: Path) -> None:
    """The second start has to take seconds; a new pin has to reach everybody who pulls."""
    first = environment(checkout)
    assert first.returncode == 0, first.stderr
    assert "Making the environment" in first.stdout and "Installing" in first.stdout
    assert imports_tiny(checkout)

    start = time.monotonic()
    second = environment(checkout)
    assert (second.returncode, second.stdout) == (0, "")
    assert time.monotonic() - start < 5

    (checkout / "constraints.txt").write_text("# changed\n")
    third = environment(checkout)
    assert "Installing" in third.stdout and "Making" not in third.stdout
    assert environment(checkout).stdout == ""

    moved = checkout.rename(checkout.with_name("moved"))
    assert "The folder was moved" in environment(moved).stdout
    assert imports_tiny(moved)


@pytest.mark.slow
def test_an_environment_that_was_interrupted_is_mended(checkout: Path) -> None:
    """Ctrl-C in the first minute is common; a half-made environment that looks whole costs an afternoon."""
    with subprocess.Popen([sys.executable, "tools/environment.py"], cwd=checkout, env=bare(SLOW="1"), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                          preexec_fn=heed_ctrl_c) as process:
        deadline = time.monotonic() + 60
        while not (checkout / "building").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in said
    mended = environment(checkout)
    assert "was not finished the last time" in mended.stdout
    assert mended.returncode == 0, mended.stderr
    assert imports_tiny(checkout)

    (checkout / ".venv" / "bin" / "python").unlink()  # the Python it was made with is gone
    assert "does not work any more" in environment(checkout).stdout
    assert imports_tiny(checkout)


def imports_tiny(checkout: Path) -> bool:
    """Whether the environment is what it should be."""
    stamp = json.loads((checkout / ".venv" / "cryoedu-ready.json").read_text())
    python = checkout / ".venv" / "bin" / "python"
    done = subprocess.run([python, "-c", "import tiny"], cwd=checkout.parent, check=False)
    return done.returncode == 0 and stamp["checkout"] == str(checkout)


@pytest.mark.slow
@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv" or not (ROOT / ".venv" / "cryoedu-ready.json").exists(),
                    reason="runs where make made the environment, so that no other one is made or changed")
def test_make_lab_opens_the_course() -> None:
    """The one command that a learner types."""
    port = free_port()
    with subprocess.Popen(["make", "lab", f"PORT={port}", "ARGS=--no-browser --IdentityProvider.token=none"], cwd=ROOT,
                          env=bare(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          start_new_session=True) as lab:
        try:
            listing = fetch(f"http://127.0.0.1:{port}/api/contents?token=none", seconds=60)
            settings = fetch(f"http://127.0.0.1:{port}/lab/api/settings/@jupyterlab/apputils-extension:notification"
                             "?token=none", seconds=10)
        finally:
            os.killpg(lab.pid, signal.SIGTERM)
            said = lab.communicate(timeout=30)[0]
    names = {entry["name"] for entry in listing["content"]}
    assert {path.name for path in (ROOT / "notebooks").glob("*.ipynb")} <= names, said
    assert settings["schema"]["properties"]["fetchNews"]["default"] == "false"  # no question about news at the start
