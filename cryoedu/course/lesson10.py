"""The exercises of lesson 10, a whole refinement."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import Exercise, Wrong, call, call_for_array, first_match, given_number, same

Array = NDArray[Any]
BOX, WIDTH = 48, 352.0  # pixels and Å across of the lesson's images


# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

FINEST = 2 * WIDTH / BOX


def keep_classes(averages: Array, counts: Array) -> Array:
    """(K,) True for classes with particles whose average has at least a tenth of the strongest average's variance."""
    power = np.var(averages, axis=(1, 2))
    return np.asarray((power >= 0.1 * power.max()) & (counts > 0))


def split(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Row numbers 0 … count - 1 in two random halves that share none and leave none out."""
    order = rng.permutation(count)
    return order[: count // 2], order[count // 2 :]


def corrected(masked: Array, randomised: Array) -> Array:
    """The FSC without what the mask alone brings: (T - R)/(1 - R)."""
    return np.asarray((masked - randomised) / (1 - randomised))


def sharpening_weights(frequencies: Array, fsc: Array, b_factor: float) -> Array:
    """What each shell of the map is multiplied by: exp(B u²/4) √(2F/(1 + F)), and 0 where F is not positive."""
    F = np.maximum(fsc, 0)
    return np.asarray(np.exp(b_factor * frequencies**2 / 4) * np.sqrt(2 * F / (1 + F)))


# ---- the judges ------------------------------------------------------------------------------------------------

def judge_finest(answer: Any) -> str | None:
    """10.1: Nyquist."""
    value = given_number(answer)
    if same(value, FINEST, 5e-3):
        return None
    return first_match(value, {
        "That is the size of a pixel. A wave needs two pixels: one for its crest, one for its trough.": FINEST / 2,
        "That is half a pixel. The shortest wave is longer than a pixel, not shorter: two pixels.": FINEST / 4,
        "That is a spatial frequency, in 1/Å. Its inverse is the resolution in Å.": 1 / FINEST,
        "That is the coarsest wave that fits the box, not the finest.": WIDTH,
        "That is the number of shells. The last of them, with n/2 waves across the box, is asked for, in Å.": BOX / 2,
    }, 5e-3) or f"Not it. The pixel is {WIDTH:.0f}/{BOX} Å wide, and the shortest wave takes two pixels."


def judge_keep(answer: Any) -> str | None:
    """10.2: which 2D classes hold particles."""
    rng = np.random.default_rng()
    for _ in range(4):
        strength = np.array([1.0, 0.8, 0.6, 0.45, 0.2, 0.05])  # variances 1, 0.64, 0.36, 0.2, 0.04, 0.0025
        order = rng.permutation(6)
        averages = rng.normal(size=(6, 12, 12))
        averages /= averages.std(axis=(1, 2), keepdims=True)
        averages = averages * strength[order][:, None, None] * rng.uniform(1, 30) + rng.normal(size=(6, 1, 1))
        counts = rng.integers(5, 200, 6)
        counts[np.flatnonzero(order == 3)] = 0
        right = keep_classes(averages, counts)
        result = np.asarray(call(answer, averages, counts))
        if result.shape != (6,) or result.dtype != bool:
            raise Wrong("One True or False for each class is asked for: an array (K,), such as a comparison gives.")
        if not np.array_equal(result, right):
            power, deviation = np.var(averages, axis=(1, 2)), np.std(averages, axis=(1, 2))
            full = counts > 0
            mistakes = {
                "You keep the class that has lost all its particles: `counts` is 0 there.": power >= 0.1 * power.max(),
                "You compare standard deviations. The variance is their square, and a tenth of it is another limit.":
                    (deviation >= 0.1 * deviation.max()) & full,
                "You keep what is weak and throw away what is strong.": (power < 0.1 * power.max()) & full,
                "You compare with the mean of the variances. The largest of them is asked for.":
                    (power >= power.mean()) & full,
                "You keep one class only. All that reach a tenth of the largest variance stay.":
                    power >= power.max(),
                "You keep all classes that have particles, the empty ice too.": full,
                "You choose by the number of particles. Junk can fill a large class: look at its average.":
                    counts >= 0.1 * counts.max(),
                "You take the mean brightness of the averages. Compare how much there is to see in them: np.var over "
                "the pixels, axis=(1, 2).": (averages.mean((1, 2)) >= 0.1 * averages.mean((1, 2)).max()) & full,
            }
            return next((why for why, value in mistakes.items() if np.array_equal(result, value)), None) or (
                "Those are not the right classes. Keep those that have particles and whose average's variance is at "
                "least 0.1 times that of the strongest average.")
    return None


def judge_split(answer: Any) -> str | None:
    """10.3: two halves."""
    for count in (100, 101):
        draws = []
        for seed in (1, 2):
            result = call(answer, count, np.random.default_rng(seed))
            try:
                first, second = (np.asarray(half, dtype=int).ravel() for half in result)
            except (TypeError, ValueError):
                raise Wrong("Two arrays of row numbers are asked for: return first, second.") from None
            draws.append(np.concatenate([first, second]))
            shared = np.intersect1d(first, second)
            if len(shared):
                return (f"{len(shared)} rows are in both halves. Then their noise is in both maps, and the FSC takes "
                        "it for signal. Draw one order, and cut it in two.")
            if len(np.unique(draws[-1])) < len(draws[-1]):
                return "A row is drawn twice. rng.permutation(count) names every row once."
            if len(draws[-1]) < count:
                return f"Of {count} rows {count - len(draws[-1])} are in neither half. Leave none out, odd counts too."
            if draws[-1].min() != 0 or draws[-1].max() != count - 1:
                return (f"Rows are numbered from 0 to count - 1, but yours run from {draws[-1].min()} to "
                        f"{draws[-1].max()}.")
            if abs(len(first) - len(second)) > 1:
                return f"The parts have {len(first)} and {len(second)} rows. Two halves are asked for."
        if np.array_equal(draws[0], draws[1]):
            return ("Your halves are not random: another generator gives the same ones. The first half of a data set "
                    "may be another grid, or another day. Use rng.permutation(count).")
    return None


def judge_corrected(answer: Any) -> str | None:
    """10.4: the FSC freed of the mask."""
    rng = np.random.default_rng()
    masked, randomised = np.sort(rng.uniform(0.1, 0.95, 12))[::-1], rng.uniform(0.02, 0.4, 12)
    right = corrected(masked, randomised)
    value = call_for_array(answer, right.shape, masked, randomised)
    if same(value, right):
        return None
    return first_match(value, {
        "You subtract, but do not divide by 1 − R. A perfect agreement, T = 1, has to stay 1.": masked - randomised,
        "You divide by 1 + R. What is left of the range above R is 1 − R.": (masked - randomised) / (1 + randomised),
        "You divide by 1 − T. It is R, that of the randomised maps.": (masked - randomised) / (1 - masked),
        "That is a ratio. Correlations that the mask brings are taken off: (T − R)/(1 − R).": masked / randomised,
        "The two curves have changed places: T is `masked`, R is `randomised`.":
            (randomised - masked) / (1 - masked),
        "That is √(2F/(1+F)) of the masked curve, another formula.": np.sqrt(2 * masked / (1 + masked)),
    }) or "That is not (T − R)/(1 − R), with T the masked curve and R the randomised one."


def judge_sharpening(answer: Any) -> str | None:
    """10.5: sharpening and weighting."""
    rng = np.random.default_rng()
    u = np.linspace(0, 0.06, 13)
    curve = np.clip(np.linspace(1.0, 0.05, 13) + rng.uniform(-0.04, 0.04, 13), 0.01, 1.0)
    b = float(rng.uniform(500, 1500))
    right = sharpening_weights(u, curve, b)
    value = call_for_array(answer, right.shape, u, curve, b)
    if not same(value, right):
        gain, weight = np.exp(b * u**2 / 4), np.sqrt(2 * curve / (1 + curve))
        return first_match(value, {
            "The sign of B is wrong: exp(−B u²/4) is the decay. To undo it, multiply by exp(+B u²/4).": weight / gain,
            "The 4 is missing: the decay is exp(−B u²/4), as in the CTF's envelope.": np.exp(b * u**2) * weight,
            "Some programs write B/2 for the power spectrum. Amplitudes are asked for: B u²/4.":
                np.exp(b * u**2 / 2) * weight,
            "The weight √(2F/(1 + F)) is missing: noise would be sharpened too.": gain,
            "The root is missing: √(2F/(1 + F)).": gain * weight**2,
            "That is the weight alone. Multiply it by exp(B u²/4).": weight,
            "You use the FSC itself as the weight. That of the map from both halves is √(2F/(1 + F)).": gain * curve,
            "u has to be squared: B u²/4.": np.exp(b * u / 4) * weight,
        }) or "That is not exp(B u²/4) · √(2F/(1 + F))."
    noise = np.array([1.0, 0.5, -0.1, 0.0, -0.05])
    with np.errstate(all="ignore"):
        last = np.asarray(call(answer, np.linspace(0, 0.06, 5), noise, b), dtype=float)
    return None if same(last[2:], np.zeros(3)) and np.isfinite(last).all() else (
        "Right, except where the FSC is negative, which happens by chance where there is only noise: a root of a "
        "negative number is NaN. Such a shell gets the weight 0: use np.maximum(fsc, 0).")


EXERCISES = (
    Exercise("10.1", "What is the finest detail that these images can show?", judge_finest,
             "This is the Nyquist limit. Whatever a program reports, it cannot be finer.",
             ("How wide is a pixel? The box is 352 Å across and has 48 pixels.",
              "The shortest wave that pixels can show goes up in one pixel and down in the next.",
              "2 * 352 / 48"), FINEST),
    Exercise("10.2", "Choose the 2D classes that hold particles.", judge_keep,
             "Averages of noise are flat. That is how the eye chooses classes, too.",
             ("np.var(averages, axis=(1, 2)) gives one variance for each class.",
              "Compare with 0.1 times the largest one. And `counts > 0`, for an empty class keeps its last average.",
              "(power >= 0.1 * power.max()) & (counts > 0)"), keep_classes),
    Exercise("10.3", "Split the particles into two random halves.", judge_split,
             "From here on the two halves must never meet, or the resolution becomes a wish.",
             ("rng.permutation(count) is a random order of the numbers 0 to count - 1.",
              "Cut that order in the middle: order[: count // 2] and the rest.",
              "order = rng.permutation(count); return order[: count // 2], order[count // 2 :]"), split),
    Exercise("10.4", "Correct the FSC for the mask.", judge_corrected,
             "Where R is large, the mask is too tight, and the uncorrected resolution would flatter.",
             ("T is what is seen, R is what the mask brings by itself.",
              "The true curve F obeys T = F (1 − R) + R. Solve for F.",
              "(masked - randomised) / (1 - randomised)"), corrected),
    Exercise("10.5", "Write the weights of a sharpened map.", judge_sharpening,
             "The first factor brings detail back, the second keeps noise away.",
             ("The decay was exp(−B u²/4); undo it.",
              "√(2F/(1 + F)) is the FSC that the map of all particles would have with the truth (lesson 9).",
              "F = np.maximum(fsc, 0); np.exp(b_factor * frequencies**2 / 4) * np.sqrt(2 * F / (1 + F))"),
             sharpening_weights),
)
