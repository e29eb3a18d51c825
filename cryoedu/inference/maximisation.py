"""From a posterior to maps: the regularised least-squares problem that the M-step leaves, solved.

Given numerator and denominator of every slice (sums over images of Γ·CTF·X/σ² and Γ·CTF²/σ²), the best map
maximises

    Q(V) = Re Σ_h numerator_h* · P_h V  -  ½ Σ_h denominator_h |P_h V|²  -  ½ Σ_l |V_l|² / (T τ²_l)

The lecture's 3D Wiener filter is the solution that one gets when slices meet the grid exactly:
V = Σ insert(numerator) / (Σ insert(denominator) + 1/(T τ²)). With slices that run between grid points, and with
gaps between slices, the normal equations couple neighbours. So the quotient is used as the preconditioner of a
few steps of conjugate gradients, which start from the last map and never make Q smaller. The prior acts on the
map's own grid, so that no factor of the padding enters it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, namespace, to_numpy
from cryoedu.geometry.fourier import multiplicity, radial_mean, shells
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.projection import half_shape, padded_fourier, padded_fourier_adjoint, window
from cryoedu.microscope.slices import insert

WEAK = 1e-2  # of a shell's mean weight
LEAST_POWER = 1e-25  # of a signal: maps of noise fade away, and float32 must hold the inverse times a box of voxels


@dataclass(frozen=True)
class Equations:
    """The normal equations of a map.

    gradient: (K, n, …) Pᵀ numerator.  weight: (K, n, …, n//2 + 1) Σ insert(denominator), the precision of every
    component.  curvature: maps -> Pᵀ denominator P maps.
    """

    gradient: Array
    weight: Array
    curvature: Callable[[Array], Array]


def data_weight(space: FourierSpace, rotations: NDArray[np.float64], denominator: Array) -> Array:
    """Σ insert(denominator) on the maps' own grid: half volumes (K, n, …), the precision of every component."""
    xp = namespace(denominator)
    parts = space.parts
    weights = space.precision(denominator)
    weights = xp.astype(weights, xp.complex64 if weights.dtype == xp.float32 else xp.complex128)
    sums, _ = insert(weights, None, rotations, parts.kx, parts.ky, 1, half_shape(space.box, space.ndim, 1))
    total = xp.real(sums)
    return mirrored_plane(total if space.ndim == 3 else xp.squeeze(total, axis=1), space.ndim)


def mirrored_plane(weights: Array, ndim: int) -> Array:
    """Inserted weights (K, n, …, n//2 + 1) with the plane kx = 0 made symmetric: it holds components and their
    conjugates, and each gets the weight of both."""
    xp = namespace(weights)
    axes = tuple(range(1, ndim))
    plane = weights[..., :1]
    mirrored = xp.roll(xp.flip(plane, axis=axes), 1, axis=axes)
    return xp.concat([plane + mirrored, weights[..., 1:]], axis=-1)


def weak_prior(weight: Array) -> NDArray[np.float64]:
    """A prior (K, n//2 + 1) for `solve` that only holds back what hardly any slice has seen; ``weight`` as in
    `Equations`."""
    ndim = weight.ndim - 1
    return np.maximum(WEAK * radial_mean(to_numpy(weight), weight.shape[1], ndim), 1e-30)


def signal_prior(tau2: NDArray[np.float64], weight: Array, fudge: float) -> NDArray[np.float64]:
    """1/(T τ²) (K, n//2 + 1) for `solve`; ``fudge`` is T, ``weight`` as in `Equations`.

    Where no signal was looked for yet (τ² = 0) only the `weak_prior` holds back: a prior of no signal would never let
    there be any, whatever the images show. RELION leaves these shells all but free too.
    """
    return np.where(tau2 > 0, 1 / np.maximum(fudge * tau2, LEAST_POWER), weak_prior(weight))


def signal_from_fsc(fsc: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """τ² of each shell from the correlation of two halves' maps, whose components have the mean precision ``weight``:
    SSNR / weight, with SSNR = FSC / (1 - FSC) of one half (Scheres 2012, J Struct Biol 180:519)."""
    return np.asarray(fsc / (1 - fsc) / np.maximum(weight, 1e-30))


def solve(space: FourierSpace, equations: Equations, prior: NDArray[np.float64] | None, start: Array,
          steps: int) -> Array:
    """Maps (K, n, …) that (nearly) maximise Q, by ``steps`` preconditioned conjugate gradients from ``start``.

    prior: 1/(T τ²) (K, n//2 + 1) per shell, or None for none.
    """
    xp = namespace(start)
    ndim, box = space.ndim, space.box
    half = box**ndim / 2  # ½ Σ over the full transform is the sum over independent components
    shape = half_shape(box, ndim, 1, space.radius)
    shell = window(shells(box, ndim), shape, ndim)
    band = shell <= space.radius
    ridge = None if prior is None else xp.asarray((prior[:, np.minimum(shell, box // 2)]) * band, dtype=start.dtype)

    mean = radial_mean(to_numpy(equations.weight), box, ndim)
    floor = xp.asarray(0.1 * mean[:, np.minimum(shell, box // 2)] + 1e-12 * mean.max(), dtype=start.dtype)
    stiffness = xp.maximum(window(xp.asarray(equations.weight), shape, ndim), floor) + (0.0 if ridge is None else ridge)
    gain = xp.asarray(band, dtype=start.dtype) / (half * stiffness + xp.finfo(start.dtype).tiny)
    undone = xp.asarray(window(multiplicity(box, ndim), shape, ndim) / box**ndim, dtype=start.dtype)

    def filtered(maps: Array, factor: Array) -> Array:
        """Maps with each component multiplied by a factor, zero beyond the shells that are used."""
        return padded_fourier_adjoint(factor * undone * padded_fourier(maps, shape, 1), box, 1)

    def normal(maps: Array) -> Array:
        """Minus the Hessian of Q times ``maps``."""
        out = equations.curvature(maps)
        return out if ridge is None else out + half * filtered(maps, ridge)

    def dot(a: Array, b: Array) -> Array:
        total = xp.sum(xp.astype(a, xp.float64) * xp.astype(b, xp.float64), axis=tuple(range(1, ndim + 1)))
        return xp.reshape(total, (-1, *[1] * ndim))

    def ratio(top: Array, bottom: Array) -> Array:
        """top / bottom, and 0 for a class that no particle belongs to: less than 1e-20 nat is to be gained there."""
        return xp.where(bottom > 1e-20, top / xp.maximum(bottom, xp.asarray(1e-20, dtype=bottom.dtype)), 0.0 * top)

    maps = filtered(start, xp.asarray(band, dtype=start.dtype))
    residual = equations.gradient - normal(maps)
    direction = step = filtered(residual, gain)
    energy = dot(residual, step)
    for _ in range(steps):
        curved = normal(direction)
        length = ratio(energy, dot(direction, curved))
        maps = maps + xp.astype(length, start.dtype) * direction
        residual = residual - xp.astype(length, start.dtype) * curved
        step = filtered(residual, gain)
        last, energy = energy, dot(residual, step)
        direction = step + xp.astype(ratio(energy, last), start.dtype) * direction
    return maps

