"""Tests share their machine: few threads, no window, nothing written into the home folder of whoever runs them."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from typing import Any

import pytest
from browser import lab  # noqa: F401  (a fixture for the tests of widgets and plugins)

# Before NumPy and Numba are imported, which read these once. Subprocesses of the tests inherit them.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "agg")

if "CRYOEDU_CACHE" not in os.environ:  # datasets that tests load are kept for one run; xdist's workers share them
    os.environ["CRYOEDU_CACHE"] = tempfile.mkdtemp(prefix="cryoedu-tests-")
    atexit.register(shutil.rmtree, os.environ["CRYOEDU_CACHE"], ignore_errors=True)


def pytest_collection_finish() -> None:
    """What is shown is collected; what thousands of tests are made of need not be looked through each time."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)  # xdist's
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of a file stay together, because they share its fixtures and one browser; but the lessons, each of
    which takes a minute or two, are spread."""
    from xdist.scheduler import LoadFileScheduling

    class ByFileAndLesson(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if "/notebooks/test_" in nodeid else super()._split_scope(nodeid)

    return ByFileAndLesson(config, log)
