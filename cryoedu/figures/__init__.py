"""Pictures: one function, one picture, returns the Figure with its description; `show` puts it into the page."""

from __future__ import annotations

from cryoedu.figures.alignment import ccf_and_pdf, climb, image_grid, tracks
from cryoedu.figures.page import Picture, describe, new_figure, show

__all__ = ["Picture", "ccf_and_pdf", "climb", "describe", "image_grid", "new_figure", "show", "tracks"]
