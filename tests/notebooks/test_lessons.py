"""The lessons, run from top to bottom: unsolved as a student opens them, and solved as they are stored."""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
import pytest
from lesson_runs import nbval, stored
from nbformat.v4 import new_code_cell

from cryoedu.course import build as B

pytestmark = [pytest.mark.notebook, pytest.mark.slow]
LESSONS = [p for p in B.sources() if B.has_solutions(p)]
# MB of a kernel's own; what it takes in time is in benchmarks/lessons.md. Pages of libraries are left out: the kernels
# of a classroom share them, and how many are mapped hangs on what the machine has read (llvmlite alone: 43 or 104 MB).
MOST = {"10_whole_refinement": 830}
MOST_OF_OTHERS = 330
USAGE = """
import os, pathlib
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
peak, shared = (int(status[name].split()[0]) for name in ("VmHWM", "RssFile"))
pathlib.Path(os.environ["USAGE"]).write_text(str(peak - shared))
"""


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
def test_the_solved_notebook_is_the_one_its_source_gives(path):
    """A lesson edited in one place only: run 'python -m cryoedu.course.build'."""
    assert B.differing(path) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_nbval_confirms_the_stored_outputs_in_a_small_seat(path, tmp_path):
    """Outputs that the code no longer gives, or gives on one kind of processor only ('make portable' tries others); a
    lesson that a classroom's server would kill."""
    notebook = stored(path)
    notebook.cells.append(new_code_cell(USAGE, metadata={"tags": [B.MACHINE]}))
    nbformat.write(notebook, tmp_path / path.with_suffix(".ipynb").name)
    ran = nbval("--nbval", tmp_path / path.with_suffix(".ipynb").name, tmp_path, USAGE=str(tmp_path / "usage"))
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert int((tmp_path / "usage").read_text()) / 1000 < MOST.get(path.stem, MOST_OF_OTHERS)


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
    ran = nbval("--nbval", tmp_path / "right.ipynb", tmp_path / "first")
    assert ran.returncode == 0, ran.stdout[-3000:]
    wrong = notebook.cells[-1].source.replace("gamma.sum(axis=1, keepdims=True)", "gamma.sum()")
    assert wrong != notebook.cells[-1].source
    notebook.cells[-1].source = wrong
    nbformat.write(notebook, tmp_path / "wrong.ipynb")
    ran = nbval("--nbval", tmp_path / "wrong.ipynb", tmp_path / "second")
    assert ran.returncode == 1 and "add up to" in ran.stdout and "1 failed" in ran.stdout


@pytest.mark.parametrize(("code", "fails"), [("print('17.7 Å (to ±1.2)')", False), ("print('19.1 Å (to ±1.2)')", True)])
def test_a_number_beyond_its_stated_tolerance_is_found(tmp_path, code, fails):
    """The plugin is used, and does not let everything pass."""
    cell = new_code_cell("print('16.8 Å (to ±1.2)')")
    ran = B.run(nbformat.v4.new_notebook(cells=[cell], metadata=B.NOTEBOOK_METADATA), tmp_path)
    ran.cells[0].source = code
    nbformat.write(ran, tmp_path / "number.ipynb")
    assert nbval("--nbval", tmp_path / "number.ipynb", tmp_path).returncode == fails


def test_an_error_in_a_students_cell_is_found(tmp_path):
    notebook = B.student_notebook(B.ROOT / "source" / "index.py")
    notebook.cells.append(new_code_cell("1 / 0"))
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    ran = nbval("--nbval-lax", tmp_path / "broken.ipynb", tmp_path)
    assert ran.returncode == 1 and "ZeroDivisionError" in ran.stdout
