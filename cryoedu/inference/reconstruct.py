"""A map from particles whose poses are known: the complete-data problem, and the last step of every refinement."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from cryoedu.arrays import Array, library, memory_budget, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.inference.blocks import prepare
from cryoedu.inference.maximisation import data_weight, solve
from cryoedu.inference.refine import noise_power
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.ctf import ctf_components
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Particles


def reconstruct(particles: Particles, *, ndim: int = 3, tau2: NDArray[np.float64] | None = None, steps: int = 6,
                resolution: float | None = None, memory: str | int | None = None, array_library: str = "auto",
                progress: bool = True) -> Specimen:
    """The map (or, for ``ndim`` 2, the average) that fits best the particles at their known angles and shifts.

    tau2: (n//2 + 1,) prior power of the signal per shell (a Wiener filter); None fits without a prior, and only a
        thousandth of the mean weight of a shell holds back what no slice has seen.
    steps: conjugate-gradient steps.  resolution: Å, nothing finer is reconstructed (default: Nyquist).

    The particles are read once, in blocks that fit ``memory``; each step then needs only their poses and CTFs.
    Raises InputError if poses are missing.
    """
    if particles.angles is None:
        raise InputError("the particles have no angles (rlnAngleRot, rlnAngleTilt, rlnAnglePsi), so no map can be "
                         "reconstructed: refine them first")
    xp = library(array_library)
    budget = memory_budget(memory, xp)
    box, pixel_size = particles.box, particles.pixel_size
    radius = box // 2 if resolution is None else min(max(round(box * pixel_size / resolution), 1), box // 2)
    space = FourierSpace(box, ndim, pixel_size, radius)
    rotations = euler_to_matrix(particles.angles)
    sigma2 = noise_power(particles)[:, space.bins]
    size = int(max(min(budget // (64 * len(space.bins)), 4096), 1))
    shape = (1, *(box,) * ndim)

    def blocks(label: str = "") -> Iterator[tuple[int, NDArray[np.int64]]]:
        lots = [(g, rows[i : i + size]) for g in range(len(particles.optics))
                for rows in [np.flatnonzero(particles.optics_group == g)] for i in range(0, len(rows), size)]
        return iter(tqdm(lots, desc=label, unit="block", delay=2, leave=False, disable=not (progress and label)))

    def weights(group: int, rows: NDArray[np.int64]) -> Array:
        """CTF² / σ² (1, N', J) of the particles ``rows``."""
        each = np.broadcast_to(1.0 / sigma2[group], (len(rows), len(space.bins)))
        if particles.ctf is not None:
            each = each * ctf_components(space.parts, particles.optics[group], particles.ctf[rows]) ** 2
        return xp.asarray(each[None], dtype=xp.float32)

    def curvature(maps: Array) -> Array:
        out = xp.zeros(shape, dtype=maps.dtype)
        for group, rows in blocks():
            out += space.backproject(weights(group, rows) * space.project(maps, rotations[rows]), rotations[rows])
        return out

    gradient = xp.zeros(shape, dtype=xp.float32)
    weight = 0.0
    for group, rows in blocks("inserting particles"):
        block = prepare(particles, rows, group, sigma2[group], np.zeros((1, 2)), space, xp)
        half = block.b.shape[-1] // 2
        slices = block.b[:, 0, :half] + 1j * block.b[:, 0, half:]
        gradient += space.backproject(slices[None], rotations[rows])
        weight = weight + data_weight(space, rotations[rows], weights(group, rows))
    if tau2 is None:
        from cryoedu.geometry.fourier import radial_mean

        prior = 1e-3 * radial_mean(to_numpy(weight), box, ndim)
        prior[prior == 0] = 1.0
    else:
        prior = 1.0 / np.maximum(tau2, 1e-12 * np.max(tau2))[None]
    maps = solve(space, gradient, curvature, weight, prior, xp.zeros(shape, dtype=xp.float32), steps)
    return Specimen(to_numpy(maps[0]).astype(np.float32), pixel_size, "reconstruction")
