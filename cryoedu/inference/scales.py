"""The intensity scale of each micrograph: X = s · CTF · A + N.

Ice thickness and exposure differ from one micrograph to the next, and with them the contrast of all its particles.
With Γ, CTF and predictions A as they are, the expected log-likelihood is a parabola in s, with its top at

    s_m = Σ_i Σ_h Γ Re X* CTF A / σ²  /  Σ_i Σ_h Γ |CTF A|² / σ²        (sums over the particles i of micrograph m)

(Scheres et al. 2009, J Struct Biol 166:234; Scheres 2012, J Struct Biol 180:519). Scales and maps are known up to a
common factor: the mean of the scales over all particles is kept at 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.inference.model import Floats, Posterior
from cryoedu.particles.particles import Particles

COLUMNS = ("rlnGroupName", "rlnMicrographName")  # the first that is there tells the groups
FURTHEST = 5.0  # times the median or its part: a scale beyond that comes from particles that are none


def micrograph_groups(particles: Particles) -> tuple[list[str], NDArray[np.int64]]:
    """Names (M) of the micrograph groups, and the group (N,) of each particle, from rlnGroupName or rlnMicrographName.

    Raises InputError if the particles have neither column.
    """
    for column in COLUMNS:
        if column in particles.extra:
            names, group = np.unique(np.asarray(particles.extra[column]).astype(str), return_inverse=True)
            return names.tolist(), group.astype(np.int64).ravel()
    raise InputError(f"scales are those of micrographs, but the particles have no column {' and no '.join(COLUMNS)}: "
                     "add one, or leave the scales out")


def scaled(particles: Particles, scales: Floats) -> Particles:
    """The particles with the scale (M,) of each micrograph group as factor on their signal; none for an empty array.

    Raises InputError if there are other groups than scales.
    """
    if not len(scales):
        return particles
    names, group = micrograph_groups(particles)
    if len(names) != len(scales):
        raise InputError(f"the model has {len(scales)} scales, but the particles come from {len(names)} micrograph "
                         "groups: start from a model without scales")
    return replace(particles, scale=scales[group])


def estimated_scales(particles: Particles, posterior: Posterior) -> Floats:
    """The scales (M,) that a posterior asks for, with which ``particles`` had their scale (or 1) until now.

    A micrograph whose particles show nothing keeps scale 1; none is more than five times away from the median.
    """
    _, group = micrograph_groups(particles)
    before = np.ones(len(particles)) if particles.scale is None else particles.scale
    overlap = np.bincount(group, posterior.overlap / before)
    energy = np.bincount(group, posterior.energy / before**2)
    scales = np.where(energy > 0, overlap / np.maximum(energy, np.finfo(np.float64).tiny), 1.0)
    middle = np.median(scales[group])
    if not middle > 0:
        return np.ones(len(scales))
    scales = np.clip(scales, middle / FURTHEST, middle * FURTHEST)
    return np.asarray(scales / scales[group].mean())
