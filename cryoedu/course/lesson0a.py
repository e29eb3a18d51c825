"""The exercises of the aside A, the phase problem.

``measured`` (n, n) are the amplitudes of a Fourier transform, as `numpy.fft.fft2` orders them, ``density`` (n, n) the
present guess of the object and ``support`` (n, n) says where the object may be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import Exercise, Wrong, call, call_for_array, first_match, real_array, same

Array = NDArray[Any]
FEEDBACK = 0.9  # β of the hybrid input-output method

# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------


def combine(amplitudes: Array, phases: Array) -> Array:
    """The real image (n, n) whose waves have these amplitudes and these phases (radians)."""
    return np.asarray(np.fft.ifft2(amplitudes * np.exp(1j * phases)).real)


def with_measured_amplitudes(density: Array, measured: Array) -> Array:
    """The density (n, n) nearest to ``density`` that has the measured amplitudes: its phases are kept."""
    return combine(measured, np.angle(np.fft.fft2(density)))


def with_known_object(density: Array, support: Array) -> Array:
    """The density (n, n) nearest to ``density`` that is 0 outside the support and nowhere negative."""
    return np.where(support, np.maximum(density, 0), 0)


def hybrid_step(density: Array, fitted: Array, support: Array, beta: float = FEEDBACK) -> Array:
    """The next density (n, n): ``fitted`` where it obeys what is known, else ``density`` less β times ``fitted``."""
    obeys = np.asarray(support, dtype=bool) & (fitted >= 0)
    return np.where(obeys, fitted, density - beta * fitted)


# ---- the judges -------------------------------------------------------------------------------------------------

def example(seed: int) -> tuple[Array, Array, Array]:
    """A random density (n, n) of both signs, amplitudes that belong to another one, and a support without symmetry."""
    rng, n = np.random.default_rng(seed), 12 + 3 * (seed % 2)
    support = np.zeros((n, n), dtype=bool)
    support[2:8, 3:10] = True
    other = np.where(support, rng.random((n, n)), 0)
    return rng.normal(0.2, 1, (n, n)), np.abs(np.fft.fft2(other)), support


def call_for_real(answer: Any, right: Array, *inputs: Any) -> Array:
    """As `call_for_array`; a density that is complex only because of rounding is told to end with .real."""
    result = call(answer, *inputs)
    if np.iscomplexobj(result) and np.shape(result) == right.shape:
        raise Wrong("Your function returns complex numbers. A density is real: end with .real. " +
                    ("(Its imaginary part is only rounding.)"
                     if np.max(np.abs(np.imag(result)), initial=0) < 1e-6 * np.max(np.abs(right)) else
                     "Its imaginary part is not small, so a step is missing (the inverse transform?)."))
    return call_for_array(answer, right.shape, *inputs)


def judge_combine(answer: Any) -> str | None:
    """A.1: ifft2(amplitude · exp(i phase))."""
    for seed in (11, 12):
        one, _, _ = example(seed)
        two, _, _ = example(seed + 10)  # of the same size: seed and seed + 10 are both odd, or both even
        amplitudes, phases = np.abs(np.fft.fft2(one)), np.angle(np.fft.fft2(two))
        right = combine(amplitudes, phases)
        image = call_for_real(answer, right, amplitudes, phases)
        if not same(image, right):
            waves = amplitudes * np.exp(1j * phases)
            return first_match(image, {
                "That is 0 but for rounding: the imaginary part, or the waves made of amplitude times phase. A wave is "
                "amplitude · exp(i · phase), and the image is the real part.": np.zeros_like(right),
                "The transform goes the wrong way: from waves to an image leads np.fft.ifft2.": np.fft.fft2(waves).real,
                "The sign of the phases is wrong: exp(+iψ), not exp(−iψ). Yours gives the picture turned by 180°.":
                    np.fft.ifft2(amplitudes * np.exp(-1j * phases)).real,
                "The 1j is missing: exp of a real number is no phase.": np.fft.ifft2(amplitudes * np.exp(phases)).real,
                "You used the amplitudes alone, with all phases at 0.": np.fft.ifft2(amplitudes).real,
                "You used the phases alone, with all amplitudes at 1.": np.fft.ifft2(np.exp(1j * phases)).real,
                "That is the absolute value of the image. Take the real part.": np.abs(right),
                "These are still the waves, not the image. Transform back with np.fft.ifft2.": waves.real,
                "You gave amplitudes and phases in the other order: amplitudes * np.exp(1j * phases).":
                    np.fft.ifft2(phases * np.exp(1j * amplitudes)).real,
                "You took the cosine of the phases only. A wave needs its sine as well: np.exp(1j * phases).":
                    np.fft.ifft2(amplitudes * np.cos(phases)).real,
                "The phases are in radians already. Leave out np.radians.":
                    np.fft.ifft2(amplitudes * np.exp(1j * np.radians(phases))).real,
                "The waves come in the order of fft2, and ifft2 wants them so. Leave out fftshift.":
                    np.fft.ifft2(np.fft.ifftshift(waves)).real,
                "Leave the image where it is: no fftshift is needed after ifft2.": np.fft.fftshift(right),
            }) or "That is not the image of these waves. Waves = amplitudes * np.exp(1j * phases); then np.fft.ifft2."
    return None


def judge_amplitudes(answer: Any) -> str | None:
    """A.2: keep the phases, replace the amplitudes."""
    for seed in (21, 22):
        density, measured, _ = example(seed)
        right, waves = with_measured_amplitudes(density, measured), np.fft.fft2(density)
        value = call_for_real(answer, right, density, measured)
        if not same(value, right):
            return first_match(value, {
                "You multiplied the amplitudes instead of replacing them. Divide out the old ones, or use "
                "np.angle(…).": np.fft.ifft2(measured * waves).real,
                "You kept the amplitudes of the guess: nothing has changed.": density,
                "You set all phases to 0. Keep the phases of the guess: they are the present estimate of what is "
                "missing.": np.fft.ifft2(measured).real,
                "You used the density itself as phases. Transform it first: np.angle(np.fft.fft2(density)).":
                    combine(measured, density),
                "The sign of the phases is wrong: that turns the picture by 180°.": combine(measured, -np.angle(waves)),
                "The transform goes the wrong way: back to a density leads np.fft.ifft2.":
                    np.fft.fft2(measured * np.exp(1j * np.angle(waves))).real,
                "These are the waves. Transform back to a density with np.fft.ifft2.":
                    (measured * np.exp(1j * np.angle(waves))).real,
                "You took the angles of the pixels. They are real; it is the waves that have phases: "
                "np.angle(np.fft.fft2(density)).": combine(measured, np.angle(density)),
                "You divided by the measured amplitudes. They take the place of the old ones.":
                    np.fft.ifft2(waves / np.where(measured > 0, measured, 1)).real,
                "You added amplitudes. The measured ones take the place of the old ones.":
                    combine(np.abs(waves) + measured, np.angle(waves)),
                "You took the mean of old and measured amplitudes. The measured ones count alone.":
                    combine((np.abs(waves) + measured) / 2, np.angle(waves)),
                "That is the absolute value of the density. The rule of the object comes in the next exercise; here "
                "take .real.": np.abs(right),
                "You set what is negative to 0, too. That is the next exercise.": np.maximum(right, 0),
                "You took the measured values as an image. They are amplitudes of waves.": combine(
                    np.abs(np.fft.fft2(measured)), np.angle(waves)),
            }) or ("The result should have the amplitudes `measured` and the phases of `density`. Transform, take "
                   "np.angle, call combine(measured, phases).")
    return None


def judge_object(answer: Any) -> str | None:
    """A.3: support and positivity."""
    for seed in (31, 32):
        density, _, support = example(seed)
        right = with_known_object(density, support)
        value = call_for_array(answer, right.shape, density, support)
        if not same(value, right):
            return first_match(value, {
                "Outside the support it is 0 now, but inside there are negative values left.":
                    np.where(support, density, 0),
                "Negative values are gone, but the density outside the support is still there.":
                    np.maximum(density, 0),
                "You kept the outside and cleared the inside: it is the support that stays.":
                    np.where(support, 0, np.maximum(density, 0)),
                "You turned negative values into positive ones. They become 0.": np.where(support, np.abs(density), 0),
                "You kept the negative values and cleared the positive ones.":
                    np.where(support, np.minimum(density, 0), 0),
                "That is the support itself. Keep the density inside it.": support.astype(float),
                "Outside the support the density must be 0, not the smallest value.":
                    np.where(support, np.maximum(density, 0), density.min()),
                "You moved all values up so that none is negative. The negative ones become 0, the others stay.":
                    np.where(support, density - density.min(), 0),
                "You set everything inside to 1 where it is positive. Keep the density there.":
                    np.where(support & (density > 0), 1.0, 0),
                "Inside the support you take the larger of density and 1. The bound is 0: np.maximum(density, 0).":
                    np.where(support, np.maximum(density, 1), 0),
                "You kept all of the density: neither rule is obeyed.": density,
            }) or "Keep the density where it is inside the support and positive; everywhere else it is 0."
    return None


def judge_hybrid(answer: Any) -> str | None:
    """A.4: the hybrid input-output step."""
    for seed, beta in ((41, 0.9), (42, 0.6)):
        density, measured, support = example(seed)
        fitted = with_measured_amplitudes(density, measured)
        right, obeys = hybrid_step(density, fitted, support, beta), support & (fitted >= 0)
        value = call_for_array(answer, right.shape, density, fitted, support, beta)
        if not same(value, right):
            return first_match(value, {
                "That is error reduction: what breaks the rules is set to 0. Here it is density − β·fitted.":
                    np.where(obeys, fitted, 0),
                "Where it obeys, take fitted, not density.": np.where(obeys, density, density - beta * fitted),
                "The sign is wrong: what is too much is pushed back, density − β·fitted.":
                    np.where(obeys, fitted, density + beta * fitted),
                "β is missing: density − β·fitted.": np.where(obeys, fitted, density - fitted),
                "Inside and outside are exchanged: it is fitted where the rules are obeyed.":
                    np.where(obeys, density - beta * fitted, fitted),
                "You forgot that negative values inside the support break the rules, too.":
                    np.where(support, fitted, density - beta * fitted),
                "You forgot the support: outside of it nothing obeys.":
                    np.where(fitted >= 0, fitted, density - beta * fitted),
                "You look at the signs of density. It is fitted that must be positive.":
                    np.where(support & (density >= 0), fitted, density - beta * fitted),
                "Where it does not obey, begin with density, the guess of before: density − β·fitted.":
                    np.where(obeys, fitted, fitted - beta * density),
                "You ignore the β that your function is given.": hybrid_step(density, fitted, support, 0.9),
            }) or ("np.where(condition, a, b) does it: the condition is 'inside the support and fitted ≥ 0', a is "
                   "fitted, b is density − β·fitted.")
    return None


EXERCISES = (
    Exercise("A.1", "Build an image from amplitudes and phases.", judge_combine,
             "With this function you can give one picture the phases of another. You will be surprised.",
             ("A wave with amplitude a and phase ψ is the complex number a · exp(iψ). In Python, i is 1j.",
              "From waves to an image leads np.fft.ifft2; its real part is the image.",
              "return np.fft.ifft2(amplitudes * np.exp(1j * phases)).real"), combine, real_array),
    Exercise("A.2", "Give a density the measured amplitudes.", judge_amplitudes,
             "The missing data are filled in from the present model: the same idea as the alignment step of lesson 2.",
             ("Only the amplitudes are replaced. The phases of the guess stay.",
              "np.angle(np.fft.fft2(density)) are the phases of the guess.",
              "return combine(measured, np.angle(np.fft.fft2(density)))"), with_measured_amplitudes, real_array),
    Exercise("A.3", "Give a density what we know of the object.", judge_object,
             "This is the model being updated: of all allowed densities it is the one nearest to what came in.",
             ("Two rules: 0 outside the support; nothing negative.",
              "np.maximum(density, 0) removes negative values; np.where(support, a, b) takes a inside and b outside.",
              "return np.where(support, np.maximum(density, 0), 0)"), with_known_object, real_array),
    Exercise("A.4", "Write the hybrid input–output step.", judge_hybrid,
             "A small change of one line, and the search no longer stops in the first valley.",
             ("Which pixels obey? Those inside the support where fitted is not negative: support & (fitted >= 0).",
              "There, take fitted. Elsewhere, take density - beta * fitted.",
              "return np.where(support & (fitted >= 0), fitted, density - beta * fitted)"), hybrid_step, real_array),
)
