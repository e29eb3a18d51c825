"""Pictures of noise spectra and filters: what they say in words must be what they show."""

from __future__ import annotations

import numpy as np

from cryoedu.figures.noise import filter_map, power_curves


def test_power_curves_name_their_ends_and_keep_the_truth_behind():
    q = np.arange(5) / 100
    figure = power_curves(q, {"true": [9, 8, 4, 2, 1], "found": [9, 7, 0, 2, 1.5]}, truth="true")
    (ax,) = figure.axes
    assert [line.get_linewidth() > 5 for line in ax.lines] == [True, False]
    assert np.isnan(ax.lines[1].get_ydata()[1])  # a power of zero has no place on a logarithmic axis
    assert "found goes from 7 at 100 Å to 1.5 at 25 Å" in figure.get_label()


def test_filter_map_finds_the_best_band():
    share = np.array([[0.1, 0.3, 0.5], [np.nan, 0.2, 0.7], [np.nan, np.nan, 0.4]])
    said = filter_map([300, 150, 100], share, 0.9).get_label()
    assert "Without a filter 50%" in said and "at best 70%, when 150 to 100 Å" in said and "learned filter 90%" in said
