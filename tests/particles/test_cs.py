"""cryoSPARC's tables, made by hand: what stands in them against what RELION's columns mean, as pyem writes these
(Asarnow, Palovcak & Cheng 2019, doi:10.5281/zenodo.3576630)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoedu.errors import InputError
from cryoedu.files.cs import read_columns
from cryoedu.files.mrc import write_stack
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles import read_particles, write_particles
from cryoedu.particles.optics import unapplied
from cryoedu.validation.fsc import fsc

BLOB = [("uid", "<u8"), ("blob/path", "S40"), ("blob/idx", "<u4"), ("blob/shape", "<u4", (2,)), ("blob/psize_A", "<f4")]
CTF = [("ctf/exp_group_id", "<u4"), ("ctf/accel_kv", "<f4"), ("ctf/cs_mm", "<f4"), ("ctf/amp_contrast", "<f4"),
       ("ctf/df1_A", "<f4"), ("ctf/df2_A", "<f4"), ("ctf/df_angle_rad", "<f4"), ("ctf/phase_shift_rad", "<f4"),
       ("ctf/tilt_A", "<f4", (2,)), ("ctf/trefoil_A", "<f4", (2,))]
POSES = [("alignments3D/pose", "<f4", (3,)), ("alignments3D/shift", "<f4", (2,)), ("alignments3D/psize_A", "<f4"),
         ("alignments3D/split", "<u4"), ("alignments3D/class", "<u4")]


def table(kinds, count=3, **values):
    """A structured array; fields are given with _ in place of the first /."""
    out = np.zeros(count, dtype=kinds)
    out["uid"] = np.arange(100, 100 + count)
    for name, value in values.items():
        out[name.replace("__", "/")] = value
    return out


def save(path, array):
    with open(path, "wb") as file:
        np.save(file, array)
    return path


@pytest.fixture
def job(tmp_path):
    """A project with a stack of four images of 8 pixels, and a job folder."""
    (tmp_path / "J1").mkdir()
    write_stack(np.random.default_rng(1).normal(size=(4, 8, 8)), tmp_path / "J1" / "a.mrc", 2.0)
    return tmp_path / "J1"


def blobs(kinds=(), count=3, **values):
    return table([*BLOB, *kinds], count, **{"blob__path": b">J1/a.mrc", "blob__idx": np.arange(count)[::-1],
                                            "blob__shape": 8, "blob__psize_A": 2.0, **values})


def test_every_field_means_what_relion_s_column_means(job):
    pose = np.array([[0.3, -1.2, 0.7], [0, 0, np.radians(40)], [2.0, 1.0, -0.5]])
    path = save(job / "particles.cs", blobs(
        CTF + POSES, ctf__accel_kv=300, ctf__cs_mm=2.7, ctf__amp_contrast=0.07, ctf__df1_A=[9e3, 1e4, 1.1e4],
        ctf__df2_A=8e3, ctf__df_angle_rad=np.radians(25), ctf__phase_shift_rad=np.radians(90),
        ctf__exp_group_id=[4, 4, 7], ctf__tilt_A=[[2.7e3, -5.4e3]] * 3, alignments3D__pose=pose,
        alignments3D__shift=[[1, -2], [0, 0], [0.5, 3]], alignments3D__psize_A=4.0, alignments3D__split=[0, 1, 1],
        alignments3D__class=[0, 2, 1]))
    particles = read_particles(path)
    assert particles.images.index_in_file.tolist() == [2, 1, 0] and particles.pixel_size == 2.0
    np.testing.assert_allclose(euler_to_matrix(particles.angles), Rotation.from_rotvec(-pose).as_matrix(), atol=1e-6)
    assert particles.angles[1] == pytest.approx([0, 0, 40], abs=1e-4)  # in the plane it is psi
    np.testing.assert_allclose(particles.shifts, [[-4, 8], [0, 0], [-2, -12]])  # Å; minus the origin
    assert particles.subset.tolist() == [1, 2, 2] and particles.classes.tolist() == [0, 2, 1]
    assert particles.optics_group.tolist() == [0, 0, 1] and len(particles.optics) == 2
    optics = particles.optics[0]
    assert (optics.voltage, optics.spherical_aberration, optics.amplitude_contrast) == (300, 2.7, 0.07)
    assert optics.beam_tilt == pytest.approx((0.1, -0.2), rel=1e-4)  # mrad
    ctf = particles.ctf
    np.testing.assert_allclose(ctf.defocus_u, [9e3, 1e4, 1.1e4])
    np.testing.assert_allclose([ctf.astigmatism_angle[0], ctf.phase_shift[0], ctf.scale[0]], [25, 90, 1], rtol=1e-5)
    assert particles.extra["cryosparcUid"].tolist() == ["100", "101", "102"]


def test_a_star_file_is_made_of_it(job):
    particles = read_particles(save(job / "particles.cs", blobs(POSES, alignments3D__pose=[[0.1, 0.2, 0.3]] * 3)))
    write_particles(particles, job / "p.star")
    again = read_particles(job / "p.star")
    np.testing.assert_array_equal(again.images[:], particles.images[:])
    np.testing.assert_array_equal(again.angles, particles.angles)


def test_what_a_job_hands_on_is_found_beside_it(job):
    """A refinement writes poses; where the images are stands in the passthrough file, in another order."""
    own = table([BLOB[0], *POSES], alignments3D__pose=[[0, 0, 0.1], [0, 0, 0.2], [0, 0, 0.3]])
    handed = blobs(CTF, 4, ctf__df1_A=[1, 2, 3, 4])[[3, 1, 0, 2]]
    path = save(job / "J9_particles.cs", own)
    with pytest.raises(InputError, match="blob/path"):
        read_particles(path)
    save(job / "J9_passthrough_particles.cs", handed)
    found = read_particles(path)
    np.testing.assert_allclose(found.ctf.defocus_u, [1, 2, 3])
    assert found.images.index_in_file.tolist() == [3, 2, 1]
    (job / "J2_passthrough_particles.cs").write_bytes(b"broken")  # of another job
    assert len(read_particles(path)) == 3
    other = save(job / "other.cs", handed[:2])
    with pytest.raises(InputError, match=r"other.cs has no row for uid 100, which is row 1"):
        read_columns(path, [other])


def test_of_several_classes_the_most_probable_counts(job):
    kinds = [(f"alignments_class_{k}/{name}", "<f4", shape) for k in (0, 1, 10)
             for name, shape in (("pose", (3,)), ("shift", (2,)), ("class_posterior", ()))]
    path = save(job / "classes.cs", blobs(
        kinds, alignments_class_0__class_posterior=[0.8, 0.1, 0.2], alignments_class_1__class_posterior=[0.1, 0.8, 0.1],
        alignments_class_10__class_posterior=[0.1, 0.1, 0.7], alignments_class_10__shift=[[0, 0], [0, 0], [1, 0]],
        alignments_class_10__pose=[[0, 0, 0.5]] * 3))
    particles = read_particles(path)
    assert particles.classes.tolist() == [0, 1, 2]
    assert particles.angles[2, 2] == pytest.approx(np.degrees(0.5), rel=1e-5)
    assert particles.shifts[2].tolist() == [-2, 0]  # pixels of the images, for want of another size


def test_a_2d_classification_knows_the_angle_in_the_plane(job):
    kinds = [("alignments2D/pose", "<f4"), ("alignments2D/shift", "<f4", (2,)), ("alignments2D/class", "<u4")]
    path = save(job / "2d.cs", blobs(kinds, alignments2D__pose=[0.1, 0.2, 0.3], alignments2D__class=[5, 0, 1]))
    particles = read_particles(path)
    np.testing.assert_allclose(particles.angles[:, 2], np.degrees([0.1, 0.2, 0.3]), rtol=1e-5)
    assert particles.classes.tolist() == [5, 0, 1]
    with pytest.raises(InputError, match="one and the same view"):
        particles.known_views()


def test_a_map_comes_out_of_it(job):
    """The whole way: images and poses, as cryoSPARC has them, give the specimen back and not its mirror image."""
    rng = np.random.default_rng(3)
    z, y, x = np.meshgrid(*[np.arange(16) - 8] * 3, indexing="ij")
    density = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 3) for a, b, c in rng.uniform(-4, 4, (6, 3)))
    made = simulate(Specimen(density, 2.0), 150, seed=1, snr=None, shift_sigma=2.0, progress=False).truth
    write_stack(made.images, job / "a.mrc", 2.0)
    pose = -Rotation.from_matrix(euler_to_matrix(made.angles)).as_rotvec()
    path = save(job / "p.cs", blobs(POSES, 150, blob__idx=np.arange(150), blob__shape=16, alignments3D__pose=pose,
                                    alignments3D__shift=-made.shifts / 2.0, alignments3D__psize_A=2.0))
    found = reconstruct(read_particles(path), progress=False, array_library="numpy").density
    assert fsc(found, density)[1:6].min() > 0.98


@pytest.mark.parametrize(("content", "words"), [
    (b"", "cannot be read as a .cs file"), (b"data_\n", "cannot be read as a .cs file"),
    (np.zeros(3), "no table with named fields"), (table(BLOB[:1], 0), "holds no rows"),
    (np.array([{"a": 1}], dtype=object), "cannot be read as a .cs file"), (table(BLOB[:1]), "has no field blob/path"),
    (blobs()[["uid", "blob/path", "blob/idx"]], "has no field blob/psize_A: say with --angpix"),
    (blobs(blob__psize_A=0), "pixel size of 0"),
    (blobs(POSES, alignments3D__pose=[[0, 0, 0], [np.nan, 0, 0], [0, 0, 0]]), "row 2 has no finite alignment"),
    (blobs(CTF, ctf__df1_A=[1e4, 1e4, np.inf]), "row 3 has no finite defocus u"),
    (blobs(blob__idx=[0, 1, 9]), "row 3 asks for image 10"),
    (blobs(blob__idx=0), "rows 1 and 2 are the same image"), (blobs(blob__path=b">J7/gone.mrc"), "names the stack")])
def test_bad_tables_are_told_in_a_sentence(job, content, words):
    path = job / "p.cs"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save(path, content)
    with pytest.raises(InputError, match=words):
        read_particles(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_particles(tmp_path / "p.cs")


def test_aberrations_that_are_ignored_are_told(job):
    assert unapplied(read_particles(save(job / "p.cs", blobs(CTF, ctf__cs_mm=2.7)))) == []
    particles = read_particles(save(job / "p.cs", blobs(CTF, ctf__trefoil_A=5.0, ctf__cs_mm=2.7)))
    assert unapplied(particles) == ["cryosparcTrefoil"] and particles.extra["cryosparcTrefoil"][0] == "5.0,5.0"
