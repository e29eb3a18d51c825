"""The exercises of lesson 1, The experiment; those on maps are in `lesson01_maps`.

Arrays are named as in the lesson: ``volume`` (n, n, n) a map, ``angles`` (3,) rot, tilt, psi in degrees, ``image``
(n, n), ``ctf`` (n, n//2 + 1) on the half plane of ``np.fft.rfft2``.
"""

from __future__ import annotations

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
    real_array,
    same,
)
from cryoedu.course.lesson01_maps import (
    VIEWS,
    an_index,
    best_match,
    example_map,
    judge_match,
    judge_smear,
    judge_weight,
    smear_back,
    weight,
)
from cryoedu.microscope.noise import circle
from cryoedu.microscope.realspace import rotate_map

Array = NDArray[Any]


# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

def project(volume: Array, angles: Any) -> Array:
    """(n, n): the map turned by ``angles``, then added up along the beam."""
    return np.asarray(rotate_map(volume, angles).sum(axis=0))


def apply_ctf(image: Array, ctf: Array) -> Array:
    """(n, n): the image with each of its waves multiplied by the CTF."""
    return np.asarray(np.fft.irfft2(np.fft.rfft2(image) * ctf))


def add_noise(image: Array, snr: float, rng: np.random.Generator) -> Array:
    """(n, n): the image with white Gaussian noise at this SNR, the variance of the signal being that in the circle."""
    variance = image[circle(len(image))].var()
    return np.asarray(image + rng.normal(0, np.sqrt(variance / snr), image.shape))


# ---- the judges -------------------------------------------------------------------------------------------------

def judge_projection(answer: Any) -> str | None:
    """1.1: turn, then add up along z."""
    for seed, view in zip((111, 112), VIEWS, strict=True):
        volume, angles = example_map(seed), np.array(view)
        turned, right, middle = rotate_map(volume, angles), project(volume, angles), len(volume) // 2
        result = call(answer, volume, angles)
        if np.ndim(result) == 3:
            return "That is still a map. Add up along the beam: .sum(axis=0)."
        if np.ndim(result) == 0:
            return "That is one number: you added up everything. Add up along the beam only, .sum(axis=0)."
        image = call_for_array(answer, right.shape, volume, angles)
        if not same(image, right):
            return first_match(image, {
                "You did not turn the map: every particle would show the same side. Use rotate_map(volume, angles) "
                "first.": volume.sum(axis=0),
                "You added up along x (axis 2). Maps are indexed [z, y, x], and the beam runs along z: axis 0.":
                    turned.sum(axis=2),
                "You added up along y (axis 1). Maps are indexed [z, y, x], and the beam runs along z: axis 0.":
                    turned.sum(axis=1),
                "That is the mean along the beam. The electrons see all layers one after the other: the sum.":
                    turned.mean(axis=0),
                "That is one slice through the middle. The electrons go through all of the particle: add up all "
                "slices.": turned[middle],
                "That is the strongest voxel along each line. A projection adds them all up.": turned.max(axis=0),
                "You added up first and turned then. A picture cannot be turned out of its plane: turn the map, then "
                "add up.": project_first(volume, angles),
                "You turned the other way: what rotate_map is given is `angles` itself, without a minus.":
                    project(volume, -angles[::-1]),
                "You changed the signs of the angles. Give rotate_map `angles` as they are.": project(volume, -angles),
                "You gave the angles in the opposite order. rotate_map takes them as they come: rot, tilt, psi.":
                    project(volume, angles[::-1]),
                "You turned twice. Once is enough: rotate_map(volume, angles).": project(turned, angles),
                "The sum is divided by its largest value. Leave it as it is: the sum itself is the picture.":
                    right / right.max(),
                "The picture is mirrored at the diagonal: its rows are y and its columns x. Leave out the transpose.":
                    right.T,
            }) or "That is not the projection. Turn the map with rotate_map, then add up its axis 0 (z, the beam)."
    return None


def project_first(volume: Array, angles: Array) -> Array:
    """The mistake of projecting before turning: only psi is left of the angles."""
    from cryoedu.microscope.realspace import rotate

    return rotate(volume.sum(axis=0), angles[2])


def judge_ctf(answer: Any) -> str | None:
    """1.2: multiply in Fourier space."""
    for seed in (121, 122):
        rng = np.random.default_rng(seed)
        n = 16 if seed == 121 else 20
        image = rng.normal(size=(n, n))
        ky, kx = np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)
        ctf = np.asarray(np.sin(rng.uniform(40, 60) * (kx**2 + ky**2) + 0.1))
        transform, right = np.fft.rfft2(image), apply_ctf(image, ctf)
        try:
            result = call(answer, image, ctf)
        except Wrong as wrong:
            if "broadcast" in str(wrong):
                return ("The shapes do not fit. The CTF belongs to the waves of the image, not to its pixels: take "
                        "np.fft.rfft2(image) first. It has the shape of the CTF.")
            raise
        if np.iscomplexobj(result) or np.shape(result) == transform.shape:
            problem = no_image(np.asarray(result), transform, ctf)
            if problem:
                return problem
        image_out = call_for_array(answer, right.shape, image, ctf)
        if not same(image_out, right):
            return first_match(image_out, {
                "You gave back the image as it was.": image,
                "You divided by the CTF. The microscope multiplies; undoing that is the work of lessons 7 and 9.":
                    np.fft.irfft2(transform / ctf),
                "You took the absolute value of the CTF. Where it is negative, the contrast is turned round, and the "
                "microscope does that too.": np.fft.irfft2(transform * np.abs(ctf)),
                "You multiplied twice by the CTF.": np.fft.irfft2(transform * ctf**2),
                "You added the CTF. Each wave of the image is multiplied by it.": np.fft.irfft2(transform + ctf),
                "You kept the absolute values of the transform and lost its phases, which say where things are.":
                    np.fft.irfft2(np.abs(transform) * ctf),
                "You took only the sign of the CTF. Each wave also becomes weaker: multiply by the CTF itself.":
                    np.fft.irfft2(transform * np.sign(ctf)),
                "You went to the waves and back without the CTF. Multiply in between.": np.fft.irfft2(transform),
                "The contrast is turned round: multiply by the CTF as it is, without a minus.": -right,
                "You moved the waves with fftshift. The CTF is given in the order of rfft2: leave it out.":
                    np.fft.irfft2(np.fft.fftshift(transform) * ctf),
                "You moved the CTF with fftshift. It is given in the order of rfft2: leave it out.":
                    np.fft.irfft2(transform * np.fft.fftshift(ctf)),
                "You subtracted the CTF's image from the image. The image is what is left after multiplying.":
                    image - right,
                "You kept the real parts of the waves and lost half of what they say. Take .real, if at all, only at "
                "the end.": np.fft.irfft2(transform.real * ctf),
            }) or ("That is not the image after the CTF. Three steps: np.fft.rfft2, multiply by ctf, np.fft.irfft2. "
                   "Nothing has to be shifted: the CTF is given in the order of rfft2.")
    return None


def no_image(result: Array, transform: Array, ctf: Array) -> str | None:
    """1.2, for a result that is complex or has the shape of the waves: which step back to an image went wrong."""
    waves = transform * ctf
    for back, name in ((np.fft.ifft2, "ifft2"), (np.fft.fft2, "fft2"), (np.fft.ifft, "ifft"), (np.fft.rfft2, "rfft2")):
        made = back(waves.real) if name == "rfft2" else back(waves)
        if result.shape == made.shape and (same(result, made) or same(result, made.real)):
            return (f"You went back with np.fft.{name}. That is not the partner of rfft2, which gives only half of the "
                    "waves: np.fft.irfft2 knows of the other half.")
    if result.shape == transform.shape:
        return ("That is still the transform, in Fourier space. Go back to an image with np.fft.irfft2."
                if same(result, waves) or same(result, waves.real) or same(result, np.abs(waves)) else
                "That has the shape of the waves, not of the image. Go back from waves to an image with np.fft.irfft2.")
    square = transform.shape[:1] * 2
    if result.shape == square and same(result.real, np.fft.irfft2(waves)) and np.abs(result.imag).max() < 1e-6:
        return None  # said by the check that refuses complex numbers
    return "That is a complex image. Go back with np.fft.irfft2, the partner of rfft2." if np.iscomplexobj(result) \
        else None


def judge_add_noise(answer: Any) -> str | None:
    """1.3: white Gaussian noise of variance (variance of the signal) / SNR."""
    for seed, snr, scale in ((131, 0.2, 3.0), (132, 0.05, 0.4)):
        image = np.repeat(np.repeat(example_map(seed).sum(axis=0), 6, axis=0), 6, axis=1) * scale
        rng: Any = np.random.default_rng(seed)
        first = call_for_array(answer, image.shape, image, snr, rng)
        problem = noise_problem(image, first, snr)
        if problem:
            return problem
        if same(first, call_for_array(answer, image.shape, image, snr, rng), 1e-6):
            return ("Two calls give the same noise. Every image has its own: draw it from the rng that is handed over, "
                    "and make no new one inside.")
        again: Any = np.random.default_rng(seed)
        if not same(first, call_for_array(answer, image.shape, image, snr, again), 1e-6):
            return ("Your noise does not come from the rng that is handed over, so nobody can make the same images "
                    "once more. Draw it with rng.normal, not with np.random.")
    return None


def noise_problem(image: Array, noisy: Array, snr: float) -> str | None:
    """What is wrong with a noisy image, from the statistics of what was added; None if nothing."""
    centred = image - image.mean()
    slope = float(np.sum(noisy * centred) / np.sum(centred**2))
    sigma = float(np.sqrt(image[circle(len(image))].var() / snr))
    allowed = 4 * sigma / float(np.linalg.norm(centred))  # of the slope, by chance
    if same(noisy, image, 1e-9):
        return "You gave back the image without noise."
    if abs(slope) < allowed < 0.8:
        return "That is the noise alone. Add it to the image."
    noise = noisy - image
    spread = float(noise.std())
    if spread < 1e-6 * abs(float(noise.mean())):
        return "You added one number to the whole image. Each pixel gets its own: give rng.normal the image's shape."
    if same(noise, np.broadcast_to(noise[:1], noise.shape), 1e-6) or \
            same(noise, np.broadcast_to(noise[:, :1], noise.shape), 1e-6):
        return "The noise is in stripes: each pixel needs its own. Give rng.normal the image's shape, image.shape."
    if abs(float(noise.mean())) > 0.1 * spread:
        return "The mean of your noise is not zero, so it shifts the whole image. Use rng.normal(0, σ, image.shape)."
    if abs(float(np.mean((noise / spread) ** 4)) - 3) > 0.5:
        return "Your noise is not Gaussian. Use rng.normal."
    signal = sigma**2 * snr
    return None if abs(spread / sigma - 1) < 0.04 else first_match(spread, {
        "You handed the variance to rng.normal. It wants the standard deviation: take the square root.": signal / snr,
        "The SNR is a ratio of variances. You divided the standard deviation of the signal by it: divide the variance, "
        "then take the root.": np.sqrt(signal) / snr,
        "You multiplied by the SNR. A high SNR means little noise: divide.": np.sqrt(signal * snr),
        "You used the variance of the whole picture. The empty corners do not count: take the `variance` of the first "
        "line.": float(image.std()) / np.sqrt(snr),
        "The variance of the signal is missing: the noise must be 1/SNR times as strong as the signal, not as 1.":
            1 / np.sqrt(snr),
        "That is noise of variance 1/SNR times 1/variance: multiply by the variance of the signal.":
            1 / np.sqrt(signal * snr),
    }, 0.04) or (f"The SNR comes out as {signal / spread**2:.2g} where {snr:.2g} was asked for. "
                 "σ = √(variance / snr).")


SNR_ONE, SNR_WANTED = 0.02, 4.0  # of exercise 1.4
COUNT = SNR_WANTED / SNR_ONE


def judge_count(answer: Any) -> str | None:
    """1.4: N = wanted SNR / SNR of one image."""
    value = given_number(answer)
    return None if same(value, COUNT, 0.01) else first_match(value, {
        "You took the root. The noise's σ falls as 1/√N, so its variance falls as 1/N; the SNR is a ratio of "
        "variances.": np.sqrt(COUNT),
        "You squared. That would be right if the SNR were a ratio of standard deviations; it is one of variances.":
            COUNT**2,
        "That many bring the SNR to 1. Asked for is 4.": 1 / SNR_ONE,
        "You multiplied the two SNRs. The SNR of the average is N times that of one image.": SNR_WANTED * SNR_ONE,
        "The other way round.": 1 / COUNT,
        "That is the difference. The SNR of the average is N times that of one image.": SNR_WANTED - SNR_ONE,
    }, 0.01) or "That is not it. The SNR of an average of N images is N times the SNR of one."


EXERCISES = (
    Exercise("1.1", "Write the projection: turn the map, then add up along the beam.", judge_projection,
             "This sum is all that the beam does to the map. What lay in front and what lay behind cannot be told "
             "apart any more.",
             ("Two steps: rotate_map(volume, angles) gives the turned map.",
              "The map is indexed [z, y, x], and the beam runs along z: that is axis 0.",
              "return rotate_map(volume, angles).sum(axis=0)"), project, real_array),
    Exercise("1.2", "Apply the CTF: multiply every wave of the image by it.", judge_ctf,
             "One multiplication. In real space the same thing would be a convolution; lesson 7 shows both.",
             ("np.fft.rfft2(image) takes the image apart into waves. It has the same shape as ctf.",
              "Multiply, then go back with np.fft.irfft2.",
              "return np.fft.irfft2(np.fft.rfft2(image) * ctf)"), apply_ctf, real_array),
    Exercise("1.3", "Add white noise at a given SNR.", judge_add_noise,
             "From here on you can simulate a data set yourself: turn, add up, CTF, noise.",
             ("SNR = variance of the signal / variance of the noise. Which variance must the noise have?",
              "rng.normal(0, σ, shape) wants the standard deviation: the root of the variance.",
              "return image + rng.normal(0, np.sqrt(variance / snr), image.shape)"), add_noise, real_array),
    Exercise("1.4", "How many images must be averaged?", judge_count,
             "A factor of 200 in SNR costs 200 images, but the noise you see only falls by √200 ≈ 14.",
             ("An average of N images keeps the signal. What happens to the variance of the noise?",
              "The noise's σ becomes σ/√N, so its variance becomes σ²/N, and the SNR N times as large.",
              "4 / 0.02"), COUNT),
    Exercise("1.5", "Smear a picture back along the beam it was taken with.", judge_smear,
             "This is the exact partner of the projection: one adds up along the beam, the other spreads out along it. "
             "Mathematicians call them adjoint.",
             ("Nobody knows at which depth a thing lay, so the picture goes into every layer along z.",
              "np.repeat(image[None], n, axis=0) makes n equal layers.",
              "Turn back what was turned last first: rotate_map(layers, (-psi, -tilt, -rot))."),
             smear_back, real_array),
    Exercise("1.6", "Weight each wave of a map by its |k|.", judge_weight,
             "This is called a ramp filter. Every scanner in a hospital does it when it puts its projections together.",
             ("Smearing counts a wave as 1/|k|. Which factor undoes that?",
              "np.fft.fftn(volume) are the waves, in the order of k. Multiply, then go back with np.fft.ifftn.",
              "return np.fft.ifftn(np.fft.fftn(volume) * k).real"), weight, real_array),
    Exercise("1.7", "Find the best match: the highest normalised cross-correlation.", judge_match,
             "With this line a computer does in a fraction of a second what took you minutes.",
             ("Subtract the mean: x = image - image.mean(), and from each projection its own "
              "(axis=(1, 2), keepdims=True).",
              "np.tensordot(a, x, axes=2) is the sum of products for all projections at once: shape (R,).",
              "Divide by the length of each projection, np.sqrt(np.sum(a**2, axis=(1, 2))). The length of the image is "
              "the same for all.",
              "return int(np.argmax(…)) of that quotient."), best_match, an_index),
)
