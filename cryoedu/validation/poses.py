"""How far estimated poses are from true ones, up to the specimen's symmetry and a common frame.

Turning the map and all poses together changes no image, so an estimate from scratch may be right and yet turned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.euler import angular_distance, euler_to_matrix

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PoseErrors:
    """Errors of N estimated poses after the common frame is taken out.

    angles: (N,) degrees.  shifts: (N,) Å.  frame: (3, 3) rotation and offset: (3,) Å of the estimated map's frame
    in the true one.
    """

    angles: Floats
    shifts: Floats
    frame: Floats
    offset: Floats

    @property
    def median_angle(self) -> float:
        """Degrees."""
        return float(np.median(self.angles))

    @property
    def median_shift(self) -> float:
        """Å."""
        return float(np.median(self.shifts))


def symmetry_operators(group: str) -> Floats:
    """Rotations (M, 3, 3) of the point group C1, C2, … D2, … T, O or I, main axis along z."""
    from scipy.spatial.transform import Rotation

    try:
        return np.asarray(Rotation.create_group(group.upper()).as_matrix())
    except ValueError:
        raise InputError(f"{group!r} is not a point group: write C1, C4, D7, T, O or I") from None


def pose_errors(angles: ArrayLike, true_angles: ArrayLike, shifts: ArrayLike | None = None,
                true_shifts: ArrayLike | None = None, *, symmetry: str = "C1", common_frame: bool = True) -> PoseErrors:
    """Errors of poses (N, 3) degrees and (N, 2) Å against the true ones.

    common_frame: fit and remove one rotation (and one 3D offset) of the whole map; False where the estimate was
    made in the true map's frame.
    """
    estimated, true = euler_to_matrix(angles), euler_to_matrix(true_angles)
    if estimated.shape != true.shape:
        raise InputError(f"{len(estimated)} estimated and {len(true)} true poses cannot be compared: give the same "
                         "particles")
    operators = symmetry_operators(symmetry)
    frame = _common_frame(estimated, true, operators) if common_frame else np.eye(3)
    turned = estimated @ frame
    distances = np.stack([angular_distance(turned, true @ s) for s in operators])
    moved: Floats = np.zeros(len(estimated))
    offset: Floats = np.zeros(3)
    if shifts is not None and true_shifts is not None:
        difference = np.asarray(true_shifts, dtype=np.float64) - np.asarray(shifts, dtype=np.float64)
        if common_frame:
            rows = turned[:, :2, :].reshape(-1, 3)
            offset = np.asarray(np.linalg.lstsq(rows, difference.reshape(-1), rcond=None)[0], dtype=np.float64)
            difference = difference - (rows @ offset).reshape(-1, 2)
        moved = np.hypot(difference[:, 0], difference[:, 1])
    return PoseErrors(distances.min(axis=0), moved, frame, offset)


def _common_frame(estimated: Floats, true: Floats, operators: Floats) -> Floats:
    """The rotation G with estimated · G ≈ true (up to symmetry) for as many particles as possible.

    Outliers abound where noise wins, so: the candidate (one from each of up to 200 particles) that most others agree
    with to 20°, then a mean over those that do.
    """
    candidates = np.swapaxes(estimated, 1, 2) @ true
    some = candidates[:: max(len(candidates) // 200, 1)]

    def misfit(frame: Floats) -> Floats:
        return np.min([angular_distance(estimated @ frame, true @ s) for s in operators], axis=0)

    best = max(some, key=lambda g: int(np.sum(misfit(g) < 20.0)))
    for _ in range(5):
        options = np.stack([angular_distance(estimated @ best, true @ s) for s in operators])
        near = options.min(axis=0) < 20.0
        aligned = np.swapaxes(estimated[near], 1, 2) @ (true[near] @ operators[options.argmin(axis=0)[near]])
        u, _, vt = np.linalg.svd(aligned.sum(axis=0))
        best = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return np.asarray(best)
