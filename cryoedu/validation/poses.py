"""How far estimated poses are from true ones, up to the specimen's symmetry and a common frame.

Turning the map and all poses together changes no image, so an estimate from scratch may be right and yet turned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.euler import angular_distance, euler_to_matrix
from cryoedu.geometry.symmetry import symmetry_operators

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


NEAR = 20.0  # degrees beyond which a pose counts as lost, and has no say in the common frame


def pose_errors(angles: ArrayLike, true_angles: ArrayLike, shifts: ArrayLike | None = None,
                true_shifts: ArrayLike | None = None, *, symmetry: str = "C1", common_frame: bool = True) -> PoseErrors:
    """Errors of poses (N, 3) degrees and (N, 2) Å against the true ones.

    common_frame: fit and remove one rotation (and one 3D offset) of the whole map; False where the estimate was
    made in the true map's frame. Poses that are off by more than `NEAR` have no say in them.

    Raises InputError if the numbers of poses or shifts differ, if there are none, or if one is not finite.
    """
    _check("poses", angles, true_angles, np.shape(angles)[:1] + (3,))
    estimated, true = euler_to_matrix(angles), euler_to_matrix(true_angles)
    operators = symmetry_operators(symmetry)
    frame = _common_frame(estimated, true, operators) if common_frame else np.eye(3)
    turned = estimated @ frame
    distances = np.min([angular_distance(turned, true @ s) for s in operators], axis=0)
    moved: Floats = np.zeros(len(estimated))
    offset: Floats = np.zeros(3)
    if shifts is not None and true_shifts is not None:
        _check("shifts", shifts, true_shifts, (len(estimated), 2))
        difference = np.asarray(true_shifts, dtype=np.float64) - np.asarray(shifts, dtype=np.float64)
        if common_frame:
            views, near = turned[:, :2, :], distances < NEAR
            fitted = np.linalg.lstsq(views[near].reshape(-1, 3), difference[near].reshape(-1), rcond=None)[0]
            offset = np.asarray(fitted, dtype=np.float64)
            difference = difference - views @ offset
        moved = np.hypot(difference[:, 0], difference[:, 1])
    return PoseErrors(distances, moved, frame, offset)


def _check(what: str, estimated: ArrayLike, true: ArrayLike, shape: tuple[int, ...]) -> None:
    a, b = np.asarray(estimated, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if not (a.shape == b.shape == shape) or len(a) == 0:
        raise InputError(f"estimated {what} of shape {a.shape} and true ones of {b.shape} cannot be compared: give the "
                         "same particles, at least one")
    bad = np.flatnonzero(~np.isfinite(a + b).all(axis=1))
    if len(bad):
        raise InputError(f"{what} of particle {bad[0] + 1}: {a[bad[0]]} and {b[bad[0]]} cannot be compared: leave out "
                         "particles without a pose")


def _common_frame(estimated: Floats, true: Floats, operators: Floats) -> Floats:
    """The rotation G with estimated · G ≈ true (up to symmetry) for as many particles as possible.

    Outliers abound where noise wins, so: the candidate (one from each of up to 200 particles) that most others agree
    with to `NEAR`, then a mean over those that do.
    """
    candidates = np.swapaxes(estimated, 1, 2) @ true
    some = candidates[:: max(len(candidates) // 200, 1)]

    def misfit(frame: Floats) -> Floats:
        return np.asarray(np.min([angular_distance(estimated @ frame, true @ s) for s in operators], axis=0))

    best = max(some, key=lambda g: int(np.sum(misfit(g) < NEAR)))
    for _ in range(5):
        options = np.stack([angular_distance(estimated @ best, true @ s) for s in operators])
        near = options.min(axis=0) < NEAR
        aligned = np.swapaxes(estimated[near], 1, 2) @ (true[near] @ operators[options.argmin(axis=0)[near]])
        u, _, vt = np.linalg.svd(aligned.sum(axis=0))
        best = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return np.asarray(best)
