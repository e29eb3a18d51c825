"""Which shells are resolved: what two halves have in common there, and that it is not by chance.

An FSC of 0.143 is half a map's worth of signal only where a shell holds many components that are independent. Where
posteriors are flat, each image is spread over all orientations, and of white noise concentric rings remain: hundreds of
components of a shell are then one number. Two halves of noise correlate there by ±0.9, and a curve that is above 0.143
at half of its shells would be taken for a resolution.

How many components are independent shows in their noise. A component that is read from images has the variance 1/w, w
its weight (Σ Γ CTF²/σ²). Poses that are spread average over components of an image that are independent themselves, and
lower the variance by as much as they lower the number of independent results: what is left of a shell of N components
with noise of power P is n = N·P·w of them, or a few more. P is known without the truth, from the difference of halves.
One shell of few components tells it badly, but n changes little from shell to shell, and is averaged over neighbours.

So the cross-power t of a shell, in units of 1/w, is by chance a sum of n products of two normal numbers. It exceeds t
with a probability of at most (Chernoff's bound, at the best θ)

    (1 - θ²)^(-n/2) exp(-θ t)        θ = (√(n² + 4 t²) - n) / 2t
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryoedu.geometry.fourier import fourier, multiplicity, radial_mean, shells

Curve = NDArray[np.float64]
Map = NDArray[np.floating]
THRESHOLD = 0.143  # of an FSC between halves: 0.5 against the truth (Rosenthal & Henderson 2003, J Mol Biol 333:721)
CHANCE = 0.05  # of the bound, which is some ten times what happens
NEIGHBOURS = 2  # shells to either side whose noise counts too


def resolved_shells(curve: Curve, chance: Curve, *, shared: int = 0, threshold: float = THRESHOLD) -> int:
    """The last shell that is resolved: it and all before it reach ``threshold``, and not by chance.

    curve: FSC (n//2 + 1,) of two halves.  chance: (n//2 + 1,) bound on the probability of that (`by_chance`).
    shared: shells that the halves have in common anyway, which nothing was measured of. The claim begins there, and
        depends on these curves alone, so that it can be taken back.
    """
    holds = (curve >= threshold) & (chance < CHANCE)
    holds[: shared + 1] = True
    lost = np.flatnonzero(~holds)
    return int(lost[0]) - 1 if len(lost) else len(holds) - 1


def by_chance(one: Map, two: Map, weight: Curve, *, mask: Map | None = None, mates: int = 1) -> Curve:
    """Bound (n//2 + 1,) on the probability that two unfiltered half maps (n, n, n) of noise have as much in common.

    weight: (n//2 + 1,) mean precision of a half's components; shells without any have 1.
    mask: (n, n, n) on the maps before they are compared.  mates: operators of the point group.
    """
    soft = np.ones(one.shape) if mask is None else np.asarray(mask, dtype=np.float64)
    total, share, count = components_of(one.shape[-1]), share_within(soft), independent_components(one, two, weight)
    limit = np.minimum(1.0, total / np.maximum(count, 1e-30))  # what slices miss has more noise than its mean weight
    f, g = (fourier(m * soft, 3) for m in (one, two))
    cross = 0.5 * total * radial_mean((f * np.conj(g)).real, one.shape[-1], 3)
    left = limit * share / mates
    return bound(cross * weight * left / np.mean(soft**2), np.maximum(count * left, 1.0))


def bound(products: Curve, count: Curve) -> Curve:
    """Bound on the probability that ``count`` products of two normal numbers each sum to ``products`` or more."""
    t = np.maximum(products, 1e-30)
    theta = 2 * t / (np.sqrt(count**2 + 4 * t**2) + count)
    return np.asarray(np.exp(-count / 2 * np.log1p(-(theta**2)) - theta * t))


def independent_components(one: Map, two: Map, weight: Curve) -> Curve:
    """How many independent real numbers (n//2 + 1,) the noise of each shell of two unfiltered half maps has: more than
    components if slices miss some; each number ``mates`` times where maps are symmetric."""
    box = one.shape[-1]
    noise = 0.25 * radial_mean(np.abs(fourier(one.astype(np.float64) - two, 3)) ** 2, box, 3)  # of a real component
    count, seen = components_of(box) * noise * weight, (weight > 0).astype(np.float64)
    near = np.ones(2 * NEIGHBOURS + 1)
    return np.asarray(np.convolve(count * seen, near, "same") / np.maximum(np.convolve(seen, near, "same"), 1))


def components_of(box: int) -> Curve:
    """Real numbers (n//2 + 1,) of each shell of a map's transform."""
    return np.asarray(np.bincount(shells(box, 3).ravel(), multiplicity(box, 3).ravel())[: box // 2 + 1], np.float64)


def share_within(mask: Map) -> float:
    """The share of a shell's independent components, 0 to 1, that a mask (n, n, n) leaves: neighbours follow each other
    along the two directions of a surface, where the mask leaves the power 2/3 of its share of the box."""
    power = np.asarray(mask, dtype=np.float64) ** 2
    return float((power.sum() ** 2 / (np.sum(power**2) * power.size)) ** (2 / 3))
