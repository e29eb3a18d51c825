"""The jobs that a person names: align in 2D, classify in 2D, classify in 3D. Each is a start and the one loop.

Every class needs a start that differs from the others, but not by anyone's wish. As in ML3D (Scheres et al. 2007,
Nat Methods 4:27) the seeds are made from random subsets: each subset of the particles is aligned once against
the same reference, and its average is a seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import low_pass
from cryoedu.geometry.grids import LocalSearch, Search
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION
from cryoedu.inference.crossfit import MaskOf, cross_fit
from cryoedu.inference.loop import noise_power, refine, start_model
from cryoedu.inference.model import Iteration, Model, signal_power
from cryoedu.particles.particles import Particles

if TYPE_CHECKING:
    from cryoedu.inference.cluster import Workers


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


def classify3d_in_folds(particles: Particles, reference: NDArray[np.floating], classes: int,
                        search: Search | LocalSearch, *, seed: int, resolution: float = 60.0, folds: int = 5,
                        **options: Any) -> Iterator[Iteration]:
    """As `classify3d`, but each particle is scored against maps in which it has no part: by `cross_fit`.

    Further options are those of `cross_fit`. A mask that follows the map follows the reference first.
    """
    model = seeds_from_subsets(particles, reference, classes, search, seed=seed, resolution=resolution, **options)
    return cross_fit(particles, model, search, seed=seed, folds=folds, **{"perturb_seed": seed, **options})


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


def random_subsets(count: int, classes: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows of ``classes`` random subsets of equal size (give or take one), which share none and leave none out."""
    order = np.random.default_rng([seed, 0]).permutation(count)
    return [np.sort(part) for part in np.array_split(order, classes)]


def mean_image(particles: Particles, rows: NDArray[np.int64] | None = None, *,
               block: int = 2048) -> NDArray[np.float32]:
    """Average (n, n) of the particles (of ``rows``) as they are, read in blocks."""
    rows = np.arange(len(particles)) if rows is None else rows
    total = np.zeros((particles.box, particles.box))
    for first in range(0, len(rows), block):
        total += np.asarray(particles.images[rows[first : first + block]]).sum(axis=0, dtype=np.float64)
    return (total / max(len(rows), 1)).astype(np.float32)


def _enough(particles: Particles, classes: int) -> None:
    if not 1 <= classes <= len(particles):
        raise InputError(f"{classes} classes for {len(particles)} particles: ask for at least 1 and at most as many "
                         "classes as particles")
