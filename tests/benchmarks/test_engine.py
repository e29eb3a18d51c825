"""The benchmarks of the engine run: a table that its command no longer writes cannot be checked by anyone."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.slow


@pytest.fixture
def script(monkeypatch, request):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(request.param)


def rows(path):
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in path.read_text().splitlines()
            if line.startswith("| ")]


@pytest.mark.parametrize("script", ["peak_share"], indirect=True)
def test_the_share_of_the_peak(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "REPEATS", 1)
    name = "3D, 2 classes, HEALPix order 1"
    script.main(["--images", "40", "--cases", name, "--table", str(tmp_path / "table.md")])
    found = rows(tmp_path / "table.md")
    _, seconds, speed, peak, share = next(row for row in found if row[0].startswith(name))
    assert float(seconds) > 0 and 0 < float(speed) < 1.2 * float(peak)
    assert float(share) == pytest.approx(100 * float(speed) / float(peak), abs=3)
    shares = [float(row[1]) for row in found if row[0] in [*script.PARTS, "the rest"]]
    assert len(shares) == 7 and sum(shares) == pytest.approx(100, abs=5) and min(shares) >= 0


@pytest.mark.parametrize("script", ["peak_share"], indirect=True)
def test_operations_are_those_of_the_products(script):
    """Counted too high, the share of the peak would be a boast."""
    from types import SimpleNamespace

    b, a, c = np.zeros((3, 5, 14)), np.zeros((22, 14)), np.zeros((3, 7))  # images × shifts, hypotheses
    by_hand = 2 * (2 * b.size * len(a) + 2 * c.size * len(a))  # there and back
    assert script.operations([0] * 3, SimpleNamespace(classes=2), SimpleNamespace(angles=[0] * 11, shifts=[0] * 5),
                             SimpleNamespace(bins=[0] * 7, unknowns=2)) == by_hand


@pytest.mark.parametrize("script", ["growth"], indirect=True)
def test_growth(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "BASE", script.BASE | {"particles": 60, "box": 24, "shells": 5})
    script.main(["--only", "classes", "--most", "2", "--table", str(tmp_path / "table.md")])
    found = {row[0]: row[1:] for row in rows(tmp_path / "table.md")}
    assert found["K, classes"][:2] == ["1", "2"]
    assert all(float(value) > 0 for value in found["seconds"][:2]) and found["seconds"][2].startswith("K^")


@pytest.mark.parametrize("script", ["growth"], indirect=True)
def test_the_exponent_of_a_square(script):
    assert script.exponent([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)


@pytest.mark.parametrize("script", ["starting"], indirect=True)
def test_starting(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "REPEATS", 1)
    monkeypatch.setattr(script, "JOBS", dict(list(script.JOBS.items())[:1]))
    monkeypatch.setattr(script, "lab_start", lambda: 3.0)  # tests/test_make.py starts it
    script.main(["--table", str(tmp_path / "table.md")])
    found = {row[0]: float(row[1]) for row in rows(tmp_path / "table.md") if row[0] != "what"}
    assert found["`import cryoedu`, beyond a bare Python"] < found["`cryoedu --help`"]
    assert len([name for name in found if "images of lesson" in name or "iteration" in name]) == 2
    assert found["the same in the next process"] < next(t for name, t in found.items() if "compiling" in name)
