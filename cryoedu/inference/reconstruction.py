"""A map from particles whose poses are known: the complete-data problem, and the last step of every refinement."""

from __future__ import annotations

from itertools import chain
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from cryoedu.arrays import library, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import radial_mean
from cryoedu.geometry.masks import soft_sphere
from cryoedu.geometry.symmetry import symmetry_operators
from cryoedu.inference.blocks import Block, Loaded, as_columns, block_size, in_pieces, load, prepared
from cryoedu.inference.maximisation import signal_from_fsc, solve
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import noise_power
from cryoedu.inference.sums import Inserter, VolumeSums
from cryoedu.machine import memory_budget
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Particles
from cryoedu.threads import in_threads
from cryoedu.validation.fsc import fsc

NOISE_RANGE = 1e-2  # images without noise would weigh their shells so unevenly that the solution converges slowly
LEAST_FSC = 0.2  # the prior weighs at most twice the data, so that a shell of mostly noise is damped, not emptied
TINY = 1e-30  # keeps shells without data or signal from dividing by zero


def reconstruct(particles: Particles, *, ndim: int = 3, wiener: bool = True, resolution: float | None = None,
                symmetry: str = "C1", steps: int = 10, memory: str | int | None = None, array_library: str = "auto",
                progress: bool = True) -> Specimen:
    """The map (or, for ``ndim`` 2, the average) that fits best the particles at their known angles and shifts.

    wiener: regularise by the signal-to-noise ratio of each shell, found by correlating maps of the even and the odd
        rows (SSNR = 2 FSC / (1 - FSC) for all of them together): an optimal filter, which damps what is mostly noise.
        False fits without a prior; only a hundredth of a shell's mean weight holds back what hardly any slice has seen.
    resolution: Å, nothing finer is reconstructed (default: Nyquist).  steps: conjugate-gradient steps.
    symmetry: point group of the map, such as D7: every particle is inserted at all poses that show the same.

    The particles are read once, in blocks that fit ``memory``; later steps need only their sums on the padded grid,
    which take some 150 n³ bytes beside. The corners of the box, which the particles' turned boxes do not all cover, are
    masked.
    Raises InputError if poses are missing, or if a 2D average is to have a point group.
    """
    if ndim == 3:
        particles.known_views()
    if particles.angles is None:
        raise InputError("the particles have no angles (rlnAnglePsi), so no average can be made: align them first")
    mates = len(symmetry_operators(symmetry))
    if mates > 1 and ndim == 2:
        raise InputError(f"symmetry {symmetry} is that of a map, but an average in 2D is asked for: use ndim=3 or C1")
    xp = library(array_library)
    box, pixel_size = particles.box, particles.pixel_size
    radius = box // 2 if resolution is None else min(max(round(box * pixel_size / resolution), 1), box // 2)
    space = FourierSpace(box, ndim, pixel_size, radius)
    sigma2 = noise_power(particles)[:, space.bins]
    sigma2 = np.maximum(sigma2, NOISE_RANGE * sigma2.max())
    size = block_size(64 * len(space.bins), memory_budget(memory, xp), xp)
    mask = soft_sphere(box, pixel_size, box * pixel_size - 6 * pixel_size, ndim=ndim)
    start = xp.zeros((1, *(box,) * ndim), dtype=xp.float32)

    halves = [_inserted(particles, np.arange(h, len(particles), 2), symmetry, space, sigma2, size, xp, progress)
              for h in (0, 1)]
    whole = (halves[0] + halves[1]).equations(space)
    each = [half.equations(space) for half in halves]
    weak = [1e-2 * radial_mean(to_numpy(e.weight), box, ndim) for e in each]
    prior = weak[0] + weak[1]
    if wiener and len(particles) > 1:
        first, second = (to_numpy(solve(space, e, np.maximum(ridge, TINY), start, 2)[0])
                         for e, ridge in zip(each, weak, strict=True))
        correlation = np.clip(fsc(first, second, mask=mask), LEAST_FSC, 0.999)
        weight = np.mean([radial_mean(to_numpy(e.weight), box, ndim) for e in each], axis=0)
        prior = 1 / signal_from_fsc(correlation, weight)
    maps = solve(space, whole, np.maximum(prior, TINY), start, steps)
    return Specimen((to_numpy(maps[0]) * mask).astype(np.float32), pixel_size, "reconstruction")


def _inserted(particles: Particles, chosen: NDArray[np.int64], symmetry: str, space: FourierSpace,
              sigma2: NDArray[np.float64], size: int, xp: ModuleType, progress: bool) -> VolumeSums:
    """The sums of the particles ``chosen``, each at its own pose."""
    assert particles.angles is not None
    rotations = euler_to_matrix(particles.angles)
    inserter = Inserter(space, 1, xp, symmetry)
    of_groups = [chosen[particles.optics_group[chosen] == group] for group in range(len(particles.optics))]
    lots = [(mine[first : first + size], group) for group, mine in enumerate(of_groups)
            for first in range(0, len(mine), size)]

    def fetch(lot: tuple[NDArray[np.int64], int]) -> tuple[list[Loaded], int]:
        return reads(*lot), lot[1]

    def work(lot: tuple[list[Loaded], int]) -> list[Block]:
        return [block for some in lot[0] for block in pieces(some, lot[1])]

    def look(loaded: Loaded, group: int) -> Block:
        return prepared(particles, loaded, group, sigma2[group], np.zeros((1, 2)), space, xp)

    reads = in_pieces(lambda rows, group: load(particles, rows, group, space), size, xp)
    pieces = in_pieces(look, size, xp)
    with tqdm(total=len(chosen), desc="inserting particles", unit="image", delay=2, leave=False,
              disable=not progress) as bar:
        for block in chain.from_iterable(in_threads(work, lots, xp, fetch=fetch, ahead=2)):
            weights = xp.broadcast_to(block.c, (len(block.rows), len(space.bins)))
            inserter.add(0, as_columns(block.b[:, 0, :], space, xp), weights, rotations[block.rows])
            bar.update(len(block.rows))
    return inserter.sums(np.zeros(1), np.zeros(1), 0.0, 0.0)
