"""The benchmark of the viewers runs, and its claim holds: a large file opens like a small one, and stays on disk."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_gigabyte_opens_as_fast_as_a_small_file(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = importlib.import_module("viewers")
    script.main(["--repeats", "2", "--largest", "1 GB", "--table", str(tmp_path / "table.md")])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]]
            for line in (tmp_path / "table.md").read_text().splitlines() if line[:6] in ("| 64 M", "| 1 GB")]
    assert len(rows) == 4
    for what, _, median, before, most, written in rows:
        assert float(median) < 10, what  # on two busy cores; alone, a few tenths
        assert float(most) - float(before) < 400, what
        assert written == "0", what
