"""Specimens and particle sets by name.

    from cryoedu.datasets import load, load_particles, names
    whole = load("ribosome-80S", box=64, pixel_size=5.0)
    experiment = load_particles("ribosome-particles", snr=0.5)

They are generated once and kept in the user's cache folder (or in the one that CRYOEDU_CACHE names); a file there that
is damaged, or that an older version of the code made, is made again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryoedu.datasets.ribosome import STATES
from cryoedu.errors import InputError

if TYPE_CHECKING:
    from cryoedu.microscope.experiment import Experiment
    from cryoedu.microscope.specimen import Specimen

__all__ = ["load", "load_particles", "names"]

_SPECIMENS = {"protein2d": "the example protein of the 2D lessons, drawn by formula", **STATES}
_PARTICLES: dict[str, tuple[str, dict[str, Any]]] = {
    "protein2d-particles": (
        "1,000 images of the example protein, turned and shifted, SNR 0.1, white noise, no CTF",
        {"specimens": ["protein2d"], "box": 64, "pixel_size": 4.0, "count": 1000, "snr": 0.1, "seed": 1,
         "noise": "white", "shift_sigma": 8.0}),
    "ribosome-particles": (
        "2,000 images, half of the whole ribosome and half of its large subunit, 32 px, SNR 0.25, CTF, coloured noise",
        {"specimens": ["ribosome-80S", "ribosome-large-subunit"], "box": 32, "pixel_size": 11.0, "count": 2000,
         "snr": 0.25, "seed": 1, "noise": "coloured", "shift_sigma": 5.0, "defocus": [10_000.0, 30_000.0],
         "astigmatism": 500.0, "particle_diameter": 310.0}),
}


def names() -> dict[str, str]:
    """What there is: each name with one line on what it stands for."""
    return {**_SPECIMENS, **{name: line for name, (line, _) in _PARTICLES.items()}}


def load(name: str, *, box: int = 64, pixel_size: float | None = None, resolution: float | None = None) -> Specimen:
    """The specimen called ``name``: protein2d (2D) or one of the ribosome's states (3D); `names` lists them.

    box: pixels, even. pixel_size: Å; default: so that the specimen fills the box well (256 Å across for protein2d,
    352 Å for ribosomes). resolution: Å, of the ribosome's blobs; default three pixels.
    Raises InputError for an unknown name and where the specimen does not fit into the box.
    """
    from cryoedu.datasets.store import specimen

    if name in _PARTICLES:
        raise InputError(f"{name!r} is a set of particles: load it with load_particles({name!r})")
    _known(name, _SPECIMENS)
    if name == "protein2d" and resolution is not None:
        raise InputError("protein2d is drawn, not made of atoms: leave resolution out")
    options = {"box": box, "pixel_size": None if pixel_size is None else float(pixel_size), "resolution": resolution}
    return specimen(name, options, lambda: _generate(name, box, pixel_size, resolution))


def load_particles(name: str, *, count: int | None = None, snr: float | None = None, seed: int | None = None,
                   box: int | None = None, pixel_size: float | None = None, progress: bool = True) -> Experiment:
    """The particle set called ``name`` with its truth, as `cryoedu.microscope.experiment.simulate` returns it.

    What is left out is as the line in `names` says. count: images; snr: inside the particle's circle; seed: another one
    gives other particles; box and pixel_size (Å): of the images. Raises InputError for an unknown name.
    """
    from cryoedu.datasets.store import experiment

    if name in _SPECIMENS:
        raise InputError(f"{name!r} is a specimen: load it with load({name!r}), or simulate particles of it")
    _known(name, _PARTICLES)
    asked = {"count": count, "snr": snr, "seed": seed, "box": box, "pixel_size": pixel_size}
    options = {**_PARTICLES[name][1], **{key: value for key, value in asked.items() if value is not None}}
    return experiment(name, options, lambda: _simulate(dict(options), progress))


def _known(name: str, those: dict[str, Any]) -> None:
    if name not in those:
        raise InputError(f"no dataset is called {name!r}: choose one of {', '.join(those)}")


def _generate(name: str, box: int, pixel_size: float | None, resolution: float | None) -> Specimen:
    if name == "protein2d":
        from cryoedu.datasets.protein2d import protein2d

        return protein2d(box, pixel_size)
    from cryoedu.datasets.ribosome import ribosome

    return ribosome(name, box, pixel_size, resolution=resolution)


def _simulate(options: dict[str, Any], progress: bool) -> Experiment:
    from cryoedu.microscope import noise
    from cryoedu.microscope.experiment import simulate

    box, pixel_size = options.pop("box"), options.pop("pixel_size")
    specimens = [load(name, box=box, pixel_size=pixel_size) for name in options.pop("specimens")]
    spectrum = {"white": noise.white, "coloured": noise.coloured}[options.pop("noise")]
    return simulate(specimens, options.pop("count"), noise=spectrum, progress=progress, **options)
