"""Particles in blocks that fit the memory budget, weighed by CTF and noise, ready for the matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, attempt, is_cupy, on_gpu, to_numpy
from cryoedu.errors import InputError
from cryoedu.inference.memory import room
from cryoedu.inference.model import Floats
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.aberrations import phase_factor, undistorted
from cryoedu.microscope.ctf import ctf_components
from cryoedu.particles.particles import ISOTROPIC, Optics, Particles
from cryoedu.threads import in_threads, workers

S = TypeVar("S")
T = TypeVar("T")
LARGEST_BLOCK = 4096  # rows (images × shifts) beyond which a larger product is no faster
FEWEST_ROWS = 256  # below which a product on the CPU is slower
FAST_SCORES = 2**22  # scores at a time on the CPU: more leave the fast memory between the product and the softmax
FAST_BLOCK = 2**21  # bytes of a block on the CPU: more leave the fast memory between one step and the next
CTF_FLOOR = 1e-3  # below this, a premultiplied component says too little of its noise to be divided by its CTF


@dataclass(frozen=True)
class Loaded:
    """What the host gives of some images of one noise group, a slice of which is what it gives of fewer.

    rows: (N',) which particles.  images: (N', n, n).  ctf: (N', J), or None.
    """

    rows: NDArray[np.int64]
    images: NDArray[np.float32]
    ctf: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, some: slice) -> Loaded:
        return Loaded(self.rows[some], self.images[some], None if self.ctf is None else self.ctf[some])


@dataclass(frozen=True)
class Block:
    """Some images of one noise group.

    rows: (N',) which particles.
    b: (N', S, D) CTF · (X shifted back) / σ², real numbers.  c: CTF² / σ², (N', J), or (1, J) without CTF. A scale of
        the particles counts as part of their CTF.
    power: (J,) Σ |X|² over the images, a premultiplied CTF undone.
    """

    rows: NDArray[np.int64]
    b: Array
    c: Array
    power: Floats


def block_sizes(space: FourierSpace, classes: int, orientations: int, shifts: int, budget: int, xp: ModuleType,
                beside: int = 0) -> tuple[int, int, int]:
    """Images in a block, orientations to hold at once and blocks under way at a time (one in each thread), within
    ``budget`` bytes: half for predictions and their sums, half for the blocks.

    beside: bytes of the budget that other things take.
    Raises InputError if not even one image with one orientation fits.
    """
    threads, each_orientation = workers(xp), each_orientation_of(space, classes, xp)
    need = least_block(space, classes, shifts, xp)
    budget = room(budget, beside, need, "one image with its hypotheses", "fewer shifts")
    of_image = each_image_of(space, classes, 0, shifts)
    lot = min(orientations, budget // 2 // each_orientation, (budget // 2 - of_image) // (12 * shifts * classes))
    each_image = each_image_of(space, classes, lot, shifts)
    rows = LARGEST_BLOCK if on_gpu(xp) else max(FAST_SCORES // (classes * lot), FEWEST_ROWS)
    wanted = max(min(rows, LARGEST_BLOCK) // shifts, 1)
    threads = min(threads, budget // 2 // each_image)
    images = min(budget // 2 // each_image // threads, wanted)
    return int(images), int(lot), int(threads)


def least_block(space: FourierSpace, classes: int, shifts: int, xp: ModuleType) -> int:
    """Bytes for one image with one orientation."""
    return 2 * max(each_orientation_of(space, classes, xp), each_image_of(space, classes, 1, shifts))


def each_orientation_of(space: FourierSpace, classes: int, xp: ModuleType) -> int:
    """Bytes that an orientation takes, with what every thread adds up for it."""
    threads, columns = workers(xp), len(space.bins)
    return 4 * classes * columns * ((4 + threads) * space.unknowns + 1 + threads)


def each_image_of(space: FourierSpace, classes: int, lot: int, shifts: int) -> int:
    """Bytes that an image takes before ``lot`` orientations."""
    columns = len(space.bins)
    return 4 * shifts * (4 * columns * space.unknowns + 3 * classes * lot) + 24 * columns + 20 * space.box**2


def block_size(each: int, budget: int, xp: ModuleType, fast: int = FAST_BLOCK) -> int:
    """Images of ``each`` bytes in a block of its own thread: as many as ``fast`` bytes hold on the CPU, where more
    would leave fast memory between one step and the next."""
    return int(np.clip(min(budget // 4 // workers(xp), budget if on_gpu(xp) else fast) // each, 1, 1024))


def half_as_many(images: int) -> int:
    """How many images to try after ``images`` did not fit. Raises InputError if that was a single one."""
    if images <= 1:
        raise InputError("memory ran out with a single image and what is held beside it: give a smaller --memory, with "
                         "which fewer orientations are held at once, or close other programs")
    return images // 2


def in_pieces(look: Callable[..., T], size: int, xp: ModuleType) -> Callable[..., list[T]]:
    """``look``, whose first argument is images or their rows, with at most ``size`` of them at a time, or as many fewer
    as memory was found to hold.

    Raises InputError if it cannot hold one.
    """
    def pieces(rows: NDArray[np.int64] | Loaded, *others: Any) -> list[T]:
        nonlocal size
        out: list[T] = []
        while len(rows):
            some = rows[:size]
            found = attempt(xp, look, some, *others)
            if found is None:
                size = half_as_many(len(some))
            else:
                out.append(found)
                rows = rows[len(some) :]
        return out

    return pieces


def as_memory_allows(work: Callable[[S], T], items: Sequence[S], xp: ModuleType, *, most: int | None = None,
                     ahead: int = 8) -> Iterator[T]:
    """``work`` of each item, in their order, as `in_threads`; where memory runs out, with half as many threads.

    Raises InputError if memory runs out in a single thread.
    """
    def tried(item: S) -> T | None:
        return attempt(xp, work, item)

    done, threads = 0, min(workers(xp), most or workers(xp))
    while done < len(items):
        with closing(in_threads(tried, items[done:], xp, most=threads, ahead=ahead)) as every:
            for found in every:
                if found is None:
                    break
                done += 1
                yield found
            else:
                return
        threads, ahead = half_as_many(threads), 1


def load(particles: Particles, rows: NDArray[np.int64], group: int, space: FourierSpace) -> Loaded:
    """Images and CTF of the particles ``rows``, all of optics group ``group``: all that needs the host."""
    images = np.ascontiguousarray(particles.images[rows], dtype=np.float32)
    if particles.ctf is None:
        return Loaded(rows, images, None)
    ctf = ctf_components(space.parts, particles.optics[group], particles.ctf[rows])
    return Loaded(rows, images, ctf.astype(np.float32))


def prepare(particles: Particles, rows: NDArray[np.int64], group: int, sigma2: Floats, shifts: Floats,
            space: FourierSpace, xp: ModuleType) -> Block:
    """The particles ``rows``, all of optics group ``group``, shifted back by every shift (S, 2) in Å.

    sigma2: (J,) of each column.  Known shifts of the particles are undone first.
    Raises InputError if an image holds NaN or infinite values.
    """
    return prepared(particles, load(particles, rows, group, space), group, sigma2, shifts, space, xp)


def prepared(particles: Particles, loaded: Loaded, group: int, sigma2: Floats, shifts: Floats, space: FourierSpace,
             xp: ModuleType) -> Block:
    """`prepare`, of particles that were loaded before."""
    rows, x = loaded.rows, columns_of(particles, loaded, group, space, xp)
    weight = xp.asarray(1.0 / sigma2, dtype=xp.float32)[None, ...]
    if loaded.ctf is None:
        power = absolute2(x, xp)
        b, c = x * weight, weight
    else:
        ctf = xp.asarray(loaded.ctf)
        power = absolute2(x, xp)
        if particles.optics[group].ctf_premultiplied:
            expected = space.unknowns / weight  # stands in where the CTF has nothing left: it moves no estimate
            ctf2 = xp.maximum(ctf * ctf, xp.asarray(CTF_FLOOR**2, dtype=xp.float32))
            power = xp.where(xp.abs(ctf) > CTF_FLOOR, power / ctf2, expected)
            b = x * weight
        else:
            b = x * (ctf * weight)
        c = ctf * ctf * weight
    if particles.scale is not None:
        scale = xp.asarray(particles.scale[rows], dtype=xp.float32)[:, None]
        b, c = b * scale, c * (scale * scale)
    total = to_numpy(xp.sum(power, axis=0)).astype(np.float64)
    if not np.isfinite(total).all():
        bad = rows[~np.isfinite(loaded.images).all(axis=(1, 2))]
        where = f"image {bad[0] + 1} holds NaN or infinite values" if len(bad) else "an image has values too large"
        raise InputError(f"{where}, so nothing can be compared with it: leave it out or correct it")
    return Block(rows, as_reals(space.shifted(b, -shifts), xp), c, total)


def columns_of(particles: Particles, loaded: Loaded, group: int, space: FourierSpace, xp: ModuleType) -> Array:
    """Columns (N', J) of loaded images, without their known shifts, and without the anisotropic magnification and odd
    aberrations of their optics group, if any are known."""
    optics, images = particles.optics[group], xp.asarray(loaded.images)
    shifts = None if particles.shifts is None else -particles.shifts[loaded.rows]
    if optics.magnification == ISOTROPIC or space.unknowns == 1:
        x = space.load(images)
    else:
        x = undistorted(images, optics, space.parts)
        shifts = None if shifts is None else shifts @ np.linalg.inv(optics.magnification)
    if shifts is not None:
        x = space.recentred(x, shifts)
    factor = _aberrations(optics, space)
    return x if factor is None else x * xp.asarray(factor.conj())


@lru_cache(maxsize=16)
def _aberrations(optics: Optics, space: FourierSpace) -> NDArray[np.complex64] | None:
    return phase_factor(optics, space.parts) if space.unknowns == 2 else None


def as_reals(columns: Array, xp: ModuleType) -> Array:
    """Complex (…, J) as real (…, 2 J), each imaginary part behind its real one: the same memory, where the library can
    look at it so. Real columns stay as they are."""
    if columns.dtype not in (xp.complex64, xp.complex128):
        return columns
    if isinstance(columns, np.ndarray) or is_cupy(columns):
        return xp.ascontiguousarray(columns).view(columns.real.dtype)
    return xp.reshape(xp.stack([xp.real(columns), xp.imag(columns)], axis=-1), (*columns.shape[:-1], -1))


def as_columns(reals: Array, space: FourierSpace, xp: ModuleType) -> Array:
    """Undo `as_reals`."""
    if space.unknowns == 1:
        return reals
    if isinstance(reals, np.ndarray) or is_cupy(reals):
        return xp.ascontiguousarray(reals).view(xp.result_type(reals.dtype, xp.complex64))
    return reals[..., ::2] + 1j * reals[..., 1::2]


def absolute2(columns: Array, xp: ModuleType) -> Array:
    """|x|² of real or complex columns."""
    if columns.dtype in (xp.complex64, xp.complex128):
        return xp.real(columns) ** 2 + xp.imag(columns) ** 2
    return columns * columns
