"""The JupyterLab plugins' part of the server: a Jupyter server extension. Their part of the browser is labextension/.

A module here holds what one plugin asks for: ``HANDLERS``, by their addresses below ``cryoedu/``. The server's process
stays small: the readers of files are imported at the first request, what computes more than that never.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

MODULES = ("images", "tables", "course", "runs")


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "cryoedu.lab"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Jupyter calls this as it starts."""
    from jupyter_server.utils import url_path_join

    base = server.web_app.settings["base_url"]
    for name in MODULES:
        handlers = import_module(f"cryoedu.lab.{name}").HANDLERS
        server.web_app.add_handlers(".*$", [(url_path_join(base, "cryoedu", address), handler)
                                            for address, handler in handlers.items()])
