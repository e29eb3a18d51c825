"""The data: particle images and what is known of each, in memory and in STAR and MRC files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

from cryoedu.particles.particles import CTFParameters, Optics, Particles

if TYPE_CHECKING:
    from cryoedu.particles.resampling import resample
    from cryoedu.particles.stack import ImageStack, check_images
    from cryoedu.particles.star import read_particles, write_particles

__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={  # these need mrcfile and pandas
    "resampling": ["resample"],
    "stack": ["ImageStack", "check_images"],
    "star": ["read_particles", "write_particles"],
})
__all__ = ["CTFParameters", "ImageStack", "Optics", "Particles", "check_images", "read_particles", "resample",
           "write_particles"]
