"""What all widgets share: their JavaScript as one module, a static picture for where nothing is live, an end."""

from __future__ import annotations

import html
from collections import deque
from pathlib import Path
from typing import Any, ClassVar

import anywidget

from cryoedu.figures.page import Picture

STATIC = Path(__file__).parent / "static"
MOST_OPEN = 6  # widgets of one kind that stay alive; the oldest is closed when one more is shown


def module(*names: str) -> str:
    """One JavaScript module (or style sheet) from files of this package, in order: nothing is fetched from anywhere."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


class LiveWidget(anywidget.AnyWidget):
    """A widget with a static picture beside it, of which only the newest few of each kind stay alive."""

    _open: ClassVar[dict[str, deque[LiveWidget]]] = {}  # by kind; every instance has a class of its own (traitlets)

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        mine = self._open.setdefault(self._anywidget_id, deque())
        mine.append(self)
        while len(mine) > MOST_OPEN:
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

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live view; its picture for pages without a kernel or without trust; its description for terminals."""
        bundle, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        picture = self.picture()
        bundle["text/html"] = (f"<div>{picture._repr_html_()}<p><em>A still picture of what is live when this "
                               "notebook runs: run the cell to turn and drag it.</em></p></div>")
        bundle["text/plain"] = html.unescape(repr(picture))
        return bundle, metadata
