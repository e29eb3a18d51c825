"""Γ of scores: what is certain is certain, and no number is so small that a processor stumbles over it."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD as ML


@pytest.mark.parametrize("way", ["settle", "weigh"])
def test_what_weighs_nothing_is_zero_and_not_a_number_that_is_slow_to_multiply_with(way):
    """Products with subnormal numbers take a hundred times as long: particles that are sure made lessons slow."""
    scores = np.linspace([-120, -110, -5], 0, 2 * 400, axis=1, dtype=np.float32).reshape(3, 2, 400) + 10
    evidence = ML.reduce(scores)
    gamma = ML.settle(scores.copy())[0] if way == "settle" else ML.weigh(scores.copy(), evidence)
    tiny = np.finfo(np.float32).tiny
    assert not np.any((gamma > 0) & (gamma < tiny)) and np.all(gamma >= 0)
    assert gamma.sum(axis=(1, 2)) == pytest.approx(1, abs=1e-4)
    exact = np.exp(scores.astype(float) - scores.max(axis=(1, 2), keepdims=True))
    assert gamma == pytest.approx(exact / exact.sum(axis=(1, 2), keepdims=True), rel=2e-3, abs=1e-30)
