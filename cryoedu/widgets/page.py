"""What all widgets share: their JavaScript as one module, a static picture for where nothing is live, an end."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.figures.page import Picture

STATIC = Path(__file__).parent / "static"
VIEW = "application/vnd.jupyter.widget-view+json"
HIDE = ("<style>.jp-OutputArea-child:has(.cryoedu-still):has(+ .jp-OutputArea-child .cryoedu), "  # live: no picture
        ".jp-OutputArea-child:has(.cryoedu-still) + .jp-OutputArea-child:has(> .jupyter-widgets):not(:has(.cryoedu)) "
        "{ display: none }</style>")  # not live: no error message
MOST_OPEN = 6  # widgets of one kind that stay alive; the oldest is closed when one more is shown


def module(*names: str) -> str:
    """One JavaScript module (or style sheet) from files of this package, in order: nothing is fetched from anywhere.

    The names that files take from each other, as the JupyterLab plugins load them, are there already.
    """
    whole = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)
    return re.sub(r"^(import|export) \{[^}]*\}[^;\n]*;\n", "", whole, flags=re.MULTILINE)


def raw(values: ArrayLike) -> bytes:
    """Numbers as the little-endian float32 bytes that ``floats`` in common.js reads."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def pixels(images: ArrayLike, low: float | None = None, high: float | None = None) -> NDArray[np.uint8]:
    """Images of any shape as grey levels of the same shape, black at ``low`` and white at ``high``.

    Default: the mean of all of them less, and plus, three standard deviations, as ``spread`` in common.js.
    """
    values = np.asarray(images, dtype=np.float64)
    mean, reach = values.mean(), 3 * values.std() or 1.0
    bottom, top = mean - reach if low is None else low, mean + reach if high is None else high
    scaled = (values - bottom) * (255 / (top - bottom) if top > bottom else 0.0)
    return np.clip(np.rint(np.nan_to_num(scaled)), 0, 255).astype(np.uint8)


def cividis() -> bytes:
    """The 256 colours of cividis as bytes, red, green and blue in turn: the ``table`` of an ``imagePanel``."""
    from matplotlib import colormaps

    return (colormaps["cividis"](np.arange(256))[:, :3] * 255).round().astype(np.uint8).tobytes()


class LiveWidget(anywidget.AnyWidget):
    """A widget with a static picture beside it, of which only the newest few of each kind stay alive."""

    most_open: ClassVar[int] = MOST_OPEN
    _open: ClassVar[dict[str, deque[LiveWidget]]] = {}  # by kind; every instance has a class of its own (traitlets)

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        mine = self._open.setdefault(self._anywidget_id, deque())
        mine.append(self)
        while len(mine) > self.most_open:
            mine.popleft().close()

    def close(self) -> None:
        """Free the widget here and in the browser."""
        mine = self._open.get(self._anywidget_id, deque())
        if self in mine:
            mine.remove(self)
        super().close()

    def picture(self) -> Picture:
        """The present state as a static picture with a description."""
        raise NotImplementedError

    def still(self) -> dict[str, str]:
        """What pages get where nothing is live: the picture as HTML, its description as text."""
        picture = self.picture()
        return {"text/html": f'{HIDE}<div class="cryoedu-still">{picture._repr_html_()}<p><em>A still picture of what '
                             "is live while this notebook runs: run the cell to use it.</em></p></div>",
                "text/plain": repr(picture)}

    def _ipython_display_(self) -> None:
        """Show the still picture and the live view as two outputs.

        A stored output whose kernel is gone shows an error in the place of a live view, whatever else it holds; so the
        picture has an output of its own, and `HIDE` leaves only one of the two to be seen.
        """
        from IPython.display import display

        display(self.still(), raw=True)  # type: ignore[no-untyped-call]
        bundle, metadata = super()._repr_mimebundle_() or ({}, {})
        view = {kind: data for kind, data in bundle.items() if kind == VIEW}
        display(view, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]


def alive() -> dict[str, int]:
    """How many widgets of each kind are open in this kernel, by the name of the kind."""
    return {kind.rpartition(".")[2]: len(widgets) for kind, widgets in LiveWidget._open.items() if widgets}
