"""What halves have in common by chance is no resolution."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.geometry.fourier import fourier, inverse, multiplicity, radial_mean, shells
from cryoedu.geometry.masks import soft_sphere
from cryoedu.geometry.symmetry import symmetrise
from cryoedu.validation.fsc import fsc, resolution
from cryoedu.validation.resolved import (
    CHANCE,
    bound,
    by_chance,
    independent_components,
    resolved_shells,
    share_within,
)

BOX = 16
TOTAL = np.bincount(shells(BOX, 3).ravel(), multiplicity(BOX, 3).ravel())[: BOX // 2 + 1]
WEIGHT = np.full(BOX // 2 + 1, 2 / BOX**3)  # of unit white noise: n³/2 in each real component


def noise(seed: int, count: int = 2):
    return np.random.default_rng(seed).standard_normal((count, BOX, BOX, BOX))


@pytest.mark.parametrize("count", [1, 3, 8, 50])
def test_the_bound_holds_and_is_not_far(count):
    """Against sums of random products themselves."""
    a, b = np.random.default_rng(count).standard_normal((2, 100_000, count))
    sums = np.sum(a * b, axis=1)
    for above in np.quantile(sums, [0.9, 0.99, 0.999]):
        happens, most = np.mean(sums > above), bound(np.array(above), np.array(float(count)))
        assert happens < most < 25 * happens


def ring(density):
    """The map in concentric rings: one number for each shell."""
    shell = np.minimum(shells(BOX, 3), BOX // 2)
    return inverse(radial_mean(fourier(density, 3).real, BOX, 3)[shell].astype(complex), 3)


def test_white_noise_has_all_components_and_rings_have_one():
    white = independent_components(*noise(1), WEIGHT)
    np.testing.assert_allclose(white[3:6], np.convolve(TOTAL, np.ones(5) / 5, "same")[3:6], rtol=0.2)
    halves = [ring(m) for m in noise(2)]
    assert np.mean(independent_components(*halves, WEIGHT)[2:]) < 3
    assert np.abs(fsc(*halves)[2:]).min() > 0.99


@pytest.mark.parametrize("made, mates, mask", [
    (lambda m: m, 1, None), (ring, 1, None), (ring, 1, soft_sphere(BOX, 1.0, 9.0)),
    (lambda m: m, 1, soft_sphere(BOX, 1.0, 9.0)), (lambda m: symmetrise(m, "D2", progress=False), 4, None)])
def test_noise_passes_seldom_and_signal_does(made, mates, mask):
    """Whether all of a shell is independent, or only its ring, or what symmetry or a mask leave."""
    by_luck = []
    for seed in range(40):
        halves = [made(m) for m in noise(seed)]
        by_luck.append(by_chance(*halves, mates * WEIGHT, mask=mask, mates=mates)[2:8] < CHANCE)
    assert np.mean(by_luck) < 0.05
    signal = made(noise(99, 1)[0])
    seen = by_chance(*(m + 10 * signal for m in halves), mates * WEIGHT, mask=mask, mates=mates)[2:8]
    assert np.mean(seen < CHANCE) > 0.8  # a ring of the signal may be next to nothing


def test_shells_that_no_image_reached_say_nothing():
    assert (by_chance(*noise(1), np.where(np.arange(BOX // 2 + 1) < 5, WEIGHT, 0.0))[5:] == 1).all()


def test_a_mask_leaves_its_share():
    """The scatter of the FSC of masked noise says how many components were independent."""
    mask = soft_sphere(BOX, 1.0, 9.0, edge_pixels=2.0)
    curves = np.array([fsc(*noise(10 + s), mask=mask) for s in range(150)])
    assert share_within(np.ones((BOX,) * 3)) == pytest.approx(1.0)
    scatter = 1 / np.var(curves[:, 4:8], axis=0) / TOTAL[4:8]
    assert share_within(mask) == pytest.approx(np.mean(scatter), rel=0.3)


def test_a_claim_begins_where_the_halves_are_shared_and_ends_at_the_first_gap():
    curve = np.array([1, 0.0, -0.5, 0.9, 0.5, 0.1, 0.6, 0.3])
    sure = np.zeros(8)
    assert resolved_shells(curve, sure, shared=2) == 4
    assert resolved_shells(curve, sure) == 0
    assert resolved_shells(curve, np.array([0, 0, 0, 0, 0.5, 0, 0, 0]), shared=2) == 3
    assert resolved_shells(np.ones(8), sure) == 7


def test_agreement_by_chance_is_no_resolution():
    curve = np.array([1, 0.9, 0.8, 0.9, 0.8, 0.9])
    assert resolution(curve, 1.0) is None
    assert resolution(curve, 1.0, last=2) == pytest.approx(10 / (2 + (0.8 - 0.143) / 0.8))
    assert resolution(np.array([1, 0.9, 0.1, 0.9, 0.9, 0.9]), 1.0, last=4) == resolution(
        np.array([1, 0.9, 0.1, 0.0, 0.0, 0.0]), 1.0)
