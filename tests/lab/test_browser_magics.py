"""%load_ext cryoedu in JupyterLab: objects at the end of a cell are pictures with words, and the magic answers."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOAD = """%load_ext cryoedu
from cryoedu.datasets import load
from cryoedu.inference.start import start_model
from cryoedu.microscope.experiment import simulate
from cryoedu.particles.particles import CTFParameters
from cryoedu.validation.masked import masked_fsc
import numpy as np
ribosome = load("ribosome-80S", box=32)
particles = simulate(ribosome, 20, seed=1, snr=0.5, progress=False).particles
noise = np.random.default_rng(1).standard_normal((2, 32, 32, 32))
halves = ribosome.density + 0.3 * noise
ribosome"""
SHOWN = {
    "ribosome": "a density of 32 x 32 x 32 pixels of 11 Å", "particles": "20 particle images of 32 x 32 pixels",
    "CTFParameters.of([8000.0, 20000.0])": "Defocus 8,000 to 20,000 Å",
    "start_model(particles, ribosome.density[None])": "A model of 1 map",
    "masked_fsc(*halves, np.ones((32, 32, 32)), 11.0)": "FSC of two halves"}


def test_objects_are_pictures_with_words_and_the_magic_answers(either):
    page = either.page
    either.notebook("magics.ipynb", LOAD, *SHOWN, "%cryoedu check 3.1 3.5", "%cryoedu progress 3", "%cryoedu statsu",
                    shows=".jp-OutputArea-output img")
    for cell, words in enumerate(SHOWN.values(), 1):
        assert words in either.run(cell)
        pictures = page.locator(".jp-Cell").nth(cell).locator("img")
        assert pictures.count() >= 1
        for picture in pictures.all():
            assert len(picture.get_attribute("alt") or "") > 20
            assert picture.evaluate("e => e.complete && e.naturalWidth") > 100
    assert "Exercise 3.1: right" in either.run(6)
    assert "1 of 6 exercises done" in either.run(7)
    assert "perhaps 'status' is meant" in either.run(8)
    assert either.console == [] and either.outside == []
