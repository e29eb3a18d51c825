"""What the commands make of the files that they are given."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.euler import random_rotations
from cryoedu.geometry.fourier import components
from cryoedu.microscope import write_map
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.projection import project
from cryoedu.microscope.specimen import Specimen
from cryoedu.pipeline.derive import mask_of, reference_of

BOX, PIXEL = 32, 4.0


@pytest.fixture(scope="module")
def blob() -> np.ndarray:
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
    return np.exp(-sum((a - c) ** 2 for a, c in zip(axes, (2, -3, 1), strict=True)) / 30).astype(np.float32)


def test_a_reference_on_finer_pixels_shows_the_same_projections(blob, tmp_path):
    """With --pixel-size the images get coarser; a reference that kept its scale would be wrong by that factor."""
    write_map(blob, tmp_path / "map.mrc", PIXEL)
    coarse = simulate(Specimen(np.ones((16,) * 3, dtype=np.float32), 2 * PIXEL), 1, seed=1, progress=False).particles
    found = reference_of(tmp_path / "map.mrc", coarse)
    assert found.shape == (16,) * 3
    rotations, parts, fine = random_rotations(3, np.random.default_rng(1)), components(16, 5), components(BOX, 5)
    ours, theirs = project(found[None], rotations, parts)[0], project(blob[None], rotations, fine)[0]
    assert (parts.kx == fine.kx).all() and (parts.ky == fine.ky).all()
    # a transform of (n/2)² pixels of the same grey value holds a quarter of one of n²
    np.testing.assert_allclose(4 * ours, theirs, atol=0.02 * np.abs(theirs).max())


def test_a_mask_on_finer_pixels_stays_a_mask(blob, tmp_path):
    write_map((blob > 0.5).astype(np.float32), tmp_path / "mask.mrc", PIXEL)
    coarse = simulate(Specimen(np.ones((16,) * 3, dtype=np.float32), 2 * PIXEL), 1, seed=1, progress=False).particles
    found = mask_of(coarse, 3, None, tmp_path / "mask.mrc")
    assert found.shape == (16,) * 3 and found.min() >= 0 and found.max() <= 1 and found.max() > 0.9


def test_a_map_of_another_field_is_refused(blob, tmp_path):
    write_map(blob, tmp_path / "map.mrc", PIXEL)
    other = simulate(Specimen(np.ones((16,) * 3, dtype=np.float32), PIXEL), 1, seed=1, progress=False).particles
    with pytest.raises(InputError, match=r"map\.mrc has a box of 32 pixels"):
        reference_of(tmp_path / "map.mrc", other)
