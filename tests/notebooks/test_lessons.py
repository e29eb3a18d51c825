"""The lessons, run from top to bottom: unsolved as a student opens them, and solved as they are stored."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from cryoedu.course import build as B

pytestmark = [pytest.mark.notebook, pytest.mark.slow]
LESSONS = [p for p in B.sources() if B.has_solutions(p)]
MOST = {"10_whole_refinement": (180, 900)}  # seconds and MB of one kernel, in all
MOST_OF_OTHERS = (60, 403)  # 350 MB over a bare kernel
USAGE = """
import json, pathlib, time
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps({"cpu": time.process_time(), "memory": int(status["VmHWM"].split()[0]) / 1000}))
"""


def nbval(option: str, notebook: Path, scratch: Path) -> subprocess.CompletedProcess[str]:
    """nbval in a process of its own: it takes the notebook's folder and a fresh record of progress."""
    command = [sys.executable, "-m", "pytest", option, str(notebook), "--nbval-current-env", "--nbval-cell-timeout=600",
               f"--nbval-sanitize-with={Path(__file__).parent / 'sanitize.cfg'}", "-q", "-p", "no:cacheprovider",
               "-p", "no:xdist", "-o", "addopts=", "--color=no", f"--rootdir={notebook.parent}"]
    environment = {**os.environ, **B.ONE_THREAD, "CRYOEDU_PROGRESS": str(scratch / "progress.json")}
    return subprocess.run(command, cwd=notebook.parent, env=environment, capture_output=True, text=True, check=False)


def stored(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(B.ROOT / "solutions" / f"{path.stem}.ipynb", 4)


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_the_solved_notebook_is_an_executed_one(path):
    """nbval compares nothing in cells without an execution count: an unexecuted notebook would pass it."""
    cells = [c for c in stored(path).cells if c.cell_type == "code"]
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    assert sum(bool(c.outputs) for c in cells) > len(cells) / 2
    assert not [o for c in cells for o in c.outputs if o.output_type == "error" or o.get("name") == "stderr"]
    right = [c for c in cells if "check(" in c.source and "right." in str(c.outputs)]
    assert len(right) == sum("check(" in c.source for c in cells) >= 3


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_a_rebuild_changes_nothing_and_fits_a_small_seat(path):
    """Stored outputs that the code no longer gives; a lesson that a classroom's server would kill or make wait."""
    notebook = B.unrun_solved_notebook(path)
    notebook.cells.append(new_code_cell(USAGE))
    notebook = B.run(notebook, B.ROOT / "solutions")
    used = json.loads(notebook.cells.pop().outputs[0].text)
    assert B.without_pictures(B.to_text(notebook)) == B.without_pictures(B.to_text(stored(path)))
    seconds, memory = MOST.get(path.stem, MOST_OF_OTHERS)
    assert used["cpu"] < seconds and used["memory"] < memory, used


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_nbval_confirms_the_stored_outputs(path, tmp_path):
    ran = nbval("--nbval", B.ROOT / "solutions" / f"{path.stem}.ipynb", tmp_path)
    assert ran.returncode == 0, ran.stdout[-3000:]


@pytest.mark.parametrize("path", B.sources(), ids=lambda p: p.stem)
def test_the_unsolved_notebook_runs(path, tmp_path):
    """A stub that stops with an error would end the lesson at its first exercise."""
    ran = nbval("--nbval-lax", B.ROOT / f"{path.stem}.ipynb", tmp_path)
    assert ran.returncode == 0, ran.stdout[-3000:]


def up_to_check(path: Path, number: str) -> nbformat.NotebookNode:
    """The solved notebook as far as the check of an exercise."""
    notebook = copy.deepcopy(stored(path))
    last = next(k for k, c in enumerate(notebook.cells) if f'check("{number}"' in c.source and c.cell_type == "code")
    notebook.cells = notebook.cells[: last + 1]
    return notebook


def test_a_planted_wrong_solution_is_found(tmp_path):
    """The tests above are worth something only if they fail when a solution is wrong."""
    notebook = up_to_check(B.ROOT / "source" / "03_ml_alignment.py", "3.2")
    nbformat.write(notebook, tmp_path / "right.ipynb")
    assert nbval("--nbval", tmp_path / "right.ipynb", tmp_path).returncode == 0
    (tmp_path / "progress.json").unlink()
    wrong = notebook.cells[-1].source.replace("gamma.sum(axis=1, keepdims=True)", "gamma.sum()")
    assert wrong != notebook.cells[-1].source
    notebook.cells[-1].source = wrong
    nbformat.write(notebook, tmp_path / "wrong.ipynb")
    ran = nbval("--nbval", tmp_path / "wrong.ipynb", tmp_path)
    assert ran.returncode == 1 and "add up to" in ran.stdout and "1 failed" in ran.stdout


def test_an_error_in_a_students_cell_is_found(tmp_path):
    notebook = B.student_notebook(B.ROOT / "source" / "index.py")
    notebook.cells.append(new_code_cell("1 / 0"))
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    ran = nbval("--nbval-lax", tmp_path / "broken.ipynb", tmp_path)
    assert ran.returncode == 1 and "ZeroDivisionError" in ran.stdout
