"""Particles through STAR files and back: poses with their signs, optics groups, and every column that came in."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoedu.errors import InputError
from cryoedu.files.mrc import write_stack
from cryoedu.files.star import read_tables
from cryoedu.particles import CTFParameters, ImageStack, Optics, Particles, read_particles, write_particles

RELION = Path(__file__).parents[1] / "data" / "relion"


def noise(count, n=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, n, n)).astype(np.float32)


def same(a, b):
    return (a is None and b is None) or np.array_equal(a, b)


finite = st.floats(-1e6, 1e6)


@st.composite
def particle_sets(draw):
    count = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    optics = tuple(Optics(2.5, voltage=draw(st.floats(1, 1e3)), spherical_aberration=draw(st.floats(0, 5)),
                          amplitude_contrast=draw(st.floats(0, 1)), name=f"session{g}",
                          ctf_premultiplied=draw(st.booleans()))
                   for g in range(draw(st.integers(1, min(3, count)))))
    group = np.concatenate([np.arange(len(optics)), rng.integers(0, len(optics), count - len(optics))])

    def column(values):
        return draw(st.none() | st.lists(values, min_size=count, max_size=count).map(np.array))

    ctf = draw(st.booleans()) and CTFParameters(*(np.array(draw(st.lists(finite, min_size=count, max_size=count)))
                                                  for _ in range(6)))
    return Particles(
        noise(count, seed=draw(st.integers(0, 99))), optics, rng.permutation(group), ctf=ctf or None,
        angles=column(st.tuples(finite, finite, finite)), shifts=column(st.tuples(finite, finite)),
        classes=column(st.integers(0, 99)), subset=column(st.integers(1, 2)),
        extra={"rlnMicrographName": np.array([f"mic{i % 2} a.mrc" for i in range(count)], dtype=object),
               "rlnGroupNumber": rng.integers(1, 9, count), "rlnNormCorrection": rng.normal(size=count).round(6)})


@settings(max_examples=50, deadline=None)
@given(particles=particle_sets())
def test_what_is_written_is_read_again_to_the_last_digit(particles):
    with tempfile.TemporaryDirectory() as folder:
        write_particles(particles, Path(folder) / "run_data.star")
        back = read_particles(Path(folder) / "run_data.star")
        assert isinstance(back.images, ImageStack)
        assert np.array_equal(back.images[:], particles.images)
        assert back.optics == particles.optics and np.array_equal(back.optics_group, particles.optics_group)
        for name in ("angles", "shifts", "classes", "subset"):
            assert same(getattr(back, name), getattr(particles, name)), name
        assert (back.ctf is None) == (particles.ctf is None)
        for name in vars(particles.ctf) if particles.ctf else ():
            assert np.array_equal(getattr(back.ctf, name), getattr(particles.ctf, name)), name
        assert list(back.extra) == list(particles.extra)
        for name, values in particles.extra.items():
            assert np.array_equal(back.extra[name].astype(values.dtype), values), name  # all of them text


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_shuffled_rows_refer_to_the_stacks_there_are(seed):
    """After sorting or selecting, the row order is not the stack order, and no pixel is copied."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Extract").mkdir()
        write_stack(noise(5, seed=1), folder / "Extract" / "a.mrcs", 3.0)
        write_stack(noise(4, seed=2), folder / "Extract" / "b.mrcs", 3.0)
        stack = ImageStack.open(folder / "Extract" / "a.mrcs", folder / "Extract" / "b.mrcs")
        rows = rng.permutation(9)[: rng.integers(1, 10)]
        particles = Particles(stack.take(rows), (Optics(3.0),), np.zeros(len(rows), int),
                              angles=noise(len(rows), 3)[:, 0])
        write_particles(particles, folder / "Select" / "job1" / "p.star")
        assert os.listdir(folder / "Select" / "job1") == ["p.star"]
        named = read_tables(folder / "Select" / "job1" / "p.star")["particles"]["rlnImageName"]
        assert all(n.split("@")[1] in ("../../Extract/a.mrcs", "../../Extract/b.mrcs") for n in named)
        back = read_particles(folder / "Select" / "job1" / "p.star")
        assert np.array_equal(back.images[:], stack[rows]) and np.array_equal(back.angles, particles.angles)


def test_optics_groups_need_not_count_from_one(make, star_31):
    path = make(star_31(
        "1@a.mrcs 7 1 1 0\n2@a.mrcs 3 1 1 0\n3@a.mrcs 7 1 1 0\n",
        optics="seven 7 300 2.7 0.1 3 4 2\nnobody 5 120 1 0.1 9 4 2\nthree 3 200 2.0 0.07 3 4 2\n"))
    particles = read_particles(path)
    assert [o.name for o in particles.optics] == ["seven", "three"]  # a group without particles says nothing of them
    assert particles.optics_group.tolist() == [0, 1, 0]
    assert particles.optics[1] == Optics(3.0, 200.0, 2.0, 0.07, "three")
    assert particles.pixel_size == 3.0


def test_further_columns_of_optics_groups_come_back(tmp_path, make, star_31):
    """Beam tilt and MTF are the user's knowledge: a tool in between must not lose them."""
    columns = ("rlnOpticsGroupName", "rlnOpticsGroup", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast",
               "rlnImagePixelSize", "rlnBeamTiltX", "rlnMtfFileName", "rlnDetectorKind")
    particles = read_particles(make(star_31(optics="one 1 300 2.7 0.1 3 0.25 mtf.star K3\n",
                                                      optics_columns=columns)))
    write_particles(particles, tmp_path / "q.star")
    again = read_tables(tmp_path / "q.star")["optics"]
    assert again["rlnBeamTiltX"].tolist() == ["0.25"] and again["rlnDetectorKind"].tolist() == ["K3"]
    assert again["rlnMtfFileName"].tolist() == ["mtf.star"]
    assert read_particles(tmp_path / "q.star").optics == particles.optics
    assert hash(particles.optics[0])


def test_a_table_of_one_row_may_be_a_list(make, star_31):
    optics = "".join(f"_{name} {value}\n" for name, value in (
        ("rlnOpticsGroupName", "one"), ("rlnOpticsGroup", 1), ("rlnVoltage", 300), ("rlnSphericalAberration", 2.7),
        ("rlnAmplitudeContrast", 0.1), ("rlnImagePixelSize", 3)))
    text = star_31()
    text = "data_optics\n\n" + optics + "\n" + text[text.index("data_particles"):]
    assert read_particles(make(text)).optics == (Optics(3.0, name="one"),)


def test_without_defocus_there_is_no_ctf(make, star_31):
    path = make(star_31("1@a.mrcs 1 90\n", ("rlnImageName", "rlnOpticsGroup", "rlnAnglePsi")))
    particles = read_particles(path)
    assert particles.ctf is None and particles.shifts is None and particles.classes is None
    assert particles.angles.tolist() == [[0, 0, 90]]


def test_ctf_columns_that_are_missing_have_their_usual_values(make, star_31):
    path = make(star_31("1@a.mrcs 1 9000\n", ("rlnImageName", "rlnOpticsGroup", "rlnDefocusU")))
    ctf = read_particles(path).ctf
    assert [float(v[0]) for v in vars(ctf).values()] == [9000, 9000, 0, 0, 0, 1]


def test_the_particle_sits_at_minus_the_origin(tmp_path, make, star_31):
    path = make(star_31("1@a.mrcs 1 6 -1.5\n", ("rlnImageName", "rlnOpticsGroup", "rlnOriginXAngst",
                                                         "rlnOriginYAngst")))
    assert read_particles(path).shifts.tolist() == [[-6, 1.5]]
    pixels = path.read_text().replace("OriginXAngst", "OriginX").replace("OriginYAngst", "OriginY")
    path.write_text(pixels)  # relion_project 3.1 writes such a mixture
    assert read_particles(path).shifts.tolist() == [[-18, 4.5]]
    write_particles(read_particles(path), tmp_path / "q.star")
    table = read_tables(tmp_path / "q.star")["particles"]
    assert table["rlnOriginXAngst"].tolist() == ["18.0"] and "rlnOriginX" not in table


def test_classes_that_relion_has_not_given_yet(make, star_31):
    columns = ("rlnImageName", "rlnOpticsGroup", "rlnClassNumber", "rlnRandomSubset")
    particles = read_particles(make(star_31("1@a.mrcs 1 0 0\n2@a.mrcs 1 0 0\n", columns)))
    assert particles.classes is None and particles.subset is None
    particles = read_particles(make(star_31("1@a.mrcs 1 1 2\n2@a.mrcs 1 3 1\n", columns)))
    assert particles.classes.tolist() == [0, 2] and particles.subset.tolist() == [2, 1]


def test_names_that_look_like_numbers_stay_names(make, star_31):
    columns = ("rlnImageName", "rlnOpticsGroup", "rlnMicrographName")
    particles = read_particles(make(star_31("1@a.mrcs 1 007\n2@a.mrcs 1 1e5\n", columns)))
    assert particles.extra["rlnMicrographName"].tolist() == ["007", "1e5"]


STAR_30 = ("\ndata_\n\nloop_ \n_rlnImageName #1 \n_rlnVoltage #2 \n_rlnDefocusU #3 \n_rlnSphericalAberration #4 \n"
           "_rlnAmplitudeContrast #5 \n_rlnMagnification #6 \n_rlnDetectorPixelSize #7 \n_rlnOriginX #8 \n"
           "_rlnOriginY #9 \n"
           "000003@a.mrcs  200.000000 12000.000000   2.000000   0.070000 10000.000000   3.000000   1.000000 -2.00 \n"
           "000001@a.mrcs  300.000000 10000.000000   2.700000   0.100000 10000.000000   3.000000   0.000000  0.50 \n"
           "000002@a.mrcs  200.000000 11000.000000   2.000000   0.070000 10000.000000   3.000000   0.000000  0.00 \n"
           " \n")


def test_relion_3_0(make):
    particles = read_particles(make(STAR_30))
    assert particles.optics == (Optics(3.0, 200.0, 2.0, 0.07, "opticsGroup1"),
                                Optics(3.0, 300.0, 2.7, 0.1, "opticsGroup2"))
    assert particles.optics_group.tolist() == [0, 1, 0]
    assert particles.shifts.tolist() == [[-3, 6], [0, -1.5], [0, 0]]
    assert particles.extra == {}  # magnification and detector are in the pixel size
    assert np.array_equal(particles.images[:], noise(4)[[2, 0, 1]])


def test_a_3_0_file_without_pixel_size_takes_the_stack_s(tmp_path, make):
    text = STAR_30.replace("rlnMagnification", "rlnOther").replace("rlnDetectorPixelSize", "rlnAnother")
    assert read_particles(make(text)).pixel_size == 3.0
    write_stack(noise(4), tmp_path / "a.mrcs", 1.0)  # unset
    with pytest.raises(InputError, match="tells no pixel size: add a column rlnImagePixelSize"):
        read_particles(tmp_path / "p.star")


def test_poses_alone_need_no_stacks(tmp_path, star_31):
    """A file of truths or results travels without its gigabytes of images."""
    (tmp_path / "p.star").write_text(star_31())
    particles = read_particles(tmp_path / "p.star", images=False)
    assert len(particles) == 2 and particles.box == 4 and particles.ctf.defocus_u.tolist() == [10000, 11000]
    with pytest.raises(InputError, match="read without their images"):
        particles.images[0]
    write_particles(particles, tmp_path / "sub" / "q.star")
    assert read_tables(tmp_path / "sub" / "q.star")["particles"]["rlnImageName"].tolist() == [
        "000001@../a.mrcs", "000002@../a.mrcs"]
    with pytest.raises(InputError, match="read without their images"):
        write_particles(particles, tmp_path / "r.star", stack_name="r.mrcs")
    assert not (tmp_path / "r.star").exists() and not (tmp_path / "r.mrcs").exists()


def test_stacks_are_found_from_the_project_folder(tmp_path, monkeypatch, star_31):
    """RELION's names are relative to the folder that it was started in, some levels above the STAR file."""
    (tmp_path / "Class2D" / "job3").mkdir(parents=True)
    text = star_31("1@Extract/a.mrcs 1\n", ("rlnImageName", "rlnOpticsGroup"))
    (tmp_path / "Class2D" / "job3" / "p.star").write_text(text)
    write_stack(noise(4), tmp_path / "Extract" / "a.mrcs", 3.0)
    assert np.array_equal(read_particles(tmp_path / "Class2D" / "job3" / "p.star").images[0], noise(4)[0])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)  # the STAR file was copied away: the working folder is the last resort
    with tempfile.TemporaryDirectory() as other:
        path = Path(other) / "p.star"
        path.write_text(text)
        assert len(read_particles(path)) == 1
    write_stack(noise(4, seed=9), tmp_path / "Class2D" / "job3" / "Extract" / "a.mrcs", 3.0)  # nearest first
    assert np.array_equal(read_particles("Class2D/job3/p.star").images[0], noise(4, seed=9)[0])


def test_an_image_without_a_number_is_a_file_of_its_own(make, star_31):
    path = make(star_31("a.mrcs 1\nb.mrcs 1\n", ("rlnImageName", "rlnOpticsGroup")), a=noise(1),
                b=noise(1, seed=1))
    assert np.array_equal(read_particles(path).images[:], np.concatenate([noise(1), noise(1, seed=1)]))


def test_a_new_stack_is_written_only_when_needed_or_asked_for(tmp_path, make, star_31):
    particles = read_particles(make(star_31()))
    write_particles(particles, tmp_path / "out" / "q.star", stack_name="copy.mrcs")
    assert sorted(os.listdir(tmp_path / "out")) == ["copy.mrcs", "q.star"]
    assert np.array_equal(read_particles(tmp_path / "out" / "q.star").images[:], particles.images[:])
    in_memory = replace(particles.subset_of([1]), images=particles.images[[1]])
    write_particles(in_memory, tmp_path / "out" / "memory.star")
    assert (tmp_path / "out" / "memory.mrcs").exists()


def test_what_cannot_be_written_leaves_what_there_was(tmp_path):
    (tmp_path / "p.star").write_text("old star")
    (tmp_path / "p.mrcs").write_text("old stack")
    good = Particles.of(noise(3), 3.0)
    for change, message in (({"angles": np.full((3, 3), np.nan)}, "rlnAngleRot of row 1 would be nan"),
                            ({"extra": {"rlnFoo": np.zeros(2)}}, "rlnFoo has 2 rows, but there are 3 particles")):
        with pytest.raises(InputError, match=message):
            write_particles(Particles(good.images, good.optics, good.optics_group, **change), tmp_path / "p.star")
    with pytest.raises(InputError, match="there are no images"):
        write_particles(Particles.of(noise(0), 3.0), tmp_path / "p.star")
    assert (tmp_path / "p.star").read_text() == "old star" and (tmp_path / "p.mrcs").read_text() == "old stack"
    assert len(os.listdir(tmp_path)) == 2


def test_an_interrupt_between_two_blocks_loses_nothing(tmp_path):
    class Slow:
        shape = (4, 4, 4)

        def __len__(self):
            return 4

        def __getitem__(self, rows):
            raise KeyboardInterrupt

    write_particles(Particles.of(noise(3), 3.0), tmp_path / "p.star")
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    with pytest.raises(KeyboardInterrupt):
        write_particles(Particles(Slow(), (Optics(3.0),), np.zeros(4, int)), tmp_path / "p.star")
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def test_groups_of_one_name_are_told_apart_in_the_file(tmp_path):
    particles = Particles(noise(2), (Optics(3.0), Optics(3.0, voltage=200.0)), np.array([0, 1]))
    write_particles(particles, tmp_path / "p.star")
    back = read_particles(tmp_path / "p.star")
    assert [o.name for o in back.optics] == ["opticsGroup1_1", "opticsGroup1_2"]
    assert [o.voltage for o in back.optics] == [300, 200]


def test_the_file_is_read_anew_after_it_was_corrected(make, star_31):
    """A learner repairs the file and tries again in the same session: the old text must not come back."""
    path = make(star_31("1@a.mrcs 1 2\n", ("rlnImageName", "rlnOpticsGroup")))
    with pytest.raises(InputError):
        read_particles(path)
    path.write_text(star_31("1@a.mrcs 1\n", ("rlnImageName", "rlnOpticsGroup")))
    assert len(read_particles(path)) == 1


# --- files that RELION 3.1 wrote (tests/data/relion) ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["projections", "shifted", "with_ctf", "particles"])
def test_relion_s_particles(name):
    """What relion_project and relion_refine wrote: numbers as they stand in the text, signs of shifts turned."""
    particles = read_particles(RELION / f"{name}.star")
    table = read_tables(RELION / f"{name}.star")["particles"]
    assert particles.pixel_size == 4.0 and particles.box == 32 and len(particles) == len(table)
    assert np.array_equal(particles.angles[:, 1], table["rlnAngleTilt"].astype(float))
    index = table["rlnImageName"].str.split("@").str[0].astype(int) - 1
    whole = ImageStack.open(RELION / f"{name}.mrcs")
    assert np.array_equal(particles.images[:], whole[index.to_numpy()])
    if name == "with_ctf":
        assert [o.voltage for o in particles.optics] == [300.0, 200.0]
        assert np.array_equal(particles.ctf.defocus_v, table["rlnDefocusV"].astype(float))
        assert np.array_equal(particles.ctf.b_factor, table["rlnCtfBfactor"].astype(float))


def test_relion_s_own_conversion_of_3_0_agrees():
    """relion_convert_star made style30_as_31.star of style30.star: both must be the same particles to us."""
    old, new = read_particles(RELION / "style30.star"), read_particles(RELION / "style30_as_31.star")
    assert old.optics == new.optics and np.array_equal(old.optics_group, new.optics_group)
    assert np.allclose(old.shifts, new.shifts, atol=1e-6) and np.abs(old.shifts).max() > 1
    assert np.array_equal(old.angles, new.angles)
    for name in vars(old.ctf):
        assert np.array_equal(getattr(old.ctf, name), getattr(new.ctf, name)), name
    assert list(old.extra) == list(new.extra) == ["rlnMicrographName"]


@pytest.mark.parametrize("name", ["class2d", "class3d"])
def test_relion_s_results(name):
    particles = read_particles(RELION / f"{name}_it001_data.star", images=False)
    table = read_tables(RELION / f"{name}_it001_data.star")["particles"]
    assert np.array_equal(particles.classes + 1, table["rlnClassNumber"].astype(int))
    assert np.array_equal(particles.shifts[:, 0], 0 - table["rlnOriginXAngst"].astype(float))
    assert "rlnMaxValueProbDistribution" in particles.extra
