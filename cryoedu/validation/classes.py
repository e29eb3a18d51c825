"""How well estimated classes agree with others: with the truth, or with another classification."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError


def contingency(estimated: ArrayLike, reference: ArrayLike) -> NDArray[np.int64]:
    """Counts (K, L): how many particles are in class k (from 0) of one and class l of the other."""
    a, b = np.asarray(estimated, dtype=np.int64), np.asarray(reference, dtype=np.int64)
    if a.shape != b.shape or a.size == 0:
        raise InputError(f"{a.size} and {b.size} class numbers cannot be compared: give the same particles, at least "
                         "one")
    table = np.zeros((a.max() + 1, b.max() + 1), dtype=np.int64)
    np.add.at(table, (a, b), 1)
    return table


def agreement(estimated: ArrayLike, reference: ArrayLike) -> float:
    """Share of particles (0 to 1) in matching classes, under the permutation of class numbers that matches best.

    Classes beyond the smaller of the two numbers of classes stay without a partner and count as wrong.
    """
    from scipy.optimize import linear_sum_assignment

    table = contingency(estimated, reference)
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / table.sum())


def purity(estimated: ArrayLike, reference: ArrayLike) -> float:
    """Share of particles (0 to 1) that belong to the commonest reference class of their own class."""
    table = contingency(estimated, reference)
    return float(table.max(axis=1).sum() / table.sum())
