"""Matching by hand without a browser: its numbers, its grid, its static picture."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.geometry.euler import angular_distance, euler_to_matrix
from cryoedu.microscope.realspace import project_by_sums
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.matching import HIGH, WIDE, match_by_hand


@pytest.fixture(scope="module")
def matching():
    widget = match_by_hand(load("ribosome-80S", box=32), images=3)
    yield widget
    widget.close()


def read(values, *shape):
    return np.frombuffer(values, np.float32).reshape(*shape)


def at_truth(widget, turned=0.0):
    rot, tilt, psi = map(float, read(widget._truths, -1, 3)[widget.image])
    widget.rot, widget.tilt, widget.psi = rot, tilt, psi + turned
    return widget.score()


def test_the_score_is_highest_at_the_true_orientation(matching):
    """A learner who climbs the score must end at the truth, or the game teaches the contrary."""
    matching.snr = 10.0
    for matching.image in range(3):
        assert at_truth(matching) > 0.93
        assert at_truth(matching, turned=15) < at_truth(matching) - 0.05
        distance = angular_distance(euler_to_matrix(matching.best_angles()),
                                    euler_to_matrix(read(matching._truths, 3, 3)[matching.image]))
        assert distance < 15


def test_the_computers_scores_are_the_correlations_of_its_projections(matching):
    """The grid's scores are put together from parts, for any SNR; here they are taken literally."""
    matching.snr, matching.image = 0.4, 1
    inside = np.frombuffer(matching._inside, np.uint8).reshape(32, 32) > 0
    scores, angles = matching.grid_scores(), read(matching._grid_angles, -1, 3)
    assert scores.shape == (4608,)
    for g in (0, 1234, 4607, int(scores.argmax())):
        projection = project_by_sums(read(matching._map, 32, 32, 32), angles[g])[0]
        literally = np.corrcoef(matching.noisy_image()[inside], projection[inside])[0, 1]
        assert scores[g] == pytest.approx(literally, abs=0.01)


def test_the_picture_of_all_sides_shows_each_side_in_its_place(matching):
    nearest = np.frombuffer(matching._nearest, np.uint8).reshape(HIGH, WIDE)
    angles = read(matching._grid_angles, -1, 3)[:: matching.psi_count]
    for y, x in ((0, 0), (10, 50), (18, 3), (35, 71)):
        here = euler_to_matrix([x * 5 + 2.5, y * 5 + 2.5, 0.0])
        rows = euler_to_matrix(np.column_stack([angles[:, :2], np.zeros(len(angles))]))
        towards = rows[:, 2] @ here[2]  # cosine between the directions of view
        assert towards[nearest[y, x]] == pytest.approx(towards.max())
    assert len(set(nearest.ravel())) == 192


def test_less_signal_means_lower_scores_for_everybody(matching):
    matching.image, tops = 0, []
    for matching.snr in (10.0, 1.0, 0.1):
        tops.append(matching.grid_scores().max())
    assert tops == sorted(tops, reverse=True) and tops[0] > 0.8 > 0.4 > tops[-1]


def test_values_out_of_range_are_brought_back(matching):
    matching.rot, matching.tilt, matching.psi, matching.snr, matching.image = 725.0, 999.0, -10.0, 0.0, 4
    assert (matching.rot, matching.tilt, matching.psi, matching.snr, matching.image) == (5.0, 180.0, 350.0, 0.01, 1)
    assert np.isfinite(matching.score())


def test_the_page_gets_a_picture_with_its_description(matching):
    matching.snr, matching.image = 1.0, 0
    still = matching.still()
    alt = re.search(r'alt="([^"]+)"', still["text/html"])[1]
    assert f"correlation with the image is {matching.score():.2f}" in alt and "the truth is rot" in alt
    assert still == matching.still()


def test_without_a_ctf_the_images_are_plain_projections():
    specimen = load("ribosome-80S", box=24)
    widget = match_by_hand(specimen, defocus=None, images=1)
    assert read(widget._map, 24, 24, 24) == pytest.approx(specimen.density)
    widget.close()


@pytest.mark.parametrize("shape", [(16, 16), (64, 64, 64), (16, 16, 16)], ids=["2D", "large", "empty"])
def test_a_specimen_that_cannot_be_shown_is_refused_in_one_sentence(shape):
    with pytest.raises(InputError, match="specimen"):
        match_by_hand(Specimen(np.zeros(shape, np.float32), 8.0))
