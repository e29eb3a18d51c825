"""Gold-standard refinement: two halves of the particles that never meet, and what they agree on.

Each half is refined against a map of its own (Scheres & Chen 2012, Nat Methods 9:853). Where the two maps correlate is
signal; noise that a half has fitted is not in the other. The correlation of each shell sets the prior, and with it the
filter of both maps,

    SSNR = FSC / (1 - FSC)        τ² = SSNR σ²_map        (FSC between 0.001 and 0.999; σ²_map: noise of a half's map)

as well as the shells that are used next, and how finely orientations are searched. Coarser than ``join`` Å the halves
share their map, so that they stay in one frame. When neither resolution nor poses get better, one more iteration takes
all shells, and the map of all particles is the result.

Images of noise align to whatever they are compared with, and two halves that are compared with the same thing find it
twice. So a shell counts only by what its own images say of it:

- Each half's map is solved from zero. The last maps go back to one reference.
- Images are scored up to the last shell that was measured (`Stage.known`): from there on the halves agree by chance, if
  they do. A map that fills its box does not end where its filter does: strong low shells, which the halves share, would
  stand in the predictions of the next ones.
- From there on the FSC is that of maps from the components beyond it (`VolumeSums.beyond`). Where few slices meet, a
  map carries low shells into high ones, alike in both halves.
- A shell is resolved if it and all before it agree, and that cannot be by chance (`resolved_shells`). This is asked
  anew in each iteration, so that a claim can be taken back. What agrees less than that, but more than by chance, is no
  claim, and yet signal: maps keep it, held back by the prior. What may be chance is left out of the maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.fourier import low_pass, radial_mean, shellwise
from cryoedu.geometry.grids import Search, local_search
from cryoedu.geometry.masks import check_mask, soft_sphere
from cryoedu.geometry.symmetry import symmetry_operators
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.cluster import estep_on
from cryoedu.inference.expectation import Tick
from cryoedu.inference.loop import Stage, State, Update, checked, iterate, symmetric, turned_grid
from cryoedu.inference.maximisation import Equations, signal_from_fsc, solve, weak_prior
from cryoedu.inference.model import After, Iteration, Model, Posterior, signal_power
from cryoedu.inference.mstep import other_parameters
from cryoedu.inference.settings import HERE, Compute, GoldStandard, Sampling, told
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.start import random_folds, start_model
from cryoedu.inference.sums import SliceSums, VolumeSums
from cryoedu.particles.particles import Particles
from cryoedu.particles.resampling import image_numbers
from cryoedu.validation.fsc import fsc as correlate
from cryoedu.validation.masked import masked_fsc
from cryoedu.validation.resolved import by_chance, resolved_shells

MARGIN = 5  # shells beyond the resolution that are looked at next, so that it can grow
LEAST_FSC, MOST_FSC = 1e-3, 0.999
FROM_NOTHING = 10  # conjugate-gradient steps to a half's map from zero


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
              if after is None else list(after.folds))
    first = min(max(round(box * pixel_size / initial_resolution), 3), box // 2 - 1)
    mates = len(symmetry_operators(symmetry))

    def schedule(number: int, before: State) -> Stage | None:
        return next_stage(number, before, search, sampling, first, box * pixel_size, diameter, seed, iterations,
                          symmetry)

    def update(found: Sequence[SliceSums | VolumeSums], posterior: Posterior, models: Sequence[Model], stage: Stage,
               space: FourierSpace, before: State) -> Update:
        sums = [s.on_grid(space) for s in found]
        sizes = [len(mine) for mine in rows]
        new = _update(sums, sizes, models, stage, space, sphere, mask, int(box * pixel_size / join), mates, steps, xp)
        return replace(new, state={**new.state, **_progress(new, posterior, stage, search, before)})

    return iterate(halves, rows, starts, schedule, update, expect=estep_on(MAXIMUM_LIKELIHOOD, compute),
                   numbers=range(1 if after is None else after.number + 1, iterations + 1), space_name="fourier",
                   tick=tick, before=model, state=None if after is None else after.state)


def halves_of(particles: Particles, seed: int) -> list[NDArray[np.int64]]:
    """Rows of the two halves: those of the particles, or random ones. Raises InputError if one of them is empty."""
    if particles.subset is None:
        rows = random_folds(particles, 2, [seed, 2])
    else:
        rows = [np.flatnonzero(particles.subset == half) for half in (1, 2)]
        if sum(map(len, rows)) < len(particles):
            raise InputError(f"rlnRandomSubset is neither 1 nor 2 for {len(particles) - sum(map(len, rows))} of the "
                             "particles: correct it, or remove the column for random halves")
        number = image_numbers(particles.images)
        if len(both := np.flatnonzero(np.isin(number[rows[1]], number[rows[0]]))):
            raise InputError(f"row {rows[1][both[0]] + 1} is in another half than another row of the same image, and "
                             "halves have to be independent: remove rlnRandomSubset for random ones")
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
    known = int(before.get("measured", shells_so_far[-1:])[-1])  # checkpoints of old have none
    if level < sampling.local_from:
        return Stage(number, grid, radius, Adaptive(levels=level, diameter=diameter), known=known)
    step, shift_step = search.angular_step / 2**level, search.shift_step / 2**level
    around = local_search(before["angles"], before["shifts"], angular_range=sampling.reach * step, angular_step=step,
                          shift_range=sampling.reach * shift_step, shift_step=shift_step)
    return Stage(number, turned_grid(around, seed, number, symmetry), radius, known=known)


def _progress(new: Update, posterior: Posterior, stage: Stage, search: Search, before: State) -> State:
    """What `next_stage` wants to know of the iterations so far."""
    resolved = new.state["resolved"]
    level = stage.adaptive.levels if stage.adaptive else round(np.log2(search.angular_step / stage.search.angular_step))
    nyquist = new.model.box // 2
    return {"resolved": np.append(before.get("resolved", []), resolved),
            "measured": np.atleast_1d(new.state["measured"]), "nyquist": np.asarray(nyquist),
            "halvings": np.append(before.get("halvings", []), level), "finished": np.asarray(stage.radius == nyquist),
            "angles": posterior.angles, "shifts": posterior.shifts}


def _update(sums: Sequence[VolumeSums], sizes: Sequence[int], models: Sequence[Model], stage: Stage,
            space: FourierSpace, sphere: NDArray[np.float32], mask: NDArray[np.float32] | None, joined: int, mates: int,
            steps: int, xp: ModuleType) -> Update:
    box, inside = space.box, sphere if mask is None else mask
    soft, shell = xp.asarray(inside), np.arange(space.box // 2 + 1)
    equations = [s.equations(space) for s in sums]
    weight = np.mean([radial_mean(to_numpy(e.weight), box, 3)[0] for e in equations], axis=0)

    def compared(maps: Sequence[Array]) -> NDArray[np.float64]:
        one, two = (to_numpy(m[0]) for m in maps)
        within = masked_fsc(one, two, inside, space.pixel_size).true
        chance = by_chance(one, two, np.where(shell <= space.radius, weight, 0.0), mask=inside, mates=mates)
        return np.stack([correlate(one, two) if mask is None else within, within, chance])

    plain = [_unfiltered(e, space, xp) for e in equations]
    curves = compared(plain)
    if stage.known is not None and stage.known < space.radius:
        apart = compared([_unfiltered(s.beyond(stage.known).equations(space), space, xp) for s in sums])
        curves = np.where(shell <= stage.known, curves, apart)
    fsc, within, chance = np.where(shell <= space.radius, curves, [[0.0], [0.0], [1.0]])  # nothing was looked at beyond
    resolved = resolved_shells(within, chance, shared=min(joined, space.radius))
    measured = resolved_shells(within, chance, shared=min(joined, space.radius), threshold=0.0)
    safe = np.where(shell <= measured, np.clip(within, LEAST_FSC, MOST_FSC), LEAST_FSC)
    ssnr, tau2 = safe / (1 - safe), signal_from_fsc(safe, weight)
    prior = 1 / tau2[None]
    filtered = [solve(space, e, prior, shellwise(maps, ssnr / (1 + ssnr), 3), 1) * soft
                for e, maps in zip(equations, plain, strict=True)]
    shared = (shell <= joined).astype(np.float64)
    low = shellwise((filtered[0] + filtered[1]) / 2, shared, 3)
    filtered = [shellwise(maps, 1 - shared, 3) + low for maps in filtered]
    parts = [replace(model, maps=(density := to_numpy(maps).astype(np.float32)), tau2=signal_power(density),
                     **other_parameters(s, np.array([float(count)]), model, stage.search, space, ()))
             for model, maps, s, count in zip(models, filtered, sums, sizes, strict=True)]
    whole = (sums[0] + sums[1]).equations(space)
    gain = 2 * ssnr / (1 + 2 * ssnr)
    maps = to_numpy(solve(space, whole, prior, shellwise((plain[0] + plain[1]) / 2, gain, 3), steps) * soft)
    joint = replace(parts[0], maps=maps.astype(np.float32), tau2=tau2[None],
                    sigma2=np.mean([m.sigma2 for m in parts], axis=0),
                    offset_sigma=float(np.mean([m.offset_sigma for m in parts])))
    state = {"halves": np.stack([to_numpy(m[0]) for m in plain]), "chance": chance,
             "resolved": np.asarray(float(resolved)), "measured": np.asarray(float(measured))}
    return Update(joint, 2 * ssnr[None], parts, state, fsc)


def _unfiltered(equations: Equations, space: FourierSpace, xp: ModuleType) -> Array:
    """A half's map (1, n, n, n) from its images alone. It starts from zero: a few steps from its last map, which began
    as the other half's too, would not forget that one."""
    nothing = xp.zeros((1, *(space.box,) * 3), dtype=xp.float32)
    return solve(space, equations, weak_prior(equations.weight), nothing, FROM_NOTHING)
