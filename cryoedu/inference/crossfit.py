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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, library, namespace, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, radial_mean, shellwise
from cryoedu.geometry.grids import LocalSearch, Search
from cryoedu.geometry.masks import check_mask
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.cluster import looking
from cryoedu.inference.em import seeds_from_subsets
from cryoedu.inference.expectation import Sums, Tick
from cryoedu.inference.gridsums import GridSums
from cryoedu.inference.loop import Stage, State, Update, checked, checked_radii, iterate, symmetric, turned_grid
from cryoedu.inference.maximisation import Equations, solve, weak_prior
from cryoedu.inference.model import Floats, Iteration, Model, Posterior, signal_power
from cryoedu.inference.mstep import hidden_parts, on_grid
from cryoedu.inference.settings import MaskOf
from cryoedu.inference.spaces import FourierSpace
from cryoedu.particles.particles import Particles

if TYPE_CHECKING:
    from cryoedu.inference.cluster import Workers

FOCUS = 0.65  # of the resolution: the neighbourhood in which differences are compared


def cross_fit(particles: Particles, model: Model, search: Search | LocalSearch, *, seed: int, folds: int = 5,
              iterations: int = 40, radii: Sequence[int] | None = None, adaptive: Adaptive | None = None,
              mask: NDArray[np.floating] | MaskOf | None = None, fixed: Collection[str] = (),
              perturb_seed: int | None = None, symmetry: str = "C1", steps: int = 2, number_from: int = 1,
              parts: Sequence[Model] = (), memory: str | int | None = None, array_library: str = "auto",
              cluster: Workers | None = None, tick: Tick = lambda share: None) -> Iterator[Iteration]:
    """Classify ``particles`` from ``model``, yielding an `Iteration` each time round, as `refine` does.

    folds: number of parts, drawn from ``seed``; each is scored against maps without it.
    mask: (n, n, n) from 0 to 1 on the maps, or a function that makes one from the map of all particles (n, n, n). The
        tighter it is, the less noise is in the differences.
    parts: models of the folds, to go on from; with ``model`` and ``number_from``, as in `refine`.
    Other options are those of `refine`. There is no tau2_fudge: the held-out fold sets the filter.

    Raises InputError before the first iteration if something does not fit together.
    """
    if not 2 <= folds <= len(particles) // 2:
        raise InputError(f"{folds} folds of {len(particles)} particles: give at least 2, and at most one for every two "
                         "particles")
    if {"maps", "tau2"} & set(fixed):
        raise InputError("cross-fitting makes the maps of each fold anew, so that they cannot be fixed: leave 'maps' "
                         "and 'tau2' out of fixed, or use refine")
    xp = library(array_library)
    model = checked(particles, model, search, "fourier", fixed, start=number_from == 1)
    model = symmetric(model, search, symmetry) if number_from == 1 else model
    radii = checked_radii(radii, particles.box)
    mask_of = mask if callable(mask) else _always(mask, model)
    order = np.random.default_rng([seed, 1]).permutation(len(particles))
    rows = [np.sort(part) for part in np.array_split(order, folds)]

    def schedule(number: int, state: State) -> Stage:
        grid = turned_grid(search, perturb_seed, number, symmetry)
        return Stage(number, grid, radii[min(number, len(radii)) - 1], adaptive)

    def update(found: Sequence[Sums | GridSums], posterior: Posterior, models: Sequence[Model], at: Stage,
               space: FourierSpace, state: State) -> Update:
        sums = [on_grid(s, space, at.search) for s in found]
        counts = posterior.class_probability.sum(axis=0)
        least = max(1.0 - 2.0 * at.number / iterations, 0.0)
        return _update(sums, counts, models, at.search, space, mask_of, fixed, least, steps, xp)

    return iterate([particles.subset_of(mine) for mine in rows], rows, list(parts) or [model] * folds, schedule, update,
                   expect=looking(MAXIMUM_LIKELIHOOD, memory, array_library, cluster), space_name="fourier",
                   numbers=range(number_from, iterations + 1), tick=tick, before=model)


def classify3d_in_folds(particles: Particles, reference: NDArray[np.floating], classes: int,
                        search: Search | LocalSearch, *, seed: int, resolution: float = 60.0, folds: int = 5,
                        **options: Any) -> Iterator[Iteration]:
    """As `classify3d`, but each particle is scored against maps in which it has no part: by `cross_fit`.

    Further options are those of `cross_fit`. A mask that follows the map follows the reference first.
    """
    model = seeds_from_subsets(particles, reference, classes, search, seed=seed, resolution=resolution, **options)
    return cross_fit(particles, model, search, seed=seed, folds=folds, **{"perturb_seed": seed, **options})


def _always(mask: NDArray[np.floating] | None, model: Model) -> MaskOf:
    fixed = np.float32(1.0) if mask is None else check_mask(mask, model.maps.shape[1:])
    return lambda density: np.asarray(fixed, dtype=np.float32)


def _update(sums: Sequence[GridSums], counts: Floats, models: Sequence[Model], search: Search | LocalSearch,
            space: FourierSpace, mask_of: MaskOf, fixed: Collection[str], least: float, steps: int,
            xp: ModuleType) -> Update:
    total = reduce(add, sums)
    shared = hidden_parts(total, counts, models[0], search, space, fixed)
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


def separate(sums: GridSums, maps: Array, mask: Array, space: FourierSpace, steps: int) -> tuple[Array, Array]:
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
