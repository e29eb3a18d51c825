"""The exercises of lesson 0, Start here: a number, a function of one line, an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import (
    Exercise,
    NotDone,
    Wrong,
    call_for_array,
    describe,
    first_match,
    given_number,
    real,
    real_array,
    same,
)

Array = NDArray[Any]
PIXELS, PIXEL_SIZE = 64, 5.5  # of exercise 0.1
WIDTH = PIXELS * PIXEL_SIZE
STEP = 5  # degrees, of exercise 0.3
ANGLES = np.arange(0, 360, STEP)


def normalise(image: Array) -> Array:
    """The image (n, n) with mean 0 and standard deviation 1."""
    return np.asarray((image - image.mean()) / image.std())


def judge_width(answer: Any) -> str | None:
    """0.1: pixels times pixel size."""
    value = given_number(answer)
    return None if same(value, WIDTH, 0.001) else first_match(value, {
        "That is the number of pixels. Each of them is 5.5 Å wide.": PIXELS,
        "That is the width of one pixel. There are 64 of them in a row.": PIXEL_SIZE,
        "You divided. Many pixels make a wide image: multiply.": PIXELS / PIXEL_SIZE,
        "You divided one pixel into 64 parts. Many pixels make a wide image: multiply.": PIXEL_SIZE / PIXELS,
        "You added. 64 pixels of 5.5 Å each: multiply.": PIXELS + PIXEL_SIZE,
        "That is the width in nanometres. Lengths are in Å here: 10 Å are 1 nm.": WIDTH / 10,
        "That is an area. The width is the length of one row of pixels.": WIDTH**2,
        "You counted all pixels of the image. For its width, count one row.": PIXELS**2 * PIXEL_SIZE,
        "That is half of the width.": WIDTH / 2,
    }, 0.001) or "That is not it. There are 64 pixels in a row, and each is 5.5 Å wide."


def judge_normalise(answer: Any) -> str | None:
    """0.2: subtract the mean, divide by the standard deviation."""
    for seed, sides in ((21, (8, 8)), (22, (11, 11))):
        rng = np.random.default_rng(seed)
        image = rng.normal(rng.uniform(2, 4), rng.uniform(1.5, 3), sides)
        right, mean, std = normalise(image), image.mean(), image.std()
        value = call_for_array(answer, right.shape, image)
        if not same(value, right, 0.003) and not same(value, (image - mean) / image.std(ddof=1), 0.003):
            return first_match(value, {
                "You gave back the image as it was.": image,
                "The mean is 0 now, but the standard deviation is not yet 1: divide by image.std() too.": image - mean,
                "The standard deviation is 1 now, but the mean is not yet 0: subtract image.mean() first.": image / std,
                "You need brackets: in `image - image.mean() / image.std()` Python divides before it subtracts.":
                    image - mean / std,
                "You divided by the variance. Divide by the standard deviation, image.std().":
                    (image - mean) / std**2,
                "You multiplied by the standard deviation. Divide by it.": (image - mean) * std,
                "The image now runs from 0 to 1. Asked for is mean 0 and standard deviation 1.":
                    (image - image.min()) / np.ptp(image),
                "You divided by the largest pixel. Divide by the standard deviation, image.std().":
                    (image - mean) / image.max(),
                "You treat each row for itself. Use mean and standard deviation of the whole image: no axis.":
                    (image - image.mean(axis=1, keepdims=True)) / image.std(axis=1, keepdims=True),
                "You treat each column for itself. Use mean and standard deviation of the whole image: no axis.":
                    (image - image.mean(axis=0)) / image.std(axis=0),
                "You added the mean. Subtract it.": (image + mean) / std,
                "You divided by the mean. Divide by the standard deviation, image.std().": (image - mean) / mean,
                "You divided by the range. Divide by the standard deviation, image.std().":
                    (image - mean) / np.ptp(image),
                "You divided by the length of the image, the root of its sum of squares. Divide by image.std().":
                    (image - mean) / np.linalg.norm(image - mean),
                "You subtracted the median. The mean is asked for: image.mean().": (image - np.median(image)) / std,
                "The sign is turned round: it is image - image.mean(), not image.mean() - image.": (mean - image) / std,
            }, 0.003) or (f"The mean of your image is {value.mean():.2f} and its standard deviation {value.std():.2f}. "
                         "They should be 0 and 1, by subtracting one number and dividing by another.")
    return None


def judge_angles(answer: Any) -> str | None:
    """0.3: 0, 5, … 355."""
    angles = given_list(answer)
    if angles.shape != ANGLES.shape:
        return first_match(angles, {
            "You have 73 angles: 360° is 0° once more. Leave it out: np.arange stops before its end.":
                np.arange(0, 360 + STEP, STEP),
            "You stopped too early: 355 belongs to it. np.arange stops before its end, so give 360 as the end.":
                np.arange(0, 360 - STEP, STEP),
            "You left out 0.": np.arange(STEP, 360, STEP),
            "These are all whole degrees. Asked for is every fifth of them: give np.arange a step.": np.arange(360),
            "These are steps of 72. np.arange takes start, end, step; the step is 5.": np.arange(0, 360, 72),
            "Half of the circle is missing.": np.arange(0, 180, STEP),
        }) or f"There should be {len(ANGLES)} angles, but you have {angles.size}."
    return None if same(angles, ANGLES, 1e-6) else first_match(angles, {
        "You begin at 5 and end at 360. Begin at 0 and end at 355.": ANGLES + STEP,
        "72 angles, but not in steps of 5: np.linspace includes its end. Use np.arange(start, end, step).":
            np.linspace(0, 360, len(ANGLES)),
        "These count from 0 to 71. Each step is 5 degrees.": np.arange(len(ANGLES)),
        "These are radians. Angles are in degrees in this course.": np.radians(ANGLES),
        "They run from -180 to 175. The same angles, but asked for is 0 to 355.": ANGLES - 180,
        "They run the other way round. Begin at 0.": ANGLES[::-1],
    }, 1e-6) or "There are 72 of them, but they are not 0, 5, 10, … 355."


def given_list(answer: Any) -> Array:
    """The answer as a list of numbers (N,). Raises NotDone (stub) or Wrong (something else)."""
    if answer is ...:
        raise NotDone
    if answer is None:
        raise Wrong("Your answer is None, which is nothing. `print` shows an array and gives None: "
                    "write what makes the array.")
    if callable(answer):
        raise Wrong("An array is asked for, but this is a function. Call it: put brackets after its name.")
    try:
        values = real(list(answer) if isinstance(answer, range) else answer)
    except (TypeError, ValueError):
        raise Wrong(f"An array of numbers is asked for, but this is {describe(answer)}.") from None
    if values.ndim != 1:
        raise Wrong(f"An array with one axis is asked for, but this is {describe(answer)}.")
    return values


EXERCISES = (
    Exercise("0.1", "How wide is an image of 64 pixels of 5.5 Å each?", judge_width,
             "So an image of this size holds a ribosome, some 300 Å across, with a margin.",
             ("Å is a length: 10 Å are a nanometre.", "64 pixels stand in a row, and each is 5.5 Å wide.", "64 * 5.5"),
             WIDTH),
    Exercise("0.2", "Normalise an image: mean 0, standard deviation 1.", judge_normalise,
             "Images from different cameras become comparable in this way.",
             ("image.mean() and image.std() are the two numbers that you need.",
              "Subtract the mean first, then divide. Mind the brackets.",
              "return (image - image.mean()) / image.std()"), normalise, real_array),
    Exercise("0.3", "All angles of the circle in steps of 5°, from 0 on.", judge_angles,
             "72 angles. You will turn particles by them in lessons 2 and 3.",
             ("np.arange(start, end, step) makes such an array.",
              "The end itself is left out, and that is what you want: 360° is 0° once more.",
              "np.arange(0, 360, 5)"), ANGLES),
)
