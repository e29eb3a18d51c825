"""The data: particle images and what is known of each, in memory and in STAR and MRC files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cryoedu.particles.particles import CTFParameters, Images, Optics, Particles

if TYPE_CHECKING:
    from cryoedu.particles.model_star import write_model
    from cryoedu.particles.mrc import read_map, write_map, write_stack
    from cryoedu.particles.resampling import resample
    from cryoedu.particles.stack import ImageStack, check_images
    from cryoedu.particles.star import read_particles, write_particles

_LAZY = {"ImageStack": "stack", "check_images": "stack", "read_map": "mrc", "write_map": "mrc", "write_stack": "mrc",
         "read_particles": "star", "write_particles": "star", "write_model": "model_star", "resample": "resampling"}

__all__ = ["CTFParameters", "ImageStack", "Images", "Optics", "Particles", "check_images", "read_map", "read_particles",
           "resample", "write_map", "write_model", "write_particles", "write_stack"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:  # these need mrcfile, starfile and pandas
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
