"""The pages about the plugins: their pictures are there, small, described, and those that the command takes."""

from __future__ import annotations

import re
import runpy

from newcomer import ROOT


def test_every_picture_has_its_scene_and_words():
    """A picture that no command takes shows last year's JupyterLab."""
    scenes = runpy.run_path(str(ROOT / "docs" / "pictures.py"))["SCENES"]
    pages = "".join(path.read_text() for path in (ROOT / "docs").glob("lab*.md"))
    shown = re.findall(r"!\[([^\]]+)\]\(pictures/(\w+)\.png\)", pages)
    assert {name for _, name in shown} == set(scenes) and all(len(words) > 20 for words, _ in shown)
    stored = {path.stem: path.stat().st_size for path in (ROOT / "docs" / "pictures").glob("*.png")}
    assert set(stored) == set(scenes) and max(stored.values()) < 100_000
