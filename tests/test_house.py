"""The house itself: the code is clean, the pins agree, and what a classroom installs is what is tested."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from newcomer import pins

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Who may import whom: only from the left. A comma parts neighbours, which do not import each other.
ROOMS = """errors | arrays | threads | machine | files | geometry | validation | particles | microscope
    | micrographs, datasets, inference | doctor | pipeline | figures | runs | commands | course | widgets | lab"""
PLACE = {room.strip(): place for place, rooms in enumerate(ROOMS.split("|")) for room in rooms.split(",")}
HOOK = ("cryoedu", "cryoedu.course.magics")  # what IPython calls for %load_ext cryoedu
KNOWN = {HOOK}


def modules() -> dict[str, Path]:
    """The modules of the package by their dotted names."""
    paths = sorted((ROOT / "cryoedu").rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports() -> Iterator[tuple[str, str]]:
    """Every import of a module of the package by another: in functions, and for types only, too."""
    known = modules()
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0 and node.module
                found = [f"{node.module}.{alias.name}" for alias in node.names]
                found = [full if full in known else node.module for full in found]
            else:
                continue
            yield from ((name, other) for other in found if other in known and other != name)


def room(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


def test_imports_go_one_way() -> None:
    """A module that asks one to its right, or a circle of them: neither can be read, tested or changed by itself."""
    found = {pair for pair in imports() if pair[1] != "cryoedu"}  # which holds no more than the version
    homeless = {name for name in modules() if room(name) and room(name) not in PLACE}
    assert not homeless
    back = {(one, other) for one, other in found - {HOOK} if room(one) != room(other)
            and PLACE[room(other)] >= PLACE[room(one)]}
    assert not back - KNOWN, "\n".join(f"{one} imports {other}" for one, other in sorted(back - KNOWN))
    assert not KNOWN - found, "no breach any more: strike it"
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for one, other in found - KNOWN:
        graph[one].add(other)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of modules: {' ← '.join(error.args[1])}")


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ;]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("command", [["ruff", "check", "."], ["mypy"]], ids=lambda command: command[0])
def test_the_code_is_clean(command: list[str]) -> None:
    """What an editor underlines for the next reader is a defect here; 'make lint' shows the same."""
    checked = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_requirement_is_pinned() -> None:
    """A requirement without a pin breaks a classroom on the day its next version appears."""
    tested = pins("constraints.txt")
    extras = PROJECT["optional-dependencies"]
    needed = names([*PROJECT["dependencies"], *extras["test"], *extras["dev"]]) - {PROJECT["name"]}
    assert needed <= set(tested)


def test_binder_installs_tested_versions_and_nothing_more() -> None:
    """A classroom that differs from what is tested, or that builds for minutes more than it needs."""
    tested, classroom = pins("constraints.txt"), pins("binder/requirements.txt")
    assert classroom.items() <= tested.items()
    assert names(PROJECT["dependencies"]) <= set(classroom)
    assert not names(PROJECT["optional-dependencies"]["test"]) & set(classroom) - {"nbclient"}  # JupyterLab needs it
    assert not [name for name in classroom if "cupy" in name or "nvidia" in name or "cuda" in name]


def test_binder_starts_with_one_thread_of_blas() -> None:
    """Binder gives a seat about one core of a machine with dozens: BLAS would start a thread for each."""
    start = ROOT / "binder" / "start"
    shown = subprocess.run([start, "sh", "-c", "echo $OPENBLAS_NUM_THREADS $OMP_NUM_THREADS $NUMBA_NUM_THREADS"],
                           capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["1", "1", "1"]


def test_the_wheel_s_metadata_agree_with_the_package() -> None:
    """A citation or a README that names another version than the one people run."""
    import cryoedu

    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, flags=re.MULTILINE)[1] == cryoedu.__version__
    assert re.search(r"^license: (.*)$", citation, flags=re.MULTILINE)[1] == PROJECT["license"]


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    """Kernels, scripts and tables travel with the code, or an installed cryoedu fails where a checkout is fine."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True,
                   capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "cryoedu").rglob("*")
             if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")}
    there |= {f"cryoedu/course/source/{path.name}" for path in (ROOT / "notebooks" / "source").glob("*.py")}
    assert there <= packed
    assert not [name for name in packed if not name.startswith("cryoedu")]


@pytest.mark.slow
def test_the_tests_of_a_file_run_in_one_process() -> None:
    """Torn apart, they start a browser each, and meet widgets that the tests before them have not touched."""
    said = subprocess.run([sys.executable, "-m", "pytest", "-n", "2", "--dist=loadfile", "-v", "-p", "no:cacheprovider",
                           "tests/files/test_writing.py", "tests/test_threads.py"], cwd=ROOT, capture_output=True,
                          text=True, check=True).stdout
    ran = set(re.findall(r"\[(gw\d)\] \[ *\d+%\] PASSED (tests/[\w/]+\.py)", said))
    assert {name for _, name in ran} == {"tests/files/test_writing.py", "tests/test_threads.py"} and len(ran) == 2
