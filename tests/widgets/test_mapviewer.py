"""The map viewer without a browser: levels, surfaces, its picture, its end."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.mapviewer import LEVELS, map_viewer


@pytest.fixture(scope="module")
def ribosomes():
    return [load(name, box=16) for name in ("ribosome-80S", "ribosome-large-subunit")]


@pytest.fixture
def viewer(ribosomes):
    widget = map_viewer(ribosomes, level=1.5, tilt=30)
    yield widget
    widget.close()


def test_the_level_is_in_sigmas_of_each_map(ribosomes, viewer):
    expected = [s.density.mean() + 1.5 * s.density.std() for s in ribosomes]
    assert viewer.thresholds() == pytest.approx(expected, rel=1e-5)
    enclosed = np.frombuffer(viewer._enclosed, np.float32).reshape(2, LEVELS + 1)
    for row, specimen in zip(enclosed, ribosomes, strict=True):
        assert row[0] == pytest.approx(np.mean(specimen.density > specimen.density.mean()), abs=0.01)
        assert (np.diff(row) <= 0).all()
    assert enclosed[:, -1].max() < 0.001  # at the end of the slider the surface has all but gone


def test_surfaces_are_drawn_from_the_maps_themselves(ribosomes, viewer):
    """k3d gets the densities, not the grey levels that the slices are painted with."""
    for (_, surface), specimen in zip(viewer._drawn, ribosomes, strict=True):
        np.testing.assert_array_equal(surface.scalar_field, specimen.density)
    assert viewer._surfaces == [surface.model_id for _, surface in viewer._drawn]


def test_arrays_need_a_pixel_size_and_get_names(ribosomes):
    widget = map_viewer(ribosomes[0].density, pixel_size=4.0)
    assert (widget.names, widget.pixel_size, widget.box) == (["map 1"], 4.0, 16)
    widget.close()
    widget = map_viewer([ribosomes[0], ribosomes[0].density], names=["a", "b"])
    assert widget.names == ["a", "b"] and widget.pixel_size == ribosomes[0].pixel_size
    widget.close()


def test_the_picture_shows_slices_or_projections_and_says_which(viewer):
    slices = viewer.picture()
    assert "Slices at z 8" in slices.alt and "ribosome-large-subunit, " in slices.alt and "tilt 30°" in slices.alt
    viewer.view, viewer.level = 1, 2.5
    sums = viewer.picture()
    assert "Projections" in sums.alt and "2.5 σ" in sums.alt and sums.png != slices.png


def test_values_out_of_range_are_brought_back(viewer):
    viewer.x, viewer.view, viewer.level, viewer.rot, viewer.tilt = 99, 5, 1e9, -10, 500
    assert (viewer.x, viewer.view, viewer.rot, viewer.tilt) == (15, 1, 0, 180)
    assert viewer.level == viewer.highest
    assert "% of the box" in viewer.picture().alt


def test_closing_frees_the_surfaces_too(ribosomes):
    """Each holds a whole map, here and in the browser."""
    widgets = [map_viewer(ribosomes) for _ in range(4)]
    drawn = [pair for widget in widgets for pair in widget._drawn]
    assert len(drawn) == 4 and [widget.comm is None for widget in widgets] == [True, True, False, False]
    for widget in widgets:
        widget.close()
    assert all(part.comm is None for pair in drawn for part in pair)


def test_an_empty_map_can_be_looked_at():
    widget = map_viewer(Specimen(np.zeros((8, 8, 8), np.float32), 1.0))
    assert "0.0 % of the box" in widget.picture().alt
    widget.close()


def test_what_cannot_be_shown_is_refused_in_one_sentence(ribosomes):
    density = ribosomes[0].density
    for bad, words in (([], "0 maps"), ([density] * 5, "5 maps"), ([density, density[:8, :8, :8]], "one box"),
                       (load("protein2d", box=16).density, "cubic"), (density * np.nan, "NaN")):
        with pytest.raises(InputError, match=words):
            map_viewer(bad, pixel_size=1.0)
    with pytest.raises(InputError, match="pixel size"):
        map_viewer(density)
    with pytest.raises(InputError, match="1 names"):
        map_viewer(ribosomes, names=["one"])
