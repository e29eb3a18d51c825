"""Without Numba, gemmi and psutil: in a browser, or on a processor that none of them knows. It is slow there, and has
to find the same."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from cryoedu import doctor

BODY = """
import sys
for name in ("numba", "gemmi", "psutil"):
    if name in sys.argv[2:]:
        sys.modules[name] = None  # an import of it fails
import numpy as np
from cryoedu import doctor
from cryoedu.geometry.grids import search_2d, search_3d
from cryoedu.inference import classify2d, gold_standard
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.specimen import Specimen

rng = np.random.default_rng(1)
z, y, x = np.meshgrid(*[np.arange(16) - 8] * 3, indexing="ij")
density = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 4) for a, b, c in rng.uniform(-3, 3, (5, 3)))
experiment = simulate(Specimen(density, 5.0), 60, seed=1, snr=1.0, defocus=(8e3, 1.2e4), progress=False)
options = {"seed": 1, "array_library": "numpy", "memory": "100 MB"}
*_, refined = gold_standard(experiment.particles, density, search_3d(0, shift_range=5, shift_step=5),
                            iterations=3, **options)
*_, classified = classify2d(experiment.particles, 2, search_2d(30, shift_range=5, shift_step=5), iterations=2,
                            **options)
np.savez(sys.argv[1], refined=refined.model.maps, classified=classified.model.maps,
         map=reconstruct(experiment.truth, progress=False).density)
loaded = [name for name in ("numba", "gemmi", "psutil") if sys.modules.get(name)]
print(loaded, [f.topic for f in doctor.report() if f.state == "missing"])
"""


@pytest.mark.slow
def test_the_engine_finds_the_same_without_what_it_can_spare(tmp_path):
    """Two runs of the same program; the second cannot import any of the three."""
    for name, without in (("with", []), ("without", doctor.SPARED)):
        run = subprocess.run([sys.executable, "-c", BODY, str(tmp_path / name), *without], capture_output=True,
                             text=True, check=False)
        assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip() == "[] []"  # nothing brought them in, and doctor finds nothing missing that is needed
    first, second = (np.load(tmp_path / f"{name}.npz") for name in ("with", "without"))
    for name in first.files:
        scale = np.abs(first[name]).max()
        np.testing.assert_allclose(second[name], first[name], atol=2e-3 * scale, err_msg=name)
