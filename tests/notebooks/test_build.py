"""One source, two notebooks: what a student gets must never hold a solution, and a rebuild must change nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from cryoedu.course import build as B
from cryoedu.errors import InputError

SOURCES = B.sources()
SMALL = '''# %% [markdown]
# # Small

# %%
a = ...  # your code
### BEGIN SOLUTION
a = 2
### END SOLUTION
print("one")
print("two")
a

# %%
def f(x):
    ...  # your code
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
f(3)
'''


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "09_small.py"
    path.write_text(SMALL)
    return path


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_the_students_notebook_is_the_one_its_source_gives(path):
    """A lesson edited in one place only: run 'python -m cryoedu.course.build'."""
    built = B.to_text(B.student_notebook(path))
    assert built == (B.ROOT / f"{path.stem}.ipynb").read_text(encoding="utf-8")
    assert B.BEGIN not in built and B.END not in built


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_words_are_not_read_before_they_are_due(path):
    """The code of a cell that explains a run gives the answer away before the learner has predicted anything."""
    for cell in B.student_notebook(path).cells:
        if cell.cell_type == "code" and re.search(r"^say\(", cell.source, flags=re.MULTILINE):
            assert cell.metadata.get("jupyter", {}).get("source_hidden"), cell.source
            shows = r"^\s*(show|print|check|\w+ = carry_on)\("
            assert not re.search(shows, cell.source, flags=re.MULTILINE), cell.source


@pytest.mark.notebook
def test_a_notebook_that_was_changed_by_hand_is_found(small):
    B.build(small)
    solved = small.parents[1] / "solutions" / "09_small.ipynb"
    solved.write_text(solved.read_text().replace("return 2 * x", "return 3 * x"))
    assert B.differing(small) == ["solutions/09_small.ipynb"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_code_fits_the_page(path):
    """JupyterLab beside its file browser shows some 100 characters; what is further right is not read."""
    for cell in B.read_source(path).cells:
        if cell.cell_type == "code":
            assert max(map(len, cell.source.splitlines())) <= 104, cell.source


@pytest.mark.parametrize("path", [p for p in SOURCES if B.has_solutions(p)], ids=lambda p: p.stem)
def test_an_exercise_is_at_most_ten_lines(path):
    for cell in B.read_source(path).cells:
        if B.BEGIN in cell.source:
            lines = cell.source.splitlines()
            solution = lines[[s.strip() for s in lines].index(B.BEGIN) + 1 : [s.strip() for s in lines].index(B.END)]
            assert 1 <= len(solution) <= 10
            ast.parse(B.student_source(cell.source))


@pytest.mark.notebook
def test_two_builds_give_the_same_bytes(small):
    assert B.build(small) == ["09_small.ipynb", "solutions/09_small.ipynb"]
    files = [small.parents[1] / "09_small.ipynb", small.parents[1] / "solutions" / "09_small.ipynb"]
    first = [f.read_bytes() for f in files]
    assert B.build(small) == [] and B.differing(small) == []
    for f in files:
        f.unlink()
    B.build(small)
    assert [f.read_bytes() for f in files] == first

    student, solved = (nbformat.reads(b.decode(), 4) for b in first)
    nbformat.validate(student), nbformat.validate(solved)
    assert student.cells[1].source == 'a = ...  # your code\nprint("one")\nprint("two")\na'
    assert student.cells[1].outputs == [] and student.cells[1].execution_count is None
    assert student.cells[2].source == "def f(x):\n    ...  # your code\nf(3)"
    assert solved.cells[1].source == 'a = 2\nprint("one")\nprint("two")\na'
    assert solved.cells[1].outputs[0].text == "one\ntwo\n" and solved.cells[2].outputs[0].data["text/plain"] == "6"
    assert [c.id for c in student.cells] == [c.id for c in solved.cells] and len({c.id for c in solved.cells}) == 3

    small.write_text(SMALL.replace("a = 2", "a = 4"))
    assert B.differing(small) == ["09_small.ipynb", "solutions/09_small.ipynb"]  # ids follow the source
    assert [f.read_bytes() for f in files] == first


@pytest.mark.notebook
def test_what_a_cell_says_of_its_machine_is_run_but_not_stored(tmp_path):
    """A rebuild on another machine would change the file, and nbval would fail, where nothing is wrong."""
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "09_machine.py"
    path.write_text('# %% tags=["nbval-ignore-output"]\nimport os\nprint(os.getpid())\n\n'
                    "# %%\na = os.getpid()  # your code\n### BEGIN SOLUTION\na = 1\n### END SOLUTION\na\n")
    B.build(path)
    first = (tmp_path / "solutions" / "09_machine.ipynb").read_bytes()
    told, same = nbformat.reads(first.decode(), 4).cells
    assert told.outputs == [] and told.execution_count == 1 and told.metadata == {"tags": ["nbval-ignore-output"]}
    assert same.outputs[0].data["text/plain"] == "1"
    assert B.build(path) == []
    ran = subprocess.run([sys.executable, "-m", "pytest", "--nbval", "09_machine.ipynb", "--nbval-current-env", "-q",
                          "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", f"--rootdir={tmp_path}"],
                         cwd=tmp_path / "solutions", capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and "2 passed" in ran.stdout, ran.stdout


@pytest.mark.parametrize("text", ["### BEGIN SOLUTION\na", "a\n### END SOLUTION",
                                  "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION"])
def test_markers_that_do_not_pair_are_refused(text):
    """Otherwise a solution would slip into the student's notebook, or the rest of a cell out of it."""
    with pytest.raises(InputError, match="SOLUTION"):
        B.student_source(text)


def test_what_differs_from_run_to_run_is_not_stored():
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    cell = new_code_cell("x", id="i", execution_count=1, metadata={"execution": {"busy": "2030-01-01"}, "tags": ["t"]})
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}, "text/html": "<img>", "text/plain": "w"}
    cell.outputs = [new_output("stream", text="a"), new_output("stream", text="b"),
                    new_output("display_data", view, metadata={"k": 1}), new_output("stream", text="c"),
                    new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}})]
    language = {"name": "python", "version": "3.99"}
    tidied = B.tidy(new_notebook(cells=[cell], metadata={"widgets": {}, "language_info": language}))
    text = B.to_text(tidied)
    assert not any(word in text for word in ("widget", "3.99", "2030", "abc"))
    assert [o.get("text", "") for o in tidied.cells[0].outputs] == ["ab", "", "c"]
    assert tidied.cells[0].metadata == {"tags": ["t"]}


def test_the_command_names_a_source_that_is_not_there(capsys):
    with pytest.raises(SystemExit):
        B.main(["99"])
    assert "begins with 99" in capsys.readouterr().err


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_links_to_other_notebooks_lead_somewhere(path):
    """A lesson that was renamed, and a page that still leads to its old name."""
    for target in re.findall(r"\]\(([\w./-]+)\)", path.read_text(encoding="utf-8")):
        assert (B.ROOT / target).exists(), target


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_a_lesson_goes_on_with_what_was_checked_before(path):
    """A name in the call would stop the lesson where the cell that makes it has a SyntaxError and was not run."""
    checked = set()
    for cell in B.read_source(path).cells:
        if cell.cell_type == "code":
            carried = re.findall(r'carry_on\("([^"]+)"(.)', cell.source)
            assert all(number in checked and after == ")" for number, after in carried), cell.source
            checked |= set(re.findall(r'^check\("([^"]+)"', cell.source, flags=re.MULTILINE))
