"""Ribosome states from the beads of PDB entry 6ZU5 (datasets/ribosome tells where they come from).

The 80S ribosome is an experiment's coordinates; the free large subunit, the ratcheted and the trimmed ribosome are
teaching models made of them. All states share one frame: the centre of mass of the whole ribosome is at the box centre,
and the large subunit is in the same place in all of them.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from cryoedu.errors import InputError
from cryoedu.microscope.atoms import Atoms, specimen_from_atoms
from cryoedu.microscope.specimen import Specimen

WIDTH = 352.0  # Å, side of the default box
RATCHET = 7.0  # degrees
TRIMMED = 0.08  # share of the mass that the trimmed ribosome lacks
LARGE, SMALL, FACTOR = 0, 1, 2  # labels of the beads
STATES = {
    "ribosome-80S": "the whole ribosome with its hibernation factor (PDB 6ZU5), 2.4 MDa",
    "ribosome-ratcheted": "teaching model: the small subunit turned by 7° about the axis between the subunits",
    "ribosome-large-subunit": "teaching model: the free large subunit, 1.5 MDa, where it sits in the 80S",
    "ribosome-trimmed": "teaching model: the 80S without the 8 % of its mass at the far end of the small subunit",
}


def ribosome(state: str = "ribosome-80S", box: int = 64, pixel_size: float | None = None, *,
             resolution: float | None = None) -> Specimen:
    """The density of one of `STATES`, in Da/Å³.

    box: voxels, even. pixel_size: Å; default 352 / box. resolution: Å; default three pixels.
    Raises InputError for an unknown state or a box that is too small (the ribosome reaches 155 Å from its centre).
    """
    pixel_size = WIDTH / box if pixel_size is None and box > 0 else pixel_size
    return specimen_from_atoms(beads(state), box, pixel_size or 0.0, resolution=resolution, centre=np.zeros(3),
                               name=state)


def beads(state: str = "ribosome-80S") -> Atoms:
    """One bead per residue of a state, (M, 3) Å and (M,) Da; the origin is the centre of mass of the whole ribosome."""
    if state not in STATES:
        raise InputError(f"ribosome state {state!r} is unknown: choose one of {', '.join(STATES)}")
    with files("cryoedu.datasets").joinpath("data", "ribosome_beads.npz").open("rb") as f, np.load(f) as stored:
        places = stored["tenths_of_angstrom"] / 10.0
        mass = stored["mass"].astype(np.float64)
        label = stored["subunit"]
    places -= np.average(places, axis=0, weights=mass)
    keep = np.ones(len(mass), dtype=bool)
    if state == "ribosome-large-subunit":
        keep = label == LARGE
    elif state == "ribosome-trimmed":
        keep = _without_tip(places, mass, label == SMALL)
    elif state == "ribosome-ratcheted":
        places = _ratcheted(places, mass, label)
    return Atoms(places[keep], mass[keep], name=state)


def _ratcheted(places: np.ndarray, mass: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The small subunit turned about the line through the centres of mass of the subunits."""
    from scipy.spatial.transform import Rotation

    large, small = (np.average(places[label == i], axis=0, weights=mass[label == i]) for i in (LARGE, SMALL))
    axis = (small - large) / np.linalg.norm(small - large)
    turned = Rotation.from_rotvec(np.radians(RATCHET) * axis).apply(places - small) + small
    return np.where((label == SMALL)[:, None], turned, places)


def _without_tip(places: np.ndarray, mass: np.ndarray, small: np.ndarray) -> np.ndarray:
    """All beads but those of the small subunit nearest to its farthest one, together TRIMMED of the whole mass."""
    from_centre = np.where(small, np.linalg.norm(places, axis=1), -1)
    tip = places[np.argmax(from_centre)]
    order = np.argsort(np.where(small, np.linalg.norm(places - tip, axis=1), np.inf), kind="stable")
    removed = order[np.cumsum(mass[order]) <= TRIMMED * mass.sum()]
    keep = np.ones(len(mass), dtype=bool)
    keep[removed] = False
    return keep
