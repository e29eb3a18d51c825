"""How well estimated classes agree with others: with the truth, or with another classification."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError


def contingency(estimated: ArrayLike, reference: ArrayLike) -> NDArray[np.int64]:
    """Counts (K, L): how many particles are in class k (from 0) of one and class l of the other.

    Raises InputError if there are not as many class numbers in both, none at all, or others than 0, 1, 2…
    """
    one, two = np.asarray(estimated), np.asarray(reference)
    if one.shape != two.shape or one.ndim != 1 or one.size == 0:
        raise InputError(f"class numbers of shape {one.shape} and {two.shape} cannot be compared: give the same "
                         "particles, at least one, in two lists")
    a, b = one.astype(np.int64), two.astype(np.int64)
    if (a != one).any() or (b != two).any() or min(a.min(), b.min()) < 0:
        raise InputError("class numbers must be whole and count from 0: leave out particles without a class")
    table = np.zeros((a.max() + 1, b.max() + 1), dtype=np.int64)
    np.add.at(table, (a, b), 1)
    return table


def agreement(estimated: ArrayLike, reference: ArrayLike) -> float:
    """Share of particles (0 to 1) in matching classes, under the permutation of class numbers that matches best.

    Classes beyond the smaller of the two numbers of classes stay without a partner and count as wrong.
    """
    table = contingency(estimated, reference)
    rows, columns = _best_matching(table)
    return float(table[rows, columns].sum() / table.sum())


@dataclass(frozen=True)
class Bin:
    """Particles whose class has a probability from ``low`` to ``high``: how many (``count``), the ``mean`` of it, and
    the share that is ``right``, which is as high if the probabilities are honest."""

    low: float
    high: float
    count: int
    mean: float
    right: float


BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def calibration(probabilities: ArrayLike, reference: ArrayLike, *, edges: ArrayLike = BINS) -> list[Bin]:
    """How often the most probable class is the right one, in bins of its probability; bins without a particle are left
    out.

    probabilities: (N, K) of the estimated classes.  reference: (N,) class numbers from 0; which estimated class is
    which is settled by the best permutation, as in `agreement`.  edges: (B + 1,) of the bins; each holds its upper one.
    Raises InputError if there is not one row of probabilities, from 0 to 1, for each class number.
    """
    p, true = np.asarray(probabilities, dtype=np.float64), np.asarray(reference)
    if p.ndim != 2 or len(p) != len(true) or not (p >= -1e-6).all() or not (p <= 1 + 1e-3).all():
        raise InputError(f"probabilities of shape {p.shape} for {len(true)} particles cannot be judged: give a row for "
                         "each particle, with values from 0 to 1")
    found, sure = p.argmax(axis=1), p.max(axis=1)
    rows, columns = _best_matching(contingency(found, true))
    partner = np.full(p.shape[1], -1)
    partner[rows] = columns
    right = partner[found] == true
    limits = np.asarray(edges, dtype=np.float64)
    where = np.clip(np.searchsorted(limits, sure), 1, len(limits) - 1) - 1
    return [Bin(float(limits[b]), float(limits[b + 1]), int(mine.sum()), float(sure[mine].mean()),
                float(right[mine].mean())) for b in range(len(limits) - 1) if (mine := where == b).any()]


def _best_matching(table: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of a contingency table, in pairs that share the most particles."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-table)
    return rows, columns


def purity(estimated: ArrayLike, reference: ArrayLike) -> float:
    """Share of particles (0 to 1) that belong to the commonest reference class of their own class."""
    table = contingency(estimated, reference)
    return float(table.max(axis=1).sum() / table.sum())
