"""The inner loops of adaptive and local searches on the CPU, compiled: one image before the points that it follows.

Each function has its body for other array libraries, which says the same in whole arrays, in
`cryoedu.inference.following`, `points` and `local`. Here nothing of an image leaves the fast memory that need not, the
interpreter is left alone, so that other threads go on, and slices are read where they stand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from cryoedu.microscope.slices_numba import extract_alone

FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums may be taken in any order, which wide registers need
ROWS = 64  # whose sums are taken in single precision


@njit(inline="always")
def _exp(x: Any) -> Any:
    """e to the power of x ≤ 0, float32, to 3e-7 of itself: a polynomial (Cephes), which goes into wide registers as the
    library's function does not."""
    f = np.float32
    x = max(x, f(-75.0))  # beyond, a share of it would be too small for float32, and computing with those takes long
    n = np.floor(x * f(1.44269504) + f(0.5))
    r = x - n * f(0.693359375) + n * f(2.12194440e-4)
    p = ((((f(1.9875691500e-4) * r + f(1.3981999507e-3)) * r + f(8.3334519073e-3)) * r + f(4.1665795894e-2)) * r
         + f(1.6666665459e-1)) * r + f(5.0000001201e-1)
    return (p * r * r + r + f(1.0)) * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(nogil=True, cache=True, fastmath=FAST)
def moved(b: Any, shifts: Any, kx: Any, ky: Any, box: int) -> Any:
    """An image (2 J,) moved by each of ``shifts`` (S, 2) pixels: (S, 2 J)."""
    most = int(max(np.abs(kx).max(), np.abs(ky).max()))
    out = np.empty((len(shifts), len(b)), np.float32)
    along = np.empty((2, 2 * most + 1, 2), np.float32)
    for s in range(len(shifts)):
        for axis in range(2):
            for k in range(-most, most + 1):
                angle = -2 * np.pi / box * shifts[s, axis] * k
                along[axis, k + most, 0], along[axis, k + most, 1] = np.cos(angle), np.sin(angle)
        for j in range(len(kx)):
            x, y = along[0, int(kx[j]) + most], along[1, int(ky[j]) + most]
            re, im = x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]
            out[s, 2 * j] = b[2 * j] * re - b[2 * j + 1] * im
            out[s, 2 * j + 1] = b[2 * j] * im + b[2 * j + 1] * re
    return out


@njit(nogil=True, cache=True)
def _computed(k: int, turn: Any, parent: Any, source: Any, kx: Any, ky: Any, padding: int, out: Any) -> None:
    """The slice (2 J,) of map ``k`` at ``turn`` @ ``parent``."""
    axes = np.zeros((1, 2, 3))
    for i in range(2):
        for j in range(3):
            for m in range(3):
                axes[0, i, j] += padding * turn[i, m] * parent[m, j]
    extract_alone(source[k : k + 1], axes, kx, ky, out.reshape(1, 1, len(out)))


@njit(nogil=True, cache=True, fastmath=FAST)
def weigh(images: Any, pairs: Any, of_families: Any, of_shifts: Any, scratch: Any, slots: Any, table: Any, turns: Any,
          source: Any, classes: Any, parents: Any, kx: Any, ky: Any, padding: int) -> Any:
    """Γ (H, S) of an image, moved by each shift (S, 2 J), before the H = F · T children of families; its sums over
    shifts (H,) and over points (S,), and log evidence.

    pairs: (2 J,) CTF²/σ² of each real number.  of_families: (F,) and of_shifts: (S,) log priors.
    scratch: (R, 2 J) to be written over by slices, so many points at a time; of no rows where the table holds all of
        them, in their order.
    """
    shifts, reals, split = len(images), len(pairs), len(turns)
    points = len(slots) * split
    piece, in_place = (len(scratch), False) if len(scratch) else (points, True)
    gamma = np.empty((points, shifts), np.float32)
    dc = images[:, :2].copy()
    images[:, :2] = 0.0  # it is not scored
    energy = np.empty(piece, np.float32)
    top = np.float32(-np.inf)
    for first in range(0, points, piece):
        size = min(piece, points - first)
        slices = table[:size] if in_place else scratch[:size]
        for i in range(size):
            family, child = divmod(first + i, split)
            row = slots[family] * split + child
            if row < 0:
                _computed(classes[family], turns[child], parents[family], source, kx, ky, padding, slices[i])
            elif not in_place:
                for j in range(reals):
                    slices[i, j] = table[row, j]
            total = np.float32(0.0)
            for j in range(2, reals):
                total += pairs[j] * slices[i, j] * slices[i, j]
            energy[i] = np.float32(0.5) * total - of_families[family]
        np.dot(slices, images.T, gamma[first : first + size])
        for i in range(size):
            for s in range(shifts):
                score = gamma[first + i, s] - energy[i] + of_shifts[s]
                gamma[first + i, s] = score
                top = max(top, score)
    for s in range(shifts):
        images[s, 0], images[s, 1] = dc[s, 0], dc[s, 1]
    over_shifts, over_points, evidence = np.empty(points, np.float32), np.zeros(shifts), 0.0
    for h in range(points):
        of_point = np.float32(0.0)
        for s in range(shifts):
            weight = _exp(gamma[h, s] - top)
            gamma[h, s] = weight
            of_point += weight
            over_points[s] += weight
        over_shifts[h] = of_point
        evidence += float(of_point)
    share = np.float32(1 / evidence)
    for h in range(points):
        over_shifts[h] *= share
        for s in range(shifts):
            gamma[h, s] *= share
    return gamma, over_shifts, over_points / evidence, top + np.log(evidence)


@njit(nogil=True, cache=True, fastmath=FAST)
def summed(numerator: Any, gamma: Any, images: Any, pairs: Any, children: Any, slots: Any, table: Any, turns: Any,
           source: Any, classes: Any, parents: Any, kx: Any, ky: Any, padding: int) -> Any:
    """Fills in the numerators (M, 2 J) of some ``children`` (M,) of families; gives the sums of each real number (2 J,)
    of Γ B A and Γ C |A|². Γ (M, S), images (S, 2 J)."""
    reals, split = len(pairs), len(turns)
    overlap, energy = np.zeros(reals), np.zeros(reals)
    some_overlap, some_energy = np.empty(reals, np.float32), np.empty(reals, np.float32)
    scratch = np.empty((1, reals), np.float32)
    for first in range(0, len(children), ROWS):
        last = min(first + ROWS, len(children))
        np.dot(gamma[first:last], images, numerator[first:last])
        some_overlap[:], some_energy[:] = 0.0, 0.0
        for i in range(first, last):
            family, child, weight = children[i] // split, children[i] % split, np.float32(0.0)
            row, slices = slots[family] * split + child, table
            for s in range(gamma.shape[1]):
                weight += gamma[i, s]
            if row < 0:
                row, slices = 0, scratch
                _computed(classes[family], turns[child], parents[family], source, kx, ky, padding, scratch[0])
            for j in range(reals):
                some_overlap[j] += numerator[i, j] * slices[row, j]
                some_energy[j] += weight * slices[row, j] * slices[row, j]
        overlap += some_overlap
        energy += some_energy
    return overlap, energy * pairs


@njit(nogil=True, cache=True)
def heavy(weights: Any, left_out: float) -> Any:
    """Which of the weights (H,) of an image count: all but the lightest, which hold no more than ``left_out``. Equal
    ones count or not together."""
    light, more = 0.0, left_out  # the threshold is between these; no sort, which takes seconds to compile
    for _ in range(50):
        middle, held = (light + more) / 2, 0.0
        for weight in weights:
            held += weight if weight <= middle else 0.0
        light, more = (middle, more) if held <= left_out else (light, middle)
    return weights > light


@njit(nogil=True, cache=True, fastmath=FAST)
def around(b: Any, c: Any, shifts: Any, of_classes: Any, of_shifts: Any, rotations: Any, source: Any, kx: Any, ky: Any,
           box: int, padding: int, left_out: float, numerators: Any, denominators: Any, rows: Any) -> Any:
    """Images b (N', 2 J), c (N', J), moved by shifts (N', S, 2) pixels, before all maps at rotations (N', T, 3, 3).

    of_classes: (K,) and of_shifts: (N', S) log priors.
    numerators: (K, N' T, 2 J), denominators: (K, N' T, J) and rows: (K, N' T), image · T + turn, to be filled with the
        hypotheses that count: all but the lightest of an image, which hold no more than ``left_out``.
    Gives how many these are of each class (K,), and of each image its log evidence, its best hypothesis, as h S + s,
    how much that weighs, Γ of each class (N', K) and shift (N', S), and the sums of Γ B A and Γ C |A|² (N', 2 J).
    """
    (count, reals), classes, split = b.shape, len(of_classes), rotations.shape[1]
    evidence, best, largest = np.empty(count), np.empty(count, np.int64), np.empty(count)
    gamma_of_classes, gamma_of_shifts = np.zeros((count, classes)), np.empty(of_shifts.shape)
    overlap, energy = np.zeros((count, reals)), np.zeros((count, reals))
    filled, maps, pairs = np.zeros(classes, np.int64), np.arange(classes), np.empty(reals, np.float32)
    slices, axes = np.empty((classes * split, reals), np.float32), np.empty((split, 2, 3))
    for i in range(count):
        for j in range(reals // 2):
            pairs[2 * j] = pairs[2 * j + 1] = c[i, j]
        for t in range(split):
            for j in range(6):
                axes[t, j // 3, j % 3] = padding * rotations[i, t, j // 3, j % 3]
        images = moved(b[i], shifts[i], kx, ky, box)
        extract_alone(source, axes, kx, ky, slices.reshape(classes, split, reals))
        there = maps, slices, rotations[i], source, maps[:0], rotations[i, :0], kx, ky, padding
        gamma, weights, of_image, evidence[i] = weigh(images, pairs, of_classes, of_shifts[i], slices[:0], *there)
        for s in range(len(of_image)):
            gamma_of_shifts[i, s] = of_image[s]
        best[i] = gamma.argmax()
        largest[i] = gamma.flat[best[i]]
        counts = heavy(weights, left_out)
        for k in range(classes):
            of_class = slice(k * split, (k + 1) * split)
            gamma_of_classes[i, k] = weights[of_class].sum()
            children = k * split + np.flatnonzero(counts[of_class])
            mine = slice(filled[k], filled[k] + len(children))
            filled[k] = mine.stop
            match, power = summed(numerators[k, mine], gamma[children], images, pairs, children, *there)
            for j in range(reals):
                overlap[i, j] += match[j]
                energy[i, j] += power[j]
            for m in range(len(children)):
                row, weight = mine.start + m, weights[children[m]]
                rows[k, row] = (i - k) * split + children[m]
                for j in range(reals // 2):
                    denominators[k, row, j] = weight * c[i, j]
    return filled, evidence, best, largest, gamma_of_classes, gamma_of_shifts, overlap, energy


@njit(nogil=True, cache=True)
def add_rows(numerators: Any, totals: Any, rows: Any, numerator: Any, weights: Any, c: Any) -> None:
    """Add to rows of ``numerators`` (R, 2 J) those of ``numerator`` (M, 2 J), and to ``totals`` (R, J) their weights
    (M,) of c (J,); negative rows are left out."""
    for i in range(len(rows)):
        if rows[i] >= 0:
            row, weight = rows[i], weights[i]
            for j in range(numerators.shape[1]):
                numerators[row, j] += numerator[i, j]
            for j in range(totals.shape[1]):
                totals[row, j] += weight * c[j]
