"""Tests share their machine: few threads, no window, nothing written into the home folder of whoever runs them."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest

# Before NumPy and Numba are imported, which read these once. Subprocesses of the tests inherit them.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "agg")

if "CRYOEDU_CACHE" not in os.environ:  # datasets that tests load are kept for one run; xdist's workers share them
    os.environ["CRYOEDU_CACHE"] = tempfile.mkdtemp(prefix="cryoedu-tests-")
    atexit.register(shutil.rmtree, os.environ["CRYOEDU_CACHE"], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under xdist the tests of a file stay together, because they share its fixtures and a browser is one; but the
    lessons, each of which takes a minute or two, are spread."""
    for item in items:
        if "notebook" not in item.keywords:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
