"""What RELION wrote, read without any of cryoedu's own readers."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile

from cryoedu.particles.particles import CTFParameters, Optics

FOLDER = Path(__file__).resolve().parents[1] / "data" / "relion"
CTF_COLUMNS = ("DefocusU", "DefocusV", "DefocusAngle", "PhaseShift", "CtfBfactor", "CtfScalefactor")


class Relion:
    """One STAR file and its stack: arrays by RELION's own names, in the file's order."""

    def __init__(self, name: str) -> None:
        tables = starfile.read(FOLDER / f"{name}.star", always_dict=True)
        self.optics, self.particles = tables["optics"], tables["particles"]
        self.images = mrcfile.read(FOLDER / f"{name}.mrcs").astype(np.float64)

    def columns(self, *names: str) -> np.ndarray:
        return np.column_stack([self.particles[f"rln{name}"].to_numpy(np.float64) for name in names])

    @property
    def angles(self) -> np.ndarray:
        return self.columns("AngleRot", "AngleTilt", "AnglePsi")

    @property
    def origins(self) -> np.ndarray:
        return self.columns("OriginXAngst", "OriginYAngst")

    def microscope(self, row: int) -> tuple[Optics, CTFParameters]:
        """Optics of the row's own group, and its CTF."""
        groups = list(self.optics["rlnOpticsGroup"])
        group = self.optics.iloc[groups.index(self.particles["rlnOpticsGroup"][row])]
        optics = Optics(float(group["rlnImagePixelSize"]), float(group["rlnVoltage"]),
                        float(group["rlnSphericalAberration"]), float(group["rlnAmplitudeContrast"]))
        return optics, CTFParameters.of(*self.columns(*CTF_COLUMNS)[row])


@pytest.fixture(scope="session")
def relion():
    return Relion


@pytest.fixture(scope="session")
def relion_map():
    """The map (32, 32, 32) that RELION projected, and its blobs: x, y, z, sigma (Å), mass."""
    blobs = np.loadtxt(FOLDER / "gaussians.csv", delimiter=",", skiprows=1)
    return mrcfile.read(FOLDER / "map.mrc").astype(np.float64), blobs


@pytest.fixture(scope="session")
def relion_ctf_images():
    return mrcfile.read(FOLDER / "ctf_images.mrcs").astype(np.float64)
