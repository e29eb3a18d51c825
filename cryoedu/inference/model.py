"""What is inferred: the model, what a particle says about its hidden variables, and one turn of the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import fourier, radial_mean

Floats = NDArray[np.float64]
NO_SIGNAL = 1e-12  # of the strongest shell's power: less is what float32 leaves


@dataclass(frozen=True)
class Model:
    """Θ: everything that is not hidden.

    maps: (K, n, n) references or (K, n, n, n) maps, float32.
    pixel_size: Å.
    sigma2: (G, bins) variance of the noise in each real component, for each noise group: per shell, n//2 + 1
        bins in Fourier space; in real space one bin, the variance of a pixel.
    tau2: (K, n//2 + 1) power of the signal in each real component, per shell; 0 where it has not been looked for yet.
    class_weights: (K,) P(k), sums to one.
    offset_sigma: Å, standard deviation of the shifts along x and y.
    scales: (M,) intensity of each micrograph group, see `cryoedu.inference.scales`; empty where they are not estimated.
    """

    maps: NDArray[np.float32]
    pixel_size: float
    sigma2: Floats
    tau2: Floats
    class_weights: Floats
    offset_sigma: float
    scales: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def classes(self) -> int:
        """K, the number of maps."""
        return len(self.maps)

    @property
    def box(self) -> int:
        """Side of the maps in pixels."""
        return int(self.maps.shape[-1])

    @property
    def ndim(self) -> int:
        """2 for 2D references, 3 for maps."""
        return int(self.maps.ndim - 1)


@dataclass(frozen=True)
class Posterior:
    """What is known of each particle's hidden variables after the expectation step.

    log_evidence: (N,) log of Σ over hypotheses of P(X_i | hypothesis) P(hypothesis), up to a constant of the
        image; with maxCC, that of the one hypothesis chosen.
    class_probability: (N, K).  classes: (N,) the most probable class.
    angles: (N, 3) degrees and shifts: (N, 2) Å of the best hypothesis.
    max_probability: (N,) weight of the best hypothesis (1 with maxCC).
    overlap, energy: (N,) Σ Γ Re X* CTF A / σ² and Σ Γ |CTF A|² / σ² over all hypotheses, where they were asked for.
    """

    log_evidence: Floats
    class_probability: Floats
    classes: NDArray[np.int64]
    angles: Floats
    shifts: Floats
    max_probability: Floats
    overlap: Floats = field(default_factory=lambda: np.zeros(0))
    energy: Floats = field(default_factory=lambda: np.zeros(0))


def unseen(count: int, classes: int) -> Posterior:
    """A posterior of ``count`` particles to be filled in, row by row."""
    return Posterior(np.zeros(count), np.zeros((count, classes)), np.zeros(count, dtype=np.int64), np.zeros((count, 3)),
                     np.zeros((count, 2)), *np.zeros((3, count)))


@dataclass(frozen=True)
class Iteration:
    """One turn of the loop: the model before and after, and what the particles said.

    number: from 1.  radius: shells used.  resolution: Å of the outermost shell used.
    log_likelihood: Σ_i log P(X_i | model before), over the components used.
    ssnr: (K, n//2 + 1) signal-to-noise ratio of each map, per shell (data weight against prior weight); it is that of
        what was aligned, noise or not, and no resolution.
    seconds: wall time of each step.
    folds: where the particles are kept in folds, or halves, with a model each, the models after; `model` is then that
        of them all.
    state: further arrays, by name, that the next iteration looks back to.
    fsc: (n//2 + 1,) between two independent halves, if there are such.
    tau2_fudge: T, which weakened the prior; None where there was none.
    """

    number: int
    before: Model
    model: Model
    posterior: Posterior
    log_likelihood: float
    radius: int
    ssnr: Floats
    seconds: Mapping[str, float] = field(default_factory=dict)
    folds: Sequence[Model] = ()
    state: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    fsc: Floats | None = None
    tau2_fudge: float | None = None

    @property
    def resolution(self) -> float:
        """Å of the outermost shell that was used in this iteration."""
        return resolution_of(self.radius, self.model.box, self.model.pixel_size)

    @property
    def resolved_by_class(self) -> NDArray[np.int64] | None:
        """(K,) the last shell of each map that was measured, and not by chance, by what had no part in it: the other
        half, or components that are left out (`cryoedu.inference.free`). None where nothing was."""
        if "resolved_by_class" in self.state:
            return np.asarray(self.state["resolved_by_class"], dtype=np.int64)
        return np.asarray(self.state["resolved"][-1:], dtype=np.int64) if "resolved" in self.state else None

    @property
    def resolved(self) -> int | None:
        """The finest of `resolved_by_class`."""
        return None if self.resolved_by_class is None else int(self.resolved_by_class.max())


@dataclass(frozen=True)
class Checkpoint:
    """The state after an iteration.

    number: of that iteration.  models: the model that came out of it, then those of the folds, if there are folds.
    arrays: further arrays that the next iteration looks back to, by name.
    notes: anything JSON can hold: what was asked for, and the history so far.
    """

    number: int
    models: Sequence[Model]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        """The model of all particles."""
        return self.models[0]

    @property
    def folds(self) -> Sequence[Model]:
        """The models of the folds."""
        return self.models[1:]

    @property
    def state(self) -> Mapping[str, NDArray[Any]]:
        """The arrays, as an `Iteration` calls them."""
        return self.arrays


After = Iteration | Checkpoint  # what a solver can go on from: number, model, folds and state


def resolution_of(shell: int, box: int, pixel_size: float) -> float:
    """Resolution in Å of a Fourier shell."""
    return box * pixel_size / max(shell, 1)


def signal_power(maps: NDArray[np.floating], radius: int | None = None) -> Floats:
    """τ² (K, n//2 + 1): half the mean squared modulus of the maps' transforms (K, n, …) on each shell.

    radius: the outermost shell that was looked at. What a mask has spread beyond it is no signal: τ² is 0 there, which
        `signal_prior` takes for a shell of which nothing is known. Up to it, what rounding would leave is positive.
    """
    ndim = maps.ndim - 1
    tau2 = 0.5 * radial_mean(np.abs(fourier(np.asarray(maps), ndim)) ** 2, maps.shape[-1], ndim)
    if radius is None:
        return tau2
    least = NO_SIGNAL * tau2.max(axis=1, keepdims=True)
    return np.where(np.arange(tau2.shape[1]) <= radius, np.maximum(tau2, least), 0.0)


def start_power(maps: NDArray[np.floating]) -> Floats:
    """τ² (K, n//2 + 1) of maps to start from: 0 where they hold nothing but what rounding leaves, as beyond a low
    pass."""
    tau2 = signal_power(maps)
    return np.where(tau2 > NO_SIGNAL * tau2.max(axis=1, keepdims=True), tau2, 0.0)


def check_size(box: int, pixel_size: float, particle_box: int, particle_pixel_size: float, what: str) -> None:
    """Raise InputError unless ``what`` has the particles' box and pixel size (0.5 % tolerance)."""
    if box != particle_box:
        raise InputError(f"{what} has a box of {box} pixels, but the particles have {particle_box}: resample one of "
                         "them")
    if abs(pixel_size / particle_pixel_size - 1) > 5e-3:
        raise InputError(f"{what} has {pixel_size:g} Å per pixel, but the particles have {particle_pixel_size:g}: "
                         "resample one of them, or correct its header")


def check_model(model: Model, box: int, pixel_size: float, *, start: bool = True) -> None:
    """Raise InputError unless ``model`` can describe particles of this box and pixel size.

    start: nothing has been estimated yet, so that no map may be zero everywhere, as that of a class becomes that loses
        all its particles.
    """
    check_size(model.box, model.pixel_size, box, pixel_size, "the reference")
    if not np.isfinite(model.maps).all():
        raise InputError("the reference holds NaN or infinite values: replace them first")
    empty = [k + 1 for k, m in enumerate(model.maps) if not m.any()]
    if empty and start:
        raise InputError(f"reference {empty[0]} is zero everywhere, so no image can be aligned to it: start from an "
                         "average or a map")
