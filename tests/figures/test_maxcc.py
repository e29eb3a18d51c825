"""The pictures of lesson 2: what they say is what was drawn."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.figures import show
from cryoedu.figures.maxcc import approach, ccf_and_distance, noise_portrait_curve, spread_of_maxima


def examples():
    angles = np.arange(0, 360, 5.0)
    ccf = np.cos(np.radians(angles - 100)) * 20 + 80
    counts = np.array([1, 10, 100, 1000])
    return {
        "ccf": (lambda: ccf_and_distance(angles, ccf, 1700 - 2 * ccf, truth=101.0), "lowest at 100°"),
        "approach": (lambda: approach({("ellipse", 0.1): [0.7, 0.9], ("portrait", 0.1): [0.1, 0.95]}, {0.1: 0.99}, 0.2),
                     "portrait at SNR 0.1: 0.10 to 0.95"),
        "curve": (lambda: noise_portrait_curve(counts, [0.0, 0.1, 0.4, 0.8], {"aligned": (counts, [0, 0.1, 0.4, 0.79])},
                                               threshold=0.5), "aligned: 0.79 with 1000 images"),
        "maxima": (lambda: spread_of_maxima([np.zeros(50), np.full(40, 2.5)], ["one place", "highest"]),
                   "highest, mean 2.50"),
    }


@pytest.mark.parametrize("name", examples())
def test_a_picture_arrives_with_what_is_to_be_seen_in_words(name):
    make, says = examples()[name]
    picture = show(make())
    assert says in picture.alt and "nan" not in picture.alt
    assert re.search(r'<img [^>]*alt="[^"]{20,}"', picture._repr_html_())
    assert picture.png == show(make()).png and len(picture.png) < 200_000


def test_the_curves_drawn_are_the_ones_given():
    figure = approach({("a", 0.1): [0.2, 0.6], ("b", 0.1): [0.1, 0.3]}, {0.1: 0.9}, 0.25)
    drawn = [list(line.get_ydata()) for line in figure.axes[0].lines]
    assert drawn[:2] == [[0.2, 0.6], [0.1, 0.3]] and drawn[2] == [0.9, 0.9]
    (shaded,) = figure.axes[0].patches
    assert shaded.get_height() == 0.25
