"""Every widget of the course, as a cell that makes one: test_every_widget.py drives each of them in a browser.

The code assigns ``widget``, of the smallest size that shows all its parts.
"""

from __future__ import annotations

EXAMPLES = {
    "boards": """
from cryoedu.datasets import load
from cryoedu.widgets.boards import ccf_pdf_boards
widget = ccf_pdf_boards(load("protein2d", box=40), snr=0.1)
""",
    "class_explorer": """
from cryoedu.datasets import load_particles
from cryoedu.geometry.grids import search_3d
from cryoedu.inference.jobs import classify3d
from cryoedu.widgets.class_explorer import class_explorer
made = load_particles("ribosome-particles", count=80, box=16, pixel_size=22.0, progress=False)
run = classify3d(made.particles, made.specimens[0].density, 2, search_3d(0), seed=1, iterations=3)
widget = class_explorer(list(run), made.truth.classes, names=["whole", "large"])
""",
    "filter bench": """
from cryoedu.datasets import load
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.widgets.filter_bench import filter_bench
experiment = simulate(load("protein2d", box=32), 30, seed=1, noise=coloured, progress=False)
widget = filter_bench(experiment, experiment.sigma2, images=30, angular_step=10)
widget.kind = 3
""",
}
