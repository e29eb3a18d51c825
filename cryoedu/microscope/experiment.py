"""A whole experiment in one call: specimens in, noisy particle images out, the truth beside them.

    experiment = simulate(load("ribosome-80S"), 2000, seed=1, snr=0.1, defocus=(10_000, 25_000))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix, matrix_to_euler, random_rotations
from cryoedu.geometry.fourier import components, scatter, shift_phases
from cryoedu.microscope.aberrations import phase_factor
from cryoedu.microscope.ctf import check_sampling, ctf_components
from cryoedu.microscope.noise import Spectrum, add_noise, circle, noise_spectrum, signal_variance, white
from cryoedu.microscope.projection import PADDING, transform
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import ISOTROPIC, CTFParameters, Optics, Particles

BLOCK = 256  # images made at a time; part of what a seed means, because each block has its own random stream


@dataclass(frozen=True)
class Experiment:
    """What `simulate` made.

    particles: what a microscope would hand out: images and optics, no poses and no classes.
    truth: the same images with their true angles, shifts and classes.
    specimens: the true maps on the scale of the images (noise variance 1).
    sigma2: (n//2 + 1,) true σ² of the noise in each real Fourier component, per shell.
    """

    particles: Particles
    truth: Particles
    specimens: tuple[Specimen, ...]
    sigma2: NDArray[np.float64]


def simulate(specimens: Specimen | Sequence[Specimen], count: int, *, seed: int, snr: float | None = 0.1,
             noise: Spectrum = white, fractions: Sequence[float] | None = None, shift_sigma: float = 0.0,
             defocus: tuple[float, float] | None = None, astigmatism: float = 0.0, b_factor: float = 0.0,
             phase_shift: float = 0.0, optics: Optics | None = None, preferred: float = 0.0,
             particle_diameter: float | None = None, progress: bool = True) -> Experiment:
    """Simulate ``count`` particle images of one or several specimens; the same seed gives the same images.

    The noise has variance 1 per pixel and the specimens are scaled to meet the SNR.

    specimens: 2D ones are turned in the plane, 3D ones in all directions and projected.
    snr: variance of the CTF-filtered signal inside the particle's circle / variance of the noise there;
        None leaves the noise out.
    noise: spectrum as a function of spatial frequency (1/Å): `white`, `coloured`, or your own.
    fractions: share of each specimen (default: equal).
    shift_sigma: standard deviation of the x and y shifts, Å.
    defocus: (lowest, highest) in Å, drawn uniformly; None images without CTF.
    astigmatism: largest U - V in Å, drawn uniformly together with its angle.
    b_factor: Å², phase_shift: degrees.
    preferred: 0 for uniform directions; larger values crowd the views around the map's z axis (von Mises-Fisher
        concentration).
    optics: voltage, aberrations and amplitude contrast; the pixel size is that of the specimens.
    particle_diameter: Å, for the circle (default: 80 % of the box).

    Raises InputError for specimens of different shape or pixel size, and for impossible numbers.
    """
    maps = (specimens,) if isinstance(specimens, Specimen) else tuple(specimens)
    first = _common(maps)
    box, pixel_size = first.box, first.pixel_size
    optics = Optics(pixel_size) if optics is None else replace(optics, pixel_size=pixel_size)
    if optics.ctf_premultiplied:
        raise InputError(f"optics group {optics.name}: images are simulated as they leave the microscope, not "
                         "multiplied by their CTF: give optics without ctf_premultiplied")
    if optics.magnification != ISOTROPIC:
        raise InputError(f"optics group {optics.name}: images are simulated without anisotropic magnification: give "
                         "optics without it")
    if count < 1 or (snr is not None and not 0 < snr < np.inf):
        raise InputError(f"count={count} particles at snr={snr}: both must be positive")
    for name, value in {"shift_sigma": shift_sigma, "astigmatism": astigmatism, "preferred": preferred}.items():
        if not 0 <= value < np.inf:
            raise InputError(f"{name}={value} is not possible: give 0 or a positive number")
    fraction = 0.8 if particle_diameter is None else particle_diameter / (box * pixel_size)
    if not fraction > 0:
        raise InputError(f"particle_diameter={particle_diameter} Å is not possible: give a positive number")
    rng = np.random.default_rng(seed)
    classes = rng.choice(len(maps), size=count, p=_normalised(fractions, len(maps)))
    angles = _orientations(count, first.ndim, preferred, rng)
    shifts = rng.standard_normal((count, 2)) * shift_sigma
    if defocus is None and (astigmatism or b_factor or phase_shift):
        raise InputError("astigmatism, b_factor and phase_shift belong to a CTF, and there is none without a defocus: "
                         "give defocus=(lowest, highest) in Å")
    ctf = None if defocus is None else _defocus(count, defocus, astigmatism, b_factor, phase_shift, rng)
    if ctf is not None:
        check_sampling(box, optics, ctf)
    images = np.empty((count, box, box), dtype=np.float32)
    truth = Particles(images, (optics,), np.zeros(count, dtype=np.int64), ctf, angles, shifts, classes)

    inside = circle(box, min(fraction, 1.0))
    transforms = np.stack([transform(s.density[None].astype(np.float32))[0] for s in maps])
    for rows in _blocks(count, "projecting", progress):
        images[rows] = _noiseless(transforms, truth, rows)
    scale, sigma2 = 1.0, np.zeros(box // 2 + 1)
    if snr is not None:
        variance = sum(signal_variance(images[rows], inside) * len(images[rows]) for rows in _blocks(count)) / count
        if not variance > 0:
            raise InputError("the images have no contrast inside the particle's circle, so no SNR can be set: give "
                             "specimens that are not empty, or a larger particle_diameter")
        scale = float(np.sqrt(snr / variance))
        sigma2 = noise_spectrum(box, pixel_size, noise, 1.0)
        for block, rows in enumerate(_blocks(count, "adding noise", progress)):
            images[rows] = add_noise(images[rows] * np.float32(scale), sigma2, np.random.default_rng([seed, block]))
    scaled = tuple(replace(s, density=(s.density * scale).astype(np.float32)) for s in maps)
    return Experiment(replace(truth, angles=None, shifts=None, classes=None), truth, scaled, sigma2)


def write_experiment(experiment: Experiment, folder: str | Path) -> Path:
    """Write ``particles.mrcs``, ``particles_data.star``, ``truth_data.star`` and the true maps to ``folder``.

    RELION and ChimeraX open all of them. Returns the path of ``particles_data.star``.
    """
    from cryoedu.microscope.specimen import write_map
    from cryoedu.particles.star import read_particles, write_particles

    folder = Path(folder)
    path = folder / "particles_data.star"
    write_particles(experiment.particles, path, stack_name="particles.mrcs")
    on_disk = read_particles(path)
    write_particles(replace(experiment.truth, images=on_disk.images), folder / "truth_data.star")
    for k, specimen in enumerate(experiment.specimens, start=1):
        write_map(specimen, folder / f"truth_class{k:03d}.mrc")
    return path


def _noiseless(transforms: NDArray[np.complex64], truth: Particles, rows: slice) -> NDArray[np.float32]:
    """Projections of the particles ``rows``, with shift and CTF, without noise."""
    from cryoedu.microscope.slices import extract_each

    assert truth.angles is not None and truth.shifts is not None and truth.classes is not None
    parts = components(truth.box)
    values = extract_each(transforms, truth.classes[rows], euler_to_matrix(truth.angles[rows]), parts.kx, parts.ky,
                          PADDING)
    values *= shift_phases(truth.shifts[rows] / truth.pixel_size, parts)
    if (factor := phase_factor(truth.optics[0], parts)) is not None:
        values *= factor
    if truth.ctf is not None:
        values *= ctf_components(parts, truth.optics[0], truth.ctf[rows])
    return np.asarray(scatter(values, parts), dtype=np.float32)


def _common(maps: tuple[Specimen, ...]) -> Specimen:
    if not maps:
        raise InputError("no specimen was given: give at least one")
    for other in maps[1:]:
        one, two = ((m.ndim, m.box, round(m.pixel_size, 6)) for m in (maps[0], other))
        if one != two:
            raise InputError(f"{maps[0].name} and {other.name} differ in dimensions, box or pixel size ({one} and "
                             f"{two}): resample one of them")
    return maps[0]


def _normalised(fractions: Sequence[float] | None, classes: int) -> NDArray[np.float64]:
    share = np.ones(classes) if fractions is None else np.asarray(fractions, dtype=np.float64)
    if len(share) != classes or (share < 0).any() or not share.sum() > 0:
        raise InputError(f"fractions {list(share)} do not fit {classes} specimens: give one, 0 or more, for each")
    return np.asarray(share / share.sum())


def _orientations(count: int, ndim: int, preferred: float, rng: np.random.Generator) -> NDArray[np.float64]:
    if ndim == 2:
        return np.stack([np.zeros(count), np.zeros(count), rng.uniform(-180, 180, count)], axis=1)
    angles = matrix_to_euler(random_rotations(count, rng))
    if preferred > 0:  # Ulrich 1984: the cosine of the tilt of a von Mises-Fisher distribution, by inversion
        u = rng.random(count)
        cosine = 1 + np.log(u + (1 - u) * np.exp(-2 * preferred)) / preferred
        angles[:, 1] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return angles


def _defocus(count: int, span: tuple[float, float], astigmatism: float, b_factor: float, phase_shift: float,
             rng: np.random.Generator) -> CTFParameters:
    low, high = span
    if not (np.isfinite([low, high, b_factor, phase_shift]).all() and low <= high):
        raise InputError(f"a defocus from {low} to {high} Å with b_factor={b_factor} and phase_shift={phase_shift} is "
                         "not possible: give finite numbers, the lowest defocus first")
    mean = rng.uniform(low, high, count)
    half = rng.uniform(0, astigmatism, count) / 2
    return CTFParameters.of(mean + half, mean - half, rng.uniform(0, 180, count), phase_shift, b_factor)


def _blocks(count: int, label: str = "", progress: bool = False) -> tqdm[slice]:
    starts = [slice(i, min(i + BLOCK, count)) for i in range(0, count, BLOCK)]
    return tqdm(starts, desc=label, unit="block", delay=2, leave=False, disable=not progress)
