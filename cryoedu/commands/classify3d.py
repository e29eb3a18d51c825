"""The command ``cryoedu classify3d``: several maps from one stack, orientations searched, refined or taken as known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import typer

from cryoedu.commands.options import compute_of, folder_of, particles_of, refuse_together
from cryoedu.commands.shell import run_job
from cryoedu.errors import InputError
from cryoedu.pipeline.settings import AUTO, Classify3D

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryoedu.inference.expectation import Tick
    from cryoedu.inference.model import Checkpoint, Iteration


def classify3d(context: typer.Context, settings: Classify3D) -> None:
    """Classify particles in 3D with unknown orientations, from seeds or from maps of your own."""
    from cryoedu.inference import crossfit, em
    from cryoedu.inference.settings import EM
    from cryoedu.inference.start import start_model
    from cryoedu.pipeline import derive

    check_choices(context, settings)
    folder = folder_of(context, settings)
    particles = particles_of(settings.star, settings.angpix, settings.pixel_size)
    maps = [derive.reference_of(path, particles) for path in settings.reference]
    if len(maps) > 1 and settings.k not in (None, len(maps)):
        raise InputError(f"--k {settings.k} does not fit {len(maps)} references, each of which starts a class: leave "
                         "--k out, or give one reference")
    if settings.supervised and len(maps) < 2:
        raise InputError("--supervised needs at least two maps to choose between: give --reference once for each")
    search, told = derive.classify3d(settings, particles)
    compute = compute_of(context, settings, folder, settings.cluster)
    classes, seed, resolution = settings.k or 2, settings.random_seed, settings.ini_high

    def job(tick: Tick, at: Checkpoint | None) -> Iterator[Iteration]:
        if len(maps) == 1 and isinstance(told, EM):
            return em.classify3d(particles, maps[0], classes, search, told, seed=seed, resolution=resolution,
                                 compute=compute, after=at, tick=tick)
        if isinstance(told, EM):
            return em.refine(particles, start_model(particles, np.stack(maps)), search, told, compute=compute, after=at,
                             tick=tick)
        if len(maps) == 1:
            return crossfit.classify3d_in_folds(particles, maps[0], classes, search, told, seed=seed,
                                                resolution=resolution, compute=compute, after=at, tick=tick)
        return crossfit.cross_fit(particles, start_model(particles, np.stack(maps)), search, told, seed=seed,
                                  compute=compute, after=at, tick=tick)

    run_job(job, particles, folder, settings.iterations, settings.truth, settings.truth_map, symmetry=settings.symmetry)


def check_choices(context: typer.Context, settings: Classify3D) -> None:
    """Refuse options that the other ones leave without a meaning."""
    if settings.skip_align:
        refuse_together(context, "does not go with --skip-align, which searches nothing", "healpix_order",
                        "oversampling", "offset_range", "offset_step", "local_range", "local_step", "offset_sigma")
    elif settings.local_range is not None:
        refuse_together(context, "does not go with --local-range, which searches around known poses only",
                        "healpix_order", "oversampling")
    else:
        refuse_together(context, "is of no use without --local-range", "local_step")
    if settings.cross_fit:
        refuse_together(context, "does not go with --cross-fit, where the other folds set the filter of the maps, and "
                        "the likelihood decides", "tau2_fudge", "maxcc", "supervised", "scale", "offset_sigma")
        if settings.cross_fit == 1:
            raise InputError("--cross-fit 1 leaves no particles to make the maps from: give at least 2 folds, or 0 for "
                             "none")
        if settings.k == 1:
            raise InputError("--cross-fit finds differences between classes: give --k 2 or more")
    elif settings.solvent_mask == AUTO:
        raise InputError("--solvent-mask auto follows the map of all particles, which only --cross-fit has: give "
                         "--cross-fit too, or a mask")
