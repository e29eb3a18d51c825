"""The book: it builds without a warning, shows every lesson with its pictures, and fetches nothing from anywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cryoedu.course import build

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("myst_nb", reason="the book's tools are not installed: pip install -e '.[docs]'")
    out = tmp_path_factory.mktemp("book")
    made = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", ROOT / "docs",
                           out / "html", "-d", out / "doctrees"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return out / "html"


@pytest.mark.parametrize("path", [p for p in build.sources() if build.has_solutions(p)], ids=lambda p: p.stem)
def test_every_lesson_is_a_chapter_with_its_pictures(book, path):
    """A widget without its still picture, or a picture without words, is a hole in the page."""
    page = (book / "lessons" / f"{path.stem}.html").read_text(encoding="utf-8")
    pictures = re.findall(r'<img src="data:image/png[^>]*>', page)
    assert len(pictures) >= 2
    assert all(re.search(r'alt="[^"]{20,}"', picture) for picture in pictures)
    assert "cryoedu-still" in page
    assert "application/vnd.jupyter.widget-view" not in page


def test_nothing_is_loaded_from_elsewhere(book):
    """A class without internet reads the book too, formulas included."""
    for page in book.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//[^"]+', text), page
    assert any(book.rglob("tex-*.js")), "MathJax is in the book's own folder"


def test_the_reference_holds_what_the_package_offers(book):
    pages = "".join(p.read_text(encoding="utf-8") for p in (book / "reference").glob("*.html"))
    for name in ("inference.em.refine", "microscope.experiment.simulate", "validation.fsc.fsc"):
        assert f'id="cryoedu.{name}"' in pages
