"""What jobs make of the data, and of what a person set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import random_rotations
from cryoedu.geometry.fourier import components
from cryoedu.geometry.grids import LocalSearch, Search
from cryoedu.geometry.masks import soft_sphere
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
from cryoedu.inference.settings import EM, CrossFit, GradientDescent, HillClimbing
from cryoedu.microscope import write_map
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.projection import project
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles import Particles
from cryoedu.pipeline import derive
from cryoedu.pipeline.derive import mask_of, reference_of
from cryoedu.pipeline.settings import Align2D, Classify2D, Classify3D, InitialModel, Refine3D

BOX, PIXEL = 32, 4.0


@pytest.fixture(scope="module")
def blob() -> np.ndarray:
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
    return np.exp(-sum((a - c) ** 2 for a, c in zip(axes, (2, -3, 1), strict=True)) / 30).astype(np.float32)


def test_a_reference_on_finer_pixels_shows_the_same_projections(blob, tmp_path):
    """With --pixel-size the images get coarser; a reference that kept its scale would be wrong by that factor."""
    write_map(blob, tmp_path / "map.mrc", PIXEL)
    coarse = simulate(Specimen(np.ones((16,) * 3, dtype=np.float32), 2 * PIXEL), 1, seed=1, progress=False).particles
    found = reference_of(tmp_path / "map.mrc", coarse)
    assert found.shape == (16,) * 3
    rotations, parts, fine = random_rotations(3, np.random.default_rng(1)), components(16, 5), components(BOX, 5)
    ours, theirs = project(found[None], rotations, parts)[0], project(blob[None], rotations, fine)[0]
    assert (parts.kx == fine.kx).all() and (parts.ky == fine.ky).all()
    # a transform of (n/2)² pixels of the same grey value holds a quarter of one of n²
    np.testing.assert_allclose(4 * ours, theirs, atol=0.02 * np.abs(theirs).max())


def test_a_mask_on_finer_pixels_stays_a_mask(blob, tmp_path):
    write_map((blob > 0.5).astype(np.float32), tmp_path / "mask.mrc", PIXEL)
    coarse = simulate(Specimen(np.ones((16,) * 3, dtype=np.float32), 2 * PIXEL), 1, seed=1, progress=False).particles
    found = mask_of(coarse, 3, None, tmp_path / "mask.mrc")
    assert found.shape == (16,) * 3 and found.min() >= 0 and found.max() <= 1 and found.max() > 0.9


def test_a_map_of_another_field_is_refused(blob, tmp_path):
    write_map(blob, tmp_path / "map.mrc", PIXEL)
    other = simulate(Specimen(np.ones((16,) * 3, dtype=np.float32), PIXEL), 1, seed=1, progress=False).particles
    with pytest.raises(InputError, match=r"map\.mrc has a box of 32 pixels"):
        reference_of(tmp_path / "map.mrc", other)


FILES = {"star": Path("a.star"), "o": Path("out")}
MAPS = {**FILES, "reference": [Path("map.mrc")]}


PARTICLES = Particles.of(np.ones((5, BOX, BOX)), PIXEL)  # 128 Å wide


@pytest.fixture
def particles():
    return PARTICLES


@pytest.mark.parametrize(("T", "told"), [(0.0, None), (2.5, 2.5)])
@pytest.mark.parametrize("of", [lambda T: derive.plane(Align2D(**FILES, tau2_fudge=T), PARTICLES),
                                lambda T: derive.classify3d(Classify3D(**MAPS, tau2_fudge=T), PARTICLES)])
def test_a_fudge_of_zero_switches_the_prior_off(of, T, told):
    """As a factor it would be a prior of no signal at all."""
    assert of(T)[1].tau2_fudge == told


def test_what_em_is_told_in_the_plane(particles):
    """128 Å wide: 64 Å is shell 2, 16 Å shell 8; the mask is as large as fits, or as it was given."""
    settings = Classify2D(**FILES, iterations=3, first_resolution=64.0, strict_highres=16.0, offset_sigma=7.0,
                          scale=True, random_seed=4)
    search, em = derive.plane(settings, particles)
    assert search.in_plane and search.shift_step == PIXEL
    assert (em.iterations, em.radii, em.perturb_seed) == (3, [2, 5, 8], 4)
    assert em.assignment is MAXIMUM_LIKELIHOOD and em.scale and em.offset_sigma == 7.0 and em.tau2_fudge is None
    np.testing.assert_array_equal(em.mask, soft_sphere(BOX, PIXEL, 104.0, ndim=2))
    other = derive.plane(replace(settings, maxcc=True, particle_diameter=60.0, first_resolution=None), particles)[1]
    assert other.assignment is MAXIMUM_CROSS_CORRELATION and other.radii == [8]
    np.testing.assert_array_equal(other.mask, soft_sphere(BOX, PIXEL, 60.0, ndim=2))


def test_what_a_classification_is_told(particles):
    """By EM, or in folds, of which each option means the same."""
    settings = Classify3D(**MAPS, iterations=3, healpix_order=0, oversampling=2, symmetry="C2", supervised=True)
    search, em = derive.classify3d(settings, particles)
    assert isinstance(search, Search) and isinstance(em, EM)
    assert em.fixed == ("maps", "tau2") and em.symmetry == "C2" and em.tau2_fudge == 4.0
    assert em.adaptive.levels == 2 and em.adaptive.diameter == pytest.approx(0.8 * 128)
    given = derive.classify3d(replace(settings, particle_diameter=90.0), particles)[1]
    assert given.adaptive.diameter == 90.0
    _, folds = derive.classify3d(replace(settings, supervised=False, cross_fit=4, solvent_mask="auto"), particles)
    assert isinstance(folds, CrossFit) and folds.folds == 4 and folds.iterations == 3 and folds.symmetry == "C2"
    assert folds.radii == em.radii and folds.adaptive == em.adaptive and callable(folds.mask)


def test_what_is_left_out_begins_beyond_what_the_start_knows_and_is_nothing_where_all_may_be_known(particles):
    """Shell 2 is 64 Å. A reference is low-passed; of several nobody knows it; poses and maps may come from here."""
    plane = derive.plane(Classify2D(**FILES, first_resolution=20.0), particles)[1]
    assert plane.free == 0.1 and plane.shared == 2 < plane.radii[0]
    one = derive.classify3d(Classify3D(**MAPS, ini_high=40.0, first_resolution=16.0), particles)[1]
    assert one.free == 0.05 and one.shared == 3 < one.radii[0]
    folds = derive.classify3d(Classify3D(**MAPS, ini_high=40.0, cross_fit=2), particles)[1]
    assert (folds.free, folds.shared) == (0.05, 3)
    several = Classify3D(**{**MAPS, "reference": [Path("a.mrc"), Path("b.mrc")]})
    assert derive.classify3d(several, particles)[1].shared is None
    posed = replace(particles, angles=np.arange(15.0).reshape(5, 3))
    for known in ({"skip_align": True}, {"local_range": 9.0}, {"supervised": True}):
        assert derive.classify3d(Classify3D(**MAPS, **known), posed)[1].free == 0


def test_known_poses_are_searched_around_or_kept(particles):
    posed = replace(particles, angles=np.arange(15.0).reshape(5, 3))
    settings = Classify3D(**MAPS, local_range=9.0, offset_range=4.0)
    around, _ = derive.classify3d(settings, posed)
    assert isinstance(around, LocalSearch) and around.angular_step == 3.0 and len(around.shifts) > 1
    kept, _ = derive.classify3d(Classify3D(**MAPS, skip_align=True), posed)
    assert isinstance(kept, LocalSearch) and len(kept.shifts) == 1
    with pytest.raises(InputError, match=r"a\.star has no angles .*leave out --local-range"):
        derive.classify3d(settings, particles)
    with pytest.raises(InputError, match="leave out --skip-align"):
        derive.classify3d(Classify3D(**MAPS, skip_align=True), particles)


def test_a_refinement_searches_two_pixels_or_half_the_range(particles):
    settings = Refine3D(**FILES, reference=Path("map.mrc"), healpix_order=0, offset_range=20.0)
    assert derive.refine3d(settings, particles)[0].shift_step == 8.0
    assert derive.refine3d(replace(settings, offset_range=10.0), particles)[0].shift_step == 5.0
    assert derive.refine3d(replace(settings, offset_step=3.0), particles)[0].shift_step == 3.0
    told = derive.refine3d(replace(settings, particle_diameter=80.0, low_resol_join_halves=50.0), particles)[1]
    assert told.diameter == 80.0 and told.join == 50.0 and told.mask is None and told.initial_resolution == 60.0


def test_a_start_from_nothing_searches_finely_at_its_end(particles):
    searches, told = derive.initial_model(InitialModel(**FILES, iterations=20, healpix_order=1), particles)
    assert isinstance(told, GradientDescent) and told.iterations == 20 and told.radii[0] == 3 and told.radii[-1] == 10
    finer = derive.initial_model(InitialModel(**FILES, iterations=20, healpix_order=2), particles)[0]
    assert [len(s.angles) for s in finer] == [len(searches[0].angles)] * 18 + [8 * len(searches[0].angles)]
    assert isinstance(derive.initial_model(InitialModel(**FILES, algorithm="shc"), particles)[1], HillClimbing)
    assert derive.initial_model(InitialModel(**FILES, algorithm="shc"), particles)[1].iterations == 60
    assert derive.initial_model(InitialModel(**FILES), particles)[1].iterations == 200
