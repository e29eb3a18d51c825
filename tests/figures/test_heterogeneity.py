"""Figures of classes in 3D: they say what they show, with the numbers that went in."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.figures import heterogeneity as H
from cryoedu.figures.page import show
from cryoedu.validation.classes import Bin


def examples():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 8, 8, 8))
    gamma = rng.dirichlet(np.full(40, 0.05), size=2).reshape(2, 2, 20)
    rising = np.linspace(0.5, 0.96, 6)
    bins = [Bin(0.5, 0.8, 30, 0.66, 0.6), Bin(0.8, 1.0, 70, 0.95, 0.9)]
    return {
        "sections": lambda: H.sections(maps, ["one", "two", "three"], pixel_size=11.0, alt="Grain."),
        "difference": lambda: H.sections(maps[:2], ["one", "two"], pixel_size=11.0, difference="one less two",
                                         limits=(-1, 1)),
        "class_and_pose": lambda: H.class_and_pose(gamma, ["particle 1", "particle 2"], ["class 1", "class 2"]),
        "departure": lambda: H.departure(rising, rising + 0.02, np.stack([rising, 1 - rising], axis=1), what="density"),
        "certainty": lambda: H.certainty({"random": (rising, rising + 0.03), "true": (rising[::-1], rising)},
                                         oracle=0.82),
        "tables": lambda: H.tables([[[9, 1], [2, 8]], [[5, 5], [3, 7]]], ["the truth", "the supervised run"],
                                   rows=[["class 1", "class 2"]] * 2, columns=[["80S", "large"]] * 2),
        "reliability": lambda: H.reliability({"ML3D": bins, "supervised": bins[:1]}),
        "contents": lambda: H.contents({1: [[5, 6]], 2: [[5, 1], [0, 5]]}, ["80S", "large"]),
        "self_agreement": lambda: H.self_agreement([500, 1000], {"itself": [1.0, 0.97], "others": [0.58, 0.61]},
                                                   oracle=[0.82, 0.81]),
    }


@pytest.mark.parametrize("name", examples())
def test_a_picture_arrives_with_its_description(name):
    picture = show(examples()[name]())
    assert re.search(r'<img [^>]*alt="[^"]{40,}"', picture._repr_html_())
    assert "nan" not in picture.alt and picture.png == show(examples()[name]()).png
    assert len(picture.png) < 200_000


def test_descriptions_tell_what_was_drawn():
    alt = {name: make().get_label() for name, make in examples().items()}
    assert "one, two, one less two" in alt["difference"] and alt["sections"].endswith("Grain.")
    assert "particle 2: class 1" in alt["class_and_pose"]
    assert "from 0.50 to 0.96" in alt["departure"] and "0.50 to 0.04 in class 2" in alt["departure"]
    assert "true: right from 0.96 to 0.50" in alt["certainty"] and "oracle reaches 0.82" in alt["certainty"]
    assert "class 2: 2 80S, 8 large" in alt["tables"]
    assert "ML3D: 0.66 claimed, 0.60 right" in alt["reliability"]
    assert "K = 2: class 1 5 80S, 1 large" in alt["contents"]
    assert "others 0.58, 0.61" in alt["self_agreement"]


def test_a_section_across_x_shows_the_plane_of_y_and_z():
    """A section labelled with the wrong axis turns every comparison with another program round."""
    volume = np.zeros((1, 8, 8, 8))
    volume[0, 1, 6, 4] = 1.0  # z, y, x
    figure = H.sections(volume, ["point"], pixel_size=1.0)
    across = [ax.images[0].get_array() for ax in figure.axes[:3]]
    assert across[0][1, 6] == 1.0 and across[1].max() == across[2].max() == 0.0
    assert [ax.get_ylabel() for ax in figure.axes[:3]] == list(H.PLANES)
