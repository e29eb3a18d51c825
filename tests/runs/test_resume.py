"""Runs that were stopped go on to the very same end; runs that exist are neither mixed nor lost."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from commandline import cryoedu

from cryoedu.microscope import read_map, write_map
from cryoedu.runs import output
from cryoedu.runs.checkpoints import read_checkpoint
from cryoedu.runs.folder import RunFolder
from cryoedu.runs.names import outputs_of

pytestmark = pytest.mark.slow

RELION = Path(__file__).parents[1] / "data" / "relion"
PLANE = ["--psi-step", 30, "--offset-range", 4, "--iter", 4]
SPACE = ["--reference", "map.mrc", "--healpix-order", 0, "--offset-range", 4, "--strict-highres", 16, "--iter", 3]
START = ["--healpix-order", 0, "--offset-range", 4, "--iter", 4, "--write-iter", 1]
JOBS = {"align2d": ["align2d", "sim/particles_data.star", *PLANE],
        "classify2d": ["classify2d", "sim/particles_data.star", "--k", 2, *PLANE],
        "classify2d, maxCC": ["classify2d", "sim/particles_data.star", "--k", 2, "--maxcc", *PLANE],
        "classify3d": ["classify3d", "sim/particles_data.star", "--k", 2, *SPACE],
        "classify3d, supervised": ["classify3d", "sim/particles_data.star", "--supervised", "--reference", "map2.mrc",
                                   *SPACE],
        "classify3d, cross-fit": ["classify3d", "sim/particles_data.star", "--k", 2, "--cross-fit", 2, *SPACE,
                                  "--solvent-mask", "auto"],
        "classify3d, cross-fit, poses known": ["classify3d", "sim/truth_data.star", "--k", 2, "--cross-fit", 3,
                                               "--skip-align", "--reference", "map.mrc", "--iter", 4],
        "classify3d, local": ["classify3d", "sim/truth_data.star", "--k", 2, "--local-range", 10, "--offset-range", 4,
                              "--reference", "map.mrc", "--strict-highres", 16, "--iter", 3],
        "refine3d": ["refine3d", "sim/particles_data.star", "--reference", "map.mrc", "--healpix-order", 0,
                     "--offset-range", 8, "--iter", 4, "--sym", "C2"],
        "initial-model, sgd": ["initial-model", "sim/particles_data.star", "--k", 2, *START],
        "initial-model, shc": ["initial-model", "sim/particles_data.star", "--algorithm", "shc", *START]}
LONG = ["classify2d", "sim/particles_data.star", "--k", 2, *PLANE[:-1], 40]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with 60 particles in sim and two maps."""
    folder = tmp_path_factory.mktemp("work")
    cryoedu("simulate", RELION / "map.mrc", "--o", folder / "sim", "--n", 60, "--snr", 1.0, "--random-seed", 1)
    for name, source in (("map.mrc", "map.mrc"), ("map2.mrc", "reconstruction.mrc")):
        write_map(read_map(RELION / source), folder / name)
    return folder


@pytest.fixture(autouse=True)
def _there(work, monkeypatch):
    monkeypatch.chdir(work)
    monkeypatch.setattr("cryoedu.runs.report.write_report", lambda folder: folder)  # it takes longer than a run


@pytest.fixture
def out(work, tmp_path):
    """A new folder beside those of the uninterrupted runs, so that paths in STAR files are the same."""
    folder = work / tmp_path.name
    folder.mkdir()
    return folder


class Crash(Exception):
    """A power cut, as far as one process can tell."""


def stop(monkeypatch: pytest.MonkeyPatch, number: int, where: str, error: type[BaseException]) -> None:
    """Iteration ``number`` ends in ``error`` "before" its files are written or "between" them and the checkpoint."""
    write, add = output.write_iteration, RunFolder.add

    def failing_write(iteration, *a, **k):
        if where == "before" and iteration.number == number:
            raise error
        write(iteration, *a, **k)

    def failing_add(self, iteration, seconds):
        if where == "between" and iteration.number == number:
            raise error
        add(self, iteration, seconds)

    monkeypatch.setattr(output, "write_iteration", failing_write)
    monkeypatch.setattr(RunFolder, "add", failing_add)


def assert_same_results(first: Path, second: Path) -> None:
    names = sorted(p.name for p in outputs_of(first))
    assert names and names == sorted(p.name for p in outputs_of(second))
    for name in names:
        if name.endswith(".star"):
            assert (first / name).read_text() == (second / name).read_text(), name
        else:
            np.testing.assert_array_equal(mrcfile.read(first / name), mrcfile.read(second / name), err_msg=name)
    one, other = (read_checkpoint(folder / "run_checkpoint.npz") for folder in (first, second))
    np.testing.assert_array_equal(one.model.sigma2, other.model.sigma2)
    np.testing.assert_array_equal(one.model.tau2, other.model.tau2)
    timed = ("seconds", "peak")
    rows = [[{k: v for k, v in row.items() if not k.startswith(timed)} for row in c.notes["history"]]
            for c in (one, other)]
    assert rows[0] == rows[1] and len(rows[0]) == one.number


@pytest.fixture(scope="module")
def whole(work):
    """Runs that nobody interrupted, made when they are first asked for."""
    def run(name: str) -> Path:
        folder = work / f"whole {name}"
        if not folder.exists():
            cryoedu(*(LONG if name == "long" else JOBS[name]), "--o", folder)
        return folder
    return run


@pytest.mark.parametrize("name", JOBS)
def test_a_crashed_run_ends_where_an_uninterrupted_one_ends(name, whole, out, monkeypatch):
    """Every map, pose, class and number, to the last bit: nobody has to ask whether a result was resumed."""
    with monkeypatch.context() as patch, pytest.raises(Crash):
        stop(patch, 3, "before", Crash)
        cryoedu(*JOBS[name], "--o", out)
    assert cryoedu(*JOBS[name], "--o", out, "--resume") == ""
    assert_same_results(whole(name), out)


def test_stopped_twice_with_files_that_are_ahead_of_the_checkpoint(whole, out, monkeypatch, capsys):
    """Ctrl-C after iteration 3 was written but before its checkpoint was: the iteration is done again."""
    for number in (2, 3):
        with monkeypatch.context() as patch:
            stop(patch, number, "between", KeyboardInterrupt)
            again = ["--resume"] if number > 2 else []
            assert cryoedu(*JOBS["classify2d"], "--o", out, *again) == "130"
        assert "--resume" in capsys.readouterr().err
    assert (out / "run_it003_data.star").exists()
    assert read_checkpoint(out / "run_checkpoint.npz").number == 2
    assert cryoedu(*JOBS["classify2d"], "--o", out, "--resume", "--memory", "100 MB") == ""
    assert_same_results(whole("classify2d"), out)
    starts = json.loads((out / "run_job.json").read_text())["starts"]
    assert [start["from_iteration"] for start in starts] == [1, 2, 3]


def test_kill_9_leaves_a_run_that_can_go_on(whole, out):
    """No handler runs, no file is closed: what is on disk has to be enough."""
    command = [*map(str, LONG), "--o", str(out)]
    process = subprocess.Popen([sys.executable, "-c", "from cryoedu.commands.app import main; main()", *command],
                               stderr=subprocess.DEVNULL)
    for _ in range(3000):
        if (out / "run_it004_data.star").exists():
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    assert 3 <= read_checkpoint(out / "run_checkpoint.npz").number < 40
    (out / ".run_it005_data.star.abc.part").write_text("half a file")
    assert cryoedu(*command, "--resume") == ""
    assert_same_results(whole("long"), out)
    assert not list(out.glob(".*"))


def test_the_seeds_of_the_classes_are_not_made_again(whole, out, monkeypatch):
    """Aligning the random subsets takes as long as an iteration, and would start the classes anew."""
    with monkeypatch.context() as patch, pytest.raises(Crash):
        stop(patch, 2, "before", Crash)
        cryoedu(*JOBS["classify3d"], "--o", out)
    with monkeypatch.context() as patch:
        patch.setattr("cryoedu.inference.em.seeds_from_subsets", None)
        assert cryoedu(*JOBS["classify3d"], "--o", out, "--resume") == ""


def test_a_finished_run_and_an_empty_folder_have_nothing_to_resume(whole, out, capsys):
    folder = whole("classify2d")
    before = (folder / "run_it004_data.star").stat().st_mtime_ns
    assert cryoedu(*JOBS["classify2d"], "--o", folder, "--resume") == ""
    assert "finished: there is nothing left to do" in capsys.readouterr().out
    assert (folder / "run_it004_data.star").stat().st_mtime_ns == before
    assert "no interrupted run" in cryoedu(*JOBS["classify2d"], "--o", out, "--resume")


def test_a_run_that_converged_early_is_finished(out, monkeypatch, capsys):
    """A refinement may end before its last iteration; resuming it must not start it again."""
    from cryoedu.inference import em

    whole_job = em.classify2d
    with monkeypatch.context() as patch:
        patch.setattr(em, "classify2d", lambda *a, **k: itertools.islice(whole_job(*a, **k), 2))
        assert cryoedu(*JOBS["classify2d"], "--o", out) == ""
    assert cryoedu(*JOBS["classify2d"], "--o", out, "--resume") == ""
    assert "nothing left to do" in capsys.readouterr().out
    assert read_checkpoint(out / "run_checkpoint.npz").number == 2


def test_other_options_or_files_are_named(whole, out, work):
    """Half a run with 2 classes and half with 3 is neither."""
    folder = whole("classify2d")
    said = cryoedu("classify2d", "sim/particles_data.star", "--k", 3, *PLANE, "--maxcc", "--strict-highres", 20,
                   "--o", folder, "--resume")
    assert "--k 2, not 3 and --maxcc off, not on and --strict-highres at its default, not 20" in said
    assert "classify2d, not align2d" in cryoedu(*JOBS["align2d"], "--o", folder, "--resume")
    shorter = work / "sim" / "shorter.star"
    shorter.write_text("".join((work / "sim/particles_data.star").read_text().splitlines(keepends=True)[:-3]))
    said = cryoedu("classify2d", shorter, "--k", 2, *PLANE, "--o", folder, "--resume")
    assert "another content of the STAR file: give" in said and said.count("\n") == 0
    (work / "copy.star").write_bytes((work / "sim/particles_data.star").read_bytes())
    moved = ["classify2d", work / "sim" / ".." / "sim" / "particles_data.star", *JOBS["classify2d"][2:]]
    assert cryoedu(*moved, "--o", folder, "--resume") == ""


def test_a_run_is_not_overwritten_unasked(whole, out, monkeypatch, work):
    """A second command into the same folder would leave maps of one run beside particles of another."""
    assert cryoedu(*JOBS["classify2d"], "--o", out) == ""
    said = cryoedu(*JOBS["align2d"], "--o", out)
    assert "already holds a run" in said and "--overwrite" in said and "--resume" in said
    (out / "run_notes.txt").write_text("mine")
    shorter = [*JOBS["classify2d"][:-1], 1, "--o", out, "--overwrite"]
    with monkeypatch.context() as patch, pytest.raises(Crash):  # it fails before anything has come out of it
        patch.setattr("cryoedu.inference.em.classify2d", lambda *a, **k: (_ for _ in ()).throw(Crash))
        cryoedu(*shorter)
    assert_same_results(whole("classify2d"), out)
    said = cryoedu("classify2d", out / "run_it004_data.star", *JOBS["classify2d"][2:], "--o", out,
                   "--overwrite")
    assert "run_it004_data.star belongs to the run" in said
    assert cryoedu(*shorter) == ""
    assert {p.name for p in outputs_of(out)} == {"run_it001_data.star", "run_it001_model.star",
                                                      "run_it001_classes.mrcs"}
    assert (out / "run_notes.txt").read_text() == "mine"


def test_runs_of_other_programs_are_left_alone(out):
    (out / "run_it025_data.star").write_text("RELION's")
    assert "--resume" not in cryoedu(*JOBS["align2d"], "--o", out)
    assert "another program" in cryoedu(*JOBS["align2d"], "--o", out, "--overwrite")
    assert "without a checkpoint" in cryoedu(*JOBS["align2d"], "--o", out, "--resume")
    assert (out / "run_it025_data.star").read_text() == "RELION's"


def test_a_damaged_checkpoint_names_the_way_out(out):
    cryoedu(*JOBS["align2d"], "--o", out)
    path = out / "run_checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-200])
    said = cryoedu(*JOBS["align2d"], "--o", out, "--resume")
    assert "run_checkpoint.npz is damaged" in said and "--overwrite" in said
    assert cryoedu(*JOBS["align2d"], "--o", out, "--overwrite") == ""
