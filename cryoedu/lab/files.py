"""What the viewer of MRC files asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryoedu.lab.handlers import handler


def summary(path: Path) -> dict[str, Any]:
    """What the header of an MRC file says."""
    from cryoedu.particles.mrc import read_header

    header = read_header(path)
    return {"shape": list(header.shape), "dtype": str(header.dtype), "voxel": list(header.voxel_size)}


HANDLERS = {"mrc": handler(get=lambda ask: summary(ask.file()))}
