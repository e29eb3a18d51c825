"""Work on several cores must come back in order, whole, and with its errors."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from cryoedu import threads


def test_results_come_in_order_whatever_takes_long(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 4)

    def slow(i: int) -> int:
        time.sleep(0.002 * (i % 3))
        return i * i

    assert list(threads.in_threads(slow, range(100), np)) == [i * i for i in range(100)]


def test_several_are_under_way_at_once(monkeypatch):
    """One image after the other would leave the other cores of a laptop idle."""
    monkeypatch.setattr(threads, "cores", lambda: 2)
    both = threading.Barrier(2, timeout=10)
    list(threads.in_threads(lambda i: both.wait(), range(2), np))


@pytest.mark.parametrize(("asked", "at_most"), [("1", 1), ("0", 1), ("", None), ("2,1", None), ("100000", None)])
def test_a_classroom_s_limit_is_kept(monkeypatch, asked, at_most):
    """A seat that takes more threads than it was given slows down everybody else's."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    free = threads.cores()
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads.cores() == (at_most or free)


def test_no_more_is_begun_than_is_wanted_soon(monkeypatch):
    """A block that waits to be collected holds memory."""
    monkeypatch.setattr(threads, "cores", lambda: 2)
    begun = []
    results = threads.in_threads(begun.append, range(100), np, ahead=1)
    for _ in range(3):
        next(results)
    results.close()
    assert len(begun) <= 5  # three were collected


def test_an_error_in_one_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(threads.in_threads(lambda i: 1 / i, [1, 0, 1], np))


def test_slices_may_be_asked_for_by_several_threads(monkeypatch):
    """Numba's own threads break down when two others start them at a time."""
    from cryoedu.geometry.euler import random_rotations
    from cryoedu.geometry.fourier import components
    from cryoedu.microscope.projection import transform
    from cryoedu.microscope.slices import extract

    monkeypatch.setattr(threads, "cores", lambda: 4)
    rng = np.random.default_rng(1)
    half = transform(rng.standard_normal((1, 16, 16, 16)).astype(np.float32))
    rotations, parts = random_rotations(6000, rng), components(16)
    one, *others = threads.in_threads(lambda i: extract(half, rotations, parts.kx, parts.ky, 2), range(8), np)
    assert all(np.array_equal(one, other) for other in others)


@pytest.mark.parametrize("how", ["to the end", "broken off", "after an error"])
def test_who_collects_is_one_thread_of_several_until_it_is_done(monkeypatch, how):
    """After Ctrl-C a notebook would else compute on one core until it is started again."""
    monkeypatch.setattr(threads, "cores", lambda: 2)
    results = threads.in_threads(lambda i: 1 / (i - 5 if how == "after an error" else i + 1), range(100), np)
    assert threads.workers(np) == 2
    next(results)
    assert threads.workers(np) == 1
    if how == "broken off":
        results.close()
    else:
        with pytest.raises(ZeroDivisionError) if how == "after an error" else nullcontext():
            list(results)
    assert threads.workers(np) == 2


def test_a_gpu_finds_the_next_block_read(monkeypatch):
    """While the device works on one block the host reads the next: a stack that memory does not hold keeps it busy."""
    gpu, both = SimpleNamespace(__name__="array_api_compat.cupy"), threading.Barrier(2, timeout=10)
    fetched = []

    def fetch(item):
        fetched.append(item)
        if item:
            both.wait()  # somebody is at work meanwhile
        return 10 * item

    def work(read):
        assert len(fetched) <= read // 10 + 2  # no more is held than one that is used and one that is read
        if read < 40:
            both.wait()
        return read + 1

    assert list(threads.in_threads(work, range(5), gpu, fetch=fetch)) == [1, 11, 21, 31, 41]
    assert fetched == [0, 1, 2, 3, 4]


def test_what_is_read_ahead_breaks_where_it_is_used():
    """A file that cannot be read must not be passed over, nor stop what was read before it."""
    found = threads.read_ahead(lambda i: 1 / (i - 2), range(5))
    assert [next(found), next(found)] == [-0.5, -1]
    with pytest.raises(ZeroDivisionError):
        next(found)


@pytest.mark.parametrize("cores", [1, 3])
def test_each_core_fetches_its_own(monkeypatch, cores):
    monkeypatch.setattr(threads, "cores", lambda: cores)
    assert list(threads.in_threads(lambda x: x + 1, range(5), np, fetch=lambda x: 10 * x)) == [1, 11, 21, 31, 41]


@pytest.mark.notebook
@pytest.mark.parametrize(("asked", "most"), [(None, 1), ("2", 2)])
def test_a_lesson_s_kernel_takes_one_thread_of_blas_whoever_starts_it(asked, most, monkeypatch, tmp_path):
    """Started by `make lab` or by hand on a laptop that has other things to do, lessons took two to three times as
    long. SciPy brings a BLAS of its own, which is loaded later."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "GOTO_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    if asked:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", asked)
    cell = new_code_cell("import numpy as np\nfrom cryoedu.course import check\nimport scipy.linalg, threadpoolctl\n"
                         "blas = [p for p in threadpoolctl.threadpool_info() if p['user_api'] == 'blas']\n"
                         "print(*[p['num_threads'] for p in blas])")
    notebook = new_notebook(cells=[cell])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    counts = [int(count) for count in notebook.cells[0].outputs[-1].text.split()]
    assert len(counts) >= 2 and set(counts) == {min(most, threads.cores())}
