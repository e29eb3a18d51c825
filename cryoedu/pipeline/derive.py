"""What follows from the data, and from what a person set: shells, masks, grids, and what each solver is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import resize
from cryoedu.geometry.grids import LocalSearch, Search, local_search, search_2d, search_3d
from cryoedu.geometry.masks import soft_sphere, solvent_mask
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
from cryoedu.inference.loop import opening
from cryoedu.inference.model import check_size
from cryoedu.inference.settings import EM, CrossFit, GoldStandard, GradientDescent, HillClimbing, MaskOf
from cryoedu.microscope.specimen import read_map
from cryoedu.particles.particles import Particles
from cryoedu.pipeline.settings import AUTO, Align2D, Classify2D, Classify3D, InitialModel, Refine3D

DEFAULT_ITERATIONS = {"sgd": 200, "shc": 60}
FREE = {2: 0.1, 3: 0.05}  # of the components beyond the start: few in an average, which has few; see inference.free
UNASKED = 60.0  # Å: what averages in the plane are taken to show without being asked
COARSE_ORDER, FINE_SHARE = 1, 0.1  # the last tenth of the iterations searches as finely as was asked for


def plane(settings: Align2D, particles: Particles) -> tuple[Search, EM]:
    """The search of a job in the plane, and what EM is told."""
    search = search_2d(settings.psi_step, shift_range=settings.offset_range,
                       shift_step=settings.offset_step or particles.pixel_size)
    em = _em(settings, particles, 2, settings.first_resolution, mask_of(particles, 2, settings.particle_diameter, None))
    em = replace(em, shared=shell_of(UNASKED, particles))
    if isinstance(settings, Classify2D):
        em = replace(em, scale=settings.scale, offset_sigma=settings.offset_sigma)
    return search, em


def classify3d(settings: Classify3D, particles: Particles) -> tuple[Search | LocalSearch, EM | CrossFit]:
    """The search of a classification in 3D, and what EM, or cross-fitting, is told."""
    path = None if settings.solvent_mask in (None, AUTO) else Path(str(settings.solvent_mask))
    mask = mask_of(particles, 3, settings.particle_diameter, path)
    em = _em(settings, particles, 3, settings.first_resolution or settings.ini_high, mask)
    if settings.oversampling:
        adaptive = Adaptive(settings.oversampling, diameter=diameter_of(settings.particle_diameter, particles))
        em = replace(em, adaptive=adaptive)
    if len(settings.reference) == 1:
        em = replace(em, shared=shell_of(settings.ini_high, particles))
    if settings.supervised or settings.skip_align or settings.local_range is not None:
        em = replace(em, free=0.0)  # the maps are no result, or the poses may know all of these images
    search = orientations(settings, particles)
    if settings.cross_fit:
        return search, CrossFit(settings.cross_fit, settings.iterations, em.radii, em.adaptive,
                                _following(mask, particles.pixel_size) if settings.solvent_mask == AUTO else mask,
                                perturb_seed=em.perturb_seed, symmetry=settings.symmetry, free=em.free,
                                shared=em.shared)
    return search, replace(em, symmetry=settings.symmetry, fixed=("maps", "tau2") if settings.supervised else (),
                           scale=settings.scale, offset_sigma=settings.offset_sigma)


def _em(settings: Align2D | Classify3D, particles: Particles, ndim: int, first: float | None,
        mask: NDArray[np.float32]) -> EM:
    last = settings.strict_highres
    end = shell_of(3 * particles.pixel_size if last is None else last, particles)
    radii = [end] if first is None else opening(min(shell_of(first, particles), end), end, settings.iterations)
    return EM(settings.iterations, MAXIMUM_CROSS_CORRELATION if settings.maxcc else MAXIMUM_LIKELIHOOD, radii=radii,
              tau2_fudge=settings.tau2_fudge or None,  # 0 switches the prior off
              mask=mask, perturb_seed=settings.random_seed, free=FREE[ndim])


def orientations(settings: Classify3D, particles: Particles) -> Search | LocalSearch:
    """The hypotheses: all orientations, or those around the poses of the particles.

    Raises InputError if there are none.
    """
    around, span = settings.local_range, {"shift_range": settings.offset_range,
                                          "shift_step": settings.offset_step or particles.pixel_size}
    if not settings.skip_align and around is None:
        return search_3d(settings.healpix_order, **span)
    if particles.angles is None:
        raise InputError(f"{settings.star} has no angles (rlnAngleRot, rlnAngleTilt, rlnAnglePsi): leave out "
                         f"{'--skip-align' if settings.skip_align else '--local-range'}, or give a STAR file that a "
                         "refinement wrote")
    angles, centres = particles.known_views(), np.zeros((len(particles), 2))
    if around is None:
        return local_search(angles, centres)
    step = (around / 3 or 1.0) if settings.local_step is None else settings.local_step
    return local_search(angles, centres, angular_range=around, angular_step=step, **span)


def refine3d(settings: Refine3D, particles: Particles) -> tuple[Search, GoldStandard]:
    """The coarsest search of a refinement, and what it is told."""
    step = 2 * particles.pixel_size if settings.offset_step is None else settings.offset_step
    if settings.offset_step is None and settings.offset_range > 0:
        step = min(step, settings.offset_range / 2)  # or large pixels would leave one shift to search
    mask = None if settings.solvent_mask is None else mask_of(particles, 3, None, settings.solvent_mask)
    return (search_3d(settings.healpix_order, shift_range=settings.offset_range, shift_step=step),
            GoldStandard(settings.ini_high, settings.particle_diameter, mask, settings.low_resol_join_halves,
                         settings.iterations, symmetry=settings.symmetry))


def initial_model(settings: InitialModel, particles: Particles) -> tuple[list[Search], GradientDescent | HillClimbing]:
    """The searches of a start from nothing, and what its solver is told."""
    count = settings.iterations or DEFAULT_ITERATIONS[settings.algorithm]
    box = particles.box * particles.pixel_size
    last = shell_of(settings.strict_highres or box / 10, particles)
    radii = opening(min(shell_of(settings.first_resolution or box / 3, particles), last), last, count)
    span = {"shift_range": settings.offset_range, "shift_step": settings.offset_step or particles.pixel_size}
    order, coarse = settings.healpix_order, count - round(FINE_SHARE * count)
    searches = [search_3d(min(COARSE_ORDER, order), **span)] * coarse + [search_3d(order, **span)]
    mask = mask_of(particles, 3, settings.particle_diameter, settings.solvent_mask)
    if settings.algorithm == "shc":
        return searches, HillClimbing(count, radii, mask=mask)
    return searches, GradientDescent(settings.k, count, radii=radii, mask=mask)


def diameter_of(given: float | None, particles: Particles) -> float:
    """Å, of the particle: as it is given, or 0.8 of the box."""
    return given or 0.8 * particles.box * particles.pixel_size


def shell_of(resolution: float, particles: Particles) -> int:
    """The Fourier shell of a resolution in Å, between 2 and Nyquist."""
    return min(max(round(particles.box * particles.pixel_size / resolution), 2), particles.box // 2)


def mask_of(particles: Particles, ndim: int, diameter: float | None, mask: Path | None) -> NDArray[np.float32]:
    """A soft sphere (or disc) of ``diameter`` Å, by default as large as fits the box, or what the file ``mask`` holds.

    Raises InputError if both are given.
    """
    box, pixel = particles.box, particles.pixel_size
    if diameter is not None and mask is not None:
        raise InputError("--particle-diameter and --solvent-mask are both given: choose one")
    if mask is not None:
        density, finer = _in_the_box_of(particles, mask)
        return density if finer == 1 else np.clip(density, 0.0, 1.0)  # resampling swings a little beyond
    return soft_sphere(box, pixel, (box - 6) * pixel if diameter is None else diameter, ndim=ndim)


def _following(sphere: NDArray[np.float32], pixel_size: float) -> MaskOf:
    """A tight mask from a map, within ``sphere`` (n, n, n)."""
    return lambda density: np.asarray(solvent_mask(density, pixel_size) * sphere)


def reference_of(path: Path, particles: Particles) -> NDArray[np.float32]:
    """The density of a map with the particles' box and pixel size, resampled if it only shows the same field finer or
    coarser; its projections, sums of voxels, keep their grey values."""
    density, finer = _in_the_box_of(particles, path)
    return np.asarray(density * finer, dtype=np.float32)


def _in_the_box_of(particles: Particles, path: Path) -> tuple[NDArray[np.float32], float]:
    """A map in the particles' box, its grey values kept, and how many of its voxels made one of theirs along a line."""
    specimen, box = read_map(path), particles.box
    if specimen.box != box and abs(specimen.box * specimen.pixel_size / (box * particles.pixel_size) - 1) < 5e-3:
        return resize(specimen.density, box, 3), specimen.box / box
    check_size(specimen.box, specimen.pixel_size, box, particles.pixel_size, str(path))
    return specimen.density, 1.0
