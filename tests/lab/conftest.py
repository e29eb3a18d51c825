"""The plugins in the newest JupyterLab, this environment's, and in the oldest that is supported, in one of its own."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, laboratory
from newcomer import ROOT

OLDEST = ["jupyterlab==4.2.*", "notebook==7.2.*", "mrcfile"]


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the oldest JupyterLab and Notebook, and this package's wheel."""
    folder = tmp_path_factory.mktemp("oldest")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True,
                   capture_output=True)
    for what in (OLDEST, ["--no-deps", *map(str, folder.glob("*.whl"))]):
        done = subprocess.run([python, "-m", "pip", "install", "--no-input", "--progress-bar", "off", *what],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            told = runpy.run_path(str(ROOT / "tools" / "environment.py"))["explain"](done.stdout, folder)
            if "no way to the package index" in told:
                pytest.skip(f"JupyterLab 4.2 cannot be installed here: {told.partition(':')[0]}")
            pytest.fail(f"pip could not install {what}: {done.stdout[-2000:]}")
    return python


@pytest.fixture(scope="module", params=["newest", pytest.param("oldest", marks=pytest.mark.slow)])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page on the newest, and then on the oldest JupyterLab."""
    python = sys.executable if request.param == "newest" else str(request.getfixturevalue("oldest"))
    with laboratory(tmp_path_factory.mktemp(request.param), python) as page:
        yield page
