"""Runs that go on by themselves, and what others are told of them: a crashed run must not look alive, and what is
stopped or resumed must be that run and nothing else."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from commandline import cryoedu

from cryoedu.commands.background import PROGRAM, asked_of, parsed, resumable, resume, start, stop
from cryoedu.errors import InputError
from cryoedu.runs.names import STATUS, outputs_of
from cryoedu.runs.status import Status, recorded, status_of, watched, write_status

MAP = Path(__file__).parents[1] / "data" / "relion" / "map.mrc"
OPTIONS = {"k": 2, "psi_step": 30, "offset_range": 4}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with 60 particles in sim."""
    folder = tmp_path_factory.mktemp("work")
    cryoedu("simulate", MAP, "--o", folder / "sim", "--n", 60, "--snr", 1.0, "--random-seed", 1)
    return folder


@pytest.fixture(autouse=True)
def _there(work, monkeypatch):
    monkeypatch.chdir(work)


def until(true, seconds=120.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen within two minutes"
        time.sleep(0.05)


@pytest.fixture
def sleeper():
    """A process that has nothing to do with cryoedu."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_run_is_started_stopped_resumed_and_finished(work):
    """As from a notebook whose kernel may end meanwhile: the run belongs to nobody."""
    folder = start("classify2d", "sim/particles_data.star", o="runs/whole", iter=2000, **OPTIONS)
    assert status_of(folder).going_on
    with pytest.raises(InputError, match="going on"):
        resume(folder)
    until(lambda: status_of(folder).iteration >= 3)
    process = psutil.Process(status_of(folder).process)
    assert os.getsid(process.pid) == process.pid  # a signal to this terminal does not reach it
    with pytest.raises(InputError, match="is going on"):
        start("classify2d", "sim/particles_data.star", o="runs/whole", resume=True, iter=2000, **OPTIONS)
    assert "works at the run" in cryoedu("classify2d", "sim/particles_data.star", "--o", folder, "--resume")
    stop(folder)
    until(lambda: status_of(folder).state == "stopped")
    reached = status_of(folder).iteration
    with pytest.raises(InputError, match="it is stopped"):
        stop(folder)
    asked = json.loads((folder / STATUS).read_text())
    asked["arguments"] = [f"--iter={reached + 3}" if word == "--iter=2000" else word for word in asked["arguments"]]
    until(lambda: not process.is_running())
    (folder / STATUS).write_text(json.dumps(asked))
    resume(folder)
    until(lambda: not status_of(folder).going_on)
    assert status_of(folder).state == "failed"  # another number of iterations is another run
    assert "started with --iter 2000" in (folder / "run_log.txt").read_text()


@pytest.mark.slow
def test_a_run_from_a_shell_is_stopped_and_resumed_from_elsewhere(work):
    """The panel in the browser does not care who started it; the one at the shell is told."""
    words = ["classify2d", "sim/particles_data.star", "--project", "runs/shell", "--iter", "2000", "--k", "2",
             "--psi-step", "30", "--offset-range", "4"]
    shell = subprocess.Popen([sys.executable, "-m", "cryoedu.commands.app", *words], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
    folder = Path("runs/shell")
    until(lambda: (said := status_of(folder)) is not None and said.iteration >= 2)
    stop(folder)
    _, told = shell.communicate(timeout=120)
    assert shell.returncode == 130 and "--resume" in told
    reached = status_of(folder)
    assert reached.state == "stopped"
    resume(folder)
    until(lambda: status_of(folder).iteration > reached.iteration)
    stop(folder)
    until(lambda: status_of(folder).state == "stopped")


@pytest.mark.slow
def test_a_run_goes_to_its_end_and_says_so(work):
    folder = start("classify2d", "sim/particles_data.star", o="runs/short", iter=3, **OPTIONS)
    until(lambda: not status_of(folder).going_on)
    assert str(status_of(folder)) == "finished, 3 iterations of at most 3 done"
    until(lambda: (folder / "run_report.html").exists())
    log = (folder / "run_log.txt").read_text()
    assert "cryoedu classify2d sim/particles_data.star --o=runs/short" in log.splitlines()[0]
    assert log.count("iteration ") == 3 and "\r" not in log  # a bar would fill the disk in a night
    with pytest.raises(InputError, match="already holds a run"):
        start("classify2d", "sim/particles_data.star", o="runs/short", iter=3, **OPTIONS)


@pytest.mark.slow
def test_a_run_that_cannot_begin_has_failed(work):
    folder = start("classify2d", "nowhere.star", o="runs/nowhere")
    until(lambda: not status_of(folder).going_on)
    assert status_of(folder).state == "failed" and "the log says why" in status_of(folder).message
    until(lambda: "nowhere.star" in (folder / "run_log.txt").read_text().split("\n", 1)[1])


def test_the_same_job_from_a_shell_says_how_it_ended(work, tmp_path, monkeypatch):
    job = ["classify2d", "sim/particles_data.star", "--k", 2, "--psi-step", 30]
    assert cryoedu(*job, "--o", tmp_path, "--iter", 1) == ""
    said = status_of(tmp_path)
    assert (said.state, said.iteration, said.process) == ("finished", 1, os.getpid())
    assert asked_of(tmp_path)[0][0] == "classify2d" and asked_of(tmp_path)[1] == work
    monkeypatch.setattr("cryoedu.runs.output.write_iteration", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    other = tmp_path / "other"
    assert cryoedu(*job, "--o", other) == "130"
    assert status_of(other).state == "stopped" and not outputs_of(other)


def test_sigterm_is_a_stop_and_an_error_a_failure(tmp_path):
    """A queue of jobs ends a run that takes too long with SIGTERM: that is no crash, and it can be resumed."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), watched(tmp_path, 2, 9, ["refine3d"]):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    assert str(recorded(tmp_path)) == "stopped, 2 iterations of at most 9 done"
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(ValueError), watched(tmp_path, 0, 9, ["refine3d"]) as turned:
        turned(1)
        raise ValueError("the disk is gone")
    assert str(recorded(tmp_path)) == "failed, 1 iterations of at most 9 done: the disk is gone"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_that_c_code_swallows_comes_when_the_iteration_is_done(tmp_path, number):
    """threadpoolctl lists libraries through a callback from C: what is raised in there goes nowhere, and the run went
    on to its end. pytest, under `make &`, may have been made deaf to SIGINT; a run at a shell is not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    swallow = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(number))
    try:
        with pytest.raises(KeyboardInterrupt), watched(tmp_path, 0, 9, ["refine3d"]) as turned:
            turned(1)
            swallow()
            turned(2)
            pytest.fail("the stop was lost")
        assert str(recorded(tmp_path)) == "stopped, 2 iterations of at most 9 done"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_process_that_is_gone_does_not_look_alive(tmp_path, sleeper):
    """After a power cut or for want of memory nobody changes the file any more."""
    write_status(tmp_path, Status("running", 3, 9), sleeper.pid)
    assert status_of(tmp_path).state == "running"
    sleeper.kill()  # it stays as a zombie until it is waited for
    until(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_ZOMBIE)
    assert status_of(tmp_path).state == "failed" and "gone" in status_of(tmp_path).message
    sleeper.wait()
    assert str(status_of(tmp_path)).startswith("failed, 3 iterations of at most 9 done: its process is gone")


def change(folder, **values):
    asked = json.loads((folder / STATUS).read_text())
    (folder / STATUS).write_text(json.dumps(asked | values))


def test_another_process_with_the_same_number_is_not_the_run(tmp_path, sleeper):
    """Numbers are given again: a stop must not end what somebody else does."""
    words = ("classify2d", "a.star", f"--o={tmp_path}")
    said = write_status(tmp_path, Status("running", arguments=words, place=str(tmp_path)), sleeper.pid)
    with pytest.raises(InputError, match="is not the run"):
        stop(tmp_path)
    change(tmp_path, began=said.began - 10)
    assert status_of(tmp_path).state == "failed"
    with pytest.raises(InputError, match="it is failed"):
        stop(tmp_path)
    assert sleeper.poll() is None


def test_a_run_of_another_machine_is_only_shown(tmp_path, sleeper):
    write_status(tmp_path, Status("running", 3, 9), sleeper.pid)
    change(tmp_path, host="node07")
    assert status_of(tmp_path).state == "running" and not status_of(tmp_path).here
    with pytest.raises(InputError, match="node07"):
        stop(tmp_path)


def test_the_copy_of_a_run_is_not_the_run(tmp_path, sleeper):
    write_status(tmp_path, Status("running"), sleeper.pid)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / STATUS).write_bytes((tmp_path / STATUS).read_bytes())
    assert status_of(copy).state == "stopped"


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"state": 3}', "\0", "[" * 10_000, "9" * 5000])
def test_a_damaged_status_is_none(tmp_path, text):
    (tmp_path / STATUS).write_text(text)
    assert recorded(tmp_path) is None and status_of(tmp_path) is None
    write_status(tmp_path, Status("finished"))
    for name, value in (("process", "1"), ("arguments", [1]), ("arguments", "x"), ("began", None), ("message", 1)):
        change(tmp_path, **{name: value})
        assert recorded(tmp_path) is None
        write_status(tmp_path, Status("finished"))


@pytest.mark.parametrize(("process", "began"), [(-1, 0.0), (2**70, 0.0), (0, 1e400)])
def test_a_number_that_no_process_has_is_not_alive(tmp_path, process, began):
    write_status(tmp_path, Status("running"))
    change(tmp_path, process=process, began=began)
    assert status_of(tmp_path).state == "failed"


HOSTILE = {
    "another program": ["rm", "-rf", "/"], "no run": ["doctor"], "nothing": [], "an option": ["--help"],
    "help": ["refine3d", "--help"], "an unknown option": ["align2d", "a.star", "--o", "{folder}", "--execute", "x"],
    "another folder": ["align2d", "a.star", "--o", "/tmp"], "a folder above": ["align2d", "a.star", "--o", ".."],
    "two folders": ["align2d", "a.star", "--o", "{folder}", "-o", "/tmp"], "a shell": ["align2d", "a.star; rm -rf /"],
    "python": ["-c", "import os"], "a path": ["/bin/sh", "x.sh"],
    "a byte 0": ["align2d", "a.star", "--o", "{folder}\0"],
    "a machine of theirs": ["align2d", "a.star", "--o", "{folder}", "--cluster", "tcp://evil.example:8786"]}


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
def test_only_a_job_of_its_own_in_its_own_folder_is_resumed(tmp_path, monkeypatch, words):
    """What stands in a folder may come from anybody: it must start no program, and no job that writes elsewhere."""
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("something was started"))
    words = [word.format(folder=tmp_path) for word in words]
    write_status(tmp_path, Status("stopped", arguments=tuple(words), place=str(tmp_path)))
    with pytest.raises(InputError):
        resume(tmp_path)
    (tmp_path / STATUS).unlink()
    starts = [{"command": " ".join(["cryoedu", *words]), "folder": str(tmp_path)}]
    (tmp_path / "run_job.json").write_text(json.dumps({"asked": {}, "finished": False, "starts": starts}))
    with pytest.raises(InputError):
        resume(tmp_path)


def test_a_run_on_workers_of_this_machine_is_resumed_here_and_one_on_a_cluster_can_be_stopped_here(tmp_path):
    """A Dask scheduler can have its client run anything: only who knows the machine that a record names goes there."""
    words = ("align2d", "a.star", "--o", str(tmp_path), "--cluster")
    write_status(tmp_path, Status("stopped", arguments=(*words, "2"), place=str(tmp_path)))
    assert resumable(tmp_path)[0][-1] == "2"
    write_status(tmp_path, Status("stopped", arguments=(*words, "tcp://node07:8786"), place=str(tmp_path)))
    with pytest.raises(InputError, match=r"the cluster at tcp://node07:8786: resume it from a shell"):
        resumable(tmp_path)
    assert asked_of(tmp_path)[0][-1] == "tcp://node07:8786"


def test_what_is_started_is_this_cryoedu_and_no_module_beside_it(tmp_path, monkeypatch):
    """A file numpy.py in the folder of a run, from a download, must not be run in its place."""
    seen = {}

    class Started:
        pid = os.getpid()

        def __init__(self, command, **options):
            seen.update(options, command=command)

        def wait(self):
            return 0

    write_status(tmp_path, Status("stopped", place=str(tmp_path), arguments=(
        "align2d", "a.star", "--o", str(tmp_path), "--overwrite")))
    monkeypatch.setattr(subprocess, "Popen", Started)
    resume(tmp_path)
    assert seen["command"] == [sys.executable, "-P", "-m", PROGRAM, "align2d", "a.star", "--o",
                               str(tmp_path)]
    assert not seen.get("shell") and seen["start_new_session"] and seen["cwd"] == tmp_path
    write_status(tmp_path, replace(recorded(tmp_path), state="stopped"))
    (tmp_path / "run_checkpoint.npz").touch()
    resume(tmp_path)
    assert seen["command"][-1] == "--resume"


def test_a_log_that_leads_elsewhere_is_not_written(tmp_path):
    """A link named run_log.txt that leads to a start-up file of the shell would be run at the next login."""
    target = tmp_path / "profile"
    target.write_text("")
    folder = tmp_path / "run"
    folder.mkdir()
    write_status(folder, Status("stopped", arguments=("align2d", "a.star", "--o", str(folder)), place=str(tmp_path)))
    (folder / "run_log.txt").symlink_to(target)
    with pytest.raises(OSError):
        resume(folder)
    assert target.read_text() == ""


def test_options_are_read_as_the_command_reads_them():
    for folder in ("-o", "--o", "--project"):
        given = parsed(["refine3d", "a.star", folder, "x", "--reference", "m.mrc", "--iter", "7"])
        assert (str(given["o"]), given["iterations"]) == ("x", 7)
    for wrong, says in (({"k": 0}, "k"), ({"nonsense": 3}, "nonsense"), ({"psi_step": "x"}, "psi-step")):
        with pytest.raises(InputError, match=says):
            start("classify2d", "a.star", o="x", **wrong)
    with pytest.raises(InputError, match="choose align2d"):
        start("simulate", "a.star", o="x")
    assert not Path("x").exists()
