"""Densities from atomic models: a user's PDB or mmCIF file comes out with its mass, at its place, the right way up."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.microscope.atoms import SIGMA_PER_RESOLUTION, Atoms, read_atoms, specimen_from_atoms

# Carbon at (0, 0, 0), half an oxygen at (10, 0, 0), sulphur at (0, 20, 0), and a water that does not count.
PDB = """\
ATOM      1  C   ALA A   1       0.000   0.000   0.000  1.00 20.00           C
ATOM      2  O   ALA A   1      10.000   0.000   0.000  0.50 20.00           O
ATOM      3  S   MET A   2       0.000  20.000   0.000  1.00 20.00           S
HETATM    4  O   HOH A   3      90.000  90.000  90.000  1.00 20.00           O
END
"""
COLUMNS = ("group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "label_asym_id",
           "label_entity_id", "label_seq_id", "Cartn_x", "Cartn_y", "Cartn_z", "occupancy", "B_iso_or_equiv",
           "auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num")
CIF = "data_mini\nloop_\n" + "".join(f"_atom_site.{c}\n" for c in COLUMNS) + """\
ATOM 1 C C . ALA A 1 1 0.0 0.0 0.0 1.0 20 1 A 1
ATOM 2 O O . ALA A 1 1 10.0 0.0 0.0 0.5 20 1 A 1
ATOM 3 S S . MET A 1 2 0.0 20.0 0.0 1.0 20 2 A 1
HETATM 4 O O . HOH B 2 . 90.0 90.0 90.0 1.0 20 3 A 1
ATOM 5 C C . ALA A 1 1 50.0 0.0 0.0 1.0 20 1 A 2
"""


@pytest.fixture(params=["mini.pdb", "mini.cif", "mini.pdb.gz"])
def model(request, tmp_path):
    path = tmp_path / request.param
    text = (CIF if "cif" in request.param else PDB).encode()
    path.write_bytes(gzip.compress(text) if request.param.endswith("gz") else text)
    return path


def test_files_are_read_without_water_and_by_occupancy(model):
    """Else waters far away would move the centre, and half-occupied ligands would shine too brightly."""
    atoms = read_atoms(model)
    assert atoms.positions.tolist() == [[0, 0, 0], [10, 0, 0], [0, 20, 0]]
    np.testing.assert_allclose(atoms.weights, [12.011, 0.5 * 15.999, 32.06], rtol=2e-3)
    assert read_atoms(model, weight="electrons").weights.tolist() == [6, 4, 16]


def test_mass_and_place_in_the_box(model):
    """An axis swapped or a centre half a voxel off would make every projection disagree with other programs."""
    atoms = read_atoms(model)
    density = specimen_from_atoms(atoms, 32, 2.0, resolution=8.0).density.astype(float)
    np.testing.assert_allclose(density.sum() * 2.0**3, atoms.weights.sum(), rtol=1e-5)
    axis = (np.arange(32) - 16) * 2.0
    centre = [np.sum(density.sum(other) * axis) / density.sum() for other in ((0, 1), (0, 2), (1, 2))]  # x, y, z
    np.testing.assert_allclose(centre, 0, atol=1e-3)
    z, y, x = np.unravel_index(np.argmax(density), density.shape)  # the sulphur is the strongest
    expected = (atoms.positions[2] - atoms.centre_of_mass) / 2.0 + 16
    np.testing.assert_allclose([x, y, z], expected, atol=0.5)


@pytest.mark.parametrize("resolution", [6.0, 9.0, 16.0, 40.0])
def test_blobs_are_gaussians_of_the_stated_width(resolution):
    """Narrow blobs are made in real space, wide ones with the help of Fourier space: both must be the same Gaussian."""
    where = np.array([1.3, -2.2, 0.7])
    one = Atoms(where[None], np.array([100.0]), name="one")
    density = specimen_from_atoms(one, 64, 3.0, resolution=resolution, centre=np.zeros(3)).density
    sigma = resolution * SIGMA_PER_RESOLUTION
    axis = (np.arange(64) - 32) * 3.0
    x, y, z = (np.exp(-((axis - c) ** 2) / (2 * sigma**2)) for c in where)
    gaussian = 100 * z[:, None, None] * y[:, None] * x / (2 * np.pi * sigma**2) ** 1.5
    # Samples two pixels apart of a blob that narrow do not quite add up to its mass; the density is made to.
    tolerance = {6.0: 0.05, 9.0: 0.005}.get(resolution, 1e-3)
    assert np.abs(density - gaussian).max() < tolerance * gaussian.max()


def test_many_atoms_are_the_sum_of_each():
    """Atoms are spread block by block; a block counted twice or left out would go unseen in a large model."""
    rng = np.random.default_rng(5)
    atoms = Atoms(rng.uniform(-20, 20, (3000, 3)), rng.uniform(1, 30, 3000))
    zero = np.zeros(3)
    whole = specimen_from_atoms(atoms, 32, 4.0, resolution=18.0, centre=zero).density
    parts = [Atoms(atoms.positions[i::7], atoms.weights[i::7]) for i in range(7)]
    summed = sum(specimen_from_atoms(part, 32, 4.0, resolution=18.0, centre=zero).density for part in parts)
    np.testing.assert_allclose(whole, summed, atol=1e-5 * whole.max())


def test_density_is_never_negative():
    """Negative specks of round-off would look like holes at a low contour level."""
    atoms = Atoms(np.random.default_rng(6).uniform(-9, 9, (50, 3)), np.ones(50))
    assert specimen_from_atoms(atoms, 32, 2.0, resolution=12.0).density.min() >= 0


@pytest.mark.parametrize("name, text, says", [
    ("none.pdb", None, "there is no such file"),
    ("empty.pdb", "", "holds no atoms"),
    ("header.cif", "data_x\n_cell.length_a 10\n", "holds no atoms"),
    ("broken.cif", "this is { not a file\n", "cannot be read as PDB or mmCIF"),
    ("water.pdb", PDB.splitlines()[3] + "\n", "holds no atoms"),
    ("model.txt", PDB, "cannot be read as PDB or mmCIF"),
    ("weightless.pdb", PDB.replace("  1.00 20.00           C", "  0.00 20.00           C").splitlines()[0] + "\n",
     "weigh nothing"),
])
def test_files_without_a_model_are_refused_by_name(tmp_path, name, text, says):
    """A learner who gives the wrong file is told which one and why, in one sentence."""
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=re.escape(name) + ".*" + says):
        read_atoms(path)


def test_a_molecule_that_does_not_fit_names_the_box_that_would():
    """In too small a box the molecule would come back in from the other side in some orientations."""
    atoms = Atoms(np.array([[-50.0, 0, 0], [50.0, 0, 0]]), np.ones(2), name="dumbbell")
    with pytest.raises(InputError, match=r"dumbbell.*50 Å.*at least 50 pixels"):
        specimen_from_atoms(atoms, 48, 2.0)
    specimen_from_atoms(atoms, 50, 2.0)


@pytest.mark.parametrize("box, pixel_size, resolution, says", [
    (31, 2.0, None, "even number is needed: take 32"), (0, 2.0, None, "even number"),
    (32, 0.0, None, "must be positive"), (32, float("nan"), None, "must be positive"),
    (32, 4.0, 6.0, "8 Å or worse"), (32, 4.0, -3.0, "8 Å or worse"),
])
def test_impossible_grids_are_refused(box, pixel_size, resolution, says):
    """Before anything is computed."""
    with pytest.raises(InputError, match=says):
        specimen_from_atoms(Atoms(np.zeros((1, 3)), np.ones(1)), box, pixel_size, resolution=resolution)


@pytest.mark.parametrize("positions, weights, says", [
    (np.zeros((0, 3)), np.zeros(0), "no atoms"), (np.zeros((2, 2)), np.ones(2), "shape"),
    (np.zeros((2, 3)), np.ones(3), "shape"), (np.array([[0, 0, 0], [0, np.nan, 0]]), np.ones(2), "atom 2"),
    (np.zeros((2, 3)), np.array([1.0, -1.0]), "atom 2"), (np.zeros((2, 3)), np.zeros(2), "weigh nothing"),
])
def test_atoms_that_cannot_be_are_refused(positions, weights, says):
    """A NaN among 100,000 atoms would otherwise blank the whole map."""
    with pytest.raises(InputError, match=says):
        Atoms(positions, weights)


def test_an_unknown_weight_is_refused(model):
    with pytest.raises(InputError, match="'mass' or 'electrons'"):
        read_atoms(model, weight="charge")
