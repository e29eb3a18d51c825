"""Many small pieces of work on all cores: what one BLAS call, or one kernel, is too small to fill. And the opposite:
one core for work of which there is plenty beside it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")
ALONE = ContextVar("ALONE", default=False)  # in a thread that shares the cores with others


def cores() -> int:
    """Cores that this process may use: those of the machine, fewer in a container, under a batch system, or where
    OMP_NUM_THREADS says so, as classroom servers do."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        usable = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        usable = min(usable, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or the quota is "max"
        pass
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable, max(int(asked), 1)) if asked.isdecimal() else usable


def workers(xp: ModuleType) -> int:
    """Threads of `in_threads`: one on a GPU, where the host only hands out work, and in a thread of those."""
    from cryoedu.arrays import on_gpu  # needs NumPy, without which `cryoedu doctor` still counts the cores

    return 1 if on_gpu(xp) or ALONE.get() else cores()


def _itself(item: Any) -> Any:
    return item


def in_threads(work: Callable[[T], R], items: Sequence[S], xp: ModuleType, *, fetch: Callable[[S], T] = _itself,
               most: int | None = None, ahead: int = 8) -> Generator[R]:
    """``work`` of each of ``items``, in their order; on the CPU several at a time, each with BLAS in one thread.

    BLAS would start threads for products that are too small for it, and they would wait for each other. So would
    Numba's kernels: while pieces are under way, whoever collects them is but one thread of several too.
    fetch: what the host has to do for an item first, such as reading it. On a GPU it does that for the next one while
        the device works on this one.
    most: threads, if there is not room for one on every core.
    ahead: pieces for each thread that are under way or wait to be collected.
    """
    from cryoedu.arrays import on_gpu

    count = min(workers(xp), most or cores())
    if count == 1:
        yield from map(work, (read_ahead if on_gpu(xp) else map)(fetch, items))
        return
    from threadpoolctl import threadpool_limits

    waiting: deque[Future[R]] = deque()
    ALONE.set(True)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(count, initializer=ALONE.set, initargs=(True,)) as pool:
        try:
            for item in items:
                done = [waiting.popleft().result()] if len(waiting) == ahead * count else []
                waiting.append(pool.submit(lambda item: work(fetch(item)), item))
                yield from done  # while whoever collects it looks at it, the thread that was free has its next piece
            while waiting:
                yield waiting.popleft().result()
        finally:
            ALONE.set(False)
            for piece in waiting:  # nobody wants them any more
                piece.cancel()


def read_ahead(fetch: Callable[[S], T], items: Sequence[S]) -> Iterator[T]:
    """``fetch`` of each of ``items``, in their order: the next one is under way in a thread while this one is used."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(1) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(fetch, item))
                if len(waiting) == 2:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for piece in waiting:
                piece.cancel()


@contextmanager
def one_thread() -> Iterator[None]:
    """A single thread for all that is computed inside: in BLAS, in Numba's kernels, and by `in_threads`.

    For processes, or threads, that share a machine and have work enough to fill it together.
    """
    from threadpoolctl import threadpool_limits

    alone = ALONE.set(True)
    try:
        with threadpool_limits(1), _one_of_numba():
            yield
    finally:
        ALONE.reset(alone)


@contextmanager
def _one_of_numba() -> Iterator[None]:
    """One thread in Numba's kernels, where there are any."""
    if find_spec("numba") is None:
        yield
        return
    from numba import get_num_threads, set_num_threads

    before = get_num_threads()
    set_num_threads(1)
    try:
        yield
    finally:
        set_num_threads(before)


def one_blas_thread() -> None:
    """From now on BLAS computes in one thread, in libraries that are loaded later too.

    For a notebook's kernel. Threads of BLAS wait for each other by spinning, which on a busy machine takes two to three
    times as long as one thread alone; `in_threads` still fills the cores. Who set OPENBLAS_NUM_THREADS is obeyed.
    """
    from threadpoolctl import threadpool_limits

    if "OPENBLAS_NUM_THREADS" not in os.environ:
        os.environ["OPENBLAS_NUM_THREADS"] = os.environ.setdefault("MKL_NUM_THREADS", "1")
        threadpool_limits(1, "blas")
