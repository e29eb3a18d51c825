"""The loop: expectation, maximisation, and again. Everything that refines or classifies is this iterator.

    for iteration in refine(particles, start, search_2d(5.0), iterations=20):
        print(iteration.number, iteration.log_likelihood)

A progress bar, a widget that steps, a checkpoint and a convergence test are all the same `for`; an interrupt
between two iterations loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import library, memory_budget, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, radial_mean
from cryoedu.geometry.grids import LocalSearch, Search, perturbed
from cryoedu.geometry.masks import check_mask
from cryoedu.geometry.symmetry import asymmetric_unit, symmetrise, symmetry_operators
from cryoedu.inference.adaptive import Adaptive, adaptive_expectation
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD, Assignment
from cryoedu.inference.expectation import Sums, Tick, expectation
from cryoedu.inference.gridsums import GridSums
from cryoedu.inference.local import local_expectation
from cryoedu.inference.maximisation import Equations, signal_prior, solve
from cryoedu.inference.model import Floats, Iteration, Model, Posterior, check_model, signal_power, start_power
from cryoedu.inference.scales import estimated_scales, micrograph_groups, scaled
from cryoedu.inference.spaces import FourierSpace, RealSpace
from cryoedu.particles.particles import Particles

if TYPE_CHECKING:
    from cryoedu.inference.cluster import Workers

State = Mapping[str, NDArray[Any]]
PARTS = ("maps", "sigma2", "tau2", "class_weights", "offset_sigma")
SPACES = {"fourier": FourierSpace, "real": RealSpace}
POWER_BLOCK = 2**18  # pixels of images that are transformed at a time for the first noise


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
        return Stage(number, grid, radii[min(number, len(radii)) - 1], adaptive, scale)

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


@dataclass(frozen=True)
class Stage:
    """What iteration ``number`` looks at: hypotheses, shells, how the hypotheses are searched, whether for contrast too
    (see `expectation`), and the shells that an adaptive or local search knows of the maps (see `FourierSpace`).
    """

    number: int
    search: Search | LocalSearch
    radius: int
    adaptive: Adaptive | None = None
    contrast: bool = False
    known: int | None = None


@dataclass(frozen=True)
class Update:
    """What an iteration makes of its sums: the model of all particles, its SSNR, the models of the parts (none: the
    one of all), and what else `Iteration` keeps."""

    model: Model
    ssnr: Floats
    parts: Sequence[Model] = ()
    state: State = field(default_factory=dict)
    fsc: Floats | None = None


Schedule = Callable[[int, State], Stage | None]
Part = tuple[Particles, NDArray[np.int64], Model]  # some of the particles, their rows, and what they are scored against
Found = tuple[Posterior, Sums | GridSums]
Expecter = Callable[[Particles, NDArray[np.int64], Model, Stage, FourierSpace, State, Tick], Found]
Expectation = Callable[[Sequence[Part], Stage, FourierSpace, State, Tick], Sequence[Found]]
Maximiser = Callable[[Sequence[Sums | GridSums], Posterior, Sequence[Model], Stage, FourierSpace, State], Update]


def iterate(parts: Sequence[Particles], rows: Sequence[NDArray[np.int64]], models: Sequence[Model], schedule: Schedule,
            update: Maximiser, *, expect: Expectation, numbers: range, space_name: str, tick: Tick,
            before: Model | None = None, state: State | None = None) -> Iterator[Iteration]:
    """The loop itself. The particles come in ``parts`` (their ``rows`` in the whole), each scored against a model of
    its own; ``update`` decides what sums go into which model. One part and its own sums are the EM of the lecture.

    schedule: what to look at in an iteration, given what the last one left in its ``state``; None ends the loop.
    expect: what the particles of each part say, and their sums (`looking` as a rule).
    before: model of all particles at the start, if there are several parts.
    """
    state = state or {}
    count = sum(len(part) for part in rows)
    before = models[0] if before is None else before
    for number in numbers:
        t0 = time.perf_counter()
        if (stage := schedule(number, state)) is None:
            return
        first = models[0]
        space = SPACES[space_name](first.box, first.ndim, first.pixel_size, stage.radius, stage.known)
        found = expect([(scaled(particles, model.scales), mine, model)
                        for particles, mine, model in zip(parts, rows, models, strict=True)], stage, space, state, tick)
        posterior = found[0][0] if len(parts) == 1 else joined([p for p, _ in found], rows, count)
        t1 = time.perf_counter()
        new = update([sums for _, sums in found], posterior, models, stage, space, state)
        seconds = {"expectation": t1 - t0, "maximisation": time.perf_counter() - t1}
        log_likelihood = float(sum(sums.log_likelihood for _, sums in found))
        yield Iteration(number, before, new.model, posterior, log_likelihood, stage.radius, new.ssnr, seconds,
                        new.parts, new.state, new.fsc)
        before, models, state = new.model, new.parts or [new.model], new.state


def joined(posteriors: Sequence[Posterior], rows: Sequence[NDArray[np.int64]], count: int) -> Posterior:
    """What is known of all ``count`` particles, from the posteriors of the parts that hold their ``rows``."""
    out = {}
    for name in (f.name for f in fields(Posterior)):
        values = [getattr(p, name) for p in posteriors]
        out[name] = np.empty((count, *values[0].shape[1:]), dtype=values[0].dtype)
        for mine, value in zip(rows, values, strict=True):
            out[name][mine] = value
    return Posterior(**out)


def turned_grid(search: Search | LocalSearch, seed: int | None, number: int,
                symmetry: str = "C1") -> Search | LocalSearch:
    """The hypotheses of iteration ``number``: turned a little, as a whole, unless ``seed`` is None, and then only those
    that ``symmetry`` leaves to search."""
    grid = search if seed is None else perturbed(search, np.random.default_rng([seed, number]))
    if len(symmetry_operators(symmetry)) == 1:
        return grid
    return replace(grid, symmetry=symmetry) if isinstance(grid, LocalSearch) else asymmetric_unit(grid, symmetry)


def symmetric(model: Model, search: Search | LocalSearch, symmetry: str) -> Model:
    """The model to start from, its maps symmetrised. Raises InputError for a search in the plane with a symmetry, and
    if there is no such point group."""
    if len(symmetry_operators(symmetry)) == 1:
        return model
    turned_grid(search, None, 1, symmetry)  # refuses one in the plane
    return replace(model, maps=np.stack([symmetrise(m, symmetry) for m in model.maps]))


def looking(assignment: Assignment, memory: str | int | None, array_library: str,
            cluster: Workers | None) -> Expectation:
    """The expectation step of `searched` for all parts: on the workers of a cluster, or here, one after the other."""
    if cluster is not None:
        from cryoedu.inference.cluster import on_workers

        return on_workers(cluster, assignment, memory, array_library)
    xp = library(array_library)
    return in_turn(searched(assignment, xp, memory_budget(memory, xp)))


def in_turn(expect: Expecter) -> Expectation:
    """``expect`` of one part after the other."""
    def each(parts: Sequence[Part], stage: Stage, space: FourierSpace, state: State, tick: Tick) -> list[Found]:
        def share_of(part: int) -> Tick:
            return lambda share: tick((part + share) / len(parts))

        return [expect(*part, stage, space, state, share_of(f)) for f, part in enumerate(parts)]

    return each


def searched(assignment: Assignment, xp: ModuleType, budget: int) -> Expecter:
    """The expectation step of one part as its `Stage` says: on all of a grid, from there to finer steps around what
    counts, or around known poses."""
    def expect(particles: Particles, rows: NDArray[np.int64], model: Model, stage: Stage, space: FourierSpace,
               state: State, tick: Tick) -> Found:
        if isinstance(stage.search, LocalSearch):
            return local_expectation(particles, model, stage.search.of(rows), space, assignment, xp=xp, budget=budget,
                                     tick=tick)
        if stage.adaptive is None:
            return expectation(particles, model, stage.search, space, assignment, xp=xp, budget=budget,
                               contrast=stage.contrast, tick=tick)
        return adaptive_expectation(particles, model, stage.search, stage.adaptive, space, xp=xp, budget=budget,
                                    tick=tick)

    return expect


def maximisation(sums: Sums | GridSums, class_counts: Floats, model: Model, search: Search | LocalSearch,
                 space: FourierSpace, tau2_fudge: float | None, mask: NDArray[np.float32] | None,
                 fixed: Collection[str], steps: int, xp: ModuleType) -> tuple[Model, Floats]:
    """The model that the posterior asks for, and the maps' SSNR (K, n//2 + 1)."""
    equations = equations_of(sums, space, search)
    fudge = 1.0 if tau2_fudge is None else tau2_fudge
    ssnr = fudge * model.tau2 * radial_mean(to_numpy(equations.weight), space.box, space.ndim)
    new: dict[str, Any] = {}
    if "maps" not in fixed:
        prior = None if tau2_fudge is None else signal_prior(model.tau2, equations.weight, fudge)
        maps = solve(space, equations, prior, xp.asarray(model.maps), steps)
        new["maps"] = to_numpy(maps).astype(np.float32) * (np.float32(1.0) if mask is None else mask)
    if "tau2" not in fixed:
        new["tau2"] = signal_power(new.get("maps", model.maps), space.radius)
    return replace(model, **new, **hidden_parts(sums, class_counts, model, search, space, fixed)), ssnr


def equations_of(sums: Sums | GridSums, space: FourierSpace, search: Search | LocalSearch) -> Equations:
    """The normal equations behind ``sums``."""
    if isinstance(sums, GridSums):
        return sums.equations(space)
    assert isinstance(search, Search)  # slices of a whole grid
    return sums.equations(space, search)


def on_grid(sums: Sums | GridSums, space: FourierSpace, search: Search | LocalSearch) -> GridSums:
    """The sums with their slices inserted, which can be added to those of other particles and taken off again."""
    if isinstance(sums, GridSums):
        return sums
    assert isinstance(search, Search)
    return sums.on_grid(space, search)


def hidden_parts(sums: Sums | GridSums, class_counts: Floats, model: Model, search: Search | LocalSearch,
                 space: FourierSpace, fixed: Collection[str]) -> dict[str, Any]:
    """The parts of the model that are not maps, re-estimated: noise, class weights and the spread of the shifts."""
    new: dict[str, Any] = {}
    if "sigma2" not in fixed:
        measured = sums.squares / np.maximum(space.unknowns * sums.counts, 1.0)
        new["sigma2"] = np.where(sums.counts > 0, np.maximum(measured, 1e-9 * measured.max()), model.sigma2)
    if "class_weights" not in fixed:
        new["class_weights"] = class_counts / class_counts.sum()
    if "offset_sigma" not in fixed and len(search.shifts) > 1:
        variance = sums.shift_square / (2 * class_counts.sum())
        new["offset_sigma"] = float(np.sqrt(max(variance, search.shift_step**2 / 12)))  # no finer than the grid
    return new


def opening(first: int, last: int, iterations: int) -> list[int]:
    """Radii that open evenly from shell ``first`` to ``last`` over ``iterations``."""
    return [int(r) for r in np.linspace(first, last, iterations).round()]


def noise_power(particles: Particles, space: str = "fourier", *, most: int = 2000) -> Floats:
    """A first σ² (G, bins): the power of the images of each optics group, signal included."""
    out = np.full((len(particles.optics), particles.box // 2 + 1 if space == "fourier" else 1), np.nan)
    for g in range(len(particles.optics)):
        of_group = np.flatnonzero(particles.optics_group == g)
        if len(of_group):
            out[g] = _power_of(particles, of_group[:: max(len(of_group) // most, 1)][:most], space)
    return np.where(np.isnan(out), np.nanmean(out, axis=0), out)


def _power_of(particles: Particles, rows: NDArray[np.int64], space: str) -> Floats:
    """Power (bins,) of these images, of which only some are in memory at a time."""
    size = max(POWER_BLOCK // particles.box**2, 1)
    blocks = (np.asarray(particles.images[rows[first : first + size]], dtype=np.float32)
              for first in range(0, len(rows), size))
    if space == "real":
        moments = [(x.sum(dtype=np.float64), np.square(x, dtype=np.float64).sum()) for x in blocks]
        mean, square = np.sum(moments, axis=0) / (len(rows) * particles.box**2)
        return np.asarray([square - mean**2])
    power = sum(np.sum(np.abs(fourier(x)) ** 2, axis=0, dtype=np.float64) for x in blocks)
    return 0.5 * radial_mean(np.asarray(power) / len(rows), particles.box, 2)


def start_model(particles: Particles, maps: NDArray[np.floating], *, space: str = "fourier",
                offset_sigma: float = 10.0) -> Model:
    """A model from maps alone: equal class weights, the images' power as the first noise, the maps' power as τ²."""
    maps = np.asarray(maps, dtype=np.float32)
    return Model(maps, particles.pixel_size, noise_power(particles, space), start_power(maps),
                 np.full(len(maps), 1.0 / len(maps)), offset_sigma)


def checked_radii(radii: Sequence[int] | None, box: int) -> list[int]:
    """Shells for each iteration, none beyond Nyquist; all of them if ``radii`` is None. Raises InputError below 1."""
    out = [min(int(r), box // 2) for r in radii] if radii else [box // 2]
    if min(out) < 1:
        raise InputError(f"radii {out[:5]}…: a radius of at least 1 shell is needed")
    return out


def checked(particles: Particles, model: Model, search: Search | LocalSearch, space: str, fixed: Collection[str], *,
            start: bool, few: bool = False) -> Model:
    """The model, once particles, model, search and options are known to fit together; else raises InputError.

    few: fewer particles than classes will do, because nothing is estimated from them.
    """
    check_model(model, particles.box, particles.pixel_size, start=start)
    if space not in SPACES:
        raise InputError(f"space {space!r} is unknown: choose 'fourier' or 'real'")
    if space == "real" and particles.ctf is not None:
        raise InputError("real space has no CTF: use space='fourier', or particles without defocus columns")
    if isinstance(search, LocalSearch) and len(search.rotations) != len(particles):
        raise InputError(f"the local search is around {len(search.rotations)} poses, but there are {len(particles)} "
                         "particles: give one pose for each")
    if (model.ndim == 2) != search.in_plane:
        raise InputError(f"a {'2D' if search.in_plane else '3D'} search does not fit {model.ndim}D references: use "
                         "search_2d for images and search_3d for maps")
    unknown = set(fixed) - set(PARTS)
    if unknown:
        raise InputError(f"fixed names {sorted(unknown)}, but the parts of a model are {', '.join(PARTS)}")
    if model.classes > len(particles) and not few:
        raise InputError(f"{model.classes} classes for {len(particles)} particles: ask for fewer classes than "
                         "particles")
    bins = SPACES[space](particles.box, model.ndim, model.pixel_size, 1).bin_count
    if model.sigma2.shape != (len(particles.optics), bins):
        raise InputError(f"sigma2 has shape {model.sigma2.shape}, but {len(particles.optics)} optics groups with "
                         f"{bins} bins are needed in {space} space: use start_model(…, space={space!r})")
    return model

