"""A newcomer's machine, for tests that make environments and start servers: pins, a bare shell, a port, an answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OTHERS = ("PIP_", "PYTHON", "MAKE", "MFLAGS", "VIRTUAL_ENV")


def pins(name: str) -> dict[str, str]:
    """Name and version of every line; anything but ``name==version`` and comments fails."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.+!]+", line) for line in lines), lines
    return dict(line.split("==") for line in lines)


def install_plugins(prefix: Path) -> dict[str, str]:
    """Copy this checkout's JupyterLab plugins below ``prefix``, as an installation does: what tells Jupyter of it."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    for source, place in tool["hatch"]["build"]["targets"]["wheel"]["shared-data"].items():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, prefix / place, dirs_exist_ok=True)
        else:
            (prefix / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, prefix / place)
    return {"JUPYTER_PATH": str(prefix / "share" / "jupyter"), "JUPYTER_CONFIG_PATH": str(prefix / "etc" / "jupyter")}


def bare(*without: str, **variables: str) -> dict[str, str]:
    """The variables of a newcomer's shell: nothing of make, pip or Python is set, nor what begins with ``without``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*OTHERS, *without))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, **variables}


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def fetch(address: str, seconds: float, *, post: Any = None) -> dict[str, Any]:
    """The JSON at an address of this machine, once its server answers; ``post`` is sent there as JSON."""
    data = None if post is None else json.dumps(post).encode()
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, data, timeout=max(5.0, deadline - time.monotonic())) as answer:
                return dict(json.load(answer))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
