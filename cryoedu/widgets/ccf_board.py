"""The CCF on the board: the reference turns, and the curve is drawn point by point."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.microscope.realspace import rotate
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.boards import of_unit_signal
from cryoedu.widgets.page import LiveWidget, module, raw


class CcfBoard(LiveWidget):
    """An image, the reference turning, their product pixel by pixel, and its sum: the CCF.

    The traits can be read and set from Python: ``rotation`` (index), ``particle`` (index), ``snr`` and ``whole``
    (whether the whole curve is shown, or only what has been passed).
    """

    _esm = module("common.js", "plots.js", "ccf_board.js")
    _css = module("common.css")

    rotations = traitlets.Int().tag(sync=True)
    particle_count = traitlets.Int().tag(sync=True)
    box = traitlets.Int().tag(sync=True)
    rotation = traitlets.Int(0).tag(sync=True)
    particle = traitlets.Int(0).tag(sync=True)
    snr = traitlets.Float(0.1).tag(sync=True)
    whole = traitlets.Bool(False).tag(sync=True)
    _signals = traitlets.Bytes().tag(sync=True)  # float32 (P, n, n), of unit variance within the particle's circle
    _noises = traitlets.Bytes().tag(sync=True)  # (P, n, n), σ = 1
    _references = traitlets.Bytes().tag(sync=True)  # (R, n, n), scaled as the signals
    _truths = traitlets.Bytes().tag(sync=True)  # (P,) degrees

    @traitlets.validate("rotation", "particle")
    def _inside(self, proposal: Any) -> int:
        count = self.rotations if proposal["trait"].name == "rotation" else self.particle_count
        return int(proposal["value"]) % max(count, 1)

    @traitlets.validate("snr")
    def _positive(self, proposal: Any) -> float:
        return float(min(max(proposal["value"], 1e-3), 10.0))

    def image(self) -> NDArray[np.float64]:
        """The image X (n, n) that is shown now: signal of this SNR, noise of σ = 1."""
        signal, noise = (np.frombuffer(b, np.float32).reshape(-1, self.box, self.box)[self.particle]
                         for b in (self._signals, self._noises))
        return np.asarray(np.sqrt(self.snr) * signal + noise, dtype=np.float64)

    def curve(self) -> NDArray[np.float64]:
        """Its CCF (R,) with the reference in every rotation."""
        references = np.frombuffer(self._references, np.float32).reshape(-1, self.box**2)
        return np.asarray(np.sqrt(self.snr) * references.astype(np.float64) @ self.image().ravel())

    def picture(self) -> Picture:
        """The board as it stands, with the whole curve, as a static picture."""
        angles = np.arange(self.rotations) * 360 / self.rotations
        values, image, at = self.curve(), self.image(), angles[self.rotation]
        truth, best = float(np.frombuffer(self._truths, np.float32)[self.particle]), int(values.argmax())
        reference = np.sqrt(self.snr) * np.frombuffer(self._references, np.float32).reshape(
            -1, self.box, self.box)[self.rotation]
        figure = new_figure(9.6, 2.7)
        axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 2))
        for ax, shown, title in zip(axes, (image, reference, image * reference),
                                    (f"image X, SNR {self.snr:.2g}", f"reference A at {at:.0f}°", "product X · A")):
            middle = 0.0 if title.startswith("product") else shown.mean()  # of the product, zero is mid-grey
            reach = 3 * np.sqrt(np.mean((shown - middle) ** 2))
            ax.imshow(shown, cmap="gray", vmin=middle - reach, vmax=middle + reach)
            ax.set(xticks=[], yticks=[])
            ax.set_title(title, fontsize=9.5)
        axes[3].plot(angles, values, color="#0072b2", marker="o", markersize=2.5, linewidth=1.2)
        axes[3].plot(at, values[self.rotation], "o", color="#0072b2", markersize=8, markerfacecolor="none")
        axes[3].axvline(truth, color="#222222", linestyle="--", linewidth=1, label=f"true: {truth:.0f}°")
        axes[3].set(xlim=(0, 360), xticks=range(0, 361, 90), xlabel="rotation φ (degrees)", ylabel="CCF")
        axes[3].legend(fontsize=8)
        return show(describe(figure, f"The CCF of one image at SNR {self.snr:.2g} with the reference: "
                                     f"{values.min():.0f} to {values.max():.0f}, highest at {angles[best]:.0f}°; the "
                                     f"true rotation is {truth:.0f}°. Shown at {at:.0f}°, where the CCF is "
                                     f"{values[self.rotation]:.0f}."))


def ccf_board(specimen: Specimen, *, snr: float = 0.1, angular_step: float = 5.0, particles: int = 6,
              seed: int = 3) -> CcfBoard:
    """The board for a few simulated images of a 2D specimen, with the specimen itself as the reference.

    snr: where the slider starts. angular_step: degrees between rotations (rounded so that they divide the circle).
    Raises InputError if the specimen is not 2D, is larger than 96 pixels or has no contrast.
    """
    rng, count = np.random.default_rng(seed), max(round(360 / angular_step), 4)
    density = of_unit_signal(specimen)
    truths = rng.uniform(0, 360, particles)
    signals = rotate(density, truths)
    return CcfBoard(rotations=count, particle_count=particles, box=specimen.box, snr=snr, _signals=raw(signals),
                    _noises=raw(rng.standard_normal(signals.shape)), _truths=raw(truths),
                    _references=raw(rotate(density, np.arange(count) * 360 / count)))
