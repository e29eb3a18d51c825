"""Bad start without a browser: its numbers, its static picture, what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.figures.starts import Track, sections
from cryoedu.widgets.bad_start import bad_start

TRUTH = np.random.default_rng(9).normal(size=(8, 8, 8)).astype(np.float32)


def runs():
    rng = np.random.default_rng(0)
    long = Track(rng.normal(size=(4, 8, 8, 8)).astype(np.float32), np.array([-9e3, -5e3, -3e3, -2e3]),
                 np.array([0.1, 0.4, 0.8, 0.9]), rng.uniform(-0.1, 1, (4, 5)), np.array([120.0, 90, 70, 50]),
                 np.arange(1, 5), False)
    short = replace(long, maps=long.maps[:2], log_likelihood=np.array([np.nan, -4e3]), sharpness=np.array([0.7, 0.8]),
                    fsc=long.fsc[2:], resolution=np.array([200.0, 110.0]), numbers=np.array([1, 5]))
    return {"ball": long, "noise": short}


def test_the_numbers_are_those_of_the_runs():
    widget = bad_start(runs(), TRUTH, 10.0)
    assert widget.names == ["ball", "noise"] and widget.lengths == [4, 2]
    assert widget.now(0) == pytest.approx({"numbers": 1, "log_likelihood": -7, "sharpness": 0.1, "resolution": 120})
    assert np.isnan(widget.now(1)["log_likelihood"])
    widget.frame = 3
    assert widget.now(0)["log_likelihood"] == pytest.approx(0)
    assert widget.now(1) == pytest.approx({"numbers": 5, "log_likelihood": -2, "sharpness": 0.8, "resolution": 110})
    shown = np.frombuffer(widget._sections, np.uint8).reshape(6, 3, 8, 8)
    section = sections(runs()["noise"].maps[1])[2]
    assert np.corrcoef(shown[5, 2].ravel(), section.ravel())[0, 1] > 0.99
    widget.close()


def test_values_out_of_range_are_brought_back():
    widget = bad_start(runs(), TRUTH, 10.0)
    widget.frame, widget.left, widget.right = 99, -3, 7
    assert (widget.frame, widget.left, widget.right) == (3, 0, 1)
    widget.close()


def test_the_page_gets_a_picture_with_its_description():
    widget = bad_start(runs(), TRUTH, 10.0)
    widget.frame = 2
    alt = widget.picture().alt
    assert "ball: in iteration 3 mean largest probability 0.8 (to ±0.1); at the end arrived" in alt
    assert "noise: in iteration 5" in alt and "at the end lost" in alt and alt in widget.still()["text/html"]
    assert widget.still() == widget.still()
    widget.close()


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="at least two"):
        bad_start({"ball": runs()["ball"]}, TRUTH, 10.0)
    with pytest.raises(InputError, match="noise: its maps have shape"):
        small = runs()
        small["noise"] = replace(small["noise"], maps=np.zeros((2, 6, 6, 6), np.float32))
        bad_start(small, TRUTH, 10.0)
