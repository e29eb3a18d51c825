"""The benchmark of the widgets runs: a table that its command no longer writes cannot be checked by anyone."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_command_writes_its_table(monkeypatch, tmp_path, capsys):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = importlib.import_module("widget_latency")
    if importlib.import_module("browser").CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    boards = {name: how for name, how in script.WIDGETS.items() if "boards" in name}
    monkeypatch.setattr(script, "WIDGETS", boards)
    script.main(["--keys", "3", "--table", str(tmp_path / "table.md")])
    written = (tmp_path / "table.md").read_text()
    rows = [line.split(" | ") for line in written.splitlines() if line.startswith("| CCF")]
    assert [row[2] for row in rows] == ["as it is", "all cores busy"]
    assert all(0 < float(row[3]) <= float(row[4]) < 20_000 for row in rows)
    assert "Machine: " in written and capsys.readouterr().out.strip() in written
