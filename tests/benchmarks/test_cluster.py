"""The benchmark of the cluster runs, and counts what travels."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="the extra is not installed: pip install 'cryoedu[cluster]'")


@pytest.mark.slow
def test_the_command_writes_its_table(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    script = importlib.import_module("cluster")
    monkeypatch.setattr(script, "BOX", 16)
    monkeypatch.setattr(script, "PIXEL", 22.0)
    monkeypatch.setattr(script, "RADIUS", 5)
    monkeypatch.setattr(script, "ORDER", 1)
    monkeypatch.setattr(script, "TABLE", tmp_path / "table.md")
    script.main(["--particles", "60", "--iterations", "2", "--repeats", "1"])
    table = (tmp_path / "table.md").read_text()
    places = ("a single process", "one worker", "two workers")
    rows = re.findall(rf"^\| (\w[\w ]+) \| ({'|'.join(places)}) \| [\d.]+ \| [\d.]+ \|", table, re.MULTILINE)
    assert rows == [(job, where) for job in script.JOBS for where in places]
    travels = re.findall(r"^\| ([\w ]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", table, re.MULTILINE)
    assert [name for name, *_ in travels] == list(script.JOBS)
    for _, first, later, between, back in travels:
        assert float(later) <= float(first) < 0.2  # the model of 16 px and names: no image, which would make 0.06
        assert 0 < float(between) <= float(back) * 3
