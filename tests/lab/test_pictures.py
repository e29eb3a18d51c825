"""Numbers to pictures: against the plain definition, and never reading more of a file than is shown."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.geometry.fourier import fourier, radial_mean
from cryoedu.lab import pictures


@pytest.mark.parametrize("shape", [(9, 13), (40, 6), (5, 7, 11)])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_block_means_are_means_of_blocks(shape, factor, monkeypatch):
    monkeypatch.setattr(pictures, "BAND", 30)  # several bands, the last one shorter
    values = np.random.default_rng(1).standard_normal(shape)
    found = pictures.block_means(values, (factor,) * len(shape))
    for place in np.ndindex(found.shape):
        block = values[tuple(slice(factor * i, factor * (i + 1)) for i in place)]
        assert found[place] == pytest.approx(block.mean(), abs=1e-5)


def test_a_thin_slab_keeps_its_thickness():
    small, factors, _ = pictures.shrink(np.ones((3, 400, 400)), 100)
    assert small.shape == (1, 100, 100) and factors == (3, 4, 4)


def test_beyond_what_may_be_read_values_are_left_out(monkeypatch):
    """A slice across x of a map of 8 GB touches a page of the disk for every voxel."""
    volume = np.zeros((64, 64, 2048), np.float32)
    volume[:, :, 7] = np.arange(64 * 64).reshape(64, 64)
    across = volume[:, :, 7]
    assert pictures.reads(across) == 64 * 64 * 4096 and pictures.reads(volume[7]) == 64 * 2048 * 4
    monkeypatch.setattr(pictures, "READ", 16 * 16 * 4096)
    small, factors, sampled = pictures.shrink(across, 64)
    assert sampled and factors == (4, 4) and (small == across[::4, ::4]).all()


def test_statistics_of_all_and_of_a_part():
    stack = np.random.default_rng(2).normal(1e4, 2, (30, 16, 24)).astype(np.float32)
    found = pictures.statistics(stack)
    assert found["share"] == 1 and found["broken"] == 0
    assert (found["low"], found["high"]) == (stack.min(), stack.max())
    assert found["mean"] == pytest.approx(stack.mean(dtype=float))
    assert found["sigma"] == pytest.approx(stack.std(dtype=float))
    part = pictures.statistics(stack, most=2400)
    assert part["share"] == pytest.approx(64 / 480) and part["mean"] == pytest.approx(1e4, abs=0.5)


@pytest.mark.parametrize("box", [8, 12])
def test_spectra_agree_with_the_engine_s(box):
    rng = np.random.default_rng(4)
    image, volume = rng.standard_normal((box, box)), rng.standard_normal((box, box, box))
    for found, values, ndim in ((pictures.image_power([image], box), image - image.mean(), 2),
                                (pictures.map_power(volume), volume - volume.mean(), 3)):
        power = np.abs(fourier(values, ndim)) ** 2
        np.testing.assert_allclose(found, power, atol=1e-3 * power.max())
        np.testing.assert_allclose(pictures.profile(power), radial_mean(power, box, ndim), rtol=1e-9, atol=1e-9)


def test_the_whole_plane_is_the_full_transform():
    image = np.random.default_rng(5).standard_normal((10, 10))
    half = np.abs(np.fft.rfft2(image)) ** 2
    np.testing.assert_allclose(pictures.whole_plane(half), np.fft.fftshift(np.abs(np.fft.fft2(image)) ** 2))
