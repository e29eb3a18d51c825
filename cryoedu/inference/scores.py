"""Every score of a few particles in the open, as an array: for those who want to see them, or to weigh them themselves.

`cryoedu.inference.expectation` computes the same ones for many particles, block by block, and keeps only what they sum
to.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import library
from cryoedu.geometry.grids import Search
from cryoedu.inference.blocks import as_columns, prepare
from cryoedu.inference.expectation import log_priors
from cryoedu.inference.loop import checked
from cryoedu.inference.model import Model
from cryoedu.inference.spaces import FourierSpace
from cryoedu.particles.particles import Particles


def log_scores(particles: Particles, model: Model, search: Search, *,
               radius: int | None = None) -> NDArray[np.float64]:
    """log P(X_i|k,φ,s) + log P(φ,s) (N, K, H), less a constant of each image; H = orientations · shifts, shifts last.

    With log P(k) added, its softmax over K and H is the posterior Γ. The array takes 8·N·K·H bytes, its predictions
    16 bytes for each map, orientation and Fourier component.

    radius: shells used (default: all).  Raises InputError if particles, model and search do not fit together.
    """
    model = checked(particles, model, search, "fourier", (), start=False, few=True)
    space = FourierSpace(model.box, model.ndim, model.pixel_size, model.box // 2 if radius is None else radius)
    scored = slice(space.unscored, None)
    predicted = np.asarray(space.project(model.maps, search.rotations))[..., scored].reshape(-1, len(space.bins) - 1)
    orientations, shifts = len(search.angles), len(search.shifts)
    found = np.empty((len(particles), model.classes, orientations, shifts))
    for group in range(len(particles.optics)):
        rows = np.flatnonzero(particles.optics_group == group)
        block = prepare(particles, rows, group, model.sigma2[group, space.bins], search.shifts, space, library("numpy"))
        images = as_columns(block.b, space, np)[..., scored]
        match = (images.conj() @ predicted.T).real.reshape(len(rows), shifts, model.classes, orientations)
        energy = (block.c[:, scored] @ (np.abs(predicted) ** 2).T).reshape(-1, model.classes, orientations, 1)
        found[rows] = np.moveaxis(match, 1, 3) - 0.5 * energy
    equal = replace(model, class_weights=np.ones(model.classes))  # log P(k) = 0: what is left is the prior of the place
    found += log_priors(equal, search).T[None, :, None, :]
    return found.reshape(len(particles), model.classes, -1)
