"""The benchmark of initial models runs: a table that its command no longer writes cannot be checked by anyone."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_the_command_writes_its_table(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = importlib.import_module("initial_models")
    monkeypatch.setattr(script, "SETS", {"20, SNR 1": (20, 1.0)})
    monkeypatch.setattr(script, "TABLE", tmp_path / "table.md")
    script.main(["--seeds", "1", "--options", "--iter 2 --healpix-order 0 --offset-range 0"])
    written = (tmp_path / "table.md").read_text().splitlines()
    rows = [line.split(" | ") for line in written if line.startswith("| 20")]
    assert [row[1] for row in rows] == ["gradient descent", "hill climbing"]
    assert "`--iter 2 --healpix-order 0 --offset-range 0`" in "\n".join(written)
    for row in rows:  # two iterations on 20 images do not make a ribosome, and the table has to say so
        assert row[2] == "0 of 1" and 40 < float(row[3].split()[0]) <= 400
    assert all(line in "\n".join(written) for line in capsys.readouterr().out.strip().splitlines())
