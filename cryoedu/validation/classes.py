"""How well estimated classes agree with others: with the truth, or with another classification."""

from __future__ import annotations

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
    from scipy.optimize import linear_sum_assignment

    table = contingency(estimated, reference)
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / table.sum())


def purity(estimated: ArrayLike, reference: ArrayLike) -> float:
    """Share of particles (0 to 1) that belong to the commonest reference class of their own class."""
    table = contingency(estimated, reference)
    return float(table.max(axis=1).sum() / table.sum())
