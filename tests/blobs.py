"""A small specimen and a stack of it on disk, for the tests of the cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from cryoedu.inference.model import Model
from cryoedu.inference.start import start_model
from cryoedu.microscope import write_map
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles import Particles, write_particles

BOX, PIXEL, COUNT = 20, 6.0, 90
HERE = {"array_library": "numpy", "memory": "100 MB"}


def six_blobs() -> np.ndarray:
    rng = np.random.default_rng(3)
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
    centres = rng.uniform(-4, 4, (6, 3))
    return np.float32(sum(np.exp(-sum((a - c) ** 2 for a, c in zip(axes, at, strict=True)) / 4) for at in centres))


def write_stack(folder: Path) -> Path:
    """Particles in a stack, from three micrographs and two optics groups, with poses known to some degrees, and the
    map beside them: the path of their STAR file."""
    path, blobs = folder / "particles.star", six_blobs()
    made = simulate(Specimen(blobs, PIXEL), COUNT, seed=1, snr=0.5, noise=coloured, defocus=(8e3, 1.6e4),
                    shift_sigma=3.0, progress=False)
    optics = (made.particles.optics[0], replace(made.particles.optics[0], voltage=200.0, name="second"))
    extra = {"rlnMicrographName": np.array([f"mic{i % 3}.mrc" for i in range(COUNT)])}
    write_particles(replace(made.particles, optics=optics, optics_group=np.arange(COUNT) % 5 // 4, extra=extra,
                            angles=made.truth.angles), path)
    write_map(blobs, path.with_name("map.mrc"), PIXEL)
    return path


def two_classes(particles: Particles, blobs: np.ndarray) -> Model:
    """Where a refinement starts: the specimen and its mirror image."""
    return start_model(particles, np.stack([blobs, blobs[::-1]]))
