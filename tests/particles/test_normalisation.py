"""Images brought to one background: what a stack needs before one noise spectrum can hold for all of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.particles import ImageStack, Particles, read_particles, write_particles
from cryoedu.particles.normalisation import background, normalise, normalised, uneven_background

BOX = 32


def uneven(count: int = 60, seed: int = 0) -> Particles:
    """A bright disc in noise whose level and offset differ from image to image."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:BOX, :BOX] - BOX // 2
    images = rng.standard_normal((count, BOX, BOX)) + 3 * (np.hypot(x, y) < 8)
    return Particles.of(images * rng.uniform(0.5, 3, (count, 1, 1)) + rng.uniform(-9, 9, (count, 1, 1)), 4.0)


def test_the_background_gets_mean_0_and_deviation_1_and_the_particle_keeps_its_contrast():
    """Against the pixels picked by hand; the particle itself must not be part of the measure."""
    particles = uneven()
    found = normalise(particles.images, 12.0)
    for image in found:
        pixels = [image[y, x] for y in range(BOX) for x in range(BOX) if np.hypot(y - 16, x - 16) > 12]
        assert np.mean(pixels) == pytest.approx(0, abs=1e-5) and np.std(pixels) == pytest.approx(1, abs=1e-5)
    assert found[:, 12:20, 12:20].mean() == pytest.approx(3, abs=0.1)
    np.testing.assert_allclose(normalise(found, 12.0), found, atol=1e-5)


def test_stacks_on_disk_are_normalised_block_by_block(tmp_path):
    """A stack larger than memory; any rows, in any order."""
    particles = uneven()
    write_particles(particles, tmp_path / "p.star")
    on_disk = read_particles(tmp_path / "p.star")
    lazy = normalised(on_disk, 96.0)
    assert isinstance(on_disk.images, ImageStack) and not isinstance(lazy.images, np.ndarray)
    expected = normalise(particles.images, 12.0)
    np.testing.assert_allclose(lazy.images[np.array([7, 3])], expected[[7, 3]], atol=1e-6)
    np.testing.assert_allclose(lazy.images[5], expected[5], atol=1e-6)
    np.testing.assert_allclose(lazy.subset_of(np.arange(9)).images, expected[:9], atol=1e-6)


def test_only_uneven_stacks_are_noticed():
    """A stack of another grey scale is as good as one of deviation 1; one of many grey scales is not."""
    particles = uneven()
    low, high = uneven_background(particles)
    assert 0.5 < low < 0.8 and 2.5 < high < 3.2
    assert uneven_background(normalised(particles)) is None
    assert uneven_background(replace(particles, images=normalise(particles.images, 12.0) * 40 + 7)) is None


def test_what_cannot_be_normalised_is_a_sentence():
    particles = uneven()
    particles.images[4] = 1.0
    with pytest.raises(InputError, match=r"image 5 .*without any variance"):
        normalise(particles.images, 12.0)
    with pytest.raises(InputError, match="leaves no background"):
        normalised(particles, 500.0)
    mean, deviation = background(particles.images[4:5], 12.0)
    assert (mean[0], deviation[0]) == (1.0, 0.0)


def test_a_shell_is_warned_once_and_can_normalise(tmp_path):
    from typer.testing import CliRunner

    from cryoedu.commands.app import app

    particles = replace(uneven(), angles=np.random.default_rng(1).uniform(0, 180, (60, 3)))
    write_particles(particles, tmp_path / "p.star")
    run = CliRunner()
    first = run.invoke(app, ["reconstruct", str(tmp_path / "p.star"), "-o", str(tmp_path / "a.mrc")])
    assert first.exit_code == 0 and first.stderr.count("warning: the background") == 1, first.output
    made = run.invoke(app, ["normalise", str(tmp_path / "p.star"), "-o", str(tmp_path / "even")])
    assert "60 normalised particles" in made.stdout, made.output
    even = str(tmp_path / "even" / "particles_data.star")
    second = run.invoke(app, ["reconstruct", even, "-o", str(tmp_path / "b.mrc")])
    assert second.exit_code == 0 and "background" not in second.stderr
    again = run.invoke(app, ["normalise", str(tmp_path / "p.star"), "-o", str(tmp_path / "even")])
    assert isinstance(again.exception, InputError) and "already" in str(again.exception)


def test_a_shell_tells_of_dark_particles_and_turns_them(tmp_path):
    """Their map was negative, with exit code 0 and a confident resolution."""
    from typer.testing import CliRunner

    from cryoedu.commands.app import app

    rng, axis = np.random.default_rng(1), np.arange(16) - 8
    images = rng.normal(size=(40, 16, 16)) - (np.hypot(*np.meshgrid(axis, axis)) < 4)
    particles = Particles.of(images, 3.0, angles=rng.uniform(0, 180, (40, 3)))
    write_particles(particles, tmp_path / "p.star")
    run = CliRunner()
    dark = run.invoke(app, ["reconstruct", str(tmp_path / "p.star"), "-o", str(tmp_path / "a.mrc")])
    assert dark.exit_code == 0 and "darker than what is around them" in dark.stderr
    made = run.invoke(app, ["normalise", str(tmp_path / "p.star"), "-o", str(tmp_path / "n"), "--invert"])
    assert made.exit_code == 0, made.output
    turned = str(tmp_path / "n" / "particles_data.star")
    bright = run.invoke(app, ["reconstruct", turned, "-o", str(tmp_path / "b.mrc")])
    assert bright.exit_code == 0 and "warning" not in bright.stderr
