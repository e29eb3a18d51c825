"""What a refinement starts from: noise, averages, seeds, maps of particles that lie anyhow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.euler import matrix_to_euler, random_rotations
from cryoedu.geometry.fourier import fourier, radial_mean
from cryoedu.geometry.grids import Search, local_search
from cryoedu.geometry.masks import check_mask, soft_sphere
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.local import local_expectation
from cryoedu.inference.loop import checked, checked_radii, opening
from cryoedu.inference.maximisation import solve
from cryoedu.inference.model import Floats, Model, signal_power, start_power
from cryoedu.inference.spaces import FourierSpace
from cryoedu.particles.particles import Particles
from cryoedu.particles.resampling import image_numbers

POWER_BLOCK = 2**18  # pixels of images that are transformed at a time for the first noise
RANDOM_STEPS = 2  # conjugate-gradient steps for maps that mean nothing yet


def start_model(particles: Particles, maps: NDArray[np.floating], *, space: str = "fourier",
                offset_sigma: float = 10.0) -> Model:
    """A model from maps alone: equal class weights, the images' power as the first noise, the maps' power as τ²."""
    maps = np.asarray(maps, dtype=np.float32)
    return Model(maps, particles.pixel_size, noise_power(particles, space), start_power(maps),
                 np.full(len(maps), 1.0 / len(maps)), offset_sigma)


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


def mean_image(particles: Particles, rows: NDArray[np.int64] | None = None, *,
               block: int = 2048) -> NDArray[np.float32]:
    """Average (n, n) of the particles (of ``rows``) as they are, read in blocks."""
    rows = np.arange(len(particles)) if rows is None else rows
    total = np.zeros((particles.box, particles.box))
    for first in range(0, len(rows), block):
        total += np.asarray(particles.images[rows[first : first + block]]).sum(axis=0, dtype=np.float64)
    return (total / max(len(rows), 1)).astype(np.float32)


def random_subsets(count: int, classes: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows of ``classes`` random subsets of equal size (give or take one), which share none and leave none out."""
    order = np.random.default_rng([seed, 0]).permutation(count)
    return [np.sort(part) for part in np.array_split(order, classes)]


def random_folds(particles: Particles, count: int, seed: Sequence[int]) -> list[NDArray[np.int64]]:
    """Rows of ``count`` random folds of equal size (give or take one); rows of one image stay together."""
    number = image_numbers(particles.images)
    order = np.random.default_rng(seed).permutation(int(number.max(initial=-1)) + 1)
    return [np.flatnonzero(np.isin(number, part)) for part in np.array_split(order, count)]


def random_start(particles: Particles, classes: int, radius: int, mask: NDArray[np.float32], *, seed: int,
                 xp: ModuleType, budget: int) -> Model:
    """Maps of particles at `random_angles`, each of a random part of them.

    Such a map is a ball, but for what chance adds.
    """
    angles = random_angles(len(particles), seed)
    space = FourierSpace(particles.box, 3, particles.pixel_size, radius)
    empty = start_model(particles, np.zeros((1, *mask.shape), dtype=np.float32))
    maps = []
    for mine in random_subsets(len(particles), classes, seed):
        known = local_search(angles[mine], np.zeros((len(mine), 2)))
        _, sums = local_expectation(particles.subset_of(mine), empty, known, space, MAXIMUM_LIKELIHOOD, xp=xp,
                                    budget=budget)
        maps.append(to_numpy(solve(space, sums.equations(space), None, xp.asarray(empty.maps), RANDOM_STEPS)))
    found = np.concatenate(maps) * mask
    return replace(start_model(particles, found), tau2=signal_power(found, radius), sigma2=empty.sigma2)


def random_angles(count: int, seed: int) -> Floats:
    """Orientations (count, 3) in degrees by chance: what a start knows of its particles."""
    return np.asarray(matrix_to_euler(random_rotations(count, np.random.default_rng([seed, 0]))))


def checked_start(particles: Particles, search: Search | Sequence[Search], radii: Sequence[int] | None,
             mask: NDArray[np.floating] | None, model: Model | None,
             iterations: int) -> tuple[list[Search], list[int], NDArray[np.float32]]:
    """Searches, radii and mask of a start from scratch, or InputError if they do not fit the particles."""
    box, pixel = particles.box, particles.pixel_size
    searches = [search] if isinstance(search, Search) else list(search)
    if not searches or any(s.in_plane for s in searches):
        raise InputError("an initial model is a map: give 3D searches (search_3d), at least one")
    shells = checked_radii(radii or opening(3, 10, iterations), box)
    if model is not None:
        checked(particles, model, searches[0], "fourier", (), start=False)
    if len(particles) < 2:
        raise InputError(f"{len(particles)} particles make no map: give at least 2")
    ball = soft_sphere(box, pixel, (box - 6) * pixel) if mask is None else check_mask(mask, (box,) * 3)
    return searches, shells, ball
