"""Tests share their machine: few threads, no window, nothing written into the home folder of whoever runs them."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Before NumPy and Numba are imported, which read these once. Subprocesses of the tests inherit them.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "agg")

if "CRYOEDU_CACHE" not in os.environ:  # datasets that tests load are kept for one run; xdist's workers share them
    os.environ["CRYOEDU_CACHE"] = tempfile.mkdtemp(prefix="cryoedu-tests-")
    atexit.register(shutil.rmtree, os.environ["CRYOEDU_CACHE"], ignore_errors=True)
