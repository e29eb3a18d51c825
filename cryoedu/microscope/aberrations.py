"""Aberrations of the objective lens beyond defocus, astigmatism and Cs, as phases in Fourier space.

They are sums of Zernike polynomials over the spatial frequency u (1/Å), with RELION's order and signs (Zivanov et al.
2020, IUCrJ 7:253): odd ones, beam tilt among them, turn the phase of an image's transform by φ, even ones are part of
the CTF's γ,

    X(u) = CTF(u) · exp(i φ(u)) · A(u)        γ(u) = … - Σ even_i Z_i(u)

    φ(u) = Σ odd_i Z_i(u)  -  2π · 10⁴ Cs λ² |u|² (τ · u)        Cs in mm, beam tilt τ in mrad
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, namespace
from cryoedu.geometry.fourier import Components
from cryoedu.microscope.projection import PADDING, transform
from cryoedu.microscope.slices import extract
from cryoedu.particles.particles import Optics

Floats = NDArray[np.float64]


def wavelength(voltage: float) -> float:
    """Relativistic electron wavelength in Å for an acceleration voltage in kV (0.0197 Å at 300 kV).

    The constants are RELION's, five parts in a million from today's, so that the same defocus means the same CTF.
    """
    volts = voltage * 1e3
    return float(12.2643247 / np.sqrt(volts * (1 + 0.978466e-6 * volts)))


def odd_phase(optics: Optics, x: Floats, y: Floats) -> Floats:
    """φ (…) in radians at spatial frequencies ``x``, ``y`` (…) in 1/Å."""
    tilt_x, tilt_y = optics.beam_tilt
    slope = -2e4 * np.pi * optics.spherical_aberration * wavelength(optics.voltage) ** 2
    tilted = slope * (x * x + y * y) * (tilt_x * x + tilt_y * y)
    return np.asarray(tilted + _sum(optics.odd_zernike, x, y, _odd))


def even_phase(optics: Optics, x: Floats, y: Floats) -> Floats:
    """What γ (…) is less by, in radians, at spatial frequencies ``x``, ``y`` (…) in 1/Å."""
    return _sum(optics.even_zernike, x, y, _even)


def phase_factor(optics: Optics, parts: Components) -> NDArray[np.complex64] | None:
    """exp(i φ) (J,) of the components of an image; None where no odd aberration is known."""
    if not any((*optics.beam_tilt, *optics.odd_zernike)):
        return None
    length = parts.box * optics.pixel_size
    return np.exp(1j * odd_phase(optics, parts.kx / length, parts.ky / length)).astype(np.complex64)


def undistorted(images: Array, optics: Optics, parts: Components) -> Array:
    """Components (N, J) of images (N, n, n) as they would be without the anisotropic magnification M of their optics
    group: those at M⁻¹ u, read between the pixels of their padded transforms. Beyond the images' Nyquist they are 0.

    So all else, slices, CTF and aberrations, is as without: they belong to the specimen's own frequencies.
    """
    xp, turned = namespace(images), np.eye(3)
    turned[:2, :2] = np.linalg.inv(optics.magnification).T
    where = np.linalg.inv(optics.magnification) @ np.stack([parts.kx, parts.ky])
    inside = np.abs(where).max(axis=0) < parts.box // 2 - 1
    found = extract(transform(images), turned[None], parts.kx[inside], parts.ky[inside], PADDING)[:, 0, :]
    nothing = xp.zeros((images.shape[0], 1), dtype=found.dtype)
    place = np.where(inside, np.cumsum(inside) - 1, inside.sum())
    return xp.take(xp.concat([found, nothing], axis=1), xp.asarray(place), axis=1)


def zernike(m: int, n: int, x: Floats, y: Floats) -> Floats:
    """Z (…) of order ``n`` and frequency ``m`` at ``x``, ``y`` (…): R(ρ) cos mφ for m ≥ 0, R(ρ) sin |m|φ else."""
    rho, azimuth, k = np.hypot(x, y), np.arctan2(y, x), abs(m)
    radial = sum((-1) ** s * math.factorial(n - s) / (math.factorial(s) * math.factorial((n + k) // 2 - s)
                                                      * math.factorial((n - k) // 2 - s)) * rho ** (n - 2 * s)
                 for s in range((n - k) // 2 + 1))
    return np.asarray(radial * (np.cos(m * azimuth) if m >= 0 else np.sin(k * azimuth)))


def _odd(i: int) -> tuple[int, int]:
    """m and n of the i-th odd polynomial, in RELION's order."""
    k = int((math.sqrt(1 + 4 * i) - 1) / 2)
    return 2 * (i - k * k - k) - (2 * k + 1), 2 * k + 1


def _even(i: int) -> tuple[int, int]:
    """m and n of the i-th even polynomial, in RELION's order."""
    k = math.isqrt(i)
    return 2 * (i - k * k - k), 2 * k


def _sum(coefficients: Sequence[float], x: Floats, y: Floats, order: Callable[[int], tuple[int, int]]) -> Floats:
    total = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)))
    for i, value in enumerate(coefficients):
        if value:
            total += value * zernike(*order(i), x, y)
    return total
