"""Particles at poses of their own: one slice for each of them, instead of one grid for all.

What a search has chosen is scored and inserted here. The particles come in parts, each of which has a map of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, namespace, to_numpy
from cryoedu.geometry.euler import Floats, euler_to_matrix
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, cross_correlation
from cryoedu.inference.blocks import absolute2, as_columns, prepare
from cryoedu.inference.expectation import residuals
from cryoedu.inference.gridsums import GridSums, Inserter
from cryoedu.inference.model import Model, Posterior
from cryoedu.inference.spaces import FourierSpace
from cryoedu.particles.particles import Particles


@dataclass(frozen=True)
class Posed:
    """Some images of one noise group and one part, each before the slice of its part's map at its own pose.

    rows: (N',) which particles.  rotations: (N', 3, 3).  columns: (N', J) CTF · (X shifted back) / σ².
    weights: (N', J) CTF² / σ².  predicted: (N', J).  power: (J,) Σ |X|² over the images.
    """

    group: int
    part: int
    rows: NDArray[np.int64]
    rotations: Floats
    columns: Array
    weights: Array
    predicted: Array
    power: Floats

    def correlation(self) -> Floats:
        """Normalised cross-correlation (N',) of image and slice, as `MAXIMUM_CROSS_CORRELATION` scores it."""
        xp, one = self.xp, slice(1, None)  # DC is not scored
        match = xp.sum(self._match()[:, one], axis=1)
        energy = xp.sum((self.weights * absolute2(self.predicted, xp))[:, one], axis=1)
        return to_numpy(cross_correlation(match, energy, 0.0)).astype(np.float64)

    def misfit(self) -> Floats:
        """Σ (|CTF A|² - 2 Re X* CTF A) / σ² of each column (J,)."""
        change = self.weights * absolute2(self.predicted, self.xp) - 2 * self._match()
        return to_numpy(self.xp.sum(change, axis=0)).astype(np.float64)

    def _match(self) -> Array:
        real, imag = self.xp.real, self.xp.imag
        return real(self.columns) * real(self.predicted) + imag(self.columns) * imag(self.predicted)

    @property
    def xp(self) -> ModuleType:
        """The array library of the columns."""
        return namespace(self.columns)


def at_poses(particles: Particles, model: Model, part: NDArray[np.int64], angles: Floats, shifts: Floats,
             space: FourierSpace, *, xp: ModuleType, budget: int) -> Iterator[Posed]:
    """Every particle before map ``part`` (N,) of the model, at its angles (N, 3), degrees, and shift (N, 2), Å, in
    blocks that fit ``budget`` bytes (about 64 · J for each image)."""
    known = np.zeros((len(particles), 2)) if particles.shifts is None else particles.shifts
    moved = replace(particles, shifts=known + shifts)
    size = int(max(min(budget // (64 * len(space.bins)), 4096), 1))
    for p in range(model.classes):
        maps = xp.asarray(model.maps[p : p + 1])
        for group in range(len(particles.optics)):
            mine = np.flatnonzero((particles.optics_group == group) & (part == p))
            for rows in (mine[first : first + size] for first in range(0, len(mine), size)):
                block = prepare(moved, rows, group, model.sigma2[group, space.bins], np.zeros((1, 2)), space, xp)
                columns = as_columns(block.b[:, 0, :], space, xp)
                rotations = euler_to_matrix(angles[rows])
                yield Posed(group, p, rows, rotations, columns, xp.broadcast_to(block.c, columns.shape),
                            space.project(maps, rotations)[0, ...], block.power)


def sums_at_poses(particles: Particles, model: Model, part: NDArray[np.int64], angles: Floats, shifts: Floats,
                  space: FourierSpace, *, xp: ModuleType, budget: int) -> tuple[Posterior, GridSums]:
    """What the expectation step gives when part, angles and shifts of each particle are not in doubt.

    log_evidence of the posterior holds the normalised cross-correlations.
    """
    count = len(particles)
    inserter = Inserter(space, model.classes, xp)
    sigma2 = model.sigma2[:, space.bins]
    squares, power = np.zeros(sigma2.shape), np.zeros(sigma2.shape)
    correlation = np.zeros(count)
    for posed in at_poses(particles, model, part, angles, shifts, space, xp=xp, budget=budget):
        inserter.add(posed.part, posed.columns, posed.weights, posed.rotations)
        squares[posed.group] += posed.misfit() * sigma2[posed.group]
        power[posed.group] += posed.power
        correlation[posed.rows] = posed.correlation()
    posterior = Posterior(correlation, np.eye(model.classes)[part], part, angles, shifts, np.ones(count),
                          *np.zeros((2, count)))
    sizes = np.bincount(particles.optics_group, minlength=len(particles.optics)).astype(np.float64)
    measured = residuals(squares, power, sizes, sigma2, posterior, space, MAXIMUM_CROSS_CORRELATION)
    return posterior, inserter.sums(measured[0], measured[1], float(np.sum(shifts**2)), measured[2])
