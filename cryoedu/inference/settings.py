"""What solvers are told: one frozen dataclass for each, and where they compute.

>>> refine(particles, model, search, EM(iterations=10, tau2_fudge=4), compute=Compute(memory="1 GB"))  # doctest: +SKIP
>>> refine(particles, model, search, iterations=10, tau2_fudge=4, memory="1 GB")  # doctest: +SKIP

Both say the same: fields may be given by their names, and a name that is no field is refused before anything starts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import library
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD, Assignment
from cryoedu.machine import memory_budget

if TYPE_CHECKING:
    from distributed import Client

Mask = NDArray[np.floating]
MaskOf = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # a mask (n, n, n) from a map
S = TypeVar("S")


@dataclass(frozen=True)
class Compute:
    """Where a solver computes; its results do not depend on that, but for rounding.

    memory: budget for blocks such as "1 GB" (default: half of what is free).
    array_library: "numpy", "cupy" or "auto".
    cluster: where the expectation runs, if not here: a Dask client, the address of a scheduler, or a number of workers
        to start on this machine (`cryoedu.inference.cluster`). ``memory`` is then that of each block under way there,
        and each worker decides for itself what "auto" means.
    """

    memory: str | int | None = None
    array_library: str = "auto"
    cluster: Client | str | int | None = None

    @cached_property
    def xp(self) -> ModuleType:
        """The array library. Raises InputError if it cannot be used here."""
        return library(self.array_library)

    @cached_property
    def budget(self) -> int:
        """Bytes that blocks may fill here."""
        return memory_budget(self.memory, self.xp)


HERE = Compute()


@dataclass(frozen=True)
class EM:
    """Expectation and maximisation, turn about.

    iterations: to the number of the last one.
    assignment: `MAXIMUM_LIKELIHOOD` or `MAXIMUM_CROSS_CORRELATION`.
    space: "fourier" (CTF, one noise spectrum per optics group) or "real" (no CTF, white noise).
    radii: shells used in iteration 1, 2, …; the last one holds for the rest (default: all). `opening` makes them.
    adaptive: follow what counts on the search to finer steps (maximum likelihood in Fourier space only); None keeps to
        the search.
    symmetry: point group of the maps, such as D7 (see `symmetry_operators`): of the views that it makes the same one
        is searched, and every image counts for all of them. The maps of the start are symmetrised, fixed ones too.
    scale: estimate the intensity of each micrograph group too (see `cryoedu.inference.scales`).
    offset_sigma: Å, spread of the shifts along x and y, which is then kept; None estimates it from that of the start.
        The shifts spread around the known ones, or around rlnOriginXPriorAngst and …Y… where particles have them.
    tau2_fudge: T of the regularised likelihood; None switches the prior off.
    mask: (n, …) from 0 to 1, multiplied into the maps, never into the images: the noise is estimated from whole
        images and stays unbiased.
    fixed: parameters that are not re-estimated, of `PARAMETERS`; {"maps", "tau2"} is supervised classification.
    perturb_seed: a seed turns the grid a little, as a whole, in each iteration; None keeps it.
    steps: conjugate-gradient steps in each maximisation.
    free: share, 0 to 1, of the components of each shell after ``shared`` that nothing is compared with, so that they
        tell how far the maps are resolved (`cryoedu.inference.free`); 0: nothing tells.
    shared: shells that the start knows, which are compared as wholes, and count as resolved without being asked
        (default: those of the first iteration).
    """

    iterations: int = 25
    assignment: Assignment = MAXIMUM_LIKELIHOOD
    space: str = "fourier"
    radii: Sequence[int] | None = None
    adaptive: Adaptive | None = None
    symmetry: str = "C1"
    scale: bool = False
    offset_sigma: float | None = None
    tau2_fudge: float | None = None
    mask: Mask | None = None
    fixed: Collection[str] = ()
    perturb_seed: int | None = None
    steps: int = 4
    free: float = 0.0
    shared: int | None = None


@dataclass(frozen=True)
class CrossFit:
    """Cross-fitted classification. There is no tau2_fudge: the held-out fold sets the filter.

    folds: each is scored against maps without it.
    mask: (n, n, n) from 0 to 1 on the maps, or a function that makes one from the map of all particles (n, n, n). The
        tighter it is, the less noise is in the differences.
    fixed: as in `EM`, but neither the maps nor τ², which the folds make anew.
    iterations, radii, adaptive, perturb_seed, symmetry, steps, free, shared: as in `EM`.
    """

    folds: int = 5
    iterations: int = 40
    radii: Sequence[int] | None = None
    adaptive: Adaptive | None = None
    mask: Mask | MaskOf | None = None
    fixed: Collection[str] = ()
    perturb_seed: int | None = None
    symmetry: str = "C1"
    steps: int = 2
    free: float = 0.0
    shared: int | None = None


@dataclass(frozen=True)
class Sampling:
    """When and how far orientations are searched more finely.

    finest: halvings of the grid's steps at most.  local_from: halvings from which only the neighbourhood of the last
    pose is searched, ``reach`` steps around it.  patience: iterations without progress before something changes.
    """

    finest: int = 4
    local_from: int = 3
    reach: int = 3
    patience: int = 2


STEADY = Sampling()


@dataclass(frozen=True)
class GoldStandard:
    """A map from two halves that never meet.

    initial_resolution: Å, to which the reference is low-passed, so that the halves share nothing finer.
    diameter: Å of the particle (default: 0.8 of the box), of the sphere that the maps are kept in.
    mask: (n, n, n) from 0 to 1 on the maps instead. The prior comes from the FSC within the mask or the sphere, freed
        of what that brings itself (`masked_fsc`). So does the ``fsc`` that is reported if there is a mask; without one
        it is that of the whole boxes, noise around the particle included, and errs downwards.
    join: Å; coarser than that the halves share their map.
    iterations: at most; the last one takes all shells.
    sampling: when orientations are searched more finely.
    symmetry, steps: as in `EM`.
    """

    initial_resolution: float = 60.0
    diameter: float | None = None
    mask: Mask | None = None
    join: float = 40.0
    iterations: int = 30
    sampling: Sampling = STEADY
    symmetry: str = "C1"
    steps: int = 3


@dataclass(frozen=True)
class GradientDescent:
    """Stochastic gradient descent.

    classes: maps to make.  iterations: batches to look at.
    batches: particles looked at in iteration 1, 2, …, the last for the rest (default: `growing` batches). All particles
        are looked at in the last iteration, so that each has a pose in the end.
    radii: shells used in iteration 1, 2, …, the last for the rest (default: open from 3 to 10 over all iterations).
    rate: share of the way to the best map for the batch that is gone in all; momentum: what part of it is left to later
        iterations, 0 to 1.
    tau2_fudge: T of the prior, None for none.
    mask: (n, n, n) from 0 to 1 on the maps (default: the sphere that fits the box).
    """

    classes: int = 1
    iterations: int = 200
    batches: Sequence[int] | None = None
    radii: Sequence[int] | None = None
    rate: float = 0.9
    momentum: float = 0.5
    tau2_fudge: float | None = None
    mask: Mask | None = None


@dataclass(frozen=True)
class HillClimbing:
    """Stochastic hill climbing.

    iterations: at most.
    radii: shells used in iteration 1, 2, …, the last for the rest (default: open from 3 to 10 over all iterations).
    tau2_fudge: T of the prior, None for none.  mask: (n, n, n) from 0 to 1 on the maps (default: the sphere that fits).
    few: it has converged once all searches and radii have been used and no larger share of the particles turns by more
        than a step of the grid.  steps: conjugate-gradient steps in each maximisation.
    greedy: each particle takes the best of all poses instead of the first better one, for comparison.
    """

    iterations: int = 60
    radii: Sequence[int] | None = None
    tau2_fudge: float | None = None
    mask: Mask | None = None
    few: float = 0.02
    steps: int = 2
    greedy: bool = False


def told(settings: S, compute: Compute, named: Mapping[str, Any]) -> tuple[S, Compute]:
    """``settings`` and ``compute`` with the fields of either that were given by name.

    Raises TypeError for a name that is a field of neither.
    """
    mine, where = ({field.name for field in fields(kind)} for kind in (settings, compute))  # type: ignore[arg-type]
    for name in named:
        if name not in mine | where:
            near = get_close_matches(name, mine | where, n=1)
            raise TypeError(f"{name!r} is no setting of {type(settings).__name__}: "
                            + (f"did you mean {near[0]!r}?" if near else f"choose of {', '.join(sorted(mine))}, and "
                                                                         f"{', '.join(sorted(where))}"))
    changed: S = replace(settings, **{n: v for n, v in named.items() if n in mine})  # type: ignore[type-var]
    if compute is HERE or named.keys() & where:  # what is everybody's does not remember how much memory was free once
        compute = replace(compute, **{n: v for n, v in named.items() if n in where})
    return changed, compute


def turned_by(seed: int, settings: EM | CrossFit) -> dict[str, Any]:
    """The seed that turns the grids, by name, where the settings have none."""
    return {"perturb_seed": seed} if settings.perturb_seed is None else {}
