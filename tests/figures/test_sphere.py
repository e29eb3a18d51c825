"""Pictures over the sphere: what stands where, and what a reader without the picture is told."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.figures import show
from cryoedu.figures.sphere import angle_between, direction_of, on_map, posteriors_on_sphere, search_grids
from cryoedu.geometry.grids import search_3d


def test_directions_are_those_of_the_search():
    """A triangle beside its peak would tell the learner that the engine is wrong."""
    angles = search_3d(1).angles[::12]
    for index in (0, 17, 47):
        found = direction_of(index, 48)
        assert angle_between(found, angles[index]) == pytest.approx(0, abs=1e-4)
        one = np.eye(48)[index]
        rot, latitude, picture = on_map(one)
        row, column = np.unravel_index(int(np.argmax(picture)), picture.shape)
        assert angle_between((rot[column], 90 - latitude[row]), angles[index]) < 45
        lon, lat = np.meshgrid(np.radians(rot), np.radians(latitude))
        toward = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
        centre = np.average(toward, axis=(0, 1), weights=picture * np.cos(lat))
        rot_tilt = np.degrees([np.arctan2(centre[1], centre[0]), np.arccos(centre[2] / np.linalg.norm(centre))])
        assert angle_between(rot_tilt, angles[index]) < 5
        share = np.sum(picture * np.cos(lat)) / np.sum(np.cos(lat))
        assert share == pytest.approx(1 / 48, rel=0.05)  # equal areas


def test_the_words_say_how_far_the_peak_is_from_the_truth():
    values = np.full((2, 48), 0.5 / 47)
    values[:, 5] = 0.5
    picture = show(posteriors_on_sphere(values, ["SNR 3", "SNR 1"], truth=direction_of(5, 48)))
    assert picture.alt.count("0° from the truth") == 2 and "SNR 1" in picture.alt and "with 0.5" in picture.alt
    assert picture.png == show(posteriors_on_sphere(values, ["SNR 3", "SNR 1"], truth=direction_of(5, 48))).png
    assert "truth" not in show(posteriors_on_sphere(values[:1], ["one"])).alt


def test_grids_are_counted():
    assert re.findall(r"(\d+) directions about (\d+)", show(search_grids([0, 1, 2])).alt) == [
        ("12", "60"), ("48", "30"), ("192", "15")]


@pytest.mark.parametrize("count", [10, 13, 108])
def test_what_is_no_grid_is_refused(count):
    with pytest.raises(InputError, match="12, 48, 192"):
        on_map(np.ones(count))
