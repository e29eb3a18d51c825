"""The comparison with RELION: a table that claims a run nobody made, or a median that is none, misleads readers."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cryoedu.files.star import write_tables
from cryoedu.geometry.euler import matrix_to_euler, random_rotations
from cryoedu.microscope import write_map
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles import Particles, write_particles

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """The script as a module; its neighbours are found from its folder, as when it is run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("against_relion")


@pytest.fixture
def table(script):
    return importlib.import_module("comparison").table


def result(program: str, seed: int, **measured) -> dict:
    version = {"relion": "3.1.3", "cryoedu": "0.1"}[program]
    return {"experiment": "gold", "program": program, "version": version, "seed": seed,
            "command": f"{program} --random_seed {seed}", "machine": "AMD EPYC, 1 core", "host": "first", "load": 1.0,
            "seconds": 100.0 * seed, "cpu_seconds": 50.0, "memory": 200, "measured": measured}


def row(text: str, label: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


def test_medians_stand_before_the_values_of_each_seed(table):
    shares = {2: 0.5, 1: 0.61, 3: 0.52}
    text = table({"gold": "Gold"}, [result("relion", s, agreement=v) for s, v in shares.items()])
    assert row(text, "particles in the right class") == ["52.0 % (61.0 %, 50.0 %, 52.0 %)", "not run"]
    assert row(text, "runs, by seed") == ["1, 2, 3", "not run"]
    assert row(text, "wall time")[0] == "200 s (100 s, 200 s, 300 s)"
    assert "AMD EPYC, 1 core" in text


def test_a_ratio_is_of_runs_on_the_same_machine(table):
    """What people quote; the wrong way round it would be a lie, and so it would from a slow machine and a fast one."""
    slow = [result(p, 1) | {"seconds": t, "host": "slow"} for p, t in (("relion", 400.0), ("cryoedu", 40.0))]
    fast = [result(p, s) | {"seconds": t} for p, t in (("relion", 100.0), ("cryoedu", 5.0)) for s in (2, 3)]
    text = table({"gold": "Gold"}, slow + fast)
    assert "cryoedu 0.1 is 20.0 times as fast as RELION 3.1.3 (1.0 times by processor time)" in text
    assert row(text, "machine") == ["A, B, B", "A, B, B"]
    apart = table({"gold": "Gold"}, [slow[0], fast[3]])
    assert "cryoedu 0.1 is 80.0 times as fast" in apart and row(apart, "machine") == ["A", "B"]


def test_memory_is_that_of_cryoedu_over_that_of_relion(table):
    text = table({"gold": "Gold"}, [result("relion", 1), result("cryoedu", 1) | {"memory": 500}])
    assert "with 2.5 times its memory." in text


def test_what_was_not_run_is_said(table):
    text = table({"gold": "Gold", "classes": "Classes"}, [result("cryoedu", 1, lost=0.25)])
    assert row(text, "orientations off by more than 10°") == ["not run", "25.0 %"]
    missing = text.split("## Not run")[1]
    assert "- gold, RELION" in missing and "- classes, RELION" in missing and "- classes, cryoedu 0.1" in missing
    assert "- gold, cryoedu" not in missing


def test_a_resolution_that_no_shell_limits_is_no_number(table):
    """None of one seed counts as better than any number in the median."""
    found = [result("relion", s, true_resolution=v) for s, v in ((1, None), (2, 12.3), (3, 14.0))]
    text = table({"gold": "Gold"}, [*found, result("cryoedu", 1, true_resolution=None)])
    assert row(text, "FSC with the true map = 0.5 at") == [
        "12.3 Å (at or beyond Nyquist, 12.3 Å, 14.0 Å)", "at or beyond Nyquist"]


def test_the_lowest_difference_of_the_curves_is_cryoedu_less_relion(table):
    """The wrong sign would turn the one requirement on the reconstruction around. Shell 0 says nothing."""
    found = [result("relion", 1, true_fsc=[0.0, 0.9, 0.5, 0.3]), result("cryoedu", 1, true_fsc=[-1.0, 0.95, 0.48, 0.4])]
    assert "at least -0.020 in every shell" in table({"gold": "Gold"}, found)


def left(script, folder: Path, seed: int, **changed) -> None:
    """A run in its folder, as the script leaves it."""
    out = folder / "gold" / "relion" / f"seed{seed}"
    out.mkdir(parents=True)
    command = script.EXPERIMENTS["gold"].command("relion", seed, "OUT")
    (out / "result.json").write_text(json.dumps(result("relion", seed) | {"command": command} | changed))


def test_results_of_other_command_lines_do_not_count(script, tmp_path, monkeypatch):
    """Options are changed now and then: what an older line gave must not stand under the new one."""
    monkeypatch.setattr(script, "RESULTS", tmp_path / "none.json")
    left(script, tmp_path, 1)
    left(script, tmp_path, 2, command="relion_refine --old")
    left(script, tmp_path, 3, experiment="silver")
    assert [found["seed"] for found in script.results_in(tmp_path)] == [1]


def test_a_new_run_takes_the_place_of_the_old_one_and_the_others_stay(script, tmp_path, monkeypatch):
    """A machine that is new has no folder of runs; hours of results must not be lost with the table."""
    monkeypatch.setattr(script, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(script, "EXPERIMENTS", {"gold": script.EXPERIMENTS["gold"]})
    monkeypatch.setattr(script, "run", lambda *_: SimpleNamespace(memory=187.6))
    for folder, seeds, seconds in (("first", (2, 1), 100.0), ("second", (2, 3), 50.0)):
        for seed in seeds:
            left(script, tmp_path / folder, seed, seconds=seconds)
        script.write_table(tmp_path / folder)
    assert [(r["seed"], r["seconds"]) for r in script.results_in()] == [(1, 100.0), (2, 50.0), (3, 50.0)]
    text = (tmp_path / "results.md").read_text()
    assert row(text, "wall time")[0] == "50 s (100 s, 50 s, 50 s)" and "takes 188 MB" in text


def test_the_table_is_that_of_the_results_beside_it(script):
    """A number that somebody wrote into the table by hand is nobody's measurement."""
    kept = json.loads((BENCHMARKS / "against_relion.json").read_text())
    assert script.results_in() == kept["results"], "a command line was changed: run its experiments again"
    assert script.page(kept["results"], kept["imports"]) == (BENCHMARKS / "against_relion.md").read_text()


def test_every_experiment_names_a_stack_that_can_be_made_and_fills_its_commands(script):
    sets = importlib.import_module("make_relion_stack").SETS
    for name, experiment in script.EXPERIMENTS.items():
        assert experiment.stack in sets
        for program in ("relion", "cryoedu"):
            line = experiment.command(program, 7, "OUT")
            assert "OUT" in line and "{" not in line, name
            assert ("7" in line.split()) != name.startswith("reconstruction"), name


def test_a_refinement_is_judged_against_the_truth(script, tmp_path):
    """Poses in a turned frame are right, a fifth turned by 40° are lost, and the map is the true one."""
    rng = np.random.default_rng(3)
    density = rng.normal(size=(16, 16, 16)).astype(np.float32)
    rotations, frame = random_rotations(50, rng), random_rotations(1, rng)[0]
    turn = np.array([[np.cos(0.7), -np.sin(0.7), 0], [np.sin(0.7), np.cos(0.7), 0], [0, 0, 1]])
    found = rotations.copy()
    found[::5] = turn @ found[::5]
    particles = Particles.of(np.zeros((50, 16, 16)), 4.0, angles=matrix_to_euler(rotations), shifts=np.zeros((50, 2)))
    write_particles(particles, tmp_path / "truth.star")
    write_particles(replace(particles, angles=matrix_to_euler(found @ frame)), tmp_path / "run_data.star")
    for name in ("true_class001", "run_class001", "run_half1_class001_unfil"):
        write_map(Specimen(density, 4.0), tmp_path / f"{name}.mrc")
    noise = Specimen(rng.normal(size=density.shape).astype(np.float32), 4.0)
    write_map(noise, tmp_path / "run_half2_class001_unfil.mrc")
    write_tables({"model_general": {"rlnCurrentResolution": 17.5}}, tmp_path / "run_model.star")
    numbers = script.EXPERIMENTS["gold"].judge(tmp_path, tmp_path)
    assert numbers["lost"] == pytest.approx(0.2)
    assert numbers["median_angle"] < 0.1 and numbers["median_shift"] < 0.1
    assert numbers["reported_resolution"] == 17.5
    assert numbers["true_resolution"] is None and numbers["half_map_resolution"] > 16


def test_classes_are_judged_by_how_alike_their_views_are(script, tmp_path):
    """Classes of one view each score 1; mixed at random, the views cancel."""
    views = np.repeat([[0.0, 0.0, 0.0], [0.0, 90.0, 0.0], [90.0, 90.0, 0.0]], 20, axis=0)
    particles = Particles.of(np.zeros((60, 8, 8)), 4.0, angles=views, classes=np.repeat([0, 1, 2], 20))
    write_particles(particles, tmp_path / "truth.star")
    write_particles(particles, tmp_path / "run_it001_data.star")
    judge = script.EXPERIMENTS["iterations_2d"].judge
    assert judge(tmp_path, tmp_path)["views"] == pytest.approx(1)
    write_particles(replace(particles, classes=np.tile([0, 1, 2], 20)), tmp_path / "run_it002_data.star")
    assert judge(tmp_path, tmp_path)["views"] == pytest.approx(np.sqrt(3) / 3, abs=0.05)


def test_programs_take_turns_and_one_that_fails_is_left_out(script, tmp_path, monkeypatch):
    """Two blocks of runs would meet a machine in two states; a program that is broken must not stop the other."""
    ran = []

    def measure(name, program, seed, *rest):
        ran.append((program, seed))
        if program == "relion":
            raise script.Failed("sorry")
        return result(program, seed)

    monkeypatch.setattr(script, "measure", measure)
    monkeypatch.setattr(script, "write_table", lambda work: None)
    monkeypatch.setattr(script, "versions", lambda: {"relion": "3.1", "cryoedu": "0.1"})
    (tmp_path / "one_state_64").mkdir()
    (tmp_path / "one_state_64" / "poses.star").touch()
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), "--work", str(tmp_path / "work"), "--only", "gold"])
    script.main()
    assert ran == [("relion", 1), ("cryoedu", 1), ("cryoedu", 2), ("cryoedu", 3)]


def test_what_a_command_took_is_its_own(script, tmp_path):
    """A process starts with its parent's peak memory; a benchmark that has read maps must not show its own."""
    timed = importlib.import_module("timed")
    ballast = np.ones(40_000_000)  # 320 MB here
    done = timed.run(f"{sys.executable} -S -c 'print(6 * 7)'", tmp_path, tmp_path)
    assert ballast.nbytes > 3e8 and done.text == "42\n" and 0 < done.memory < 100
    with pytest.raises(timed.Failed, match=r"exit code 3.*sorry"):
        timed.run(f"{sys.executable} -S -c 'import sys; print(\"sorry\"); sys.exit(3)'", tmp_path, tmp_path)
