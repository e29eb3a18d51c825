"""What an iteration takes at its peak, in a process of its own: not more than the budget that was asked for.

Whoever has a seat of 1 GB gets a killed kernel and no word of why where something is allocated that nobody counted.
What cannot be had for the budget is refused before anything is computed, and the budget that is named then is enough.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "budget_run.py"
SLACK = 4  # MB, of the interpreter


def taken(case: str, megabytes: int) -> str:
    """What the case prints: its peak in MB, or why it is refused."""
    done = subprocess.run([sys.executable, RUN, case, str(megabytes)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(("case", "megabytes"), [("adaptive, flat posteriors", 16), ("local", 64),
                                                 ("whole grid of many shifts", 32)])
def test_a_budget_holds(case, megabytes):
    assert float(taken(case, megabytes)) <= megabytes + SLACK


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(("case", "what", "used"), [
    pytest.param("whole grid, order 3", "the sums over 36,864 orientations", 0.6, marks=pytest.mark.slow),
    ("adaptive, large box", "the sums of 1 map of 96 pixels up to shell 48", 0.6)])
def test_what_does_not_fit_is_refused_and_fits_the_budget_that_is_named(case, what, used):
    """64 MB took 224 and 468 here, without a word."""
    sentence = rf"a memory budget of 64 MB cannot hold {what}: give at least (\d+) MB \(--memory\), or try .*"
    refused = re.fullmatch(sentence, taken(case, 64))
    assert refused
    least = int(refused[1])
    assert used * least < float(taken(case, least)) <= least + SLACK  # and no more is asked for than is of use
