"""The projection-slice explorer without a browser: its numbers, its static picture, its bounds."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.filling import VIEWS, reached, views
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.slice_explorer import MOST, slice_explorer

BOX = 32


@pytest.fixture(scope="module")
def ribosome():
    return load("ribosome-80S", box=BOX)


@pytest.fixture(scope="module")
def explorer(ribosome):
    made = slice_explorer(ribosome)
    yield made
    made.close()


@pytest.mark.parametrize(("rot", "tilt"), [(0, 0), (30, 60), (200, 135)])
def test_the_slice_gives_the_projection(explorer, rot, tilt):
    explorer.rot, explorer.tilt = rot, tilt
    now = explorer.look()
    assert np.corrcoef(now["from_slice"].ravel(), now["by_sums"].ravel())[0, 1] > 0.997
    assert now["from_slice"].sum() == pytest.approx(now["by_sums"].sum(), rel=0.08)  # sinc² is right on average only


def test_along_z_the_slice_is_the_plane_of_the_transform(explorer, ribosome):
    explorer.rot = explorer.tilt = 0
    plane = np.abs(np.fft.fftshift(np.fft.fft2(ribosome.density.sum(axis=0))))
    shown = 10 ** explorer.look()["slice"]
    inside = np.isfinite(shown) & (plane > 0.01 * plane.max())
    assert shown[inside] == pytest.approx(plane[inside], rel=0.2)
    assert np.corrcoef(shown[inside], plane[inside])[0, 1] > 0.999


@pytest.mark.parametrize("kind", range(len(VIEWS)))
def test_the_map_is_what_the_slices_reach(explorer, ribosome, kind):
    explorer.kind, explorer.slices = kind, 25
    filled = reached(BOX, euler_to_matrix(views(list(VIEWS)[kind], 25)))
    F = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(ribosome.density)))
    expected = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(np.where(filled, F, 0)))).real
    now = explorer.look()
    assert np.array_equal(now["reached"], filled[:, BOX // 2])
    assert now["section"] == pytest.approx(expected[:, BOX // 2], abs=1e-5 * float(expected.max()))
    assert len(now["share"]) == BOX // 2 and now["share"][0] == 1


def test_values_out_of_range_are_brought_back(explorer):
    explorer.rot, explorer.tilt, explorer.slices, explorer.kind = 370, 500, 10**6, 9
    assert (explorer.rot, explorer.tilt, explorer.slices, explorer.kind) == (10, 180, MOST, 2)
    explorer.tilt, explorer.slices, explorer.kind = -3, -1, -1
    assert (explorer.tilt, explorer.slices, explorer.kind) == (0, 0, 0)
    now = explorer.look()
    assert not now["reached"].any() and not now["section"].any()


def test_the_picture_says_what_is_set(explorer):
    explorer.rot, explorer.tilt, explorer.kind, explorer.slices = 45, 70, 1, 12
    alt = re.search(r'alt="([^"]*)"', explorer.still()["text/html"])[1]
    assert "rot 45°, tilt 70°" in alt and "12 slices reach (from the top only" in alt and "nan" not in alt


@pytest.mark.parametrize("shape", [(32, 32), (96, 96, 96)], ids=["2D", "large"])
def test_what_cannot_be_shown_is_refused_in_one_sentence(shape):
    with pytest.raises(InputError, match="explorer takes a 3D specimen"):
        slice_explorer(Specimen(np.ones(shape, np.float32), 1.0))
