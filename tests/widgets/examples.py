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
    "ccf_board": """
from cryoedu.datasets import load
from cryoedu.widgets.ccf_board import ccf_board
widget = ccf_board(load("protein2d", box=40), snr=0.3)
""",
    "noise_portrait": """
from cryoedu.widgets.noise_portrait import noise_portrait
widget = noise_portrait(images=20)
""",
    "phase_stepper": """
from cryoedu.widgets.phase_stepper import phase_stepper
widget = phase_stepper()
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
