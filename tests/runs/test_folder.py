"""What a run writes down about itself."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cryoedu.inference.model import Checkpoint, Model
from cryoedu.machine import surroundings
from cryoedu.runs.checkpoints import write_checkpoint
from cryoedu.runs.folder import differences, history_row, open_folder, write_history


def iteration(number: int = 2, fsc=None, resolved: int | None = None):
    posterior = SimpleNamespace(max_probability=np.array([0.5, 1.0]), classes=np.array([0, 1]),
                                angles=np.array([[0.0, 0, 350], [0, 0, 90]]), shifts=np.array([[3.0, 4.0], [0, 0]]))
    model = SimpleNamespace(pixel_size=5.0, offset_sigma=3.0, class_weights=np.array([0.25, 0.75]))
    return SimpleNamespace(number=number, log_likelihood=-5.0, resolution=20.0, posterior=posterior, model=model,
                           seconds={"expectation": 1.0}, fsc=fsc, resolved=resolved)


def test_changes_are_measured_on_the_circle_and_against_the_iteration_before(tmp_path):
    """A reader judges convergence by them: 350° and 10° are 20° apart, not 340°."""
    before = {"classes": np.array([1, 1]), "angles": np.array([[0.0, 0, 10], [0, 0, 90]]), "shifts": np.zeros((2, 2))}
    row = history_row(iteration(), before, 2.5)
    assert row["changed_classes"] == 0.5
    assert row["median_angle_change_degrees"] == pytest.approx(10)
    assert row["rms_shift_change_angstrom"] == pytest.approx(np.sqrt(12.5))
    assert row["peak_memory_mb"] > 10 and row["seconds"] == 2.5
    first = history_row(iteration(1), {}, 2.0)
    assert "changed_classes" not in first and "fsc_resolution_angstrom" not in first
    halves = history_row(iteration(1, np.array([1, 1, 0.243, 0.043, 0.0])), {}, 2.0)  # 0.143: shell 2.5
    assert halves["fsc_resolution_angstrom"] == pytest.approx(40 / 2.5)
    chance = history_row(iteration(1, np.array([1, 1, 0.243, 0.243, 0.243]), resolved=1), {}, 2.0)
    assert 40 / 2 < chance["fsc_resolution_angstrom"] < 40  # what may be chance is no resolution
    write_history([first, row], tmp_path / "h.csv")
    table = pd.read_csv(tmp_path / "h.csv")
    assert table["class_weight_2"].tolist() == [0.75, 0.75] and np.isnan(table["changed_classes"][0])


@pytest.mark.parametrize(("before", "now", "words"), [
    ({"--k": 2}, {"--k": 2}, ""),
    ({"--k": 2, "--maxcc": False}, {"--k": 3, "--maxcc": True}, "--k 2, not 3 and --maxcc off, not on"),
    ({"--offset-step": None}, {"--offset-step": 2.0}, "--offset-step at its default, not 2"),
    ({"--solvent-mask": None}, {"--solvent-mask": ["sha256:a"]}, "no --solvent-mask"),
    ({"--solvent-mask": ["sha256:a"]}, {"--solvent-mask": None}, "--solvent-mask"),
    ({"--reference": ["sha256:a"]}, {"--reference": ["sha256:b"]}, "another content of --reference"),
    ({}, {"--new": 1}, "--new at its default, not 1"),
    ({"--defocus": [1.0, 2.0]}, {"--defocus": [1.0, 3.0]}, "--defocus 1 2, not 1 3"),
], ids=str)
def test_differences_are_said_as_they_are_typed(before, now, words):
    assert differences(before, now) == words


def test_a_resumed_run_takes_the_memory_that_it_had(tmp_path):
    """Other blocks add up in another order: the last digits would depend on what else the machine is doing."""
    model = Model(np.ones((1, 8, 8), np.float32), 1.0, np.ones((1, 5)), np.ones((1, 5)), np.ones(1), 1.0)
    for kept, taken in ((17_000_000, True), (10**18, False)):
        notes = {"asked": {}, "starts": [], "memory": kept, "history": []}
        write_checkpoint(Checkpoint(1, [model], {}, notes), tmp_path / "run_checkpoint.npz")
        folder = open_folder(tmp_path, {}, command="cryoedu", resume=True, array_library="numpy")
        assert (folder.memory == kept) == taken
    asked = open_folder(tmp_path, {}, command="cryoedu", resume=True, array_library="numpy", memory="20 MB")
    assert asked.memory == 20_000_000


def test_versions_and_machine_are_told():
    told = surroundings("array_api_compat.numpy")
    assert told["array_library"] == "numpy" and told["versions"]["numpy"] == np.__version__
    assert "cores" in told["machine"] and told["time"].endswith("+00:00")
