"""STAR files and stacks to read, made where a test needs them."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.files.mrc import write_stack


def star_text(rows="000001@a.mrcs 1 10000 9000 30\n000002@a.mrcs 1 11000 9500 40\n",
            columns=("rlnImageName", "rlnOpticsGroup", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"),
            optics="one 1 300.0 2.7 0.1 3.0 4 2\n",
            optics_columns=("rlnOpticsGroupName", "rlnOpticsGroup", "rlnVoltage", "rlnSphericalAberration",
                            "rlnAmplitudeContrast", "rlnImagePixelSize", "rlnImageSize", "rlnImageDimensionality")):
    """A STAR file in RELION 3.1's layout, as text."""
    tables = (("optics", optics_columns, optics), ("particles", columns, rows))
    return "".join(f"\n# version 30001\n\ndata_{name}\n\nloop_ \n"
                   + "".join(f"_{c} #{i} \n" for i, c in enumerate(labels, 1)) + text + " \n"
                   for name, labels, text in tables)


@pytest.fixture
def star_31():
    """The function that makes a STAR file in RELION 3.1's layout, as text."""
    return star_text


@pytest.fixture
def make(tmp_path):
    """A function that writes p.star and stacks of 4 images (a.mrcs, or those given as name=images); it returns the
    path of p.star."""

    def write(text, **stacks):
        images = np.random.default_rng(0).normal(size=(4, 4, 4)).astype(np.float32)
        for name, values in (stacks or {"a": images}).items():
            write_stack(values, tmp_path / f"{name}.mrcs", 3.0)
        (tmp_path / "p.star").write_text(text)
        return tmp_path / "p.star"

    return write
