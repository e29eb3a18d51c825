"""The benchmark of bad starts runs: lesson 5 quotes its table."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("bad_starts")


@pytest.mark.slow
def test_the_command_writes_its_table(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "JOBS", {"EM": script.em([4], False), "EM, both": script.em([3, 4], True)})
    monkeypatch.setattr(script, "COUNT", 20)
    monkeypatch.setattr(script, "TABLE", tmp_path / "table.md")
    script.main(["--starts", "2", "--snrs", "3"])
    rows = re.findall(r"\| 3 \| ([^|]+) \| (\d) of 2 \| (\d+) Å", (tmp_path / "table.md").read_text())
    assert [row[0] for row in rows] == ["EM", "EM, both"]
    assert all(int(arrived) == 0 and 60 < int(median) < 400 for _, arrived, median in rows)  # 20 images, 88 Å at best


def test_the_lesson_quotes_the_table(script):
    """A table that was measured again must be quoted again."""
    table = re.findall(r"\| 3 \| ([^|]+) \| (\d+) of 10 \|", script.TABLE.read_text())
    assert [name for name, _ in table] == list(script.JOBS)
    lesson = (ROOT / "notebooks" / "source" / "05_from_2d_to_3d.py").read_text()
    block = lesson[lesson.index("arrived = {") : lesson.index("# Ten of ten")]
    finer = {name: int(n) for name, n in table if "29 Å" in name}
    assert [int(n) for n in re.findall(r'": (\d+),', block)] == [int(n) for name, n in table if name not in finer]
    assert np.all([f'"{name}"' in block for name in list(script.JOBS)[:2]])
    told = lesson[lesson.index("Not in this test.") : lesson.index("rescued nobody")]
    said = " ".join(told.replace("#", " ").split())
    words = [{0: "none", 7: "seven"}[n] for n in finer.values()]
    assert f"and {words[0]} with detail to 29 Å" in said and f"and {words[1]} of ten" in said


@pytest.mark.slow
def test_a_method_measured_anew_leaves_the_other_rows(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "COUNT", 20)
    monkeypatch.setattr(script, "TABLE", tmp_path / "table.md")
    monkeypatch.setattr(script, "JOBS", {"EM": script.em([4], False), "EM, both": script.em([3, 4], True)})
    for methods in (["EM, both"], ["EM"]):
        script.main(["--starts", "1", "--methods", *methods])
    assert re.findall(r"\| 3 \| ([^|]+) \|", (tmp_path / "table.md").read_text()) == ["EM", "EM, both"]
