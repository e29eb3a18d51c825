"""What Python prepares for the browser: numbers, grey levels and colours as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.widgets.page import cividis, pixels, raw


def test_raw_numbers_are_little_endian_floats_in_the_order_of_the_array():
    values = np.arange(6, dtype=">f8").reshape(2, 3).T  # neither float32, nor little-endian, nor contiguous
    assert np.frombuffer(raw(values), "<f4").tolist() == [0, 3, 1, 4, 2, 5]


def test_grey_levels_span_what_they_are_asked_to():
    ramp = np.linspace(-1, 3, 9)
    assert pixels(ramp, 0, 2).tolist() == [0, 0, 0, 64, 128, 191, 255, 255, 255]
    image = np.random.default_rng(1).standard_normal((32, 48))
    levels = pixels(image)
    assert levels.dtype == np.uint8 and levels.shape == (32, 48)
    assert levels.mean() == pytest.approx(127.5, abs=1)  # the mean is grey
    assert levels.std() == pytest.approx(255 / 6, rel=0.02)  # and a standard deviation a sixth of the range


def test_an_image_without_contrast_or_with_nan_has_levels_too():
    assert len(np.unique(pixels(np.full((4, 4), 7.0)))) == 1
    assert pixels(np.array([0.0, np.nan, 1.0]), 0, 1).tolist() == [0, 0, 255]
    assert pixels(np.ones(3), 1, 1).tolist() == [0, 0, 0]


def test_cividis_goes_from_dark_blue_to_yellow():
    table = np.frombuffer(cividis(), np.uint8).reshape(256, 3).astype(int)
    assert table[0, 2] > table[0, 0] and table[-1, 0] > table[-1, 2]
    assert (np.diff(table @ [0.2126, 0.7152, 0.0722]) > -1).all()  # brighter all the way
