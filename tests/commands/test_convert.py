"""Particles from one program for another: what was read is what is written, and nothing that is there is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from commandline import cryoedu

from cryoedu.errors import InputError
from cryoedu.files.mrc import write_stack
from cryoedu.files.star import read_tables
from cryoedu.particles import CTFParameters, Optics, Particles, read_particles, write_particles
from cryoedu.particles.joining import joined, particle_file


def images(count, box=8, seed=0):
    return np.random.default_rng(seed).normal(size=(count, box, box)).astype(np.float32)


def particles(count=6, seed=0, box=8, **columns):
    rng = np.random.default_rng([seed, 1])
    optics = Optics(2.0, name="a"), Optics(2.0, 200.0, beam_tilt=(0.1, 0.0), name="b")
    return Particles(images(count, box, seed), optics,
                     np.arange(count) % 2, ctf=CTFParameters.of(rng.uniform(1e4, 3e4, count)),
                     angles=rng.uniform(0, 90, (count, 3)), shifts=rng.normal(size=(count, 2)),
                     classes=np.arange(count) % 3, subset=np.arange(count) % 2 + 1,
                     extra={"rlnMicrographName": np.array([f"m{i // 3}.mrc" for i in range(count)], dtype=object)},
                     **columns)


@pytest.fixture
def star(tmp_path):
    write_particles(particles(), tmp_path / "p.star")
    return tmp_path / "p.star"


def test_some_of_them(star, tmp_path):
    whole = read_particles(star)
    for options, expected in [(["--class", 1, "--class", 3], [0, 2, 3, 5]), (["--subset", 2], [1, 3, 5]),
                              (["--where", "rlnMicrographName = m1.mrc"], [3, 4, 5]),
                              (["--where", "rlnRandomSubset != 1", "--class", 2], [1]),
                              (["--where", f"rlnDefocusU<{np.median(whole.ctf.defocus_u)}"],
                               np.flatnonzero(whole.ctf.defocus_u < np.median(whole.ctf.defocus_u)).tolist())]:
        assert cryoedu("convert", star, "--o", tmp_path / "q.star", "--overwrite", *options) == ""
        found = read_particles(tmp_path / "q.star")
        np.testing.assert_array_equal(found.images[:], whole.images[expected])
        np.testing.assert_array_equal(found.angles, whole.angles[expected])
    assert not (tmp_path / "q.mrcs").exists()  # images that do not change stay where they are


def test_a_class_is_chosen_where_others_are_not_known_yet(tmp_path):
    known = particles()
    write_particles(replace(known, classes=np.array([0, -1, 1, 0, -1, 2])), tmp_path / "p.star")
    assert cryoedu("convert", tmp_path / "p.star", "--o", tmp_path / "q.star", "--class", 1) == ""
    np.testing.assert_array_equal(read_particles(tmp_path / "q.star").angles, known.angles[[0, 3]])
    write_particles(replace(known, classes=None), tmp_path / "none.star")
    assert "no classes" in cryoedu("convert", tmp_path / "none.star", "--o", tmp_path / "r.star", "--class", 1)


def test_the_layout_of_relion_3_0_says_the_same(star, tmp_path):
    cryoedu("convert", star, "--o", tmp_path / "old.star", "--relion30")
    assert list(read_tables(tmp_path / "old.star")) == [""]
    old, new = read_particles(tmp_path / "old.star"), read_particles(star)
    np.testing.assert_allclose(old.shifts, new.shifts)
    np.testing.assert_array_equal(old.ctf.defocus_u, new.ctf.defocus_u)
    assert [(o.voltage, o.beam_tilt, o.pixel_size) for o in old.optics] == [(300, (0, 0), 2), (200, (0.1, 0), 2)]
    np.testing.assert_array_equal(old.optics_group, new.optics_group)
    cryoedu("convert", tmp_path / "old.star", "--o", tmp_path / "again.star")
    assert read_particles(tmp_path / "again.star").optics[1].voltage == 200


def test_images_are_written_where_they_change(star, tmp_path):
    cryoedu("convert", star, "--o", tmp_path / "dark.star", "--invert")
    np.testing.assert_array_equal(read_particles(tmp_path / "dark.star").images[:], -read_particles(star).images[:])
    cryoedu("convert", star, "--o", tmp_path / "small.star", "--pixel-size", 4)
    small = read_particles(tmp_path / "small.star")
    assert small.box == 4 and small.pixel_size == 4
    np.testing.assert_allclose(small.shifts, read_particles(star).shifts)  # Å


def test_files_are_joined(star, tmp_path):
    (tmp_path / "other").mkdir()
    write_particles(particles(4, seed=5), tmp_path / "other" / "p.star")
    assert cryoedu("convert", star, tmp_path / "other" / "p.star", "--o", tmp_path / "all.star") == ""
    found, first = read_particles(tmp_path / "all.star"), read_particles(star)
    assert len(found) == 10 and len(found.optics) == 4
    np.testing.assert_array_equal(found.images[:], np.concatenate([images(6), images(4, seed=5)]))
    np.testing.assert_array_equal(found.optics_group, [0, 1] * 3 + [2, 3] * 2)
    np.testing.assert_array_equal(found.angles[:6], first.angles)
    assert "000001@" in (told := cryoedu("convert", star, star, "--o", tmp_path / "twice.star"))
    assert "is in two of the files, at the same pose" in told and not (tmp_path / "twice.star").exists()


def test_what_only_some_have_is_left_out_and_told(star, tmp_path):
    bare = Particles.of(images(2, seed=7), 2.0)
    write_particles(bare, tmp_path / "bare.star")
    found, lost = joined([read_particles(star), read_particles(tmp_path / "bare.star")])
    assert found.angles is None and found.ctf is None and found.extra == {}
    assert set(lost) == {"angles", "shifts", "classes", "subset", "ctf", "rlnMicrographName"}


def test_boxes_that_differ_are_not_joined(star, tmp_path):
    write_particles(particles(4, box=12), tmp_path / "large.star")
    with pytest.raises(InputError, match=r"boxes of 8 and 12 pixels.*--pixel-size"):
        joined([read_particles(star), read_particles(tmp_path / "large.star")])


def test_relion_s_jobs_are_understood(tmp_path):
    """Whoever has a project types the folder of the job."""
    job = tmp_path / "Class3D" / "job004"
    job.mkdir(parents=True)
    for name in ("run_it003_data.star", "run_it025_data.star", "job.star"):
        (job / name).write_text("data_\n")
    assert particle_file(job).name == particle_file(job / "job.star").name == "run_it025_data.star"
    (job / "run_data.star").write_text("data_\n")
    assert particle_file(job).name == "run_data.star"
    optimiser = job / "run_it025_optimiser.star"
    optimiser.write_text("data_optimiser_general\n\n_rlnExperimentalDataStarFile  Class3D/job004/run_it025_data.star\n")
    assert particle_file(optimiser) == (job / "run_it025_data.star").resolve()
    optimiser.write_text("data_optimiser_general\n\n_rlnOther 1\n")
    with pytest.raises(InputError, match="names no rlnExperimentalDataStarFile"):
        particle_file(optimiser)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no particles"):
        particle_file(tmp_path / "empty")
    assert particle_file("p.star").name == "p.star"


def test_commands_take_a_job_s_folder(tmp_path):
    write_particles(particles(12), tmp_path / "run_data.star")
    cryoedu("reconstruct", tmp_path, "--o", tmp_path / "map.mrc")
    assert (tmp_path / "map.mrc").exists()


@pytest.mark.parametrize(("options", "words"), [
    (["--where", "nonsense"], "is no condition"), (["--where", "rlnFoo = 1"], "has no column rlnFoo"),
    (["--where", "rlnMicrographName < 3"], "only = and != can be asked"), (["--class", 9], "no particle is left"),
    (["--o", "q.cs"], "only STAR files are"), (["--o", "p.star", "--overwrite"], "is one of the files that are read"),
    (["--o", "p.mrcs.star"], "")])
def test_bad_input_is_a_sentence(star, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    options = options if "--o" in options else [*options, "--o", "q.star"]
    before = star.read_bytes()
    told = cryoedu("convert", star, *options)
    assert words in told and "\n" not in told and bool(told) == bool(words)
    assert star.read_bytes() == before


def test_nothing_that_is_there_is_lost(star, tmp_path):
    write_stack(images(2), tmp_path / "q.mrcs", 2.0)
    before = (tmp_path / "q.mrcs").read_bytes()
    assert "q.mrcs is there already" in cryoedu("convert", star, "--o", tmp_path / "q.star", "--invert")
    assert (tmp_path / "q.mrcs").read_bytes() == before and not (tmp_path / "q.star").exists()
    write_particles(particles(seed=4), tmp_path / "other.star", stack_name="s.mrcs")
    stack = (tmp_path / "s.mrcs").read_bytes()
    told = cryoedu("convert", tmp_path / "other.star", "--o", tmp_path / "s.star", "--invert", "--overwrite")
    assert "from which the images are read" in told and (tmp_path / "s.mrcs").read_bytes() == stack
    odd = Particles(images(2), (Optics(2.0, odd_zernike=(0, 1)),), np.zeros(2, dtype=int))
    write_particles(odd, tmp_path / "odd.star")
    assert "aberrations" in cryoedu("convert", tmp_path / "odd.star", "--o", tmp_path / "r.star", "--relion30")
    assert not (tmp_path / "r.star").exists()
