"""The CCF and PDF boards: what a lecturer draws for one particle, turned by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.microscope.noise import circle, signal_variance
from cryoedu.microscope.realspace import rotate
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.page import LiveWidget, cividis, module, raw

REACH = 4  # pixels: shifts from -4 to 4 along x and y are tried
Array = NDArray[np.float32]


class Boards(LiveWidget):
    """One particle beside the turning reference, the CCF and the PDF over its rotation and its shift.

    The traits can be read and set from Python: ``rotation`` (index of the rotation shown), ``snr``, ``sigma``
    (as a multiple of the noise's own σ), ``particle`` (index) and ``shifts`` (whether the shift is unknown too).
    """

    _esm = module("common.js", "plots.js", "boards.js")
    _css = module("common.css")

    rotations = traitlets.Int().tag(sync=True)
    shift_count = traitlets.Int().tag(sync=True)
    particle_count = traitlets.Int().tag(sync=True)
    box = traitlets.Int().tag(sync=True)
    rotation = traitlets.Int(0).tag(sync=True)
    particle = traitlets.Int(0).tag(sync=True)
    snr = traitlets.Float(0.1).tag(sync=True)
    sigma = traitlets.Float(1.0).tag(sync=True)
    shifts = traitlets.Bool(False).tag(sync=True)
    _signal_ccf = traitlets.Bytes().tag(sync=True)  # float32 (P, R, S), of particles of unit contrast without noise
    _noise_ccf = traitlets.Bytes().tag(sync=True)  # (P, R, S), of the noise alone
    _energy = traitlets.Bytes().tag(sync=True)  # (R,) |A|²
    _norms = traitlets.Bytes().tag(sync=True)  # (P, 3): |signal|², signal · noise, |noise|²
    _signals = traitlets.Bytes().tag(sync=True)  # (P, n, n)
    _noises = traitlets.Bytes().tag(sync=True)  # (P, n, n)
    _references = traitlets.Bytes().tag(sync=True)  # (R, n, n)
    _truths = traitlets.Bytes().tag(sync=True)  # (P, 3): degrees, 0, index of the true shift
    _cividis = traitlets.Bytes().tag(sync=True)  # (256, 3) uint8

    @traitlets.validate("rotation", "particle")
    def _inside(self, proposal: Any) -> int:
        count = self.rotations if proposal["trait"].name == "rotation" else self.particle_count
        return int(proposal["value"]) % max(count, 1)

    @traitlets.validate("snr", "sigma")
    def _positive(self, proposal: Any) -> float:
        low, high = (1e-3, 10.0) if proposal["trait"].name == "snr" else (0.1, 10.0)
        return float(min(max(proposal["value"], low), high))

    def curves(self) -> dict[str, Array]:
        """What the boards show now: ``ccf`` (R,) as correlation coefficients, ``pdf`` (R,), and ``ccf_map`` and
        ``pdf_map`` (2·4+1, 2·4+1), indexed [y, x], over the shifts."""
        shape = (self.rotations, self.shift_count)
        block = slice(self.particle * shape[0] * shape[1], (self.particle + 1) * shape[0] * shape[1])
        signal, noise, energy, norms = (np.frombuffer(b, np.float32).astype(float) for b in (
            self._signal_ccf, self._noise_ccf, self._energy, self._norms))
        contrast, home = np.sqrt(self.snr), int(np.frombuffer(self._truths, np.float32)[3 * self.particle + 2])
        ccf = (self.snr * signal[block] + contrast * noise[block]).reshape(shape)
        if not self.shifts:
            ccf = ccf[:, home : home + 1]
        score = (ccf - 0.5 * self.snr * energy[:, None]) / self.sigma**2
        joint = np.exp(score - score.max())
        joint /= joint.sum()
        s2, sn, n2 = norms[3 * self.particle : 3 * self.particle + 3]
        size = np.sqrt(self.snr * s2 + 2 * contrast * sn + n2)
        side = (2 * REACH + 1,) * 2 if self.shifts else (1, 1)
        return {"ccf": ccf.max(axis=1) / (size * contrast * np.sqrt(energy)), "pdf": joint.sum(axis=1),
                "ccf_map": ccf.max(axis=0).reshape(side), "pdf_map": joint.sum(axis=0).reshape(side)}

    def picture(self) -> Picture:
        """The boards as they stand, as a static picture."""
        now, n = self.curves(), self.box
        angles = np.arange(self.rotations) * 360 / self.rotations
        truth = float(np.frombuffer(self._truths, np.float32)[3 * self.particle])
        cut = slice(self.particle * n * n, (self.particle + 1) * n * n)
        signal, noise = (np.frombuffer(b, np.float32)[cut].reshape(n, n) for b in (self._signals, self._noises))
        reference = np.frombuffer(self._references, np.float32).reshape(-1, n, n)[self.rotation]
        figure = new_figure(9.6, 4.2)
        axes = figure.subplots(2, 2, width_ratios=(1, 2.6))
        for ax, image, title in ((axes[0, 0], np.sqrt(self.snr) * signal + noise, f"particle, SNR {self.snr:.2g}"),
                                 (axes[1, 0], reference, f"reference at {angles[self.rotation]:.0f}°")):
            ax.imshow(image, cmap="gray", vmin=image.mean() - 3 * image.std(), vmax=image.mean() + 3 * image.std())
            ax.set(xticks=[], yticks=[])
            ax.set_title(title, fontsize=10)
        axes[0, 1].plot(angles, now["ccf"], color="#0072b2", marker="o", markersize=3)
        axes[0, 1].set(ylabel="correlation")
        axes[0, 1].set_title("CCF (the dashed line is the true rotation)", fontsize=10)
        axes[1, 1].bar(angles, now["pdf"], width=0.8 * angles[1], color="#d55e00")
        axes[1, 1].set(ylabel="probability", xlabel="rotation φ (degrees)")
        axes[1, 1].set_title("PDF", fontsize=10)
        for ax in axes[:, 1]:
            ax.axvline(truth, color="#222222", linestyle="--", linewidth=1)
            ax.set(xlim=(0, 360), xticks=range(0, 361, 60))
        best, likely = int(np.argmax(now["ccf"])), int(np.argmax(now["pdf"]))
        return show(describe(figure, f"CCF and PDF boards for one particle at SNR {self.snr:.2g}, σ {self.sigma:.2g} "
                                     f"times the true one. The CCF is highest at {angles[best]:.0f}°, the PDF at "
                                     f"{angles[likely]:.0f}° with probability {now['pdf'][likely]:.2f}; the true "
                                     f"rotation is {truth:.0f}°."))


def of_unit_signal(specimen: Specimen) -> NDArray[np.float64]:
    """The density (n, n) of a 2D specimen, scaled to variance 1 inside the particle's circle: what the boards turn.

    Raises InputError if the specimen is not 2D, is larger than 96 pixels or has no contrast.
    """
    if specimen.ndim != 2 or specimen.box > 96:
        raise InputError(f"{specimen.name}: the boards take a 2D specimen of up to 96 pixels, but this one has "
                         f"{specimen.ndim} dimensions and {specimen.box} pixels: project or resample it")
    variance = signal_variance(specimen.density[None], circle(specimen.box))
    if not variance > 0:
        raise InputError(f"{specimen.name}: the density is the same everywhere, so there is nothing to align")
    return np.asarray(specimen.density / np.sqrt(variance))


def ccf_pdf_boards(specimen: Specimen, *, snr: float = 0.1, angular_step: float = 5.0, particles: int = 6,
                   seed: int = 3) -> Boards:
    """The boards for a few simulated particles of a 2D specimen, with the specimen itself as the reference.

    snr: where the slider starts. angular_step: degrees between rotations (rounded so that they divide the circle).
    Raises InputError if the specimen is not 2D, is larger than 96 pixels or has no contrast.
    """
    rng, n, count = np.random.default_rng(seed), specimen.box, max(round(360 / angular_step), 4)
    density = of_unit_signal(specimen)
    references = rotate(density, np.arange(count) * 360 / count)
    truths = np.stack([rng.uniform(0, 360, particles), np.zeros(particles), np.zeros(particles)], axis=1)
    moves = rng.integers(-REACH + 1, REACH, (particles, 2))  # x, y in whole pixels
    truths[:, 2] = (moves[:, 1] + REACH) * (2 * REACH + 1) + moves[:, 0] + REACH
    signals = np.stack([np.roll(turned, move[::-1], axis=(0, 1)) for turned, move in
                        zip(rotate(density, truths[:, 0]), moves, strict=True)])
    noises = rng.standard_normal(signals.shape)
    norms = np.stack([np.sum(signals**2, (1, 2)), np.sum(signals * noises, (1, 2)), np.sum(noises**2, (1, 2))], axis=1)
    return Boards(rotations=count, shift_count=(2 * REACH + 1) ** 2, particle_count=particles, box=n, snr=snr,
                  _signal_ccf=raw(_ccf(signals, references)), _noise_ccf=raw(_ccf(noises, references)),
                  _energy=raw(np.sum(references**2, (1, 2))), _norms=raw(norms), _signals=raw(signals),
                  _noises=raw(noises), _references=raw(references), _truths=raw(truths), _cividis=cividis())


def _ccf(images: NDArray[Any], references: NDArray[Any]) -> NDArray[Any]:
    """CCF (P, R, S) of images (P, n, n) with references (R, n, n) at every shift within `REACH`, y outermost."""
    product = np.fft.rfft2(images)[:, None] * np.conj(np.fft.rfft2(references))
    every = np.fft.irfft2(product, s=images.shape[-2:])
    near = np.arange(-REACH, REACH + 1)
    return every[:, :, near][:, :, :, near].reshape(len(images), len(references), -1)

