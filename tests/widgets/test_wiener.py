"""The Wiener and T explorer without a browser: its numbers against the definition, its picture, its limits."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.geometry.fourier import inverse
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.wiener import COUNTS, FLAT, HALVES, MAP, NONE, SOURCES, TRUTH, wiener_explorer


@pytest.fixture(scope="module")
def explorer():
    widget = wiener_explorer(load("protein2d", box=32), images=50, snr=0.05, seed=2)
    yield widget
    widget.close()


def at(explorer, **state):
    for name, value in {"count": COUNTS.index(50), "snr": 0.05, "fudge": 1.0, "source": TRUTH, **state}.items():
        setattr(explorer, name, value)
    return explorer.curves()


def test_the_map_is_the_filter_of_the_lesson(explorer):
    """Written out with whole transforms and the formula of lesson 9."""
    now = at(explorer, fudge=3.0)
    f, weights, numerators = explorer.parts()
    k = np.fft.fftfreq(32, 1 / 32)
    ring = np.minimum(np.rint(np.hypot(k[:, None], np.arange(17))).astype(int), 16)
    sigma2 = 32**2 / 2
    whole = np.fft.fft2(np.fft.ifftshift(inverse(f)))
    rings = np.rint(np.hypot(k[:, None], k)).astype(int)
    tau2 = np.array([0.5 * np.mean(np.abs(whole[rings == r]) ** 2) for r in range(17)])
    expected = (numerators.sum(0) / sigma2) / (weights.sum(0) / sigma2 + 1 / (3.0 * tau2[ring]))
    assert now["map"] == pytest.approx(expected, rel=1e-6)
    assert now["prior"] == pytest.approx(3 * tau2)


def test_the_images_have_the_snr_that_the_slider_says(explorer):
    """Noise of one image: the first two have one each in the halves."""
    at(explorer, count=0, snr=1.0)
    f, weights, numerators = explorer.parts()
    left = numerators - weights * f  # CTF · noise of one image each
    seen = weights > 0.05
    power = np.abs(left[seen]) ** 2 / weights[seen]
    assert power.mean() == pytest.approx(32**2, rel=0.1)  # white noise of variance 1


def test_the_true_power_and_t_1_are_the_best(explorer):
    at(explorer)
    errors = explorer.sweep()
    assert errors.argmin() == pytest.approx(20, abs=2)  # T = 1
    assert errors.min() == pytest.approx(float(explorer.curves()["error_best"]), rel=0.02)
    assert errors[0] > errors[20] < errors[-1]


def test_no_prior_is_the_limit_of_a_large_t(explorer):
    without = at(explorer, source=NONE)
    assert without["error"] == pytest.approx(float(without["error_ml"]))
    assert np.isnan(without["prior"]).all()
    assert at(explorer, fudge=100.0)["error"] > at(explorer)["error"]


def test_a_map_that_judges_itself_loses_shells_below_4_over_t_minus_1(explorer):
    """What section 5 of the lesson derives."""
    now = at(explorer, source=MAP, snr=0.2)
    ssnr = now["signal"] / now["noise"]
    assert (now["kept"][1:][ssnr[1:] < 2] < 0.01).all() and (now["kept"][1:][ssnr[1:] > 4] > 0.4).all()
    loose = at(explorer, source=MAP, snr=0.2, fudge=4.0)
    assert (loose["kept"][1:] > 0.1).sum() > (now["kept"][1:] > 0.1).sum()


def test_two_halves_come_close_to_the_truth(explorer):
    now = at(explorer, source=HALVES, count=len(COUNTS) - 1)
    assert now["error_best"] <= now["error"] < 1.15 * now["error_best"]
    few = {"count": COUNTS.index(100), "snr": 0.02}
    assert at(explorer, source=HALVES, **few)["error"] < 0.7 * at(explorer, source=NONE, **few)["error"]


def test_a_prior_that_knows_no_spectrum_is_worse_at_every_t(explorer):
    at(explorer, source=FLAT)
    assert explorer.sweep().min() > 1.03 * float(explorer.curves()["error_best"])


def test_more_images_make_better_maps(explorer):
    errors = [float(at(explorer, count=c)["error"]) for c in range(len(COUNTS))]
    assert all(np.diff(errors) < 0.01) and errors[-1] < 0.4 * errors[0]


def test_extreme_positions_are_brought_back_and_finite(explorer):
    explorer.snr, explorer.fudge, explorer.count, explorer.source = 0.0, 1e9, 99, -3
    assert (explorer.snr, explorer.fudge, explorer.count, explorer.source) == (1e-3, 100.0, len(COUNTS) - 1, 0)
    for source in range(len(SOURCES)):
        for fudge in (1e-2, 1e2):
            for count in (0, len(COUNTS) - 1):
                now = at(explorer, source=source, fudge=fudge, count=count, snr=1e-3)
                assert all(np.isfinite(v).all() for name, v in now.items() if name != "prior")


def test_the_page_gets_a_picture_with_its_description(explorer):
    at(explorer, source=HALVES)
    alt = re.search(r'alt="([^"]+)"', explorer.still()["text/html"])[1]
    assert "50 images at SNR 0.05" in alt and "two halves" in alt and "without a prior" in alt


@pytest.mark.parametrize("shape", [(16, 16, 16), (32, 32), (48, 48)], ids=["3D", "empty", "no power of 2"])
def test_a_specimen_that_cannot_be_shown_is_refused_in_one_sentence(shape):
    with pytest.raises(InputError, match="specimen"):
        wiener_explorer(Specimen(np.ones(shape, np.float32), 1.0))
