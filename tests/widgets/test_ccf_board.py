"""The CCF on the board without a browser: its curve and its picture."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.microscope.realspace import rotate
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.ccf_board import ccf_board


@pytest.fixture(scope="module")
def protein():
    return load("protein2d", box=32)


def test_the_curve_is_the_sum_of_the_products(protein):
    """A board that draws another CCF than the learner's own function teaches something wrong."""
    board = ccf_board(protein, snr=0.05, angular_step=10, particles=2, seed=1)
    board.particle = 1
    references = np.sqrt(0.05) * np.frombuffer(board._references, np.float32).reshape(36, 32, 32).astype(float)
    expected = [float(np.sum(board.image() * a)) for a in references]
    assert board.curve() == pytest.approx(expected, rel=1e-5)
    turned = rotate(protein.density, 90).ravel()
    assert np.corrcoef(references[9].ravel(), turned)[0, 1] > 0.999
    board.close()


def test_at_high_snr_it_finds_every_particle(protein):
    board = ccf_board(protein, snr=10.0)
    truths = np.frombuffer(board._truths, np.float32)
    for board.particle in range(6):
        assert abs((board.curve().argmax() * 5 - truths[board.particle] + 180) % 360 - 180) <= 5
    board.close()


def test_the_snr_is_what_it_says(protein):
    from cryoedu.microscope.noise import circle

    board = ccf_board(protein, snr=10.0)
    signal = np.frombuffer(board._signals, np.float32).reshape(-1, 32, 32)
    assert signal[:, circle(32)].var(axis=1) == pytest.approx(np.ones(6), rel=0.05)
    assert np.frombuffer(board._noises, np.float32).std() == pytest.approx(1, rel=0.03)
    board.close()


def test_impossible_positions_are_brought_back(protein):
    board = ccf_board(protein)
    board.snr, board.rotation, board.particle = 0.0, 75, -1
    assert (board.snr, board.rotation, board.particle) == (1e-3, 3, 5)
    assert "SNR 0.001" in board.picture().alt and "nan" not in board.picture().alt
    board.close()


@pytest.mark.parametrize("shape", [(16, 16, 16), (16, 16), (128, 128)], ids=["3D", "empty", "large"])
def test_a_specimen_that_cannot_be_shown_is_refused_in_one_sentence(shape):
    with pytest.raises(InputError, match="specimen"):
        ccf_board(Specimen(np.ones(shape, np.float32), 1.0))
