"""Lesson 2: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import math

import numpy as np

from cryoedu.microscope.realspace import rotate


def loops_ccf(images, references):
    return np.array([[(x * a).sum() for a in references] for x in images])


def table(images, reference, angles):
    return loops_ccf(images, [rotate(reference, a) for a in angles])


def loops_rotation(images, reference, angles):
    return np.array([max(zip(row, angles))[1] for row in table(images, reference, angles)])


def aligned(images, reference, angles, sense=-1):
    best = loops_rotation(images, reference, angles)
    return [rotate(x, sense * a) for x, a in zip(images, best)]


def loops_average(images, reference, angles):
    return sum(aligned(images, reference, angles)) / len(images)


def centred(a):
    return a - a.mean(axis=(1, 2), keepdims=True)


def lengths(images, references):
    return np.outer([np.sqrt((x**2).sum()) for x in images], [np.sqrt((a**2).sum()) for a in references])


def means(images, reference, angles):
    """The mean of the images of each rotation that any image has, turned back."""
    best = loops_rotation(images, reference, angles)
    return [rotate(images[best == a].mean(0), -a) for a in angles if (best == a).any()]


def mean_of_nothing(images, reference, angles):
    best, average = loops_rotation(images, reference, angles), np.zeros(reference.shape)
    for a in angles:
        average += rotate(images[best == a].sum(0) / np.sum(best == a), -a)
    return average / len(angles)


def turned_again_and_again(images, reference, angles):
    return np.array([angles[np.argmax([(x * rotate(reference, a)).sum() for a in angles])] for x in images])


def every_image_by_every_rotation(images, reference, angles):
    total = 0
    for image, best in zip(images, loops_rotation(images, reference, angles)):
        total = total + rotate(image, -angles)[list(angles).index(best)]
    return total / len(images)


def from_the_old_one(images, reference, angles):
    average = reference.copy()
    for image in aligned(images, reference, angles):
        average += image
    return average / len(images)


def all_products(images, references):
    return (images[:, None] * references).sum(axis=(2, 3))


WRONG = [
    ("2.1", 20, "1/√N"),
    ("2.1", 0.0025, "variance"),
    ("2.1", 4.4721, "took the root"),
    ("2.1", 200, "half"),
    ("2.1", 1000, "not it"),
    ("2.1", "many", "One number"),
    ("2.2", lambda x, a: loops_ccf(x, a).T, "exchanged"),
    ("2.2", lambda x, a: (x[:4] * a[:4]).sum(), "one number for everything"),
    ("2.2", lambda x, a: loops_ccf(x, a) / 36, "mean over the pixels"),
    ("2.2", lambda x, a: np.array([[((i - r) ** 2).sum() for r in a] for i in x]), "squared distance"),
    ("2.2", lambda x, a: np.array([[np.linalg.norm(i - r) for r in a] for i in x]), "the distance |X − A|."),
    ("2.2", lambda x, a: loops_ccf(x, a) / lengths(x, a), "divided by the lengths of image"),
    ("2.2", lambda x, a: loops_ccf(centred(x), centred(a)), "covariance"),
    ("2.2", lambda x, a: loops_ccf(centred(x), centred(a)) / lengths(centred(x), centred(a)), "means and divided"),
    ("2.2", lambda x, a: -loops_ccf(x, a), "sign"),
    ("2.2", lambda x, a: np.ones((4, 5)), "not the CCF"),
    ("2.2", all_products, "4 GB"),
    ("2.2", lambda x, a: np.abs(loops_ccf(x, a)), "absolute"),
    ("2.2", lambda x, a: np.tensordot(x, a, axes=([1, 2], [2, 1])), "rows of the image with the columns"),
    ("2.2", lambda x, a: loops_ccf(x, a) / len(x[0]), "pixels in a row"),
    ("2.2", lambda x, a: loops_ccf(x, a) / np.linalg.norm(a, axis=(1, 2)), "length of the reference"),
    ("2.2", lambda x, a: -np.array([[((i - r) ** 2).sum() for r in a] for i in x]), "with a minus"),
    ("2.2", lambda x, a: loops_ccf(x, a) + 1e-3j, "complex"),
    ("2.2", lambda x, a: [[1, 2], [3]], "your function returns list"),
    ("2.3", lambda x, r, a: [[1, 2], [3]], "your function returns list"),
    ("2.4", lambda x, r, a: [[1, 2], [3]], "your function returns list"),
    ("2.2", lambda x, a: x * a, "ValueError"),
    ("2.2", lambda x, a: x.sum(axis=(1, 2)), "shape"),
    ("2.3", lambda x, r, a: table(x, r, a).argmax(1), "place of the highest"),
    ("2.3", lambda x, r, a: a[table(x, r, a).argmin(1)], "lowest"),
    ("2.3", lambda x, r, a: table(x, r, a).max(1), "highest CCF values"),
    ("2.3", lambda x, r, a: a[table(x, r, a).argmax(0)], "axis 0"),
    ("2.3", lambda x, r, a: table(x, r, a).argmax(0), "axis 0"),
    ("2.3", lambda x, r, a: a[np.abs(table(x, r, a)).argmax(1)], "absolute"),
    ("2.3", lambda x, r, a: np.array([a[np.argmax([(i * r).sum() for i in rotate(i, a)])] for i in x]), "other way"),
    ("2.3", lambda x, r, a: np.arange(0, 360, 5.0)[loops_ccf(x, rotate(r, np.arange(0, 360, 5.0))).argmax(1)],
     "not among those"),
    ("2.3", turned_again_and_again, "anew for each image and"),
    ("2.3", lambda x, r, a: (angle for angle in loops_rotation(x, r, a)), "returns generator"),
    ("2.2", lambda x, a: {"ccf": loops_ccf(x, a)}, "returns dict"),
    ("2.3", lambda x, r, a: table(x, r, a), "shape"),
    ("2.3", lambda x, r, a: loops_rotation(x, r, -a) * -1, "other way"),
    ("2.3", lambda x, r, a: -loops_rotation(x, r, a), "turn the images back"),
    ("2.3", lambda x, r, a: loops_rotation(x, r, a)[0], "One angle for each"),
    ("2.3", lambda x, r, a: np.full(len(x), 22.0), "not the rotations"),
    ("2.4", lambda x, r, a: sum(aligned(x, r, a, +1)) / len(x), "wrong way: "),
    ("2.4", lambda x, r, a: sum(aligned(x, r, a, +1)), "wrong way, and"),
    ("2.4", lambda x, r, a: x.mean(0), "as they are"),
    ("2.4", lambda x, r, a: sum(aligned(x, r, a)), "not divided by their number"),
    ("2.4", lambda x, r, a: aligned(x, r, a)[-1], "last image only, turned back."),
    ("2.4", lambda x, r, a: aligned(x, r, a)[-1] / len(x), "turned back and divided"),
    ("2.4", lambda x, r, a: rotate(r, loops_rotation(x, r, a)).mean(0), "turned references"),
    ("2.4", lambda x, r, a: r, "old reference"),
    ("2.4", lambda x, r, a: sum(rotate(i, -a[row.argmin()]) for i, row in zip(x, table(x, r, a))) / len(x), "worst"),
    ("2.4", lambda x, r, a: np.zeros(r.shape), "nothing was added"),
    ("2.4", lambda x, r, a: sum(aligned(x, r, a)) / len(a), "number of rotations"),
    ("2.4", lambda x, r, a: sum(aligned(x, r, a, +1)) / len(a), "wrong way, and you divide"),
    ("2.4", lambda x, r, a: sum(aligned(x, r, a)) / len(r), "pixels in a row"),
    ("2.4", lambda x, r, a: sum(aligned(x, r, a)) / x.size, "images.size"),
    ("2.4", lambda x, r, a: loops_average(x, r, a) / len(x), "divide twice"),
    ("2.4", lambda x, r, a: np.mean(means(x, r, a), axis=0), "and then these averages"),
    ("2.4", lambda x, r, a: sum(means(x, r, a)), "add these averages up"),
    ("2.4", lambda x, r, a: sum(means(x, r, a)) / len(a), "add up or divide"),
    ("2.4", mean_of_nothing, "mean of nothing"),
    ("2.4", from_the_old_one, "begin with zeros"),
    ("2.4", lambda x, r, a: loops_average(x, r, a) + r, "add the old reference"),
    ("2.4", every_image_by_every_rotation, "every image by every rotation"),
    ("2.4", lambda x, r, a: np.median(aligned(x, r, a), axis=0), "not the average"),
    ("2.4", lambda x, r, a: aligned(x, r, a), "shape"),
    ("2.5", lambda m, d, M: m / (m * m + d / M), "root is missing"),
    ("2.5", lambda m, d, M: m * m / (m * m + d / M), "square of the correlation"),
    ("2.5", lambda m, d, M: m / math.sqrt(d / M), "portrait itself"),
    ("2.5", lambda m, d, M: m / math.sqrt(m * m + d), "single image"),
    ("2.5", lambda m, d, M: m / math.sqrt(m * m + d * M), "multiply"),
    ("2.5", lambda m, d, M: m / math.sqrt(m + d / M), "square of m"),
    ("2.5", lambda m, d, M: m / (m + math.sqrt(d / M)), "do not add up"),
    ("2.5", lambda m, d, M: math.sqrt(m * m + d / M) / m, "upside down"),
    ("2.5", lambda m, d, M: m / math.sqrt(m * m + d / math.sqrt(M)), "variance falls"),
    ("2.5", lambda m, d, M: m / math.sqrt(m * m + (d / M) ** 2), "once more"),
    ("2.5", lambda m, d, M: 0.5, "brackets"),
    ("2.5", lambda m, d, M: math.sqrt(m * m + d / M), "length of the average, √"),
    ("2.5", lambda m, d, M: m * m + d / M, "length of the average, squared"),
    ("2.5", lambda m, d, M: m / math.sqrt(m * m + M / d), "upside down below"),
    ("2.5", lambda m, d, M: m / math.sqrt((m * m + d) / M), "divide it by M too"),
    ("2.5", lambda m, d, M: m / math.sqrt(m * m) + d / M, "Brackets are missing"),
    ("2.5", lambda m, d, M: math.sqrt(m) / math.sqrt(m * m + d / M), "√m"),
    ("2.5", lambda m, d, M: [m, d], "one number"),
    ("2.6", 4096 / 2.7**2, "0.71"),
    ("2.6", 4096 / 4 / 2.7**2, "takes one"),
    ("2.6", 4096 / 3 / 2.7, "square of m"),
    ("2.6", 3 * 4096 / 2.7**2, "one third"),
    ("2.6", 4096 / 2 / 2.7**2, "forgot the square: "),
    ("2.6", 3 * 2.7**2 / 4096, "upside down"),
    ("2.6", 1000, "not it"),
    ("2.6", 3 * 2.7**2, "Divide d by it"),
]
