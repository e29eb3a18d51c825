"""Figures of classes in 3D: they say what they show, with the numbers that went in."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.figures import heterogeneity as H
from cryoedu.figures.page import show
from cryoedu.validation.classes import Bin


def block(first: int, last: int):
    """A brick from layer ``first`` up to ``last`` along z."""
    density = np.zeros((8, 8, 8))
    density[first:last, 2:6, 2:6] = 1.0
    return density


def examples():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 8, 8, 8))
    gamma = rng.dirichlet(np.full(96, 0.05), size=2).reshape(2, 2, 48)
    rising = np.linspace(0.5, 0.96, 6)
    bins = [Bin(0.5, 0.8, 30, 0.66, 0.6), Bin(0.8, 1.0, 70, 0.95, 0.9)]
    return {
        "sections": lambda: H.sections(maps, ["one", "two", "three"], pixel_size=11.0, alt="Grain."),
        "difference": lambda: H.sections(maps[:2], ["one", "two"], pixel_size=11.0, difference="one less two",
                                         limits=(-1, 1)),
        "class_and_pose": lambda: H.class_and_pose(gamma, ["particle 1", "particle 2"], ["class 1", "class 2"],
                                                   truth=[[10, 20, 30], [-40, 50, 60]]),
        "class_surfaces": lambda: H.class_surfaces([block(2, 6), block(2, 4)], ["both", "half"], level=0.5,
                                                   views=[(0, 0, 0), (9, 90, 0)], difference="the rest", alt="Bricks."),
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
    assert "particle 2: class 1, sum 0." in alt["class_and_pose"]
    assert "both, half, the rest" in alt["class_surfaces"] and alt["class_surfaces"].endswith("Bricks.")
    assert "from 0.50 to 0.96" in alt["departure"] and "0.50 to 0.04 in class 2" in alt["departure"]
    assert "true: right from 0.96 to 0.50" in alt["certainty"] and "oracle reaches 0.82" in alt["certainty"]
    assert "class 2: 2 80S, 8 large" in alt["tables"]
    assert "ML3D: 0.66 claimed, 0.60 right" in alt["reliability"]
    assert "K = 2: class 1 5 80S, 1 large" in alt["contents"]
    assert "others 0.58, 0.61" in alt["self_agreement"]


def test_the_difference_of_two_surfaces_lies_inside_the_first_one():
    """Coloured where the maps are the same, a picture would show a difference that is none."""
    axes = H.class_surfaces([block(2, 6), block(2, 4)], ["both", "half"], level=0.5, views=[(0, 90, 90)],
                            difference="the rest").axes
    both, half, ghost, rest = (np.isfinite(np.asarray(image.get_array().filled(np.nan)))
                               for ax in axes for image in ax.images)
    assert (ghost == both).all() and (both & half == half).all() and half.sum() > 500
    assert (rest & half).sum() < 0.1 * rest.sum() and rest.sum() > 500


def test_the_spheres_of_a_particle_have_one_scale():
    """Each to its own scale, a class that the particle does not believe in looks as bright as the one that it does."""
    gamma = np.zeros((1, 2, 48))
    gamma[0, 0, 5], gamma[0, 1, 7] = 0.95, 0.05
    figure = H.class_and_pose(gamma, ["particle 1"], ["class 1", "class 2"], truth=[[0.0, 0.0, 0.0]])
    drawn = [mesh for ax in figure.axes for mesh in ax.collections if mesh.get_array() is not None]
    assert [mesh.get_clim() for mesh in drawn[:2]] == [(0, 0.95)] * 2
    assert drawn[1].get_array().max() == 0.05


def test_a_section_across_x_shows_the_plane_of_y_and_z():
    """A section labelled with the wrong axis turns every comparison with another program round."""
    volume = np.zeros((1, 8, 8, 8))
    volume[0, 1, 6, 4] = 1.0  # z, y, x
    figure = H.sections(volume, ["point"], pixel_size=1.0)
    across = [ax.images[0].get_array() for ax in figure.axes[:3]]
    assert across[0][1, 6] == 1.0 and across[1].max() == across[2].max() == 0.0
    assert [ax.get_ylabel() for ax in figure.axes[:3]] == list(H.PLANES)
