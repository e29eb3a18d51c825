"""The oracle: how well classes can be told apart by one who knows the true maps, poses and noise.

No classification of the same images can be expected to do better, so its answer stands beside every result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import library
from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.inference.blocks import as_columns, prepare
from cryoedu.inference.model import check_size
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.projection import PADDING
from cryoedu.microscope.slices import extract_each
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Particles

BLOCK = 256


def oracle(truth: Particles, specimens: Sequence[Specimen], sigma2: NDArray[np.float64],
           fractions: Sequence[float] | None = None) -> NDArray[np.float64]:
    """P(class | image, true pose) (N, K) of particles with their true angles and shifts.

    specimens: the K true maps on the scale of the images.  sigma2: (n//2 + 1,) or (G, n//2 + 1) true noise.
    fractions: true share of each class (default: equal).

    Raises InputError if poses are missing, or if maps, noise or fractions do not fit the particles.
    """
    if truth.angles is None:
        raise InputError("the oracle needs the true angles of the particles")
    maps = _maps(truth, specimens)
    space = FourierSpace(truth.box, specimens[0].ndim, truth.pixel_size, truth.box // 2)
    spectra, wanted = np.atleast_2d(np.asarray(sigma2, dtype=np.float64)), (len(truth.optics), space.bin_count)
    if spectra.shape not in ((1, wanted[1]), wanted) or not ((spectra > 0) & np.isfinite(spectra)).all():
        raise InputError(f"noise of shape {np.shape(sigma2)} from {np.min(sigma2, initial=np.inf):g} up does not fit "
                         f"{wanted[0]} optics groups with {wanted[1]} shells: give a positive σ² for each")
    noise = np.broadcast_to(spectra, wanted)[:, space.bins]
    share = np.ones(len(maps)) if fractions is None else np.asarray(fractions, dtype=np.float64)
    if share.shape != (len(maps),) or not (share >= 0).all() or not 0 < share.sum() < np.inf:
        raise InputError(f"fractions {fractions} do not fit {len(maps)} maps: give one number, 0 or more, for each")
    with np.errstate(divide="ignore"):  # a class that cannot occur
        prior = np.log(share / share.sum())
    scores = np.empty((len(truth), len(maps)))
    for group in range(len(truth.optics)):
        mine = np.flatnonzero(truth.optics_group == group)
        for first in range(0, len(mine), BLOCK):
            rows = mine[first : first + BLOCK]
            block = prepare(truth, rows, group, noise[group], np.zeros((1, 2)), space, library("numpy"))
            predicted = space.project(maps, euler_to_matrix(truth.angles[rows]))  # (K, N', J)
            numerator = as_columns(block.b[:, 0, :], space, np).astype(np.complex128)
            match = np.einsum("nj,knj->nk", numerator.conj()[:, 1:], predicted[:, :, 1:]).real
            energy = np.einsum("nj,knj->nk", np.broadcast_to(block.c, numerator.shape)[:, 1:].astype(np.float64),
                               np.abs(predicted[:, :, 1:]) ** 2)
            scores[rows] = match - 0.5 * energy + prior
    scores -= scores.max(axis=1, keepdims=True)
    weights = np.exp(scores)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def noise_of_residuals(truth: Particles, specimens: Sequence[Specimen]) -> NDArray[np.float64]:
    """σ² (G, n//2 + 1) of what the true maps at the true poses and classes leave of the images.

    At least a millionth of the images' own power, which is what float32 leaves of images without noise. Raises
    InputError if poses or classes are missing, or if the maps do not fit.
    """
    if truth.angles is None or truth.classes is None:
        raise InputError("the noise under the truth needs the true angles and classes of the particles")
    maps, classes = _maps(truth, specimens), truth.known_classes()
    if len(truth) and int(np.max(classes)) >= len(maps):
        raise InputError(f"there are particles of class {int(np.max(classes)) + 1}, but {len(maps)} true maps: "
                         "give one for each class")
    space = FourierSpace(truth.box, specimens[0].ndim, truth.pixel_size, truth.box // 2)
    bins = space.bin_count
    squares, counts = np.zeros((len(truth.optics), bins)), np.zeros((len(truth.optics), bins))
    half = space.sliceable(maps)
    for group in range(len(truth.optics)):
        mine = np.flatnonzero(truth.optics_group == group)
        for first in range(0, len(mine), BLOCK):
            rows = mine[first : first + BLOCK]
            block = prepare(truth, rows, group, np.ones(len(space.bins)), np.zeros((1, 2)), space, library("numpy"))
            numerator = as_columns(block.b[:, 0, :], space, np)
            predicted = extract_each(half, classes[rows], euler_to_matrix(truth.angles[rows]), space.parts.kx,
                                     space.parts.ky, PADDING)
            change = block.c * np.abs(predicted) ** 2 - 2 * (numerator.conj() * predicted).real
            left = np.maximum(block.power + np.sum(change, axis=0, dtype=np.float64), 1e-6 * block.power)
            squares[group] += np.bincount(space.bins, left, bins)
            counts[group] += np.bincount(space.bins, minlength=bins) * len(rows)
    measured = squares / np.maximum(2 * counts, 1)
    return np.where(counts > 0, measured, measured.max())


def _maps(truth: Particles, specimens: Sequence[Specimen]) -> NDArray[np.float32]:
    """The true maps (K, n, …), or InputError if they do not fit the particles or each other."""
    if not specimens:
        raise InputError("no specimens were given: give the true map of each class")
    for specimen in specimens:
        check_size(specimen.box, specimen.pixel_size, truth.box, truth.pixel_size, specimen.name)
        if specimen.ndim != specimens[0].ndim:
            raise InputError(f"{specimen.name} is {specimen.ndim}D, but {specimens[0].name} is {specimens[0].ndim}D: "
                             "give maps of one kind")
    return np.stack([s.density for s in specimens]).astype(np.float32)
