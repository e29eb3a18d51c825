"""Running the lessons' notebooks: by nbval against what is stored, and with other answers than the course's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat

from cryoedu.course import build as B

TESTS = Path(__file__).parent
MARK = re.compile(r"^# %% ([0-9A]+\.\d+)$", flags=re.MULTILINE)


def stored(path: Path) -> nbformat.NotebookNode:
    """The solved notebook of a source, as it is stored."""
    return nbformat.read(B.ROOT / "solutions" / f"{path.stem}.ipynb", 4)


def nbval(option: str, notebook: Path, scratch: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """nbval in a process of its own: it takes the notebook's folder and a fresh record of progress."""
    command = [sys.executable, "-m", "pytest", option, str(notebook), "--nbval-current-env", "--nbval-cell-timeout=600",
               f"--nbval-sanitize-with={TESTS / 'notebooks' / 'sanitize.cfg'}", "-q", "-p", "no:cacheprovider",
               "-p", "no:xdist", "-p", "tolerance", "-o", "addopts=", "--color=no", f"--rootdir={notebook.parent}"]
    paths = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, **B.ONE_THREAD, "PYTHONPATH": paths,
                   "CRYOEDU_PROGRESS": str(scratch / "progress.json"), **variables}
    return subprocess.run(command, cwd=notebook.parent, env=environment, capture_output=True, text=True, check=False)


def right_answers(path: Path) -> dict[str, list[str]]:
    """Other right answers to a lesson's exercises, as they would be typed: from ``tests/right_answers``, by number."""
    file = TESTS / "right_answers" / f"{path.stem}.txt"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    found: dict[str, list[str]] = {}
    marks = list(MARK.finditer(text))
    for mark, after in zip(marks, [*marks[1:], None]):
        found.setdefault(mark[1], []).append(text[mark.end() : after.start() if after else None].strip("\n"))
    return found


def answered(path: Path, turn: int) -> Any:
    """A lesson in which each exercise is answered by its other right answer number ``turn``, or as the course does
    where it has no more."""
    notebook, answers = B.read_source(path), right_answers(path)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        asked = re.search(r'^check\("([^"]+)"', cell.source, flags=re.MULTILINE)
        mine = answers.get(asked[1], []) if asked and B.BEGIN in cell.source else []
        if turn < len(mine):
            cell.source = re.sub(rf"^ *{B.BEGIN}$.*?^ *{B.END}$", lambda _, text=mine[turn]: text,
                                 cell.source, flags=re.MULTILINE | re.DOTALL)
        cell.source = B.solved_source(cell.source)
    return notebook
