"""FSC of masked halves, freed of the correlation that the mask itself brings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.geometry.fourier import fourier, inverse, shells
from cryoedu.geometry.turning import check_map
from cryoedu.validation.fsc import fsc, resolution

Curve = NDArray[np.float64]
RANDOMISED_BELOW = 0.8  # unmasked FSC under which phases are replaced, as RELION does by default
GAP = 2  # shells above that one whose correlation the mask still mixes with kept phases


@dataclass(frozen=True)
class MaskedFSC:
    """Four FSC curves (n//2 + 1,) of two halves, and where phases were randomised.

    unmasked, masked: of the halves.  randomised: of the masked halves after their phases from shell ``first_random`` on
    were replaced by random ones, so that only the mask correlates them.  true: masked with that taken off.
    first_random: shell, or None if the unmasked FSC never falls below 0.8 and nothing could be tested.
    pixel_size: Å.
    """

    unmasked: Curve
    masked: Curve
    randomised: Curve
    true: Curve
    first_random: int | None
    pixel_size: float

    def resolution(self, threshold: float = 0.143) -> float | None:
        """Å where the true curve falls below ``threshold``; None at or beyond Nyquist."""
        return resolution(self.true, self.pixel_size, threshold=threshold)

    @property
    def inflation(self) -> float:
        """Largest correlation of randomised phases: near 0 for a soft mask, clearly above for one that is too tight."""
        if self.first_random is None:
            return 0.0
        return float(self.randomised[self.first_random + GAP:].max(initial=0.0))


def masked_fsc(half1: ArrayLike, half2: ArrayLike, mask: ArrayLike, pixel_size: float, *,
               seed: int = 0) -> MaskedFSC:
    """FSC of two half maps (n, n, n) under ``mask`` (n, n, n), 0 to 1, corrected for the mask; pixel_size in Å.

    With T the masked curve and R that of randomised phases the true one is (T - R)/(1 - R) from two shells above the
    first randomised one on, and T before (Chen et al. 2013, Ultramicroscopy 135:24; the two shells as in RELION).
    Raises InputError for maps or masks that do not fit together.
    """
    one, two = check_map(half1, "first half"), check_map(half2, "second half")
    unmasked = fsc(one, two)
    masked = fsc(one, two, mask=mask)
    low = np.flatnonzero(unmasked[1:] < RANDOMISED_BELOW) + 1
    if len(low) == 0:
        return MaskedFSC(unmasked, masked, masked, masked, None, pixel_size)
    first = int(low[0])
    rng = np.random.default_rng(seed)
    randomised = fsc(_random_phases(one, first, rng), _random_phases(two, first, rng), mask=mask)
    true = masked.copy()
    t, r = masked[first + GAP:], randomised[first + GAP:]
    true[first + GAP:] = np.clip((t - r) / np.maximum(1 - r, 1e-9), -1.0, 1.0)
    return MaskedFSC(unmasked, masked, randomised, true, first, pixel_size)


def _random_phases(density: NDArray[np.float32], first: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The map with the phases of white noise, and its own amplitudes, from shell ``first`` on."""
    f = fourier(density.astype(np.float64), 3)
    phases = fourier(rng.standard_normal(density.shape), 3)
    phases /= np.maximum(np.abs(phases), 1e-30)
    return np.asarray(inverse(np.where(shells(density.shape[0], 3) < first, f, np.abs(f) * phases), 3))
