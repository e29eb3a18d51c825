"""Fourier coordinates of images and maps: half planes, shells, components, shifts.

One transform throughout: ``fourier(x)`` is the unnormalised real FFT of an image or map whose centre, voxel
n // 2 on every axis, has been put at the origin. A white noise of variance s² per pixel then has the power
E|N|² = n² s², that is σ² = n² s² / 2 in each real component.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, fourier_transforms, namespace
from cryoedu.errors import InputError

GOLDEN = (np.sqrt(5) - 1) / 2


def fourier(x: Array, ndim: int = 2) -> Array:
    """Transform the last ``ndim`` axes (..., n, n) to the half plane (..., n, n//2 + 1), centre at the origin."""
    fft, axes = fourier_transforms(x), tuple(range(-ndim, 0))
    return fft.rfftn(fft.ifftshift(x, axes=axes), axes=axes)


def inverse(f: Array, ndim: int = 2) -> Array:
    """Undo `fourier`: half plane (..., n, n//2 + 1) to real space (..., n, n), n even, centre at n // 2."""
    fft, axes = fourier_transforms(f), tuple(range(-ndim, 0))
    n = 2 * (f.shape[-1] - 1)
    return fft.fftshift(fft.irfftn(f, s=(n,) * ndim, axes=axes), axes=axes)


def _shared(table: np.ndarray) -> np.ndarray:
    """``table``, kept and handed out again, so nobody may write to it."""
    table.flags.writeable = False
    return table


@lru_cache(maxsize=32)
def frequencies(box: int, ndim: int = 2) -> tuple[NDArray[np.int64], ...]:
    """Integer frequencies of the half plane or half volume, in the order of its axes ((z,) y, x), broadcastable."""
    full = np.fft.fftfreq(box, 1 / box).round().astype(np.int64)
    axes = [full] * (ndim - 1) + [np.arange(box // 2 + 1)]
    return tuple(_shared(a.reshape([-1 if i == k else 1 for i in range(ndim)])) for k, a in enumerate(axes))


@lru_cache(maxsize=32)
def shells(box: int, ndim: int = 2) -> NDArray[np.int64]:
    """Shell (radius rounded to whole Fourier pixels) of every half-plane or half-volume component."""
    radius = np.sqrt(sum(k.astype(np.float64) ** 2 for k in frequencies(box, ndim)))
    return _shared(np.floor(radius + 0.5).astype(np.int64))


@lru_cache(maxsize=32)
def multiplicity(box: int, ndim: int = 2) -> NDArray[np.float64]:
    """How many components of the full transform each half-plane one stands for: 2, or 1 where kx is 0 or Nyquist."""
    kx = frequencies(box, ndim)[-1]
    weight = np.where((kx == 0) | (kx == box // 2), 1.0, 2.0)
    return _shared(np.array(np.broadcast_to(weight, shells(box, ndim).shape)))


def radial_mean(power: NDArray[np.floating], box: int, ndim: int) -> NDArray[np.float64]:
    """Mean (..., n//2 + 1) over each shell of a half-volume array (..., n, n//2 + 1), each component weighed
    by what it stands for in the full transform."""
    shell = shells(box, ndim).ravel()
    weight = multiplicity(box, ndim).ravel()
    bins = box // 2 + 1
    keep = shell < bins
    flat = np.asarray(power, dtype=np.float64).reshape(-1, shell.size)
    count = np.bincount(shell[keep], weight[keep], bins)
    sums = np.stack([np.bincount(shell[keep], (row * weight)[keep], bins) for row in flat])
    return np.asarray((sums / count).reshape(*np.shape(power)[:-ndim], bins))


def low_pass(maps: NDArray[np.floating], pixel_size: float, resolution: float) -> NDArray[np.float32]:
    """Maps (K, n, …) without what is finer than ``resolution`` Å (a cosine edge of two shells)."""
    ndim, box = maps.ndim - 1, maps.shape[-1]
    cut = box * pixel_size / resolution
    gain = (1 + np.cos(np.pi * np.clip((shells(box, ndim) - cut + 1) / 2, 0, 1))) / 2
    return np.asarray(inverse(fourier(np.asarray(maps), ndim) * gain, ndim), dtype=np.float32)


@dataclass(frozen=True)
class Components:
    """The independent components of an image's transform inside a radius, each once, DC first.

    Of a component and its conjugate only one is kept (kx > 0, or kx = 0 and ky > 0), so none needs a weight;
    the Nyquist row and column, which a sub-pixel shift would break, are left out.

    box, radius: in Fourier pixels.  index: (J,) into the flattened half plane.  kx, ky: (J,) integer frequencies.
    shell: (J,) rounded radius.
    """

    box: int
    radius: int
    index: NDArray[np.int64]
    kx: NDArray[np.int64]
    ky: NDArray[np.int64]
    shell: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)


@lru_cache(maxsize=64)
def components(box: int, radius: int | None = None) -> Components:
    """The components of ``box``-pixel images up to shell ``radius`` (default, and at the most: box // 2)."""
    radius = box // 2 if radius is None else min(radius, box // 2)
    ky, kx = np.broadcast_arrays(*frequencies(box, 2))
    shell = shells(box, 2)
    keep = (shell <= radius) & (kx * kx + ky * ky < (box // 2) ** 2) & ((kx > 0) | (ky >= 0))
    index = np.flatnonzero(keep)
    index = index[np.argsort(shell.ravel()[index], kind="stable")]
    return Components(box, radius, *map(_shared, (index, kx.ravel()[index], ky.ravel()[index], shell.ravel()[index])))


@lru_cache(maxsize=64)
def parted(box: int, radius: int, share: float, beyond: int) -> tuple[Components, Components]:
    """`components` in two: all but a ``share`` of each shell after ``beyond``, and that share, at least one a shell.

    Its directions are even on a shell, and others on the next one. A component is in the same part at any radius.
    """
    every = components(box, radius)
    chosen = np.zeros(len(every), dtype=bool)
    for shell in range(beyond + 1, every.radius + 1):
        at = np.flatnonzero(every.shell == shell)
        at = at[np.argsort(np.arctan2(every.ky[at], every.kx[at]), kind="stable")]
        count = min(max(round(share * len(at)), 1), len(at))
        places = (np.arange(count) + shell * GOLDEN % 1) * len(at) / max(count, 1)
        chosen[at[places.astype(np.int64)]] = True
    columns = every.index, every.kx, every.ky, every.shell
    rest, part = (Components(box, every.radius, *(_shared(c[some]) for c in columns)) for some in (~chosen, chosen))
    return rest, part


def gather(images: Array, parts: Components) -> Array:
    """Components (N, J), complex, of images (N, n, n)."""
    xp = namespace(images)
    half = xp.reshape(fourier(images), (images.shape[0], -1))
    return xp.take(half, xp.asarray(parts.index), axis=1)


def scatter(values: Array, parts: Components) -> Array:
    """Images (N, n, n), real, whose components are ``values`` (N, J) and whose other components are zero."""
    xp = namespace(values)
    n, count = parts.box, values.shape[0]
    sources = xp.concat([values, xp.conj(values), xp.zeros((count, 1), dtype=values.dtype)], axis=1)
    half = xp.take(sources, xp.asarray(_scatter_sources(parts)), axis=1)
    return inverse(xp.reshape(half, (count, n, n // 2 + 1)))


def _scatter_sources(parts: Components) -> NDArray[np.int64]:
    """For each half-plane component: j where it is component j, J + j where it is its conjugate, else 2 J."""
    n, count = parts.box, len(parts)
    sources = np.full(n * (n // 2 + 1), 2 * count)
    sources[parts.index] = np.arange(count)
    mates = np.flatnonzero((parts.kx == 0) & (parts.ky > 0))  # irfft reads both halves of the column kx = 0
    sources[(n - parts.ky[mates]) * (n // 2 + 1)] = count + mates
    return sources


def shift_phases(shifts_pixels: Array, parts: Components, like: Array | None = None) -> Array:
    """Factors (S, J) that move an image by each of ``shifts_pixels`` (S, 2) x, y: complex128 in NumPy, or in the
    library and of the dtype of ``like``."""
    shifts = np.asarray(shifts_pixels, dtype=np.float64)
    like = np.empty(0, dtype=np.complex128) if like is None else like
    xp = namespace(like)

    def along(shift: NDArray[np.float64], k: NDArray[np.int64]) -> Array:
        """The factors of one axis, where few frequencies are different: the exponential takes longest."""
        first = k.min()
        table = np.exp(-2j * np.pi / parts.box * np.outer(shift, np.arange(first, k.max() + 1)))
        return xp.take(xp.asarray(table, dtype=like.dtype), xp.asarray(k - first), axis=1)

    return along(shifts[:, 0], parts.kx) * along(shifts[:, 1], parts.ky)


def resize(x: Array, box: int, ndim: int = 2) -> Array:
    """Images or maps (..., n, n) resampled to ``box`` pixels by cutting or padding their transform.

    The field of view stays, so the pixel size changes by n / box; grey values are kept. The Nyquist row and
    column of the smaller box are set to zero. Raises InputError if a box is odd.
    """
    xp = namespace(x)
    n = x.shape[-1]
    if box < 2 or box % 2 or n % 2:
        raise InputError(f"a box of {n} pixels cannot be resampled to {box}: both must be even, and at least 2 pixels")
    f = fourier(x, ndim)
    small = min(n, box)
    half = small // 2
    for axis in range(-ndim, -1):
        low = [slice(None)] * f.ndim
        high = [slice(None)] * f.ndim
        low[axis], high[axis] = slice(0, half), slice(f.shape[axis] - half + 1, None)
        gap_shape = list(f.shape)
        gap_shape[axis] = box - (2 * half - 1)
        f = xp.concat([f[tuple(low)], xp.zeros(tuple(gap_shape), dtype=f.dtype), f[tuple(high)]], axis=axis)
    kept = f[..., :half]
    tail = xp.zeros((*f.shape[:-1], box // 2 + 1 - half), dtype=f.dtype)
    return inverse(xp.concat([kept, tail], axis=-1), ndim) * (box / n) ** ndim


def shellwise(x: Array, gain: NDArray[np.floating], ndim: int) -> Array:
    """``x`` (…, n, …) with each Fourier shell multiplied by its ``gain`` (n//2 + 1,), the corners by the last."""
    xp, box = namespace(x), x.shape[-1]
    shell = np.minimum(shells(box, ndim), box // 2)
    return inverse(fourier(x, ndim) * xp.asarray(np.asarray(gain)[shell], dtype=x.dtype), ndim)
