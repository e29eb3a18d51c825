"""Every widget of the course, as a cell that makes one: test_every_widget.py drives each of them in a browser.

The code assigns ``widget``, of the smallest size that shows all its parts.
"""

from __future__ import annotations

EXAMPLES = {
    "bad start": """
import numpy as np
from cryoedu.figures.starts import Track
from cryoedu.widgets.bad_start import bad_start
rng = np.random.default_rng(1)
def run(count):
    return Track(rng.normal(size=(count, 12, 12, 12)).astype(np.float32), np.linspace(-9000, -1000, count),
                 np.linspace(0.1, 0.9, count), rng.uniform(-0.1, 1, (count, 7)), np.linspace(120, 50, count),
                 np.arange(1, count + 1), False)
runs = {"ball": run(5), "noise": run(3)}
runs["noise"].log_likelihood[0] = np.nan
widget = bad_start(runs, rng.normal(size=(12, 12, 12)), 10.0)
widget.frame = 1
""",
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
    "class_explorer": """
from cryoedu.datasets import load_particles
from cryoedu.geometry.grids import search_3d
from cryoedu.inference.em import classify3d
from cryoedu.widgets.class_explorer import class_explorer
made = load_particles("ribosome-particles", count=80, box=16, pixel_size=22.0, progress=False)
run = classify3d(made.particles, made.specimens[0].density, 4, search_3d(0), seed=1, iterations=3)
widget = class_explorer(list(run), made.truth.classes, names=["whole", "large"])
""",
    "ctf_explorer": """
from cryoedu.datasets import load
from cryoedu.widgets.ctf_explorer import ctf_explorer
widget = ctf_explorer(load("protein2d", box=64))
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
    "map viewer": """
from cryoedu.datasets import load
from cryoedu.widgets.mapviewer import map_viewer
widget = map_viewer([load(name, box=24) for name in ("ribosome-80S", "ribosome-large-subunit")])
""",
    "map viewer of four": """
from cryoedu.datasets import load
from cryoedu.widgets.mapviewer import map_viewer
widget = map_viewer([load("ribosome-80S", box=20)] * 4, names=["start", "iteration 1", "iteration 6", "truth"])
""",
    "matching": """
from cryoedu.datasets import load
from cryoedu.widgets.matching import match_by_hand
widget = match_by_hand(load("ribosome-80S", box=24), images=2)
""",
    "noise_portrait": """
from cryoedu.widgets.noise_portrait import noise_portrait
widget = noise_portrait(images=20)
""",
    "phase_stepper": """
from cryoedu.widgets.phase_stepper import phase_stepper
widget = phase_stepper()
""",
    "projection viewer": """
from cryoedu.datasets import load
from cryoedu.widgets.projection import projection_viewer
widget = projection_viewer(load("ribosome-80S", box=32), tilt=60)
""",
    "slice_explorer": """
from cryoedu.datasets import load
from cryoedu.widgets.slice_explorer import slice_explorer
widget = slice_explorer(load("ribosome-80S", box=32))
""",
    "stepper2d": """
from cryoedu.datasets import load
from cryoedu.geometry.grids import search_2d
from cryoedu.inference.em import align2d
from cryoedu.microscope.experiment import simulate
from cryoedu.widgets.stepper import em_stepper
protein = load("protein2d", box=24)
made = simulate(protein, 100, seed=1, snr=0.5, progress=False)
job = align2d(made.particles, search_2d(10), reference=protein.density, iterations=3)
widget = em_stepper(job, made.particles, search_2d(10), truth=made.truth)
""",
    "stepper2d_classes": """
from cryoedu.datasets import load
from cryoedu.geometry.grids import search_2d
from cryoedu.inference.em import classify2d
from cryoedu.microscope.experiment import simulate
from cryoedu.widgets.stepper import em_stepper
made = simulate(load("protein2d", box=24), 150, seed=1, snr=0.5, shift_sigma=8.0, progress=False)
search = search_2d(10, shift_range=16, shift_step=8)
job = classify2d(made.particles, 3, search, seed=1, iterations=4)
widget = em_stepper(job, made.particles, search, chosen=[3, 7, 9])
""",
    "stepper3d": """
from cryoedu.datasets import load
from cryoedu.geometry.grids import search_3d
from cryoedu.inference.em import classify3d
from cryoedu.microscope.experiment import simulate
from cryoedu.widgets.stepper import em_stepper
ribosome = load("ribosome-80S", box=16)
made = simulate([ribosome, load("ribosome-large-subunit", box=16)], 120, seed=1, snr=0.5, progress=False)
job = classify3d(made.particles, ribosome.density, 2, search_3d(1), seed=1, iterations=2)
widget = em_stepper(job, made.particles, search_3d(1), truth=made.truth)
""",
    "wiener": """
from cryoedu.datasets import load
from cryoedu.widgets.wiener import wiener_explorer
widget = wiener_explorer(load("protein2d", box=64), images=20, snr=0.05)
""",
}
