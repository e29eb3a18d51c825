"""The list of mistakes follows the code; `python tests/mutants.py` makes them, and takes minutes."""

from __future__ import annotations

import pytest
from mutants import MUTANTS, ROOT, Mutant, is_noticed


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mistake_can_still_be_made(mutant: Mutant) -> None:
    """One whose place is gone would count as noticed for ever, or as missed."""
    assert (ROOT / "cryoedu" / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new and (ROOT / mutant.tests[0]).exists()


@pytest.mark.parametrize("wrong", [True, False])
def test_what_fails_is_noticed_and_what_passes_is_not(wrong: bool, tmp_path) -> None:
    (tmp_path / "cryoedu").mkdir()
    (tmp_path / "cryoedu" / "sums.py").write_text("two = 1 + 1\n")
    (tmp_path / "test_sums.py").write_text("from runpy import run_path\n\n\ndef test_two():\n"
                                           "    assert run_path('cryoedu/sums.py')['two'] == 2\n")
    mutant = Mutant("two", "sums.py", "1 + 1", "1 + 2" if wrong else "2 * 1", ("test_sums.py", "two"))
    assert is_noticed(mutant, tmp_path) is wrong
    assert (tmp_path / "cryoedu" / "sums.py").read_text() == "two = 1 + 1\n"
    with pytest.raises(RuntimeError, match="pytest ended with 5"):
        is_noticed(Mutant("two", "sums.py", "1", "2", ("test_sums.py", "nothing")), tmp_path)
