"""A running JupyterLab and a headless Chromium that can reach nothing but it, for the browser tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from newcomer import install_plugins

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync",
         "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"

RUNNING = "[...document.querySelectorAll('.jp-InputPrompt')].some(e => e.textContent.includes('*'))"


@contextmanager
def jupyterlab(root: Path, python: str = sys.executable, module: str = "jupyterlab") -> Iterator[str]:
    """The address of a JupyterLab (or, by its ``module``, Notebook) that serves ``root`` and keeps its settings there.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    home = root / ".home"
    environment = {**os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "config"),
                   "JUPYTER_DATA_DIR": str(home / "data"), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
                   "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"), "PYTHONPATH": str(Path(__file__).parents[1]),
                   "CRYOEDU_PROGRESS": str(home / "progress.json"), **install_plugins(home / "prefix")}
    lab = subprocess.Popen(
        [python, "-m", module, "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root",
         "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", "--LabApp.expose_app_in_browser=True",
         "--LabApp.news_url=", f"--ServerApp.root_dir={root}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(180):
            try:
                urllib.request.urlopen(url + "/api/status", timeout=1)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        else:
            raise TimeoutError("JupyterLab did not start within a minute and a half")
        yield url
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        lab.wait(20)


class Page:
    """A browser page in that JupyterLab; what goes wrong in it is kept in ``console`` and ``outside``."""

    def __init__(self, browser: Any, url: str, root: Path) -> None:
        self.url, self.root = url, root
        self.console: list[str] = []
        self.outside: list[str] = []
        self.page = browser.new_page(viewport={"width": 1280, "height": 1000})
        self.page.set_default_timeout(60_000)
        self.page.route("**/*", self._route)
        self.page.on("console", lambda m: m.type == "error" and self.console.append(m.text[:300]))
        self.page.on("pageerror", lambda e: self.console.append("page error: " + str(e)[:300]))

    def _route(self, route: Any) -> None:
        if route.request.url.startswith((self.url, self.url.replace("http", "ws"), "data:", "blob:")):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def open(self, name: str, kernel: bool = True) -> None:
        """Open a notebook; with ``kernel``, wait until its kernel is idle."""
        self.page.goto(f"{self.url}/lab/tree/{name}?reset", wait_until="domcontentloaded")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
        if kernel:
            self.page.wait_for_function(f"() => {KERNEL} === 'idle'", timeout=120_000)

    def notebook(self, name: str, *cells: str, shows: str = ".jp-OutputArea .cryoedu") -> None:
        """Open a new notebook with these code cells, run the first, and wait until its widget ``shows``."""
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        nbformat.write(new_notebook(cells=[new_code_cell(c) for c in cells], metadata=kernel), self.root / name)
        self.console.clear()
        self.outside.clear()
        self.open(name)
        self.run(0)
        self.page.wait_for_selector(shows, timeout=120_000)

    def run(self, cell: int) -> str:
        """Run a cell of the notebook and wait for its end; returns what it printed."""
        self.page.evaluate(f"window.jupyterapp.shell.currentWidget.content.activeCellIndex = {cell}")
        self.command("notebook:run-cell")
        outputs = self.page.locator(".jp-Cell").nth(cell).locator(".jp-OutputArea-output")
        return str(outputs.last.inner_text()) if outputs.count() else ""

    def ask(self, cell: int = 1) -> Any:
        """What a cell prints as JSON once the kernel has heard of all that was done in the widget.

        ipywidgets holds changes back while the kernel is answering an earlier one, and sends them when it is done: what
        was held back when the cell ran first is heard before it runs again.
        """
        self.run(cell)
        return json.loads(self.run(cell))

    def words(self) -> str:
        """What the widget says, once all that waits for a calm moment has been said."""
        self.page.wait_for_function("!document.querySelector('.jp-OutputArea .cryoedu [aria-busy]')")
        return str(self.page.locator(".jp-OutputArea .cryoedu [aria-live]").first.inner_text())

    def command(self, name: str) -> None:
        """Run a command of JupyterLab and wait until the kernel is idle and no cell is running."""
        self.page.evaluate(f"window.jupyterapp.commands.execute('{name}').then(() => 0, () => 0)")
        self.idle()

    def idle(self, seconds: float = 120) -> None:
        """Wait until no cell is running."""
        calm, end = 0, time.monotonic() + seconds
        while calm < 3:
            if time.monotonic() > end:
                raise TimeoutError(f"cells still running after {seconds:.0f} s")
            busy = self.page.evaluate(RUNNING)
            calm = calm + 1 if self.page.evaluate(KERNEL) == "idle" and not busy else 0
            time.sleep(0.2)


@contextmanager
def laboratory(root: Path, python: str = sys.executable, module: str = "jupyterlab") -> Iterator[Page]:
    """What `jupyterlab` starts, seen through a page in a browser that sees nothing else."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with jupyterlab(root, python, module) as url, driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Page(browser, url, root)
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page on the JupyterLab of this environment, one for all tests of a file."""
    with laboratory(tmp_path_factory.mktemp("lab")) as page:
        yield page
