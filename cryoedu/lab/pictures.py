"""From numbers on disk to what a screen can show: fewer pixels, grey levels, power spectra. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.files.ondisk import OnDisk
from cryoedu.geometry.fourier import frequencies, multiplicity

Numbers = NDArray[Any] | OnDisk  # in memory, or in a file
READ = 256 * 10**6  # bytes that one picture may read from disk; beyond, pixels are left out instead of averaged
PAGE = 4096  # what a disk reads for one number
BAND = 1 << 22  # numbers that are in memory at a time
PLACES = 64  # of a large file that its statistics are taken from


def block_means(values: Numbers, factors: tuple[int, ...]) -> NDArray[np.float32]:
    """Means of values (…) over blocks of so many along each axis, in float32; what does not fill a block is left out.

    A band of the first axis is in memory at a time; of a block that is larger, one row.
    """
    kept = [n // f for n, f in zip(values.shape, factors)]
    if max(factors) == 1:
        return np.asarray(values, dtype=np.float32)
    out = np.empty(kept, dtype=np.float32)
    block = factors[0] * math.prod(values.shape[1:])
    if block > BAND and values.ndim > 1:
        for i in range(kept[0]):
            rows = (block_means(row, factors[1:]) for row in values[factors[0] * i : factors[0] * (i + 1)])
            out[i] = sum(rows, start=np.zeros(kept[1:])) / factors[0]
        return out
    inner = values[:, *(slice(0, f * k) for f, k in zip(factors[1:], kept[1:]))]
    count = max(1, BAND // max(block, 1))
    blocks = [part for pair in zip(kept[1:], factors[1:]) for part in pair]
    axes = tuple(range(1, 2 * len(kept), 2))
    for start in range(0, kept[0], count):
        band = np.asarray(inner[factors[0] * start : factors[0] * min(start + count, kept[0])], dtype=np.float32)
        out[start : start + count] = band.reshape(-1, factors[0], *blocks).mean(axis=axes)
    return out


def shrink(values: Numbers, most: int, read: int = READ) -> tuple[NDArray[np.float32], tuple[int, ...], bool]:
    """Values (…) with at most ``most`` along every axis; by which factors, and whether some of them were left out.

    Blocks are averaged. Where that would read more than ``read`` bytes from disk, only every so many-th row is.
    """
    order = sorted(range(values.ndim), key=lambda axis: -abs(values.strides[axis]))  # as they lie on disk
    back = [order.index(axis) for axis in range(values.ndim)]
    small, factors, sampled = _shrink(values.transpose(order), most, read)
    return small.transpose(back), tuple(factors[axis] for axis in back), sampled


def _shrink(values: Numbers, most: int, read: int) -> tuple[NDArray[np.float32], tuple[int, ...], bool]:
    saving = values.ndim - (abs(values.strides[-1]) < PAGE)  # leaving out neighbours on one page saves nothing
    step = max(1, math.ceil((reads(values) / read) ** (1 / max(saving, 1))))
    inner = math.ceil(max(values.shape) / most / step)  # of those that are taken, how many are averaged
    factors = tuple(min(step * inner, n) for n in values.shape)
    taken = values[tuple(slice(0, f * (n // f), step if axis < saving else 1)
                         for axis, (n, f) in enumerate(zip(values.shape, factors)))]
    blocks = tuple(math.ceil(f / step) if axis < saving else f for axis, f in enumerate(factors))
    return block_means(taken, blocks), factors, step > 1


def reads(values: Numbers) -> int:
    """About how many bytes a disk reads for these values: whole pages, for a single one too."""
    rows = math.prod(values.shape[:-1])
    return rows * max(min(PAGE, abs(values.strides[-1])) * values.shape[-1], values.dtype.itemsize)


def limits(values: NDArray[np.floating], sigmas: float) -> tuple[float, float]:
    """Mean less, and plus, so many standard deviations, of what is finite; 0 and 1 if nothing is."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    mean, reach = float(finite.mean(dtype=np.float64)), sigmas * float(finite.std(dtype=np.float64))
    return mean - reach, mean + reach


def grey(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """Values (…) as levels, 0 at ``low`` and less, 255 at ``high`` and more, 0 where they are no numbers."""
    scaled = (np.asarray(values, dtype=np.float64) - low) * (255 / (high - low) if high > low else 0.0)
    return np.rint(np.clip(np.nan_to_num(scaled), 0, 255)).astype(np.uint8)


def statistics(stack: Numbers, most: int = 4 * 10**6) -> dict[str, float | int | None]:
    """Lowest and highest value, mean and standard deviation of a stack (N, h, w), from about ``most`` numbers at most.

    Of a larger one `PLACES` runs of numbers are read, evenly spread: a disk finds few places quickly, and many slowly.
    ``share`` says how much was measured, ``broken`` how many were no numbers.
    """
    flat, size = stack.ravel(), math.prod(stack.shape)
    run = max(1, min(size, most) // PLACES)
    starts = range(0, size, run) if size <= most else np.linspace(0, size - run, PLACES).astype(np.int64).tolist()
    total, squares, low, high, finite, seen = 0.0, 0.0, math.inf, -math.inf, 0, 0
    shift: float | None = None
    for start in starts:
        values = np.asarray(flat[start : start + run], dtype=np.float64)
        good = values[np.isfinite(values)]
        seen += values.size
        if not good.size:
            continue
        shift = float(good[0]) if shift is None else shift  # squares of small differences lose no digits
        finite += good.size
        low, high = min(low, float(good.min())), max(high, float(good.max()))
        total += float((good - shift).sum())
        squares += float(np.square(good - shift).sum())
    if shift is None:
        return {"low": None, "high": None, "mean": None, "sigma": None, "share": seen / size, "broken": seen}
    mean = total / finite
    return {"low": low, "high": high, "mean": shift + mean, "sigma": math.sqrt(max(squares / finite - mean**2, 0.0)),
            "share": seen / size, "broken": seen - finite}


def image_power(images: Iterable[Numbers], box: int) -> NDArray[np.float64]:
    """Mean power of images (box, box), the half plane (box, box // 2 + 1), of each less its mean."""
    total, count = np.zeros((box, box // 2 + 1)), 0
    for image in images:
        values = np.nan_to_num(np.asarray(image, dtype=np.float32))
        total += np.square(np.abs(np.fft.rfft2(values - values.mean())))
        count += 1
    return total / max(count, 1)


def map_power(volume: NDArray[Any]) -> NDArray[np.float32]:
    """Power of a map (n, n, n) less its mean, in the half volume (n, n, n // 2 + 1)."""
    n = len(volume)
    f = np.empty((n, n, n // 2 + 1), dtype=np.complex64)
    for z in range(n):
        f[z] = np.fft.rfft2(np.nan_to_num(np.asarray(volume[z], dtype=np.float32)))
    f[:, 0, 0] -= f[:, 0, 0].mean()
    for y in range(n):
        f[:, y] = np.fft.fft(f[:, y], axis=0)
    return np.square(f.real) + np.square(f.imag)


def profile(power: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean over each shell, 0 to n // 2, of a half plane (n, n // 2 + 1) or half volume (n, n, n // 2 + 1)."""
    n = power.shape[-2]
    ky, kx = frequencies(n, 2)
    weight, bins = multiplicity(n, 2).ravel(), n // 2 + 1
    sums, counts = np.zeros(bins), np.zeros(bins)
    sections = frequencies(n, 3)[0].ravel() if power.ndim == 3 else np.zeros(1)
    for kz, plane in zip(sections, power.reshape(-1, n, bins)):
        shell = np.floor(np.sqrt((ky**2 + kx**2 + kz**2).astype(np.float64)) + 0.5).astype(np.int64).ravel()
        inside = shell < bins
        sums += np.bincount(shell[inside], (plane.ravel() * weight)[inside], bins)
        counts += np.bincount(shell[inside], weight[inside], bins)
    return sums / counts


def whole_plane(half: NDArray[np.floating]) -> NDArray[np.floating]:
    """The plane (n, n) of a power spectrum, frequency 0 at n // 2, from its half plane (n, n // 2 + 1)."""
    n = len(half)
    mirrored = half[-np.arange(n) % n, 1 : (n + 1) // 2][:, ::-1]
    return np.asarray(np.fft.fftshift(np.concatenate([half, mirrored], axis=1)))
