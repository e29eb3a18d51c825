"""What a particle picker picks by mistake: empty ice, and bright spots. Mixed among particles, to be sorted out again.

    particles, kinds = with_junk(load_particles("ribosome-particles"), empty=200, spots=100, seed=3)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.microscope.experiment import Experiment
from cryoedu.microscope.noise import add_noise
from cryoedu.particles.particles import Particles

WIDTHS = (22.0, 38.0)  # Å, standard deviation of a spot, from the smallest to the largest
HEIGHTS = (2.4, 4.8)  # of a spot above the background, where the noise of a pixel has variance 1


def with_junk(experiment: Experiment, *, empty: int, spots: int, seed: int) -> tuple[Particles, NDArray[np.int64]]:
    """The particles of an experiment and images of junk among them, in random order, and what each image is.

    empty: images of noise alone. spots: images of a bright Gaussian blob, as a crystal of ice makes, up to a third of
    the box off the centre. The noise is that of the experiment, the CTF parameters those of particles drawn from it.
    Returns the particles, without poses and classes, and kinds (N,): the true class of a particle, K (the number of
    specimens) for an empty image and K + 1 for a spot. Raises InputError for negative numbers and for an experiment
    without noise.
    """
    truth, rng, junk = experiment.truth, np.random.default_rng(seed), empty + spots
    if empty < 0 or spots < 0:
        raise InputError(f"{empty} empty images and {spots} spots are not possible: give 0 or more")
    if not experiment.sigma2.any():
        raise InputError("the experiment has no noise, so its junk would be empty: simulate it at an SNR")
    assert truth.classes is not None
    bare = np.zeros((junk, truth.box, truth.box), dtype=np.float32)
    bare[empty:] = _spots(spots, truth.box, truth.pixel_size, rng)
    images = np.concatenate([np.asarray(truth.images[:]), add_noise(bare, experiment.sigma2, rng)])
    rows = np.concatenate([np.arange(len(truth)), rng.integers(0, len(truth), junk)])
    mixed = replace(truth.subset_of(rows), images=images, angles=None, shifts=None, classes=None)
    states = len(experiment.specimens)
    kinds = np.concatenate([truth.classes, np.full(empty, states), np.full(spots, states + 1)]).astype(np.int64)
    order = rng.permutation(len(kinds))
    return mixed.subset_of(order), kinds[order]


def _spots(count: int, box: int, pixel_size: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Images (count, box, box) of one Gaussian blob each."""
    axis = np.arange(box) - box // 2
    x, y = rng.uniform(-box / 3, box / 3, (2, count, 1, 1))
    width = rng.uniform(*WIDTHS, (count, 1, 1)) / pixel_size
    height = rng.uniform(*HEIGHTS, (count, 1, 1))
    distance2 = (axis - x) ** 2 + (axis[:, None] - y) ** 2
    return np.asarray(height * np.exp(-distance2 / (2 * width**2)), dtype=np.float32)
