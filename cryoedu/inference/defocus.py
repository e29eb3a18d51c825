"""The defocus of each particle, or of each micrograph, from how well a map explains the images at their poses.

Every particle is compared with its prediction under defoci around the one it has,

    log P(X | Δ) = Re Σ X* CTF_Δ A / σ²  -  ½ Σ |CTF_Δ A|² / σ²  +  a constant of the image,

as RELION's CTF refinement does (Zivanov et al. 2018, eLife 7:e42166), here with a Gaussian prior around the old value:
a particle whose image says nothing keeps the defocus it had. What is given back is the mean of the posterior over the
grid, and its standard deviation. Particles of one micrograph may share one change: their log-likelihoods add up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from cryoedu.arrays import Array, attempt, library, to_numpy
from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.inference.blocks import CTF_FLOOR, absolute2, columns_of, half_as_many, load
from cryoedu.inference.model import Floats, Model, check_model, signal_power
from cryoedu.inference.scales import micrograph_groups
from cryoedu.inference.spaces import FourierSpace
from cryoedu.machine import memory_budget
from cryoedu.microscope.ctf import ctf_components
from cryoedu.microscope.projection import PADDING, reach, transform
from cryoedu.microscope.slices import extract_each
from cryoedu.particles.particles import Particles


@dataclass(frozen=True)
class DefocusRefinement:
    """What was found.

    particles: with new defoci.  change: (N,) Å added to both defoci, and deviation: (N,) Å, standard deviation of the
    posterior, both over the grid offsets (D,) Å.  log_likelihood: (N, D) of each particle, less a constant of each.
    """

    particles: Particles
    change: Floats
    deviation: Floats
    offsets: Floats
    log_likelihood: Floats


def refine_defocus(particles: Particles, model: Model, *, reach: float = 1500.0, step: float = 100.0,
                   sigma: float = 500.0, per_micrograph: bool = False, resolution: float | None = None,
                   memory: str | int | None = None, array_library: str = "auto",
                   progress: bool = True) -> DefocusRefinement:
    """New defoci of particles at their known poses.

    model: maps (those of the particles' classes, on the grey scale of the images) and noise; `model_of` makes one.
    reach, step: Å, the grid of changes, from -reach to reach.  sigma: Å, spread of the true defoci around the old ones.
    per_micrograph: one change for all particles of a micrograph group (rlnGroupName, else rlnMicrographName).
    resolution: Å, nothing finer is looked at (default: Nyquist).

    Raises InputError if particles have no CTF, angles, or micrographs, or if grid and model do not fit.
    """
    if not (0 < step <= reach < np.inf and 0 < sigma < np.inf):
        raise InputError(f"defoci up to {reach} Å away in steps of {step} Å with a prior of {sigma} Å make no grid: "
                         "give positive numbers, and a step no larger than the reach")
    most = int(reach / step + 1e-9)
    offsets = np.arange(-most, most + 1, dtype=np.float64) * step
    group = micrograph_groups(particles)[1] if per_micrograph else np.arange(len(particles))
    xp = library(array_library)
    compare = _comparison(particles, model, resolution, xp)
    columns = len(_space(particles, model, resolution).bins)

    def scored(rows: NDArray[np.int64]) -> Floats:
        """log P (N', D), less a constant of each image."""
        ctf = particles.ctf
        assert ctf is not None
        each = ctf[np.repeat(rows, len(offsets))]
        moved = np.tile(offsets, len(rows))
        each = replace(each, defocus_u=each.defocus_u + moved, defocus_v=each.defocus_v + moved)
        g = int(particles.optics_group[rows[0]])
        parts = _space(particles, model, resolution).parts
        values = xp.asarray(ctf_components(parts, particles.optics[g], each), dtype=xp.float32)
        values = xp.reshape(values, (len(rows), len(offsets), columns))[:, :, 1:]
        overlap, energy, _ = (part[:, None, 1:] / xp.asarray(model.sigma2[g, parts.shell[1:]], dtype=xp.float32)
                              for part in compare(rows))
        return to_numpy(xp.sum(values * overlap - 0.5 * values * values * energy, axis=2)).astype(np.float64)

    scores = np.zeros((len(particles), len(offsets)))
    bytes_each = 64 * len(offsets) * columns  # the CTF in float64 with its transients, and three float32
    for rows, found in _in_blocks(particles, memory_budget(memory, xp) // bytes_each, scored, xp, progress):
        scores[rows] = found
    shared = np.zeros((int(group.max()) + 1, len(offsets)))
    np.add.at(shared, group, scores)
    shared -= offsets**2 / (2 * sigma**2)
    weights = np.exp(shared - shared.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mean = weights @ offsets
    deviation = np.sqrt(np.maximum(weights @ offsets**2 - mean**2, 0.0))
    assert particles.ctf is not None
    change = mean[group]
    ctf = replace(particles.ctf, defocus_u=particles.ctf.defocus_u + change,
                  defocus_v=particles.ctf.defocus_v + change)
    return DefocusRefinement(replace(particles, ctf=ctf), change, deviation[group], offsets,
                             scores - scores.max(axis=1, keepdims=True))


def model_of(particles: Particles, maps: NDArray[np.floating], *, memory: str | int | None = None,
             array_library: str = "auto", progress: bool = True) -> Model:
    """A model of ``maps`` (K, n, …) on any grey scale, for particles at known poses: what the images say of both.

    Each shell of the maps gets the amplitude with which it is found in the images, which undoes another grey scale,
    sharpening or filtering, and what is then left of the images is the noise. Raises InputError as `refine_defocus`.
    """
    from cryoedu.geometry.fourier import fourier, inverse, shells

    maps = np.asarray(maps, dtype=np.float32)
    box, ndim, groups = particles.box, maps.ndim - 1, len(particles.optics)
    flat = Model(maps, particles.pixel_size, np.ones((groups, box // 2 + 1)), signal_power(maps),
                 np.full(len(maps), 1.0 / len(maps)), 10.0)
    xp = library(array_library)
    compare, space = _comparison(particles, flat, None, xp), _space(particles, flat, None)
    bins = space.bins

    def spectra(rows: NDArray[np.int64]) -> Floats:
        """Σ Re X* CTF A, Σ |CTF A|² and Σ |X|² on each shell (3, bins)."""
        assert particles.ctf is not None
        optics = particles.optics[int(particles.optics_group[rows[0]])]
        values = ctf_components(space.parts, optics, particles.ctf[rows])
        ctf = xp.asarray(values, dtype=xp.float32)
        overlap, energy, power = compare(rows)
        return np.stack([np.bincount(bins, to_numpy(xp.sum(part, axis=0)).astype(np.float64), space.bin_count)
                         for part in (ctf * overlap, ctf * ctf * energy, power)])

    sums = np.zeros((3, groups, space.bin_count))
    for rows, found in _in_blocks(particles, memory_budget(memory, xp) // (64 * len(bins)), spectra, xp, progress):
        sums[:, int(particles.optics_group[rows[0]])] += found
    sums[..., 0] = 0  # the mean of an image is no signal
    overlap, energy, power = sums
    gain = np.clip(overlap.sum(axis=0) / np.maximum(energy.sum(axis=0), 1e-30), 0.0, None)
    if not gain.any():
        raise InputError("the images do not resemble the map at any resolution: check that poses and contrast are "
                         "those of this map")
    gain[0] = gain[1]
    images = np.bincount(particles.optics_group, minlength=groups)[:, None]
    left = (power - 2 * gain * overlap + gain**2 * energy) / np.maximum(
        2 * images * np.bincount(bins, minlength=box // 2 + 1), 1)
    left = np.where(left > 0, left, left.max())  # DC, shells beyond the last, groups without particles
    shell = np.minimum(shells(box, ndim), box // 2)
    scaled = inverse(fourier(maps, ndim) * gain[shell], ndim).astype(np.float32)
    return replace(flat, maps=scaled, sigma2=left, tau2=signal_power(scaled))


def _space(particles: Particles, model: Model, resolution: float | None) -> FourierSpace:
    box, pixel_size = particles.box, particles.pixel_size
    radius = box // 2 if resolution is None else min(max(round(box * pixel_size / resolution), 1), box // 2)
    return FourierSpace(box, model.ndim, pixel_size, radius)


def _comparison(particles: Particles, model: Model, resolution: float | None,
                xp: ModuleType) -> Callable[[NDArray[np.int64]], tuple[Array, Array, Array]]:
    """Re X* A, |A|² and |X|², each (N', J), of particles of one optics group: whatever does not hang on the defocus.

    The CTF of premultiplied images is undone, but where it has left nothing: there all three are 0.
    """
    check_model(model, particles.box, particles.pixel_size)
    if particles.ctf is None or particles.angles is None:
        raise InputError("a defocus is refined at known poses: the particles need defocus and angles (rlnDefocusU, "
                         "rlnAngleRot, rlnAngleTilt, rlnAnglePsi)")
    if model.ndim == 3:
        particles.known_views()
    known = np.zeros(len(particles), dtype=np.int64) if model.classes == 1 else particles.known_classes()
    if int(known.max()) >= model.classes:
        raise InputError(f"there are {model.classes} maps, but the particles have class {int(known.max()) + 1}: give "
                         "one map for each class, or a single one")
    rotations = euler_to_matrix(particles.angles)
    space = _space(particles, model, resolution)
    parts = space.parts
    half = transform(xp.asarray(model.maps), most=reach(parts))

    def compare(rows: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        group = int(particles.optics_group[rows[0]])
        loaded = load(particles, rows, group, space)
        x = columns_of(particles, loaded, group, space, xp)
        a = extract_each(half, known[rows], rotations[rows], parts.kx, parts.ky, PADDING)
        if particles.scale is not None:
            a = a * xp.asarray(particles.scale[rows, None], dtype=xp.float32)
        if particles.optics[group].ctf_premultiplied:
            assert loaded.ctf is not None
            there = np.abs(loaded.ctf) > CTF_FLOOR
            x = x * xp.asarray(np.where(there, 1 / np.where(there, loaded.ctf, 1.0), 0.0), dtype=xp.float32)
            a = a * xp.asarray(there, dtype=xp.float32)
        return xp.real(x) * xp.real(a) + xp.imag(x) * xp.imag(a), absolute2(a, xp), absolute2(x, xp)

    return compare


def _in_blocks(particles: Particles, size: int, work: Callable[[NDArray[np.int64]], Floats], xp: ModuleType,
               progress: bool) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Rows of one optics group at a time, and what ``work`` makes of them; halved where memory runs out."""
    size = int(min(max(size, 1), 1024))
    with tqdm(total=len(particles), desc="comparing images", unit="image", delay=2, leave=False,
              disable=not progress) as bar:
        for group in range(len(particles.optics)):
            rows, first = np.flatnonzero(particles.optics_group == group), 0
            while first < len(rows):
                some = rows[first : first + size]
                found = attempt(xp, work, some)
                if found is None:
                    size = half_as_many(len(some))
                    continue
                yield some, found
                first += len(some)
                bar.update(len(some))
