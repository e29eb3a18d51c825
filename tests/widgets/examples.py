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
    "ctf_explorer": """
from cryoedu.datasets import load
from cryoedu.widgets.ctf_explorer import ctf_explorer
widget = ctf_explorer(load("protein2d", box=64))
""",
    "slice_explorer": """
from cryoedu.datasets import load
from cryoedu.widgets.slice_explorer import slice_explorer
widget = slice_explorer(load("ribosome-80S", box=32))
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
