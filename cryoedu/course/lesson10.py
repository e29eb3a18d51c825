"""The exercises of lesson 10, a whole refinement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import (
    Exercise,
    Wrong,
    call,
    call_for_array,
    first_match,
    given_number,
    real,
    real_array,
    same,
)

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
    """The FSC without what the mask alone brings: (masked - randomised)/(1 - randomised)."""
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


ARRAY_LOGIC = {"bitwise_and": "`&` binds before `>`: put each comparison in brackets, (…) & (…).",
               "truth value": "For arrays write `&`, not `and`, with each comparison in brackets."}


def judge_keep(answer: Any) -> str | None:
    """10.2: which 2D classes hold particles."""
    results, rights = [], []
    mistakes: dict[str, list[Array]] = {}
    for averages, counts in _classified():
        try:
            result = np.asarray(call(answer, averages, counts))
        except Wrong as wrong:
            advice = next((said for word, said in ARRAY_LOGIC.items() if word in str(wrong)), "")
            raise Wrong(f"{wrong} {advice}".strip()) from wrong
        if result.dtype.kind == "c":
            real(result)  # refuses it
        right = keep_classes(averages, counts)
        if result.dtype != bool and np.array_equal(result.ravel(), np.flatnonzero(right)):
            raise Wrong("Those are the numbers of the right classes. One True or False for each class is asked for, "
                        "such as the comparison itself gives: leave np.flatnonzero or np.where out.")
        if result.dtype == bool and result.ndim == 1 and len(result) != len(counts):
            raise Wrong(f"Your function returns {len(result)} values for {len(counts)} classes. Work with the averages "
                        "and counts that it is given: they need not be those of the cells above.")
        if result.shape != counts.shape or result.dtype != bool:
            raise Wrong("One True or False for each class is asked for: an array (K,), such as a comparison gives.")
        results.append(result)
        rights.append(right)
        for why, kept in _wrongly_kept(averages, counts).items():
            mistakes.setdefault(why, []).append(kept)
    if np.array_equal(results, rights):
        return None
    return next((why for why, kept in mistakes.items() if np.array_equal(results, kept)), None) or (
        "Those are not the right classes. Keep those that have particles and whose average's variance is at least 0.1 "
        "times that of the strongest average.")


def _classified() -> Iterator[tuple[Array, Array]]:
    """Averages (9, 12, 12) and counts (9,) of classes: one beside each usual wrong limit, one empty, one small."""
    variance = np.array([1.0, 0.7, 0.5, 0.3, 0.25, 0.14, 0.07, 0.02, 0.003])
    for seed, scale in ((1, 0.7), (2, 1.5), (3, 20.0)):
        rng = np.random.default_rng(seed)
        order = rng.permutation(9)
        averages = rng.normal(size=(9, 12, 12))
        averages -= averages.mean(axis=(1, 2), keepdims=True)
        averages *= scale * np.sqrt(variance[order] / averages.var(axis=(1, 2)))[:, None, None]
        averages += averages.std() * rng.permutation(np.linspace(-0.7, 1.1, 9))[:, None, None]
        counts = rng.integers(60, 200, 9)
        counts[order == 3], counts[order == 1], counts[order == 7] = 0, 2, 400
        yield averages, counts


def _wrongly_kept(averages: Array, counts: Array) -> dict[str, Array]:
    """What usual mistakes keep, by the words that explain them."""
    power, square, mean = np.var(averages, axis=(1, 2)), np.mean(averages**2, axis=(1, 2)), averages.mean(axis=(1, 2))
    deviation, brightest, full = np.sqrt(power), averages.max(axis=(1, 2)), counts > 0
    strong = power >= 0.1 * power.max()
    return {
        "You keep the class that has lost all its particles: `counts` is 0 there.": strong,
        "You keep what has enough variance *or* has particles. Both are asked for: use &.": strong | full,
        "You take the mean of the squares. An average that is bright all over would look strong: the variance takes "
        "the mean off first.": (square >= 0.1 * square.max()) & full,
        "You compare the brightest pixels. The variance of all pixels is asked for: np.var, axis=(1, 2).":
            (brightest >= 0.1 * brightest.max()) & full,
        "You compare standard deviations. The variance is their square, and a tenth of it is another limit.":
            (deviation >= 0.1 * deviation.max()) & full,
        "You keep what is weak and throw away what is strong.": ~strong & full,
        "You compare with the mean of the variances. The largest of them is asked for.":
            (power >= power.mean()) & full,
        "You compare with a fixed number, 0.1. The limit is a tenth of the largest variance.": (power >= 0.1) & full,
        "You keep one class only. All that reach a tenth of the largest variance stay.": power >= power.max(),
        "You keep all classes that have particles, the empty ice too.": full,
        "You choose by the number of particles. Junk can fill a large class: look at its average.":
            counts >= 0.1 * counts.max(),
        "You choose by the number of particles, too. A small class can be a rare view: any count above 0 will do.":
            strong & (counts >= 0.1 * counts.max()),
        "You take the mean brightness of the averages. Compare how much there is to see in them: np.var over the "
        "pixels, axis=(1, 2).": (mean >= 0.1 * mean.max()) & full,
    }


def two_halves(result: Any) -> tuple[Array, Array]:
    """The two arrays of whole numbers that an answer to 10.3 gives, whatever it holds them in. Raises Wrong."""
    try:
        if isinstance(result, dict):
            raise TypeError
        first, second = (np.asarray(sorted(half) if isinstance(half, set) else half).ravel() for half in result)
        rows = first.astype(int), second.astype(int)
    except (TypeError, ValueError):
        raise Wrong("Two arrays of row numbers are asked for: return first, second.") from None
    if first.dtype == bool:
        raise Wrong("Those are True and False for each row. Row numbers are asked for: np.flatnonzero makes them.")
    if any((half != whole).any() for half, whole in zip((first, second), rows)):
        raise Wrong("Row numbers are whole, and some of yours are not.")
    return rows


def flags(kept: Any) -> Array:
    """What later cells need of an answer to 10.2: an array of True and False."""
    return np.asarray(kept, dtype=bool)


def judge_split(answer: Any) -> str | None:
    """10.3: two halves."""
    for count in (100, 131):
        draws = []
        for seed in (1, 2, 1):
            first, second = two_halves(call(answer, count, np.random.default_rng(seed)))
            rows = np.concatenate([first, second])
            shared = np.intersect1d(first, second)
            if len(shared):
                return (f"{len(shared)} rows are in both halves. Then their noise is in both maps, and the FSC takes "
                        "it for signal. Draw one order, and cut it in two.")
            if len(np.unique(rows)) < len(rows):
                return "A row is drawn twice. rng.permutation(count) names every row once."
            if len(rows) < count:
                return f"Of {count} rows {count - len(rows)} are in neither half. Leave none out, odd counts too."
            if rows.min() != 0 or rows.max() != count - 1:
                return f"Rows are numbered from 0 to count - 1, but yours run from {rows.min()} to {rows.max()}."
            if abs(len(first) - len(second)) > 1:
                return f"The parts have {len(first)} and {len(second)} rows. Two halves are asked for."
            draws.append(np.isin(np.arange(count), first))
        if np.array_equal(draws[0], draws[1]):
            return ("Your halves are not random: another generator gives the same ones. The first half of a data set "
                    "may be another grid, or another day. Use rng.permutation(count).")
        if not np.array_equal(draws[0], draws[2]):
            return ("The same `rng` gives other halves the second time, so your randomness comes from elsewhere, such "
                    "as np.random. Nobody could repeat your refinement. Use rng.permutation(count).")
        if not 0.25 < np.mean(draws[0][1:] == draws[0][:-1]) < 0.75:
            return ("Neighbours in the data set keep to a pattern: they share a half too often, or too seldom. Draw "
                    "the order of all rows with rng.permutation(count), then cut it.")
    return None


def judge_corrected(answer: Any) -> str | None:
    """10.4: the FSC freed of the mask."""
    rng = np.random.default_rng(4)
    masked, randomised = np.sort(rng.uniform(0.2, 0.95, 13))[::-1], rng.uniform(0.02, 0.5, 13)
    masked[-3:] = 0.06, 0.01, -0.03  # below what the mask brings, as happens by chance
    right = corrected(masked, randomised)
    value = call_for_array(answer, right.shape, masked, randomised)
    if same(value, right):
        return None
    rest = 1 - randomised
    if same(value, np.maximum(right, 0)):
        return ("Right, but you cut off what is below 0. By chance the true curve scatters around 0 where there is no "
                "signal. One that cannot fall below 0 would look like signal on the average: leave it as it is.")
    return first_match(value, {
        "You subtract, but do not divide by 1 − randomised. A perfect agreement, 1, has to stay 1.":
            masked - randomised,
        "You divide by 1 + randomised. What is left of the range above it is 1 − randomised.":
            (masked - randomised) / (1 + randomised),
        "You divide by 1 − masked. It is the curve of the randomised maps that is taken from 1.":
            (masked - randomised) / (1 - masked),
        "You divide, but take nothing off. What the mask brings is taken off above: masked − randomised.":
            masked / rest,
        "That is a ratio. Correlations that the mask brings are taken off: (masked − randomised)/(1 − randomised).":
            masked / randomised,
        "That is the way back: it adds what the mask brings. Take it off.": masked * rest + randomised,
        "The sign is turned round: masked − randomised.": (randomised - masked) / rest,
        "The two curves have changed places in your formula.": (randomised - masked) / (1 - masked),
        "You make negative values positive. Where there is no signal the curve scatters around 0, and belongs there.":
            np.abs(right),
        "Brackets are missing: without them only `randomised` is divided.": masked - randomised / rest,
        "Brackets are missing: without them you divide by 1, and then take `randomised` off.":
            (masked - randomised) / 1 - randomised,
        "That is √(2F/(1+F)) of the masked curve, another formula.":
            np.sqrt(2 * np.maximum(masked, 0) / (1 + masked)),
    }) or "That is not (masked − randomised)/(1 − randomised)."


def judge_sharpening(answer: Any) -> str | None:
    """10.5: sharpening and weighting."""
    u, b = np.linspace(0, 0.06, 13), 370.0
    curve = np.clip(np.linspace(1.0, 0.05, 13) + np.random.default_rng(5).uniform(-0.04, 0.04, 13), 0.01, 1.0)
    right = sharpening_weights(u, curve, b)
    value = call_for_array(answer, right.shape, u, curve, b)
    gain, weight = np.exp(b * u**2 / 4), np.sqrt(2 * curve / (1 + curve))
    if not same(value, right):
        return first_match(value, {
            "The sign of B is wrong: exp(−B u²/4) is the decay. To undo it, multiply by exp(+B u²/4).": weight / gain,
            "The 4 is missing: the decay is exp(−B u²/4), as in the CTF's envelope.": np.exp(b * u**2) * weight,
            "Some programs write B/2 for the power spectrum. Amplitudes are asked for: B u²/4.":
                np.exp(b * u**2 / 2) * weight,
            "The weight √(2F/(1 + F)) is missing: noise would be sharpened too.": gain,
            "The root is missing: √(2F/(1 + F)).": gain * weight**2,
            "The root is of all of it: √(2F/(1 + F)), not √(2F)/(1 + F).": gain * np.sqrt(2 * curve) / (1 + curve),
            "The 2 is missing: √(2F/(1 + F)). Both halves are in the map, so it has twice the data of one.":
                gain * np.sqrt(curve / (1 + curve)),
            "That is the weight alone. Multiply it by exp(B u²/4).": weight,
            "The two factors are multiplied, not added.": gain + weight,
            "You divide by the weight. Shells of noise would become the strongest: multiply by it.": gain / weight,
            "You use the FSC itself as the weight. That of the map from both halves is √(2F/(1 + F)).": gain * curve,
            "u has to be squared: B u²/4.": np.exp(b * u / 4) * weight,
            "Brackets are missing: 2F/(1 + F), not 2F/1 + F.": gain * np.sqrt(2 * curve / 1 + curve),
            "u * 2 is twice u. Its square is u**2.": np.exp(b * u * 2 / 4) * weight,
            "The 4 divides B u², not u before it is squared.": np.exp(b * (u / 4) ** 2) * weight,
            "B is not squared, only u: B u²/4.": np.exp((b * u) ** 2 / 4) * weight,
        }) or "That is not exp(B u²/4) · √(2F/(1 + F))."
    noise = np.array([1.0, 0.5, -0.1, 0.0, -0.05])
    u = np.linspace(0, 0.06, 5)
    last = np.asarray(call(answer, u, noise, b))
    if last.dtype.kind == "c":
        return ("Right, except where the FSC is negative, which happens by chance where there is only noise: there "
                "your weights are complex, roots of negative numbers. Such a shell gets the weight 0: use "
                "np.maximum(fsc, 0).")
    last = last.astype(float)
    if same(last, sharpening_weights(u, noise, b)):
        return None
    return first_match(last, {
        "Right, except where the FSC is negative: you make it positive, and such a shell, which is noise, would count "
        "as signal. It gets the weight 0: use np.maximum(fsc, 0).": sharpening_weights(u, np.abs(noise), b),
        "Right, except where the FSC is negative: there you leave out the weight, and noise is sharpened in full. "
        "Such a shell gets 0.": np.where(noise > 0, sharpening_weights(u, noise, b), np.exp(b * u**2 / 4)),
    }) or (
        "Right, except where the FSC is negative, which happens by chance where there is only noise: a root of a "
        "negative number is NaN. Such a shell gets the weight 0: use np.maximum(fsc, 0)."
        if not np.isfinite(last).all() else
        "Right, except where the FSC is negative or 0, which happens by chance where there is only noise. Such a shell "
        "gets the weight 0: use np.maximum(fsc, 0).")


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
              "(power >= 0.1 * power.max()) & (counts > 0)"), keep_classes, flags),
    Exercise("10.3", "Split the particles into two random halves.", judge_split,
             "From here on the two halves must never meet, or the resolution becomes a wish.",
             ("rng.permutation(count) is a random order of the numbers 0 to count - 1.",
              "Cut that order in the middle: order[: count // 2] and the rest.",
              "order = rng.permutation(count); return order[: count // 2], order[count // 2 :]"), split,
             two_halves),
    Exercise("10.4", "Correct the FSC for the mask.", judge_corrected,
             "Where the randomised curve is high, the mask is too tight, and the uncorrected resolution would flatter.",
             ("`masked` is what is seen, `randomised` what the mask brings by itself.",
              "The true curve F obeys masked = F (1 − randomised) + randomised. Solve for F.",
              "(masked - randomised) / (1 - randomised)"), corrected, real_array),
    Exercise("10.5", "Write the weights of a sharpened map.", judge_sharpening,
             "The first factor brings detail back, the second keeps noise away.",
             ("The decay was exp(−B u²/4); undo it.",
              "√(2F/(1 + F)) is the FSC that the map of all particles would have with the truth (lesson 9).",
              "F = np.maximum(fsc, 0); np.exp(b_factor * frequencies**2 / 4) * np.sqrt(2 * F / (1 + F))"),
             sharpening_weights, real_array),
)
