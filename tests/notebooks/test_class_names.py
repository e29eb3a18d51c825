"""Lesson 6 with the names of its classes exchanged: what it says about the particles must be the same."""

from __future__ import annotations

import pytest
from lesson_runs import stored
from tolerance import agree

from cryoedu.course import build as B

pytestmark = [pytest.mark.notebook, pytest.mark.slow]
SEEDS = "seeds = seeds_from_subsets("
EXCHANGED = "\nseeds = replace(seeds, maps=seeds.maps[::-1].copy(), tau2=seeds.tau2[::-1].copy())"
SAID = ("wrong in ML3D", "percentage points")


def printed(notebook, words):
    (cell,) = (c for c in notebook.cells if c.cell_type == "code" and words in c.source)
    return "".join(output.get("text", "") for output in cell.outputs)


def test_nothing_hangs_on_the_number_of_a_class(tmp_path):
    """Another seed may call the whole ribosome class 2: then most particles were "wrong", and the posterior a liar."""
    path = B.source_of("6")
    notebook = B.unrun_solved_notebook(path)
    cells = notebook.cells
    first = next(i for i, c in enumerate(cells) if SEEDS in c.source)
    last = next(i for i, c in enumerate(cells) if c.cell_type == "code" and SAID[-1] in c.source)
    cells[first].source += EXCHANGED
    notebook.cells = cells[: last + 1]
    ran = B.run(notebook, tmp_path)
    for words in SAID:
        was, now = printed(stored(path), words), printed(ran, words)
        assert words in now and agree(was, now), now
