"""Densities from atomic models: atoms (PDB, mmCIF) or beads become Gaussian blobs on a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from cryoedu.errors import InputError
from cryoedu.microscope.specimen import Specimen

SIGMA_PER_RESOLUTION = 1 / (math.pi * math.sqrt(2))  # the Gaussian's transform falls to 1/e at 1/resolution


@dataclass(frozen=True)
class Atoms:
    """Point masses in space.

    positions: (M, 3) x, y, z in Å. weights: (M,) what each point weighs (Da or electrons), not negative.
    """

    positions: np.ndarray
    weights: np.ndarray
    name: str = "atoms"

    def __post_init__(self) -> None:
        positions, weights = np.shape(self.positions), np.shape(self.weights)
        if len(positions) != 2 or positions[1] != 3 or weights != positions[:1]:
            raise InputError(f"{self.name}: positions have shape {positions} and weights {weights}, but (M, 3) and "
                             "(M,) are needed")
        if not positions[0]:
            raise InputError(f"{self.name} holds no atoms: give a model with at least one")
        bad = ~np.isfinite(self.positions).all(axis=1) | ~(np.asarray(self.weights) >= 0)
        if bad.any():
            raise InputError(f"{self.name}: atom {int(np.argmax(bad)) + 1} has a position that is not finite or a "
                             "negative weight: correct or remove it")
        if not np.sum(self.weights) > 0:
            raise InputError(f"{self.name}: the atoms weigh nothing (are all occupancies zero?): give them weights")

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def centre_of_mass(self) -> np.ndarray:
        """(3,) x, y, z in Å."""
        return np.average(self.positions, axis=0, weights=self.weights)


def read_atoms(path: str | PathLike[str], *, weight: str = "mass") -> Atoms:
    """The atoms of the first model in a PDB or mmCIF file (.pdb, .ent, .cif, .mmcif, also with .gz), without water.

    weight: "mass" (Da) or "electrons"; multiplied by the occupancy. Raises InputError if the file is missing,
    cannot be read, or holds no atoms.
    """
    import gemmi

    path = Path(path)
    if weight not in ("mass", "electrons"):
        raise InputError(f"weight is {weight!r}: choose 'mass' or 'electrons'")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: check the path of the PDB or mmCIF file")
    try:
        structure = gemmi.read_structure(str(path))
    except Exception as error:  # gemmi raises several kinds
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as PDB or mmCIF ({reason}): give a .pdb or .cif file") from error
    positions, weights = [], []
    if len(structure):
        structure.remove_waters()
        for chain in structure[0]:
            for residue in chain:
                for atom in residue:
                    positions.append(atom.pos.tolist())
                    element = atom.element
                    weights.append(atom.occ * (element.weight if weight == "mass" else element.atomic_number))
    if not positions:
        raise InputError(f"{path}: holds no atoms: give a PDB or mmCIF file with coordinates")
    return Atoms(np.array(positions), np.array(weights), name=path.name)


def specimen_from_atoms(atoms: Atoms, box: int, pixel_size: float, *, resolution: float | None = None,
                        centre: np.ndarray | None = None, name: str | None = None) -> Specimen:
    """The density of the atoms, each a Gaussian blob, in weight per Å³ (the whole map sums to weight / pixel_size³).

    box: voxels along each side, even. pixel_size: Å. resolution: Å at which the blob's transform has fallen to
    1/e (sigma = 0.225 resolution, as ChimeraX's molmap); default three pixels, at least two.
    centre: (x, y, z) in Å of the point that comes to voxel box // 2; default the centre of mass.
    Raises InputError if the atoms do not fit into the box in every orientation.
    """
    resolution = 3 * pixel_size if resolution is None else resolution
    if box < 2 or box % 2:
        raise InputError(f"{atoms.name}: the box is {box} pixels, but an even number is needed: take "
                         f"{max(box + box % 2, 2)}")
    if not pixel_size > 0:
        raise InputError(f"{atoms.name}: the pixel size is {pixel_size} Å, but must be positive")
    if not resolution >= 2 * pixel_size:
        raise InputError(f"{atoms.name}: a resolution of {resolution:g} Å cannot be held by pixels of {pixel_size:g} "
                         f"Å: ask for {2 * pixel_size:g} Å or worse, or take smaller pixels")
    places = np.asarray(atoms.positions, dtype=np.float64)
    places = places - (atoms.centre_of_mass if centre is None else np.asarray(centre, dtype=np.float64))
    radius = float(np.sqrt((places**2).sum(axis=1).max()))
    if radius > box // 2 * pixel_size:
        raise InputError(f"{atoms.name}: the molecule reaches {radius:.0f} Å from its centre, but a box of {box} "
                         f"pixels of {pixel_size:g} Å only {box // 2 * pixel_size:.0f} Å: take a box of at least "
                         f"{2 * math.ceil(radius / pixel_size)} pixels, or larger pixels")
    sigma = SIGMA_PER_RESOLUTION * resolution / pixel_size
    narrow = min(sigma, 1.0)  # pixels: what is spread in real space; the rest is done in Fourier space
    density = _spread(places / pixel_size + box // 2, np.asarray(atoms.weights, dtype=np.float64), box, narrow)
    if sigma > narrow:
        density = _blur(density, math.sqrt(sigma**2 - narrow**2))
    density = np.maximum(density / pixel_size**3, 0)
    return Specimen(density.astype(np.float32), float(pixel_size), name or atoms.name)


def _spread(places: np.ndarray, weights: np.ndarray, box: int, sigma: float) -> np.ndarray:
    """(box, box, box) sum of Gaussians of ``sigma`` pixels at ``places`` (M, 3) x, y, z in voxels; box is periodic."""
    from tqdm.auto import tqdm

    reach = math.ceil(4 * sigma)
    offsets = np.arange(-reach, reach + 1)
    nearest = np.rint(places).astype(np.int64)
    out = np.zeros(box**3)
    rows = max(1, max(2_000_000, box**3) // len(offsets) ** 3)
    with tqdm(total=len(weights), desc="atoms to density", unit=" atoms", delay=1.5, leave=False) as bar:
        for start in range(0, len(weights), rows):
            block = slice(start, start + rows)
            index = nearest[block, :, None] + offsets  # (B, 3, 2 reach + 1)
            profile = np.exp(-((index - places[block, :, None]) ** 2) / (2 * sigma**2))
            profile /= profile.sum(axis=2, keepdims=True)
            index %= box
            x, y, z = (profile[:, i] for i in range(3))
            jx, jy, jz = (index[:, i] for i in range(3))
            value = (weights[block, None] * z)[:, :, None, None] * y[:, None, :, None] * x[:, None, None, :]
            voxel = (jz * box)[:, :, None, None] + jy[:, None, :, None]
            voxel = voxel * box + jx[:, None, None, :]
            out += np.bincount(voxel.ravel(), value.ravel(), minlength=box**3)
            bar.update(len(value))
    return out.reshape(box, box, box)


def _blur(density: np.ndarray, sigma: float) -> np.ndarray:
    """Convolve a periodic map with a Gaussian of ``sigma`` pixels."""
    n = density.shape[0]
    full = np.exp(-2 * (math.pi * sigma * np.fft.fftfreq(n)) ** 2)
    half = np.exp(-2 * (math.pi * sigma * np.fft.rfftfreq(n)) ** 2)
    transform = np.fft.rfftn(density) * full[:, None, None] * full[:, None] * half
    return np.fft.irfftn(transform, s=density.shape, axes=(0, 1, 2))
