"""From one text source for each lesson to its two notebooks; on one machine always the same bytes.

    python -m cryoedu.course.build              # write what has changed
    python -m cryoedu.course.build --check      # write nothing, fail if a notebook is not what its source gives
    python -m cryoedu.course.build 03           # only sources whose name begins so

A source is a Python file in percent format (``notebooks/source/NAME.py``), whose cells editors know. What stands
between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` goes to the solved notebook only; a line that ends in ``# your
code`` goes to the student's only. The student's notebook (``notebooks/NAME.ipynb``) has no outputs; the solved one
(``notebooks/solutions/NAME.ipynb``) is run from top to bottom and keeps them, but for cells with the tag
``nbval-ignore-output``, which show what differs from machine to machine. The code of cells with the tag ``hide-input``
is folded: it says something about the run, and whoever reads it first knows the answer. A source without exercises has
no solved notebook.

What cells, ids and sources a notebook has follows from its source on any machine, and ``--check`` compares that. What
the cells print is compared by nbval, because another processor may change last digits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryoedu.course.exercises import LESSONS
from cryoedu.errors import InputError

MARK = re.compile(r"^# %%(?P<markdown> \[markdown\])?(?: tags=(?P<tags>\[.*\]))?$", flags=re.MULTILINE)
BEGIN, END, STUB = "### BEGIN SOLUTION", "### END SOLUTION", "# your code"
ROOT = Path(__file__).parents[2] / "notebooks"
NOTEBOOK_METADATA = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
                     "language_info": {"name": "python"}}
MACHINE = "nbval-ignore-output"  # tag of a cell that prints what its machine is: nbval does not compare it either
FOLDED = "hide-input"  # tag of a cell whose words matter and not its code: JupyterLab and the book fold the code away
NOT_STORED = ("application/vnd.jupyter.widget-view+json",)  # a widget's model dies with its kernel; its picture stays
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def sources(root: Path | None = None) -> list[Path]:
    """The lessons' text sources, in order: those below ``root``, by default those that belong to this cryoedu."""
    packed = Path(__file__).parent / "source"  # in a wheel
    return sorted((root / "source" if root else packed if packed.is_dir() else ROOT / "source").glob("*.py"))


def source_of(lesson: str) -> Path:
    """The text source of a lesson ("3", "A"). Raises InputError if there is none."""
    if lesson not in LESSONS:
        raise InputError(f"there is no lesson {lesson!r}: the lessons are {', '.join(LESSONS)}")
    start = f"{lesson:0>2}_" if lesson.isdecimal() else f"{lesson}_"
    return next(path for path in sources() if path.stem.startswith(start))


def read_source(path: Path) -> Any:
    """The source as a notebook (nbformat 4.5) with all stubs and solutions still in it, and lasting cell ids."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells, seen = [], dict[str, int]()
    for kind, tags, lines in split_cells(path.read_text(encoding="utf-8")):
        markdown = kind == "markdown"
        source = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines) if markdown else "\n".join(lines)
        text = f"{path.stem}\n{kind}\n{source}"
        seen[text] = seen.get(text, 0) + 1
        new_cell: Any = new_markdown_cell if markdown else new_code_cell
        cells.append(new_cell(source, id=hashlib.sha256(f"{text}\n{seen[text]}".encode()).hexdigest()[:12],
                              metadata=cell_metadata(tags)))
    return new_notebook(cells=cells, metadata=dict(NOTEBOOK_METADATA), nbformat_minor=5)


def cell_metadata(tags: list[str]) -> dict[str, Any]:
    """What a notebook says of a cell with these tags."""
    folded = {"jupyter": {"source_hidden": True}} if FOLDED in tags else {}
    return ({"tags": sorted(tags)} if tags else {}) | folded


def split_cells(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """The kind ("markdown" or "code"), tags and lines of each cell of a text in percent format.

    Raises InputError if a cell begins in a way that is not known here.
    """
    marks = list(MARK.finditer(text))
    if len(marks) != len(re.findall("^# %%", text, flags=re.MULTILINE)) or not text.startswith("# %%"):
        raise InputError("a source begins with a cell, and a cell with '# %%', '# %% [markdown]' or '# %% tags=[…]'")
    for mark, after in zip(marks, [*marks[1:], None]):
        body = text[mark.end() : after.start() if after else None]
        yield "markdown" if mark["markdown"] else "code", json.loads(mark["tags"] or "[]"), body.strip("\n").split("\n")


def student_source(text: str) -> str:
    """A cell as the student gets it: without the solution. Raises InputError if the markers do not pair."""
    kept, inside = [], False
    for line in text.splitlines():
        if line.strip() == BEGIN:
            if inside:
                raise InputError(f"a second '{BEGIN}' before '{END}' in the cell that begins {text[:60]!r}: close it")
            inside = True
        elif line.strip() == END:
            if not inside:
                raise InputError(f"'{END}' without '{BEGIN}' in the cell that begins {text[:60]!r}: open it")
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise InputError(f"'{BEGIN}' without '{END}' in the cell that begins {text[:60]!r}: close it")
    return "\n".join(kept)


def solved_source(text: str) -> str:
    """A cell with the solution in the place of the stub."""
    student_source(text)  # the markers pair
    return "\n".join(line for line in text.splitlines()
                     if line.strip() not in (BEGIN, END) and not line.rstrip().endswith(STUB))


def student_notebook(path: Path) -> Any:
    """The student's notebook of a source: stubs, no outputs."""
    notebook = read_source(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = student_source(cell.source)
            cell.outputs, cell.execution_count = [], None
    return notebook


def unrun_solved_notebook(path: Path) -> Any:
    """The solved notebook of a source before it is run."""
    notebook = read_source(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = solved_source(cell.source)
    return notebook


def run(notebook: Any, folder: Path, timeout: int = 600, variables: Mapping[str, str] = ONE_THREAD) -> Any:
    """The notebook, run from top to bottom in ``folder`` with one thread and no progress kept, tidied.

    variables: of the kernel's environment. Raises nbclient's CellExecutionError if a cell fails.
    """
    from nbclient import NotebookClient

    with (tempfile.TemporaryDirectory() as scratch,
          environment(CRYOEDU_PROGRESS=f"{scratch}/progress.json", **variables)):
        NotebookClient(notebook, timeout=timeout, kernel_name="python3", record_timing=False, store_widget_state=False,
                       resources={"metadata": {"path": str(folder)}}).execute()
    return tidy(notebook)


def has_solutions(path: Path) -> bool:
    """Whether a source has exercises; only then it has a solved notebook."""
    return BEGIN in path.read_text(encoding="utf-8")


def tidy(notebook: Any) -> Any:
    """An executed notebook without anything that differs from run to run."""
    notebook.metadata = dict(NOTEBOOK_METADATA)
    for cell in notebook.cells:
        cell.metadata = cell_metadata(cell.metadata.get("tags", []))
        if cell.cell_type == "code":
            cell.outputs = [] if MACHINE in cell.metadata.get("tags", ()) else list(tidy_outputs(cell.outputs))
    return notebook


def tidy_outputs(outputs: list[Any]) -> Iterator[Any]:
    """Outputs with neighbouring pieces of one stream joined, and without the links to widgets that are gone."""
    last: Any = None
    for output in outputs:
        if output.output_type == "stream" and last is not None and last.get("name") == output.name:
            last.text += output.text
            continue
        if "data" in output:
            output.data = {kind: data for kind, data in output.data.items() if kind not in NOT_STORED}
            output.metadata = {}
            if not output.data:
                continue
        if last is not None:
            yield last
        last = output
    if last is not None:
        yield last


def to_text(notebook: Any) -> str:
    """The bytes of a notebook file, as text."""
    import nbformat

    return str(nbformat.writes(notebook, version=nbformat.NO_CONVERT)).rstrip("\n") + "\n"


def outline(notebook: Any) -> list[tuple[str, str, str, list[str]]]:
    """What a notebook's source decides on every machine: id, kind, source and tags of each cell."""
    return [(cell.id, cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables for the time of a with-block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def build(path: Path) -> list[str]:
    """Write both notebooks of a source. Returns the names of those that changed."""
    root, changed = path.parents[1], []
    made = {root / f"{path.stem}.ipynb": student_notebook(path)}
    if has_solutions(path):
        (root / "solutions").mkdir(exist_ok=True)
        made[root / "solutions" / f"{path.stem}.ipynb"] = run(unrun_solved_notebook(path), root / "solutions")
    for target, notebook in made.items():
        new = to_text(notebook)
        old = target.read_text(encoding="utf-8") if target.exists() else ""
        if new != old:
            changed.append(str(target.relative_to(root)))
            beside = target.with_suffix(".new")
            beside.write_text(new, encoding="utf-8")
            os.replace(beside, target)
    return changed


def differing(path: Path) -> list[str]:
    """The names of a source's notebooks that are not what it gives: cells, ids, sources, tags. Runs nothing."""
    import nbformat

    root = path.parents[1]
    made = {root / f"{path.stem}.ipynb": student_notebook(path)}
    if has_solutions(path):
        made[root / "solutions" / f"{path.stem}.ipynb"] = unrun_solved_notebook(path)
    return [str(target.relative_to(root)) for target, notebook in made.items()
            if not target.exists() or outline(nbformat.read(target, 4)) != outline(notebook)]


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 if all is well, 1 if --check found a difference."""
    parser = argparse.ArgumentParser(prog="python -m cryoedu.course.build", description="Build the lessons' notebooks.")
    parser.add_argument("names", nargs="*", help="beginnings of names of sources; all if none is given")
    parser.add_argument("--check", action="store_true",
                        help="write and run nothing; exit status 1 if a notebook is not what its source gives")
    asked = parser.parse_args(arguments)
    chosen = [p for p in sources() if not asked.names or p.stem.startswith(tuple(asked.names))]
    if not chosen:
        parser.error(f"no source in {ROOT / 'source'} begins with {' or '.join(asked.names)}")
    changed = []
    for path in chosen:
        print(f"{path.stem} …", flush=True)
        changed += differing(path) if asked.check else build(path)
    for name in changed:
        print(f"{'differs' if asked.check else 'written'}: notebooks/{name}")
    return int(asked.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
