"""Workers, schedulers and whole runs that die in the middle of an iteration: what must be left of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from blobs import HERE, PIXEL, six_blobs, two_classes, write_stack
from commandline import cryoedu, heed_ctrl_c

pytest.importorskip("distributed", reason="the extra is not installed: pip install 'cryoedu[cluster]'")

from cryoedu.errors import InputError
from cryoedu.geometry.grids import search_3d
from cryoedu.inference import cluster as clusters
from cryoedu.inference.em import refine
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles import read_particles, write_particles
from cryoedu.runs.checkpoints import read_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def blobs():
    return six_blobs()


def until(true, seconds=30.0):
    """Wait until something is true; fails if it never is."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to be true"
        time.sleep(0.05)


def alive(group):
    """Processes of a group that still run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.fixture
def many(blobs, tmp_path):
    """Blocks that take long enough for a worker to be killed in the middle of one."""
    made = simulate(Specimen(blobs, PIXEL), 2000, seed=1, snr=0.5, defocus=(8e3, 1.6e4), progress=False)
    write_particles(made.particles, tmp_path / "many.star")
    return read_particles(tmp_path / "many.star")


def looked_at(cluster):
    """How many blocks were looked at to the end, on any worker, until now."""
    return sum(step.key.startswith("_look") and (step.start, step.finish) == ("processing", "memory")
               for step in cluster.scheduler.transition_log)


def test_a_worker_that_is_killed_costs_its_block_and_not_the_run(many, blobs):
    """On a hundred machines one is always about to be rebooted, or out of memory."""
    search = search_3d(1, shift_range=2 * PIXEL, shift_step=PIXEL)

    def run(where, tick):
        return list(refine(many, two_classes(many, blobs), search, iterations=2, cluster=where, tick=tick, **HERE))

    with clusters.local_workers(2) as cluster, cluster.get_client() as client:
        whole = run(client, lambda share: None)
        pids = client.run(os.getpid)
        killed, before = [], looked_at(cluster)

        def kill_once(share):
            if not killed:  # the first block is done, others are under way
                killed.append(min(pids.values()))
                os.kill(killed[0], signal.SIGKILL)

        again = run(client, kill_once)
        assert before == 8 and 8 <= looked_at(cluster) - before <= 8 + 2  # it had two of the four blocks
        client.wait_for_workers(2, timeout=60)
        assert killed[0] not in client.run(os.getpid).values()
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one.model.maps, other.model.maps)
        np.testing.assert_array_equal(one.posterior.angles, other.posterior.angles)
        assert one.log_likelihood == other.log_likelihood


def test_the_only_worker_is_killed_and_another_takes_its_place(many, blobs):
    """Blocks that were meant for workers that are gone, all at once, wait for none of these."""
    search = search_3d(1, shift_range=2 * PIXEL, shift_step=PIXEL)
    killed = []

    with clusters.local_workers(1) as cluster, cluster.get_client() as client:
        late = threading.Timer(120, cluster.close)  # then the run ends with an error, and does not wait for ever
        late.start()

        def kill_once(share):
            if share == 1 and not killed:  # nothing is under way, but the blocks will be asked for again
                killed.append(cluster.workers[0].pid)
                os.kill(killed[0], signal.SIGKILL)

        turns = list(refine(many, two_classes(many, blobs), search, iterations=2, cluster=client, tick=kill_once,
                            **HERE))
        late.cancel()
    assert killed and [turn.number for turn in turns] == [1, 2]


def test_a_block_that_kills_every_worker_ends_the_run_in_words(many, blobs):
    """Too little memory for a block is not cured by another worker; trying for ever would hide it."""
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), clusters.local_workers(1) as cluster, \
            cluster.get_client() as client:
        def kill(share):
            (nanny,) = cluster.workers.values()  # asked here: a worker that is dying gives no answer
            with contextlib.suppress(ProcessLookupError):
                if nanny.pid:  # another may not have started yet
                    os.kill(nanny.pid, signal.SIGKILL)

        with pytest.raises(InputError, match=r"several workers looked at before they died.*smaller memory"):
            list(refine(many, two_classes(many, blobs), search_3d(2, shift_range=12, shift_step=6), cluster=client,
                        tick=kill, **HERE))


@pytest.fixture
def elsewhere():
    """A scheduler and a worker of two threads, started as by hand: the address and the scheduler's process."""
    dask = [sys.executable, "-m", "dask"]
    with subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"], text=True,
                          stderr=subprocess.PIPE) as scheduler:
        address = next(line.split()[-1] for line in scheduler.stderr if "Scheduler at:" in line)
        threading.Thread(target=scheduler.stderr.read, daemon=True).start()  # or it would wait for a reader
        with subprocess.Popen([*dask, "worker", address, "--nthreads", "2", "--no-dashboard"],
                              stderr=subprocess.DEVNULL) as worker:
            yield address, scheduler
            worker.terminate()
            scheduler.kill()
    clusters.close()


@pytest.mark.parametrize("when", ["in an iteration", "between two"])
def test_a_scheduler_that_dies_leaves_the_iterations_until_then(when, many, blobs, elsewhere):
    """A sentence, not an endless wait: what was found until then is there, and can be gone on from."""
    address, scheduler = elsewhere
    armed = []

    def tick(share):
        if armed and share < 0.5:
            scheduler.kill()

    turns = refine(many, two_classes(many, blobs), search_3d(2, shift_range=12, shift_step=6), cluster=address,
                   tick=tick, **HERE)
    assert next(turns).number == 1
    armed += [when] * (when == "in an iteration")
    if not armed:
        scheduler.kill()
        scheduler.wait()
    with pytest.raises(InputError, match="the scheduler of the cluster is gone"):
        next(turns)


def test_ctrl_c_ends_workers_too_and_leaves_a_run_that_goes_on(tmp_path):
    """The terminal sends Ctrl-C to the workers here as well; none of them may stay, or take the run along."""
    star, out, whole = write_stack(tmp_path), tmp_path / "out", tmp_path / "whole"
    job = ["classify3d", star, "--k", 2, "--reference", star.with_name("map.mrc"), "--healpix-order", 1,
           "--offset-range", 6, "--iter", 12, "--array-library", "numpy"]
    command = [sys.executable, "-c", "from cryoedu.commands.app import main; main()", *map(str, job), "--o", str(out)]
    with subprocess.Popen([*command, "--cluster", "2"], start_new_session=True, text=True, stderr=subprocess.PIPE,
                          stdout=subprocess.PIPE, preexec_fn=heed_ctrl_c) as process:
        while not (out / "run_it002_data.star").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "go on with --resume" in said and "Traceback" not in said, said
    until(lambda: not alive(process.pid))
    reached = read_checkpoint(out / "run_checkpoint.npz").number
    assert 1 <= reached < 12
    assert cryoedu(*job, "--o", out, "--resume", "--cluster", "2") == ""
    assert cryoedu(*job, "--o", whole) == ""
    one, other = (read_checkpoint(folder / "run_checkpoint.npz") for folder in (whole, out))
    assert one.number == other.number == 12
    assert np.mean(one.arrays["classes"] == other.arrays["classes"]) > 0.95
    assert not clusters.STARTED
