"""The contrast transfer function.

With u the spatial frequency (1/Å), λ the relativistic wavelength (Å) and Δf(α) the defocus (Å, underfocus
positive) in direction α:

    Δf(α) = (U + V)/2 + (U - V)/2 · cos 2(α - α_ast)
    γ(u)  = π λ Δf u² - π/2 Cs λ³ u⁴ + phase_shift + asin(Q0)        (less the even aberrations, if any are known)
    CTF   = scale · sin γ(u) · exp(-B u²/4)

(Wade 1992, Ultramicroscopy 46:145; signs as in RELION after contrast inversion.) It is positive at low
frequency for particles that are white on dark. Some programs leave out the 4 under B.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import Components, frequencies
from cryoedu.microscope.aberrations import even_phase, wavelength
from cryoedu.particles.particles import CTFParameters, Optics


def ctf(u: ArrayLike, azimuth: ArrayLike, optics: Optics, parameters: CTFParameters) -> NDArray[np.float64]:
    """CTF (N, …) of N particles at spatial frequencies ``u`` (…) in 1/Å and directions ``azimuth`` (…) in degrees."""
    _check_optics(optics)
    u2 = np.asarray(u, dtype=np.float64)[None] ** 2
    each = (slice(None), *[None] * (u2.ndim - 1))
    lam = wavelength(optics.voltage)
    mean = (parameters.defocus_u + parameters.defocus_v) / 2
    half_difference = (parameters.defocus_u - parameters.defocus_v) / 2
    # cos 2(α - α_ast) in two products: a cosine for each component and each particle, not for every pair of them
    twice = np.radians(2 * np.asarray(azimuth, dtype=np.float64))[None]
    axis = np.radians(2 * parameters.astigmatism_angle)
    defocus = (mean[each] + (half_difference * np.cos(axis))[each] * np.cos(twice)
               + (half_difference * np.sin(axis))[each] * np.sin(twice))
    gamma = np.pi * lam * defocus * u2 - np.pi / 2 * optics.spherical_aberration * 1e7 * lam**3 * u2**2
    gamma += np.radians(parameters.phase_shift)[each] + np.arcsin(optics.amplitude_contrast)
    if any(optics.even_zernike):
        angle, far = np.radians(np.asarray(azimuth, dtype=np.float64)), np.asarray(u, dtype=np.float64)
        gamma -= even_phase(optics, far * np.cos(angle), far * np.sin(angle))[None]
    contrast = parameters.scale[each] * np.sin(gamma)
    if parameters.b_factor.any():
        contrast *= np.exp(-parameters.b_factor[each] / 4 * u2)
    return np.asarray(contrast)


def ctf_components(parts: Components, optics: Optics, parameters: CTFParameters) -> NDArray[np.float64]:
    """CTF (N, J) at the Fourier components of an image."""
    return ctf(*_polar(parts.kx, parts.ky, parts.box, optics), optics, parameters)


def ctf_half_planes(box: int, optics: Optics, parameters: CTFParameters) -> NDArray[np.float64]:
    """CTF (N, box, box//2 + 1) on whole half planes, in the order of `cryoedu.geometry.fourier.fourier`."""
    ky, kx = frequencies(box, 2)
    return ctf(*_polar(kx, ky, box, optics), optics, parameters)


def ctf_image(box: int, optics: Optics, parameters: CTFParameters) -> NDArray[np.float64]:
    """CTF of the first particle as a picture (box, box), zero frequency in the centre box // 2."""
    k = np.arange(box) - box // 2
    return np.asarray(ctf(*_polar(k[None, :], k[:, None], box, optics), optics, parameters[:1])[0])


def _polar(kx: NDArray[np.int64], ky: NDArray[np.int64], box: int,
           optics: Optics) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spatial frequency (1/Å) and direction (degrees)."""
    length = box * optics.pixel_size
    return np.hypot(kx, ky) / length, np.degrees(np.arctan2(ky, kx))


def _check_optics(optics: Optics) -> None:
    if not 0 <= optics.amplitude_contrast <= 1:
        raise InputError(f"optics group {optics.name}: amplitude contrast {optics.amplitude_contrast} is not between 0 "
                         "and 1: correct rlnAmplitudeContrast")
    if not optics.voltage > 0:
        raise InputError(f"optics group {optics.name}: a voltage of {optics.voltage} kV is not possible: correct "
                         "rlnVoltage")


def check_sampling(box: int, optics: Optics, parameters: CTFParameters) -> None:
    """Raise InputError if a defocus is so large that the CTF turns by more than π between Fourier pixels at Nyquist.

    A point in the centre is then spread beyond the box, by λ Δf u to each side, and no correction can bring back what
    was cut off (or, in a simulation, folded over).
    """
    _check_optics(optics)
    u = 1 / (2 * optics.pixel_size)
    worst = float(np.max(np.maximum(np.abs(parameters.defocus_u), np.abs(parameters.defocus_v)), initial=0.0))
    step = 2 * np.pi * wavelength(optics.voltage) * worst * u / (box * optics.pixel_size)
    if step > np.pi:
        raise InputError(f"optics group {optics.name}: a defocus of {worst:.0f} Å makes the CTF oscillate faster than "
                         f"the {box}-pixel box can sample at its edge: extract the particles in a larger box")
