"""Expectation and maximisation, turn about: refine, align in 2D, classify in 2D and in 3D.

Each of them is a start and the one loop.

Every class needs a start that differs from the others, but not by anyone's wish. As in ML3D (Scheres et al. 2007,
Nat Methods 4:27) the seeds are made from random subsets: each subset of the particles is aligned once against
the same reference, and its average is a seed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import library
from cryoedu.errors import InputError
from cryoedu.geometry.fourier import low_pass
from cryoedu.geometry.grids import LocalSearch, Search
from cryoedu.geometry.masks import check_mask
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD, Assignment
from cryoedu.inference.cluster import looking
from cryoedu.inference.expectation import Sums, Tick
from cryoedu.inference.gridsums import GridSums
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
from cryoedu.inference.model import Iteration, Model, Posterior, signal_power
from cryoedu.inference.mstep import maximisation
from cryoedu.inference.scales import estimated_scales, micrograph_groups, scaled
from cryoedu.inference.settings import MaskOf
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import mean_image, noise_power, random_subsets, start_model
from cryoedu.particles.particles import Particles

if TYPE_CHECKING:
    from cryoedu.inference.cluster import Workers


def refine(particles: Particles, model: Model, search: Search | LocalSearch, *, iterations: int = 25,
           assignment: Assignment = MAXIMUM_LIKELIHOOD, space: str = "fourier", radii: Sequence[int] | None = None,
           adaptive: Adaptive | None = None, symmetry: str = "C1", scale: bool = False,
           offset_sigma: float | None = None, tau2_fudge: float | None = None,
           mask: NDArray[np.floating] | None = None, fixed: Collection[str] = (), perturb_seed: int | None = None,
           steps: int = 4, number_from: int = 1, memory: str | int | None = None, array_library: str = "auto",
           cluster: Workers | None = None, tick: Tick = lambda share: None) -> Iterator[Iteration]:
    """Refine ``model`` against ``particles``, yielding an `Iteration` each time round.

    search: the hypotheses; 2D searches for (K, n, n) references, 3D searches for (K, n, n, n) maps, a local search
        around poses that are nearly known.
    assignment: `MAXIMUM_LIKELIHOOD` or `MAXIMUM_CROSS_CORRELATION`.
    space: "fourier" (CTF, one noise spectrum per optics group) or "real" (no CTF, white noise).
    radii: shells used in iteration 1, 2, …; the last one holds for the rest (default: all). `opening` makes them.
    adaptive: follow what counts on ``search`` to finer steps (maximum likelihood in Fourier space only); None keeps to
        ``search``.
    symmetry: point group of the maps, such as D7 (see `symmetry_operators`): of the views that it makes the same one
        is searched, and every image counts for all of them. The maps of the start are symmetrised, fixed ones too.
    scale: estimate the intensity of each micrograph group too (see `cryoedu.inference.scales`).
    offset_sigma: Å, spread of the shifts along x and y, which is then kept; None estimates it from that of ``model``.
        The shifts spread around the known ones, or around rlnOriginXPriorAngst and …Y… where particles have them.
    tau2_fudge: T of the regularised likelihood; None switches the prior off.
    mask: (n, …) from 0 to 1, multiplied into the maps, never into the images: the noise is estimated from whole
        images and stays unbiased.
    fixed: parts of the model that are not re-estimated, of `PARTS`; {"maps", "tau2"} is supervised classification.
    perturb_seed: a seed turns the grid a little, as a whole, in each iteration; None keeps it.
    steps: conjugate-gradient steps in each maximisation.
    number_from: number of the first iteration: with the model after iteration n, n + 1 goes on where n ended, with the
        radii and the grids of an uninterrupted run.
    memory: budget for blocks such as "1 GB" (default: half of what is free).
    array_library: "numpy", "cupy" or "auto".
    cluster: where the expectation runs, if not here: a Dask client, the address of a scheduler, or a number of workers
        to start on this machine (`cryoedu.inference.cluster`). ``memory`` is then that of each block under way there.
    tick: called with the share (0 to 1) of an expectation step that is done.

    Raises InputError before the first iteration if particles, model, search and options do not fit together.
    """
    xp = library(array_library)
    model = checked(particles, model, search, space, fixed, start=number_from == 1)
    if offset_sigma is not None:
        if not 0 < offset_sigma < np.inf:
            raise InputError(f"an offset sigma of {offset_sigma} Å is not possible: give a positive number")
        model, fixed = replace(model, offset_sigma=float(offset_sigma)), {*fixed, "offset_sigma"}
    if number_from == 1:
        model = symmetric(model, search, symmetry)
    if scale:
        micrograph_groups(particles)  # refuses particles without
    mask = None if mask is None else check_mask(mask, model.maps.shape[1:])
    radii = checked_radii(radii, particles.box)
    if space != "fourier" and (adaptive is not None or isinstance(search, LocalSearch)):
        raise InputError("an adaptive search, or a local one, works in Fourier space: use space='fourier', or a whole "
                         "grid")
    if adaptive is not None and (assignment is not MAXIMUM_LIKELIHOOD or isinstance(search, LocalSearch)):
        raise InputError("an adaptive search follows the posterior from a whole grid: leave it out, or use search_2d "
                         "or search_3d and MAXIMUM_LIKELIHOOD")

    def stage(number: int, state: State) -> Stage:
        grid = turned_grid(search, perturb_seed, number, symmetry)
        return Stage(number, grid, turn_of(radii, number), adaptive, scale)

    def update(found: Sequence[Sums | GridSums], posterior: Posterior, models: Sequence[Model], at: Stage,
               where: FourierSpace, state: State) -> Update:
        counts = posterior.class_probability.sum(axis=0)
        after, ssnr = maximisation(found[0], counts, models[0], at.search, where, tau2_fudge, mask, fixed, steps, xp)
        if scale:
            after = replace(after, scales=estimated_scales(scaled(particles, models[0].scales), posterior))
        return Update(after, ssnr)

    return iterate([particles], [np.arange(len(particles))], [model], stage, update,
                   numbers=range(number_from, iterations + 1), space_name=space, tick=tick,
                   expect=looking(assignment, memory, array_library, cluster))


def align2d(particles: Particles, search: Search, *, reference: NDArray[np.floating] | None = None,
            space: str = "fourier", **options: Any) -> Iterator[Iteration]:
    """Align particles in the plane against one reference (n, n), which is re-estimated each time round.

    reference: default is the average of the particles as they are.  Further options are those of `refine`.
    """
    start = mean_image(particles) if reference is None else np.asarray(reference)
    return refine(particles, start_model(particles, start[None], space=space), search, space=space, **options)


def classify2d(particles: Particles, classes: int, search: Search, *, seed: int, space: str = "fourier",
               **options: Any) -> Iterator[Iteration]:
    """Align and classify particles in 2D against ``classes`` references, seeded by averages of random subsets.

    Further options are those of `refine`; the grid is perturbed from ``seed`` unless perturb_seed is given.
    """
    _enough(particles, classes)
    subsets = random_subsets(len(particles), classes, seed)
    maps = np.stack([mean_image(particles, rows) for rows in subsets])
    model = start_model(particles, maps, space=space)
    return refine(particles, model, search, space=space, **{"perturb_seed": seed, **options})


def classify3d(particles: Particles, reference: NDArray[np.floating], classes: int, search: Search | LocalSearch, *,
               seed: int, resolution: float = 60.0, **options: Any) -> Iterator[Iteration]:
    """Classify particles in 3D into ``classes`` maps, seeded from random subsets aligned once against ``reference``.

    reference: (n, n, n) on any grey scale, low-passed to ``resolution`` Å first, so that it cannot leave its detail
    behind.  Further options are those of `refine`.
    """
    model = seeds_from_subsets(particles, reference, classes, search, seed=seed, resolution=resolution, **options)
    return refine(particles, model, search, **{"perturb_seed": seed, **options})


def seeds_from_subsets(particles: Particles, reference: NDArray[np.floating], classes: int,
                       search: Search | LocalSearch, *, seed: int, resolution: float = 60.0,
                       memory: str | int | None = None, array_library: str = "auto", cluster: Workers | None = None,
                       mask: NDArray[np.floating] | MaskOf | None = None, symmetry: str = "C1",
                       **_options: Any) -> Model:
    """A model of K seeds: one turn of maxCC, which does not care for the reference's grey scale, for each subset.

    mask: (n, n, n), or a function that makes one from the low-passed reference (n, n, n).
    """
    _enough(particles, classes)
    smooth = low_pass(np.asarray(reference)[None], particles.pixel_size, resolution)
    mask = mask(smooth[0]) if callable(mask) else mask
    radius = max(round(particles.box * particles.pixel_size / resolution), 2)
    sigma2 = noise_power(particles)
    maps = []
    for rows in random_subsets(len(particles), classes, seed):
        mine = particles.subset_of(rows)
        start = replace(start_model(mine, smooth), sigma2=sigma2)
        around = search.of(rows) if isinstance(search, LocalSearch) else search
        turn = next(refine(mine, start, around, iterations=1, assignment=MAXIMUM_CROSS_CORRELATION, radii=[radius],
                           fixed=("sigma2",), mask=mask, symmetry=symmetry, memory=memory, array_library=array_library,
                           cluster=cluster))
        maps.append(turn.model.maps[0])
    seeds = np.stack(maps)
    return replace(start_model(particles, seeds), tau2=signal_power(seeds, radius), sigma2=sigma2)


def _enough(particles: Particles, classes: int) -> None:
    if not 1 <= classes <= len(particles):
        raise InputError(f"{classes} classes for {len(particles)} particles: ask for at least 1 and at most as many "
                         "classes as particles")
