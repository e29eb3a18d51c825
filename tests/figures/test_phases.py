"""The pictures of the aside on the phase problem: what they say is what was drawn."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.figures import show
from cryoedu.figures.phases import amplitudes_and_phases, error_curves


def examples():
    density = np.random.default_rng(1).random((16, 16))
    return {"waves": lambda: amplitudes_and_phases(density),
            "errors": lambda: error_curves({"error reduction": [np.geomspace(0.3, 0.04, 20)],
                                            "hybrid": [np.geomspace(0.3, 1e-7, 20), np.geomspace(0.3, 2e-3, 20)]})}


@pytest.mark.parametrize("name", examples())
def test_a_picture_arrives_with_what_is_to_be_seen_in_words(name):
    picture = show(examples()[name]())
    assert re.search(r'<img [^>]*alt="[^"]{20,}"', picture._repr_html_()) and "nan" not in picture.alt
    assert picture.png == show(examples()[name]()).png and len(picture.png) < 200_000


def test_the_amplitudes_and_phases_drawn_are_those_of_the_density():
    density = np.zeros((16, 16))
    density[8, 9] = 1.0  # one bright pixel: the same amplitude everywhere, a phase that turns along x
    _, amplitudes, phases = (ax.images[0].get_array() for ax in amplitudes_and_phases(density).axes[:3])
    assert np.ptp(amplitudes) < 1e-9
    steps = np.diff(np.asarray(phases)[8])
    assert (steps + 360) % 360 == pytest.approx((-9 * 360 / 16) % 360)


def test_the_ends_of_the_runs_are_said():
    assert "hybrid ends at less than 0.001 to 0.002" in show(examples()["errors"]()).alt
