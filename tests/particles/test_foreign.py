"""Files as others write them: what was read wrongly without a word, or refused although it is right.

The right value is RELION's own reading where it has one (its source: metadata_table.cpp, strings.cpp), else the
format's definition.
"""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.files.mrc import split_name, write_stack
from cryoedu.files.star import as_table, read_tables, write_tables
from cryoedu.inference.gold import halves_of
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.inference.scales import micrograph_groups
from cryoedu.inference.start import random_folds
from cryoedu.microscope import read_map
from cryoedu.particles import ImageStack, read_particles, write_particles
from cryoedu.particles.normalisation import contrast, normalised
from cryoedu.particles.optics import unapplied
from cryoedu.particles.particles import Particles

BASE = ("rlnImageName", "rlnOpticsGroup")
NAMES = ["grid#1.mrc", "grid#2.mrc", "O'Brien/a.mrc", "001", "1e5", "data_3.mrc", "_x.mrc", "$x", "two words", "",
         "\udce9t\udce9.mrc"]  # the last one in Latin-1


def test_names_stay_what_they_are(tmp_path):
    """Two micrographs that became one were one noise group; 001 that becomes 1 is a file that nobody finds."""
    table = as_table({"rlnMicrographName": NAMES, "rlnOther": np.arange(len(NAMES))})
    write_tables({"particles": table}, tmp_path / "a.star")
    once = read_tables(tmp_path / "a.star")["particles"]
    assert once["rlnMicrographName"].tolist() == NAMES
    write_tables({"particles": once}, tmp_path / "b.star")
    assert (tmp_path / "a.star").read_bytes() == (tmp_path / "b.star").read_bytes()


def test_micrographs_that_differ_behind_a_sharp_are_two_groups(make, star_31):
    path = make(star_31("1@a.mrcs 1 grid#1.mrc\n2@a.mrcs 1 grid#2.mrc\n", (*BASE, "rlnMicrographName")))
    assert micrograph_groups(read_particles(path))[0] == ["grid#1.mrc", "grid#2.mrc"]


def test_columns_that_nobody_asks_for_are_written_back_as_they_were(tmp_path, make, star_31):
    path = make(star_31("1@a.mrcs 1 001 1.500000\n2@a.mrcs 1 1e5 nan\n", (*BASE, "rlnTomoName", "rlnNormCorrection")))
    write_particles(read_particles(path), tmp_path / "q.star")
    table = read_tables(tmp_path / "q.star")["particles"]
    assert table["rlnTomoName"].tolist() == ["001", "1e5"]
    assert table["rlnNormCorrection"].tolist() == ["1.500000", "nan"]


@pytest.mark.parametrize("before", ["\ufeff", "\n\n  \n", "# a comment\n\n"])
def test_what_stands_before_the_first_table_is_passed_over(make, star_31, before):
    assert len(read_particles(make(before + star_31()))) == 2


def test_a_comment_in_another_encoding_is_a_comment(make, star_31):
    path = make(star_31())
    path.write_bytes("# Mikroskop in Zürich\n".encode("latin-1") + path.read_bytes())
    assert len(read_particles(path)) == 2


def test_a_stack_that_is_named_as_a_whole_and_holds_one_image_is_that_image(make, star_31):
    path = make(star_31("a.mrcs 1\n", BASE), a=np.ones((1, 4, 4), np.float32))
    assert len(read_particles(path)) == 1


@pytest.mark.parametrize("suffix", [":mrcs", ":mrc", ":st"])
def test_relion_s_suffix_belongs_to_no_file_name(suffix):
    assert split_name(f"3@p.mrc{suffix}") == (3, "p.mrc") and split_name(f"p.mrc{suffix}") == (None, "p.mrc")


def expanded(make, star_31, subset=None):
    """Two images at two poses each, as relion_particle_symmetry_expand writes them."""
    columns = (*BASE, "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", *(["rlnRandomSubset"] if subset else []))
    rows = [f"{i}@a.mrcs 1 {rot} 30 10" for i in (1, 2) for rot in (20, 200)]
    rows = [f"{row} {half}" for row, half in zip(rows, subset)] if subset else rows
    return read_particles(make(star_31("\n".join(rows) + "\n", columns)))


def test_copies_of_an_image_at_other_poses_stay_in_one_half(make, star_31):
    """Else both halves hold the same noise, and agree on it up to Nyquist."""
    particles = expanded(make, star_31)
    for seed in range(5):
        assert sorted(tuple(rows.tolist()) for rows in halves_of(particles, seed)) == [(0, 1), (2, 3)]
        assert sorted(len(rows) for rows in random_folds(particles, 2, [seed])) == [2, 2]
    assert len(halves_of(expanded(make, star_31, [1, 1, 2, 2]), 0)[0]) == 2
    with pytest.raises(InputError, match="row 2 is in another half"):
        halves_of(expanded(make, star_31, [1, 2, 1, 2]), 0)


def test_resampled_copies_stay_together_too(make, star_31):
    columns = (*BASE, "rlnAnglePsi")
    rows = "".join(f"{i}@a.mrcs 1 {psi}\n" for i in (1, 2) for psi in (20, 200))
    path = make(star_31(rows, columns, optics="one 1 300.0 2.7 0.1 3.0 12 2\n"), a=np.ones((4, 12, 12), np.float32))
    particles = read_particles(path, resample_to=6.0)
    assert sorted(tuple(rows.tolist()) for rows in random_folds(particles, 2, [1])) == [(0, 1), (2, 3)]


def test_folds_of_particles_without_copies_are_what_they_were():
    """Old runs go on with the folds that they began with."""
    particles = Particles.of(np.ones((11, 4, 4)), 1.0)
    order = np.random.default_rng([3, 1]).permutation(11)
    for found, part in zip(random_folds(particles, 3, [3, 1]), np.array_split(order, 3), strict=True):
        assert found.tolist() == sorted(part)


@pytest.mark.parametrize(("numbers", "expected"), [("0 0", None), ("-999 -999", None), ("2 0", [1, -1]),
                                                   ("-999 1", [-1, 0])])
def test_a_class_that_is_not_known_yet_is_no_fault_until_it_is_asked_for(tmp_path, make, star_31, numbers, expected):
    rows = "".join(f"{i}@a.mrcs 1 {k}\n" for i, k in enumerate(numbers.split(), start=1))
    particles = read_particles(make(star_31(rows, (*BASE, "rlnClassNumber"))))
    assert (None if particles.classes is None else particles.classes.tolist()) == expected
    with pytest.raises(InputError, match=r"no classes|1 particles have no class yet"):
        particles.known_classes()
    write_particles(particles, tmp_path / "q.star")
    again = read_particles(tmp_path / "q.star")
    assert (None if again.classes is None else again.classes.tolist()) == expected


def test_one_view_of_all_particles_makes_no_map(make, star_31):
    """Class2D writes psi only; a map from it was wrong, and looked like one."""
    path = make(star_31("1@a.mrcs 1 10\n2@a.mrcs 1 50\n", (*BASE, "rlnAnglePsi"), "one 1 300.0 2.7 0.1 3.0 12 2\n"),
                a=np.random.default_rng(1).normal(size=(2, 12, 12)))
    with pytest.raises(InputError, match="all 2 particles have one and the same view"):
        reconstruct(read_particles(path), progress=False)
    assert reconstruct(read_particles(path), ndim=2, progress=False).ndim == 2


def test_the_user_s_word_on_the_pixel_size_holds(make, star_31):
    """Without any, seven public files could not be read at all; where files contradict themselves, it decides."""
    none = make("data_\n\nloop_\n_rlnImageName\n1@a.mrcs\n", a=np.ones((1, 4, 4), np.float32))
    write_stack(np.ones((1, 4, 4), np.float32), none.parent / "a.mrcs", 0.0)
    with pytest.raises(InputError, match="--angpix"):
        read_particles(none)
    assert read_particles(none, pixel_size=1.7).pixel_size == 1.7
    header = make(star_31(optics="one 1 300.0 2.7 0.1 2.0 4 2\n"))  # the stack's header says 3
    with pytest.raises(InputError, match="--angpix"):
        read_particles(header)
    assert read_particles(header, pixel_size=2.0).pixel_size == 2.0
    columns = ("rlnOpticsGroupName", "rlnOpticsGroup", "rlnImagePixelSize", "rlnDetectorPixelSize", "rlnMagnification")
    agreed = make(star_31("1@a.mrcs 1\n", BASE, "one 1 3.0 5 16700\n", columns))
    assert read_particles(agreed).pixel_size == 3.0
    with pytest.raises(InputError, match="0 Å is none"):
        read_particles(agreed, pixel_size=0.0)


def mode_0(path, *, imod=None, low=0, high=255):
    """A stack of one image of bytes, with IMOD's flags or with the range of its values in the header."""
    write_stack(np.zeros((1, 4, 4), np.float32), path, 3.0)
    raw = bytearray(path.read_bytes()[:1024])
    raw[12:16] = (0).to_bytes(4, "little")
    raw[76:84] = np.array([low, high], "<f4").tobytes()
    if imod is not None:
        raw[152:160] = np.array([1146047817, imod], "<i4").tobytes()
    path.write_bytes(bytes(raw) + bytes([200, 1] * 8))


@pytest.mark.parametrize(("options", "expected"), [
    ({"imod": 0}, 200), ({"imod": 1}, -56), ({"imod": 1, "low": -56, "high": 1}, -56), ({"low": 1, "high": 200}, 200),
    ({"low": -56, "high": 1}, -56), ({"low": 0, "high": 127}, -56)])
def test_bytes_have_the_sign_that_the_header_says(tmp_path, options, expected):
    """Read as signed, what is brightest became darkest, and the map negative. IMOD's definition of the format: with its
    stamp, bit 0 of the flags means signed."""
    mode_0(tmp_path / "a.mrc", **options)
    assert ImageStack.open(tmp_path / "a.mrc")[0][0, 0] == expected


def test_as_many_images_as_pixels_are_no_map(tmp_path):
    """ISPG 0 and MZ 1 say so (Cheng et al. 2015); by shape alone the stack was read as a map."""
    write_stack(np.zeros((4, 4, 4), np.float32), tmp_path / "a.mrc", 3.0)
    with pytest.raises(InputError, match=r"holds 4 images.* a name in \.map"):
        read_map(tmp_path / "a.mrc")
    (tmp_path / "a.mrc").rename(tmp_path / "a.map")  # the way out for a map of a program that does not know better
    assert read_map(tmp_path / "a.map").ndim == 3


@pytest.mark.parametrize("sign", [1, -1])
def test_dark_particles_are_told_from_bright_ones(sign):
    rng, axis = np.random.default_rng(1), np.arange(32) - 16
    disc = np.hypot(*np.meshgrid(axis, axis)) < 9
    particles = Particles.of(sign * 0.3 * disc + rng.normal(size=(100, 32, 32)), 3.0)
    assert sign * contrast(particles) > 20
    assert sign * contrast(normalised(particles, invert=True)) < -20
    assert abs(contrast(Particles.of(rng.normal(size=(100, 32, 32)), 3.0))) < 5


def test_a_beam_tilt_that_is_not_taken_into_account_is_told(make, star_31):
    """It was read, written back and ignored, without a word."""
    for value, told in (("0.5", ["rlnBeamTiltX"]), ("0.000", [])):
        each = read_particles(make(star_31(f"1@a.mrcs 1 {value}\n", (*BASE, "rlnBeamTiltX"))))
        assert unapplied(each) == told  # that of single particles, beside optics groups


ABERRATED = ("rlnOpticsGroupName", "rlnOpticsGroup", "rlnImagePixelSize", "rlnBeamTiltX", "rlnBeamTiltY",
             "rlnOddZernike", "rlnEvenZernike", "rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")


def test_aberrations_are_read_and_written(tmp_path, make, star_31):
    path = make(star_31("1@a.mrcs 1\n", BASE, "one 1 3.0 0.25 -0.5 [0,0.1,-2e-3] [] 1.01 0 0.02 1\n", ABERRATED))
    (optics,) = read_particles(path).optics
    assert optics.beam_tilt == (0.25, -0.5) and optics.odd_zernike == (0, 0.1, -2e-3) and optics.even_zernike == ()
    assert optics.magnification == ((1.01, 0), (0.02, 1))
    write_particles(read_particles(path), tmp_path / "q.star")
    assert read_particles(tmp_path / "q.star").optics == (optics,)
    with pytest.raises(InputError, match="no list of numbers"):
        read_particles(make(star_31("1@a.mrcs 1\n", BASE, "one 1 3.0 0 0 [0,x] [] 1 0 0 1\n", ABERRATED)))


def test_beam_tilt_of_each_particle_makes_optics_groups(make):
    """RELION 3.0 writes it so."""
    columns = ["rlnImageName", "rlnImagePixelSize", "rlnBeamTiltX", "rlnBeamTiltY"]
    head = "data_\n\nloop_\n" + "".join(f"_{c}\n" for c in columns)
    particles = read_particles(make(head + "1@a.mrcs 3 0.1 0\n2@a.mrcs 3 0.2 0\n3@a.mrcs 3 0.1 0\n"))
    assert [o.beam_tilt for o in particles.optics] == [(0.1, 0), (0.2, 0)]
    assert particles.optics_group.tolist() == [0, 1, 0]


@pytest.mark.parametrize("magic", [b"II*\0", b"MM\0*", b"II+\0"])
def test_movies_and_micrographs_in_tiff_are_refused_kindly(tmp_path, magic):
    (tmp_path / "movie.eer").write_bytes(magic + bytes(2000))
    with pytest.raises(InputError, match="is a TIFF or EER file"):
        read_map(tmp_path / "movie.eer")


def test_a_stack_that_may_not_be_read_is_told_in_a_sentence(monkeypatch, make, star_31):
    """Of another user, or in a folder that may not be entered: a traceback until now."""
    import builtins

    path, whole = make(star_31()), builtins.open

    def forbidden(file, *rest, **options):
        if str(file).endswith(".mrcs"):
            raise PermissionError(13, "Permission denied", str(file))
        return whole(file, *rest, **options)

    monkeypatch.setattr(builtins, "open", forbidden)
    with pytest.raises(InputError, match=r"a\.mrcs.*permission"):
        read_particles(path)
