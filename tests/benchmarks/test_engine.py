"""The benchmarks of the engine run: a table that its command no longer writes cannot be checked by anyone."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryoedu.arrays import cupy_problem

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
    _, seconds, speed, peak, share, alone = next(row for row in found if row[0].startswith(name))
    assert min(float(seconds), float(speed), float(peak), float(alone)) > 0
    assert float(share) == pytest.approx(100 * float(speed) / float(peak), abs=3)
    shares = [float(row[1]) for row in found if row[0] in [*script.PARTS, "the rest"]]
    assert len(shares) == 6 and sum(shares) == pytest.approx(100, abs=5) and min(shares) >= 0


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
    assert "Each class has its own slices" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize("script", ["growth"], indirect=True)
def test_the_exponent_of_a_square(script):
    assert script.exponent([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)


@pytest.mark.parametrize("script", ["growth"], indirect=True)
def test_the_line_through_points_on_a_line(script):
    assert script.line([1, 2, 4, 8], [5, 7, 11, 19]) == pytest.approx((3, 2))


@pytest.mark.parametrize("script", ["lecture"], indirect=True)
def test_the_data_set_of_the_lecture(script, tmp_path):
    script.main(["--particles", "60", "--iterations", "2", "--repeats", "2", "--table", str(tmp_path / "table.md")])
    found = {row[0]: [float(number) for number in row[1:]] for row in rows(tmp_path / "table.md")
             if row[0] != "which"}
    particles, iterations, one, both, memory, right = found["a part"]
    assert (particles, iterations) == (60, 2) and 0 < one < both and memory > 100 and 50 <= right <= 100
    assert "Medians of 2." in (tmp_path / "table.md").read_text()
    hours = re.search(r"take ([\d.]+) hours: extrapolated", (tmp_path / "table.md").read_text())
    assert float(hours[1]) == pytest.approx(both * script.ALL / 60 / 3600, rel=0.1)


@pytest.mark.parametrize("script", ["gpu"], indirect=True)
def test_what_is_compared_with_the_cpu(script):
    """The CPU is not apart from itself, and a comparison that overlooks a difference is worth nothing."""
    assert all(float(number) == 0 for line in script.equality(12, "numpy")[2:] for number in line.split("|")[2:-1])
    one = script.iteration("3D", 12, "numpy")
    other = replace(one, log_likelihood=1.001 * one.log_likelihood,
                    model=replace(one.model, maps=one.model.maps * np.float32(1.01)),
                    posterior=replace(one.posterior, class_probability=one.posterior.class_probability[:, ::-1]))
    likelihood, maps, classes = script.apart(one, other)
    assert likelihood == pytest.approx(0.001, rel=0.01) and maps == pytest.approx(0.01, rel=0.01) and classes > 0.01


@pytest.mark.parametrize("script", ["gpu"], indirect=True)
def test_the_page_about_a_gpu(script, monkeypatch):
    """All that runs there runs here too, so that a loan of a GPU is not spent on mistakes."""
    monkeypatch.setattr(script.peak_share, "REPEATS", 1)
    name = "3D, 2 classes, HEALPix order 1"
    monkeypatch.setattr(script.peak_share, "CASES", {name: script.peak_share.CASES[name]})
    monkeypatch.setattr(script.growth, "GROWS", {"shifts": ("S, shifts", [1, 5], "A sentence.")})
    monkeypatch.setattr(script.growth, "BASE", script.growth.BASE | {"particles": 40, "box": 24, "shells": 5})
    text = "\n".join(script.speeds(20, 1, 20, 30, "numpy"))
    expected = (f"| {name}, 9 shells |", "| S, shifts | 1 | 5 |", "A sentence.", "| the same on the GPU | 20 | 1 |",
                "| all on the GPU (to reach: 60 s) | 30 |")
    assert all(words in text for words in expected)


@pytest.mark.skipif(cupy_problem() is None, reason="there is a GPU: python -m benchmarks.gpu takes minutes")
def test_without_a_gpu_nothing_is_claimed():
    command = [sys.executable, "-m", "benchmarks.gpu"]
    ran = subprocess.run(command, cwd=BENCHMARKS.parent, capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "nothing to measure" in ran.stderr


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


@pytest.mark.parametrize("script", ["lessons"], indirect=True)
def test_an_iteration_of_each_lesson(script, monkeypatch):
    """A row says what an iteration of a lesson takes."""
    monkeypatch.setattr(script, "REPEATS", 1)
    (row,) = script.iteration_rows(["09"])
    _, lesson, what, seconds, _ = (part.strip() for part in row.split("|"))
    assert lesson == "09" and what.startswith("300 images") and 0 <= float(seconds) < 60
