"""What becomes of a start: followed in the frame of the truth, whatever turn and hand it ends in."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.datasets.starts import barrel, noise_map
from cryoedu.errors import InputError
from cryoedu.figures import show
from cryoedu.figures.starts import (
    Track,
    rates,
    sections,
    shells_compared,
    starts_and_ends,
    track,
    tracks_of_starts,
    verdict,
)
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import low_pass
from cryoedu.geometry.turning import mirrored, turned
from cryoedu.inference.model import Iteration, unseen
from cryoedu.inference.start import start_model
from cryoedu.microscope.experiment import simulate

DIAMETER = 310.0


@pytest.fixture(scope="module")
def ribosome():
    return load("ribosome-80S", box=24)


def iteration(number, density, particles, *, radius=8, log_likelihood=-1000.0, folds=()):
    before = start_model(particles, density[None])
    posterior = replace(unseen(4, 1), max_probability=np.array([0.0, 0.2, 0.4, 0.6]))
    return Iteration(number, before, before, posterior, log_likelihood, radius, np.zeros((1, 13)), folds=folds)


@pytest.mark.slow
def test_a_map_in_another_frame_and_hand_is_brought_back(ribosome):
    particles = simulate(ribosome, 4, seed=1, snr=1, progress=False).particles
    away = mirrored(turned(ribosome.density, euler_to_matrix([40, 70, 110])))
    noise = noise_map(24, ribosome.pixel_size, diameter=DIAMETER, seed=1)
    run = [iteration(1, noise, particles, radius=4), iteration(2, away, particles, log_likelihood=-900.0),
           iteration(3, away, particles, log_likelihood=-800.0, folds=(start_model(particles, away[None]),))]
    few = replace(run[1].posterior, max_probability=np.array([0.4, 0.4]))  # a batch
    run.insert(2, replace(run[1], posterior=few, log_likelihood=-400.0))
    followed = track(run, ribosome.density, ribosome.pixel_size, diameter=DIAMETER)
    assert followed.mirrored
    assert np.corrcoef(followed.maps[-1].ravel(), ribosome.density.ravel())[0, 1] > 0.97
    assert followed.resolution[0] > 90 and followed.resolution[-1] < 40
    assert [verdict(r) for r in followed.resolution] == ["lost"] + 3 * ["arrived"]
    assert followed.sharpness == pytest.approx([0.4] * 4)  # of those that were looked at
    np.testing.assert_array_equal(followed.log_likelihood, [np.nan, -900.0, np.nan, np.nan])
    assert followed.numbers.tolist() == [1, 2, 2, 3]


@pytest.mark.slow
def test_particles_that_were_given_one_pose_are_not_called_sure(ribosome):
    """Hill climbing chooses: its largest Γ is 1 by construction, however little it knows."""
    particles = simulate(ribosome, 4, seed=1, snr=1, progress=False).particles
    soft = iteration(2, ribosome.density, particles)
    hard = replace(soft, number=1, posterior=replace(soft.posterior, max_probability=np.ones(4)))
    followed = track([hard, soft], ribosome.density, ribosome.pixel_size, diameter=DIAMETER)
    np.testing.assert_array_equal(np.isnan(followed.sharpness), [True, False])
    assert "start: ends 0 thousand (to ±1) below the best log-likelihood, each particle has one pose at first" in show(
        tracks_of_starts({"start": followed}, pixel_size=ribosome.pixel_size)).alt


def some_tracks(count=3):
    rng = np.random.default_rng(0)
    climb = np.linspace(-9000, -2000, 5)
    return {f"start {k}": Track(rng.normal(size=(5, 8, 8, 8)).astype(np.float32), climb - 1500 * k,
                                np.linspace(0.1, 0.9, 5), np.linspace(1, -0.1, 25).reshape(5, 5),
                                np.array([120.0, 100, 80, 70, 50 + 25 * k]), np.arange(1, 6), k == 1)
            for k in range(count)}


@pytest.mark.slow
def test_figures_say_what_is_to_be_seen():
    tracks, truth = some_tracks(), np.random.default_rng(1).normal(size=(8, 8, 8))
    ends = show(starts_and_ends(tracks, truth, pixel_size=10.0))
    assert "start 0: arrived; start 1: half-way; start 2: lost" in ends.alt
    climbs = show(tracks_of_starts(tracks, pixel_size=10.0))
    assert "start 2: ends 3 thousand (to ±1) below the best" in climbs.alt and "0.1 (to ±0.1) at first" in climbs.alt
    assert climbs.png == show(tracks_of_starts(tracks, pixel_size=10.0)).png
    assert "EM: 0.25 ± 0.12" in show(rates({"EM": (0.25, 0.12), "SGD": (0.9, 0.1)})).alt


@pytest.mark.slow
def test_shells_are_compared_one_by_one(ribosome):
    """A map without fine detail agrees with the truth where there is detail, and only there."""
    coarse = low_pass(ribosome.density[None], ribosome.pixel_size, 90)[0]
    grain = np.random.default_rng(2).normal(scale=0.3 * ribosome.density.std(), size=coarse.shape)
    alt = show(shells_compared(coarse + grain, ribosome.density, pixel_size=ribosome.pixel_size, diameter=DIAMETER)).alt
    reached = {int(size): float(value) for size, value in re.findall(r"(\d+) Å: FSC (-?[\d.]+)", alt)}
    assert list(reached) == [176, 88, 59, 44]
    assert reached[176] > 0.95 and reached[59] < 0.3 and reached[44] < 0.3


def test_runs_without_a_likelihood_in_common_are_refused():
    lost = {name: replace(t, log_likelihood=np.full(5, np.nan)) for name, t in some_tracks().items()}
    with pytest.raises(InputError, match="end with refine"):
        tracks_of_starts(lost, pixel_size=10.0)
    with pytest.raises(InputError, match="at least one iteration"):
        track([], np.zeros((8, 8, 8)), 10.0, diameter=60.0)


def test_sections_are_across_the_three_axes():
    ramp = np.arange(8)[:, None, None] * np.ones((8, 8, 8))
    across_z, across_y, across_x = sections(ramp)
    assert np.ptp(across_z) == 0 and across_z[0, 0] == 4
    np.testing.assert_array_equal(across_y[:, 0], np.arange(8))
    np.testing.assert_array_equal(across_x[:, 0], np.arange(8))


def test_starts_have_nothing_to_do_with_the_particle(ribosome):
    noise = noise_map(24, ribosome.pixel_size, diameter=DIAMETER, seed=2)
    hollow = barrel(24, ribosome.pixel_size)
    other = noise_map(24, ribosome.pixel_size, diameter=DIAMETER, seed=3)
    assert noise[0, 0, 0] == 0 and not np.array_equal(noise, other)
    assert np.corrcoef(noise.ravel(), ribosome.density.ravel())[0, 1] < 0.3
    assert hollow[12, 12, 12] < 0.01 * hollow.max() and hollow[12, 12, 18] > 0.9 * hollow.max()
    spectrum = np.abs(np.fft.fftn(noise_map(24, 10.0, diameter=230.0, seed=1))) ** 2
    assert spectrum[:5, 0, 0].sum() > 20 * spectrum[7:13, 0, 0].sum()  # 60 Å is shell 4 of 240 Å
