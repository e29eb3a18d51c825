"""How far maps are resolved, said by components that nothing was compared with.

Images of noise align to whatever they are compared with, and their average shows it. Its signal-to-noise ratio, which
comes from the images that were aligned, is that of a signal: 300 images of noise of 64 pixels in ten classes have an
SSNR above 1 up to shell 14, where the start had 3. There is no second half here to ask. But an image need not be
compared as a whole. A share of its components is left out in all of a run: they are not scored, nor are they in a map
that others are scored against. What maps predict of them is compared with them afterwards,

    gain_l = Σ Re X* CTF A / σ²  /  Σ |CTF A|² / σ²        over the free components of shell l

A: the slice of the map of an image's class at its pose. Of a signal of power S in a map of noise N the gain is
S / (S + N), the square of the FSC with the truth; if a prior has filtered the map by w, that over w. For noise its
numerator is a sum of independent numbers with the variance of the denominator, whatever the images were aligned to: at
`SURE` standard deviations it happens to 2 shells in 100. So a shell counts if FSC² is a quarter, which is an FSC of 0.5
with the truth (0.143 between halves), and that is not by chance, and so for all shells before it. The claim begins at
the shells that the start knows, which are compared as wholes.

It is cross-validation by Fourier components (Shaikh et al. 2003, J Struct Biol 142:301), as the free R of
crystallography (Brünger 1992, Nature 355:472). Poses that come from elsewhere may know all of the images: then nothing
is free.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import components, shellwise
from cryoedu.inference.blocks import absolute2, as_columns, prepare
from cryoedu.inference.loop import checked_radii
from cryoedu.inference.model import After, Floats, Model, Posterior, resolution_of
from cryoedu.inference.settings import EM, CrossFit
from cryoedu.inference.spaces import FourierSpace, FreeSpace
from cryoedu.microscope.projection import PADDING, reach, transform
from cryoedu.microscope.slices import extract
from cryoedu.particles.particles import Particles

QUARTER = 0.25  # FSC² with the truth
SURE = 2.0  # standard deviations
BLOCK = 2**22  # pixels of images that are looked at together


def free_share(free: float, after: After | None) -> float:
    """``free``, or 0 if what a run goes on from was compared with all components."""
    return free if after is None or "resolved_by_class" in after.state else 0.0


def shared_of(settings: EM | CrossFit, box: int) -> int:
    """The shells that are compared as wholes."""
    first = checked_radii(settings.radii, box)[0]
    return first if settings.shared is None else min(settings.shared, first)


def seeded_to(resolution: float, settings: EM | CrossFit, particles: Particles) -> float:
    """Å of the shells that seeds may be made from: ``resolution``, or those that are compared as wholes if fewer."""
    shell = shared_of(settings, particles.box)
    return max(resolution, resolution_of(shell, particles.box, particles.pixel_size)) if settings.free else resolution


def check_free(free: float, space: str, fixed: bool, shared: int, model: Model, *, start: bool) -> Model:
    """The model to begin with, which holds nothing that is to be free: of averages of the images, only the ``shared``
    shells. Raises InputError if no components can be left out.

    fixed: whether maps are given and kept.  start: nothing has been compared yet.
    """
    if not free:
        return model
    if not 0 < free < 0.5:
        raise InputError(f"free={free:g}: less than half of the components can be left out, and not less than none")
    if space != "fourier" or fixed:
        raise InputError("components can be left out in Fourier space, and of maps that are estimated: leave out free, "
                         "or 'maps' in fixed and space='real'")
    if not start:
        return model
    kept = np.arange(model.box // 2 + 1) <= shared
    maps = shellwise(model.maps, kept.astype(np.float64), model.ndim).astype(np.float32)
    return Model(maps, model.pixel_size, model.sigma2, model.tau2 * kept, model.class_weights, model.offset_sigma,
                 model.scales)


def measured(particles: Particles, posterior: Posterior, model: Model, filtered: Floats, space: FourierSpace,
         xp: ModuleType) -> dict[str, NDArray[np.float64]]:
    """What the free components say of the maps that a maximisation has made: (K,) ``resolved_by_class``, which begins
    at the shell ``shared``, and (K, n//2 + 1) ``free_fsc2``, the square of the FSC with the truth; nothing if none are
    free.

    posterior: of the expectation before it.  filtered: (K, n//2 + 1) by what the prior has multiplied the maps.
    """
    if not space.free:
        return {}
    overlap, energy = compared(particles, posterior, model, space, xp)
    fsc2 = filtered * overlap / np.maximum(energy, 1e-30)
    return {"resolved_by_class": resolved(overlap, energy, fsc2, space), "free_fsc2": fsc2,
            "shared": np.asarray(float(space.shared))}


def resolved(overlap: Floats, energy: Floats, fsc2: Floats, space: FourierSpace) -> NDArray[np.float64]:
    """The last shell (K,) that is resolved, as are all before it, from the sums of `compared` (K, n//2 + 1)."""
    shell = np.arange(fsc2.shape[1])
    holds = (fsc2 >= QUARTER) & (overlap >= SURE * np.sqrt(energy)) & (energy > 0)
    holds = (holds & (shell <= space.radius)) | (shell <= min(space.shared, space.radius))
    lost = np.concatenate([~holds, np.ones((len(holds), 1), dtype=bool)], axis=1)
    return np.argmax(lost, axis=1).astype(np.float64) - 1


def compared(particles: Particles, posterior: Posterior, model: Model, space: FourierSpace,
             xp: ModuleType) -> tuple[Floats, Floats]:
    """Σ Re X* CTF A / σ² and Σ |CTF A|² / σ² (K, n//2 + 1) of the free components of each shell, each particle at its
    most probable class and pose."""
    free = FreeSpace(space.box, space.ndim, space.pixel_size, space.radius, None, space.free, space.shared)
    parts, bins = free.parts, space.box // 2 + 1
    overlap, energy = np.zeros((2, model.classes, bins))
    if not len(parts):
        return overlap, energy
    most, rotations = reach(components(space.box, space.radius)), euler_to_matrix(posterior.angles)
    size = max(BLOCK // space.box**2, 1)

    def by_shell(columns: Array) -> Floats:
        total = to_numpy(xp.sum(columns, axis=0)).astype(np.float64)
        return np.bincount(parts.shell, total, bins).astype(np.float64)

    for k in range(model.classes):
        half = transform(xp.asarray(model.maps[k : k + 1]), most=most)
        for group in range(len(particles.optics)):
            mine = np.flatnonzero((particles.optics_group == group) & (posterior.classes == k))
            for first in range(0, len(mine), size):
                rows = mine[first : first + size]
                block = prepare(particles, rows, group, model.sigma2[group, free.bins], np.zeros((1, 2)), free, xp)
                x = free.recentred(as_columns(block.b[:, 0, :], free, xp), -posterior.shifts[rows])
                a = extract(half, rotations[rows], parts.kx, parts.ky, PADDING)[0, ...]
                overlap[k] += by_shell(xp.real(x) * xp.real(a) + xp.imag(x) * xp.imag(a))
                energy[k] += by_shell(absolute2(a, xp) * block.c)
    return overlap, energy
