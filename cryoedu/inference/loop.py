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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.grids import LocalSearch, Search, perturbed
from cryoedu.geometry.symmetry import asymmetric_unit, symmetrise, symmetry_operators
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.expectation import Tick
from cryoedu.inference.model import Floats, Iteration, Model, Posterior, check_model
from cryoedu.inference.scales import scaled
from cryoedu.inference.spaces import FourierSpace, RealSpace
from cryoedu.inference.sums import SliceSums, VolumeSums
from cryoedu.particles.particles import ISOTROPIC, Particles

if TYPE_CHECKING:
    pass

State = Mapping[str, NDArray[Any]]
PARAMETERS = ("maps", "sigma2", "tau2", "class_weights", "offset_sigma")
SPACES = {"fourier": FourierSpace, "real": RealSpace}


@dataclass(frozen=True)
class Stage:
    """What iteration ``number`` looks at: hypotheses, shells, how the hypotheses are searched, whether for contrast too
    (see `expectation`), the shells that an adaptive or local search knows of the maps, and the share of components that
    are left out after the shells that are ``shared`` (see `FourierSpace`).
    """

    number: int
    search: Search | LocalSearch
    radius: int
    adaptive: Adaptive | None = None
    contrast: bool = False
    known: int | None = None
    free: float = 0.0
    shared: int = 0


@dataclass(frozen=True)
class Update:
    """What an iteration makes of its sums: the model of all particles, its SSNR, the models of the folds (none: the
    one of all), and what else `Iteration` keeps."""

    model: Model
    ssnr: Floats
    folds: Sequence[Model] = ()
    state: State = field(default_factory=dict)
    fsc: Floats | None = None
    tau2_fudge: float | None = None


Schedule = Callable[[int, State], Stage | None]
Fold = tuple[Particles, NDArray[np.int64], Model]  # some of the particles, their rows, and what they are scored against
EStep = tuple[Posterior, SliceSums | VolumeSums]
Expecter = Callable[[Particles, NDArray[np.int64], Model, Stage, FourierSpace, State, Tick], EStep]
Expectation = Callable[[Sequence[Fold], Stage, FourierSpace, State, Tick], Sequence[EStep]]
Maximiser = Callable[[Sequence[SliceSums | VolumeSums], Posterior, Sequence[Model], Stage, FourierSpace, State], Update]


def iterate(folds: Sequence[Particles], rows: Sequence[NDArray[np.int64]], models: Sequence[Model], schedule: Schedule,
            update: Maximiser, *, expect: Expectation, numbers: range, space_name: str, tick: Tick,
            before: Model | None = None, state: State | None = None) -> Iterator[Iteration]:
    """The loop itself. The particles come in ``folds`` (their ``rows`` in the whole), each scored against a model of
    its own; ``update`` decides what sums go into which model. One fold and its own sums are the EM of the lecture.

    schedule: what to look at in an iteration, given what the last one left in its ``state``; None ends the loop.
    expect: what the particles of each fold say, and their sums (`estep_on` as a rule).
    before: model of all particles at the start, if there are several folds.
    """
    state = state or {}
    count = sum(len(fold) for fold in rows)
    before = models[0] if before is None else before
    for number in numbers:
        t0 = time.perf_counter()
        if (stage := schedule(number, state)) is None:
            return
        first = models[0]
        space = SPACES[space_name](first.box, first.ndim, first.pixel_size, stage.radius, stage.known, stage.free,
                                   stage.shared)
        found = expect([(scaled(particles, model.scales), mine, model)
                        for particles, mine, model in zip(folds, rows, models, strict=True)], stage, space, state, tick)
        posterior = found[0][0] if len(folds) == 1 else joined([p for p, _ in found], rows, count)
        t1 = time.perf_counter()
        new = update([sums for _, sums in found], posterior, models, stage, space, state)
        seconds = {"expectation": t1 - t0, "maximisation": time.perf_counter() - t1}
        log_likelihood = float(sum(sums.log_likelihood for _, sums in found))
        yield Iteration(number, before, new.model, posterior, log_likelihood, stage.radius, new.ssnr, seconds,
                        new.folds, new.state, new.fsc, new.tau2_fudge)
        before, models, state = new.model, new.folds or [new.model], new.state


def joined(posteriors: Sequence[Posterior], rows: Sequence[NDArray[np.int64]], count: int) -> Posterior:
    """What is known of all ``count`` particles, from the posteriors of the folds that hold their ``rows``."""
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


def turn_of(plan: Sequence[Any], number: int) -> Any:
    """What ``plan`` has for iteration ``number``, from 1; its last entry holds for the rest."""
    return plan[min(number, len(plan)) - 1]


def opening(first: int, last: int, iterations: int) -> list[int]:
    """Radii that open evenly from shell ``first`` to ``last`` over ``iterations``."""
    return [int(r) for r in np.linspace(first, last, iterations).round()]


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
    if space == "real" and any(any((*o.beam_tilt, *o.odd_zernike)) or o.magnification != ISOTROPIC
                               for o in particles.optics):
        raise InputError("real space has no aberrations: use space='fourier'")
    if isinstance(search, LocalSearch) and len(search.rotations) != len(particles):
        raise InputError(f"the local search is around {len(search.rotations)} poses, but there are {len(particles)} "
                         "particles: give one pose for each")
    if (model.ndim == 2) != search.in_plane:
        raise InputError(f"a {'2D' if search.in_plane else '3D'} search does not fit {model.ndim}D references: use "
                         "search_2d for images and search_3d for maps")
    unknown = set(fixed) - set(PARAMETERS)
    if unknown:
        raise InputError(f"fixed names {sorted(unknown)}, but the parameters of a model are {', '.join(PARAMETERS)}")
    if model.classes > len(particles) and not few:
        raise InputError(f"{model.classes} classes for {len(particles)} particles: ask for fewer classes than "
                         "particles")
    bins = SPACES[space](particles.box, model.ndim, model.pixel_size, 1).bin_count
    if model.sigma2.shape != (len(particles.optics), bins):
        raise InputError(f"sigma2 has shape {model.sigma2.shape}, but {len(particles.optics)} optics groups with "
                         f"{bins} bins are needed in {space} space: use start_model(…, space={space!r})")
    return model
