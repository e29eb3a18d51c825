"""What a run leaves behind in its folder, whether it is going on, and a report of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from cryoedu.runs.report import write_report
    from cryoedu.runs.status import status_of

__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={  # the server of JupyterLab loads no SciPy
    "report": ["write_report"],
    "status": ["status_of"],
})
__all__ = ["status_of", "write_report"]
