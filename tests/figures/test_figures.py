"""Figures: they arrive with a description, the same each time, and leave nothing behind."""

from __future__ import annotations

import re
import weakref

import matplotlib
import numpy as np
import pytest

from cryoedu.figures import ccf_and_pdf, climb, describe, image_grid, new_figure, show, tracks

ANGLES = np.arange(0, 360, 10.0)


def examples():
    rng = np.random.default_rng(0)
    curves = rng.normal(size=(2, 36))
    gamma = np.exp(curves) / np.exp(curves).sum(1, keepdims=True)
    history = np.stack([-np.geomspace(100, 1, 8), np.linspace(5, 1, 8)], axis=1)
    track = rng.uniform(0.3, 1, (6, 2))
    return {
        "image_grid": lambda: image_grid(rng.normal(size=(2, 3, 8, 8)), rows=["a", "b"], columns="xyz", pixel_size=4.0),
        "shared": lambda: image_grid(rng.normal(size=(3, 8, 8)), columns="xyz", shared_scale="density", limits=(-1, 1)),
        "ccf_and_pdf": lambda: ccf_and_pdf(ANGLES, curves, gamma, ["SNR 1", "SNR 0.1"], truth=42.0),
        "climb": lambda: climb({"start at σ = 5": history, "start at σ = 1": history + 0.1}, true_sigma=1.0),
        "tracks": lambda: tracks({("maxCC", 0.1): track, ("ML", 0.1): track, ("maxCC", 0.01): track,
                                  ("ML", 0.01): track}, {0.1: (0.9, 1.0), 0.01: (0.8, 1.1)}),
    }


@pytest.mark.parametrize("name", examples())
def test_a_picture_arrives_with_its_description(name):
    """A learner who cannot see the picture gets its content, as HTML alternative text and in a terminal."""
    picture = show(examples()[name]())
    assert re.search(r'<img [^>]*alt="[^"]{20,}"', picture._repr_html_())
    assert picture.alt in repr(picture) and "nan" not in picture.alt
    assert picture.png == show(examples()[name]()).png
    assert picture.png.startswith(b"\x89PNG") and len(picture.png) < 200_000
    assert b"matplotlib" not in picture.png.lower()


def test_descriptions_tell_what_was_drawn():
    alt = {name: make().get_label() for name, make in examples().items()}
    assert "rows: a, b; columns: x, y, z" in alt["image_grid"]
    assert "true rotation is 42°" in alt["ccf_and_pdf"] and "SNR 0.1: the CCF is highest at" in alt["ccf_and_pdf"]
    assert "σ goes from 5.00 to 1.00" in alt["climb"]
    assert "maxCC at SNR 0.01: likeness" in alt["tracks"]


def test_quotes_and_brackets_in_a_description_stay_text():
    page = show(describe(new_figure(1, 1), 'a "quoted" <b>'))._repr_html_()
    assert "&quot;quoted&quot; &lt;b&gt;" in page


@pytest.mark.slow
def test_figures_leave_no_window_and_no_global_state():
    """pyplot keeps every figure until it is closed: a long lesson would fill a small seat's memory."""
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    for make in examples().values():
        show(make())
    assert plt.get_fignums() == [] and dict(matplotlib.rcParams) == before


def test_methods_differ_in_marker_and_dash_not_only_in_hue():
    from cryoedu.figures.alignment import LINES

    assert len({line["marker"] for line in LINES}) == len({line["linestyle"] for line in LINES}) == len(LINES)


def test_a_picture_lets_go_of_its_figure():
    """A lesson draws thirty: a seat of one gigabyte would hold all of them until Python thinks of it."""
    drawn = []

    def figure():
        made = new_figure(3, 2)
        made.subplots().plot([1, 2, 3])
        drawn.append(weakref.ref(made))
        return made

    show(figure(), alt="a line")
    assert drawn[0]() is None
