"""Agreement of classifications, on tables small enough to count by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryoedu.errors import InputError
from cryoedu.validation.classes import agreement, calibration, contingency, purity

FOUND = [0, 0, 0, 1, 1, 2, 2, 2]
TRUTH = [1, 1, 0, 0, 0, 1, 0, 1]


def test_a_table_counted_by_hand():
    """Rows are the classes found, columns the reference's."""
    np.testing.assert_array_equal(contingency(FOUND, TRUTH), [[1, 2], [2, 0], [1, 2]])
    assert contingency([0, 3], [1, 0]).shape == (4, 2)  # classes nobody is in count too


def test_numbers_worked_out_by_hand():
    """The best matching takes 2 + 2 of 8: one class found stays alone. Each of the three is 2 pure: 6 of 8."""
    assert agreement(FOUND, TRUTH) == pytest.approx(4 / 8)
    assert purity(FOUND, TRUTH) == pytest.approx(6 / 8)
    assert agreement(TRUTH, FOUND) == pytest.approx(4 / 8)
    assert purity([0, 1, 2, 3], [0, 0, 1, 1]) == 1.0  # pure, and yet...
    assert agreement([0, 1, 2, 3], [0, 0, 1, 1]) == 0.5  # ... each true class was split
    assert agreement([0] * 4, [0, 0, 1, 1]) == purity([0] * 4, [0, 0, 1, 1]) == 0.5


labels = st.integers(1, 5).flatmap(lambda k: st.lists(st.integers(0, k - 1), min_size=1, max_size=40))


@given(labels, st.randoms(use_true_random=False))
def test_class_numbers_mean_nothing(truth, random):
    """A classification that calls the classes by other numbers is no worse for it."""
    names = list(range(5))
    random.shuffle(names)
    found = [names[k] for k in truth]
    assert agreement(found, truth) == purity(found, truth) == 1.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_agreement_is_the_best_of_all_permutations(pairs):
    """Tried one by one; and the largest class alone is a floor that nothing can fall below."""
    found, truth = np.array(pairs).T
    by_hand = max(np.mean(np.array(p)[found] == truth) for p in permutations(range(4)))
    assert agreement(found, truth) == pytest.approx(by_hand)
    assert agreement(found, truth) == pytest.approx(agreement(truth, found))
    assert 1 / 16 <= agreement(found, truth) <= purity(found, truth) <= 1
    assert contingency(found, truth).sum() == len(found)


@pytest.mark.parametrize(("found", "truth"), [([], []), ([0, 1], [0]), ([0, -1], [0, 0]), ([0, 1], [0, -1]),
                                              ([[0, 1]], [[0, 1]]), ([0.5, 1], [0, 1])])
def test_what_cannot_be_compared_is_a_sentence(found, truth):
    """Other particles, none at all, or the -1 of a program that had no class for some of them."""
    with pytest.raises(InputError, match="class numbers"):
        contingency(found, truth)


def test_probabilities_that_are_right_as_often_as_they_say():
    """Counted by hand: of ten particles at 0.8 eight are right, of four at 0.55 two, of two at 1 both.

    The estimated classes carry the other one's number, which must not matter.
    """
    sure = np.array([0.8] * 10 + [0.55] * 4 + [1.0] * 2)
    truth = np.array([0] * 8 + [1] * 2 + [0, 0, 1, 1] + [0, 0])
    bins = calibration(np.stack([1 - sure, sure], axis=1), truth)
    assert [(b.low, b.high, b.count) for b in bins] == [(0.5, 0.6, 4), (0.7, 0.8, 10), (0.95, 1.0, 2)]
    assert [b.right for b in bins] == [0.5, 0.8, 1.0]
    np.testing.assert_allclose([b.mean for b in bins], [0.55, 0.8, 1.0])


def test_drawn_from_their_own_probabilities_classes_are_right_that_often():
    """The definition of an honest posterior, within what 4000 draws tell (3 standard deviations)."""
    rng = np.random.default_rng(1)
    p = rng.dirichlet([0.7] * 3, 4000)
    truth = (rng.random((4000, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=2)
    for b in calibration(p, truth):
        assert abs(b.right - b.mean) < 3 * np.sqrt(0.25 / b.count), b
    boasted = p ** 4 / (p ** 4).sum(axis=1, keepdims=True)
    worst = max(calibration(boasted, truth), key=lambda b: b.count)
    assert worst.mean > worst.right + 0.05


def test_a_class_without_a_partner_counts_as_wrong():
    (only,) = calibration(np.eye(3)[[0, 0, 1, 2]], [0, 0, 0, 1])
    assert only.right == 0.75 and only.count == 4


@pytest.mark.parametrize("p", [np.full((3, 2), 0.5), np.full(4, 0.5), np.full((4, 2), 1.5), np.full((4, 2), np.nan)])
def test_probabilities_that_are_none_are_refused(p):
    with pytest.raises(InputError, match="cannot be judged"):
        calibration(p, [0, 1, 0, 1])
