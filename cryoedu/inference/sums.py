"""Sums of an expectation step, from which maps are solved: a slice for each point of a grid, or all in a volume.

A dense search has one slice for each point of its grid, and the maximisation can go back to every one of them
(`SliceSums`). Adaptive and local searches have other slices for every image. Their numerators and weights are inserted
at once (`VolumeSums`). Weights on the padded grid stand for the slices: P^T W P V is then V padded, transformed,
weighed, and cut again, a convolution. Insertion has blurred these weights, by a triangle along each axis. On the first
shells that is undone (`deblurred`), or these, the strongest, would be counted beside where they are, and come out too
weak.

The mean (DC) is kept apart there. It always meets a grid point, where the gridding correction is too strong, and with
the weight of all images behind it, it would print the correction onto the map.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, fourier_transforms, like, namespace, on_gpu, to_numpy
from cryoedu.geometry.euler import Floats
from cryoedu.geometry.fourier import multiplicity
from cryoedu.geometry.symmetry import symmetrised_rotations, symmetry_operators
from cryoedu.inference.maximisation import Equations, data_weight, mirrored_plane
from cryoedu.inference.memory import SLICES
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.projection import (
    PADDING,
    by_class,
    half_shape,
    padded_fourier,
    padded_fourier_adjoint,
    padded_radius,
    reach,
    transform_adjoint,
    window,
)
from cryoedu.microscope.slices import insert_into

DEBLURRED = (4, 8)  # shells until which weights are deblurred altogether, and from which on not at all
NEARBY = 24  # on the padded grid: what lies beyond has no part in the deblurring of those shells
ADDED = ("numerator", "denominator", "squares", "counts", "shift_square", "log_likelihood")
BATCH = 2  # components for each voxel that wait before they are inserted


@dataclass(frozen=True)
class SliceSums:
    """What the maximisation needs, summed over all particles, with a slice for each point of a grid.

    numerator, denominator: (K, O, J), on the array library's device.
    squares: (G, bins) Σ Γ |X - CTF A|², and counts: (G, bins) how many columns stand behind it.
    shift_square: Å², Σ Γ |s|².  log_likelihood: of the particles under the model.
    rotations: (O, 3, 3) of the slices, each of which stands for all poses that ``symmetry`` makes the same.
    """

    numerator: Array
    denominator: Array
    squares: Floats
    counts: Floats
    shift_square: float
    log_likelihood: float
    rotations: Floats
    symmetry: str = "C1"

    def __add__(self, other: SliceSums) -> SliceSums:
        """The sums of both lots of particles, which were shown the same grid."""
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in ADDED})

    def equations(self, space: FourierSpace) -> Equations:
        """The normal equations of the maps, slice by slice.

        An image of a symmetric map counts as often as the group has operators, against a prior of each component.
        """
        rotations, xp = symmetrised_rotations(self.rotations, self.symmetry), namespace(self.numerator)
        classes, orientations, columns = self.denominator.shape
        size = max(SLICES // (8 * classes * columns), 1)

        def over_lots(look: Callable[[Array, Array, Floats], Array]) -> Array:
            """What ``look`` makes of numerators, denominators and their rotations, summed over all of them."""
            total = None
            for first in range(0, len(rotations), size):
                some = slice(first, min(first + size, len(rotations)))
                at = xp.asarray(np.arange(some.start, some.stop) % orientations)
                numerator, denominator = (part if some == slice(0, orientations) else xp.take(part, at, axis=1)
                                          for part in (self.numerator, self.denominator))
                found = look(numerator, denominator, rotations[some])
                if total is None:
                    total = found
                else:
                    total += found
            return total

        def curvature(maps: Array) -> Array:
            return over_lots(lambda _, weights, turned:
                             space.backproject(weights * space.project(maps, turned), turned))

        return Equations(over_lots(lambda numerator, _, turned: space.backproject(numerator, turned)),
                         over_lots(lambda _, weights, turned: data_weight(space, turned, weights)), curvature)

    def on_grid(self, space: FourierSpace) -> VolumeSums:
        """The same sums with the slices inserted, which can be added to those of other particles and taken off."""
        inserter = Inserter(space, len(self.numerator), namespace(self.denominator), self.symmetry)
        for k in range(len(self.numerator)):
            inserter.add(k, self.numerator[k, ...], self.denominator[k, ...], self.rotations)
        return inserter.sums(self.squares, self.counts, self.shift_square, self.log_likelihood)


@dataclass(frozen=True)
class VolumeSums:
    """What the maximisation needs, as `SliceSums`, with slices already inserted.

    inserted, weights: (K, Z, Y, X) on the padded grid as far as slices reach, without DC.
    dc: (K, 2) numerator and weight of DC.
    """

    inserted: Array
    weights: Array
    dc: Floats
    squares: Floats
    counts: Floats
    shift_square: float
    log_likelihood: float

    def __add__(self, other: VolumeSums) -> VolumeSums:
        """The sums of both lots of particles."""
        return self._with(other, 1)

    def __sub__(self, other: VolumeSums) -> VolumeSums:
        """The sums without those of the particles behind ``other``."""
        return self._with(other, -1)

    def _with(self, other: VolumeSums, sign: int) -> VolumeSums:
        # weights that cancel may come out a rounding below zero, and the equations must stay positive
        xp = namespace(self.weights)
        weights = self.weights + sign * other.weights
        return VolumeSums(self.inserted + sign * other.inserted,
                        xp.maximum(weights, xp.asarray(0.0, dtype=weights.dtype)), self.dc + sign * other.dc,
                        self.squares + sign * other.squares, self.counts + sign * other.counts,
                        self.shift_square + sign * other.shift_square,
                        self.log_likelihood + sign * other.log_likelihood)

    def of_all_classes(self) -> VolumeSums:
        """The sums of one map for all particles, whatever their class."""
        xp = namespace(self.weights)
        return replace(self, inserted=xp.sum(self.inserted, axis=0, keepdims=True),
                       weights=xp.sum(self.weights, axis=0, keepdims=True), dc=self.dc.sum(axis=0, keepdims=True))

    def beyond(self, shell: int) -> VolumeSums:
        """The sums of the same particles if their images held nothing up to ``shell``.

        A component is inserted at the nearest points of the padded grid, so that shell + 1 is left out by half.
        """
        kept = padded_radius(self.inserted.shape[1:]) > shell + 1
        kept = namespace(self.weights).asarray(kept, dtype=self.weights.dtype)
        return replace(self, inserted=self.inserted * kept, dc=self.dc * [0.0, 1.0])

    def on_grid(self, space: FourierSpace) -> VolumeSums:
        """These sums, which are on the grid."""
        return self

    def equations(self, space: FourierSpace) -> Equations:
        """The normal equations; the grid that was searched has no part in them."""
        ndim, box = space.ndim, space.box
        weights = mirrored_plane(self.weights, ndim)
        xp = namespace(weights)
        numerator, weight = (xp.asarray(column.reshape(-1, *[1] * ndim), dtype=weights.dtype) for column in self.dc.T)
        shape = half_shape(box, ndim, most=weights.shape[-1] - 1)
        # as often as components stand in the full transform, by halves: each independent one counts once
        twice = multiplicity(box * PADDING, 1)[: weights.shape[-1]]
        each = len(self.dc), math.prod(self.inserted.shape[1:])
        factor = xp.asarray(twice / 2, dtype=weights.dtype)
        counted = by_class(lambda k: deblurred(weights[k, ...], box) * factor, *each)

        def curvature(maps: Array) -> Array:
            def of(k: slice) -> Array:
                half = counted[k, ...] * padded_fourier(maps[k, ...], shape, PADDING)
                return padded_fourier_adjoint(half, box, PADDING)

            return by_class(of, *each) + weight * xp.sum(maps, axis=tuple(range(1, ndim + 1)), keepdims=True)

        gradient = by_class(lambda k: transform_adjoint(self.inserted[k, ...], box, ndim), *each)
        precision = by_class(lambda k: _on_own_grid(weights[k, ...], box, ndim), *each)
        precision.reshape(len(precision), -1)[:, 0] += 2 * self.dc[:, 1]  # DC has no mate: see `mirrored_plane`
        return Equations(gradient + numerator, precision, curvature)


class Inserter:
    """Collects slices and inserts them in batches, class by class, at all poses that ``symmetry`` makes the same.

    A batch finds the volume in the fast memory, and has a sum of its own: one slice is small beside the sum of
    millions, where its last digits would be lost.

    room: bytes for slices that wait, and for volumes of several threads.
    """

    def __init__(self, space: FourierSpace, classes: int, xp: ModuleType, symmetry: str = "C1",
                 room: int = 2**40) -> None:
        self.shape = half_shape(space.box, space.ndim, most=reach(space.parts))
        shape = (classes, *self.shape)
        self.space, self.xp, self.operators = space, xp, symmetry_operators(symmetry)
        where = xp if on_gpu(xp) else np  # the kernels' arrays
        self.inserted, self.weights = xp.zeros(shape, dtype=xp.complex64), xp.zeros(shape, dtype=xp.float32)
        self.batch = tuple(where.zeros((1, *self.shape), dtype=kind) for kind in (np.complex64, np.float32))
        self.dc, self.held = np.zeros((classes, 2)), 0
        self.most = max(min(BATCH * math.prod(self.shape), room // 24), 1)  # components
        self.waiting: list[list[tuple[Array, Array, Floats]]] = [[] for _ in range(classes)]

    def add(self, k: int, numerator: Array, denominator: Array, rotations: Floats) -> None:
        """Slices (M, J) of class ``k``, their weights (M, J) and rotations (M, 3, 3)."""
        self.waiting[k].append((numerator, denominator, rotations))
        self.held += denominator.shape[0] * denominator.shape[1]
        if self.held >= self.most:
            self.flush()

    def flush(self) -> None:
        """Insert what waits."""
        parts, (sums, totals) = self.space.parts, self.batch
        for k, lots in enumerate(self.waiting):
            for numerator, denominator, rotations in lots:
                for operator in self.operators:
                    insert_into(sums, totals, numerator[None, ...], denominator[None, ...], rotations @ operator,
                                parts.kx, parts.ky, PADDING)
            if lots:
                # DC alone reaches the first voxel: the padding puts all else farther away than its neighbours
                self.dc[k] += [float(sums[0, 0, 0, 0].real), float(totals[0, 0, 0, 0])]
                sums[0, 0, 0, 0], totals[0, 0, 0, 0] = 0, 0
                self.inserted[k, ...] += like(sums[0, ...], self.inserted)
                self.weights[k, ...] += like(totals[0, ...], self.weights)
                sums[...], totals[...] = 0, 0
                lots.clear()
        self.held = 0

    def sums(self, squares: Floats, counts: Floats, shift_square: float, log_likelihood: float) -> VolumeSums:
        """What was collected, in the shape of the maps."""
        self.flush()
        inserted, weights = self.inserted, self.weights
        if self.space.ndim == 2:
            weights = self.xp.squeeze(weights, axis=1)
        return VolumeSums(inserted, weights, self.dc, squares, counts, shift_square, log_likelihood)


def deblurred(weights: Array, box: int) -> Array:
    """Weights (K, …, most + 1) of samples anywhere, from those that trilinear insertion spread over the padded grid.

    A blur by a triangle is a product with sinc² in real space, where the weights are a function of the distance of two
    voxels, which is less than a box along each axis. So nothing is divided by less than sinc²(1/2), 0.4. On the first
    shells slices lie close, and the blur matters most, for the strongest shells stand beside weaker ones. Farther out
    it matters little, and slices leave gaps, where sharp weights would swing below zero: there they stay as they are.
    """
    xp, ndim = namespace(weights), weights.ndim - 1
    axes = tuple(range(1, ndim + 1))
    most = min(weights.shape[-1] - 1, NEARBY)
    inner = window(weights, half_shape(box, ndim, most=most), ndim)
    shape = (*inner.shape[1:-1], inner.shape[1])  # of the full transform
    fft = fourier_transforms(inner)
    distances = fft.irfftn(xp.astype(inner, xp.result_type(weights.dtype, xp.complex64)), s=shape, axes=axes)
    squares = np.zeros(inner.shape[1:])
    for axis, length in zip(axes, shape, strict=True):
        here = [-1 if a == axis else 1 for a in range(ndim + 1)]
        undone = 1 / np.sinc(np.fft.fftfreq(length)) ** 2
        distances = distances * xp.asarray(undone.reshape(here), dtype=distances.dtype)
        frequencies = np.fft.fftfreq(length, 1 / length)[: inner.shape[axis]]
        squares = squares + (frequencies.reshape(here[1:]) / PADDING) ** 2
    sharp = xp.astype(xp.real(fft.rfftn(distances, axes=axes)), weights.dtype)
    first, last = DEBLURRED
    share = np.clip((last - np.sqrt(squares)) / (last - first), 0, 1)
    change = xp.asarray(share, dtype=weights.dtype) * (sharp - inner)
    for axis in axes:  # nothing changes farther out
        between = [*change.shape]
        between[axis] = weights.shape[axis] - change.shape[axis]
        parts = [change[(slice(None),) * axis + (some,)] for some in (slice(most + 1), slice(most + 1, None))]
        change = xp.concat([parts[0], xp.zeros(tuple(between), dtype=weights.dtype), parts[1]], axis=axis)
    return weights + change


def _on_own_grid(weights: Array, box: int, ndim: int) -> NDArray[np.float32]:
    """Weights on the padded grid as weights on the maps' own: each takes its share of the neighbours between."""
    w = to_numpy(weights)
    own = np.zeros((len(w), *[box] * (ndim - 1), box // 2 + 1), dtype=np.float32)
    at: list[NDArray[np.int64]] = [np.arange(len(w))]
    for axis in range(1, ndim):
        frequency = np.fft.fftfreq(w.shape[axis], 1 / w.shape[axis]).round().astype(int)
        even = np.flatnonzero(frequency % PADDING == 0)
        w = np.take(w + (np.roll(w, 1, axis) + np.roll(w, -1, axis)) / 2, even, axis)
        at.append(frequency[even] // PADDING)
    axes = tuple(range(1, ndim))
    beyond = np.roll(np.flip(w[..., 1:2], axes), 1, axes)  # kx = -1, where the conjugates are
    before = np.concatenate([beyond, w[..., :-1]], axis=-1)
    after = np.concatenate([w[..., 1:], w[..., -2:-1]], axis=-1)
    w = (w + (before + after) / 2)[..., ::PADDING]
    own[np.ix_(*at, np.arange(w.shape[-1]))] = w
    return own
