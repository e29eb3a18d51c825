"""What users' files get wrong: one sentence each that names the file, the row or the value, and the way out."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.files.mrc import write_stack
from cryoedu.particles import read_particles


def noise(count, n=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, n, n)).astype(np.float32)


BASE = ("rlnImageName", "rlnOpticsGroup")


def refused(path, **options):
    """The sentence that a user reads instead of particles."""
    with pytest.raises(InputError) as caught:
        read_particles(path, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.count(": ") >= 1  # what is wrong: what to do
    assert caught.value.__suppress_context__ or caught.value.__context__ is None  # no library's traceback behind it
    return sentence


@pytest.mark.parametrize(("rows", "columns", "sentence"), [
    ("1@a.mrcs 1\n2@a.mrcs 4\n", BASE, "row 2 has rlnOpticsGroup 4, but table data_optics has only 1"),
    ("1@a.mrcs 1\n2@a.mrcs x\n", BASE, "row 2 has rlnOpticsGroup 'x', not a finite number"),
    ("1@a.mrcs 1.5\n", BASE, "row 1 has rlnOpticsGroup 1.5, which is not a whole number"),
    ("1@a.mrcs 1\n5@a.mrcs 1\n", BASE, "row 2 asks for image 5 of {}/a.mrcs, which holds only 4"),
    ("1@a.mrcs 1\n0@a.mrcs 1\n", BASE, "row 2: rlnImageName '0@a.mrcs' is not the name of an image"),
    ("2@a.mrcs 1 10\n1@a.mrcs 1 10\n2@a.mrcs 1 10\n", (*BASE, "rlnAnglePsi"),
     "rows 1 and 3 are the same image, 2@a.mrcs, at the same pose: remove one"),
    ("a.mrcs 1\n", BASE, "row 1 names {}/a.mrcs as a whole, which holds 4 sections"),
    ("1@a.mrcs 1 a\n", (*BASE, "rlnA", "rlnA"), "table data_particles has two columns rlnA"),
    ("2@a.mrcs 1\n1@a.mrcs 1\n2@a.mrcs 1\n", BASE, "rows 1 and 3 are the same image, 2@a.mrcs: remove one"),
    ("2@a.mrcs 1\n2@./a.mrcs 1\n", BASE, "rows 1 and 2 are the same image"),
    ("1@a.mrcs 1\n1@gone.mrcs 1\n", BASE, "row 2 names the stack gone.mrcs, which is neither in {}"),
    ("1@a.mrcs 1\n", ("rlnOther", "rlnOpticsGroup"), "has no column rlnImageName"),
    ("", BASE, "holds no particles: its table has no rows"),
    ("1@a.mrcs 1 2 3\n2@a.mrcs\n", (*BASE, "rlnA", "rlnB"), "row 2 of table data_particles has no value for rlnOptics"),
    ("1@a.mrcs 1 2 3\n2@a.mrcs 1 2\n", (*BASE, "rlnA", "rlnB"), "row 2 of table data_particles has no value for rlnB"),
    ("1@a.mrcs 1 2 a\n2@a.mrcs 1 2\n", (*BASE, "rlnA", "rlnB"), "row 2 of table data_particles has no value for rlnB"),
    ("1@a.mrcs 1\n2@a.mrcs 1 5\n", BASE, "row 2 of table data_particles has 3 values for 2 columns"),
    ("1@a.mrcs\n", BASE, "row 1 of table data_particles has no value for rlnOpticsGroup"),
    ("1@a.mrcs 1 5\n", (*BASE, "rlnDefocusV"), "has rlnDefocusV, but no column rlnDefocusU"),
    ("1@a.mrcs 1 5 5\n2@a.mrcs 1 5 6\n", (*BASE, "rlnDefocusU", "rlnDefocusV"), "row 2 is astigmatic"),
    ("1@a.mrcs 1 nan\n", (*BASE, "rlnDefocusU"), "row 1 has rlnDefocusU 'nan', not a finite number"),
    ("1@a.mrcs 1 inf\n", (*BASE, "rlnAnglePsi"), "row 1 has rlnAnglePsi 'inf', not a finite number"),
    ("1@a.mrcs 1 1\n2@a.mrcs 1 3\n", (*BASE, "rlnRandomSubset"), "row 2 has rlnRandomSubset 3"),
])
def test_rows_and_columns(tmp_path, rows, columns, sentence, make, star_31):
    path = make(star_31(rows, columns))
    found = refused(path)
    assert found.startswith(str(path)) and sentence.format(tmp_path) in found


@pytest.mark.parametrize(("optics", "columns", "sentence"), [
    ("one 1 300 2.7 0.1\n", ("rlnOpticsGroupName", "rlnOpticsGroup", "rlnVoltage", "rlnSphericalAberration",
                             "rlnAmplitudeContrast"), "table data_optics has no column rlnImagePixelSize"),
    ("1 3.0 300 2.7\n", ("rlnOpticsGroup", "rlnImagePixelSize", "rlnVoltage", "rlnSphericalAberration"),
     "has no column rlnAmplitudeContrast, which the CTF of its particles needs"),
    ("3.0\n", ("rlnImagePixelSize",), "table data_optics has no column rlnOpticsGroup"),
    ("1 3.0\n1 3.0\n", ("rlnOpticsGroup", "rlnImagePixelSize"), "has two groups of rlnOpticsGroup 1"),
    ("1 -3.0\n", ("rlnOpticsGroup", "rlnImagePixelSize"), "has rlnImagePixelSize -3, but it must be positive"),
    ("1 3.0 3\n", ("rlnOpticsGroup", "rlnImagePixelSize", "rlnImageDimensionality"), "holds 3D particles"),
    ("1 3.0 1\n", ("rlnOpticsGroup", "rlnImagePixelSize", "rlnTomoSubTomosAre2DStacks"), "particles of tilt series"),
    ("1 3.0 5 10000\n", ("rlnOpticsGroup", "rlnImagePixelSize", "rlnDetectorPixelSize", "rlnMagnification"),
     "row 1 has a pixel size of 3 Å by rlnImagePixelSize, and of 5 Å by rlnDetectorPixelSize / rlnMagnification"),
    ("1 3.0 6\n", ("rlnOpticsGroup", "rlnImagePixelSize", "rlnImageSize"), "says rlnImageSize 6"),
    ("1 3.0 0 2.7 0.1\n", ("rlnOpticsGroup", "rlnImagePixelSize", "rlnVoltage", "rlnSphericalAberration",
                           "rlnAmplitudeContrast"), "has rlnVoltage 0: give it in kV"),
])
def test_optics(optics, columns, sentence, make, star_31):
    with_ctf = "Contrast" in sentence or "Voltage" in sentence
    path = make(star_31(optics=optics, optics_columns=columns) if with_ctf
                else star_31("1@a.mrcs 1\n", BASE, optics, columns))
    found = refused(path)
    assert str(path) in found and sentence in found


def test_particles_without_a_group_among_several(make, star_31):
    path = make(star_31("1@a.mrcs\n", BASE[:1], "1 3\n2 3\n", ("rlnOpticsGroup", "rlnImagePixelSize")))
    assert "table data_particles has no column rlnOpticsGroup, but there are 2 optics groups" in refused(path)
    path = make(star_31("1@a.mrcs\n", BASE[:1], "8 3\n", ("rlnOpticsGroup", "rlnImagePixelSize")))
    assert read_particles(path).optics_group.tolist() == [0]  # with one, there is no doubt


def test_files_that_are_no_star_files(tmp_path):
    path = tmp_path / "p.star"
    assert "there is no file" in refused(path)
    assert "cannot be read (is a directory)" in refused(tmp_path)
    for content, sentence in ((b"", "is empty"), (b"  \n\n", "is empty"), (b"hello world\n", "is not a STAR file"),
                              (b"data_particles\n", "has no column rlnImageName"),
                              (b"data_\nloop_\n", "has no column rlnImageName"),
                              (b"data_general\n_rlnFoo 1 2 3\n", "has a line '_rlnFoo 1 2 3', which is no row"),
                              (b"data_general\n_rlnFoo 1\n", "has no column rlnImageName"),
                              (b"data_a\nloop_\n_a\n# c\ndata_b\nloop_\n_rlnImageName\n1@a\n", "names the stack a,"),
                              (bytes(range(256)) * 9, "is not a STAR file, but a binary one")):
        path.write_bytes(content)
        assert sentence in refused(path), content


def test_a_file_cut_short_anywhere_is_refused_or_shorter_by_whole_rows(make, star_31):
    """A copy that broke off: never a traceback, never a particle with half of its columns."""
    columns = (*BASE, "rlnDefocusU", "rlnAnglePsi", "rlnMicrographName", "rlnNormCorrection")
    rows = [f"{i + 1:06d}@a.mrcs 1 10000.5 {30 + i}.25 mic{i}.mrc 0.75" for i in range(4)]
    text = star_31("\n".join(rows) + "\n", columns)
    for end in range(0, len(text), 7):
        path = make(text[:end])
        try:
            particles = read_particles(path)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert 1 <= len(particles) <= 4 and len(particles.extra["rlnNormCorrection"]) == len(particles)


def test_a_pixel_size_on_which_header_and_star_file_disagree(tmp_path, make, star_31):
    path = make(star_31())
    for pixel_size in (3.0, 3.02, 2.98, 3.05, 1.5, 1.0, 0.0):
        write_stack(noise(4), tmp_path / "a.mrcs", pixel_size)
        if pixel_size not in (3.05, 1.5):
            assert read_particles(path).pixel_size == 3.0  # the STAR file's
        else:
            assert f"has a pixel size of {pixel_size} Å in its header, but {path} says 3 Å for one" in refused(path)


def test_stacks_that_are_damaged(tmp_path, make, star_31):
    path = make(star_31())
    whole = (tmp_path / "a.mrcs").read_bytes()
    for content, sentence in ((whole[:-1], "a.mrcs is truncated"), (b"", "a.mrcs is empty"),
                              (b"no stack" * 999, "a.mrcs is not an MRC file")):
        (tmp_path / "a.mrcs").write_bytes(content)
        assert sentence in refused(path)
    for shape, sentence in (((4, 5, 5), "an even box is needed"), ((4, 4, 6), "square ones are needed")):
        with mrcfile.new(tmp_path / "a.mrcs", overwrite=True) as mrc:
            mrc.set_data(np.ones(shape, dtype=np.float32))
        path.write_text(star_31("1@a.mrcs\n", BASE[:1], "1 3\n", ("rlnOpticsGroup", "rlnImagePixelSize")))
        assert sentence in refused(path)


def test_boxes_that_differ_say_how_to_go_on(make, star_31):
    path = make(star_31("1@a.mrcs 1\n1@b.mrcs 1\n", BASE, "1 3\n", BASE[1:] + ("rlnImagePixelSize",)),
                a=noise(2), b=noise(2, 6))
    assert "resample them to one pixel size" in refused(path)
    assert "b.mrcs holds images of 6 pixels" in refused(path, resample_to=3.0)  # one group, two boxes


def test_several_pixel_sizes_are_never_ignored(tmp_path, make, star_31):
    optics = ("rlnOpticsGroup", "rlnImagePixelSize")
    path = make(star_31("1@a.mrcs 1\n1@b.mrcs 2\n", BASE, "1 3\n2 4\n", optics), a=noise(2), b=noise(2))
    write_stack(noise(2), tmp_path / "b.mrcs", 4.0)
    with pytest.raises(InputError, match="resample the particles to a common pixel size"):
        _ = read_particles(path).pixel_size
    assert read_particles(path, resample_to=4.0).pixel_size == 4.0
