"""Maps turned, moved and mirrored by known amounts are brought back."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import angular_distance, random_rotations
from cryoedu.geometry.fourier import fourier, inverse, shells
from cryoedu.geometry.masks import soft_sphere
from cryoedu.geometry.turning import mirrored, turned
from cryoedu.validation.alignment import align_maps, score_map
from cryoedu.validation.fsc import fsc

BOX, PIXEL = 32, 6.0


def particle(seed=1, box=BOX):
    """A map of one hand: 30 soft blobs at random inside a ball, standard deviation 1."""
    rng = np.random.default_rng(seed)
    axis = np.arange(box) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    places = rng.normal(0, box / 9, (30, 3))
    out = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 4) for a, b, c in places)
    return (out * soft_sphere(box, 1, 0.8 * box) / out.std()).astype(np.float32)


def low_passed(density, shell):
    return inverse(fourier(density, 3) * (shells(len(density), 3) <= shell), 3)


def displaced(density, rotation, shift, flip):
    """A map that ``rotation`` and then ``shift`` (Å) bring onto ``density``, after a mirror if ``flip``."""
    out = turned(density, rotation.T, -rotation.T @ shift, pixel_size=PIXEL)
    return mirrored(out) if flip else out


@pytest.mark.parametrize(("noise", "flip", "seed"), [(0.0, False, 11), (0.5, False, 12), (1.0, True, 13)])
def test_a_known_displacement_is_found_in_noise_and_in_the_mirror(noise, flip, seed):
    """Half a degree or a third of a pixel off, and an FSC of a good map looks like that of a bad one."""
    rng = np.random.default_rng(seed)
    rotation, shift = random_rotations(1, rng)[0], rng.uniform(-15, 15, 3)
    target = particle()
    source = displaced(target, rotation, shift, flip)
    moving, fixed = (x + noise * rng.standard_normal(x.shape) for x in (source, target))
    found = align_maps(moving, fixed, PIXEL)
    assert found.mirrored == flip
    assert angular_distance(found.rotation, rotation) < (1.0 if noise else 0.4)
    assert np.linalg.norm(found.shift - shift) < 0.3 * PIXEL
    assert found.information > 2 * found.other_hand
    clean = turned(mirrored(source) if flip else source, found.rotation, found.shift, pixel_size=PIXEL)
    assert (fsc(clean, target)[1:8] > 0.97).all()
    assert found.aligned.dtype == np.float32 and found.aligned.shape == target.shape
    if not noise:
        assert found.correlation > 0.98
        np.testing.assert_allclose(found.aligned, target, atol=0.08 * target.max())


@pytest.mark.slow
def test_a_poor_start_is_aligned_too():
    """The maps to be scored are the bad ones: 5 shells of signal, and as much that is wrong on the same shells."""
    rng = np.random.default_rng(21)
    hits = 0
    for trial in range(2):
        rotation = random_rotations(1, rng)[0]
        wrong = low_passed(particle(100 + trial), 6)
        source = low_passed(displaced(particle(), rotation, np.zeros(3), bool(trial % 2)), 6)
        moving = source / source.std() + 0.8 * wrong / wrong.std()
        found = align_maps(moving, particle(), PIXEL)
        hits += found.mirrored == bool(trial % 2) and angular_distance(found.rotation, rotation) < 6
    assert hits == 2


@pytest.mark.slow
def test_a_large_box_needs_no_more_than_its_lower_shells():
    """More voxels than the finest shell looked at must change neither the units nor the answer."""
    rotation, shift = random_rotations(1, np.random.default_rng(31))[0], np.array([9.0, -7.0, 4.0])
    small = particle()
    big = lambda x: np.pad(x, 40)  # noqa: E731  the same scene in a wider box
    found = align_maps(big(displaced(small, rotation, shift, False)), big(small), PIXEL, diameter=180, hands="same",
                       resolution=PIXEL * BOX / 10)
    assert angular_distance(found.rotation, rotation) < 0.6
    assert np.linalg.norm(found.shift - shift) < 0.1 * PIXEL
    assert found.other_hand is None and not found.mirrored


@pytest.mark.slow
def test_one_hand_only_is_tried_when_asked():
    """A map of the wrong hand must look wrong to somebody who knows the hand."""
    source = mirrored(particle())
    right, wrong = (align_maps(source, particle(), PIXEL, hands=h) for h in ("mirrored", "same"))
    assert right.mirrored and not wrong.mirrored
    assert right.correlation > 0.98 > 0.9 > wrong.correlation


@pytest.mark.slow
def test_a_start_from_scratch_is_judged_in_its_best_frame_and_hand():
    """The success rate over random starts counts maps that are right and yet turned or mirrored."""
    rotation = random_rotations(1, np.random.default_rng(41))[0]
    start = low_passed(displaced(particle(), rotation, np.array([4.0, 0, -5.0]), True), 8)
    score = score_map(start, particle(), PIXEL, wanted=BOX * PIXEL / 7)
    assert score.success and score.alignment.mirrored
    assert score.resolution == pytest.approx(BOX * PIXEL / 8.5, rel=0.08)
    assert not score_map(start, particle(), PIXEL, wanted=BOX * PIXEL / 7, hands="same").success
    failed = score_map(particle(7), particle(), PIXEL, wanted=BOX * PIXEL / 7, hands="same")
    assert not failed.success and failed.resolution > BOX * PIXEL / 5


@pytest.mark.parametrize(("call", "message"), [
    (lambda: align_maps(particle(), particle(box=24), PIXEL), "resample"),
    (lambda: align_maps(np.zeros((8,) * 3), np.ones((8,) * 3), PIXEL), "fixed map is the same everywhere"),
    (lambda: align_maps(np.ones((BOX,) * 3), particle(), PIXEL), "moving map is the same everywhere"),
    (lambda: align_maps(particle(), particle(), PIXEL, hands="left"), "hands"),
    (lambda: align_maps(particle(), particle(), PIXEL, resolution=150), "shells"),
    (lambda: align_maps(particle(), particle()[0], PIXEL), "cubic"),
    (lambda: align_maps(particle(), particle(), PIXEL, diameter=900), "mask")])
def test_what_cannot_be_aligned_is_a_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()
