"""The map viewer and the projection viewer in a real browser: surfaces that k3d draws, pixels that the kernel sends."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.datasets.portraits import resized
from cryoedu.figures.surface import shaded
from cryoedu.microscope.realspace import project_by_sums

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOW = {"maps": """from cryoedu.datasets import load
from cryoedu.widgets.mapviewer import map_viewer
viewer = map_viewer(load("ribosome-80S", box=32), level=2.0, rot=60, tilt=60)
viewer""", "projections": """from cryoedu.datasets import load
from cryoedu.widgets.projection import projection_viewer
viewer = projection_viewer(load("ribosome-80S", box=32), tilt=40)
viewer"""}


def eventually(check, seconds=60):
    """Whether the check comes true: k3d draws when it has time."""
    end = time.monotonic() + seconds
    while not (passed := check()) and time.monotonic() < end:
        time.sleep(0.5)
    return passed


def surface(page):
    """Which pixels of the surface's figure are not background."""
    from matplotlib.image import imread

    picture = imread(io.BytesIO(page.page.locator(".cryoedu-surface").screenshot()))[..., :3]
    return picture.std(axis=2) > 0.05


def cut(mask):
    """A mask cut to what is there, at one size."""
    rows, columns = (np.flatnonzero(mask.any(axis=a)) for a in (1, 0))
    return resized(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(float), (40, 40))


def test_the_surface_is_turned_as_the_projections_are(lab):
    """Drawn by another program, which knows nothing of rot and tilt: its camera is ours to set right."""
    lab.notebook("maps.ipynb", SHOW["maps"], "viewer.rot, viewer.tilt = 300, 120", shows=".cryoedu-surface canvas")
    density = load("ribosome-80S", box=32).density
    level = density.mean() + 2 * density.std()

    def turned(angles):
        seen, expected = surface(lab), cut(np.isfinite(shaded(density, level, angles)))
        if not seen.any():
            return False
        right, *wrong = (np.corrcoef(cut(seen).ravel(), e.ravel())[0, 1]
                         for e in (expected, expected[:, ::-1], expected[::-1]))
        return right > 0.85 and right > max(wrong) + 0.05

    assert eventually(lambda: turned((60, 60, 0)))
    lab.run(1)  # turned from Python
    assert eventually(lambda: turned((300, 120, 0)))
    lab.page.get_by_label("seen from rot", exact=True).press("Home")
    lab.page.get_by_label("seen from tilt", exact=True).press("Home")
    for _ in range(30):  # in quick succession: k3d must not fall back to an earlier one
        lab.page.get_by_label("seen from tilt", exact=True).press("ArrowRight")
    assert eventually(lambda: turned((0, 90, 0)))


def test_surfaces_take_the_colour_of_the_page(lab):
    """In the dark theme, white panels glare."""
    lab.notebook("dark.ipynb", SHOW["maps"], shows=".cryoedu-surface canvas")

    def corner():
        from matplotlib.image import imread

        return imread(io.BytesIO(lab.page.locator(".cryoedu-surface").first.screenshot()))[4, 4, :3].max()

    assert eventually(lambda: corner() > 0.95)
    for theme, dark in (("JupyterLab Dark", True), ("JupyterLab Light", False)):
        lab.page.evaluate(f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: '{theme}'}})")
        assert eventually(lambda dark=dark: corner() < 0.2 if dark else corner() > 0.95), theme


def test_a_higher_level_makes_a_smaller_surface(lab):
    lab.notebook("level.ipynb", SHOW["maps"], shows=".cryoedu-surface canvas")
    assert eventually(lambda: surface(lab).mean() > 0.1)
    before = surface(lab).mean()
    lab.page.get_by_label("surface level", exact=True).press("End")
    assert eventually(lambda: surface(lab).mean() < 0.1 * before)
    assert lab.console == [] and lab.outside == []


def test_the_kernel_s_projection_is_painted_as_it_came(lab):
    lab.notebook("projections.ipynb", SHOW["projections"], shows=".jp-OutputArea .cryoedu canvas")
    lab.page.get_by_label("tilt", exact=True).press("ArrowRight")
    lab.page.wait_for_function("document.querySelector('.jp-OutputArea .cryoedu canvas').ariaLabel.includes('42°')")
    grey = lab.page.evaluate("""(() => { const c = document.querySelector('.jp-OutputArea .cryoedu canvas');
        return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data); })()""")[::4]
    expected = project_by_sums(load("ribosome-80S", box=32).density, (0, 42, 0))[0]
    assert np.corrcoef(grey, expected.ravel())[0, 1] > 0.98
