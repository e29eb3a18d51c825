"""The exercises of lesson 1 that make a map of images and compare images with it: 1.5, 1.6 and 1.7.

Arrays are named as in the lesson: ``volume`` (n, n, n) a map, ``angles`` (3,) rot, tilt, psi in degrees, ``image``
(n, n), ``projections`` (R, n, n).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import (
    Wrong,
    call,
    call_for_array,
    call_for_number,
    describe,
    first_match,
    given_number,
    same,
    whole_number,
)
from cryoedu.microscope.realspace import rotate_map

Array = NDArray[Any]
VIEWS = ((25.0, 60.0, 110.0), (140.0, 35.0, -70.0))  # rot, tilt, psi of exercises 1.1 and 1.5


# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

def smear_back(image: Array, angles: Any) -> Array:
    """(n, n, n): the image in every layer along the beam, turned back to where the particle was seen from."""
    beam = np.repeat(image[None], len(image), axis=0)
    rot, tilt, psi = angles
    return rotate_map(beam, (-psi, -tilt, -rot))


def weight(volume: Array) -> Array:
    """(n, n, n): the map with each of its waves multiplied by its |k|."""
    return np.asarray(np.fft.ifftn(np.fft.fftn(volume) * wave_numbers(len(volume))).real)


def wave_numbers(n: int) -> Array:
    """|k| (n, n, n) of each wave, in waves per voxel, in the order of ``fftn``."""
    f = np.fft.fftfreq(n)
    return np.asarray(np.sqrt(f[:, None, None] ** 2 + f[:, None] ** 2 + f**2))


def best_match(image: Array, projections: Array) -> int:
    """The index of the projection with the highest normalised cross-correlation."""
    return int(np.argmax(normalised_ccf(image, projections)))


def normalised_ccf(image: Array, projections: Array) -> Array:
    """(R,): correlation coefficients of an image with projections (R, n, n)."""
    x, a = image - image.mean(), projections - projections.mean(axis=(1, 2), keepdims=True)
    return np.asarray(np.tensordot(a, x, axes=2) / np.sqrt(np.sum(a**2, axis=(1, 2)) * np.sum(x**2)))


def an_index(value: Any) -> int:
    """One index, also of what np.where gives: an array, or a tuple of one."""
    return whole_number(np.ravel(value))


# ---- the judges -------------------------------------------------------------------------------------------------

def example_map(seed: int, box: int = 16) -> Array:
    """A smooth random map (n, n, n) that looks different from every side, empty towards the edges of its box."""
    from scipy.ndimage import gaussian_filter

    from cryoedu.geometry.masks import radius_from_centre

    rng = np.random.default_rng(seed)
    density = gaussian_filter(rng.normal(size=(box,) * 3), 1.5) * (radius_from_centre(box, 3) < 0.38 * box)
    return np.asarray(density / np.abs(density).max() + 0.2 * (radius_from_centre(box, 3) < 0.3 * box))


def judge_smear(answer: Any) -> str | None:
    """1.5: the picture in every layer, turned back."""
    for seed, view in zip((151, 152), VIEWS, strict=True):
        image, angles = rotate_map(example_map(seed), view).sum(axis=0), np.array(view)
        right, n = smear_back(image, angles), len(image)
        beam = np.repeat(image[None], n, axis=0)
        rot, tilt, psi = view
        if np.ndim(call(answer, image, angles)) == 2:
            return "That is still a picture. Begin with np.repeat(image[None], n, axis=0): n equal layers along z."
        volume = call_for_array(answer, right.shape, image, angles)
        if not same(volume, right, 0.01):
            if same(volume.std(), right.std(), 0.1) and np.corrcoef(volume.ravel(), right.ravel())[0, 1] > 0.95:
                return ("That is nearly it, but every turn has to interpolate between voxels, and several turns blur "
                        "more than one does. Turn once, by all three angles: rotate_map(layers, (-psi, -tilt, -rot)).")
            return first_match(volume, {
                "The picture is smeared along the beam, but not turned back to where the particle was seen from.": beam,
                "You turned by the angles themselves, the way the particle was turned. Back is by (−psi, −tilt, −rot).":
                    rotate_map(beam, angles),
                "You turned each angle back, but in the same order. What was turned last must be turned back first: "
                "(−psi, −tilt, −rot).": rotate_map(beam, -angles),
                "You reversed the order, but not the signs: (−psi, −tilt, −rot).": rotate_map(beam, (psi, tilt, rot)),
                "You smeared along x. The layers along the beam are axis 0: np.repeat(image[None], n, axis=0).":
                    rotate_map(np.repeat(image[:, :, None], n, axis=2), (-psi, -tilt, -rot)),
                "You smeared along y. The layers along the beam are axis 0: np.repeat(image[None], n, axis=0).":
                    rotate_map(np.repeat(image[:, None], n, axis=1), (-psi, -tilt, -rot)),
                "Only one layer holds the picture. It could have come from any depth: put it into all n layers.":
                    rotate_map(beam * (np.arange(n) == n // 2)[:, None, None], (-psi, -tilt, -rot)),
                "You divided by the number of layers. Leave the picture as it is in each of them.": right / n,
                "You turned back psi and tilt, but not rot.": rotate_map(beam, (-psi, -tilt, 0)),
                "You turned back tilt and rot, but not psi.": rotate_map(beam, (0, -tilt, -rot)),
                "You turned back psi and rot, but not tilt.": rotate_map(beam, (-psi, 0, -rot)),
                "The sign of tilt is missing: (−psi, −tilt, −rot).": rotate_map(beam, (-psi, tilt, -rot)),
                "You turned the picture first, then smeared it along z. Smear first, then turn the layers.":
                    np.repeat(rotate_map(beam, (-psi, -tilt, -rot))[n // 2][None], n, axis=0),
                "The picture is mirrored at the diagonal: its rows are y and its columns x. Leave out the transpose.":
                    rotate_map(beam.transpose(0, 2, 1), (-psi, -tilt, -rot)),
            }, 0.01) or ("That is not the smeared picture. n equal layers along z (axis 0), then "
                         "rotate_map(…, (−psi, −tilt, −rot)).")
    return None


def judge_weight(answer: Any) -> str | None:
    """1.6: every wave times its |k|."""
    for seed, n in ((166, 12), (167, 15)):
        volume = np.random.default_rng(seed).normal(0.3, 1, (n, n, n))
        F, k, right = np.fft.fftn(volume), wave_numbers(n), weight(volume)
        try:
            result = call(answer, volume)
        except Wrong as wrong:
            if "'k'" in str(wrong) or "'f'" in str(wrong):
                return str(wrong) + " The first two lines, which make f and k, were there already: put them back."
            raise
        if np.iscomplexobj(result) and np.shape(result) == F.shape and same(result, F * k):
            return "These are the weighted waves. Make a map of them again: np.fft.ifftn(…), then .real."
        if np.iscomplexobj(result) and np.shape(result) == F.shape and same(np.real(result), right):
            return "That is right but for its type: it is complex, with nothing in the imaginary part. End with .real."
        made = call_for_array(answer, right.shape, volume)
        if not same(made, right):
            with np.errstate(divide="ignore", invalid="ignore"):
                divided = np.fft.ifftn(np.where(k > 0, F / k, 0)).real
            return first_match(made, {
                "Nothing has changed. Multiply the waves by k, between fftn and ifftn.": volume,
                "You worked on the voxels. It is the waves that have a |k|: go there first with np.fft.fftn.":
                    volume * k,
                "You divided by |k|, which blurs even more. What was counted half as often needs twice the weight: "
                "multiply.": divided,
                "You multiplied by |k|². Waves are counted as 1/|k|, so |k| itself undoes it.":
                    np.fft.ifftn(F * k**2).real,
                "You multiplied by the root of |k|. Waves are counted as 1/|k|, so |k| itself undoes it.":
                    np.fft.ifftn(F * np.sqrt(k)).real,
                "You added k. Each wave is multiplied by its |k|.": np.fft.ifftn(F + k).real,
                "You took the absolute values of the waves. Their phases say where things are: keep them.":
                    np.fft.ifftn(np.abs(F) * k).real,
                "That is the absolute value of the map. Densities may be below 0: take .real instead.": np.abs(right),
                "You used fftn a second time, which gives the map back to front. Back leads np.fft.ifftn.":
                    np.fft.fftn(F * k).real,
                "k is in the order of fftn already, the coarsest wave first. Leave out fftshift.":
                    np.fft.ifftn(F * np.fft.fftshift(k)).real,
                "Those are the real parts of the waves, not a map. Transform back with np.fft.ifftn.": (F * k).real,
                "That is the imaginary part, which holds only rounding. Take .real.": np.zeros_like(right),
                "You took the waves apart along one axis only. A map has three: np.fft.fftn and np.fft.ifftn.":
                    np.fft.ifft(np.fft.fft(volume) * k).real,
            }) or "That is not the weighted map. Three steps: np.fft.fftn, times k, np.fft.ifftn; then .real."
    return None


TRIALS = 16  # of exercise 1.7: so many that no wrong rule is right in all of them


def judge_match(answer: Any) -> str | None:
    """1.7: argmax of the normalised cross-correlation."""
    trials = [matching_trial(seed) for seed in range(160, 160 + TRIALS)]
    found = []
    for image, projections in trials:
        result = call(answer, image, projections)
        if isinstance(result, tuple) and len(result) == 1 and np.size(result[0]) == 1:
            result = result[0]  # as np.where gives it
        if np.ndim(result) == 1 and np.size(result) == len(projections):
            ranks = sorted(np.ravel(result).tolist()) == list(range(len(projections)))
            return ("These are all indices, in the order of their scores. Asked for is one: that of the highest."
                    if ranks else
                    "That is one number for each projection. Asked for is the index of the largest one: np.argmax.")
        if np.ndim(result) == 2 and np.shape(result) == image.shape:
            return "That is the projection itself. Asked for is its index."
        if np.size(result) > 1:
            return (f"That is {describe(result)}, but one index is asked for. The sum of products runs over both axes "
                    "of the image, so that one number is left for each projection.")
        found.append(given_number(np.ravel(result)[0]) if np.size(result) == 1
                     else call_for_number(answer, image, projections))
    rules: dict[str, Callable[[Array, Array], Any]] = {
        "That is the highest correlation. Asked for is where it stands: np.argmax instead of np.max.":
            lambda x, a: normalised_ccf(x, a).max(),
        "That is the lowest correlation. The best match has the highest.": lambda x, a: normalised_ccf(x, a).argmin(),
        "You do not normalise, so projections with strong contrast win whatever they show. Subtract each mean and "
        "divide by the root of the sum of squares.": lambda x, a: np.tensordot(a, x, axes=2).argmax(),
        "You subtract the means, but do not divide by the root of the sum of squares, so projections with strong "
        "contrast win.": lambda x, a: np.tensordot(a, x - x.mean(), axes=2).argmax(),
        "You divide by the root of the sum of squares, but the means are not subtracted: bright projections win.":
            lambda x, a: (np.tensordot(a, x, axes=2) / np.sqrt(np.sum(a**2, axis=(1, 2)))).argmax(),
        "You divide by the sum of squares. Its root is the length of a projection: without the root, weak projections "
        "win.": lambda x, a: (normalised_ccf(x, a) / np.sqrt(a.var(axis=(1, 2)))).argmax(),
        "You take the smallest difference. Image and projections are not on one grey scale, so a difference says more "
        "about their contrast than about what they show.": lambda x, a: np.sum((x - a) ** 2, axis=(1, 2)).argmin(),
        "Your index counts from 1. Python counts from 0: np.argmax gives it directly.":
            lambda x, a: best_match(x, a) + 1,
        "You take the correlation with the largest absolute value. A strong negative one is the opposite of a match.":
            lambda x, a: np.abs(normalised_ccf(x, a)).argmax(),
        "You subtract one mean from all projections. Each has its own: projections.mean(axis=(1, 2), keepdims=True).":
            lambda x, a: (np.tensordot(a - a.mean(), x - x.mean(), axes=2)
                          / np.sqrt(np.sum((a - a.mean()) ** 2, axis=(1, 2)))).argmax(),
        "You take the largest sum of the projection's pixels, whatever the image shows.":
            lambda x, a: a.sum(axis=(1, 2)).argmax(),
        "You always give the first one. Asked for is the index of the projection that fits this image best.":
            lambda x, a: 0,
    }
    right = [best_match(*trial) for trial in trials]
    return None if same(found, right, 1e-9) else first_match(
        found, {why: [float(rule(*trial)) for trial in trials] for why, rule in rules.items()}, 1e-6) or (
        "That is not always the best match. Subtract the mean from the image and from each projection, take the sum "
        "of products for each projection, divide by the root of the projection's sum of squares, then np.argmax.")


def matching_trial(seed: int) -> tuple[Array, Array]:
    """A noisy image (12, 12) and projections (20, 12, 12) of unequal contrast and brightness; one image in four is the
    negative of a projection."""
    rng = np.random.default_rng(seed)
    bare = rng.normal(size=(20, 12, 12))
    projections = (bare - bare.mean(axis=(1, 2), keepdims=True)) * rng.uniform(0.5, 4, (20, 1, 1))
    projections += rng.uniform(-1, 4, (20, 1, 1))
    shown = bare[rng.integers(0, 20)] * (-1 if seed % 4 == 0 else 1)
    return shown + 2 * rng.normal(size=(12, 12)) + rng.uniform(0.5, 2), projections
