"""The whole posterior of a few particles, to be looked at.

An expectation step never holds images × shifts × hypotheses for more than a block; what it keeps of a particle is its
best hypothesis. Here the same visits are kept whole.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import library
from cryoedu.errors import InputError
from cryoedu.geometry.grids import Search
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD, Assignment
from cryoedu.inference.blocks import as_columns, prepare
from cryoedu.inference.expectation import BlockPosterior, block_posteriors
from cryoedu.inference.loop import SPACES, checked
from cryoedu.inference.model import Model
from cryoedu.inference.scales import scaled
from cryoedu.inference.spaces import FourierSpace
from cryoedu.machine import memory_budget
from cryoedu.particles.particles import Particles

# the scores as they are, for whoever weighs them
SCORES = replace(MAXIMUM_LIKELIHOOD, name="scores", weigh=lambda scores, evidence: scores,
                 settle=lambda scores: (scores, MAXIMUM_LIKELIHOOD.reduce(scores)))
MOST = 2**28  # numbers: a gigabyte


def whole_posterior(particles: Particles, model: Model, search: Search, *, radius: int | None = None,
                    assignment: Assignment = MAXIMUM_LIKELIHOOD, space: str = "fourier",
                    memory: str | int | None = None) -> NDArray[np.float32]:
    """Γ (N, K, O, S): the weight of every class, orientation and shift for each particle, which sum to 1.

    radius: shells that are compared (default: all).  assignment, space, memory: as in `refine`.
    Raises InputError if particles, model and search do not fit together, or make more than 2²⁸ numbers.
    """
    if len(particles) == 0:
        raise InputError("no particle was chosen: give the row of at least one")
    model = checked(particles, model, search, space, (), start=False, few=True)
    shape = (len(particles), model.classes, len(search.angles), len(search.shifts))
    if np.prod(shape, dtype=float) > MOST:
        raise InputError(f"{' × '.join(map(str, shape))} particles, classes, orientations and shifts are more than can "
                         "be looked at: choose fewer particles, or a coarser grid")
    return _laid_out(scaled(particles, model.scales), model, search, _space(model, space, radius), assignment,
                     memory_budget(memory, library("numpy")))


def log_scores(particles: Particles, model: Model, search: Search, *, radius: int | None = None,
               memory: str | int | None = None) -> NDArray[np.float64]:
    """log P(X_i|k,φ,s) + log P(φ,s) (N, K, H), less a constant of each image; H = orientations · shifts, shifts last.

    With log P(k) added, its softmax over K and H is the posterior Γ. The array takes 8·N·K·H bytes.

    radius: shells used (default: all).  Raises InputError if particles, model and search do not fit together.
    """
    model = checked(particles, model, search, "fourier", (), start=False, few=True)
    equal = replace(model, class_weights=np.ones(model.classes))  # log P(k) = 0: what is left is the prior of the place
    scores = _laid_out(scaled(particles, model.scales), equal, search, _space(model, "fourier", radius), SCORES,
                       memory_budget(memory, library("numpy")))
    return scores.reshape(len(particles), model.classes, -1).astype(np.float64)


def _space(model: Model, space: str, radius: int | None) -> FourierSpace:
    return SPACES[space](model.box, model.ndim, model.pixel_size, radius or model.box // 2)


def _laid_out(particles: Particles, model: Model, search: Search, space: FourierSpace, assignment: Assignment,
              budget: int) -> NDArray[np.float32]:
    """What ``assignment`` makes of every hypothesis for every particle (N, K, O, S)."""
    out = np.empty((len(particles), model.classes, len(search.angles), len(search.shifts)), dtype=np.float32)

    def of_lot(visit: BlockPosterior) -> tuple[NDArray[np.int64], slice, NDArray[np.float32]]:
        return visit.block.rows, visit.predicted.lot, visit.gamma

    for rows, lot, gamma in block_posteriors(particles, model, search, space, assignment, of_lot, xp=library("numpy"),
                                   budget=budget):
        images, shifts, _ = gamma.shape
        out[rows, :, lot] = gamma.reshape(images, shifts, model.classes, -1).transpose(0, 2, 3, 1)
    return out


def turned_back(particles: Particles, gamma: NDArray[np.floating], search: Search) -> NDArray[np.float32]:
    """What each image puts into the average of each class (N, K, n, n): turned and shifted back in every way of a
    search in the plane, each with its weight ``gamma`` (N, K, O, S), and added up.

    An image of which one hypothesis has all the weight comes back as it is, turned; one with a CTF multiplied by it.
    Raises InputError if the search is not in the plane.
    """
    if not search.in_plane:
        raise InputError("images are added up in the plane only: in 3D their average is the map itself")
    xp = library("numpy")
    space = FourierSpace(particles.box, 2, particles.pixel_size, particles.box // 2)
    out = np.empty((len(particles), gamma.shape[1], particles.box, particles.box), dtype=np.float32)
    for i in range(len(particles)):
        block = prepare(particles, np.array([i]), int(particles.optics_group[i]), np.ones(len(space.bins)),
                        search.shifts, space, xp)
        columns = as_columns(np.asarray(gamma[i], dtype=np.float32) @ block.b[0], space, xp)  # (K, O, J)
        columns[..., 0] /= 2  # DC has no conjugate that would be added too
        out[i] = space.backproject(columns, search.rotations) * (2 / particles.box**2)
    return out
