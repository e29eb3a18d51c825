"""The projection viewer without a browser: what it paints is the projection."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.microscope.realspace import project_by_sums
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.projection import projection_viewer


@pytest.fixture
def viewer():
    widget = projection_viewer(load("ribosome-80S", box=32))
    yield widget
    widget.close()


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 70, 110), (300, 180, 20)])
def test_what_is_painted_is_the_map_turned_and_added_up(viewer, angles):
    viewer.rot, viewer.tilt, viewer.psi = angles
    expected = project_by_sums(load("ribosome-80S", box=32).density, angles)[0]
    assert np.corrcoef(viewer.projection().ravel(), expected.ravel())[0, 1] > 0.99
    painted = np.frombuffer(viewer._pixels, np.uint8).reshape(32, 32)
    assert np.corrcoef(painted.ravel(), expected.ravel())[0, 1] > 0.98
    assert viewer._shown == list(angles)


def test_all_directions_share_one_scale_of_greys(viewer):
    """A picture that is scaled anew for each angle flickers, and hides that a long way through is a dark one."""
    sums = []
    for viewer.tilt in (0, 45, 90):
        painted = np.frombuffer(viewer._pixels, np.uint8).astype(float)
        sums.append(painted.sum())
    assert sums == pytest.approx([sums[0]] * 3, rel=0.03)  # all the mass is in each of them


def test_angles_out_of_range_are_brought_back(viewer):
    viewer.rot, viewer.tilt, viewer.psi = -5, 200, 1e9
    assert (viewer.rot, viewer.tilt, viewer.psi) == (0, 180, 360)


def test_the_picture_says_how_it_is_turned(viewer):
    viewer.tilt = 60
    assert "tilt 60" in viewer.picture().alt and "ribosome" in viewer.picture().alt


def test_what_has_no_projection_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="3D specimen"):
        projection_viewer(load("protein2d", box=16))
    with pytest.raises(InputError, match="194"):
        projection_viewer(Specimen(np.zeros((194, 194, 194), np.float32), 1.0))
