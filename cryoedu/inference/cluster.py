"""The expectation on many machines: blocks of particles on the workers of a Dask cluster, their sums added in a tree.

Expectation is a map over particles, and what the maximisation needs of it is a sum. Here the map runs elsewhere: every
task is the expectation step of one block (`estep`), and every node of the tree adds two sums. The loop, and all that
follows from the sums, stay where they are.

    client ── a block's metadata, once ─────────▶ workers, which read its images from the stack
           ── model and hypotheses, each time ──▶
           ◀── poses and classes of each particle, and one sum for each part of the particles

Blocks and tree depend on the number of particles alone. So the result does not depend on how many workers there are, or
which of them were lost on the way: what a lost worker held is done again by another. With the same memory budget and on
the same kind of machine it is the same to the last bit; blocks are added in another order than in a single process,
which is a matter of float32 rounding.

A task computes in one thread: a worker with several is at several blocks at a time.
"""

from __future__ import annotations

import atexit
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from operator import add, itemgetter
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, library, on_gpu, to_numpy
from cryoedu.errors import InputError
from cryoedu.files.images import Images
from cryoedu.geometry.grids import LocalSearch
from cryoedu.inference import priors
from cryoedu.inference.assignment import Assignment
from cryoedu.inference.estep import estep, within
from cryoedu.inference.expectation import Tick
from cryoedu.inference.loop import EStep, Expectation, Fold, Stage, State, joined
from cryoedu.inference.model import Model, Posterior
from cryoedu.inference.settings import Compute
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.sums import SliceSums, VolumeSums
from cryoedu.machine import memory_budget
from cryoedu.particles.particles import Particles
from cryoedu.threads import one_thread

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

    Workers: TypeAlias = Client | str | int

BLOCK, FEWEST, MOST = 500, 4, 512  # particles in a block as a rule; blocks at least, and at most
Place = Mapping[str, Any]  # options of Dask
EVERYWHERE: Place = {}
STARTED: dict[str | int, Any] = {}  # clients of this process, for the next call
# A terminal sends Ctrl-C to all its processes; who started the workers is to end them, in good order.
IGNORE_SIGINT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"


def estep_on(assignment: Assignment, compute: Compute) -> Expectation:
    """The expectation step of `estep` for all parts: on the workers of a cluster, or here, one after the other."""
    if compute.cluster is not None:
        return on_workers(compute.cluster, assignment, compute.memory, compute.array_library)
    return within(compute.budget, assignment, compute.xp)


def on_workers(cluster: Workers, assignment: Assignment, memory: str | int | None, array_library: str) -> Expectation:
    """The expectation step of `estep`, on the workers of ``cluster``.

    cluster: a client, a cluster that has one, the address of a scheduler, or how many workers to start here; these stay
        for the next call, and end with the process.
    memory: of a block under way; None takes a third of what the worker may have, shared by its threads.
    array_library: of the workers, each of which decides for itself what "auto" means.

    Raises InputError if there is no such cluster. Later on, where a block cannot be looked at, what it says names the
    worker's machine and the rows.
    """
    client = client_of(cluster)
    _relax_placement(client)
    if memory is not None:
        memory_budget(memory, library("numpy"))  # refuses what is no size
    kept: list[tuple[Images, list[Future]]] = []  # blocks that were sent before

    def blocks_of(particles: Particles, cuts: Sequence[NDArray[np.int64]], at: Sequence[Place]) -> list[Future]:
        for images, blocks in kept:
            if images is particles.images:
                return blocks
        blocks = [_sent(client, _without_metadata(particles, rows), place) for rows, place in zip(cuts, at)]
        kept.append((particles.images, blocks))
        return blocks

    def submit(part: Fold, stage: Stage, space: FourierSpace) -> tuple[list[Future], Future]:
        """What each block says of its particles, and the sum over all of them, once they are there."""
        particles, rows, model = part
        cuts = cut(len(particles))
        if isinstance(stage.search, LocalSearch):
            stages = [replace(stage, search=stage.search.of(rows[mine])) for mine in cuts]
        else:
            stages = [_sent(client, stage)] * len(cuts)
        model_there = _sent(client, replace(model, scales=np.zeros(0)))  # which the particles carry
        scales = [None if particles.scale is None else particles.scale[mine] for mine in cuts]
        names = [f"among particles {rows[mine[0]] + 1} to {rows[mine[-1]] + 1}" for mine in cuts]
        places = _places(client, len(cuts))
        blocks = blocks_of(particles, cuts, places)
        looks = [client.submit(_look, block, scale, model_there, of_block, space, assignment, memory, array_library,
                               name, pure=False, **place)
                 for block, scale, of_block, name, place in zip(blocks, scales, stages, names, places)]
        said, leaves = ([client.submit(itemgetter(i), look, pure=False, priority=1) for look in looks] for i in (0, 1))
        return said, _tree(client, leaves)

    def expect(parts: Sequence[Fold], stage: Stage, space: FourierSpace, state: State, tick: Tick) -> list[EStep]:
        import dask

        submitted: list[tuple[list[Future], Future]] = []
        try:
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": 2**62}):  # models may be large
                submitted += [submit(part, stage, space) for part in parts]
            posteriors = _collected(client, [said for said, _ in submitted], tick)
            sums = client.gather([total for _, total in submitted])
        except BaseException as error:  # Ctrl-C too: nobody waits for the rest
            with suppress(Exception):  # unless the scheduler is gone
                client.cancel([future for said, total in submitted for future in (*said, total)])
            raise _in_words(error, client) from None
        xp = library(array_library)
        return [(joined(of_blocks, cut(len(particles)), len(particles)), _moved(total, xp.asarray))
                for (particles, _, _), of_blocks, total in zip(parts, posteriors, sums)]

    return expect


def client_of(cluster: Workers) -> Client:
    """The Dask client behind ``cluster``, as `on_workers` has it. Raises InputError if there is none."""
    try:
        from distributed import Client
    except ImportError:
        raise InputError("a cluster needs the package distributed, which is not installed here: run 'python -m pip "
                         "install distributed', or leave the cluster out") from None
    if isinstance(cluster, Client):
        return cluster
    if hasattr(cluster, "get_client"):  # a LocalCluster, a SLURMCluster, …
        return cluster.get_client()
    key = int(cluster) if str(cluster).isdecimal() else cluster
    if key in STARTED and STARTED[key].status == "running":
        return STARTED[key]
    if isinstance(key, int):
        if key < 1:
            raise InputError(f"a cluster of {key} workers does nothing: give at least 1, or leave the cluster out")
        where: Any = local_workers(key)
    else:
        where = key
    try:
        STARTED[key] = Client(where, set_as_default=False)
    except (OSError, ValueError):
        raise InputError(f"no scheduler of Dask answers at {key!r}: give the address that 'dask scheduler' prints, "
                         "such as tcp://192.168.1.5:8786, or a number of workers to start on this machine") from None
    atexit.register(close)
    return STARTED[key]


def local_workers(count: int) -> LocalCluster:
    """That many workers of one thread each on this machine, which nobody elsewhere can reach.

    Dask's own setting of MALLOC_TRIM_THRESHOLD_ gives every array back to the system at once, and to fetch it again
    took half of the time of an adaptive search more; so it is left out.
    """
    import dask
    from distributed import LocalCluster

    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), 1)
    here = "127.0.0.1:0"  # any free port
    with dask.config.set({"distributed.nanny.pre-spawn-environ": single}):
        return LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=here,
                            worker_dashboard_address=here, preload=IGNORE_SIGINT)


def close() -> None:
    """Take leave of the schedulers that `client_of` found, and end the workers that it started."""
    while STARTED:
        _, client = STARTED.popitem()
        client.close()
        if client.cluster is not None:
            client.cluster.close()


def cut(count: int) -> list[NDArray[np.int64]]:
    """Rows of ``count`` particles in blocks, which depend on nothing else."""
    return np.array_split(np.arange(count), min(int(np.clip(count // BLOCK, FEWEST, MOST)), count))


def _without_metadata(particles: Particles, rows: NDArray[np.int64]) -> Particles:
    """The particles of ``rows`` as they travel: without what no expectation asks for."""
    needed = {name: values for name, values in particles.extra.items() if name in priors.COLUMNS}
    return replace(particles, angles=None, classes=None, subset=None, scale=None, extra=needed).subset_of(rows)


def _places(client: Client, count: int) -> list[Place]:
    """Where each of ``count`` blocks should go, if that worker is there and not too busy: neighbours to one worker, so
    that few sums travel."""
    slots = [worker for worker, threads in client.nthreads().items() for _ in range(threads)]
    if not slots:
        return [EVERYWHERE] * count
    return [{"workers": slots[i * len(slots) // count], "allow_other_workers": True} for i in range(count)]


def _relax_placement(client: Client) -> None:
    """Let tasks run on a worker that comes when all are gone that they were meant for: they would wait for ever.

    They may run anywhere, but what the scheduler asks of a new worker is whether they were meant for it. The class is
    made here so that it travels whole, and the scheduler needs no cryoedu.
    """
    from distributed import SchedulerPlugin

    class Relaxed(SchedulerPlugin):  # type: ignore[misc]
        name, idempotent = "cryoedu-relaxed", True

        def add_worker(self, scheduler: Any, worker: str) -> None:
            for task in scheduler.unrunnable:
                if task.loose_restrictions:
                    task.worker_restrictions = None

    client.register_plugin(Relaxed())


def _sent(client: Client, thing: Any, place: Place = EVERYWHERE) -> Future:
    """``thing`` on a worker, as the result of a task: if it is lost, the scheduler makes it again."""
    return client.submit(_itself, thing, pure=False, **place)


def _itself(thing: Any) -> Any:
    return thing


def _tree(client: Client, leaves: list[Future]) -> Future:
    """The sum of all leaves, two by two; before other work, because it sets memory free."""
    while len(leaves) > 1:
        leaves = [client.submit(add, *pair, pure=False, priority=1) if len(pair) == 2 else pair[0]
                  for pair in (leaves[i : i + 2] for i in range(0, len(leaves), 2))]
    return leaves[0]


def _look(block: Particles, scale: NDArray[np.float64] | None, model: Model, stage: Stage, space: FourierSpace,
          assignment: Assignment, memory: str | int | None, array_library: str, among: str) -> EStep:
    """On a worker: the expectation step of a block, its sums in the memory of the host."""
    xp, budget = _means(memory, array_library)
    try:
        with one_thread():
            posterior, sums = estep(assignment, xp, budget)(
                replace(block, scale=scale), np.arange(len(block)), model, stage, space, {}, lambda share: None)
    except InputError as error:
        raise InputError(f"{error} ({among}, on the worker at {socket.gethostname()}, which has to see the same files "
                         "under the same names)") from None
    return posterior, _moved(sums, to_numpy)


@lru_cache
def _means(memory: str | int | None, array_library: str) -> tuple[ModuleType, int]:
    """On a worker: array library and bytes for a block, the same for every block of its life."""
    from dask.sizeof import sizeof
    from distributed import get_worker

    sizeof.register((Posterior, SliceSums, VolumeSums), lambda found: sum(map(sizeof, vars(found).values())))
    xp, worker = library(array_library), get_worker()
    budget = memory_budget(memory, xp)
    if memory is None:
        if (limit := worker.memory_manager.memory_limit) and not on_gpu(xp):
            budget = min(budget, limit // 3)
        budget //= worker.state.nthreads
    return xp, budget


def _moved(sums: SliceSums | VolumeSums, to: Callable[[Array], Array]) -> SliceSums | VolumeSums:
    """The sums with their large arrays elsewhere: in another library, or on the host."""
    if isinstance(sums, SliceSums):
        return replace(sums, numerator=to(sums.numerator), denominator=to(sums.denominator))
    return replace(sums, inserted=to(sums.inserted), weights=to(sums.weights))


def _collected(client: Client, said: Sequence[Sequence[Future]], tick: Tick) -> list[list[Any]]:
    """What the blocks of each part say, in their order; ``tick`` counts them as they come."""
    from distributed import CancelledError, as_completed

    found: list[list[Any]] = [[None] * len(of_part) for of_part in said]
    place = {future.key: (part, i) for part, of_part in enumerate(said) for i, future in enumerate(of_part)}
    every = as_completed([future for of_part in said for future in of_part], loop=client.loop, with_results=True)
    for done, (future, posterior) in enumerate(every, start=1):
        if not isinstance(posterior, Posterior):  # what comes of a task that was cancelled
            raise CancelledError(future.key)
        part, i = place[future.key]
        found[part][i] = posterior
        tick(done / len(place))
    return found


def _in_words(error: BaseException, client: Client) -> BaseException:
    """What went wrong with a cluster as a sentence; any other error as it is."""
    from distributed import CancelledError, KilledWorker
    from distributed.comm import CommClosedError

    if isinstance(error, KilledWorker):
        return InputError("a block of particles was the last that several workers looked at before they died, most "
                          "likely of too little memory: give a smaller memory, or the workers more of it, and go on")
    gone = isinstance(error, Exception) and client.status != "running"
    if gone or isinstance(error, CancelledError | CommClosedError):
        return InputError("the scheduler of the cluster is gone, or has lost what it knew: start it again, and go on "
                          "from the last iteration")
    return error
