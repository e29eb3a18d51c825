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
}
