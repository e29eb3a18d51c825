"""Point groups, what they leave to search, and maps that obey them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoedu.errors import InputError
from cryoedu.geometry.euler import angular_distance, random_rotations
from cryoedu.geometry.fourier import components
from cryoedu.geometry.grids import perturbed, search_2d, search_3d
from cryoedu.geometry.masks import soft_sphere
from cryoedu.geometry.symmetry import asymmetric_unit, symmetrise, symmetrised_rotations, symmetry_operators
from cryoedu.geometry.turning import turned
from cryoedu.microscope.projection import project

GROUPS = ["C2", "C5", "D3", "D4", "T", "O", "I", "I1"]


@pytest.mark.parametrize(("group", "order"), [("C1", 1), ("c7", 7), ("D2", 4), ("D7", 14), ("T", 12), ("O", 24),
                                              ("I", 60), ("I1", 60), ("i2", 60)])
def test_point_groups_are_groups(group, order):
    """Closed, each operator once, the identity among them."""
    operators = symmetry_operators(group)
    assert operators.shape == (order, 3, 3)
    distances = angular_distance(operators[:, None], operators[None])
    assert (distances + 999 * np.eye(order) > 30).all()
    products = (operators[:, None] @ operators[None]).reshape(-1, 3, 3)
    nearest = np.array([angular_distance(p, operators).min() for p in products])
    np.testing.assert_allclose(nearest, 0, atol=1e-5)
    assert angular_distance(np.eye(3), operators).min() < 1e-5


# Axes as relion_particle_symmetry_expand of RELION 3.1 has them, compared operator by operator when this was written.
AXES = {"C4": [(4, (0, 0, 1))], "D3": [(3, (0, 0, 1)), (2, (1, 0, 0))],
        "T": [(3, (0, 0, 1)), (2, (0, np.sqrt(2 / 3), np.sqrt(1 / 3)))],
        "O": [(4, (0, 0, 1)), (3, (1, 1, 1)), (2, (1, 1, 0))],
        "I1": [(2, (1, 0, 0)), (2, (0, 0, 1)), (5, (0.850650807, 0, -0.525731113)), (3, (0.934172364, 0.356822076, 0))],
        "I2": [(2, (0, 0, 1)), (5, (0.525731113, 0, 0.850650807)), (3, (0, 0.356822076, 0.934172364))],
        "I": [(2, (0, 0, 1)), (5, (0.525731113, 0, 0.850650807)), (3, (0, 0.356822076, 0.934172364))]}


@pytest.mark.parametrize(("group", "axes"), AXES.items(), ids=AXES)
def test_point_groups_stand_as_in_relion(group, axes):
    """A tetrahedron on its edge instead of its corner makes right poses look wrong by 55 degrees."""
    operators = symmetry_operators(group)
    for fold, axis in axes:
        turn = Rotation.from_rotvec(2 * np.pi / fold * np.array(axis) / np.linalg.norm(axis)).as_matrix()
        assert angular_distance(turn, operators).min() < 1e-4


@pytest.mark.parametrize("group", ["", "C", "C0", "X", "I3", "c-2", "Ci", "D2h"])
def test_what_is_no_point_group_is_a_sentence(group):
    """Reflections included: proteins have none."""
    with pytest.raises(InputError, match="not a point group"):
        symmetry_operators(group)


def particle(box=32, seed=1):
    """A map without symmetry: soft blobs at random places inside a ball."""
    rng = np.random.default_rng(seed)
    axis = np.arange(box) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    places = rng.uniform(-5.5, 5.5, (12, 3))
    return sum(np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 5) for a, b, c in places).astype(np.float32)


@pytest.mark.parametrize("group", ["C1", *GROUPS])
def test_the_asymmetric_unit_and_its_mates_cover_the_sphere(group):
    """A hole in the grid is a view that no particle is ever given; a double is searched twice for nothing."""
    whole = search_3d(3, shift_range=4, shift_step=2)
    part = asymmetric_unit(whole, group)
    operators = symmetry_operators(group)
    np.testing.assert_array_equal(part.shifts, whole.shifts)
    turns = 48
    assert len(part.angles) % turns == 0  # a direction with all its in-plane angles
    directions = part.rotations[::turns, 2]
    everything = whole.rotations[::turns, 2]
    mates = (operators[:, None] @ directions[None, :, :, None])[..., 0]
    cover = np.degrees(np.arccos(np.clip(np.einsum("mdi,ei->emd", mates, everything), -1, 1))).min(axis=(1, 2))
    assert cover.max() < 0.7 * whole.angular_step + 1e-6
    random = random_rotations(5000, np.random.default_rng(3))[:, 2]
    reach = np.degrees(np.arccos(np.clip((random @ mates.reshape(-1, 3).T).max(axis=1), -1, 1)))
    assert reach.max() < 0.9 * whole.angular_step and reach.mean() < 0.4 * whole.angular_step
    assert 0.97 < len(directions) * len(operators) / len(everything) < 1.2
    among = np.degrees(np.arccos(np.clip(np.einsum("mdi,ei->mde", mates[1:], directions), -1, 1)))
    doubles = among.min(axis=0, initial=180) < 0.3 * whole.angular_step
    assert doubles[~np.eye(len(directions), dtype=bool)].sum() <= 0.03 * len(directions)  # across the border


@pytest.mark.parametrize("group", ["C2", "C4", "D2", "D4", "C1"])
def test_a_group_that_the_grid_obeys_divides_it_exactly(group):
    """HEALPix has four-fold symmetry about z and two-fold about x: no direction is lost or held twice."""
    whole = search_3d(2)
    assert len(asymmetric_unit(whole, group).angles) == len(whole.angles) // len(symmetry_operators(group))


def test_turned_grids_are_reduced_too_and_grids_in_the_plane_refused():
    """Random turns between iterations must not open holes."""
    grid = perturbed(search_3d(2), np.random.default_rng(4))
    share = len(asymmetric_unit(grid, "D5").angles) * 10 / len(grid.angles)
    assert 0.95 < share < 1.2
    with pytest.raises(InputError, match="plane"):
        asymmetric_unit(search_2d(5.0), "C4")


@pytest.mark.parametrize("group", GROUPS)
def test_a_symmetrised_map_is_what_it_is_from_every_side(group):
    """Turned by any operator it stays; symmetrised again it stays; its mean density stays."""
    source = particle()
    found = symmetrise(source, group, progress=False)
    assert found.dtype == np.float32
    ball = soft_sphere(32, 1, 24)
    for operator in symmetry_operators(group)[1::7]:
        np.testing.assert_allclose(turned(found, operator) * ball, found * ball, atol=0.01 * found.max())
    np.testing.assert_allclose(symmetrise(found, group) * ball, found * ball, atol=0.01 * found.max())
    assert found.sum() == pytest.approx(source.sum(), rel=0.002)
    assert not np.allclose(found, source, atol=0.1 * source.max())
    np.testing.assert_array_equal(symmetrise(source, "C1"), source)


def test_equivalent_poses_give_the_same_image_of_a_symmetric_map():
    """What insertion relies on: the slice of one pose belongs at all its mates."""
    rotations = random_rotations(5, np.random.default_rng(6))
    poses = symmetrised_rotations(rotations, "T")
    assert poses.shape == (60, 3, 3)
    np.testing.assert_array_equal(poses[:5], rotations)
    slices = project(symmetrise(particle(), "T")[None], poses, components(32, 8))[0, :, 1:].reshape(12, 5, -1)
    assert np.abs(slices - slices[0]).max() < 0.03 * np.abs(slices[0]).max()
    other = project(particle()[None], poses, components(32, 8))[0, :, 1:].reshape(12, 5, -1)
    assert np.abs(other - other[0]).max() > 0.3 * np.abs(other[0]).max()


def test_a_four_fold_ring_is_made_of_one_blob():
    """A closed form: one blob off the axis becomes four, each a quarter as dense."""
    axis = np.arange(32) - 16
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    blob = lambda a, b: np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - 2) ** 2) / 6)  # noqa: E731
    ring = (blob(6, 1) + blob(-1, 6) + blob(-6, -1) + blob(1, -6)) / 4
    np.testing.assert_allclose(symmetrise(blob(6, 1), "C4"), ring, atol=0.003)


def test_a_grid_too_coarse_for_the_cell_still_has_a_direction_in_it():
    """The twelve directions of HEALPix order 0, turned, may all lie outside the cell around the fixed direction."""
    for seed in range(6):
        assert len(asymmetric_unit(perturbed(search_3d(0), np.random.default_rng([1, seed])), "O").angles) > 0
