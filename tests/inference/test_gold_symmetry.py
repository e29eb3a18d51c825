"""Two halves that never meet: what they agree on decides, in a symmetric map as in any other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.grids import search_2d, search_3d
from cryoedu.geometry.symmetry import symmetry_operators
from cryoedu.geometry.turning import turned
from cryoedu.inference.gold import gold_standard, halves_of
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.specimen import Specimen
from cryoedu.validation.fsc import fsc
from cryoedu.validation.poses import pose_errors

BOX, PIXEL = 16, 10.0
QUICK = {"seed": 1, "diameter": 110.0, "join": 80.0}


def phantom(group: str) -> np.ndarray:
    """Blobs at a few places and at all their mates, in closed form."""
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    out = np.zeros((BOX,) * 3)
    for place in ((3.6, 0.8, 2.0), (1.0, 3.0, -2.5)):
        for a, b, c in symmetry_operators(group) @ np.array(place):
            out += np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 1.6)
    return out.astype(np.float32)


def d2_images(count: int):
    return simulate(Specimen(phantom("D2"), PIXEL), count, seed=2, snr=1.0, noise=coloured, defocus=(8e3, 1.6e4),
                    shift_sigma=4.0, progress=False)


@pytest.fixture(scope="module")
def d2():
    return d2_images(80)


@pytest.fixture(scope="module")
def turns(d2):
    """A refinement with the symmetry that the specimen has."""
    search = search_3d(1, shift_range=10, shift_step=10)
    return list(gold_standard(d2.particles, d2.specimens[0].density, search, symmetry="D2", iterations=5, **QUICK))


def test_a_symmetric_map_is_symmetric_in_both_halves_and_its_poses_are_found(d2, turns):
    """One part of the views is searched; without their mates in the sums, the map would be blurred along the others."""
    last = turns[-1]
    for density in (last.model.maps[0], *(part.maps[0] for part in last.folds), *last.state["halves"]):
        for operator in symmetry_operators("D2")[1:]:
            assert min(fsc(density, turned(density, operator))[1:6]) > 0.98
    assert pose_errors(last.posterior.angles, d2.truth.angles, symmetry="D2").median_angle < 10


def test_of_few_images_each_counts_once_for_every_operator():
    """Forty images of a particle with four alike parts show as much as 160 would of one without."""
    few, search = d2_images(40), search_3d(1, shift_range=10, shift_step=10)
    truth = few.specimens[0].density
    reached, without = (list(gold_standard(few.particles, truth, search, symmetry=group, iterations=5, **QUICK))[-1]
                        for group in ("D2", "C1"))
    assert fsc(reached.model.maps[0], truth)[7] > fsc(without.model.maps[0], truth)[7] + 0.05


def test_a_lopsided_start_is_made_symmetric(d2, turns):
    """Otherwise the first poses would be those of a map that has a front and a back."""
    half = d2.specimens[0].density * (np.arange(BOX) > BOX // 2)
    first = next(gold_standard(d2.particles, half, search_3d(0), symmetry="D2", **QUICK))
    start = first.before.maps[0]
    assert min(fsc(start, turned(start, symmetry_operators("D2")[1]))[1:3]) > 0.98


def test_going_on_gives_the_same_bits(d2, turns):
    """Grids, shells and neighbourhoods all follow from what an iteration leaves behind."""
    search = search_3d(1, shift_range=10, shift_step=10)
    at = turns[2]
    again = list(gold_standard(d2.particles, d2.specimens[0].density, search, symmetry="D2", iterations=5,
                               after=at, **QUICK))
    assert [turn.number for turn in again] == [turn.number for turn in turns[3:]]
    for one, other in zip(turns[3:], again, strict=True):
        np.testing.assert_array_equal(one.model.maps, other.model.maps)
        np.testing.assert_array_equal(one.before.maps, other.before.maps)
        np.testing.assert_array_equal(one.posterior.angles, other.posterior.angles)
        np.testing.assert_array_equal(one.fsc, other.fsc)


def test_halves_are_those_of_the_particles_where_they_have_some(d2):
    halves = halves_of(d2.particles, 1)
    assert [len(half) for half in halves] == [40, 40] and not set(halves[0]) & set(halves[1])
    subset = np.ones(80, dtype=np.int64)
    subset[halves[1]] = 2
    for again, rows in zip(halves_of(replace(d2.particles, subset=subset), 7), halves, strict=True):
        np.testing.assert_array_equal(again, rows)
    with pytest.raises(InputError, match="no particle"):
        halves_of(replace(d2.particles, subset=np.ones(80)), 1)


@pytest.mark.parametrize(("search", "options", "words"), [
    (search_3d(0), {"symmetry": "X7"}, "not a point group"),
    (search_2d(90), {}, "3D references"),
    (search_3d(0), {"diameter": 900.0}, "900 Å does not fit"),
], ids=str)
def test_what_cannot_be_refined_is_refused_before_it_starts(d2, search, options, words):
    with pytest.raises(InputError, match=words):
        gold_standard(d2.particles, d2.specimens[0].density, search, **{**QUICK, **options})


def test_all_shells_are_kept_for_the_end(d2, turns):
    """They mean that a refinement is over: it must not be because a small box leaves no room beyond the resolution."""
    assert [bool(turn.state["finished"]) for turn in turns] == [False] * (len(turns) - 1) + [True]
    assert [turn.radius == BOX // 2 for turn in turns] == [False] * (len(turns) - 1) + [True] and len(turns) > 3
