"""The browser of the widgets' tests, for the plugins too."""

from __future__ import annotations

from widgets.conftest import lab

__all__ = ["lab"]
