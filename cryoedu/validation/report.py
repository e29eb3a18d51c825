"""What a person wants to read when the truth is known: classes, poses, and the oracle beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cryoedu.inference.model import Posterior
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Particles
from cryoedu.validation.classes import agreement, contingency
from cryoedu.validation.oracle import noise_of_residuals, oracle
from cryoedu.validation.poses import pose_errors


def compare(posterior: Posterior, truth: Particles, maps: Sequence[NDArray[np.floating]] = ()) -> str:
    """A few lines: contingency table, agreement, pose errors, and with the true ``maps`` what the oracle reaches."""
    assert truth.classes is not None and truth.angles is not None
    table = contingency(posterior.classes, truth.classes)
    lines = ["rows: classes found, columns: true classes"]
    lines += ["  class {:2d}  {}".format(k + 1, "  ".join(f"{n:6d}" for n in row)) for k, row in enumerate(table)]
    lines.append(f"agreement under the best permutation: {100 * agreement(posterior.classes, truth.classes):.1f} %")
    if truth.angles[:, :2].any():
        errors = pose_errors(posterior.angles, truth.angles, posterior.shifts, truth.shifts)
        lines.append(f"median pose error: {errors.median_angle:.1f} degrees, {errors.median_shift:.1f} Å, "
                     "in a common frame")
    if len(maps):
        specimens = [Specimen(m, truth.pixel_size) for m in maps]
        found = oracle(truth, specimens, noise_of_residuals(truth, specimens)).argmax(axis=1)
        lines.append(f"the oracle (true maps, poses and noise): {100 * float(np.mean(found == truth.classes)):.1f} %")
    return "\n".join(lines)
