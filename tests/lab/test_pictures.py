"""Numbers to pictures: against the plain definition, and never reading more of a file than is shown."""

from __future__ import annotations

import tracemalloc

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


def test_beyond_what_may_be_read_values_are_left_out():
    """A slice across x of a map of 8 GB touches a page of the disk for every voxel."""
    volume = np.zeros((64, 64, 2048), np.float32)
    volume[:, :, 7] = np.arange(64 * 64).reshape(64, 64)
    across = volume[:, :, 7]
    assert pictures.reads(across) == 64 * 64 * 4096 and pictures.reads(volume[7]) == 64 * 2048 * 4
    small, factors, sampled = pictures.shrink(across, 64, 16 * 16 * 4096)
    assert sampled and factors == (4, 4) and (small == across[::4, ::4]).all()


@pytest.mark.parametrize("shape, steps", [((64, 96), (8, 1)), ((30, 40, 24), (3, 3, 1))])
def test_of_a_large_image_some_rows_are_read_and_all_of_these_averaged(shape, steps):
    """A frame of a movie has an electron in every tenth pixel: single pixels of it show nothing."""
    values = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    small, factors, sampled = pictures.shrink(values, 8, values.nbytes // 8)
    assert sampled and max(small.shape) <= 8 and len(set(factors)) == 1
    for place in np.ndindex(small.shape):
        block = values[tuple(slice(f * i, f * (i + 1), step) for i, f, step in zip(place, factors, steps))]
        assert small[place] == pytest.approx(block.mean(), abs=1e-5)


def test_rows_of_millions_of_pixels_are_not_taken_into_memory_at_once():
    """A header may promise them, and a sparse file hold them, in a folder from a stranger."""
    wide = np.zeros((1, 16, 1 << 21), np.int8)
    tracemalloc.start()
    pictures.statistics(wide)
    pictures.shrink(wide[0], 128)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4.5 * 4 * (1 << 21)  # of the 16 rows as float32


def test_statistics_of_all_and_of_a_part():
    stack = np.random.default_rng(2).normal(1e4, 2, (30, 16, 24)).astype(np.float32)
    found = pictures.statistics(stack)
    assert found["share"] == 1 and found["broken"] == 0
    assert (found["low"], found["high"]) == (stack.min(), stack.max())
    assert found["mean"] == pytest.approx(stack.mean(dtype=float))
    assert found["sigma"] == pytest.approx(stack.std(dtype=float))
    part = pictures.statistics(stack, most=2400)
    assert part["share"] == pytest.approx(2400 // 64 * 64 / stack.size) and part["mean"] == pytest.approx(1e4, abs=0.5)


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
