"""Noise: white or coloured, at a stated signal-to-noise ratio.

"SNR" has several meanings in the field. Here it is the variance of the signal, as the camera would see it without
noise (projection, CTF and envelope applied), inside the particle's circle, divided by the variance of the noise
there. Counting the empty corners too would make the same pictures sound noisier.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, inverse, multiplicity, shells
from cryoedu.geometry.masks import radius_from_centre

Spectrum = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def white(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same power at every spatial frequency."""
    return np.ones_like(u)


def coloured(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """A falling spectrum such as ice and camera leave: a Lorentzian of 1/40 Å half width on a white floor.

    A teaching model, not a fit: the low frequencies carry twelve times the power of the high ones.
    """
    return 1.0 + 11.0 / (1.0 + (u * 40.0) ** 2)


def circle(box: int, fraction: float = 0.8) -> NDArray[np.bool_]:
    """Pixels (box, box) inside a circle whose diameter is ``fraction`` of the box."""
    return radius_from_centre(box, 2) <= fraction * box / 2


def noise_spectrum(box: int, pixel_size: float, spectrum: Spectrum, variance: float) -> NDArray[np.float64]:
    """σ² (box//2 + 1,) of each real Fourier component per shell, for noise of ``variance`` per pixel in all.

    Beyond Nyquist, in the corners of the transform, the noise has the power of the Nyquist shell. Raises InputError if
    ``spectrum`` does not give one finite number of 0 or more for each frequency, or zeros only.
    """
    u = np.arange(box // 2 + 1) / (box * pixel_size)
    values = spectrum(u)
    try:
        power = np.broadcast_to(np.asarray(values, dtype=np.float64), u.shape)
    except ValueError:
        raise InputError(f"the noise spectrum gives {values!r} for {len(u)} frequencies: "
                         "return as many numbers") from None
    if not np.isfinite(power).all() or (power < 0).any() or not power.any():
        raise InputError("the noise spectrum must be finite everywhere (at frequency 0 too), positive somewhere and "
                         f"negative nowhere, but runs from {power.min():g} to {power.max():g}: change its formula")
    shell = np.minimum(shells(box), box // 2)
    total = float(np.sum(power[shell] * multiplicity(box))) / box**2  # Parseval: n² / 2 times a pixel's variance
    return np.asarray(power * (variance * box**2 / 2) / total)


def add_noise(images: NDArray[np.float32], sigma2: NDArray[np.float64],
              rng: np.random.Generator) -> NDArray[np.float32]:
    """Images (N, n, n) with Gaussian noise of σ² (n//2 + 1,) per shell added: white noise is drawn and filtered."""
    n = images.shape[-1]
    # unit white noise has σ² = n²/2 in each real component
    gain = np.sqrt(sigma2 * 2 / n**2)[np.minimum(shells(n), n // 2)].astype(np.float32)
    drawn = rng.standard_normal(images.shape, dtype=np.float32)
    return np.asarray(images + inverse(fourier(drawn) * gain), dtype=np.float32)


def signal_variance(images: NDArray[np.floating], inside: NDArray[np.bool_]) -> float:
    """Mean over the images of the variance of their pixels ``inside`` the particle's circle."""
    return float(np.mean(np.var(np.asarray(images)[:, inside], axis=1, dtype=np.float64)))
