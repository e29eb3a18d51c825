"""Lesson 10: the course's own answers against the package's tested functions."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.course import lesson10 as L
from cryoedu.geometry.masks import soft_sphere
from cryoedu.validation.masked import GAP, masked_fsc
from cryoedu.validation.sharpening import sharpen


def test_the_corrected_fsc_is_that_of_the_package():
    rng = np.random.default_rng(0)
    signal = soft_sphere(32, 1.0, 20) * rng.normal(size=(32, 32, 32)).cumsum(0)
    halves = [signal + rng.normal(size=signal.shape) * 8 for _ in range(2)]
    curves = masked_fsc(*halves, soft_sphere(32, 1.0, 22), 1.0)
    after = slice(curves.first_random + GAP, None)
    found = L.corrected(curves.masked, np.minimum(curves.randomised, 0.99))
    assert found[after] == pytest.approx(curves.true[after], abs=1e-6)


def test_sharpening_weights_are_those_that_the_package_multiplies_by():
    n, pixel_size = 16, 4.0
    density = np.zeros((n, n, n))
    density[n // 2, n // 2, n // 2] = 1.0  # a point: its transform is 1 everywhere
    curve = np.linspace(1, 0.1, n // 2 + 1)
    sharp = sharpen(density, density, pixel_size, 300.0, None, fsc=curve)
    transform = np.abs(np.fft.fftn(sharp)[0, 0, : n // 2 + 1])
    weights = L.sharpening_weights(np.arange(n // 2 + 1) / (n * pixel_size), curve, 300.0)
    assert transform[1 : n // 2] == pytest.approx(weights[1 : n // 2], rel=1e-4)


def test_two_halves_hold_every_particle_once():
    first, second = L.split(11, np.random.default_rng(3))
    assert sorted([*first, *second]) == list(range(11)) and {len(first), len(second)} == {5, 6}


def test_halves_arrive_as_arrays_of_row_numbers_whatever_holds_them():
    """`subset[rows] = half`, the lesson's next line, takes no set, no generator and no float."""
    halves = [3.0, 2.0, 4.0], (1.0, 0.0)
    for given in (halves, [set(half) for half in halves], (half for half in halves), np.split(np.arange(5)[::-1], [3])):
        first, second = L.two_halves(given)
        assert first.dtype.kind == second.dtype.kind == "i" and sorted(first) == [2, 3, 4] and sorted(second) == [0, 1]
