"""One worker against two: the expectation on a Dask cluster of this machine, as a table beside this file.

    python benchmarks/cluster.py [--particles 2000] [--iterations 4] [--repeats 3]

Every process computes in one thread. A single process, one worker and two workers take turns; the first iteration of
each run, in which compiled kernels load and metadata travel, is not counted in the times. Bytes are counted, not
estimated: what the client hands over, pickled, and the arrays that the workers say that they gave away.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import timed
from distributed import Client, Future

from cryoedu import datasets
from cryoedu.geometry.grids import local_search, search_3d
from cryoedu.inference import refine, start_model
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.cluster import cut, local_workers
from cryoedu.microscope.experiment import simulate
from cryoedu.particles import read_particles, write_particles
from cryoedu.particles.particles import Particles
from cryoedu.threads import one_thread

TABLE = Path(__file__).with_suffix(".md")
BOX, PIXEL, RADIUS, ORDER = 64, 5.5, 16, 2
Options = dict[str, Any]


def whole_grid(particles: Particles) -> Options:
    """All orientations of a grid, with 13 shifts."""
    return {"search": search_3d(ORDER, shift_range=2 * PIXEL, shift_step=PIXEL)}


def adaptive(particles: Particles) -> Options:
    """A grid of twice the step, and its half around what counts."""
    return {"search": search_3d(ORDER - 1, shift_range=2 * PIXEL, shift_step=PIXEL), "adaptive": Adaptive()}


def local(particles: Particles) -> Options:
    """Some turns and shifts around known poses."""
    return {"search": local_search(particles.angles, np.zeros((len(particles), 2)), angular_range=8, angular_step=4,
                                   shift_range=PIXEL, shift_step=PIXEL)}


JOBS: dict[str, Callable[[Particles], Options]] = {"whole grid": whole_grid, "adaptive": adaptive, "local": local}


@dataclass(frozen=True)
class Taken:
    """What the iterations of a run took: wall seconds of each expectation, processor seconds of its processes; bytes
    that the client sent in the first and in the last one, and in the last between workers, and from them to the client.
    """

    seconds: Sequence[float]
    processor: Sequence[float]
    first: int
    sent: int
    between: int
    back: int


def run(particles: Particles, model: Any, options: Options, iterations: int, client: Client | None) -> Taken:
    """Some iterations here, in one thread, or on a cluster."""
    turns = refine(particles, model, radii=[RADIUS], iterations=iterations, memory="1 GB", array_library="numpy",
                   cluster=client, **options)
    seconds, processor, sent = [], [], []
    with one_thread():
        handed_over = counted(client) if client else []
        for _ in range(iterations):
            before = usage(client)
            turn = next(turns)
            used, between, given = usage(client) - before
            seconds.append(turn.seconds["expectation"])
            processor.append(used if client else used * seconds[-1] / sum(turn.seconds.values()))
            sent.append(sum(handed_over))
            handed_over.clear()
    return Taken(seconds[1:], processor[1:], sent[0], sent[-1], int(between), int(given - between))


def usage(client: Client | None) -> np.ndarray:
    """Processor seconds until now of those who compute, bytes that workers had from each other, and gave in all."""
    if client is None:
        return np.array([time.process_time(), 0, 0])
    told = client.run(lambda dask_worker: (
        time.process_time(), sum(transfer["total"] for transfer in dask_worker.transfer_incoming_log),
        dask_worker.transfer_outgoing_bytes_total))
    return np.sum(list(told.values()), axis=0)


def counted(client: Client) -> list[int]:
    """The size of all that is handed over to the client from now on."""
    sizes: list[int] = []
    submit = Client.submit

    def counting(function: Any, *arguments: Any, **options: Any) -> Any:
        sizes.append(sum(map(size, arguments)))
        return submit(client, function, *arguments, **options)

    client.submit = counting
    return sizes


def size(thing: Any) -> int:
    """Bytes that an argument makes on the network, by what pickle makes of it; results that are there make none."""
    if isinstance(thing, Future | list) or hasattr(thing, "weigh"):
        return 0
    return len(pickle.dumps(thing))


@dataclass(frozen=True)
class Sizes:
    """Of a run: particles, iterations, and repeats of each."""

    particles: int
    iterations: int
    repeats: int


def stack(folder: Path, count: int) -> tuple[Particles, np.ndarray]:
    """Particles of a ribosome in a stack on disk, their poses known, and the map."""
    specimen = datasets.load("ribosome-80S", box=BOX, pixel_size=PIXEL)
    made = simulate(specimen, count, seed=1, snr=0.1, defocus=(8e3, 2e4), shift_sigma=5.0, progress=False)
    write_particles(made.truth, folder / "particles.star")
    return read_particles(folder / "particles.star"), specimen.density


def measured(sizes: Sizes) -> Iterator[str]:
    """The lines of the table."""
    where = {"a single process": 0, "one worker": 1, "two workers": 2}
    yield "| search | where | expectation, s | of processors, s | efficiency |"
    yield "|---|---|---:|---:|---:|"
    travels = []
    with tempfile.TemporaryDirectory() as folder:
        particles, density = stack(Path(folder), sizes.particles)
        model = start_model(particles, np.stack([density, density[::-1]]))
        for name, options_of in JOBS.items():
            options = options_of(particles)
            runs: dict[str, list[Taken]] = {place: [] for place in where}
            for _ in range(sizes.repeats):
                for place, workers in where.items():
                    runs[place].append(_in_place(particles, model, options, sizes.iterations, workers))
            times = {place: median([s for taken in some for s in taken.seconds]) for place, some in runs.items()}
            for place, some in runs.items():
                processor = median([s for taken in some for s in taken.processor])
                share = f"{100 * times['one worker'] / (where[place] * times[place]):.0f} %" if where[place] else ""
                yield f"| {name} | {place} | {times[place]:.2f} | {processor:.2f} | {share} |"
            last = runs["two workers"][-1]
            each = (last.first, last.sent, last.between, last.back)
            travels.append(f"| {name} | {' | '.join(f'{size / 1e6:.2f}' for size in each)} |")
    yield ""
    yield "MB of an iteration with two workers; the second of them has the model from the first."
    yield ""
    yield "| search | the client sends in the first | in a later one | sums from worker to worker | to the client |"
    yield "|---|---:|---:|---:|---:|"
    yield from travels


def _in_place(particles: Particles, model: Any, options: Options, iterations: int, workers: int) -> Taken:
    if not workers:
        return run(particles, model, options, iterations, None)
    with local_workers(workers) as cluster, cluster.get_client() as client:
        return run(particles, model, options, iterations, client)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=2000)
    parser.add_argument("--iterations", type=int, default=4, help="of each run, the first of which is not counted")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args(arguments)
    sizes = Sizes(asked.particles, asked.iterations, asked.repeats)
    blocks = len(cut(sizes.particles))
    lines = ["# One worker against two", "",
             f"Written by `python benchmarks/cluster.py --particles {sizes.particles} --iterations {sizes.iterations} "
             f"--repeats {sizes.repeats}`:",
             f"{sizes.particles} images of {BOX} px of the 80S ribosome, K = 2, {RADIUS} shells, in {blocks} blocks; "
             "one thread each; medians.",
             "Efficiency: the time of one worker over twice that of two.", "", f"Machine: {timed.machine()}.", ""]
    for line in measured(sizes):
        lines.append(line)
        print(line, flush=True)
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
