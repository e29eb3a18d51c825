"""Masked FSC: halves whose true correlation is known, under masks that are too tight."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, inverse, shells
from cryoedu.geometry.masks import radius_from_centre, soft_sphere
from cryoedu.validation.fsc import fsc
from cryoedu.validation.masked import masked_fsc

BOX = 48
LIMIT = 10  # shell up to which there is signal


def halves(seed=1, noise=0.4):
    """Strong structure up to shell LIMIT inside a ball, independent white noise everywhere in each half."""
    rng = np.random.default_rng(seed)
    signal = inverse(fourier(rng.standard_normal((BOX,) * 3), 3) * (shells(BOX, 3) <= LIMIT), 3)
    signal = signal / signal.std() * soft_sphere(BOX, 1, 26, edge_pixels=8)
    return [signal + noise * rng.standard_normal((BOX,) * 3) for _ in range(2)]


def tight(seed=3):
    """A mask that follows some density to the voxel: hard edges, full of detail of its own."""
    rng = np.random.default_rng(seed)
    rough = inverse(fourier(rng.standard_normal((BOX,) * 3), 3) * (shells(BOX, 3) <= 14), 3)
    return ((rough > 0) & (radius_from_centre(BOX, 3) < 15)).astype(np.float32)


def test_a_tight_mask_makes_resolution_up_and_random_phases_show_it():
    """Beyond shell 10 there is nothing but noise: what correlates there is the mask, and it must come off again."""
    found = masked_fsc(*halves(), tight(), 2.0)
    beyond = slice(LIMIT + 8, None)
    assert np.abs(found.unmasked[beyond]).mean() < 0.05
    assert found.masked[beyond].mean() > 0.3  # reported without the test, this would be a resolution near Nyquist
    assert found.randomised[beyond].mean() == pytest.approx(found.masked[beyond].mean(), abs=0.1)
    assert np.abs(found.true[beyond]).mean() < 0.1
    assert found.inflation > 0.3
    assert found.resolution(0.3) > 2.0 * BOX / (LIMIT + 5)


def test_the_correction_begins_two_shells_above_the_first_random_phases():
    """There the mask still mixes random phases with kept ones, which correlate: the formula would take off signal."""
    found = masked_fsc(*halves(), tight(), 2.0)
    start = found.first_random + 2
    np.testing.assert_array_equal(found.true[:start], found.masked[:start])
    assert found.randomised[start - 2 : start].min() > 0.05  # it would
    t, r = found.masked[start:], found.randomised[start:]
    np.testing.assert_allclose(found.true[start:], (t - r) / (1 - r), atol=1e-6)


def test_a_soft_mask_changes_nothing_but_the_noise_outside():
    """Random phases do not correlate under a soft mask; the true curve is the masked one, above the unmasked."""
    mask = soft_sphere(BOX, 1, 30, edge_pixels=8)
    found = masked_fsc(*halves(noise=1.5), mask, 2.0)
    assert found.first_random is not None and 1 <= found.first_random <= LIMIT + 2
    above = slice(found.first_random + 2, None)
    assert np.abs(found.randomised[above]).mean() < 0.1
    np.testing.assert_allclose(found.true[above], found.masked[above], atol=0.15)
    np.testing.assert_allclose(found.unmasked, fsc(*halves(noise=1.5)), atol=1e-5)
    signal = slice(3, LIMIT - 1)
    assert (found.masked[signal] > found.unmasked[signal]).mean() > 0.8


def test_halves_of_noise_alone_have_no_resolution():
    """Random phases of noise are noise: nothing is left in either curve."""
    rng = np.random.default_rng(5)
    found = masked_fsc(rng.standard_normal((BOX,) * 3), rng.standard_normal((BOX,) * 3), tight(), 2.0)
    assert found.first_random == 1
    assert np.abs(found.randomised[6:]).mean() < 0.05 and np.abs(found.true[6:]).mean() < 0.05
    assert found.resolution() > 2.0 * BOX / 5


def test_the_seed_is_the_only_chance_and_perfect_halves_are_not_tested():
    one, two = halves()
    np.testing.assert_array_equal(masked_fsc(one, two, tight(), 2.0).true, masked_fsc(one, two, tight(), 2.0).true)
    other = masked_fsc(one, two, tight(), 2.0, seed=1)
    assert not np.array_equal(other.randomised, masked_fsc(one, two, tight(), 2.0).randomised)
    same = masked_fsc(one, one, tight(), 2.0)
    assert same.first_random is None and same.resolution() is None and same.inflation == 0
    np.testing.assert_allclose(same.true, 1)


def test_what_does_not_fit_is_a_sentence():
    one, two = halves()
    with pytest.raises(InputError, match="mask"):
        masked_fsc(one, two, np.ones((8, 8, 8)), 2.0)
    with pytest.raises(InputError, match="second half"):
        masked_fsc(one, two[0], tight(), 2.0)
