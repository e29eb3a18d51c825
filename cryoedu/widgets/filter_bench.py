"""The filter bench: low-, high- and band-pass filters by hand, against the filter that the data teach."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.figures.fourier import resolution_axis
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.geometry.fourier import components, fourier, gather, inverse, shells
from cryoedu.inference.model import signal_power
from cryoedu.microscope.experiment import Experiment
from cryoedu.microscope.realspace import rotate
from cryoedu.widgets.page import LiveWidget, module, raw

KINDS = ("no filter", "low-pass", "high-pass", "band-pass", "learned from the data")
LEARNED = KINDS.index("learned from the data")
CLOSE = 10.0  # degrees from the truth that count as aligned
Floats = NDArray[np.float64]


class FilterBench(LiveWidget):
    """A filter, an image before and after it, its score over the rotations, and how many of all images align.

    The traits can be read and set from Python: ``kind`` (index into `KINDS`), ``coarse`` and ``fine`` (the first and
    the last shell that is kept) and ``particle`` (index of the image shown).
    """

    _esm = module("common.js", "plots.js", "filter_bench.js")
    _css = module("common.css")

    kind = traitlets.Int(0).tag(sync=True)
    coarse = traitlets.Int(1).tag(sync=True)
    fine = traitlets.Int(1).tag(sync=True)
    particle = traitlets.Int(0).tag(sync=True)
    shell_count = traitlets.Int().tag(sync=True)  # S: shells 1 … S
    rotations = traitlets.Int().tag(sync=True)  # R
    image_count = traitlets.Int().tag(sync=True)  # N images are aligned
    shown_count = traitlets.Int().tag(sync=True)  # the first P of them can be looked at
    box = traitlets.Int().tag(sync=True)
    field_of_view = traitlets.Float().tag(sync=True)  # Å across: shell s is at field_of_view / s
    kinds = traitlets.List(list(KINDS)).tag(sync=True)
    close_enough = traitlets.Float(CLOSE).tag(sync=True)
    _pieces = traitlets.Bytes().tag(sync=True)  # float32 (P, S, n, n): the part of each image in each shell
    _ccf = traitlets.Bytes().tag(sync=True)  # (N, S, R): Re Σ X* A over the components of each shell
    _energy = traitlets.Bytes().tag(sync=True)  # (S, R): Σ |A|²
    _noise = traitlets.Bytes().tag(sync=True)  # (S,): σ²
    _signal = traitlets.Bytes().tag(sync=True)  # (S,): power of the reference
    _truth = traitlets.Bytes().tag(sync=True)  # (N,): degrees

    @traitlets.validate("kind", "coarse", "fine", "particle")
    def _inside(self, proposal: Any) -> int:
        low, high = {"kind": (0, len(KINDS) - 1), "particle": (0, self.shown_count - 1)}.get(
            proposal["trait"].name, (1, self.shell_count))
        return int(min(max(proposal["value"], low), max(high, low)))

    def weights(self, kind: int | None = None) -> Floats:
        """(S,): what a filter (index into `KINDS`; else the one chosen) multiplies each shell by, 1 at the most."""
        shell, name = np.arange(1, self.shell_count + 1), KINDS[self.kind if kind is None else kind]
        if name == KINDS[LEARNED]:
            precision = 1 / np.frombuffer(self._noise, np.float32).astype(float)
            return np.asarray(precision / precision.max())
        low, high = name in ("high-pass", "band-pass"), name in ("low-pass", "band-pass")
        return np.asarray((~(low & (shell < self.coarse)) & ~(high & (shell > self.fine))).astype(float))

    def worth(self) -> Floats:
        """(S,): τ²/σ² of each shell, what one of its components can tell about the rotation; the highest is 1."""
        signal, noise = (np.frombuffer(b, np.float32).astype(float) for b in (self._signal, self._noise))
        return np.asarray(signal / noise / (signal / noise).max())

    def scores(self, kind: int | None = None) -> Floats:
        """(N, R): the score of every rotation for every image, with this filter."""
        shape = (self.image_count, self.shell_count, self.rotations)
        ccf = np.frombuffer(self._ccf, np.float32).reshape(shape).astype(float)
        energy = np.frombuffer(self._energy, np.float32).reshape(shape[1:])
        return np.asarray(np.einsum("s,nsr->nr", self.weights(kind), ccf - 0.5 * energy))

    def leads(self, kind: int | None = None) -> Floats:
        """(N,): by how much the best score within 10° of the true rotation is above the best one elsewhere.

        In units of the range of the image's scores; below 0 for an image that is aligned wrongly.
        """
        scores, truth = self.scores(kind), np.frombuffer(self._truth, np.float32)[:, None]
        off = np.abs((np.arange(self.rotations) * 360 / self.rotations - truth + 180) % 360 - 180)
        near, far = (np.where(mask, scores, -np.inf).max(axis=1) for mask in (off <= CLOSE, off > CLOSE))
        return np.asarray((near - far) / np.maximum(np.ptp(scores, axis=1), 1e-30))

    def aligned(self, kind: int | None = None) -> float:
        """The share of the images whose best rotation is within 10° of the true one; 0 if all is filtered away."""
        return float(np.mean(self.leads(kind) > 0))

    def telling(self) -> int:
        """Which of the images that can be looked at the learned filter changes most clearly from wrong to right."""
        return int(np.minimum(self.leads(LEARNED), -self.leads(0))[: self.shown_count].argmax())

    def picture(self) -> Picture:
        """The bench as it stands, as a static picture."""
        weights, n = self.weights(), self.box
        pieces = np.frombuffer(self._pieces, np.float32).reshape(self.shown_count, -1, n, n)[self.particle]
        frequencies = np.arange(1, self.shell_count + 1) / self.field_of_view
        noise, signal = (np.frombuffer(b, np.float32) for b in (self._noise, self._signal))
        truth = float(np.frombuffer(self._truth, np.float32)[self.particle])
        figure = new_figure(9.6, 4.4)
        axes = figure.subplots(2, 3, width_ratios=(1, 1.3, 1.3))
        for ax, image, title in ((axes[0, 0], pieces.sum(axis=0), f"image {self.particle + 1}"),
                                 (axes[1, 0], np.tensordot(weights, pieces, 1), "after the filter")):
            ax.imshow(image, cmap="gray")
            ax.set(xticks=[], yticks=[])
            ax.set_title(title, fontsize=10)
        axes[0, 1].plot(frequencies, noise, color="#d55e00", linestyle="--", label="noise σ²")
        axes[0, 1].plot(frequencies, signal, color="#0072b2", label="signal τ²")
        axes[0, 1].set(yscale="log", ylabel="power")
        axes[0, 1].legend(fontsize=8)
        axes[1, 1].bar(frequencies, weights, width=0.8 * frequencies[0], color="#0072b2", label="weight")
        axes[1, 1].plot(frequencies, self.worth(), color="#d55e00", linestyle="--", label="τ²/σ² (highest: 1)")
        axes[1, 1].set(ylabel="weight", ylim=(0, 1.05))
        axes[1, 1].legend(fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
        for ax in axes[:, 1]:
            resolution_axis(ax)
            ax.tick_params(axis="x", labelsize=7.5)
        angles = np.arange(self.rotations) * 360 / self.rotations
        axes[0, 2].plot(angles, self.scores()[self.particle], color="#0072b2")
        axes[0, 2].axvline(truth, color="#222222", linestyle="--", linewidth=1)
        axes[0, 2].set(xlabel="rotation φ (degrees)", ylabel="score", xticks=range(0, 361, 90), yticks=[])
        axes[0, 2].set_title("score (dashed: the true rotation)", fontsize=10)
        axes[1, 2].barh([0], [self.aligned()], color="#009e73")
        axes[1, 2].set(xlim=(0, 1), yticks=[], xlabel=f"share of {self.image_count} images within {CLOSE:.0f}°")
        best, d = angles[self.scores()[self.particle].argmax()], self.field_of_view / (1 + self.worth().argmax())
        return show(describe(figure, f"Filter bench: {KINDS[self.kind]}. Noise falls from {noise[0]:.3g} to "
                                     f"{noise[-1]:.3g} over the shells; τ²/σ² is highest at {d:.0f} Å. Image "
                                     f"{self.particle + 1}: score highest at {best:.0f}°, true rotation {truth:.0f}°. "
                                     f"{self.aligned():.0%} of {self.image_count} images are aligned within "
                                     f"{CLOSE:.0f} degrees of the truth."))


def filter_bench(experiment: Experiment, sigma2: NDArray[np.floating], *, images: int = 150, shown: int = 8,
                 angular_step: float = 5.0) -> FilterBench:
    """A filter bench for the first ``images`` of a simulated 2D experiment, with its specimen as the reference.

    sigma2: (n//2 + 1,) the noise power by shell, as estimated from the data. shown: images that can be looked at; the
    bench begins with the one that the learned filter changes most clearly from wrong to right (`FilterBench.telling`).
    Raises InputError for an experiment in 3D or with shifts, and for a noise spectrum of another length.
    """
    particles, truth, n = experiment.particles, experiment.truth, experiment.particles.box
    if experiment.specimens[0].ndim != 2 or truth.angles is None or np.any(truth.shifts):
        raise InputError("the filter bench takes a simulated 2D experiment without shifts: simulate one of a 2D "
                         "specimen")
    if np.shape(sigma2) != (n // 2 + 1,) or not np.all(np.asarray(sigma2)[1:] > 0):
        raise InputError(f"a noise spectrum of shape {np.shape(sigma2)} does not fit images of {n} pixels: give one "
                         f"positive number for each of {n // 2 + 1} shells")
    images, shown = min(images, len(particles)), min(shown, images, len(particles))
    parts, last = components(n), n // 2 - 1
    count = max(round(360 / angular_step), 4)
    reference = experiment.specimens[0].density
    X = gather(np.asarray(particles.images[np.arange(images)]), parts)
    A = gather(rotate(reference, np.arange(count) * 360 / count).astype(np.float32), parts)
    inside = [np.flatnonzero(parts.shell == s) for s in range(1, last + 1)]
    ccf = np.stack([np.real(X[:, j] @ np.conj(A[:, j]).T) for j in inside], axis=1)
    energy = np.stack([np.sum(np.abs(A[:, j]) ** 2, axis=1) for j in inside])
    transform = fourier(np.asarray(particles.images[np.arange(shown)]))
    pieces = np.stack([inverse(transform * (shells(n) == s)) for s in range(1, last + 1)], axis=1)
    bench = FilterBench(shell_count=last, rotations=count, image_count=images, shown_count=shown, box=n,
                        field_of_view=n * particles.pixel_size, coarse=1, fine=last, _pieces=raw(pieces), _ccf=raw(ccf),
                        _energy=raw(energy), _noise=raw(np.asarray(sigma2)[1 : last + 1]),
                        _signal=raw(signal_power(reference[None])[0, 1 : last + 1]),
                        _truth=raw(truth.angles[:images, 2] % 360))
    bench.particle = bench.telling()
    return bench
