"""The plugins in the newest JupyterLab, this environment's, and in the oldest that is supported, in one of its own."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, laboratory
from newcomer import ROOT

OLDEST = ["jupyterlab==4.2.*", "notebook==7.2.*"]


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The Python of a new environment into which this package's wheel was installed, with the oldest JupyterLab."""
    folder = tmp_path_factory.mktemp("oldest")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True,
                   capture_output=True)
    done = subprocess.run([python, "-m", "pip", "install", "--no-input", "--progress-bar", "off", *OLDEST,
                           *map(str, folder.glob("*.whl"))],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        told = runpy.run_path(str(ROOT / "tools" / "environment.py"))["explain"](done.stdout, folder)
        if "no way to the package index" in told:
            pytest.skip(f"JupyterLab 4.2 cannot be installed here: {told.partition(':')[0]}")
        pytest.fail(f"pip could not install {OLDEST} and the wheel: {done.stdout[-2000:]}")
    yield python
    shutil.rmtree(folder)  # a gigabyte, which pytest would keep three times


@pytest.fixture(scope="module", params=["newest", pytest.param("oldest", marks=pytest.mark.slow)])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page on the newest, and then on the oldest JupyterLab."""
    python = sys.executable if request.param == "newest" else str(request.getfixturevalue("oldest"))
    with laboratory(tmp_path_factory.mktemp(request.param), python) as page:
        yield page
