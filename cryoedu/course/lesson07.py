"""The exercises of lesson 7, Fourier space.

Images are (n, n). Transforms are whole ones, ``np.fft.fft2(image)``, with frequency 0 at [0, 0]. ``u`` is the spatial
frequency in 1/Å.
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

Array = NDArray[Any]

BOX_1, PIXEL_1, SHELL_1 = 64, 4.0, 20  # of exercise 7.1
SPACING = BOX_1 * PIXEL_1 / SHELL_1


# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

def low_pass(image: Array, resolution: float, pixel_size: float) -> Array:
    """(n, n): the image without its waves whose spacing is finer than ``resolution`` (Å)."""
    u = spatial_frequency(len(image), pixel_size)
    return np.asarray(np.fft.ifft2(np.where(u <= 1 / resolution, np.fft.fft2(image), 0)).real)


def move(image: Array, x: float, y: float) -> Array:
    """(n, n): the image moved by x pixels to the right and y pixels down."""
    k = np.fft.fftfreq(len(image))
    ramp = np.exp(-2j * np.pi * (k * x + k[:, None] * y))
    return np.asarray(np.fft.ifft2(np.fft.fft2(image) * ramp).real)


def add_up_columns(F: Array) -> Array:
    """(n,): the projection of an image along y, from one line of its transform F (n, n)."""
    return np.asarray(np.fft.ifft(F[0]).real)


def my_ctf(u: Array, defocus: float, wavelength: float, cs: float, q0: float, b_factor: float) -> Array:
    """CTF at the spatial frequencies u (1/Å): defocus and wavelength in Å, cs in mm, b_factor in Å²."""
    gamma = np.pi * wavelength * defocus * u**2 - np.pi / 2 * cs * 1e7 * wavelength**3 * u**4 + np.arcsin(q0)
    return np.asarray(np.sin(gamma) * np.exp(-b_factor / 4 * u**2))


def flip_phases(image: Array, ctf: Array) -> Array:
    """(n, n): the image with the sign of every wave turned round where the CTF (n, n) is negative."""
    return np.asarray(np.fft.ifft2(np.fft.fft2(image) * np.sign(ctf)).real)


# ---- what the judges share ------------------------------------------------------------------------------------

def spatial_frequency(box: int, pixel_size: float) -> Array:
    """(box, box): of each component of ``fft2``, in 1/Å."""
    freq = np.fft.fftfreq(box, pixel_size)
    return np.asarray(np.hypot(freq[:, None], freq))


def random_image(seed: int, box: int = 16) -> Array:
    """An image (box, box) without structure and without waves at Nyquist, which no part of a pixel can move."""
    F = np.fft.fft2(np.random.default_rng(seed).normal(size=(box, box)))
    F[box // 2], F[:, box // 2] = 0, 0
    return np.asarray(np.fft.ifft2(F).real)


def call_for_real(answer: Any, shape: tuple[int, ...], *inputs: Array | float) -> Array:
    """As `call_for_array`; an answer of complex numbers is sent back with the reason."""
    result = call(answer, *inputs)
    if np.iscomplexobj(result):
        raise Wrong("Your function returns complex numbers. What is asked for lives in real space: transform back with "
                    "np.fft.ifft2 or np.fft.ifft, then take .real (the imaginary parts that are left are rounding).")
    return call_for_array(lambda: result, shape)


# ---- the judges -------------------------------------------------------------------------------------------------

def judge_spacing(answer: Any) -> str | None:
    """7.1: box length / shell."""
    value = given_number(answer)
    return None if same(value, SPACING, 0.005) else first_match(value, {
        "That is the spatial frequency, in 1/Å. The spacing is one over it.": 1 / SPACING,
        "That is the spacing in pixels. Multiply by the pixel size.": SPACING / PIXEL_1,
        "A factor 2 too many. Nyquist has the 2 (two pixels for one wave), but shell 20 is just 20 waves in the box.":
            2 * SPACING,
        "Half of it. The box is 64 pixels long, not 32: the 32 shells come from the half that Nyquist allows.":
            SPACING / 2,
        "That is Nyquist, two pixels: the finest spacing of all. Shell 20 is coarser.": 2 * PIXEL_1,
        "You multiplied shell and pixel size. Divide the length of the box by the number of waves that fit into it.":
            SHELL_1 * PIXEL_1,
        "That is the length of the box, the spacing of shell 1.": BOX_1 * PIXEL_1,
    }, 0.005) or "That is not it. How long is the box in Å? How many waves of shell 20 fit into it?"


def judge_low_pass(answer: Any) -> str | None:
    """7.2: zero beyond a radius."""
    for seed, box, pixel_size, resolution in ((721, 16, 3.0, 11.3), (722, 20, 1.7, 7.9)):
        image = random_image(seed, box) + 0.2
        F, u = np.fft.fft2(image), spatial_frequency(len(image), pixel_size)
        freq = np.abs(np.fft.fftfreq(len(image), pixel_size))
        result = call_for_real(answer, image.shape, image, resolution, pixel_size)

        def kept(mask: Array, transform: Array = F) -> Array:
            return np.asarray(np.fft.ifft2(np.where(mask, transform, 0)).real)

        if not same(result, low_pass(image, resolution, pixel_size)):
            return first_match(result, {
                "Nothing has changed. u is in 1/Å and resolution in Å: compare u with 1 / resolution.": image,
                "Everything is gone, or nearly: compare u with 1 / resolution, not with resolution.":
                    kept(u > resolution),
                "That is the other half, a high-pass filter: you kept the fine waves and dropped the coarse ones. "
                "Coarse waves have a small u.": kept(u > 1 / resolution),
                "You dropped the mean of the image with all waves of u = 0. It belongs to the coarse ones: keep it.":
                    kept((u <= 1 / resolution) & (u > 0)),
                "That is the absolute value of the image. Pixels may be below 0: take .real instead.":
                    np.abs(low_pass(image, resolution, pixel_size)),
                "Those are the real parts of the filtered waves, not an image. Transform back with np.fft.ifft2.":
                    np.where(u <= 1 / resolution, F, 0).real,
                "The transform goes the wrong way: back to an image leads np.fft.ifft2.":
                    np.fft.fft2(np.where(u <= 1 / resolution, F, 0)).real,
                "You set the waves to 1, or kept the mask itself. Keep F where u is small, and 0 elsewhere.":
                    np.fft.ifft2(u <= 1 / resolution).real,
                "You multiplied with u, which makes fine waves stronger. Keep F or drop it, by comparing u with "
                "1 / resolution.": np.fft.ifft2(F * u).real,
                "You keep a square. A wave's spacing goes with its distance from the centre: use u.":
                    kept((freq[:, None] <= 1 / resolution) & (freq <= 1 / resolution)),
                "You cut at twice the spacing. The factor 2 belongs to Nyquist only: a wave of spacing d has u = 1/d.":
                    kept(u <= 0.5 / resolution),
                "You cut at half the spacing. A wave of spacing d has u = 1/d.": kept(u <= 2 / resolution),
                "The pixel size is missing from the cut: u is in 1/Å, and so must be what you compare it with.":
                    kept(u <= 1 / (resolution * pixel_size)),
                "Your mask and your transform are not in the same order: one has frequency 0 in the corner, the other "
                "in the middle. Leave out fftshift here, u is in the order of fft2.":
                    kept(u <= 1 / resolution, np.fft.fftshift(F)),
            }) or "That is not the filter. Set F to 0 where u > 1 / resolution, transform back, take the real part."
    return None


def judge_move(answer: Any) -> str | None:
    """7.3: a phase ramp."""
    for seed, box, (x, y) in ((731, 16, (2.5, -1.25)), (732, 18, (-3.3, 0.6))):
        image = random_image(seed, box) + 0.2
        F, k = np.fft.fft2(image), np.fft.fftfreq(len(image))
        turn = k * x + k[:, None] * y
        result = call_for_real(answer, image.shape, image, x, y)
        if not same(result, move(image, x, y)):
            return first_match(result, {
                "It went the other way. To move by +x, multiply with exp(−2πi k·x): mind the minus.":
                    move(image, -x, -y),
                "You exchanged x and y. Arrays are indexed [y, x]: k[:, None] goes with y, k alone with x.":
                    move(image, y, x),
                "The 2π is missing: k counts waves, and one whole wave is a phase of 2π.":
                    np.fft.ifft2(F * np.exp(-1j * turn)).real,
                "The i is missing, so the waves are made weaker and stronger. A shift changes phases only: "
                "exp(−2j·π·…).": np.fft.ifft2(F * np.exp(-2 * np.pi * turn)).real,
                "You divided by the box once too often: np.fft.fftfreq(n) is in waves per pixel already.":
                    move(image, x / len(image), y / len(image)),
                "You moved by whole pixels (np.roll). The phase ramp moves by parts of a pixel too.":
                    np.roll(image, (round(y), round(x)), axis=(0, 1)),
                "You added the ramp. Waves are moved by multiplying their components with it.":
                    np.fft.ifft2(F + np.exp(-2j * np.pi * turn)).real,
                "Nothing has moved.": image,
                "Only x is there. The ramp is a product: exp(−2πi k_x x) · exp(−2πi k_y y).": move(image, x, 0),
                "Only y is there. The ramp is a product: exp(−2πi k_x x) · exp(−2πi k_y y).": move(image, 0, y),
                "x has the wrong sign, y the right one. Both waves come late, so both have the minus.":
                    move(image, -x, y),
                "y has the wrong sign, x the right one. Both waves come late, so both have the minus.":
                    move(image, x, -y),
                "You added the two ramps. Phases add, so the factors multiply: exp(−2πi k_x x) · exp(−2πi k_y y).":
                    np.fft.ifft2(F * (np.exp(-2j * np.pi * k * x) + np.exp(-2j * np.pi * k[:, None] * y))).real,
                "That is the absolute value of the image. Pixels may be below 0: take .real instead.":
                    np.abs(move(image, x, y)),
                "Half of the phase: a whole wave is 2π, not π.": move(image, x / 2, y / 2),
                "The transform goes the wrong way: back to an image leads np.fft.ifft2.":
                    np.fft.fft2(F * np.exp(-2j * np.pi * turn)).real,
            }) or ("That is not the moved image. Multiply fft2(image) with exp(−2πi (k_x x + k_y y)), transform back, "
                   "take the real part.")
    return None


def judge_projection(answer: Any) -> str | None:
    """7.4: the central line, and no other way to the same numbers."""
    for seed, n in ((741, 16), (742, 18)):
        image = random_image(seed, n) + 0.3
        F = np.fft.fft2(image)
        right = image.sum(axis=0)
        result = call_for_real(answer, right.shape, F)
        drowned = np.where(np.arange(n)[:, None] == 0, F, 1e30 * F)  # rounding tells whether other rows are used, too
        if same(result, right) and not same(call_for_real(answer, right.shape, drowned), right):
            return ("The numbers are right, but you went back to the image and added up its pixels there. The sum of "
                    "each column is in F already: in which row? Transform back that row alone, in 1D.")
        if not same(result, right):
            return first_match(result, {
                "That is the projection along x. Row 0 of F has k_y = 0: the waves that do not change along y.":
                    image.sum(axis=1),
                "That is row n // 2. The centre is there only after fftshift; in F itself k_y = 0 is row 0, and row "
                "n // 2 is Nyquist.": np.fft.ifft(F[n // 2]).real,
                "That is one row of the image, not the sum of all. Transform back in 1D the row k_y = 0 of F.":
                    image[0],
                "You used fft a second time, which gives the projection back to front and n times too large. Use ifft.":
                    np.fft.fft(F[0]).real,
                "That is the mean of each column, not its sum. No factor is needed.": image.mean(axis=0),
                "A factor n too large: np.fft.ifft divides by n already, and that is right.": right * n,
                "You dropped the phases by taking the absolute value. They say where things are.":
                    np.fft.ifft(np.abs(F[0])).real,
                "Those are the amplitudes of the right line. Transform it back: np.fft.ifft.": np.abs(F[0]),
                "That is the real part of the right line, still in Fourier space. Transform it back: np.fft.ifft.":
                    F[0].real,
                "You took the row k_y = 1. Python counts from 0.": np.fft.ifft(F[1]).real,
                "You added up the rows of F. Only one of them is the transform of the projection.":
                    np.fft.ifft(F.sum(axis=0)).real,
                "That is the absolute value of the projection. Take the real part.": np.abs(right),
                "That is the imaginary part, which holds only rounding. Take .real.": np.zeros(n),
            }) or "That is not the projection. Which row of F holds the waves that do not change along y?"
    return None


def judge_ctf(answer: Any) -> str | None:
    """7.5: the CTF."""
    u = np.linspace(0, 0.3, 42).reshape(6, 7)  # as an image has it; a curve is one row of it
    for defocus, lam, cs, q0, b in ((9_300.0, 0.0197, 2.7, 0.3, 61.0), (15_100.0, 0.0251, 2.1, 0.22, 35.0)):
        given = (defocus, lam, cs, q0, b)
        call_for_array(answer, u[0].shape, u[0], *given)
        result = call_for_array(answer, u.shape, u, *given)
        if not same(result, my_ctf(u, *given), 3e-4):
            first, second, phase = (np.pi * lam * defocus * u**2, np.pi / 2 * cs * 1e7 * lam**3 * u**4, np.arcsin(q0))
            fall = np.exp(-b / 4 * u**2)
            return first_match(result, {
                "The sign is wrong throughout. In this course particles are white, and the CTF is positive at low "
                "frequency: + sin γ.": -my_ctf(u, *given),
                "The sign of the Cs term is wrong: spherical aberration works against underfocus.":
                    np.sin(first + second + phase) * fall,
                "The amplitude contrast is missing, so the CTF is 0 at u = 0. Add np.arcsin(q0) to γ.":
                    np.sin(first - second) * fall,
                "The sign of the amplitude contrast is wrong: + np.arcsin(q0).": np.sin(first - second - phase) * fall,
                "You added q0 itself. It is the sine of an angle: add np.arcsin(q0).":
                    np.sin(first - second + q0) * fall,
                "cs comes in mm, everything else in Å. Multiply it by 1e7.":
                    np.sin(first - second * 1e-7 + phase) * fall,
                "You took nm for mm: 1 mm is 1e7 Å.": np.sin(first - second * 1e-6 + phase) * fall,
                "A factor 2: the defocus term is π λ Δf u², not 2π.": np.sin(2 * first - second + phase) * fall,
                "The Cs term has π/2 before it, not π.": np.sin(first - 2 * second + phase) * fall,
                "The envelope is missing: times exp(−B u²/4).": np.sin(first - second + phase),
                "The envelope is exp(−B u²/4). Without the 4, B means four times as much.":
                    np.sin(first - second + phase) * fall**4,
                "The envelope has exp(−B u²/4), not /2.": np.sin(first - second + phase) * fall**2,
                "That is γ, the phase. The CTF is its sine, times the envelope.": first - second + phase,
                "Use the sine: cos γ would be 1 at low frequency, and this microscope shows hardly anything there.":
                    np.cos(first - second + phase) * fall,
                "Only the exponent's u is squared: the defocus term goes with u², too.":
                    np.sin(np.pi * lam * defocus * u - second + phase) * fall,
                "The Cs term goes with u⁴, not u².": np.sin(first - second / np.where(u > 0, u**2, 1) + phase) * fall,
                "The Cs term goes with λ³, not λ.": np.sin(first - second / lam**2 + phase) * fall,
                "You took the amplitude contrast as an angle in degrees. np.arcsin gives radians, as np.sin wants it.":
                    np.sin(first - second + np.degrees(phase)) * fall,
                "You added a cosine for the amplitude contrast: −√(1−Q0²) sin χ − Q0 cos χ is another convention, with "
                "the opposite sign. Here it is + sin(χ + arcsin Q0).":
                    -(np.sqrt(1 - q0**2) * np.sin(first - second) + q0 * np.cos(first - second)) * fall,
                "The defocus term has the wrong sign: underfocus is positive here.":
                    np.sin(-first - second + phase) * fall,
                "γ has the wrong sign, but for the amplitude contrast.": np.sin(-first + second + phase) * fall,
                "The envelope rises: exp(−B u²/4), mind the minus.": np.sin(first - second + phase) / fall,
                "The envelope goes with u², not u.": np.sin(first - second + phase) * np.exp(-b / 4 * u),
                "Multiply by the envelope; you added it.": np.sin(first - second + phase) + fall,
                "π is missing in the defocus term: π λ Δf u².": np.sin(first / np.pi - second + phase) * fall,
                "That is the square of the CTF, which the Thon rings show. The CTF itself has signs.":
                    my_ctf(u, *given) ** 2,
            }, 3e-4) or ("That is not the CTF. Write γ in one line, π λ Δf u² − π/2 Cs λ³ u⁴ + asin(Q0), then "
                         "sin γ · exp(−B u²/4).")
    return None


def judge_flip(answer: Any) -> str | None:
    """7.6: phase flipping."""
    for seed, box, defocus in ((761, 16, 12_000.0), (762, 18, 21_000.0)):
        u = spatial_frequency(box, 4.0)
        ctf = my_ctf(u, defocus, 0.0197, 2.7, 0.1, 0.0)
        image = np.fft.ifft2(np.fft.fft2(random_image(seed, box) + 0.2) * ctf).real
        F = np.fft.fft2(image)
        result = call_for_real(answer, image.shape, image, ctf)
        if not same(result, flip_phases(image, ctf)):
            return first_match(result, {
                "You multiplied with the CTF itself. That puts the signs right too, but it weakens weak waves once "
                "more. Flipping uses the sign only: np.sign(ctf).": np.fft.ifft2(F * ctf).real,
                "You divided by the CTF. Without noise that gives the particle back, but with noise every wave near a "
                "zero of the CTF explodes. Flipping uses the sign only.": np.fft.ifft2(F / ctf).real,
                "All signs are the wrong way round: turn those waves where the CTF is negative.":
                    -flip_phases(image, ctf),
                "Nothing has changed. Multiply each component of fft2(image) with the sign of its CTF.": image,
                "You took the amplitudes of the image and lost every phase. A flip turns the sign where the CTF is "
                "negative and leaves the rest alone.": np.fft.ifft2(np.abs(F)).real,
                "You worked on the pixels. The CTF acts on waves: go to Fourier space first.": image * np.sign(ctf),
                "You multiplied with |CTF|, which turns no sign. Use np.sign(ctf).": np.fft.ifft2(F * np.abs(ctf)).real,
                "You dropped the waves where the CTF is negative. Keep them, with the other sign.":
                    np.fft.ifft2(F * (ctf > 0)).real,
                "The CTF comes in the order of fft2, frequency 0 at [0, 0]. Leave out fftshift.":
                    np.fft.ifft2(F * np.sign(np.fft.fftshift(ctf))).real,
                "That is the absolute value of the image. Pixels may be below 0: take .real instead.":
                    np.abs(flip_phases(image, ctf)),
                "You took the complex conjugate where the CTF is negative, which turns the wave round in space. Only "
                "its sign has to change: times −1.": np.fft.ifft2(np.where(ctf < 0, np.conj(F), F)).real,
                "The transform goes the wrong way: back to an image leads np.fft.ifft2.":
                    np.fft.fft2(F * np.sign(ctf)).real,
                "Those are the real parts of the waves, not an image. Transform back with np.fft.ifft2.":
                    (F * np.sign(ctf)).real,
                "You kept only the waves where the CTF is negative. Keep all of them, those with the other sign.":
                    np.fft.ifft2(F * (ctf < 0)).real,
                "You flipped the waves by the signs of their own real parts. It is the CTF that says which are turned.":
                    np.fft.ifft2(F * np.sign(F.real)).real,
            }) or "That is not it. Multiply fft2(image) with np.sign(ctf), transform back, take the real part."
    return None


EXERCISES = (
    Exercise("7.1", "Which spacing has the 20th shell?", judge_spacing,
             "\"Resolution\" in cryo-EM is this number: the spacing of the finest waves that can be trusted.",
             ("The box is 64 × 4 Å long.", "A component of shell 20 has 20 waves in this length.", "64 * 4.0 / 20"),
             SPACING),
    Exercise("7.2", "Write a low-pass filter.", judge_low_pass,
             "A filter is a multiplication in Fourier space. Lesson 8 asks which factor is best for each shell.",
             ("u says for each component how many waves fit into 1 Å. A spacing of d means u = 1/d.",
              "np.where(condition, F, 0) keeps F where the condition holds.",
              "return np.fft.ifft2(np.where(u <= 1 / resolution, F, 0)).real"), low_pass, real_array),
    Exercise("7.3", "Move an image by a phase ramp.", judge_move,
             "No pixel was interpolated: this is how RELION and the engine of this course shift images.",
             ("A wave that is moved by x pixels is late by k·x waves, and each wave is a phase of 2π.",
              "The factor is exp(−2πi (k_x x + k_y y)). k along x is k, along y it is k[:, None].",
              "ramp = np.exp(-2j * np.pi * (k * x + k[:, None] * y))", "return np.fft.ifft2(F * ramp).real"), move,
             real_array),
    Exercise("7.4", "Project an image without adding up pixels.", judge_projection,
             "That is the projection-slice theorem, in one line. With one more dimension it carries 3D reconstruction.",
             ("Adding up along y leaves nothing of a wave that goes up and down along y.",
              "What is left are the waves with k_y = 0. They are in row 0 of F.",
              "return np.fft.ifft(F[0]).real"), add_up_columns, real_array),
    Exercise("7.5", "Write the CTF.", judge_ctf,
             "You will meet this formula in every program, with signs and units that differ from one to the next.",
             ("Three terms make γ: defocus, spherical aberration, amplitude contrast.",
              "cs is in mm: cs * 1e7 is in Å. The amplitude contrast enters as np.arcsin(q0).",
              "gamma = np.pi * wavelength * defocus * u**2 - np.pi / 2 * cs * 1e7 * wavelength**3 * u**4 + "
              "np.arcsin(q0)",
              "return np.sin(gamma) * np.exp(-b_factor / 4 * u**2)"), my_ctf, real_array),
    Exercise("7.6", "Flip the phases.", judge_flip,
             "The signs are right again. The amplitudes are not, and what fell into a zero of the CTF is missing.",
             ("Where the CTF is negative, a wave arrives with its sign turned: black for white.",
              "np.sign(ctf) is +1 or −1 for each component.",
              "return np.fft.ifft2(np.fft.fft2(image) * np.sign(ctf)).real"), flip_phases, real_array),
)
