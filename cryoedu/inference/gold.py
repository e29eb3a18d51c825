"""Gold-standard refinement: two halves of the particles that never meet, and what they agree on.

Each half is refined against a map of its own (Scheres & Chen 2012, Nat Methods 9:853). Where the two maps correlate is
signal; noise that a half has fitted is not in the other. The correlation of each shell sets the prior, and with it the
filter of both maps,

    SSNR = FSC / (1 - FSC)        τ² = SSNR σ²_map        (FSC between 0.001 and 0.999; σ²_map: noise of a half's map)

as well as the shells that are used next, and how finely orientations are searched. Coarser than ``join`` Å the halves
share their map, so that they stay in one frame. When neither resolution nor poses get better, one more iteration takes
all shells, and the map of all particles is the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.fourier import low_pass, radial_mean, shellwise
from cryoedu.geometry.grids import Search, local_search
from cryoedu.geometry.masks import check_mask, soft_sphere
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.cluster import looking
from cryoedu.inference.expectation import Sums, Tick
from cryoedu.inference.gridsums import GridSums
from cryoedu.inference.loop import Stage, State, Update, checked, iterate, symmetric, turned_grid
from cryoedu.inference.maximisation import solve, weak_prior
from cryoedu.inference.model import After, Iteration, Model, Posterior, signal_power
from cryoedu.inference.mstep import hidden_parts, on_grid
from cryoedu.inference.settings import HERE, Compute, GoldStandard, Sampling, told
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import start_model
from cryoedu.particles.particles import Particles
from cryoedu.validation.fsc import fsc as correlate
from cryoedu.validation.masked import masked_fsc

MARGIN = 5  # shells beyond the resolution that are looked at next, so that it can grow
LEAST_FSC, MOST_FSC = 1e-3, 0.999


def gold_standard(particles: Particles, reference: NDArray[np.floating], search: Search,
                  settings: GoldStandard = GoldStandard(), *, seed: int, compute: Compute = HERE,
                  after: After | None = None, tick: Tick = lambda share: None, **named: Any) -> Iterator[Iteration]:
    """Refine a map against two independent halves of ``particles``, until nothing gets better.

    reference: (n, n, n), low-passed first.
    search: the coarsest grid; each iteration turns it a little, and follows what counts to finer steps.
    seed: of the halves, where the particles have none (rlnRandomSubset), and of the turns.
    settings, compute: what to do, and where; fields of `GoldStandard` and `Compute` may also be given by name.
    after, tick: as in `refine`.

    Each `Iteration` holds the map of all particles, the two halves' models in ``parts`` and their ``fsc``.
    Raises InputError before the first iteration if something does not fit together, TypeError for a name that is no
    setting.
    """
    settings, compute = told(settings, compute, named)
    diameter, mask, symmetry = settings.diameter, settings.mask, settings.symmetry
    initial_resolution, join, sampling, steps = (settings.initial_resolution, settings.join, settings.sampling,
                                                 settings.steps)
    xp, iterations = compute.xp, settings.iterations
    box, pixel_size = particles.box, particles.pixel_size
    diameter = 0.8 * box * pixel_size if diameter is None else diameter
    if not 0 < diameter <= box * pixel_size:
        raise InputError(f"a particle of {diameter:g} Å does not fit a box of {box} pixels of {pixel_size:g} Å: give a "
                         f"diameter between 0 and {box * pixel_size:g} Å")
    mask = None if mask is None else check_mask(mask, (box,) * 3)
    if after is None:
        smooth = low_pass(np.asarray(reference)[None], pixel_size, initial_resolution)
        model = checked(particles, start_model(particles, smooth), search, "fourier", (), start=True)
        model = symmetric(model, search, symmetry)
    else:
        model = after.model
    sphere = soft_sphere(box, pixel_size, min(diameter, (box - 6) * pixel_size))
    rows = halves_of(particles, seed)
    halves = [particles.subset_of(mine) for mine in rows]
    starts = ([start_model(half, model.maps) for half in halves]  # not even the first noise is shared
              if after is None else list(after.parts))
    first = min(max(round(box * pixel_size / initial_resolution), 3), box // 2 - 1)

    def schedule(number: int, before: State) -> Stage | None:
        return next_stage(number, before, search, sampling, first, box * pixel_size, diameter, seed, iterations,
                          symmetry)

    def update(found: Sequence[Sums | GridSums], posterior: Posterior, models: Sequence[Model], stage: Stage,
               space: FourierSpace, before: State) -> Update:
        sums = [on_grid(s, space, stage.search) for s in found]
        sizes = [len(mine) for mine in rows]
        new = _update(sums, sizes, models, stage, space, sphere, mask, int(box * pixel_size / join), steps, xp)
        return replace(new, state={**new.state, **_progress(new, posterior, stage, search, before)})

    return iterate(halves, rows, starts, schedule, update, expect=looking(MAXIMUM_LIKELIHOOD, compute),
                   numbers=range(1 if after is None else after.number + 1, iterations + 1), space_name="fourier",
                   tick=tick, before=model, state=None if after is None else after.state)


def halves_of(particles: Particles, seed: int) -> list[NDArray[np.int64]]:
    """Rows of the two halves: those of the particles, or random ones. Raises InputError if one of them is empty."""
    if particles.subset is None:
        order = np.random.default_rng([seed, 2]).permutation(len(particles))
        rows = [np.sort(part) for part in np.array_split(order, 2)]
    else:
        rows = [np.flatnonzero(particles.subset == half) for half in (1, 2)]
        if sum(map(len, rows)) < len(particles):
            raise InputError(f"rlnRandomSubset is neither 1 nor 2 for {len(particles) - sum(map(len, rows))} of the "
                             "particles: correct it, or remove the column for random halves")
    if min(map(len, rows)) < 1:
        raise InputError("one of the two halves has no particle: remove rlnRandomSubset for random halves, or give "
                         "more particles")
    return rows


def next_stage(number: int, before: State, search: Search, sampling: Sampling, first: int, length: float,
               diameter: float, seed: int, iterations: int, symmetry: str = "C1") -> Stage | None:
    """What to look at in iteration ``number``, from what the last ones reached; None when all is done.

    first: shells of the first iteration.  length: Å of the box.
    Orientations need no smaller steps than those that move the particle's edge by half the resolution.
    """
    grid = turned_grid(search, seed, number, symmetry)
    assert isinstance(grid, Search)
    if not before:
        return Stage(number, grid, first, Adaptive(levels=1, diameter=diameter))
    if before["finished"]:
        return None
    shells_so_far, halvings = before["resolved"], before["halvings"]
    level, since_best = int(halvings[-1]), len(shells_so_far) - 1 - int(np.argmax(shells_so_far))
    here = int(np.sum(halvings == level))
    enough = np.degrees(length / max(shells_so_far[-1], 1.0) / diameter)
    finer = level < sampling.finest and search.angular_step / 2**level > enough
    last = number == iterations
    if finer and since_best >= 1 and not last:
        level += 1
    elif since_best >= sampling.patience and here >= sampling.patience:
        last = True
    nyquist = int(before["nyquist"])
    radius = nyquist if last else int(min(shells_so_far[-1] + MARGIN, nyquist - 1))  # all shells mean the end
    if level < sampling.local_from:
        return Stage(number, grid, radius, Adaptive(levels=level, diameter=diameter))
    step, shift_step = search.angular_step / 2**level, search.shift_step / 2**level
    around = local_search(before["angles"], before["shifts"], angular_range=sampling.reach * step, angular_step=step,
                          shift_range=sampling.reach * shift_step, shift_step=shift_step)
    return Stage(number, turned_grid(around, seed, number, symmetry), radius)


def _progress(new: Update, posterior: Posterior, stage: Stage, search: Search, before: State) -> State:
    """What `next_stage` wants to know of the iterations so far."""
    resolved = new.state["resolved"]
    level = stage.adaptive.levels if stage.adaptive else round(np.log2(search.angular_step / stage.search.angular_step))
    nyquist = new.model.box // 2
    return {"resolved": np.append(before.get("resolved", []), resolved), "nyquist": np.asarray(nyquist),
            "halvings": np.append(before.get("halvings", []), level), "finished": np.asarray(stage.radius == nyquist),
            "angles": posterior.angles, "shifts": posterior.shifts}


def _update(sums: Sequence[GridSums], sizes: Sequence[int], models: Sequence[Model], stage: Stage, space: FourierSpace,
            sphere: NDArray[np.float32], mask: NDArray[np.float32] | None, joined: int, steps: int,
            xp: ModuleType) -> Update:
    box, soft = space.box, xp.asarray(sphere if mask is None else mask)
    equations = [s.equations(space) for s in sums]
    weights = [radial_mean(to_numpy(e.weight), box, 3) for e in equations]
    plain = [solve(space, e, weak_prior(e.weight), xp.asarray(m.maps), steps)
             for e, m in zip(equations, models, strict=True)]
    halves = [to_numpy(maps[0]) for maps in plain]
    one, two = halves
    within = masked_fsc(one, two, sphere if mask is None else mask, space.pixel_size).true
    fsc = within.copy() if mask is not None else correlate(one, two)
    fsc[space.radius + 1:], within[space.radius + 1:] = 0.0, 0.0  # nothing was looked at there
    safe = np.clip(within, LEAST_FSC, MOST_FSC)
    ssnr = safe / (1 - safe)
    tau2 = ssnr / np.maximum(np.mean(weights, axis=0)[0], 1e-30)
    prior = 1 / np.maximum(tau2, 1e-30)[None]
    filtered = [solve(space, e, prior, shellwise(maps, ssnr / (1 + ssnr), 3), 1) * soft
                for e, maps in zip(equations, plain, strict=True)]
    shared = (np.arange(box // 2 + 1) <= joined).astype(np.float64)
    low = shellwise((filtered[0] + filtered[1]) / 2, shared, 3)
    filtered = [shellwise(maps, 1 - shared, 3) + low for maps in filtered]
    parts = [replace(model, maps=(density := to_numpy(maps).astype(np.float32)), tau2=signal_power(density),
                     **hidden_parts(s, np.array([float(count)]), model, stage.search, space, ()))
             for model, maps, s, count in zip(models, filtered, sums, sizes, strict=True)]
    whole = (sums[0] + sums[1]).equations(space)
    gain = 2 * ssnr / (1 + 2 * ssnr)
    maps = to_numpy(solve(space, whole, prior, shellwise((plain[0] + plain[1]) / 2, gain, 3), steps) * soft)
    joint = replace(parts[0], maps=maps.astype(np.float32), tau2=tau2[None],
                    sigma2=np.mean([m.sigma2 for m in parts], axis=0),
                    offset_sigma=float(np.mean([m.offset_sigma for m in parts])))
    below = np.flatnonzero(within[1:] < 0.143)
    resolved = float(below[0] if len(below) else len(within) - 1)  # the last shell above the threshold
    return Update(joint, 2 * ssnr[None], parts, {"halves": np.stack(halves), "resolved": np.asarray(resolved)}, fsc)
