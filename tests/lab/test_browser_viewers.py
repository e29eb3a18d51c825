"""The viewers of MRC and STAR files in a real browser, on the newest and the oldest JupyterLab, with mouse and keys."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from cryoedu.datasets import load
from cryoedu.datasets.portraits import resized
from cryoedu.figures.surface import shaded
from cryoedu.files.mrc import write_stack
from cryoedu.microscope.specimen import write_map

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RELION = Path(__file__).parents[1] / "data" / "relion"
FILE = "#jp-main-dock-panel .cryoedu"  # beside it there is the course panel
CALM = f"!document.querySelector('{FILE}[aria-busy], {FILE} [aria-busy]')"


@pytest.fixture
def viewer(either, request):
    """Opens a file of the served folder; at the end nothing went wrong in the browser, and nothing left it."""
    either.console.clear()
    either.outside.clear()

    def opened(name, shows):
        either.page.goto(f"{either.url}/lab/tree/{name}?reset", wait_until="domcontentloaded")
        either.page.wait_for_selector(shows, timeout=120_000)
        calm(either.page)
        return either.page

    yield opened
    if "CRYOEDU_SHOTS" in os.environ:
        name = request.node.name.replace("[", "-").rstrip("]")
        either.page.screenshot(path=f"{os.environ['CRYOEDU_SHOTS']}/{name}.png")
    assert not either.console and not either.outside


@pytest.fixture
def folder(either):
    return either.root


def calm(page):
    """Wait until nothing is being fetched or waits to be said."""
    page.wait_for_function(CALM)


def words(page):
    calm(page)
    return page.locator(f"{FILE} [role=tabpanel]:not([hidden]) [role=status]").first.inner_text()


def canvas(page, selector):
    """The grey levels of a canvas."""
    return np.array(page.locator(selector).first.evaluate("""e => Array.from(
        e.getContext('2d').getImageData(0, 0, e.width, e.height).data).filter((_, i) => i % 4 === 0)"""))


def tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()
    calm(page)


def test_a_stack_is_paged_and_an_image_of_it_enlarged_with_keys(viewer, folder):
    shutil.copy(RELION / "particles.mrcs", folder)
    page = viewer("particles.mrcs", ".cryoedu-gallery button")
    assert "200 images of 32 × 32 pixels, 4 Å per pixel; mode 0 (int8)" in page.locator(FILE).inner_text()
    assert page.locator(".cryoedu-gallery button").count() == 24 and "Images 1 to 24 of 200" in words(page)
    before = canvas(page, ".cryoedu-gallery canvas")
    page.get_by_role("slider", name="page").focus()
    page.keyboard.press("End")
    assert "Images 193 to 200 of 200" in words(page) and page.locator(".cryoedu-gallery button").count() == 8
    page.keyboard.press("Home")
    words(page)
    page.get_by_role("slider", name="contrast").first.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    assert "± 6" in page.locator("output").first.inner_text() and "mean − 6 σ" in words(page)
    assert canvas(page, ".cryoedu-gallery canvas").std() == pytest.approx(before.std() / 2, rel=0.1)

    page.locator(".cryoedu-gallery button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.get_by_role("tab", name="image", exact=True).get_attribute("aria-selected") == "true"
    number = int(words(page).split()[1])
    assert number > 3 and f"Image {number} of 200, whole" in words(page)
    page.locator(".cryoedu-zoom").focus()
    page.keyboard.press("+")
    assert "pixels 8 to 23 across, 8 to 23 down" in words(page)
    page.keyboard.press("ArrowRight")
    assert "pixels 12 to 27 across, 8 to 23 down" in words(page)
    assert page.locator(".cryoedu-zoom").get_attribute("aria-label") == \
        f"image {number} of 200, pixels 12 to 27 across, 8 to 23 down"
    page.keyboard.press("0")
    assert "whole" in words(page)

    page.keyboard.press("+")
    page.keyboard.press("+")
    assert "pixels 12 to 19 across, 12 to 19 down" in words(page)
    box = page.locator(".cryoedu-zoom").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - box["width"] / 4, y + box["height"] / 8, steps=100)  # a hundredth of a pixel at a time counts
    page.mouse.up()
    assert "pixels 14 to 21 across, 11 to 18 down" in words(page)
    page.mouse.wheel(0, 100)
    page.wait_for_function("document.querySelector('.cryoedu-zoom').ariaLabel.includes('13 to 22 across')")  # about it


@pytest.mark.parametrize("ending, packing", [("gz", gzip.compress), ("bz2", bz2.compress)])
def test_a_packed_map_opens_as_any_other(viewer, folder, ending, packing):
    name = f"{ending}.map.{ending}"
    (folder / name).write_bytes(packing((RELION / "map.mrc").read_bytes()))
    page = viewer(name, ".cryoedu-image >> nth=2")
    told = page.locator(FILE).inner_text()
    assert "A map of 32 × 32 × 32 voxels" in told and "packed" in told
    assert canvas(page, ".cryoedu-image canvas").std() > 10
    tab(page, "surface")
    page.wait_for_selector(".cryoedu-turn")
    assert "of the box" in words(page)


def test_what_the_header_says_is_text_and_never_markup(viewer, folder):
    write_stack(np.random.default_rng(1).standard_normal((2, 16, 16)), folder / "evil.mrcs", 1.0)
    raw = bytearray((folder / "evil.mrcs").read_bytes())
    raw[224:304] = b"<img src=x onerror=\"window.harmed=1\">".ljust(80)
    (folder / "evil.mrcs").write_bytes(raw)
    page = viewer("evil.mrcs", ".cryoedu-gallery button")
    tab(page, "header")
    table = page.locator(".cryoedu-fields")
    assert "<img src=x" in table.inner_text() and "ispg" in table.inner_text()
    assert table.locator("img").count() == 0 and page.evaluate("window.harmed") is None


def test_a_map_s_slices_follow_the_crosshair(viewer, folder):
    density = np.zeros((24, 24, 24), np.float32)
    density[6, 10, 18] = 1  # z, y, x
    write_map(density, folder / "dot.mrc", 2.0)
    page = viewer("dot.mrc", ".cryoedu-image >> nth=2")
    assert "A map of 24 × 24 × 24 voxels, 2 Å per voxel" in page.locator(FILE).inner_text()
    assert "Slices through x 12, y 12, z 12" in words(page)
    page.get_by_role("slider", name="slice across z").focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    assert "z 6" in words(page)
    assert (canvas(page, ".cryoedu-image canvas").reshape(24, 24) == 255).nonzero() == (10, 18)
    box = page.locator(".cryoedu-image canvas").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 18.5 / 24, box["y"] + box["height"] * 10.5 / 24)
    assert "Slices through x 18, y 10, z 6" in words(page)
    for i, place in ((1, (6, 18)), (2, (6, 10))):
        found = canvas(page, f".cryoedu-image canvas >> nth={i}").reshape(24, 24)
        assert (found == 255).nonzero() == place


def outline(picture):
    """Which pixels are not background, cut to what is there, as 40 × 40 of them."""
    rows, columns = (np.flatnonzero(picture.any(axis=axis)) for axis in (1, 0))
    return resized(picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(float), (40, 40))


def test_the_surface_is_where_the_density_is_and_turns_with_keys(viewer, folder):
    """Against the same surface looked for along rays, in Python."""
    specimen = load("ribosome-80S", box=32)
    write_map(specimen, folder / "ribosome.mrc")
    page = viewer("ribosome.mrc", ".cryoedu-image")
    tab(page, "surface")
    page.wait_for_selector(".cryoedu-turn")
    page.get_by_role("slider", name="seen from rot").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.locator(".cryoedu-turn").focus()
    for _ in range(10):
        page.keyboard.press("ArrowDown")
    said = words(page)
    assert "seen from rot 60°, tilt 60°" in said and "of the box" in said and "nm³" in said
    sigmas = float(said.split()[2])
    level = specimen.density.mean() + sigmas * specimen.density.std()
    expected = np.isfinite(shaded(specimen.density, level, (60, 60, 0)))
    shown = imread(io.BytesIO(page.locator(".cryoedu-turn").screenshot()))[4:-4, 4:-4, :3].std(axis=2) > 0.02
    assert np.abs(outline(shown) - outline(expected)).mean() < 0.06
    before = float(said.split("encloses ")[1].split()[0])
    page.get_by_role("slider", name="surface level").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert float(words(page).split("encloses ")[1].split()[0]) < before


def test_spectra_of_images_and_maps(viewer, folder):
    shutil.copy(RELION / "particles.mrcs", folder)
    page = viewer("particles.mrcs", ".cryoedu-gallery button")
    tab(page, "power spectrum")
    assert "Power spectrum of image 1, 32 pixels. Nyquist is at 8 Å." in words(page)
    page.get_by_label("of", exact=True).select_option("many images, mean")
    assert "the mean of 64 images" in words(page)
    assert "power in shells of the mean of 64 images" in page.locator(".cryoedu-plot").get_attribute("aria-label")


def test_a_file_that_has_changed_is_read_anew_when_it_is_reloaded(viewer, either, folder):
    shutil.copy(RELION / "particles.mrcs", folder / "changing.mrcs")
    page = viewer("changing.mrcs", ".cryoedu-gallery button")
    write_stack(np.random.default_rng(1).standard_normal((40, 16, 16)), folder / "changing.mrcs", 1.0)
    page.get_by_role("button", name="step", exact=True).first.click()
    page.get_by_role("alert").filter(has_text="changing.mrcs has changed since it was opened").wait_for()
    page.evaluate("void window.jupyterapp.commands.execute('docmanager:reload')")
    page.locator(FILE, has_text="40 images of 16 × 16 pixels").wait_for()
    page.wait_for_function("document.querySelectorAll('.cryoedu-gallery button').length === 24")
    assert "Images 1 to 24 of 40" in words(page) and page.get_by_role("alert").is_hidden()
    either.console = [line for line in either.console if "400 (Bad Request)" not in line]


def test_opening_a_file_copies_nothing_and_saving_changes_nothing(viewer, either, folder):
    """JupyterLab copies each document that it may save into .ipynb_checkpoints, a stack of 2 GB too."""
    (folder / "once").mkdir()
    for name in ("particles.mrcs", "particles.star"):
        shutil.copy(RELION / name, folder / "once")
    (folder / "once" / "packed.map.gz").write_bytes(gzip.compress((RELION / "map.mrc").read_bytes()))
    (folder / "once" / "note.txt").write_text("an ordinary document")
    old = {path.name: path.read_bytes() for path in (folder / "once").iterdir()}
    for name, shows in (("particles.mrcs", ".cryoedu-gallery button"), ("packed.map.gz", ".cryoedu-image >> nth=2"),
                        ("particles.star", ".cryoedu-table tbody tr")):
        page = viewer(f"once/{name}", shows)
        with page.expect_response(lambda answer: "/api/contents/once/" in answer.url) as looked:
            os.utime(folder / "once" / name)
            page.evaluate("void window.jupyterapp.commands.execute('docmanager:reload')")
        assert looked.value.ok
        page.wait_for_selector(shows)
        calm(page)
        assert sorted(path.name for path in (folder / "once").iterdir()) == sorted(old)
        page.locator(FILE).get_by_role("tab").first.focus()
        page.keyboard.press("Control+s")
        page.evaluate("void window.jupyterapp.commands.execute('docmanager:save')")
        page.locator(".jp-Dialog", has_text="Document is read-only").get_by_role("button").last.click()
        page.evaluate("window.jupyterapp.commands.execute('application:close-all')")
        page.wait_for_selector(FILE, state="detached")
        assert sorted(path.name for path in (folder / "once").iterdir()) == sorted(old)
    assert {name: (folder / "once" / name).read_bytes() for name in old} == old
    either.page.goto(f"{either.url}/lab/tree/once/note.txt?reset", wait_until="domcontentloaded")
    either.page.wait_for_selector(".jp-FileEditor")
    kept = folder / "once" / ".ipynb_checkpoints" / "note-checkpoint.txt"  # what can be edited has its checkpoint
    for _ in range(100):
        if kept.exists():
            break
        either.page.wait_for_timeout(100)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


@pytest.mark.parametrize("name, content, told", [
    ("cut.mrcs", lambda: (RELION / "particles.mrcs").read_bytes()[:50_000], "cut.mrcs is truncated"),
    ("words.map", lambda: b"{}" * 600, "is not an MRC file"), ("words.star", lambda: b"hello", "is not a STAR file"),
    ("empty.mrc.gz", lambda: b"", "is empty")])
def test_a_broken_file_says_what_is_wrong(viewer, either, folder, name, content, told):
    (folder / name).write_bytes(content())
    page = viewer(name, ".cryoedu-alert:not(:empty)")
    assert told in page.get_by_role("alert").inner_text()
    assert "cannot be shown" in page.locator(FILE).inner_text()
    either.console = [line for line in either.console if "400 (Bad Request)" not in line]  # the browser's own note


def test_rows_of_a_star_file_their_order_their_plot_and_their_images(viewer, folder):
    for name in ("particles.star", "particles.mrcs"):
        shutil.copy(RELION / name, folder)
    page = viewer("particles.star", ".cryoedu-table tbody tr")
    assert "A STAR file of 2 tables." in page.locator(FILE).inner_text()
    assert page.get_by_label("table", exact=True).locator("option:checked").inner_text() == "particles: 200 rows"
    assert "Rows 1 to 50 of 200" in words(page)

    page.get_by_role("button", name="rlnDefocusU", exact=True).click()
    column = page.get_by_role("columnheader").all_inner_texts().index("rlnDefocusU")

    def defocus():
        calm(page)
        cells = page.locator(f".cryoedu-table tbody tr > :nth-child({column + 1})").all_inner_texts()
        return [float(cell) for cell in cells]

    calm(page)
    assert defocus() == sorted(defocus()) and "lowest first" in page.locator(FILE).inner_text()
    page.get_by_role("button", name="rlnDefocusU", exact=True).press("Enter")
    calm(page)
    assert defocus() == sorted(defocus(), reverse=True)

    first = page.locator(".cryoedu-table tbody tr").first
    first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".cryoedu-picked canvas")
    calm(page)
    name = page.locator(".cryoedu-table tbody tr").nth(1).locator("td").first.inner_text()
    assert name in page.locator(".cryoedu-picked canvas").get_attribute("aria-label")

    tab(page, "plot")
    page.get_by_label("vertical").select_option("rlnDefocusU")
    page.get_by_label("horizontal").select_option("number of the row")
    calm(page)
    assert "rlnDefocusU over row, 200 of 200 rows" in page.locator(".cryoedu-plot").get_attribute("aria-label")
    page.get_by_label("table", exact=True).select_option(index=0)
    calm(page)
    assert page.locator(".cryoedu-table tbody tr").count() == 2


def test_no_row_keeps_the_image_of_another(viewer, either, folder):
    """Who looks for bad particles must not throw away good ones."""
    shutil.copy(RELION / "particles.mrcs", folder)
    names = ("1@particles.mrcs", "201@particles.mrcs", "1@nowhere.mrcs")
    (folder / "few.star").write_text("data_particles\nloop_\n_rlnImageName\n_rlnB\n" +
                                     "".join(f"{name} 1\n" for name in names))
    page = viewer("few.star", ".cryoedu-table tbody tr")
    lines = page.locator(".cryoedu-table tbody tr")
    for row, told in ((1, "particles.mrcs holds 200 images, but row 2 names number 201"),
                      (2, "nowhere.mrcs is neither in the folder")):
        lines.nth(0).click()
        page.wait_for_selector(".cryoedu-picked canvas")
        calm(page)
        assert page.get_by_role("alert").is_hidden()
        lines.nth(row).click()
        page.get_by_role("alert").filter(has_text=told).wait_for()
        assert page.locator(".cryoedu-picked").is_hidden() and page.locator(".cryoedu-picked canvas").count() == 0
    either.console = [line for line in either.console if "400 (Bad Request)" not in line]


def test_markup_in_a_star_file_stays_text(viewer, folder):
    evil = "<img/src=x/onerror=window.harmed=1>"
    (folder / "evil.star").write_text(f"data_{evil}\nloop_\n_{evil}\n_rlnB\n_rlnC\n{evil} 1 2\n{evil} 3 4\n")
    page = viewer("evil.star", ".cryoedu-table tbody tr")
    assert page.locator(".cryoedu-table td").first.inner_text() == evil
    tab(page, "plot")
    page.get_by_label("vertical").select_option("rlnC")
    calm(page)
    assert page.locator(".cryoedu img").count() == 0 and page.evaluate("window.harmed") is None
