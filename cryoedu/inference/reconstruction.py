"""A map from particles whose poses are known: the complete-data problem, and the last step of every refinement."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from cryoedu.arrays import Array, attempt, library, memory_budget, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import radial_mean
from cryoedu.geometry.masks import soft_sphere
from cryoedu.geometry.symmetry import symmetrised_rotations, symmetry_operators
from cryoedu.inference.blocks import as_columns, half_as_many, prepare
from cryoedu.inference.loop import noise_power
from cryoedu.inference.maximisation import Equations, data_weight, solve
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.ctf import ctf_components
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Particles
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

    The particles are read once, in blocks that fit ``memory``; later steps need only their poses and CTFs. The corners
    of the box, which the particles' turned boxes do not all cover, are masked.
    Raises InputError if poses are missing, or if a 2D average is to have a point group.
    """
    if particles.angles is None:
        raise InputError("the particles have no angles (rlnAngleRot, rlnAngleTilt, rlnAnglePsi), so no map can be "
                         "reconstructed: refine them first")
    mates = len(symmetry_operators(symmetry))
    if mates > 1 and ndim == 2:
        raise InputError(f"symmetry {symmetry} is that of a map, but an average in 2D is asked for: use ndim=3 or C1")
    xp = library(array_library)
    box, pixel_size = particles.box, particles.pixel_size
    radius = box // 2 if resolution is None else min(max(round(box * pixel_size / resolution), 1), box // 2)
    space = FourierSpace(box, ndim, pixel_size, radius)
    sigma2 = noise_power(particles)[:, space.bins]
    sigma2 = np.maximum(sigma2, NOISE_RANGE * sigma2.max())
    size = int(max(min(memory_budget(memory, xp) // (64 * mates * len(space.bins)), 4096), 1))
    mask = soft_sphere(box, pixel_size, box * pixel_size - 6 * pixel_size, ndim=ndim)
    start = xp.zeros((1, *(box,) * ndim), dtype=xp.float32)

    halves = [_equations(particles, np.arange(h, len(particles), 2), symmetry, space, sigma2, size, xp, progress)
              for h in (0, 1)]
    weak = [1e-2 * radial_mean(to_numpy(e.weight), box, ndim) for e in halves]
    whole = Equations(halves[0].gradient + halves[1].gradient, halves[0].weight + halves[1].weight,
                       lambda maps: halves[0].curvature(maps) + halves[1].curvature(maps))
    prior = weak[0] + weak[1]
    if wiener and len(particles) > 1:
        first, second = (to_numpy(solve(space, e, np.maximum(ridge, TINY), start, 2)[0])
                         for e, ridge in zip(halves, weak, strict=True))
        correlation = np.clip(fsc(first, second, mask=mask), LEAST_FSC, 0.999)
        prior = radial_mean(to_numpy(whole.weight), box, ndim) * (1 - correlation) / (2 * correlation)
    maps = solve(space, whole, np.maximum(prior, TINY), start, steps)
    return Specimen((to_numpy(maps[0]) * mask).astype(np.float32), pixel_size, "reconstruction")


def _equations(particles: Particles, chosen: NDArray[np.int64], symmetry: str, space: FourierSpace,
               sigma2: NDArray[np.float64], size: int, xp: ModuleType, progress: bool) -> Equations:
    assert particles.angles is not None
    rotations = euler_to_matrix(particles.angles)
    mates = len(symmetry_operators(symmetry))
    shape = (1, *(space.box,) * space.ndim)

    def weights(group: int, rows: NDArray[np.int64]) -> Array:
        """CTF² / σ² (1, N', J) of the particles ``rows``."""
        each = np.broadcast_to(1.0 / sigma2[group], (len(rows), len(space.bins)))
        if particles.ctf is not None:
            each = each * ctf_components(space.parts, particles.optics[group], particles.ctf[rows]) ** 2
        if particles.scale is not None:
            each = each * particles.scale[rows, None] ** 2
        return xp.asarray(np.tile(each, (mates, 1))[None, ...], dtype=xp.float32)

    def curvature(maps: Array) -> Array:
        out = xp.zeros(shape, dtype=maps.dtype)
        for group, rows in lots:
            poses = symmetrised_rotations(rotations[rows], symmetry)
            out += space.backproject(weights(group, rows) * space.project(maps, poses), poses)
        return out

    def inserted(group: int, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Gradient and weight of the particles ``rows``."""
        block = prepare(particles, rows, group, sigma2[group], np.zeros((1, 2)), space, xp)
        poses = symmetrised_rotations(rotations[rows], symmetry)
        images = xp.concat([as_columns(block.b[:, 0, :], space, xp)] * mates, axis=0)
        return space.backproject(images[None, ...], poses), data_weight(space, poses, weights(group, rows))

    gradient = xp.zeros(shape, dtype=xp.float32)
    weight = xp.zeros((1, *(space.box,) * (space.ndim - 1), space.box // 2 + 1), dtype=xp.float32)
    lots: list[tuple[int, NDArray[np.int64]]] = []  # those that fitted, for the steps that come
    with tqdm(total=len(chosen), desc="inserting particles", unit="image", delay=2, leave=False,
              disable=not progress) as bar:
        for group in range(len(particles.optics)):
            mine, first = chosen[particles.optics_group[chosen] == group], 0
            while first < len(mine):
                rows = mine[first : first + size]
                found = attempt(xp, inserted, group, rows)
                if found is None:
                    size = half_as_many(len(rows))
                    continue
                gradient += found[0]
                weight += found[1]
                lots.append((group, rows))
                first += len(rows)
                bar.update(len(rows))
    return Equations(gradient, weight, curvature)
