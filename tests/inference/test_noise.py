"""Images of noise hold no resolution, whatever they are aligned to; images of a particle hold what they hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.geometry.fourier import fourier, radial_mean, shellwise
from cryoedu.geometry.grids import search_3d
from cryoedu.geometry.masks import soft_sphere
from cryoedu.geometry.symmetry import symmetrise
from cryoedu.inference import gold, reconstruction
from cryoedu.inference.gold import gold_standard
from cryoedu.inference.settings import Sampling
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured, white
from cryoedu.microscope.specimen import Specimen
from cryoedu.validation.alignment import score_map
from cryoedu.validation.fsc import fsc, resolution

BOX, PIXEL, COUNT = 24, 5.0, 200
SHARED = 3  # shells to 40 Å, of the reference as of the halves
MASKS = {"sphere": None, "ones": np.ones((BOX,) * 3, np.float32), "small": soft_sphere(BOX, PIXEL, 60.0)}


def reference(seed: int, symmetry: str = "C1") -> Specimen:
    """Twelve blobs anywhere in half of the box."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
    out = sum(np.exp(-sum((a - c) ** 2 for a, c in zip(axes, at, strict=True)) / 3)
              for at in rng.uniform(-BOX / 4, BOX / 4, (12, 3)))
    return Specimen(symmetrise(np.float32(out), symmetry, progress=False), PIXEL)


def refined(particles, start, **options):
    return gold_standard(particles, start, search_3d(0, shift_range=5, shift_step=5),
                         **{"seed": 3, "initial_resolution": 40, "join": 40, "iterations": 5, "array_library": "numpy",
                            "sampling": Sampling(finest=2, local_from=2), **options})


def claims_of_noise(seed: int, noise=white, ctf: bool = False, mask: str = "sphere", symmetry: str = "C1",
                    start: int = 2) -> list[int]:
    """The last resolved shell after each iteration, of images without a particle."""
    aligned_to = reference(start, symmetry)
    images = simulate(aligned_to, COUNT, seed=seed, snr=1e-14, noise=noise, progress=False,
                      defocus=(8e3, 1.6e4) if ctf else None).particles
    turns = list(refined(images, aligned_to.density, symmetry=symmetry, mask=MASKS[mask]))
    assert all(resolution(t.fsc, PIXEL, last=t.resolved) > BOX * PIXEL / (SHARED + 2) for t in turns)
    return [t.resolved for t in turns]


@pytest.mark.parametrize("seed, options", [
    (1, {}), (12, {"mask": "ones"}), (21, {"mask": "ones", "noise": coloured, "start": 3})])
def test_noise_claims_no_more_than_what_is_shared_and_one_shell(seed, options):
    """White and coloured, in a sphere and in all of the box, from two references. In the second and third one strong
    low shells led to claims of shells 8 and 7."""
    assert max(claims_of_noise(seed, **options)) <= SHARED + 1


@pytest.mark.slow
@pytest.mark.parametrize("seed, options", [
    (2, {"ctf": True, "noise": coloured, "start": 3}), (4, {"ctf": True, "noise": coloured, "mask": "small"}),
    (5, {"mask": "small"}), (6, {"symmetry": "D2", "mask": "ones"}), (1, {"symmetry": "O"}),
    (2, {"symmetry": "O", "noise": coloured, "ctf": True, "mask": "small", "start": 3})])
def test_noise_claims_no_more_however_it_is_refined(seed, options):
    assert max(claims_of_noise(seed, **options)) <= SHARED + 1


def test_a_claim_is_taken_back():
    """Whatever made it: here it is put there. The next iteration looks at all shells that were claimed, and beyond."""
    start = reference(2)
    images = simulate(start, COUNT, seed=1, snr=1e-14, progress=False).particles
    first = next(refined(images, start.density))
    claimed = replace(first, state={**first.state, "resolved": np.array([9.0]), "measured": np.array([9.0])})
    second = next(refined(images, start.density, after=claimed))
    assert second.radius == BOX // 2 - 1
    assert second.resolved <= SHARED + 1


@pytest.mark.slow
@pytest.mark.parametrize("b_factor, snr", [(0.0, 0.5), (300.0, 100.0), (300.0, 1e4), (300.0, 1e5)])
def test_what_is_claimed_is_there(b_factor, snr):
    """Within a shell of where the map and the true one, as the images show it, correlate by 0.5; also where low shells
    are a million times as strong as high ones. The map is aligned to the true one before: as a whole it turns away from
    it, by 12° at the highest SNR."""
    pixel = 2.5
    decay = np.exp(-b_factor / 4 * (np.arange(BOX // 2 + 1) / (BOX * pixel)) ** 2)
    true = shellwise(reference(2).density.astype(np.float64), decay, 3).astype(np.float32)
    made = simulate(Specimen(true, pixel), COUNT, seed=1, snr=snr, progress=False)
    *_, last = gold_standard(made.particles, true, search_3d(1, shift_range=0, shift_step=pixel), seed=3, join=20,
                             initial_resolution=20, iterations=8, array_library="numpy", sampling=Sampling(finest=4))
    mean = last.state["halves"].mean(axis=0) * soft_sphere(BOX, pixel, 0.8 * BOX * pixel)
    below = np.flatnonzero(score_map(mean.astype(np.float32), true, pixel, wanted=0.0, hands="same").fsc[1:] < 0.5)
    there = int(below[0]) if len(below) else BOX // 2
    power = radial_mean(np.abs(fourier(true.astype(np.float64), 3)) ** 2, BOX, 3)
    assert SHARED + 2 < there - 1 <= last.resolved <= there + 1
    assert snr < 1e3 or power[1] / power[there] > 1e6


def test_beyond_a_shell_nothing_comes_from_before():
    """A map of few views carries strong low shells into those that follow; one of what lies beyond them does not."""
    rng = np.random.default_rng(1)
    poses = simulate(reference(2), 12, seed=1, snr=None, progress=False)
    images = rng.standard_normal((12, BOX, BOX)).astype(np.float32)
    low = shellwise(images, (np.arange(BOX // 2 + 1) <= SHARED) * 30.0, 2).astype(np.float32)
    space = FourierSpace(BOX, 3, PIXEL, BOX // 2)
    maps = {}
    for name, stack in (("noise", images), ("low", low)):
        particles = replace(poses.particles, images=stack, angles=poses.truth.angles, shifts=None)
        sums = reconstruction._inserted(particles, np.arange(12), "C1", space, np.ones(BOX // 2 + 1), 12, np, False)
        for what, some in (("all", sums), ("beyond", sums.beyond(SHARED))):
            maps[name, what] = gold._unfiltered(some.equations(space), space, np)[0]
    power = {key: radial_mean(np.abs(fourier(m.astype(np.float64), 3)) ** 2, BOX, 3)[SHARED + 1 : SHARED + 4]
             for key, m in maps.items()}
    assert (power["low", "all"] > 2 * power["noise", "all"])[:2].all()
    assert (power["low", "beyond"] < 0.05 * power["low", "all"]).all()
    assert fsc(maps["noise", "all"], maps["noise", "beyond"])[SHARED + 3 :].min() > 0.8
