"""The phase stepper without a browser: its frames are the algorithm's, and the lesson's claims about them hold."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.widgets.phase_stepper import BOX, LAST, METHODS, OBJECTS, STARTS, likeness, objects, phase_stepper, run


@pytest.fixture(scope="module")
def stepper():
    made = phase_stepper()
    yield made
    made.close()


def ends(stepper, which, method):
    """(upright, turned) after the last iteration, for every start."""
    found = []
    for start in range(STARTS):
        stepper.object, stepper.method, stepper.start, stepper.frame = which, method, start, -1
        found.append(stepper.likeness())
    return found


def test_error_reduction_gets_stuck_and_the_hybrid_method_does_not(stepper):
    """The lesson says so, and that one of the faces stands on its head."""
    assert all(max(pair) < 0.98 for pair in ends(stepper, 0, 0))
    solved = ends(stepper, 0, 1)
    assert all(max(pair) > 0.999 for pair in solved)
    assert 0 < sum(turned > upright for upright, turned in solved) < STARTS


def test_a_known_outline_decides(stepper):
    assert all(upright > 0.99 for upright, _ in ends(stepper, 1, 1))
    assert sum(max(pair) > 0.99 for pair in ends(stepper, 2, 1)) <= STARTS / 2


def test_frames_and_errors_are_those_of_the_runs(stepper):
    truth, support = objects()[0]
    kept, errors = run(np.abs(np.fft.fft2(truth)), support, seed=2, hybrid=180)
    shape = (len(OBJECTS), len(METHODS), STARTS, len(stepper.iterations), BOX, BOX)
    frames = np.frombuffer(stepper._frames, np.uint8).reshape(shape)[0, 1, 2]
    assert np.abs(frames / 255 * 1.1 - 0.1 - np.clip(kept, -0.1, 1)).max() < 0.003
    sent = np.frombuffer(stepper._errors, np.float32).reshape(*shape[:3], LAST)[0, 1, 2]
    assert sent == pytest.approx(errors, abs=1e-6)
    assert np.abs(np.fft.fft2(kept[5])) == pytest.approx(np.abs(np.fft.fft2(truth)), abs=1e-6)  # every frame has them


def test_likeness_does_not_care_where_the_object_lies():
    truth, _ = objects()[1]
    assert likeness(np.roll(truth, (5, -9), (0, 1)), truth) == pytest.approx(1)
    assert likeness(truth[::-1, ::-1], truth) < 0.8


def test_objects_lie_inside_their_supports():
    for truth, support in objects():
        assert truth[~support].max() < 1e-5 and truth.min() >= 0 and truth.max() == pytest.approx(1)


def test_impossible_positions_are_brought_back(stepper):
    stepper.frame, stepper.object, stepper.method, stepper.start = -1, 3, 2, 4
    assert (stepper.frame, stepper.object, stepper.method, stepper.start) == (len(stepper.iterations) - 1, 0, 0, 0)


def test_the_picture_says_what_it_shows(stepper):
    stepper.object, stepper.method, stepper.start, stepper.frame = 0, 1, 2, -1
    alt = stepper.picture().alt
    assert "iteration 200 of 200" in alt and "twin 1.00" in alt
