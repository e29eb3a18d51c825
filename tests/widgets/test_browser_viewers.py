"""The map viewer and the projection viewer in a real browser: surfaces that k3d draws, pixels that the kernel sends."""

from __future__ import annotations

import io

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from skimage.transform import resize

from cryoedu.datasets import load
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


def shown(lab, name):
    root, page = lab
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=[new_code_cell(SHOW[name]), new_code_cell("viewer.rot, viewer.tilt = 300, 120")],
                                metadata=kernel), root / f"{name}.ipynb")
    page.console.clear()
    page.open(f"{name}.ipynb")
    page.page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0")
    page.command("notebook:run-cell")
    page.page.wait_for_selector(".cryoedu canvas")
    return page


def outline(page):
    """Which pixels of the surface's figure are not background, cut to what is there."""
    from matplotlib.image import imread

    page.page.wait_for_timeout(1500)  # k3d draws when it has time
    picture = imread(io.BytesIO(page.page.locator(".cryoedu-surface").screenshot()))[..., :3]
    return cut(picture.std(axis=2) > 0.05)


def cut(mask):
    rows, columns = (np.flatnonzero(mask.any(axis=a)) for a in (1, 0))
    return resize(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(float), (40, 40))


def test_the_surface_is_turned_as_the_projections_are(lab):
    """Drawn by another program, which knows nothing of rot and tilt: its camera is ours to set right."""
    page = shown(lab, "maps")
    page.page.wait_for_selector(".cryoedu-surface canvas", timeout=60_000)
    density = load("ribosome-80S", box=32).density
    level = density.mean() + 2 * density.std()

    def likeness(angles):
        seen, expected = outline(page), cut(np.isfinite(shaded(density, level, angles)))
        return [np.corrcoef(seen.ravel(), e.ravel())[0, 1] for e in (expected, expected[:, ::-1], expected[::-1])]

    right, *wrong = likeness((60, 60, 0))
    assert right > 0.85 and right > max(wrong) + 0.05
    page.page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1")
    page.command("notebook:run-cell")  # turned from Python
    right, *wrong = likeness((300, 120, 0))
    assert right > 0.85 and right > max(wrong) + 0.05
    page.page.get_by_label("seen from rot", exact=True).press("Home")
    page.page.get_by_label("seen from tilt", exact=True).press("Home")
    for _ in range(30):  # in quick succession: k3d must not fall back to an earlier one
        page.page.get_by_label("seen from tilt", exact=True).press("ArrowRight")
    right, *wrong = likeness((0, 90, 0))
    assert right > 0.85 and right > max(wrong) + 0.05


@pytest.mark.skip(reason="a picture of the WebGL canvas takes over a minute without a GPU: to be repaired")
def test_a_higher_level_makes_a_smaller_surface(lab):
    page = lab[1]
    before = page.page.locator(".cryoedu-surface").screenshot()
    page.page.get_by_label("surface level", exact=True).press("End")
    page.page.wait_for_timeout(1500)
    after = page.page.locator(".cryoedu-surface").screenshot()
    assert len(after) < 0.6 * len(before)  # hardly more than white
    assert page.console == [] and page.outside == []


def test_the_kernel_s_projection_is_painted_as_it_came(lab):
    page = shown(lab, "projections")
    page.page.get_by_label("tilt", exact=True).press("ArrowRight")
    page.page.wait_for_function("document.querySelector('.cryoedu canvas').getAttribute('aria-label').includes('42°')")
    grey = page.page.evaluate("""(() => { const c = document.querySelector('.cryoedu canvas');
        return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data); })()""")[::4]
    expected = project_by_sums(load("ribosome-80S", box=32).density, (0, 42, 0))[0]
    assert np.corrcoef(grey, expected.ravel())[0, 1] > 0.98
