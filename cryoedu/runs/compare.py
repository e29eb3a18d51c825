"""Where the truth is known: what came out beside what could have come out, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cryoedu.inference.model import Posterior
from cryoedu.inference.oracle import noise_of_residuals, oracle
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Particles
from cryoedu.validation.classes import agreement, calibration, contingency
from cryoedu.validation.poses import pose_errors


def compare(posterior: Posterior, particles: Particles, truth: Particles, maps: Sequence[NDArray[np.floating]] = (), *,
            symmetry: str = "C1") -> str:
    """A few lines: contingency table, agreement, how often the probabilities are right, pose errors up to the maps'
    ``symmetry``, and with the true ``maps`` what the oracle reaches."""
    assert truth.classes is not None and truth.angles is not None
    table = contingency(posterior.classes, truth.classes)
    lines = ["rows: classes found, columns: true classes"]
    lines += ["  class {:2d}  {}".format(k + 1, "  ".join(f"{n:6d}" for n in row)) for k, row in enumerate(table)]
    lines.append(f"agreement under the best permutation: {100 * agreement(posterior.classes, truth.classes):.1f} %")
    if posterior.class_probability.shape[1] > 1:
        lines.append("probability of the class found: how many particles, on average, right in")
        lines += [f"  {b.low:4.2f} to {b.high:4.2f}  {b.count:6d}  {100 * b.mean:5.1f} %  {100 * b.right:5.1f} %"
                  for b in calibration(posterior.class_probability, truth.classes)]
    if truth.angles[:, :2].any():
        shifts = posterior.shifts + (0.0 if particles.shifts is None else particles.shifts)
        errors = pose_errors(posterior.angles, truth.angles, shifts, truth.shifts, symmetry=symmetry)
        lines.append(f"median pose error: {errors.median_angle:.1f} degrees, {errors.median_shift:.1f} Å, "
                     "in a common frame")
    if len(maps):
        specimens = [Specimen(m, truth.pixel_size) for m in maps]
        found = oracle(truth, specimens, noise_of_residuals(truth, specimens)).argmax(axis=1)
        lines.append(f"the oracle (true maps, poses and noise): {100 * float(np.mean(found == truth.classes)):.1f} %")
    return "\n".join(lines)
