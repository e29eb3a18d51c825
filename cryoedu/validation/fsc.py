"""Fourier shell (3D) and ring (2D) correlation, and the resolution read off it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, radial_mean
from cryoedu.geometry.masks import check_mask

ROUNDING = 1e-28  # share of the strongest shell's power that float64 transforms leave in an empty one, and more


def fsc(first: ArrayLike, second: ArrayLike, *, mask: ArrayLike | None = None) -> NDArray[np.float64]:
    """Correlation (n//2 + 1,) of two maps (n, n, n), or images (n, n), on each Fourier shell, from -1 to 1.

    ``mask`` (0 to 1, same shape) is multiplied into both. A hard or tight mask correlates the maps by itself: keep
    its edge soft. Shells without signal in either map get 0.
    (Harauz & van Heel 1986, Optik 73:146; Saxton & Baumeister 1982, J Microsc 127:127.)
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim not in (2, 3) or len(set(a.shape)) != 1 or a.shape[0] % 2:
        raise InputError(f"maps of shape {a.shape} and {b.shape} cannot be correlated: both must be the same square or "
                         "cubic box with an even number of pixels; resample one of them")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("maps with NaN or infinite values cannot be correlated: replace them first")
    if mask is not None:
        soft = check_mask(np.asarray(mask), a.shape)
        a, b = a * soft, b * soft
    f, g = fourier(a, a.ndim), fourier(b, b.ndim)
    cross = radial_mean((f * np.conj(g)).real, a.shape[0], a.ndim)
    one, two = (radial_mean(np.abs(x) ** 2, a.shape[0], a.ndim) for x in (f, g))
    seen = (one > ROUNDING * one.max()) & (two > ROUNDING * two.max())
    curve = np.divide(cross, np.sqrt(one * two), out=np.zeros_like(cross), where=seen)
    return np.clip(curve, -1.0, 1.0)  # of equal shells rounding makes a little more


def resolution(curve: ArrayLike, pixel_size: float, *, threshold: float = 0.143,
               last: int | None = None) -> float | None:
    """Å where the correlation first falls below ``threshold``, interpolated between shells.

    last: shell beyond which it may be chance (`resolved_shells`), and counts for nothing.
    None if it never does: the maps agree "at or beyond Nyquist", which is not a number. 0.143 is for two halves of
    the data, 0.5 for a map against the truth (Rosenthal & Henderson 2003, J Mol Biol 333:721).
    """
    values = np.array(curve, dtype=np.float64)
    if last is not None:
        values[last + 1 :] = np.minimum(values[last + 1 :], 0.0)
    below = np.flatnonzero(values[1:] < threshold) + 1
    if len(below) == 0:
        return None
    k = int(below[0])
    before = values[k - 1] if k > 1 else 1.0
    shell = k - 1 + (before - threshold) / (before - values[k])
    return float(2 * (len(values) - 1) * pixel_size / max(shell, 1e-3))


def resolution_text(curve: ArrayLike, pixel_size: float, *, threshold: float = 0.143, last: int | None = None) -> str:
    """The resolution in words: "17.9 Å", or "at or beyond Nyquist (10.0 Å)"."""
    value = resolution(curve, pixel_size, threshold=threshold, last=last)
    return f"at or beyond Nyquist ({2 * pixel_size:.1f} Å)" if value is None else f"{value:.1f} Å"


def fsc_to_whole(half_fsc: ArrayLike) -> NDArray[np.float64]:
    """FSC expected between the map from all data and the truth, from that between halves: √(2F/(1 + F)).

    0.143 becomes 0.5. Negative correlations count as none.
    """
    f = np.maximum(np.asarray(half_fsc, dtype=np.float64), 0.0)
    return np.asarray(np.sqrt(2 * f / (1 + f)))
