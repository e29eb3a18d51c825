"""Pictures of Fourier space: descriptions, ticks in Å, the same each time."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.figures.fourier import curves, planes, resolution_axis
from cryoedu.figures.page import new_figure, show

RNG = np.random.default_rng(0)
U = np.linspace(0, 0.25, 40)
EXAMPLES = {
    "curves": lambda: curves(U, {"near": np.sin(90 * U), "far": np.cos(50 * U)}, ylabel="CTF", marks={"zero": 12.0},
                             title="two", limits=(-1, 1), points=True, alt="Two waves."),
    "planes": lambda: planes(np.ones((2, 16, 16)), ["a", "b"], images=np.eye(16)[None].repeat(2, 0), pixel_size=4.0,
                             scale="log₁₀ amplitude", limits=(-4, 0), rings=(30, 12), alt="A disc."),
    "planes alone": lambda: planes(np.zeros((3, 16, 16)), "xyz", pixel_size=4.0, scale="power", limits=(0, 2)),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_arrives_with_its_description(name):
    picture = show(EXAMPLES[name]())
    assert re.search(r'<img [^>]*alt="[^"]{20,}"', picture._repr_html_())
    assert picture.png == show(EXAMPLES[name]()).png


def test_descriptions_tell_what_was_drawn():
    alt = {name: make().get_label() for name, make in EXAMPLES.items()}
    assert alt["curves"] == "CTF against resolution: near; far. Two waves."
    assert alt["planes"] == "image above, Fourier space below, columns: a, b. A disc."
    assert alt["planes alone"].startswith("Fourier space, columns: x, y, z")


@pytest.mark.parametrize("top", [0.01, 0.0227, 0.05, 0.1, 0.25, 0.5])
def test_ticks_stand_at_their_resolution_and_apart(top):
    ax = new_figure(5, 3).subplots()
    ax.set_xlim(0, top)
    resolution_axis(ax)
    places, words = ax.get_xticks(), [t.get_text() for t in ax.get_xticklabels()]
    assert places == pytest.approx([1 / float(w) for w in words]) and max(places) <= top * 1.001
    assert len(places) >= 3 and np.diff(places).min() > top / 20
