"""Cross-fitted classification: no particle is scored against a map that holds its own noise.

In plain EM a particle's noise sits in the map of its class. It finds itself there again, and confirms the class that it
is in, whatever the truth. Where classes differ by little, this self-agreement is stronger than the signal. Here the
particles are split into folds. Each fold is scored against maps made without it: the sums of all less its own.

Two further steps make the posteriors honest. The maps of the classes share nearly everything, so what is estimated is
the map of all particles, and each class's difference from it. And the held-out fold says, shell by shell, how much of
a difference is real: with r = X - CTF A what the common map's slice A leaves of its images, and D that of the
difference,

    gain_l = Σ Γ Re r* CTF D / Σ Γ |CTF D|²      over the components of shell l

is one if the fold sees all of the difference, and zero if it is noise. It is the Wiener filter of the difference,
measured instead of assumed. The same is done in space: differences are often small in extent, so before that they are
multiplied, voxel by voxel, by what two halves of the folds agree on in its neighbourhood (`agreed`).

A difference that is filtered out cannot grow, and at the start none is confirmed; so both filters are held up at first,
and fall to what is measured over the first half of the iterations.

Cross-fitting is known from econometrics (Chernozhukov et al. 2018, Econom J 21:C1).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, namespace, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, radial_mean, shellwise
from cryoedu.geometry.grids import LocalSearch, Search
from cryoedu.geometry.masks import check_mask
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.cluster import estep_on
from cryoedu.inference.em import seeds_from_subsets
from cryoedu.inference.expectation import Tick
from cryoedu.inference.free import check_free, free_share, measured, seeded_to, shared_of
from cryoedu.inference.loop import (
    Stage,
    State,
    Update,
    checked,
    checked_radii,
    iterate,
    symmetric,
    turn_of,
    turned_grid,
)
from cryoedu.inference.maximisation import Equations, solve, weak_prior
from cryoedu.inference.model import After, Floats, Iteration, Model, Posterior, signal_power
from cryoedu.inference.mstep import other_parameters
from cryoedu.inference.settings import HERE, Compute, CrossFit, MaskOf, told, turned_by
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import random_folds
from cryoedu.inference.sums import SliceSums, VolumeSums
from cryoedu.particles.particles import Particles

FOCUS = 0.65  # of the resolution: the neighbourhood in which differences are compared


def cross_fit(particles: Particles, model: Model, search: Search | LocalSearch, settings: CrossFit = CrossFit(), *,
              seed: int, compute: Compute = HERE, after: After | None = None, tick: Tick = lambda share: None,
              **named: Any) -> Iterator[Iteration]:
    """Classify ``particles`` from ``model``, yielding an `Iteration` each time round, as `refine` does.

    seed: of the folds.
    settings, compute: what to do, and where; fields of `CrossFit` and `Compute` may also be given by name.
    after, tick: as in `refine`.

    Raises InputError before the first iteration if something does not fit together, TypeError for a name that is no
    setting.
    """
    settings, compute = told(settings, compute, named)
    folds, fixed, symmetry = settings.folds, settings.fixed, settings.symmetry
    if not 2 <= folds <= len(particles) // 2:
        raise InputError(f"{folds} folds of {len(particles)} particles: give at least 2, and at most one for every two "
                         "particles")
    if {"maps", "tau2"} & set(fixed):
        raise InputError("cross-fitting makes the maps of each fold anew, so that they cannot be fixed: leave 'maps' "
                         "and 'tau2' out of fixed, or use refine")
    model = checked(particles, model if after is None else after.model, search, "fourier", fixed, start=after is None)
    model = symmetric(model, search, symmetry) if after is None else model
    radii = checked_radii(settings.radii, particles.box)
    free, shared = free_share(settings.free, after), shared_of(settings, particles.box)
    model = check_free(free, "fourier", False, shared, model, start=after is None)
    mask_of = settings.mask if callable(settings.mask) else _always(settings.mask, model)
    rows = random_folds(particles, folds, [seed, 1])

    def schedule(number: int, state: State) -> Stage:
        grid = turned_grid(search, settings.perturb_seed, number, symmetry)
        return Stage(number, grid, turn_of(radii, number), settings.adaptive, free=free, shared=shared)

    def update(found: Sequence[SliceSums | VolumeSums], posterior: Posterior, models: Sequence[Model], at: Stage,
               space: FourierSpace, state: State) -> Update:
        sums = [s.on_grid(space) for s in found]
        counts = posterior.class_probability.sum(axis=0)
        least = max(1.0 - 2.0 * at.number / settings.iterations, 0.0)
        new = _update(sums, counts, models, at.search, space, mask_of, fixed, least, settings.steps, compute.xp)
        said = measured(particles, posterior, new.model, np.ones_like(new.ssnr), space, compute.xp)
        return replace(new, state={**new.state, **said})

    return iterate([particles.subset_of(mine) for mine in rows], rows,
                   [model] * folds if after is None else list(after.folds), schedule, update,
                   expect=estep_on(MAXIMUM_LIKELIHOOD, compute), space_name="fourier",
                   numbers=range(1 if after is None else after.number + 1, settings.iterations + 1), tick=tick,
                   before=model)


def classify3d_in_folds(particles: Particles, reference: NDArray[np.floating], classes: int,
                        search: Search | LocalSearch, settings: CrossFit = CrossFit(), *, seed: int,
                        resolution: float = 60.0, compute: Compute = HERE, after: After | None = None,
                        tick: Tick = lambda share: None, **named: Any) -> Iterator[Iteration]:
    """As `classify3d`, but each particle is scored against maps in which it has no part: by `cross_fit`.

    A mask that follows the map follows the reference first. All else is as in `cross_fit`.
    """
    settings, compute = told(settings, compute, turned_by(seed, settings) | named)
    model = after.model if after is not None else seeds_from_subsets(
        particles, reference, classes, search, seed=seed, resolution=seeded_to(resolution, settings, particles),
        mask=settings.mask, symmetry=settings.symmetry, compute=compute)
    return cross_fit(particles, model, search, settings, seed=seed, compute=compute, after=after, tick=tick)


def _always(mask: NDArray[np.floating] | None, model: Model) -> MaskOf:
    fixed = np.float32(1.0) if mask is None else check_mask(mask, model.maps.shape[1:])
    return lambda density: np.asarray(fixed, dtype=np.float32)


def _update(sums: Sequence[VolumeSums], counts: Floats, models: Sequence[Model], search: Search | LocalSearch,
            space: FourierSpace, mask_of: MaskOf, fixed: Collection[str], least: float, steps: int,
            xp: ModuleType) -> Update:
    total = reduce(add, sums)
    shared = other_parameters(total, counts, models[0], search, space, fixed)
    mean = np.mean([m.maps for m in models], axis=0, dtype=np.float32)
    mask = xp.asarray(mask_of(mean.mean(axis=0)))
    half, width = len(sums) // 2, FOCUS * space.box / space.radius
    first, second = (separate(reduce(add, some), xp.asarray(mean), mask, space, steps)[1] for some in (sums[:half],
                                                                                                 sums[half:]))
    focus = xp.asarray(np.maximum(agreed(to_numpy(first), to_numpy(second), width), least), dtype=mask.dtype)
    apart = []
    judged, weighed = np.zeros(space.box // 2 + 1), np.zeros(space.box // 2 + 1)
    for mine, model in zip(sums, models, strict=True):
        consensus, differences = separate(total - mine, xp.asarray(model.maps), mask, space, steps)
        differences = differences * focus
        over, under = confirmed(mine.equations(space), consensus, differences, space)
        judged, weighed = judged + over, weighed + under
        apart.append((consensus, differences))
    gain = np.clip(judged / np.maximum(weighed, 1e-30), least, 1.0)
    parts = []
    for (consensus, differences), model in zip(apart, models, strict=True):
        maps = to_numpy(consensus + shellwise(differences, gain, space.ndim)).astype(np.float32)
        parts.append(replace(model, maps=maps, tau2=signal_power(maps), **shared))
    consensus, differences = separate(total, xp.asarray(mean), mask, space, steps)
    maps = to_numpy(consensus + shellwise(differences * focus, gain, space.ndim)).astype(np.float32)
    tau2 = signal_power(maps)
    ssnr = tau2 * radial_mean(to_numpy(total.equations(space).weight), space.box, space.ndim)
    state = {"difference_gain": gain, "focus": to_numpy(focus)}
    return Update(replace(models[0], maps=maps, tau2=tau2, **shared), ssnr, parts, state)


def agreed(first: NDArray[np.floating], second: NDArray[np.floating], width: float) -> Floats:
    """What share (n, …), 0 to 1, of the differences ``first`` and ``second`` (K, n, …) is common to both at each voxel.

    It is their covariance over their mean power, both within a Gaussian of standard deviation ``width`` pixels: the
    Wiener filter of a signal that has this power there.
    """
    from scipy.ndimage import gaussian_filter

    common = gaussian_filter(np.sum(first * second, axis=0, dtype=np.float64), width)
    power = gaussian_filter(np.sum(first**2 + second**2, axis=0, dtype=np.float64) / 2, width)
    return np.clip(common / np.maximum(power, 1e-12 * power.max() + 1e-300), 0.0, 1.0)


def separate(sums: VolumeSums, maps: Array, mask: Array, space: FourierSpace, steps: int) -> tuple[Array, Array]:
    """The map of all particles (1, n, …) and each class's difference from it (K, n, …), within ``mask``.

    maps: (K, n, …), where the solution starts.
    """
    xp, whole = namespace(maps), sums.of_all_classes().equations(space)
    consensus = solve(space, whole, weak_prior(whole.weight), xp.mean(maps, axis=0, keepdims=True), steps) * mask
    each = sums.equations(space)
    base = maps * 0.0 + consensus
    left = Equations(each.gradient - each.curvature(base), each.weight, each.curvature)
    return consensus, solve(space, left, weak_prior(each.weight), maps - base, steps) * mask


def confirmed(held_out: Equations, consensus: Array, differences: Array, space: FourierSpace) -> tuple[Floats, Floats]:
    """Numerator and denominator (n//2 + 1,) of the gain of each shell: what particles that had no part in them find of
    the differences (K, n, …), and what they would find if all of it were real."""
    base = differences * 0.0 + consensus
    seen = held_out.gradient - held_out.curvature(base)
    f = fourier(differences, space.ndim)

    def along(other: Array) -> Floats:
        product = to_numpy(fourier(other, space.ndim)) * np.conj(to_numpy(f))
        return np.asarray(radial_mean(product.real, space.box, space.ndim).sum(axis=0))

    return along(seen), along(held_out.curvature(differences))
