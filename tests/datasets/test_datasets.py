"""Specimens and particles by name: what they are, and that they are made once and never served damaged."""

from __future__ import annotations

import inspect
import os

import numpy as np
import pytest

from cryoedu import datasets
from cryoedu.datasets import load, load_particles, names, store
from cryoedu.datasets.protein2d import protein2d
from cryoedu.datasets.ribosome import FACTOR, LARGE, STATES, beads, ribosome
from cryoedu.errors import InputError
from cryoedu.microscope.realspace import rotate


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for each test."""
    monkeypatch.setenv("CRYOEDU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- the 2D protein ---------------------------------------------------------------------------------------------------

def correlation(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


@pytest.mark.parametrize("box", [16, 32, 40, 64, 130])
def test_protein2d_looks_the_same_in_every_box(box):
    """A lesson may change the box without getting another protein, or one that is off the centre."""
    protein = protein2d(box)
    assert (protein.box, protein.ndim, protein.pixel_size) == (box, 2, 256 / box)
    density = protein.density.astype(float)
    assert density.min() >= 0 and 0.5 < density.max() <= 1
    axis = (np.arange(box) - box // 2) * protein.pixel_size
    assert np.abs([density.sum(0) @ axis, density.sum(1) @ axis]).max() / density.sum() < 1.0  # Å
    area = density.sum() * protein.pixel_size**2
    np.testing.assert_allclose(area, protein2d(64).density.sum() * 4.0**2, rtol=0.01)


def test_protein2d_fits_into_its_circle():
    """Turned by any angle it stays in the box."""
    density = protein2d(128, 200 / 128).density
    y, x = np.mgrid[-64:64, -64:64]
    assert density[np.hypot(x, y) > 64].max() < 0.02


def test_protein2d_has_one_orientation_only():
    """If a turned or mirrored protein looked like itself, a wrong alignment could pass for a right one."""
    density = protein2d(64).density
    turned = [correlation(density, rotate(density, angle)) for angle in np.arange(20, 341, 5.0)]
    mirrored = [correlation(density, rotate(np.roll(density[:, ::-1], 1, axis=1), angle)) for angle in range(0, 360, 5)]
    assert max(turned) < 0.75
    assert max(mirrored) < 0.75


@pytest.mark.parametrize("box, pixel_size, says", [(63, None, "even"), (8, None, "from 16"), (0, None, "even|16"),
                                                   (64, 1.0, "3.13 Å or more"), (64, -4.0, "cannot hold")])
def test_protein2d_refuses_boxes_that_cannot_hold_it(box, pixel_size, says):
    """The way out that the sentence names must work."""
    with pytest.raises(InputError, match=says):
        protein2d(box, pixel_size)
    protein2d(64, 3.13)


# --- the ribosome -----------------------------------------------------------------------------------------------------

def test_ribosome_states_have_their_masses():
    """A subunit taken for the other, or a chain lost, would show in the masses."""
    mass = {state: beads(state).weights.sum() / 1e6 for state in STATES}  # MDa
    assert mass["ribosome-80S"] == pytest.approx(2.445, abs=0.001)
    assert mass["ribosome-ratcheted"] == mass["ribosome-80S"]
    assert mass["ribosome-large-subunit"] == pytest.approx(1.506, abs=0.001)
    assert 1.5 < mass["ribosome-large-subunit"] / (mass["ribosome-80S"] - mass["ribosome-large-subunit"]) < 2
    assert 1 - mass["ribosome-trimmed"] / mass["ribosome-80S"] == pytest.approx(0.08, abs=0.001)


def test_the_ratchet_turns_the_small_subunit_alone_by_seven_degrees():
    """The angle that the lesson names is the one that is there, and the large subunit stays where it was."""
    before, after = beads("ribosome-80S"), beads("ribosome-ratcheted")
    moved = np.linalg.norm(after.positions - before.positions, axis=1) > 1e-9
    labels = np.load(os.path.join(os.path.dirname(datasets.__file__), "data", "ribosome_beads.npz"))["subunit"]
    assert not moved[labels == LARGE].any() and not moved[labels == FACTOR].any()
    p, q = before.positions[moved], after.positions[moved]
    weights = before.weights[moved]
    p, q = (x - np.average(x, axis=0, weights=weights) for x in (p, q))
    u, _, vt = np.linalg.svd(q.T @ p)
    angle = np.degrees(np.arccos((np.trace(u @ vt) - 1) / 2))
    assert np.linalg.det(u @ vt) == pytest.approx(1)
    assert angle == pytest.approx(7, abs=1e-6)
    np.testing.assert_allclose(p @ (u @ vt).T, q, atol=1e-6)


def test_ribosome_states_share_one_frame():
    """Differences between states, and one true pose for all of them, mean something only in a common frame."""
    whole, large = (ribosome(state, 32, 11.0).density for state in ("ribosome-80S", "ribosome-large-subunit"))
    assert np.all(large <= whole + 1e-5 * whole.max())
    axis = (np.arange(32) - 16) * 11.0
    for other in ((0, 1), (0, 2), (1, 2)):
        assert abs(whole.sum(other) @ axis) / whole.sum() < 0.05  # Å
    assert whole.sum() * 11.0**3 == pytest.approx(beads().weights.sum(), rel=1e-5)


def test_ribosome_has_no_mirror_and_no_two_fold():
    """An alignment that is upside down must not pass for a right one."""
    density = ribosome(box=32, pixel_size=11.0).density[1:, 1:, 1:]  # centre in the middle
    for turned in (density[::-1], density[:, ::-1], density[:, :, ::-1], density[::-1, ::-1], density[:, ::-1, ::-1],
                   density[::-1, :, ::-1], density[::-1, ::-1, ::-1]):
        assert correlation(density, turned) < 0.9


# --- names ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [n for n in names() if not n.endswith("-particles")])
def test_every_specimen_loads(name):
    specimen = load(name, box=32)
    assert specimen.box == 32 and specimen.name == name and names()[name]
    assert specimen.density.dtype == np.float32 and specimen.density.max() > 0


@pytest.mark.parametrize("name", [n for n in names() if n.endswith("-particles")])
def test_every_particle_set_loads_with_its_truth(name):
    """And hands out images that do not carry the answers."""
    experiment = load_particles(name, count=12, seed=3, progress=False)
    assert len(experiment.particles) == 12
    assert experiment.particles.angles is None and experiment.particles.classes is None
    assert experiment.truth.angles.shape == (12, 3)
    again = load_particles(name, count=12, seed=3, progress=False)
    np.testing.assert_array_equal(experiment.particles.images, again.particles.images)
    np.testing.assert_array_equal(experiment.truth.shifts, again.truth.shifts)
    np.testing.assert_array_equal(experiment.specimens[-1].density, again.specimens[-1].density)
    assert again.truth.optics == experiment.truth.optics
    assert (again.truth.ctf is None) == (experiment.truth.ctf is None)
    other = load_particles(name, count=12, seed=4, progress=False)
    assert not np.array_equal(other.particles.images, again.particles.images)


@pytest.mark.parametrize("loader, name, says", [
    (load, "ribosome", "ribosome-80S, ribosome-ratcheted"), (load, "protein2d-particles", "load_particles"),
    (load_particles, "ribosome-80S", r"load\("), (load_particles, "nothing", "protein2d-particles, ribosome-particles"),
])
def test_unknown_names_are_answered_with_the_known_ones(loader, name, says):
    with pytest.raises(InputError, match=f"'{name}'.*{says}"):
        loader(name)


def test_protein2d_has_no_resolution():
    with pytest.raises(InputError, match="leave resolution out"):
        load("protein2d", resolution=10.0)


# --- the cache --------------------------------------------------------------------------------------------------------

def counted(monkeypatch):
    """How often a specimen was generated."""
    calls = []
    real = datasets._generate
    monkeypatch.setattr(datasets, "_generate", lambda *a: calls.append(a) or real(*a))
    return calls


def test_the_second_load_reads_what_the_first_one_kept(cache, monkeypatch):
    """Else every lesson would wait for its data again."""
    calls = counted(monkeypatch)
    first, second = load("ribosome-80S", box=32), load("ribosome-80S", box=32)
    assert len(calls) == 1 and len(list(cache.iterdir())) == 1
    np.testing.assert_array_equal(first.density, second.density)
    assert (first.pixel_size, first.name) == (second.pixel_size, second.name)
    load("ribosome-80S", box=34)
    assert len(calls) == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other", "array", "text"])
def test_a_damaged_file_is_made_again(cache, monkeypatch, damage):
    """A full disk or a power cut must not leave a learner with a wrong map for ever."""
    calls = counted(monkeypatch)
    first = load("protein2d", box=32)
    (path,) = cache.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "flip":
        place = content.find(first.density.tobytes()) + 1000
        content[place] ^= 0xFF
    elif damage == "other":
        np.savez(path, something=np.ones(3))
        content = bytearray(path.read_bytes())
    elif damage == "array":
        with open(path, "wb") as file:
            np.save(file, np.ones(3))
        content = bytearray(path.read_bytes())
    others = {"cut": content[: len(content) // 2], "empty": b"", "text": b"not a file of arrays"}
    path.write_bytes(others.get(damage, content))
    np.testing.assert_array_equal(load("protein2d", box=32).density, first.density)
    assert len(calls) == 2
    load("protein2d", box=32)
    assert len(calls) == 2


def test_other_code_does_not_read_old_files_and_clears_them_away(cache, monkeypatch):
    """After an update nobody works on with data of the old version, and the cache does not grow for ever."""
    calls = counted(monkeypatch)
    load("protein2d", box=32)
    load("protein2d", box=34)
    monkeypatch.setattr(store, "_code", lambda: "another")
    load("protein2d", box=32)
    assert len(calls) == 3
    kept = sorted(path.name for path in cache.iterdir())
    assert len(kept) == 2 and sum("another" in name for name in kept) == 1


def test_without_a_cache_it_still_works(tmp_path, monkeypatch):
    """A home that cannot be written to costs a warning and some time, not the lesson."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CRYOEDU_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="CRYOEDU_CACHE"):
        assert load("protein2d", box=32).box == 32


def test_the_cache_is_the_users_own_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("CRYOEDU_CACHE")
    assert store.folder().name == "cryoedu"


def test_the_code_that_makes_the_files_is_in_their_name():
    """`_code` has to see the modules that it is meant to see."""
    for package in store.WRITTEN_BY:
        assert list((store.Path(inspect.getfile(datasets)).parents[1] / package).glob("*.py"))
