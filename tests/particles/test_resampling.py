"""Data of two microscopes in one refinement: pixel sizes are brought together, never mixed in silence."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.files.mrc import write_stack
from cryoedu.geometry.fourier import resize
from cryoedu.particles import Optics, Particles, read_particles, resample, write_particles
from cryoedu.particles.resampling import ResampledImages, as_on_disk, interpolation_matrix


def blob(n, pixel_size, x=9.0, y=-5.0, sigma=8.0):
    """A Gaussian (n, n) at x, y Å from the centre: the same physical object for every pixel size."""
    axis = (np.arange(n) - n // 2) * pixel_size
    image = np.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * sigma**2))
    return image.astype(np.float32)


@pytest.mark.parametrize(("n", "p", "q"), [(64, 1.5, 3.0), (64, 2.0, 2.9), (48, 2.6, 2.7), (64, 2.0, 2.0),
                                           (50, 3.0, 3.3)])
def test_an_object_stays_where_and_what_it_is(n, p, q):
    """A shift of the centre or of the scale by a fraction of a pixel would blur every map made of the images."""
    images = ResampledImages([blob(n, p)[None]], np.zeros(1, int), np.zeros(1, int), [p], q)
    box = images.shape[1]
    assert box % 2 == 0 and n * p - 2 * q < box * q <= n * p * (1 + 1e-6)
    assert np.abs(images[0] - blob(box, q)).max() < 2e-3
    assert images[0].dtype == np.float32


def test_it_is_fourier_cropping_where_that_is_exact():
    images = np.random.default_rng(0).normal(size=(3, 24, 24)).astype(np.float32)
    found = ResampledImages([images], np.zeros(3, int), np.arange(3), [2.0], 3.0)
    assert found.shape == (3, 16, 16)
    assert np.allclose(found[:], resize(images.astype(float), 16), atol=1e-6)
    assert np.allclose(found[[2, 0]], found[:][[2, 0]]) and np.allclose(found[-1], found[:][2])


def test_white_noise_keeps_its_spectrum():
    """Fourier cropping averages pixels: the variance falls with their number, and nothing folds back."""
    noise = np.random.default_rng(1).normal(size=(200, 32, 32)).astype(np.float32)
    found = ResampledImages([noise], np.zeros(200, int), np.arange(200), [1.0], 1.6)[:]
    kept = (2 * 9 + 1) ** 2 / 32**2  # |k| < 32 / 1.6 / 2 = 10 on both axes
    assert found.var() == pytest.approx(kept, rel=0.02)


def test_a_matrix_that_changes_nothing():
    matrix = interpolation_matrix(8, 8, 1.0)
    assert np.allclose(matrix.sum(axis=1), 1, atol=1e-6)  # grey values stay
    x = np.cos(2 * np.pi * 3 * np.arange(8) / 8)
    assert np.allclose(matrix @ x, x, atol=1e-6)


def two_groups():
    images = np.concatenate([blob(48, 2.0)[None]] * 2 + [blob(48, 3.0)[None]])
    return Particles(images, (Optics(2.0), Optics(3.0, voltage=200.0)), np.array([0, 0, 1]),
                     shifts=np.array([[9.0, -5.0]] * 3))


def test_groups_come_to_the_coarsest_pixel_size(tmp_path):
    particles = two_groups()
    with pytest.raises(InputError, match="resample the particles"):
        _ = particles.pixel_size
    common = resample(particles)
    assert common.pixel_size == 3.0 and common.box == 32 and common.optics[1].voltage == 200.0
    assert np.abs(common.images[:] - blob(32, 3.0)).max() < 2e-3
    assert np.array_equal(common.shifts, particles.shifts)  # Å stay Å
    write_particles(common, tmp_path / "p.star")
    assert np.array_equal(read_particles(tmp_path / "p.star").images[:], common.images[:])
    assert resample(particles, 4.0).pixel_size == 4.0


@pytest.mark.parametrize(("pixel_size", "message"), [
    (2.5, "pixel size of 3 Å cannot be resampled to 2.5 Å, which is finer: choose 3 Å or more"),
    (90.0, "is as large as the images"), (float("nan"), "cannot be resampled")])
def test_pixel_sizes_that_make_no_sense_are_refused(pixel_size, message):
    with pytest.raises(InputError, match=message):
        resample(two_groups(), pixel_size)


def test_boxes_of_several_groups_are_brought_together_on_reading(tmp_path, star_31):
    write_stack(np.stack([blob(48, 2.0)] * 2), tmp_path / "a.mrcs", 2.0)
    write_stack(blob(36, 3.0)[None], tmp_path / "b.mrcs", 3.0)
    (tmp_path / "p.star").write_text(star_31(
        "1@b.mrcs 2\n2@a.mrcs 1\n1@a.mrcs 1\n", ("rlnImageName", "rlnOpticsGroup"),
        "1 2.0 48\n2 3.0 36\n", ("rlnOpticsGroup", "rlnImagePixelSize", "rlnImageSize")))
    with pytest.raises(InputError, match=r"but one box is needed: .* resample them to one pixel size"):
        read_particles(tmp_path / "p.star")
    particles = read_particles(tmp_path / "p.star", resample_to=3.0)
    assert particles.pixel_size == 3.0 and particles.images.shape == (3, 32, 32)
    assert np.abs(particles.images[:] - blob(32, 3.0)).max() < 2e-3
    assert np.array_equal(particles.images[1:][0], particles.images[1])


def test_poses_are_written_for_the_images_that_theirs_were_made_from(tmp_path, star_31):
    """A run on larger pixels would else leave a copy of the stacks for every iteration, and RELION only the coarse one.
    """
    write_stack(np.stack([blob(48, 2.0)] * 2), tmp_path / "a.mrcs", 2.0)
    write_stack(blob(36, 3.0)[None], tmp_path / "b.mrcs", 3.0)
    (tmp_path / "p.star").write_text(star_31(
        "1@b.mrcs 2 4.5\n2@a.mrcs 1 6.0\n1@a.mrcs 1 9.0\n", ("rlnImageName", "rlnOpticsGroup", "rlnOriginXAngst"),
        "1 2.0 48\n2 3.0 36\n", ("rlnOpticsGroup", "rlnImagePixelSize", "rlnImageSize")))
    before = read_particles(tmp_path / "p.star", resample_to=4.0)
    (tmp_path / "run").mkdir()
    for rows in (np.arange(3), np.array([2, 0]), np.array([1])):
        write_particles(as_on_disk(before.subset_of(rows)), tmp_path / "run" / "data.star")
        assert [file.name for file in (tmp_path / "run").iterdir()] == ["data.star"]
        after = read_particles(tmp_path / "run" / "data.star", resample_to=4.0)
        np.testing.assert_array_equal(after.images[:], before.images[rows])
        np.testing.assert_array_equal(after.shifts, before.shifts[rows])
        names = read_particles(tmp_path / "run" / "data.star", images=False)
        assert {o.pixel_size for o in names.optics} == {(3.0, 2.0, 2.0)[row] for row in rows}


def test_one_box_may_be_resampled_on_reading_too(tmp_path):
    write_particles(Particles.of(np.stack([blob(48, 2.0)] * 2), 2.0), tmp_path / "p.star")
    particles = read_particles(tmp_path / "p.star", resample_to=3.0)
    assert particles.pixel_size == 3.0 and np.abs(particles.images[:] - blob(32, 3.0)).max() < 2e-3
