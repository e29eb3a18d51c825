"""What a lesson prints is compared on other processors too: within what it states, and no further."""

from __future__ import annotations

import pytest
import tolerance
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(("stored", "computed", "same"), [
    ("right: 1,998 (to ±3) of 2,000", "right: 2,000 (to ±3) of 2,000", True),
    ("right: 1,998 (to ±3) of 2,000", "right: 1,994 (to ±3) of 2,000", False),
    ("right: 1,998 (to ±3) of 2,000", "right: 1,998 (to ±3) of 2,001", False),
    ("right: 1,998 (to ±3)", "right: 1,998 (to ±9)", False),
    ("it ends at 17.6 Å (to ±1.2)", "it ends at 16.7 Å (to ±1.2)", True),
    ("it ends at 17.6 Å (to ±1.2 Å)", "it ends at 16.3 Å (to ±1.2 Å)", False),
    ("it ends at 17.6 Å (to ±1.2)", "it ends at 17.6 nm (to ±1.2)", False),
    ("94.9 % (to ±0.2)", "95.1 % (to ±0.2)", True),
    ("17.6 Å and 3", "16.7 Å and 3", False),
    ("1    9.8\n2   90.2\n(numbers above: to ±0.3)\n7", "1   10.0\n2   90.0\n(numbers above: to ±0.3)\n7", True),
    ("1 9.8\n(numbers above: to ±0.3)", "1 10.2\n(numbers above: to ±0.3)", False),
    ("1 9.8\n(numbers above: to ±0.3)\n7", "1 9.8\n(numbers above: to ±0.3)\n7.1", False),
    ("−2.0 (to ±0.5)", "2.0 (to ±0.5)", False),
    ("−0.1 (to ±0.5)", "0.2 (to ±0.5)", True),
    ("nan (to ±0.5)", "0.2 (to ±0.5)", False),
    ("80S: 5 (to ±1)", "81S: 5 (to ±1)", False),
    ("1.5 (to ±0.1), 8 (to ±1)\n(numbers above: to ±5)", "1.9 (to ±0.1), 8 (to ±1)\n(numbers above: to ±5)", False),
])
def test_a_number_may_move_as_far_as_is_stated_beside_it(stored, computed, same):
    assert (tolerance.Tolerant(stored) == tolerance.Tolerant(computed)) == same
    assert (tolerance.Tolerant(stored) != tolerance.Tolerant(computed)) != same


@given(st.text(), st.text())
def test_without_a_stated_tolerance_nothing_but_the_same_text_is_the_same(a, b):
    if "(to ±" not in a and "(numbers above" not in a:
        assert tolerance.agree(a, b) == (a == b)
