"""The book: `make book` builds it into docs/_build/html.

Nothing is run and nothing is fetched: the lessons are the solved notebooks as they are stored, and every script and
font is in the pages' own folder.
"""

from __future__ import annotations

import html
import pkgutil
import re
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import cryoedu  # noqa: E402

project, author = "cryoedu", "The cryoedu authors"
version = release = cryoedu.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx-mathjax-offline"]
exclude_patterns = ["_build"]
html_theme = "sphinx_book_theme"
html_title = "cryoedu: how cryo-EM images become a structure"
html_theme_options = {"show_navbar_depth": 1, "use_download_button": False, "use_fullscreen_button": False}
html_copy_source = False
nb_execution_mode = "off"  # the stored outputs are tested, so they are what the book shows
nb_ipywidgets_js: dict[str, Any] = {}  # widgets are still pictures here; their scripts would come from elsewhere
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
default_role = "code"

ROOMS = {"files": "Files", "geometry": "Geometry", "validation": "Validation", "particles": "Particles",
         "microscope": "Microscope", "inference": "Inference", "datasets": "Datasets", "pipeline": "Pipeline",
         "figures": "Figures", "runs": "Runs", "widgets": "Widgets", "course": "Course"}


def lessons(folder: Path) -> None:
    """The solved notebooks, copied to where Sphinx looks for them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in sorted((HERE.parent / "notebooks" / "solutions").glob("*.ipynb")):
        shutil.copy(path, folder / path.name)


def measured(folder: Path) -> None:
    """The tables that the benchmarks wrote."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in sorted((HERE.parent / "benchmarks").glob("*.md")):
        shutil.copy(path, folder / path.name)


def reference(folder: Path) -> None:
    """A page for each room of the package, with the public names of its modules."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for room, title in ROOMS.items():
        modules = [f"cryoedu.{room}.{m.name}" for m in pkgutil.iter_modules([str(HERE.parent / "cryoedu" / room)])]
        parts = [f"{title}\n{'=' * len(title)}\n\n.. automodule:: cryoedu.{room}\n   :no-members:\n"]
        for name in modules:
            short = name.removeprefix("cryoedu.")
            parts.append(f"{short}\n{'-' * len(short)}\n\n.. automodule:: {name}\n")
        (folder / f"{room}.rst").write_text("\n".join(parts), encoding="utf-8")


ENTRY = re.compile(r"^(\*{0,2}\w[\w, *]{0,60}?): (.*)")


def as_html(lines: list[str]) -> str:
    """A docstring of this package, which is plain English and not reStructuredText, as a piece of HTML.

    Paragraphs are kept; a line that begins with a name and a colon begins an entry of a list; indented lines after a
    blank one are code; `names` are set as code.
    """
    made, block = [], []

    def close() -> None:
        text = "\n".join(block)
        block.clear()
        if not text.strip():
            return
        if text.startswith("    "):
            made.append(f"<pre>{html.escape(text)}</pre>")
            return
        entries: list[list[str]] = [[]]
        for line in text.splitlines():
            if ENTRY.match(line) and not line.startswith(("Raises", "Returns", "Default", "Source")):
                entries.append([])
            entries[-1].append(line.strip())
        first, *rest = (" ".join(e) for e in entries)
        made.append((f"<p>{inline(first)}</p>" if first else "")
                    + (f"<ul>{''.join(f'<li>{inline(e)}</li>' for e in rest)}</ul>" if rest else ""))

    for line in lines:
        if line.strip():
            block.append(line)
        else:
            close()
    close()
    return "".join(made)


def inline(text: str) -> str:
    """A sentence with its `names` as code."""
    return re.sub(r"`{1,2}([^`]+)`{1,2}", r"<code>\1</code>", html.escape(text))


def plain_english(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Put the docstring's HTML in the place of its lines."""
    text = as_html(lines)
    lines[:] = [".. raw:: html", "", f"   {text.replace(chr(10), chr(10) + '   ')}", ""] if text else []
    lines[:] = "\n".join(lines).split("\n")


def links(app: Any, name: str, source: list[str]) -> None:
    """Links that lead from docs/ to the benchmarks in the repository lead to their copies in the book."""
    source[0] = source[0].replace("](../benchmarks/", "](measured/")


def setup(app: Any) -> None:
    """Sphinx calls this first."""
    lessons(HERE / "lessons")
    measured(HERE / "measured")
    reference(HERE / "reference")
    app.connect("source-read", links)
    app.connect("autodoc-process-docstring", plain_english)
