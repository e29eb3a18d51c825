"""How a figure gets into the page: with its description, and without staying in memory."""

from __future__ import annotations

import base64
import gc
import html
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 144  # pixels in the file; shown at two thirds of that, so that it stays sharp on a fine screen


@dataclass(frozen=True)
class Picture:
    """A picture as a notebook shows it: an image with alternative text, or the text alone in a terminal.

    JupyterLab shows ``image/png`` outputs without alternative text, so the page gets an HTML image.
    """

    png: bytes
    width: int  # CSS pixels
    alt: str

    def __repr__(self) -> str:
        return f"[Picture: {self.alt}]"

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        return (f'<img src="data:image/png;base64,{data}" width="{self.width}" alt="{html.escape(self.alt)}" '
                'style="max-width: 100%; height: auto; background: white">')


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, of no window and no global list that would keep it."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def describe(figure: Figure, alt: str) -> Figure:
    """The figure with its alternative text attached (as its label)."""
    figure.set_label(" ".join(alt.split()))
    return figure


def show(figure: Figure, alt: str | None = None, *, tolerance: float | None = None) -> Picture:
    """The figure as a picture for the page. ``alt`` replaces the description that the figure carries.

    tolerance: by how much the numbers of the description may differ on another processor, which it then says.
    The same figure gives the same bytes each time (no date and no version is written into the file).
    """
    words = str(alt or figure.get_label()) + (f" (numbers above: to ±{tolerance:g})" if tolerance else "")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    picture = Picture(buffer.getvalue(), round(figure.get_figwidth() * 96), words)
    del figure
    gc.collect()  # a figure that was drawn refers to itself: Python would find its megabytes a dozen figures later
    return picture
