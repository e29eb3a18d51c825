"""``cryoedu initial-model`` as a person types it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commandline import cryoedu

from cryoedu.microscope import read_map
from cryoedu.particles import read_particles
from cryoedu.runs.checkpoints import read_checkpoint
from cryoedu.runs.names import outputs_of

RELION = Path(__file__).parents[1] / "data" / "relion"
QUICK = ["--healpix-order", 0, "--offset-range", 4]


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sim")
    cryoedu("simulate", RELION / "map.mrc", "--o", folder, "--n", 60, "--snr", 1.0, "--random-seed", 1)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["sgd", "shc"])
def test_maps_poses_report_and_how_far_it_came(sim, tmp_path, capsys, algorithm):
    """Everything that a person needs to judge a start, in files that RELION and ChimeraX open."""
    assert cryoedu("initial-model", sim / "particles_data.star", "--o", tmp_path, "--algorithm", algorithm, "--iter", 5,
                   "--write-iter", 2, *QUICK, "--truth-map", sim / "truth_class001.mrc") == ""
    text = capsys.readouterr().out
    assert "truth_class001.mrc: FSC 0.5 against the truth at" in text and ("true hand" in text or "mirror" in text)
    written = {path.name[:9] for path in outputs_of(tmp_path)}
    assert written == {"run_it002", "run_it004", "run_it005"}
    assert read_checkpoint(tmp_path / "run_checkpoint.npz").number == 5
    found = read_particles(tmp_path / "run_it005_data.star")
    assert found.angles is not None and len(np.unique(found.angles[:, 0])) > 10
    assert (found.extra["rlnMaxValueProbDistribution"].astype(float) > 0).all()  # each has been looked at by the end
    assert read_map(tmp_path / "run_it005_class001.mrc").density.std() > 0
    page = (tmp_path / "run_report.html").read_text()
    assert "Directions of view" in page and "initial-model" in page


@pytest.mark.slow
def test_a_run_that_converges_between_two_that_are_written_keeps_its_last(sim, tmp_path, monkeypatch):
    """Hill climbing ends by itself; what it ended with must not be lost."""
    import itertools

    from cryoedu.inference import hillclimbing

    whole = hillclimbing.stochastic_hill_climbing
    monkeypatch.setattr(hillclimbing, "stochastic_hill_climbing", lambda *a, **k: itertools.islice(whole(*a, **k), 3))
    assert cryoedu("initial-model", sim / "particles_data.star", "--o", tmp_path, "--algorithm", "shc", "--iter", 9,
                   "--write-iter", 2, *QUICK) == ""
    assert {path.name[:9] for path in outputs_of(tmp_path)} == {"run_it002", "run_it003"}


@pytest.mark.parametrize(("options", "words"), [
    (["--algorithm", "shc", "--k", 2], "--k 2 does not go with --algorithm shc"),
    (["--k", 100], "100 classes for 60 particles"),
    (["--particle-diameter", 900], "900 Å does not fit"),
    (["--particle-diameter", 90, "--solvent-mask", "mask.mrc"], "choose one"),
    (["--truth-map", "no.mrc"], "no.mrc"),
], ids=str)
def test_bad_input_gets_one_sentence(sim, tmp_path, options, words):
    said = cryoedu("initial-model", sim / "particles_data.star", "--o", tmp_path / "out", *options)
    assert words in said and said.startswith("cryoedu: ") and "\n" not in said
