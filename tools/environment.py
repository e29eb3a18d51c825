"""Make .venv with the tested versions, or see at once that it is there. Called by the Makefile; standard library only.

Every failure that a person can mend ends in one sentence that says what is wrong and what to do next.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GIGABYTE = 10**9
ROOM = {"": 1.6 * GIGABYTE, "test": 2.0 * GIGABYTE, "docs": 2.0 * GIGABYTE,
        "dev": 2.2 * GIGABYTE}  # environment, pip's cache, working files


class Problem(Exception):
    """One sentence for the person who called make: what is wrong, and the next step."""


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Check the port if one is given, make the environment if it is not there; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", default="", choices=sorted(ROOM), help="which extra of pyproject.toml is needed")
    parser.add_argument("--port", help="port that must be free")
    parser.add_argument("--python-chosen", action="store_true", help="make it again if it has another Python than this")
    options = parser.parse_args(arguments)
    try:
        if options.port is not None:
            check_port(options.port)
        Environment(root, options.extra, options.python_chosen).ensure()
    except Problem as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the next start makes the environment again.", file=sys.stderr)
        return 130
    return 0


def check_port(text: str) -> None:
    """Raise Problem unless this is the number of a port that a server can open here."""
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise Problem(f"PORT={text} is not a port: choose a number from 1024 to 65535, "
                      "for instance 'make lab PORT=8889'.")
    port = int(text)
    try:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port))
    except PermissionError:
        raise Problem(f"Port {port} is reserved for the system: choose one above 1023, "
                      "for instance 'make lab PORT=8889'.") from None
    except OSError:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            free = server.getsockname()[1]
        raise Problem(f"Port {port} is taken, perhaps by another JupyterLab: stop that one, "
                      f"or run 'make lab PORT={free}'.") from None


class Environment:
    """The virtual environment of one checkout, with the packages of one extra of pyproject.toml."""

    def __init__(self, root: Path, extra: str = "", python_chosen: bool = False) -> None:
        self.root = root
        self.extra = extra
        self.python_chosen = python_chosen
        self.folder = root / ".venv"
        self.python = self.folder / "bin" / "python"
        self.stamp = self.folder / "cryoedu-ready.json"
        self.unfinished = self.folder / "cryoedu-unfinished"
        self.log = self.folder / "install.log"

    def ensure(self) -> None:
        """Make the environment, mend a half-made one, or find it ready."""
        stamp = self.read_stamp()
        reason = self.unusable(stamp)
        if reason:
            print(f"{reason}: making .venv again.")
            shutil.rmtree(self.folder)
            stamp = {}
        wanted = self.wanted(stamp)
        if stamp == wanted:
            return
        self.check_room()
        if not self.python.exists():
            self.create()
        self.install(wanted["extras"])
        self.stamp.write_text(json.dumps(wanted, indent=1) + "\n")
        self.unfinished.unlink()
        print("The environment is ready.")

    def read_stamp(self) -> dict[str, object]:
        try:
            content = json.loads(self.stamp.read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def wanted(self, stamp: dict[str, object]) -> dict[str, list[str] | str]:
        """The stamp of an environment that is up to date; an extra that was installed once stays."""
        digest = hashlib.sha256()
        for path in (self.root / "pyproject.toml", self.root / "constraints.txt", *self.copied()):
            digest.update(str(path.relative_to(self.root)).encode() + path.read_bytes())
        before = stamp.get("extras")
        extras = {self.extra, *(before if isinstance(before, list) else [])} - {""}
        return {"versions": digest.hexdigest(), "checkout": str(self.root), "extras": sorted(extras)}

    def copied(self) -> list[Path]:
        """The files that an installation copies even though it is editable: the JupyterLab plugins and settings."""
        targets = self.pyproject().get("tool", {}).get("hatch", {}).get("build", {}).get("targets", {})
        places = [self.root / name for name in targets.get("wheel", {}).get("shared-data", {})]
        return sorted(path for place in places for path in (place, *place.rglob("*")) if path.is_file())

    def pyproject(self) -> dict[str, Any]:
        with open(self.root / "pyproject.toml", "rb") as file:
            return tomllib.load(file)

    def unusable(self, stamp: dict[str, object]) -> str | None:
        """Why what is there has to be made anew, or None."""
        if not self.folder.exists():
            return None
        if self.unfinished.exists():
            return "The environment was not finished the last time"
        if stamp.get("checkout", str(self.root)) != str(self.root):
            return "The folder was moved"
        asked = subprocess.run([self.python, "-c", "import sys, pip; print(sys.version_info[:2] >= (3, 11), "
                                "sys.version_info[:2])"], capture_output=True, text=True, check=False) \
            if self.python.exists() else None
        answer = asked.stdout.strip() if asked else ""
        if not answer.startswith("True"):
            return "The environment does not work any more"
        if self.python_chosen and answer != f"True {sys.version_info[:2]}":
            return "The environment has another Python than PYTHON"
        return None

    def check_room(self) -> None:
        """Raise Problem if the disk would fill up while the packages are installed."""
        needed = ROOM[self.extra] if not self.python.exists() else 0.5 * GIGABYTE
        free = shutil.disk_usage(self.root).free
        if free < needed:
            raise Problem(f"The disk of {self.root} has {free / GIGABYTE:.1f} GB left, but the environment needs "
                          f"{needed / GIGABYTE:.1f} GB: make room there and run make again.")

    def create(self) -> None:
        """An empty virtual environment, marked as unfinished."""
        version = ".".join(map(str, sys.version_info[:3]))
        for module in ("venv", "ensurepip"):
            try:
                importlib.import_module(module)
            except ImportError:
                raise Problem(f"Python {version} ({sys.executable}) has no {module} module: install it (on Debian and "
                              f"Ubuntu: apt install python3.{sys.version_info[1]}-venv), or choose another Python with "
                              "'make lab PYTHON=/path/to/python3'.") from None
        print(f"Making the environment .venv with Python {version} ({sys.executable}) …", flush=True)
        self.folder.mkdir(exist_ok=True)
        self.unfinished.touch()
        base = getattr(sys, "_base_executable", None) or sys.executable
        made = subprocess.run([base, "-m", "venv", self.folder], capture_output=True, text=True, check=False)
        if made.returncode:
            raise Problem(f"Python {version} ({base}) cannot make a virtual environment "
                          f"({last_line(made.stdout + made.stderr)}): choose another Python with "
                          "'make lab PYTHON=/path/to/python3'.")

    def install(self, extras: Sequence[str]) -> None:
        """The build tools, then the package itself with everything it needs, in the tested versions."""
        print("Installing the packages into .venv (a few minutes the first time) …", flush=True)
        self.unfinished.touch()
        self.log.write_text("")
        tools = self.pyproject()["build-system"]["requires"]
        package = ".[" + ",".join(extras) + "]" if extras else "."
        if tools:
            self.pip(*tools)
        self.pip("--no-build-isolation", "--editable", package)

    def pip(self, *arguments: str) -> None:
        """Run ``pip install``, showing which package it is at; everything it says goes to install.log."""
        command = [str(self.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check",
                   "--progress-bar", "off", "-c", "constraints.txt", *arguments]
        said = []
        with subprocess.Popen(command, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, "PIP_USER": "0"}) as process, open(self.log, "a") as log:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                log.write(line)
                show_progress(line)
        if sys.stdout.isatty():
            print("\r\033[K", end="")
        if process.returncode:
            raise Problem(explain("".join(said), self.root))


def show_progress(line: str) -> None:
    """On a terminal, the package that pip is at, on one line that is written again and again."""
    words = line.split()
    if sys.stdout.isatty() and words and words[0] in ("Collecting", "Downloading", "Installing", "Building"):
        print(f"\r\033[K  {' '.join(words)[:70]}", end="", flush=True)


def explain(said: str, root: Path) -> str:
    """One sentence for what pip said when it failed."""
    if re.search(r"No space left on device|Errno 28", said):
        return f"The disk ran full while packages were installed into {root / '.venv'}: make room and run make again."
    if re.search(r"NewConnectionError|NameResolutionError|ConnectTimeout|ProxyError|Connection refused|"
                 r"connection broken|Max retries exceeded|Read timed out", said):
        return ("The packages could not be fetched, it seems that there is no way to the package index from here: "
                "connect to the network (behind a proxy, set HTTPS_PROXY) and run make again.")
    errors = re.findall(r"^\s*(\w*(?:Error|ERROR|error): .*)", said, flags=re.MULTILINE)
    return (f"pip could not install the packages ({errors[0] if errors else last_line(said)}): read .venv/install.log, "
            "and try another Python (3.11 to 3.13 are tested) with 'make lab PYTHON=/path/to/python3.12'.")


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")


if __name__ == "__main__":
    sys.exit(main())
