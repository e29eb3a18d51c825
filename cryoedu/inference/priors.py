"""What is known of a particle's shift and class before its image is looked at.

Of the shift a Gaussian around the known centre, unless rlnOriginXPriorAngst and rlnOriginYPriorAngst say around what
else: a refinement can then start from any shift and still hold to where the particle was picked.
"""

from __future__ import annotations

import numpy as np

from cryoedu.geometry.grids import Search
from cryoedu.inference.model import Floats, Model
from cryoedu.particles.particles import Particles

COLUMNS = ("rlnOriginXPriorAngst", "rlnOriginYPriorAngst")
UNKNOWN = 999.0  # what RELION writes where there is no prior
LEAST = -80.0  # log P of a class, so that it can come back


def prior_centres(particles: Particles) -> Floats | None:
    """Where the prior of each shift is centred (N, 2), Å from the known shift; None if at the known shift for all."""
    if not all(column in particles.extra for column in COLUMNS):
        return None
    origins = np.stack([np.asarray(particles.extra[column], dtype=np.float64) for column in COLUMNS], axis=1)
    known = np.zeros_like(origins) if particles.shifts is None else particles.shifts
    return np.where(np.isfinite(origins) & (np.abs(origins) < UNKNOWN), -origins - known, 0.0)


def distances2(shifts: Floats, centres: Floats) -> Floats:
    """|s - centre|² (N, S), Å², of shifts (S, 2) and centres (N, 2)."""
    return np.asarray(np.sum((shifts[None] - centres[:, None]) ** 2, axis=2))


def log_shift_prior(squares: Floats, sigma: float, among: Floats | None = None) -> Floats:
    """log P(s) (N, S) of shifts whose squared distances from the prior's centre are ``squares`` (N, S), Å², normalised
    over the shifts of each particle, or over those whose squared distances are ``among`` (N, S')."""
    value, every = (-x / (2 * max(sigma, 1e-3) ** 2) for x in (squares, squares if among is None else among))
    top = every.max(axis=1, keepdims=True)
    return np.asarray(value - top - np.log(np.sum(np.exp(every - top), axis=1, keepdims=True)))


def log_class_prior(weights: Floats) -> Floats:
    """log P(k) (K,) of class weights, none of which is too small to come back."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(weights), LEAST)


def log_priors(model: Model, search: Search) -> Floats:
    """log P(k, φ, s) (S, K): class weights, uniform orientations, Gaussian shifts, normalised over the grid."""
    classes = log_class_prior(model.class_weights)
    shifts = log_shift_prior(distances2(search.shifts, np.zeros((1, 2))), model.offset_sigma)[0]
    return np.asarray(shifts[:, None] + classes[None, :] - np.log(len(search.angles)))
