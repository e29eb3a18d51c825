"""Pictures of the experiment: what they say is what they draw."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.figures.experiment import approach, averaging, micrograph, set_up, transfer
from cryoedu.figures.page import show

RNG = np.random.default_rng(0)
VIEWS = np.abs(RNG.normal(size=(16, 12, 12)))
Q = np.arange(9) / 80
FSCS = [np.exp(-Q * fall) for fall in (80, 40, 20)]
EXAMPLES = {
    "set_up": lambda: set_up(VIEWS, pixel_size=8.0),
    "transfer": lambda: transfer(np.linspace(0, 0.1, 50),
                                 {"1 µm": np.sin(np.linspace(0.1, 7, 50)), "flat": np.ones(50)}),
    "averaging": lambda: averaging([1, 10, 100], [1.0, 0.3, 0.1], 1.0),
    "approach": lambda: approach(Q, FSCS, [0.7, 0.8, 0.9], (np.ones(9), 0.99), [0, 1, 2]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_arrives_with_its_description(name):
    picture = show(EXAMPLES[name]())
    assert re.search(r'<img [^>]*alt="[^"]{60,}"', picture._repr_html_()) and "nan" not in picture.alt
    assert picture.png == show(EXAMPLES[name]()).png


def test_descriptions_tell_what_was_drawn():
    alt = {name: make().get_label() for name, make in EXAMPLES.items()}
    assert "16 noisy projections" in alt["set_up"]
    zero = np.interp(np.pi, np.linspace(0.1, 7, 50), np.linspace(0, 0.1, 50))
    told = float(re.search(r"1 µm: first zero at (\d+) Å", alt["transfer"])[1])
    assert told == pytest.approx(1 / zero, rel=0.1) and "flat: no zero" in alt["transfer"]
    assert "from 1.00 at N = 1 to 0.10 at N = 100" in alt["averaging"]
    assert "from 0.70 to 0.90" in alt["approach"] and "orientations it is 0.99" in alt["approach"]


def test_the_particles_of_a_micrograph_do_not_overlap_and_sit_in_their_boxes():
    """A box that holds two particles, or half of one, would show something else than the text says."""
    field, corners = micrograph(VIEWS, across=4, seed=3)
    assert len(corners) == 16 and field.sum() == pytest.approx(VIEWS.sum())
    for k, (y, x) in enumerate(corners):
        assert field[y : y + 12, x : x + 12] == pytest.approx(VIEWS[k])
