"""Local resolution: halves whose agreement is known, the same everywhere or another on each side."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, inverse, shells
from cryoedu.geometry.masks import soft_sphere
from cryoedu.validation.fsc import fsc, resolution
from cryoedu.validation.local_resolution import local_resolution

BOX, PIXEL = 40, 3.0


def decaying(seed, sigma=4.5):
    """Gaussian noise whose power falls as a Gaussian of the shell: SSNR against white noise is known."""
    f = fourier(np.random.default_rng(seed).standard_normal((BOX,) * 3), 3)
    return inverse(f * 4 * np.exp(-shells(BOX, 3) ** 2 / (4 * sigma**2)), 3)


def white(seed):
    return np.random.default_rng(seed).standard_normal((BOX,) * 3)


def test_the_same_agreement_everywhere_is_found_everywhere():
    """Over a uniform map local resolution is the global one, give or take what few components allow."""
    one, two = (decaying(1) + white(s) for s in (2, 3))
    whole = resolution(fsc(one, two), PIXEL, threshold=0.5)
    found = local_resolution(one, two, PIXEL, window=60, step=15)
    assert found.dtype == np.float32 and found.shape == (BOX,) * 3
    assert 1 / np.mean(1 / found) == pytest.approx(whole, rel=0.08)
    assert np.std(1 / found) < 0.15 / whole


def test_the_worse_side_of_a_map_is_seen():
    """A flexible domain beside a rigid core: what one number for the whole map hides."""
    noisy = np.where(np.arange(BOX) < BOX // 2, 1.0, 4.0)
    one, two = (decaying(4) + noisy * white(s) for s in (5, 6))
    found = local_resolution(one, two, PIXEL, window=48, step=12)
    left, right = np.median(found[..., :12]), np.median(found[..., 28:])
    expected = [resolution(fsc(decaying(4) + k * white(7), decaying(4) + k * white(8)), PIXEL, threshold=0.5)
                for k in (1.0, 4.0)]
    assert left == pytest.approx(expected[0], rel=0.12) and right == pytest.approx(expected[1], rel=0.2)
    assert right > 1.25 * left


def test_perfect_halves_get_nyquist_and_noise_the_window():
    """Neither infinity nor a number finer than the pixels."""
    same = local_resolution(white(9), white(9), PIXEL, window=36, step=18)
    np.testing.assert_allclose(same, 2 * PIXEL, rtol=1e-5)
    none = local_resolution(white(10), white(11), PIXEL, window=48, step=24)
    assert np.median(none) > 30 and none.max() <= 48 * 1.0001


def test_outside_the_mask_nothing_is_said_and_inside_nothing_changes():
    one, two = (decaying(1) + white(s) for s in (2, 3))
    mask = soft_sphere(BOX, PIXEL, 54)
    masked, whole = (local_resolution(one, two, PIXEL, window=48, step=12, mask=m) for m in (mask, None))
    assert (masked[mask == 0] == 0).all()
    np.testing.assert_allclose(masked[mask > 0], whole[mask > 0], rtol=1e-5)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: local_resolution(white(1), white(2), PIXEL, window=12), "window"),
    (lambda: local_resolution(white(1), white(2), PIXEL, window=300), "window"),
    (lambda: local_resolution(white(1), white(2)[:8, :8, :8], PIXEL), "resample"),
    (lambda: local_resolution(white(1), white(2), PIXEL, mask=np.zeros((BOX,) * 3)), "mask"),
    (lambda: local_resolution(white(1), white(2)[0], PIXEL), "second half")])
def test_what_has_no_local_resolution_is_a_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()
