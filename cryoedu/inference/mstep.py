"""The maximisation step: the model that the sums of an expectation step ask for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import to_numpy
from cryoedu.geometry.fourier import radial_mean
from cryoedu.geometry.grids import LocalSearch, Search
from cryoedu.inference.maximisation import signal_prior, solve
from cryoedu.inference.model import Floats, Model, signal_power
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.sums import SliceSums, VolumeSums


def maximisation(sums: SliceSums | VolumeSums, class_counts: Floats, model: Model, search: Search | LocalSearch,
                 space: FourierSpace, tau2_fudge: float | None, mask: NDArray[np.float32] | None,
                 fixed: Collection[str], steps: int, xp: ModuleType) -> tuple[Model, Floats]:
    """The model that the posterior asks for, and the maps' SSNR (K, n//2 + 1)."""
    equations = sums.equations(space)
    fudge = 1.0 if tau2_fudge is None else tau2_fudge
    ssnr = fudge * model.tau2 * radial_mean(to_numpy(equations.weight), space.box, space.ndim)
    new: dict[str, Any] = {}
    if "maps" not in fixed:
        prior = None if tau2_fudge is None else signal_prior(model.tau2, equations.weight, fudge)
        maps = solve(space, equations, prior, xp.asarray(model.maps), steps)
        new["maps"] = to_numpy(maps).astype(np.float32) * (np.float32(1.0) if mask is None else mask)
    if "tau2" not in fixed:
        new["tau2"] = signal_power(new.get("maps", model.maps), space.radius)
    return replace(model, **new, **other_parameters(sums, class_counts, model, search, space, fixed)), ssnr


def other_parameters(sums: SliceSums | VolumeSums, class_counts: Floats, model: Model, search: Search | LocalSearch,
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
