"""%load_ext cryoedu and the magic %cryoedu: what a learner types in a notebook, and what comes back for a slip."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import cryoedu
from cryoedu.course import progress as how_far
from cryoedu.course.exercises import exercise
from cryoedu.course.magics import USAGE, answer, completions


@pytest.fixture(autouse=True)
def new_record(tmp_path, monkeypatch):
    monkeypatch.setenv("CRYOEDU_PROGRESS", str(tmp_path / "progress.json"))


@pytest.fixture
def shell():
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    shell.run_line_magic("load_ext", "cryoedu")
    return shell


def completed(shell: InteractiveShell, line: str) -> list[str]:
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(line, len(line))]


def test_a_right_answer_is_checked_and_remembered(shell):
    shell.user_ns["mine"] = exercise("3.2").solution
    message = shell.run_line_magic("cryoedu", "check 3.2 mine")
    assert (message.state, message.subject) == ("right", "Exercise 3.2")
    assert "Lesson 3, ML alignment: 1 of 6 exercises done" in repr(shell.run_line_magic("cryoedu", "progress 3"))


def test_a_number_may_be_written_down(shell):
    assert shell.run_line_magic("cryoedu", f"check 3.1 {exercise('3.1').solution}").state == "right"
    assert shell.run_line_magic("cryoedu", "check 3.1 -17").state == "wrong"


def test_a_name_counts_before_the_number_that_it_could_be(shell):
    """Python lets a learner call an answer `nan` or `inf`."""
    shell.user_ns["inf"] = exercise("3.1").solution
    assert shell.run_line_magic("cryoedu", "check 3.1 inf").state == "right"


def test_status_says_what_somebody_who_helps_would_ask(shell, capsys):
    from cryoedu.widgets.page import LiveWidget, alive

    for widgets in list(LiveWidget._open.values()):  # of other tests in this process
        for widget in list(widgets):
            widget.close()
    shell.run_line_magic("cryoedu", "status")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"cryoedu {cryoedu.__version__}"
    assert lines[1] in ("array library: NumPy, on the CPU", "array library: CuPy, on the GPU")
    held = int(lines[2].split("holds ")[1].split(" MB")[0].replace(",", ""))
    assert 20 < held < 20_000
    assert lines[3] == "widgets alive: 0"
    assert lines[4:] == how_far().heads()
    assert any(line.startswith("Lesson 3, ML alignment: 0 of ") for line in lines)

    from cryoedu.datasets import load
    from cryoedu.widgets.ctf_explorer import ctf_explorer

    widget = ctf_explorer(load("protein2d", box=64))
    shell.run_line_magic("cryoedu", "")  # alone, it is the status
    assert "widgets alive: 1 (CTFExplorer 1)" in capsys.readouterr().out
    widget.close()
    assert alive() == {}


def test_the_doctor_reports(shell, capsys):
    shell.run_line_magic("cryoedu", "doctor")
    said = capsys.readouterr().out
    assert sys.executable in said and "Ready to compute with" in said


def test_hints_come_one_by_one(shell):
    first, second = (shell.run_line_magic("cryoedu", "hint 3.4") for _ in range(2))
    assert first.text != second.text and second.subject.startswith("Hint 2 of")


@pytest.mark.parametrize("line, said", [
    ("statsu", "perhaps 'status' is meant"),
    ("solve 3.1", "%cryoedu check N.k NAME"),
    ("check", "'check' takes 2 words after it, but here is none: write %cryoedu check N.k NAME"),
    ("check 3.1", "but this has 1"),
    ("check 3.1 a b", "but this has 3"),
    ("check 3.1 gamma", "There is nothing called 'gamma' in this notebook yet: run the cell that makes it"),
    ("check 3.99 pi", "there is no exercise '3.99'"),
    ("check .. pi", "there is no exercise"),
    ("hint", "write %cryoedu hint N.k"),
    ("hint three", "there is no exercise 'three'"),
    ("progress 77", "There is no lesson '77': the lessons are 0, 1"),
    ("progress 1 2", "'progress' takes 1 word after it, but this has 2"),
    ("status now", "'status' takes nothing more"),
    ("doctor doctor", "'doctor' takes nothing more"),
    ("'", "There is no"),
])
def test_a_slip_gets_one_sentence(line, said):
    """A traceback for a word that is missing would send a beginner away."""
    message = answer(line, {"pi": np.pi})
    assert message.state == "note" and said in message.text
    assert "Traceback" not in repr(message) and "\n" not in repr(message)
    assert message.text.rstrip(".").count(". ") == 0


@pytest.mark.parametrize("written", ["3", "03", " 3 "])
def test_a_lesson_may_be_written_as_its_file_is(written):
    assert list(answer(f"progress {written}", {}).lessons) == ["3"]
    assert list(answer("progress a", {}).lessons) == ["A"]
    assert list(answer("progress 00", {}).lessons) == ["0"]


def test_the_tab_key_knows_what_may_come(shell):
    shell.user_ns["gamma_of_mine"] = 1
    assert set(USAGE) <= set(completed(shell, "%cryoedu "))
    assert completed(shell, "%cryoedu st") == ["status"]
    assert completed(shell, "x = 1\n%cryoedu doc") == ["doctor"]
    assert {"3.1", "3.2"} <= set(completed(shell, "%cryoedu hint 3."))
    assert "gamma_of_mine" in completed(shell, "%cryoedu check 3.1 gamma")
    assert {"0", "3", "A"} <= set(completed(shell, "%cryoedu progress "))
    assert completions("%cryoedu status ", {"a": 1}) == []


def test_loading_twice_is_no_error(shell, capsys):
    shell.run_line_magic("reload_ext", "cryoedu")
    assert shell.run_line_magic("cryoedu", "hint 3.1").state == "note"
    assert "rror" not in capsys.readouterr().out


def test_loading_the_extension_draws_and_computes_nothing():
    """It stands in the first cell of a notebook, before anything else was imported."""
    asked = ("import sys; from IPython.core.interactiveshell import InteractiveShell as S; s = S(); "
             "s.run_line_magic('load_ext', 'cryoedu'); "
             "print([m for m in ('matplotlib', 'numba', 'scipy', 'ipywidgets', 'cupy') if m in sys.modules])")
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
