"""The phase problem: the course's own answers against definitions, and what the lesson says of them."""

from __future__ import annotations

import numpy as np
import pytest
from wrong_answers.lesson0a import image, phases

from cryoedu.course import lesson0a as A
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import judged


def test_the_image_is_the_sum_of_its_waves():
    assert judged(exercise("A.1"), image)[0] == "right"
    assert judged(exercise("A.2"), lambda d, m: image(m, phases(d)))[0] == "right"


def test_a_complex_result_is_told_what_is_left_to_do():
    """np.fft.ifft2 without .real: the numbers are right, but NumPy's maximum compares complex ones by their real parts
    without a word."""
    nearly = judged(exercise("A.2"), lambda d, m: np.fft.ifft2(m * np.exp(1j * np.angle(np.fft.fft2(d)))))
    assert nearly[0] == "wrong" and "end with .real. (Its imaginary part is only rounding.)" in nearly[1]


@pytest.mark.parametrize("seed", range(3))
def test_both_steps_are_projections(seed):
    """The nearest density that obeys: doing it twice changes nothing, and no other one that obeys is nearer."""
    density, measured, support = A.example(seed)
    rng = np.random.default_rng(seed + 100)
    for step, known in ((A.with_measured_amplitudes, measured), (A.with_known_object, support)):
        once = step(density, known)
        assert step(once, known) == pytest.approx(once, abs=1e-9)
        for _ in range(20):
            other = step(rng.normal(0.2, 1, density.shape), known)
            assert np.linalg.norm(other - density) >= np.linalg.norm(once - density)


def test_error_reduction_never_goes_up():
    """Fienup's theorem, which the lesson states."""
    density, measured, support = A.example(5)
    errors = []
    for _ in range(60):
        fitted = A.with_measured_amplitudes(density, measured)
        density = A.with_known_object(fitted, support)
        errors.append(np.linalg.norm(fitted - density))
    assert (np.diff(errors) < 1e-9).all() and errors[-1] < errors[0] / 2


def test_the_twin_and_a_shifted_copy_have_the_same_amplitudes():
    density = A.with_known_object(A.example(6)[0], A.example(6)[2])
    measured = np.abs(np.fft.fft2(density))
    for other in (density[::-1, ::-1], np.roll(density, (3, -2), axis=(0, 1))):
        assert np.abs(np.fft.fft2(other)) == pytest.approx(measured)
