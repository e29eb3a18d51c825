"""Agreement of classifications, on tables small enough to count by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryoedu.errors import InputError
from cryoedu.validation.classes import agreement, contingency, purity

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
