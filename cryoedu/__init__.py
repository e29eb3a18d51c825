"""cryoedu: single-particle cryo-EM image refinement, to learn it by doing it."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext cryoedu`` does: the line magic ``%cryoedu``, and pictures of particles, maps and models."""
    from cryoedu.course import magics

    magics.load(shell)
