"""Junk among particles: it is what it says, and the particles stay what they were."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.datasets.junk import with_junk
from cryoedu.datasets.protein2d import protein2d
from cryoedu.errors import InputError
from cryoedu.microscope.experiment import simulate


def experiment(**options):
    return simulate(protein2d(32), 40, seed=1, defocus=(10_000, 20_000), progress=False, **options)


def test_each_kind_is_what_it_says():
    made = experiment(snr=0.5)
    particles, kinds = with_junk(made, empty=30, spots=20, seed=2)
    assert np.bincount(kinds).tolist() == [40, 30, 20]
    assert particles.angles is None and particles.classes is None
    assert particles.images[kinds == 1].var() == pytest.approx(1, rel=0.05)  # noise alone
    assert particles.images[kinds == 2].max(axis=(1, 2)).mean() > particles.images[kinds == 1].max(axis=(1, 2)).mean()


def test_particles_keep_their_image_and_their_ctf():
    made = experiment(snr=0.5)
    particles, kinds = with_junk(made, empty=5, spots=5, seed=2)
    for i in np.flatnonzero(kinds == 0):
        was = int(np.flatnonzero((made.truth.images == particles.images[i]).all(axis=(1, 2)))[0])
        assert particles.ctf.defocus_u[i] == made.truth.ctf.defocus_u[was]


def test_a_seed_gives_the_same_images_and_none_of_junk_is_fine():
    made = experiment(snr=0.5)
    assert np.array_equal(*(with_junk(made, empty=3, spots=2, seed=9)[0].images for _ in range(2)))
    assert len(with_junk(made, empty=0, spots=0, seed=9)[0]) == 40


def test_impossible_requests_are_refused():
    with pytest.raises(InputError, match="0 or more"):
        with_junk(experiment(snr=0.5), empty=-1, spots=0, seed=1)
    with pytest.raises(InputError, match="no noise"):
        with_junk(experiment(snr=None), empty=1, spots=0, seed=1)
