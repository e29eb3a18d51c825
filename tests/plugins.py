"""The JupyterLab plugins' server side, asked without a browser: its functions by themselves, and a server that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import numpy as np
from newcomer import ROOT, fetch, free_port, install_plugins

from cryoedu.lab.handlers import Handler

TOKEN = "a-token-for-tests"


class Ask(Handler):
    """A request with this query to a server of ``folder``, for the functions that answer it."""

    def __init__(self, folder: Path, hidden: bool = False, **query: Any) -> None:
        self.query = {name: str(value) for name, value in query.items()}
        self.manager = SimpleNamespace(root_dir=str(folder), allow_hidden=hidden)

    contents_manager = property(lambda self: self.manager)

    def text(self, name: str, default: str = "") -> str:
        return self.query.get(name, default)


def unpacked(answer: bytes, dtype: Any = np.uint8) -> tuple[dict[str, Any], np.ndarray]:
    """What a packed answer says, and its array."""
    size = int.from_bytes(answer[:4], "little")
    about = json.loads(answer[4 : 4 + size])
    return about, np.frombuffer(answer[4 + size :], dtype).reshape(about["shape"])


@contextmanager
def server(folder: Path, *options: str) -> Iterator[tuple[str, int]]:
    """The address of a Jupyter server of ``folder`` with this checkout's plugins, and its process."""
    home, port = folder.parent / "server", free_port()
    environment = {**os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home), "JUPYTER_DATA_DIR": str(home),
                   "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "PYTHONPATH": str(ROOT),
                   **install_plugins(home / "prefix")}
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ip=127.0.0.1",
               f"--port={port}", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}", *options]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            fetch(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", seconds=60)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            process.wait(20)


def get(url: str, address: str, token: str | None = TOKEN, method: str = "GET", **query: Any) -> tuple[int, bytes]:
    """Status and content of what the server answers."""
    request = urllib.request.Request(f"{url}/cryoedu/{address}?{urlencode(query)}", method=method,
                                     headers={"Authorization": f"token {token}"} if token else {},
                                     data=b"{}" if method in ("POST", "PUT") else None)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
