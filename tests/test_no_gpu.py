"""CuPy is installed and no GPU is there: a laptop with the wrong extra, or the login node of a cluster. Every command
has to work with what nobody sets, and compute on the CPU."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from commandline import cryoedu
from no_gpu import stand_in

from cryoedu import arrays
from cryoedu.commands.app import app
from cryoedu.machine import peak_memory

RELION = Path(__file__).parent / "data" / "relion"
SHORT = ["--offset-range", 4, "--iter", 1]
VIEWS = ["--healpix-order", 0, *SHORT]
COMMANDS = {
    "simulate": ["map.mrc", "--n", 4, "--snr", 1.0, "--o", "OUT"],
    "convert": ["sim/particles_data.star", "--o", "OUT.star"],
    "normalise": ["sim/particles_data.star", "--o", "OUT.star"],
    "reconstruct": ["sim/truth_data.star", "--o", "OUT.mrc"],
    "align2d": ["sim/particles_data.star", "--psi-step", 45, *SHORT, "--o", "OUT"],
    "classify2d": ["sim/particles_data.star", "--k", 2, "--psi-step", 45, *SHORT, "--o", "OUT"],
    "classify3d": ["sim/particles_data.star", "--k", 2, "--reference", "map.mrc", *VIEWS, "--o", "OUT"],
    "refine3d": ["sim/particles_data.star", "--reference", "map.mrc", *VIEWS, "--o", "OUT"],
    "initial-model": ["sim/particles_data.star", *VIEWS, "--o", "OUT"],
    "ctf-refine": ["sim/truth_data.star", "--map", "map.mrc", "--o", "OUT.star"],
    "fsc": ["map.mrc", "map.mrc"],
    "report": ["OLD"],
    "doctor": [],
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A few particles, their map, and a run that is there already."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "map.mrc").write_bytes((RELION / "map.mrc").read_bytes())
    cryoedu("simulate", folder / "map.mrc", "--o", folder / "sim", "--n", 12, "--snr", 1.0, "--defocus", 8000, 16000,
            "--random-seed", 1)
    cryoedu("align2d", folder / "sim" / "particles_data.star", "--psi-step", 45, *SHORT, "--array-library", "numpy",
            "--o", folder / "OLD")
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    return stand_in(tmp_path_factory.mktemp("packages"))


@pytest.fixture
def cupy(monkeypatch, elsewhere):
    """CuPy, which cannot reach a device."""
    monkeypatch.syspath_prepend(elsewhere)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    found = importlib.import_module("cupy")
    yield found
    assert sys.modules["cupy"] is found  # what was tested is that
    sys.modules.pop("cupy")


def test_every_command_is_among_them():
    names = {c.name or c.callback.__name__.replace("_", "-") for c in app.registered_commands}
    assert names == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_well(command, cupy, work, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(work)
    if command != "report":  # the page takes longer than a run
        monkeypatch.setattr("cryoedu.runs.report.write_report", lambda folder: folder)
    arguments = [str(tmp_path / a) if str(a).startswith("OUT") else a for a in COMMANDS[command]]
    assert cryoedu(command, *arguments) == ""
    if (tmp_path / "OUT" / "run_history.csv").exists():
        assert "peak_gpu_memory_mb" not in pd.read_csv(tmp_path / "OUT" / "run_history.csv")
    if command == "doctor":
        told = capsys.readouterr().out
        assert "the GPU does not answer (cudaErrorInsufficientDriver" in told
        assert "Ready to compute with NumPy, on the CPU." in told


def test_memory_of_a_gpu_is_told_of_where_one_computes(cupy, monkeypatch):
    assert "peak_gpu_memory_mb" not in peak_memory()
    monkeypatch.setattr(arrays, "cupy_problem", lambda: None)
    monkeypatch.setattr(cupy, "get_default_memory_pool", lambda: SimpleNamespace(total_bytes=lambda: 3_000_000))
    assert peak_memory()["peak_gpu_memory_mb"] == 3.0
