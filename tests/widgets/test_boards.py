"""The CCF and PDF boards without a browser: their numbers, their static picture, their end."""

from __future__ import annotations

import gc
import re

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.microscope.realspace import rotate
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets import Boards, ccf_pdf_boards
from cryoedu.widgets.boards import REACH
from cryoedu.widgets.page import MOST_OPEN, STATIC, module


@pytest.fixture(scope="module")
def protein():
    return load("protein2d", box=32)


def test_the_curves_are_the_definition_taken_literally(protein):
    """A board that draws another CCF or PDF than the lesson's formula teaches something wrong."""
    boards = ccf_pdf_boards(protein, snr=0.05, angular_step=10, particles=2, seed=1)
    boards.sigma, boards.particle, boards.shifts = 1.5, 1, True
    n, references = 32, np.frombuffer(boards._references, np.float32).reshape(36, 32, 32).astype(float)
    signal, noise = (np.frombuffer(b, np.float32).reshape(2, n, n)[1] for b in (boards._signals, boards._noises))
    image = np.sqrt(0.05) * signal + noise
    near = range(-REACH, REACH + 1)
    a = np.sqrt(0.05) * np.array([[np.roll(r, (y, x), (0, 1)) for y in near for x in near] for r in references])
    square = np.sum((image - a) ** 2, axis=(2, 3))
    pdf = np.exp(-(square - square.min()) / (2 * 1.5**2))
    pdf /= pdf.sum()
    now = boards.curves()
    assert now["pdf"] == pytest.approx(pdf.sum(1), abs=1e-4)
    assert now["pdf_map"].ravel() == pytest.approx(pdf.sum(0), abs=1e-4)
    ccf = np.sum(image * a, axis=(2, 3))
    norms = np.linalg.norm(image) * np.linalg.norm(a, axis=(2, 3))
    assert now["ccf"] == pytest.approx((ccf / norms).max(1), abs=1e-3)
    assert now["ccf_map"].ravel() == pytest.approx(ccf.max(0), rel=1e-3, abs=1e-2)
    boards.close()


def test_at_high_snr_both_boards_find_the_true_rotation_and_shift(protein):
    boards = ccf_pdf_boards(protein, snr=5.0, particles=4)
    boards.shifts = True
    for boards.particle in range(4):
        truth = np.frombuffer(boards._truths, np.float32)[3 * boards.particle :][:3]
        now = boards.curves()
        for board in ("ccf", "pdf"):
            assert abs((now[board].argmax() * 5 - truth[0] + 180) % 360 - 180) <= 5
            assert now[f"{board}_map"].argmax() == truth[2]
    boards.close()


def test_sigma_may_change_which_rotation_comes_first_only_where_the_shift_is_unknown():
    """What lesson 3 says of the board's first particle; a sum over shifts is no longer ranked by the best of them."""
    boards = ccf_pdf_boards(load("protein2d", box=40), snr=0.02)
    first = {}
    for boards.shifts in (False, True):
        for boards.sigma in (1.0, 3.0, 10.0):
            first[boards.shifts, boards.sigma] = 5 * int(boards.curves()["pdf"].argmax())
    boards.close()
    assert [first[False, s] for s in (1.0, 3.0, 10.0)] == [30, 30, 30]
    assert first[True, 1.0] == 205 and {first[True, 3.0], first[True, 10.0]} <= {15, 20, 25}


def test_reference_turns_in_the_package_s_sense(protein):
    boards = ccf_pdf_boards(protein)
    shown = np.frombuffer(boards._references, np.float32).reshape(72, 32, 32)[18]
    expected = rotate(protein.density, 90)
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.999
    boards.close()


def test_values_out_of_range_are_brought_back(protein):
    """A slider dragged past its end, or a number typed in Python, must not draw NaN."""
    boards = ccf_pdf_boards(protein)
    boards.snr, boards.sigma, boards.rotation, boards.particle = 0.0, -1.0, 72 + 3, -1
    assert (boards.snr, boards.sigma, boards.rotation, boards.particle) == (1e-3, 0.1, 3, 5)
    boards.snr, boards.sigma = 1e9, 1e9
    assert (boards.snr, boards.sigma) == (10.0, 10.0)
    for boards.snr in (1e-3, 10.0):
        for boards.sigma in (0.1, 10.0):
            for boards.shifts in (False, True):
                assert all(np.isfinite(v).all() for v in boards.curves().values())
    boards.close()


def test_the_page_gets_a_picture_with_its_description(protein):
    """Where no kernel runs, or the notebook is not trusted, or a screen reader reads: nothing may be lost."""
    boards = ccf_pdf_boards(protein)
    still = boards.still()
    alt = re.search(r'alt="([^"]+)"', still["text/html"])[1]
    assert "CCF is highest at" in alt and "true rotation" in alt and "run the cell" in still["text/html"]
    assert alt in still["text/plain"] and still == boards.still()
    boards.close()


def test_the_live_view_is_an_output_of_its_own(protein, monkeypatch):
    """Together in one output, a notebook opened without its kernel would show an error and no picture."""
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append(sorted(data)))
    boards = ccf_pdf_boards(protein)
    boards._ipython_display_()
    assert shown == [["text/html", "text/plain"], ["application/vnd.jupyter.widget-view+json"]]
    boards.close()


def test_old_boards_are_freed(protein):
    """A learner runs the cell forty times; the kernel of a small seat must not grow with it."""
    for _ in range(3 * MOST_OPEN):
        last = ccf_pdf_boards(protein)
    gc.collect()
    alive = [o for o in gc.get_objects() if isinstance(o, Boards) and o.comm is not None]
    assert len(alive) <= MOST_OPEN and last in alive
    for boards in alive:
        boards.close()


def test_the_module_needs_nothing_from_outside():
    """A classroom without internet: no import but of the file beside it, no address, no build step."""
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace('"http://www.w3.org/2000/svg"', "")
        text = re.sub(r'^import \{[^}]*\} from "\./common\.js";$', "", text, flags=re.MULTILINE)  # for the plugins
        assert not re.search(r"https?:|^\s*import\b|@import|url\(|require\(", text, flags=re.MULTILINE), path.name
    assert "import" not in re.sub(r"//.*", "", module("common.js", "plots.js"))
    assert module("common.js", "plots.js", "boards.js").count("export default") == 1


@pytest.mark.parametrize("shape", [(16, 16, 16), (16, 16), (128, 128)], ids=["3D", "empty", "large"])
def test_a_specimen_that_cannot_be_shown_is_refused_in_one_sentence(shape):
    with pytest.raises(InputError, match="specimen"):
        ccf_pdf_boards(Specimen(np.ones(shape, np.float32), 1.0))
