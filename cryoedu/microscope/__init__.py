"""The microscope: what becomes of a density on its way to the images, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from cryoedu.microscope.specimen import Specimen, read_map, write_map

__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={  # mrcfile loads when it is needed
    "specimen": ["Specimen", "read_map", "write_map"],
})
__all__ = ["Specimen", "read_map", "write_map"]
