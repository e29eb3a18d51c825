"""`make portable`: each set of kernels is asked for, a failure is named, what this processor lacks is left out."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

TOOL = str(Path(__file__).resolve().parents[1] / "tools" / "portable.py")


@pytest.fixture
def portable(monkeypatch):
    """The tool's names, and the environments in which it started pytest."""
    names, seen = runpy.run_path(TOOL), []

    def run(command, *, env, **_):
        seen.append((env.get("OPENBLAS_CORETYPE"), env.get("NUMBA_CPU_NAME"), command))
        return SimpleNamespace(returncode=int(env["OPENBLAS_CORETYPE"] == "Prescott"))

    monkeypatch.setattr("subprocess.run", run)
    return names, seen


def test_each_set_is_run_and_the_one_that_fails_is_named(portable, monkeypatch, capsys):
    names, seen = portable
    monkeypatch.setitem(names["main"].__globals__, "processor_flags", lambda: {"avx", "avx2", "avx512bw"})
    assert names["main"](["--pytest=-n 2"]) == 1
    assert [library for library, *_ in seen] == ["Haswell", "SkylakeX", "Sandybridge", "Prescott", "Zen"]
    assert all(command[-2:] == ["-n", "2"] and "confirms" in command for *_, command in seen)
    assert "arithmetic of: generic\n" in capsys.readouterr().out
    assert names["main"](["haswell", "--engine"]) == 0 and "tests/inference" in seen[-1][-1]


def test_a_processor_without_avx512_runs_the_other_sets(portable, monkeypatch, capsys):
    """Arithmetic that a processor does not have would end in an illegal instruction."""
    names, seen = portable
    monkeypatch.setitem(names["main"].__globals__, "processor_flags", lambda: {"avx", "avx2"})
    assert names["main"](["haswell", "skylake"]) == 0
    assert [library for library, *_ in seen] == ["Haswell"]
    assert "skylake: left out, this processor has no avx512bw" in capsys.readouterr().out


def test_an_unknown_set_is_refused_with_the_known_ones(portable, capsys):
    with pytest.raises(SystemExit):
        portable[0]["main"](["hasswell"])
    assert "haswell, skylake" in capsys.readouterr().err
