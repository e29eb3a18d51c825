"""How fast a map's amplitudes fall off, and the map with that undone.

Both begin with the mean of two half maps as they come out of the M-step, neither filtered nor masked. Each shell of it
holds signal and noise, and √(2F/(1 + F)) weighs them. A refined map will not do: the prior has weighed its shells once
already, and a second time would take from its detail what sharpening is to give back.

B is positive for a map that falls off, as in the CTF's envelope exp(-B s²/4); programs that print the sharpening
applied write it with a minus sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, inverse, radial_mean, shells
from cryoedu.geometry.turning import Map, check_map
from cryoedu.validation.fsc import fsc as correlate
from cryoedu.validation.fsc import fsc_to_whole

EDGE = 2.0  # shells over which the low-pass filter falls from 1 to 0, as in RELION


@dataclass(frozen=True)
class GuinierFit:
    """A line through ln(amplitude) over s².

    b_factor: Å², minus four times its slope.  intercept: ln of the amplitude at s = 0.  correlation: of the fit, near
    -1 where a line describes the decay.  s2: (L,) 1/Å² and log_amplitude: (L,) of the fitted shells.
    """

    b_factor: float
    intercept: float
    correlation: float
    s2: NDArray[np.float64]
    log_amplitude: NDArray[np.float64]


def guinier_fit(half1: ArrayLike, half2: ArrayLike, pixel_size: float, resolution: float, *,
                from_resolution: float = 10.0, fsc: ArrayLike | None = None) -> GuinierFit:
    """Fit the decay of two halves (n, n, n) between ``from_resolution`` and ``resolution``, both Å; pixel_size in Å.

    Coarser than 10 Å the molecule's shape and the solvent rule the spectrum, and a line has no meaning (Rosenthal &
    Henderson 2003, J Mol Biol 333:721). The amplitudes of the halves' mean are weighed by √(2F/(1 + F)), so that noise
    does not flatten the decay; fsc: (n//2 + 1,) F of the halves, where the default, that of the whole boxes, is not
    the best known (see `masked_fsc`). Raises InputError if fewer than three shells lie between the two.
    """
    mean, weights = _mean(half1, half2), _weights(half1, half2, fsc)
    n = len(mean)
    s = np.arange(n // 2 + 1) / (n * pixel_size)
    amplitude = radial_mean(np.abs(fourier(mean, 3)), n, 3) * weights
    used = (s >= 1 / from_resolution - 1e-9) & (s <= 1 / resolution + 1e-9) & (amplitude > 0)
    if used.sum() < 3:
        raise InputError(f"a B-factor cannot be fitted between {from_resolution:g} and {resolution:g} Å, where these "
                         f"halves have {used.sum()} shells with signal: give the B-factor, or a coarser "
                         "from_resolution")
    s2, log_amplitude = s[used] ** 2, np.log(amplitude[used])
    slope, intercept = np.polyfit(s2, log_amplitude, 1)
    with np.errstate(invalid="ignore"):  # a map of equal amplitudes has no correlation
        correlation = np.corrcoef(s2, log_amplitude)[0, 1]
    return GuinierFit(float(-4 * slope), float(intercept), float(np.nan_to_num(correlation)), s2, log_amplitude)


def sharpen(half1: ArrayLike, half2: ArrayLike, pixel_size: float, b_factor: float, resolution: float | None, *,
            fsc: ArrayLike | None = None) -> Map:
    """The mean of two halves (n, n, n) with a decay of ``b_factor`` Å² undone, low-passed at ``resolution`` Å.

    half1, half2: neither filtered nor masked, as a run leaves them in PREFIX_half1_class001_unfil.mrc.
    pixel_size: Å.  fsc: (n//2 + 1,) F of the halves, as in `guinier_fit`.
    The transform is multiplied by exp(B s²/4), by √(2F/(1 + F)), and by a raised cosine two shells wide about the
    resolution (None: no filter). A negative B blurs.
    Raises InputError if the curve or the halves do not belong together, or the B-factor is no number.
    """
    mean = _mean(half1, half2)
    n = len(mean)
    if not np.isfinite(b_factor):
        raise InputError(f"a B-factor of {b_factor} Å² cannot be applied: give a number, such as 100")
    if resolution is not None and not resolution > 0:
        raise InputError(f"a resolution of {resolution} Å cannot be filtered to: give a positive number")
    s = np.arange(n // 2 + 1) / (n * pixel_size)
    gain = np.exp(b_factor * s**2 / 4) * _weights(half1, half2, fsc)
    if resolution is not None:
        edge = np.clip((np.arange(n // 2 + 1) - n * pixel_size / resolution) / EDGE + 0.5, 0.0, 1.0)
        gain = gain * (1 + np.cos(np.pi * edge)) / 2
    gain = np.append(gain, 0.0)  # the corners, beyond Nyquist
    return np.asarray(inverse(fourier(mean, 3) * gain[np.minimum(shells(n, 3), n // 2 + 1)], 3), dtype=np.float32)


def _mean(half1: ArrayLike, half2: ArrayLike) -> NDArray[np.float64]:
    one, two = check_map(half1, "first half"), check_map(half2, "second half")
    if one.shape != two.shape:
        raise InputError(f"halves of {len(one)} and {len(two)} voxels have no mean: give the two halves of one run")
    return (one.astype(np.float64) + two) / 2


def _weights(half1: ArrayLike, half2: ArrayLike, curve: ArrayLike | None) -> NDArray[np.float64]:
    """√(2F/(1 + F)) of each shell; nothing from the first shell on where F is not positive, since what follows by
    chance is noise."""
    values = correlate(half1, half2) if curve is None else np.asarray(curve, dtype=np.float64)
    box = np.shape(half1)[0]
    if values.shape != (box // 2 + 1,):
        raise InputError(f"the FSC has {values.size} shells, but halves of {box} voxels {box // 2 + 1}: give the curve "
                         "of these halves")
    lost = np.flatnonzero(values[1:] <= 0) + 1
    weights = fsc_to_whole(values)
    if len(lost):
        weights[lost[0]:] = 0.0
    weights[0] = 1.0
    return weights
