"""The Einstein-from-noise stepper without a browser: its averages, its curve, its prediction."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.datasets.portraits import portrait
from cryoedu.errors import InputError
from cryoedu.widgets.noise_portrait import BOX, LEVELS, TOTAL, aligned, noise_portrait, place_scores, quantised


@pytest.fixture(scope="module")
def stepper():
    made = noise_portrait(images=100)
    yield made
    made.close()


def noise_of(stepper):
    return np.frombuffer(stepper._noise, np.int8).reshape(TOTAL, BOX, BOX) / LEVELS


def test_the_noise_is_noise(stepper):
    """A portrait that had been put in would prove nothing."""
    noise = noise_of(stepper)
    assert noise.mean() == pytest.approx(0, abs=2e-3) and noise.std() == pytest.approx(1, abs=0.01)
    for name in ("astronaut", "cat"):
        assert abs(np.corrcoef(noise.mean(axis=0).ravel(), portrait(name).ravel())[0, 1]) < 0.05


@pytest.mark.parametrize(("which", "name"), [(0, "astronaut"), (1, "cat")])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_the_curve_is_the_correlation_of_the_average_shown(stepper, which, name, count):
    """Every image aligned by hand to the best of all places, averaged, and correlated."""
    stepper.portrait, stepper.images, stepper.aligned = which, count, True
    face = portrait(name)
    by_hand = []
    for image in noise_of(stepper)[:count] if count < 10 else []:
        moved = {(y, x): float(np.sum(image * np.roll(face, (y, x), (0, 1)))) for y in range(0, 64, 4)
                 for x in range(0, 64, 4)}
        y, x = max(moved, key=moved.get)
        by_hand.append(np.roll(image, (-y, -x), (0, 1)))
    if by_hand:
        assert stepper.average() == pytest.approx(np.mean(by_hand, axis=0), abs=1e-6)
    expected = np.corrcoef(stepper.average().ravel(), face.ravel())[0, 1]
    assert stepper.correlation() == pytest.approx(expected, abs=1e-5)


def test_the_prediction_holds_and_is_not_a_fit(stepper):
    stepper.aligned = True
    for which in (0, 1):
        stepper.portrait = which
        line = np.frombuffer(stepper._predicted, np.float32).reshape(-1, TOTAL)[which]
        for count in (30, 100, 300, 1000):
            stepper.images = count
            assert stepper.correlation() == pytest.approx(line[count - 1], abs=0.03)


def test_without_alignment_there_is_no_portrait(stepper):
    stepper.portrait, stepper.images, stepper.aligned = 0, 1000, False
    assert abs(stepper.correlation()) < 0.05
    assert stepper.average() == pytest.approx(noise_of(stepper).mean(axis=0))
    assert "not aligned" in repr(stepper.picture())


def test_impossible_positions_are_brought_back(stepper):
    stepper.images, stepper.portrait = 10**6, -1
    assert (stepper.images, stepper.portrait) == (1000, 1)
    stepper.images, stepper.portrait = -5, 2
    assert (stepper.images, stepper.portrait) == (1, 0)
    with pytest.raises(InputError, match="astronaut, cat"):
        noise_portrait(portrait="einstein")


def test_the_picture_says_what_it_shows(stepper):
    stepper.images, stepper.portrait, stepper.aligned = 300, 1, True
    alt = stepper.picture().alt
    assert "300 images of pure noise" in alt and "cat" in alt and f"{stepper.correlation():.2f}" in alt


def test_noise_survives_being_sent_as_small_numbers():
    noise = np.random.default_rng(1).standard_normal((20, BOX, BOX), dtype=np.float32)
    sent = quantised(noise) / LEVELS
    assert np.corrcoef(sent.ravel(), noise.ravel())[0, 1] > 0.9995
    face = portrait("cat")
    assert (place_scores(sent, face).argmax(axis=1) == place_scores(noise, face).argmax(axis=1)).mean() > 0.9


def test_moving_back_undoes_the_place():
    face = portrait("astronaut")
    moved = np.stack([np.roll(face, (4 * 3, 4 * 14), axis=(0, 1))])
    place = place_scores(moved, face).argmax(axis=1).astype(np.uint8)
    assert np.array_equal(aligned(moved, place)[0], face)
