"""Figures of lesson 9: each arrives with what is to be seen in it, and the planes are the right way round."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.figures import show
from cryoedu.figures.regularisation import plane_through_zero, rounds, shell_curves, shrinking, ssnr_maps
from cryoedu.geometry.fourier import fourier

FACTORS = np.linspace(0, 1.2, 13)


def examples():
    climb, fall = np.linspace(0, 900, 10), np.concatenate([np.linspace(0.8, 0.9, 4), np.linspace(0.88, 0.6, 6)])
    curve = np.linspace(1, -0.1, 17)
    plane = np.exp(-np.hypot(*np.meshgrid(np.arange(-8, 8), np.arange(-8, 8)))) * 100
    return {
        "shrinking": lambda: shrinking(FACTORS, {1: (FACTORS - 0.2) ** 2 + 1, 4: (FACTORS - 0.5) ** 2 + 0.5},
                                       {1: 0.2, 4: 0.5}),
        "rounds": lambda: rounds({"no prior": climb, "T = 4": climb / 2}, {"no prior": fall, "T = 4": fall ** 2}),
        "shell_curves": lambda: shell_curves(256.0, {"halves": curve, "truth": curve**2}, ylabel="FSC",
                                             levels={"0.5": 0.5}, alt="They part at 40 Å."),
        "log": lambda: shell_curves(256.0, {"signal": np.geomspace(1e3, 1e-3, 17)}, ylabel="power", log=True, last=12),
        "ssnr_maps": lambda: ssnr_maps([[plane, plane / 10]], columns=["many", "few"], rows=["all"], length=64.0),
    }


@pytest.mark.parametrize("name", examples())
def test_a_picture_arrives_with_its_description(name):
    picture = show(examples()[name]())
    assert re.search(r'<img [^>]*alt="[^"]{40,}"', picture._repr_html_())
    assert "nan" not in picture.alt and picture.png == show(examples()[name]()).png


def test_the_descriptions_hold_the_numbers():
    figures = examples()
    said = figures["rounds"]().get_label()
    assert "up by about 900, correlation 0.90 at best, in iteration 4 (to ±1), 0.60 at the end" in said
    level = rounds({"level": [0, 1438]}, {"level": [0.8101, 0.8100]}).get_label()
    assert "up by about 1400, correlation 0.81 at the end" in level  # which of two equals is the best is rounding
    assert "lowest 0.50 at 0.50" in figures["shrinking"]().get_label()
    assert "They part at 40 Å." in figures["shell_curves"]().get_label()
    assert re.search(r"all, many: the SSNR is above 1 in \d+%", figures["ssnr_maps"]().get_label())


def test_the_stars_lie_where_theory_says():
    axes = examples()["shrinking"]().axes[0]
    stars = [line for line in axes.lines if line.get_marker() == "*" and len(line.get_xdata())]
    assert [line.get_xdata()[0] for line in stars] == [0.2, 0.5]


def test_the_plane_is_a_cut_through_the_whole_transform():
    """kz upwards, kx to the right, and every component in its place."""
    box = 8
    volume = np.random.default_rng(2).normal(size=(box,) * 3)
    whole = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(volume)))) ** 2
    plane = plane_through_zero(np.abs(fourier(volume, 3)) ** 2)
    expected = whole[:, box // 2, :]
    assert plane[:, 1:] == pytest.approx(expected[:, 1:])  # the column at -Nyquist stands for +Nyquist
    assert plane[:, 0] == pytest.approx(expected[:, 0])
