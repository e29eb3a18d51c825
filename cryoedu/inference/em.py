"""Expectation and maximisation, turn about: refine, align in 2D, classify in 2D and in 3D.

Each of them is a start and the one loop.

Every class needs a start that differs from the others, but not by anyone's wish. As in ML3D (Scheres et al. 2007,
Nat Methods 4:27) the seeds are made from random subsets: each subset of the particles is aligned once against
the same reference, and its average is a seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import low_pass
from cryoedu.geometry.grids import LocalSearch, Search
from cryoedu.geometry.masks import check_mask
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
from cryoedu.inference.cluster import estep_on
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
from cryoedu.inference.model import After, Iteration, Model, Posterior, signal_power
from cryoedu.inference.mstep import maximisation
from cryoedu.inference.scales import estimated_scales, micrograph_groups, scaled
from cryoedu.inference.settings import EM, HERE, Compute, MaskOf, told, turned_by
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import mean_image, noise_power, random_subsets, start_model
from cryoedu.inference.sums import SliceSums, VolumeSums
from cryoedu.particles.particles import Particles


def refine(particles: Particles, model: Model, search: Search | LocalSearch, settings: EM = EM(), *,
           compute: Compute = HERE, after: After | None = None, tick: Tick = lambda share: None,
           **named: Any) -> Iterator[Iteration]:
    """Refine ``model`` against ``particles``, yielding an `Iteration` each time round.

    search: the hypotheses; 2D searches for (K, n, n) references, 3D searches for (K, n, n, n) maps, a local search
        around poses that are nearly known.
    settings, compute: what to do, and where; fields of `EM` and `Compute` may also be given by name.
    after: an iteration, or a checkpoint, to go on from as if it had not been stopped there; ``model`` is then that of
        the iteration.
    tick: called with the share (0 to 1) of an expectation step that is done.

    Raises InputError before the first iteration if particles, model, search and settings do not fit together, TypeError
    for a name that is no setting.
    """
    settings, compute = told(settings, compute, named)
    symmetry, fixed, adaptive = settings.symmetry, settings.fixed, settings.adaptive
    first = 1 if after is None else after.number + 1
    model = checked(particles, model if after is None else after.model, search, settings.space, fixed, start=first == 1)
    if settings.offset_sigma is not None:
        if not 0 < settings.offset_sigma < np.inf:
            raise InputError(f"an offset sigma of {settings.offset_sigma} Å is not possible: give a positive number")
        model, fixed = replace(model, offset_sigma=float(settings.offset_sigma)), {*fixed, "offset_sigma"}
    if first == 1:
        model = symmetric(model, search, symmetry)
    if settings.scale:
        micrograph_groups(particles)  # refuses particles without
    mask = None if settings.mask is None else check_mask(settings.mask, model.maps.shape[1:])
    radii = checked_radii(settings.radii, particles.box)
    free, shared = free_share(settings.free, after), shared_of(settings, particles.box)
    model = check_free(free, settings.space, "maps" in fixed, shared, model, start=first == 1)
    if settings.space != "fourier" and (adaptive is not None or isinstance(search, LocalSearch)):
        raise InputError("an adaptive search, or a local one, works in Fourier space: use space='fourier', or a whole "
                         "grid")
    if adaptive is not None and (settings.assignment is not MAXIMUM_LIKELIHOOD or isinstance(search, LocalSearch)):
        raise InputError("an adaptive search follows the posterior from a whole grid: leave it out, or use search_2d "
                         "or search_3d and MAXIMUM_LIKELIHOOD")

    def stage(number: int, state: State) -> Stage:
        grid = turned_grid(search, settings.perturb_seed, number, symmetry)
        return Stage(number, grid, turn_of(radii, number), adaptive, settings.scale, free=free, shared=shared)

    def update(found: Sequence[SliceSums | VolumeSums], posterior: Posterior, models: Sequence[Model], at: Stage,
               where: FourierSpace, state: State) -> Update:
        counts = posterior.class_probability.sum(axis=0)
        new, ssnr = maximisation(found[0], counts, models[0], at.search, where, settings.tau2_fudge, mask, fixed,
                                 settings.steps, compute.xp)
        if settings.scale:
            new = replace(new, scales=estimated_scales(scaled(particles, models[0].scales), posterior))
        filtered = np.ones_like(ssnr) if settings.tau2_fudge is None else np.where(ssnr > 0, ssnr / (1 + ssnr), 1.0)
        said = measured(scaled(particles, models[0].scales), posterior, new, filtered, where, compute.xp)
        return Update(new, ssnr, state=said, tau2_fudge=settings.tau2_fudge)

    return iterate([particles], [np.arange(len(particles))], [model], stage, update,
                   numbers=range(first, settings.iterations + 1), space_name=settings.space, tick=tick,
                   expect=estep_on(settings.assignment, compute))


def align2d(particles: Particles, search: Search, settings: EM = EM(), *,
            reference: NDArray[np.floating] | None = None, compute: Compute = HERE, after: After | None = None,
            tick: Tick = lambda share: None, **named: Any) -> Iterator[Iteration]:
    """Align particles in the plane against one reference (n, n), which is re-estimated each time round.

    reference: default is the average of the particles as they are.  All else is as in `refine`.
    """
    settings, compute = told(settings, compute, named)
    if after is None:
        start = mean_image(particles) if reference is None else np.asarray(reference)
        model = start_model(particles, start[None], space=settings.space)
    else:
        model = after.model
    return refine(particles, model, search, settings, compute=compute, after=after, tick=tick)


def classify2d(particles: Particles, classes: int, search: Search, settings: EM = EM(), *, seed: int,
               compute: Compute = HERE, after: After | None = None, tick: Tick = lambda share: None,
               **named: Any) -> Iterator[Iteration]:
    """Align and classify particles in 2D against ``classes`` references, seeded by averages of random subsets.

    The grid is perturbed from ``seed`` unless perturb_seed is given. All else is as in `refine`.
    """
    settings, compute = told(settings, compute, turned_by(seed, settings) | named)
    _enough(particles, classes)
    if after is None:
        maps = np.stack([mean_image(particles, rows) for rows in random_subsets(len(particles), classes, seed)])
        model = start_model(particles, maps, space=settings.space)
    else:
        model = after.model
    return refine(particles, model, search, settings, compute=compute, after=after, tick=tick)


def classify3d(particles: Particles, reference: NDArray[np.floating], classes: int, search: Search | LocalSearch,
               settings: EM = EM(), *, seed: int, resolution: float = 60.0, compute: Compute = HERE,
               after: After | None = None, tick: Tick = lambda share: None, **named: Any) -> Iterator[Iteration]:
    """Classify particles in 3D into ``classes`` maps, seeded from random subsets aligned once against ``reference``.

    reference: (n, n, n) on any grey scale, low-passed to ``resolution`` Å first, so that it cannot leave its detail
    behind.  The grid is perturbed from ``seed`` unless perturb_seed is given. All else is as in `refine`.
    """
    settings, compute = told(settings, compute, turned_by(seed, settings) | named)
    model = after.model if after is not None else seeds_from_subsets(
        particles, reference, classes, search, seed=seed, resolution=seeded_to(resolution, settings, particles),
        mask=settings.mask, symmetry=settings.symmetry, space=settings.space, compute=compute)
    return refine(particles, model, search, settings, compute=compute, after=after, tick=tick)


def seeds_from_subsets(particles: Particles, reference: NDArray[np.floating], classes: int,
                       search: Search | LocalSearch, *, seed: int, resolution: float = 60.0,
                       mask: NDArray[np.floating] | MaskOf | None = None, symmetry: str = "C1", space: str = "fourier",
                       compute: Compute = HERE, **named: Any) -> Model:
    """A model of K seeds: one turn of maxCC, which does not care for the reference's grey scale, for each subset.

    mask: (n, n, n), or a function that makes one from the low-passed reference (n, n, n).
    symmetry, space: as in `EM`.  compute: fields of `Compute` may also be given by name.
    """
    _enough(particles, classes)
    smooth = low_pass(np.asarray(reference)[None], particles.pixel_size, resolution)
    radius = max(round(particles.box * particles.pixel_size / resolution), 2)
    once, compute = told(EM(iterations=1, assignment=MAXIMUM_CROSS_CORRELATION, radii=[radius], fixed=("sigma2",),
                            mask=mask(smooth[0]) if callable(mask) else mask, symmetry=symmetry, space=space),
                         compute, named)
    sigma2 = noise_power(particles, space)
    maps = []
    for rows in random_subsets(len(particles), classes, seed):
        mine = particles.subset_of(rows)
        start = replace(start_model(mine, smooth, space=space), sigma2=sigma2)
        around = search.of(rows) if isinstance(search, LocalSearch) else search
        maps.append(next(refine(mine, start, around, once, compute=compute)).model.maps[0])
    seeds = np.stack(maps)
    return replace(start_model(particles, seeds, space=space), tau2=signal_power(seeds, radius), sigma2=sigma2)


def _enough(particles: Particles, classes: int) -> None:
    if not 1 <= classes <= len(particles):
        raise InputError(f"{classes} classes for {len(particles)} particles: ask for at least 1 and at most as many "
                         "classes as particles")
