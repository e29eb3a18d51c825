"""The exercises of lesson 2, maxCC alignment.

Arrays are named as in the lesson: ``images`` (N, n, n), ``reference`` (n, n), ``references`` (R, n, n) the reference
turned by each of the ``angles`` (R,) in degrees. Of the noise portrait, ``m`` is the expected highest CCF (in units of
its own spread), ``d`` the number of independent pixels and ``M`` the number of images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.effort import peak_bytes, turns
from cryoedu.course.exercises import (
    Exercise,
    call,
    call_for_array,
    call_for_number,
    first_match,
    given_number,
    has_nan,
    number,
    real_array,
    same,
    shape_of,
)

Array = NDArray[Any]

# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

NOISE_LEFT = 0.05  # of exercise 2.1: the noise that may be left where each image has σ = 1
IMAGES_TO_AVERAGE = 1 / NOISE_LEFT**2
HIGHEST, PIXELS, REACHED = 2.7, 4096, 0.5  # of exercise 2.6: m, d and the correlation
IMAGES_TO_REACH = PIXELS / HIGHEST**2 / (1 / REACHED**2 - 1)


def ccf(images: Array, references: Array) -> Array:
    """(N, R): the sum over the pixels of each image times each reference."""
    return np.tensordot(images, references, axes=([1, 2], [1, 2]))


def best_rotation(images: Array, reference: Array, angles: Array) -> Array:
    """(N,): for each image the angle, of ``angles``, by which the turned reference has the highest CCF."""
    from cryoedu.microscope.realspace import rotate

    return np.asarray(angles[ccf(images, rotate(reference, angles)).argmax(axis=1)])


def align_and_average(images: Array, reference: Array, angles: Array) -> Array:
    """(n, n): every image turned back by its best rotation, added up and divided by N."""
    from cryoedu.microscope.realspace import rotate

    best = best_rotation(images, reference, angles)
    average = np.zeros(images.shape[1:])
    for angle in angles:
        average += rotate(images[best == angle].sum(axis=0), -angle)
    return average / len(images)


def predicted_correlation(m: float, d: float, M: float) -> float:
    """Correlation with the reference of the average of M aligned noise images."""
    return float(m / np.sqrt(m**2 + d / M))


# ---- the judges -------------------------------------------------------------------------------------------------

def particles(seed: int) -> tuple[Array, Array, Array]:
    """Images (9, 20, 20) of a random smooth reference in some of its 7 rotations; the reference; the angles.

    The first image is inverted, so that its highest CCF is not the largest in size.
    """
    from scipy.ndimage import gaussian_filter

    from cryoedu.geometry.masks import radius_from_centre
    from cryoedu.microscope.realspace import rotate

    rng, box = np.random.default_rng(seed), 20
    inside = radius_from_centre(box, 2) < 0.4 * box
    reference = gaussian_filter(rng.normal(size=(box, box)) * inside, 1.5) * 10
    angles = np.array([22.0, 67.0, 111.5, 172.0, 243.0, 277.5, 318.0])
    shown = rotate(reference, rng.permutation(np.resize(angles[1:], 9)))  # none shows the first
    shown[0] *= -1.5
    return shown + 0.2 * rng.normal(size=shown.shape), reference, angles


def judge_images_to_average(answer: Any) -> str | None:
    """2.1: N = 1 / 0.05²."""
    value = given_number(answer)
    return None if same(value, IMAGES_TO_AVERAGE, 0.005) else first_match(value, {
        "That would be right if the noise fell as 1/N. It falls as 1/√N, more slowly.": 1 / NOISE_LEFT,
        "That is the variance that is left, σ² = 0.05². Asked for is the number of images.": NOISE_LEFT**2,
        "You took the root where a square belongs: from 0.05 = 1/√N follows N = 1/0.05².": 1 / math.sqrt(NOISE_LEFT),
        "That is half of it. The noise is the same in every image, and only N counts: N = (σ / 0.05)².":
            IMAGES_TO_AVERAGE / 2,
    }, 0.005) or "That is not it. The noise of an average of N images is σ/√N. Set it to 0.05 and solve for N."


def judge_ccf(answer: Any) -> str | None:
    """2.2: CCF(i, φ) = Σ_j X_ij A_φj."""
    for seed in (221, 222):
        rng = np.random.default_rng(seed)
        images, references = rng.normal(0.3, 1, (4, 6, 6)), rng.normal(0.2, 1, (5, 6, 6))
        right, norms = ccf(images, references), np.linalg.norm(images, axis=(1, 2))[:, None]
        result = call(answer, images, references)
        if shape_of(result) == right.T.shape and same(result, right.T):
            return ("The numbers are right, but rows and columns are exchanged: one row for each image, "
                    "one column for each reference.")
        if shape_of(result) == ():
            return ("Your function returns one number for everything. Each image and each reference give a number of "
                    "their own: shape (N, R).")
        value = call_for_array(answer, right.shape, images, references)
        if not same(value, right):
            squares = np.sum((images[:, None] - references) ** 2, axis=(2, 3))
            energy = np.linalg.norm(references, axis=(1, 2))
            centred = [a - a.mean(axis=(1, 2), keepdims=True) for a in (images, references)]
            return first_match(value, {
                "That is the mean over the pixels. The CCF is their sum.": right / images[0].size,
                "You divide by the number of pixels in a row. The CCF is the plain sum.": right / len(images[0]),
                "That is the squared distance |X − A|². It is small where the CCF is high: the CCF is the product, "
                "summed over the pixels.": squares,
                "That is the squared distance, with a minus. It ranks the rotations as the CCF does, but the CCF is "
                "the product, summed over the pixels.": -squares,
                "That is the distance |X − A|. The CCF is the product, summed over the pixels.": np.sqrt(squares),
                "That is the correlation coefficient, the CCF divided by the lengths of image and reference. Here the "
                "plain sum of the products is asked for.": right / norms / energy,
                "You divide by the length of the reference. Here the plain sum of the products is asked for.":
                    right / energy,
                "You subtracted the means first. That gives the covariance; here the plain sum of the products is "
                "asked for.": ccf(*centred),
                "You subtracted the means and divided by the lengths. That gives the correlation coefficient; here "
                "the plain sum of the products is asked for.": ccf(*centred) / (
                    np.linalg.norm(centred[0], axis=(1, 2))[:, None] * np.linalg.norm(centred[1], axis=(1, 2))),
                "The sign is wrong: a good match must give a high CCF.": -right,
                "You took absolute values. A CCF below zero is a bad match, and must stay one.": np.abs(right),
                "You paired the rows of the image with the columns of the reference: pixel (y, x) belongs to pixel "
                "(y, x).": ccf(images, references.transpose(0, 2, 1)),
            }) or ("That is not the CCF. For image i and reference k: multiply pixel by pixel, then add up over both "
                   "axes of the image.")
    images, references = np.ones((30, 24, 24)), np.ones((40, 24, 24))
    if peak_bytes(answer, images, references) > 2 * len(images) * references.size:  # bytes; all products take 4 or 8
        return ("Right, but your function keeps all the products at once, images × references × pixels. In section 8 "
                "they would take 4 GB. Add up as you go: loop over the images, or let np.tensordot do it.")
    return None


def judge_best_rotation(answer: Any) -> str | None:
    """2.3: argmax over the rotations."""
    from cryoedu.microscope.realspace import rotate

    for seed in (231, 232):
        images, reference, angles = particles(seed)
        table = ccf(images, rotate(reference, angles))
        right = angles[table.argmax(axis=1)]
        shape = shape_of(call(answer, images, reference, angles))
        if shape == ():
            return "One angle for each image is asked for: look for the highest CCF in each row (axis=1)."
        if shape == angles.shape:
            return ("That is one number for each rotation: you looked for the best image of each (axis 0). Each image "
                    "must get a rotation: axis 1.")
        value = call_for_array(answer, right.shape, images, reference, angles)
        if not same(value, right):
            return first_match(value, {
                "That is the place of the highest CCF in the list of angles, not the angle. Look it up: angles[…].":
                    table.argmax(axis=1),
                "These are angles with the lowest CCF. The best match has the highest: argmax, not argmin.":
                    angles[table.argmin(axis=1)],
                "Those are the highest CCF values. Asked for is where they are: argmax instead of max.":
                    table.max(axis=1),
                "You took absolute values first. A CCF far below zero is a bad match.":
                    angles[np.abs(table).argmax(axis=1)],
                "You turned the reference the other way, or the images instead. rotate(reference, angles) shows the "
                "reference as a particle that is turned by +φ.":
                    angles[ccf(images, rotate(reference, -angles)).argmax(axis=1)],
                "Those are the angles that turn the images back, −φ. Asked for is how the particles are turned, +φ.":
                    -right,
            }) or ("Some of your angles are not among those that your function is given. Look them up in angles."
                   if not np.isin(value, angles).all() else None) or (
                "Those are not the rotations with the highest CCF. Turn the reference by all angles, take the CCF with "
                "the images, and find the place of the highest value in each row.")
    if turns(answer, images, reference, angles) >= len(images) * len(angles):
        return ("Right, but you turn a picture anew for each image and each angle. With 500 images that takes 500 "
                "times as long, and the lesson would run for half an hour. Turn the reference once, before the loop: "
                "rotate(reference, angles).")
    return None


def judge_align_and_average(answer: Any) -> str | None:
    """2.4: one round of align and average."""
    from cryoedu.microscope.realspace import rotate

    for seed in (241, 242):
        images, reference, angles = particles(seed)
        right, best = align_and_average(images, reference, angles), best_rotation(images, reference, angles)
        if has_nan(call(answer, images, reference, angles)):
            return ("Your average is NaN. Some rotations are the best of no image, and the mean of nothing is NaN. Add "
                    "up (sum), and divide once, at the end, by the number of images.")
        value = call_for_array(answer, right.shape, images, reference, angles)
        if same(value, right, 0.01):
            continue
        forward = np.mean([rotate(x, a) for x, a in zip(images, best)], axis=0)
        worst = angles[ccf(images, rotate(reference, angles)).argmin(axis=1)]
        means = np.array([rotate(images[best == a].mean(axis=0), -a) for a in angles if (best == a).any()])
        return first_match(value, {
            "You turn the images the wrong way: the particle is turned by +φ, so it is turned back by −φ.": forward,
            "You turn the wrong way, and you do not divide by the number of images.": forward * len(images),
            "You turn the wrong way, and you divide by the number of rotations instead of images.":
                forward * len(images) / len(angles),
            "The images are averaged as they are. Turn each one back by its best rotation first.": images.mean(axis=0),
            "The aligned images are added up, but not divided by their number.": right * len(images),
            "You divide by the number of rotations. An average is divided by the number of images.":
                right * len(images) / len(angles),
            "You divide by the number of pixels in a row, len(reference). An average is divided by the number of "
            "images.": right * len(images) / len(reference),
            "You divide by all the pixels of all images (images.size). An average of images is divided by their "
            "number, len(images).": right / reference.size,
            "You divide twice by the number of images.": right / len(images),
            "You average the images of each rotation first, and then these averages. So an image among few weighs "
            "more than one among many: add up all, and divide by their number.": means.mean(axis=0),
            "You average the images of each rotation first, and add up or divide these averages. An image among few "
            "then weighs more than one among many: add up all, and divide by their number.":
                means.sum(axis=0) / len(angles),
            "You average the images of each rotation and add these averages up. Add up the images, and divide by their "
            "number.": means.sum(axis=0),
            "You turned every image back by its worst rotation: argmax, not argmin.":
                np.mean([rotate(x, -a) for x, a in zip(images, worst)], axis=0),
            "You average the turned references. The new reference must come from the images.":
                rotate(reference, best).mean(axis=0),
            "That is the old reference. The new one is the average of the images, turned back.": reference,
            "You add the old reference too. The new one comes from the images alone.": right + reference,
            "You add the old reference too. The new one comes from the images alone: begin with zeros.":
                right + reference / len(images),
            "That is the last image only, turned back. Add the images up in the loop (average += …).":
                rotate(images[-1], -best[-1]),
            "That is the last image only, turned back and divided. Add the images up in the loop (average += …).":
                rotate(images[-1], -best[-1]) / len(images),
            "That is zero everywhere: nothing was added to `average`.": np.zeros(right.shape),
        }, 0.01) or ("That is not the average of the aligned images. Find the best rotation φ of each image, turn the "
                     "image by −φ, add up, and divide by the number of images.")
    if turns(answer, images, reference, angles) >= len(images) * len(angles):
        return ("Right, but you turn every image by every rotation. The lesson would run for half an hour. Turn each "
                "image once, by its best rotation.")
    return None


def judge_predicted(answer: Any) -> str | None:
    """2.5: m / √(m² + d/M)."""
    rng = np.random.default_rng(251)
    for _ in range(3):  # d is so large that d - 1 in its place is right too
        m, d, count = float(rng.uniform(1.5, 4)), float(rng.integers(2000, 9000)), float(rng.integers(20, 900))
        right = predicted_correlation(m, d, count)
        value = call_for_number(answer, m, d, count)
        if not same(value, right):
            return first_match(value, {
                "The root is missing: the length of the average is the root of the sum of the squares.":
                    m / (m**2 + d / count),
                "That is the square of the correlation. Take the root.": right**2,
                "That is the length of the average, √(m² + d/M). The correlation is the part along the portrait, m, "
                "divided by it.": m / right,
                "That is the length of the average, squared. The correlation is m, divided by the length.":
                    m**2 + d / count,
                "You forgot the portrait itself, or divide it by M too: the average has the length √(m² + d/M).":
                    m / math.sqrt(d / count),
                "You forgot to divide d by M: that is the correlation of a single image.": m / math.sqrt(m**2 + d),
                "You multiply d by M. Averaging more images leaves less noise: d/M.": m / math.sqrt(m**2 + d * count),
                "That is upside down below the root: the noise that is left is d/M, not M/d.":
                    m / math.sqrt(m**2 + count / d),
                "You forgot the square of m below the root.": m / math.sqrt(m + d / count),
                "Lengths of parts at right angles do not add up, their squares do: √(m² + d/M).":
                    m / (m + math.sqrt(d / count)),
                "That is upside down: a correlation cannot be larger than 1.": 1 / right,
                "Below the root stands what the noise leaves in all other directions, d/M, not d/√M: "
                "the variance falls as 1/M.": m / math.sqrt(m**2 + d / math.sqrt(count)),
                "The noise left over has the length √(d/M), as a square d/M. You squared it once more.":
                    m / math.sqrt(m**2 + (d / count) ** 2),
                "Brackets are missing: m / np.sqrt(m**2 + d / M), all of the sum below the root.":
                    m / math.sqrt(m**2) + d / count,
                "That is √m, divided by the length. The part along the portrait is m.":
                    math.sqrt(m) / math.sqrt(m**2 + d / count),
            }) or "That is not m / √(m² + d/M). Mind the brackets."
    return None


def judge_images_to_reach(answer: Any) -> str | None:
    """2.6: the number of images at which the portrait reaches 0.5."""
    value, half = given_number(answer), PIXELS / HIGHEST**2
    return None if abs(value - IMAGES_TO_REACH) <= 2 else first_match(value, {
        "That is where portrait and noise are equally strong, m² = d/M. The correlation is 0.71 there, not 0.5.": half,
        "You have 4m² = d/M. The m² on the left takes one of them away: 0.25·(m² + d/M) = m² leaves d/M = 3m².":
            half / 4,
        "You forgot the square: 0.5² = 0.25, so that d/M = 3m².": half / (1 / REACHED - 1) * REACHED,
        "You forgot the square of m: M = d/(3m²).": PIXELS / HIGHEST / 3,
        "That is three times d/m²; it should be one third: d/M = 3m².": 3 * half,
        "That is m²·3/d, upside down.": 1 / IMAGES_TO_REACH,
        "That is d/M, the square of the noise's length. Divide d by it: M = d/(3m²).": 3 * HIGHEST**2,
    }, 0.01) or "That is not it. Square 0.5 = m/√(m² + d/M), and solve for M."


EXERCISES = (
    Exercise("2.1", "How many images must be averaged?", judge_images_to_average,
             "Twenty times less noise costs four hundred images. That is why cryo-EM needs so many.",
             ("The noise of an average of N images is σ/√N, and σ = 1 here.",
              "0.05 = 1/√N. Square both sides.",
              "1 / 0.05**2"), IMAGES_TO_AVERAGE, number),
    Exercise("2.2", "Write the CCF of images with references.", judge_ccf,
             "This one line does nearly all the work of every alignment program, also of the ML ones.",
             ("Image i and reference k: np.sum(images[i] * references[k]). Two loops would do.",
              "np.tensordot adds up over axes that you name: here over axes 1 and 2 of both arrays.",
              "return np.tensordot(images, references, axes=([1, 2], [1, 2]))"), ccf, real_array),
    Exercise("2.3", "Find the best rotation of each image.", judge_best_rotation,
             "Option 1 in one line: the missing data are set to the one value that fits best, and from then on they "
             "count as known.",
             ("rotate(reference, angles) gives the reference in all rotations, (R, n, n). Your ccf takes it.",
              "argmax(axis=1) finds the place of the highest value in each row.",
              "return angles[ccf(images, rotate(reference, angles)).argmax(axis=1)]"), best_rotation, real_array),
    Exercise("2.4", "Write one round of align and average.", judge_align_and_average,
             "Call it again with its own result, and you have the whole of reference-based alignment.",
             ("Turn each image back: rotate(image, -angle), with the angle that best_rotation found for it.",
              "One loop: for image, angle in zip(images, best): average += rotate(image, -angle).",
              "Faster: turning is linear, so add up the images that share an angle and turn their sum once: for angle "
              "in angles: average += rotate(images[best == angle].sum(axis=0), -angle). Divide by len(images)."),
             align_and_average, real_array),
    Exercise("2.5", "Predict how much the average of pure noise looks like its reference.", judge_predicted,
             "No particle appears in this formula. It holds for any reference you like.",
             ("Correlation = the part along the portrait, divided by the whole length of the average.",
              "The two parts stand at right angles (Pythagoras): the whole length is √(m² + d/M).",
              "return m / np.sqrt(m**2 + d / M)"), predicted_correlation, number),
    Exercise("2.6", "From how many images on does the portrait reach a correlation of 0.5?", judge_images_to_reach,
             "Fewer than two hundred images of nothing are enough. A cryo-EM data set has a hundred thousand and more.",
             ("Set m/√(m² + d/M) = 0.5 and square both sides.",
              "m² = 0.25·(m² + d/M), so d/M = 3m².",
              "4096 / (3 * 2.7**2)"), IMAGES_TO_REACH, number),
)
