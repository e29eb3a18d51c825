"""Match a projection by hand: turn a map until its projection fits a noisy image, and see the computer do it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.geometry.euler import matrix_to_euler, random_rotations
from cryoedu.geometry.fourier import components, fourier, frequencies, inverse, scatter
from cryoedu.geometry.grids import search_3d
from cryoedu.microscope.ctf import ctf
from cryoedu.microscope.noise import circle, signal_variance
from cryoedu.microscope.projection import project
from cryoedu.microscope.realspace import project_by_sums
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import CTFParameters, Optics
from cryoedu.widgets.page import LiveWidget, cividis, module, raw

INSIDE = 0.9  # of the box: the diameter of the circle in which images are compared
ORDER = 2  # HEALPix order of the computer's grid: 192 directions, 15° apart
BLOCK = 512  # projections made at a time: all of them together would take 100 MB
WIDE, HIGH = 72, 36  # pixels of the picture of all directions, 5° each
Array = NDArray[Any]


class Matching(LiveWidget):
    """A noisy image beside the projection at three angles, their correlation, and the best of a grid.

    The traits can be read and set from Python: ``rot``, ``tilt`` and ``psi`` (degrees), ``snr``, ``image`` (index) and
    ``revealed`` (whether the computer's scores are shown).
    """

    _esm = module("common.js", "plots.js", "matching.js")
    _css = module("common.css")

    box = traitlets.Int().tag(sync=True)
    image_count = traitlets.Int().tag(sync=True)
    psi_count = traitlets.Int().tag(sync=True)
    rot = traitlets.Float(0.0).tag(sync=True)
    tilt = traitlets.Float(90.0).tag(sync=True)
    psi = traitlets.Float(0.0).tag(sync=True)
    image = traitlets.Int(0).tag(sync=True)
    snr = traitlets.Float(1.0).tag(sync=True)
    revealed = traitlets.Bool(False).tag(sync=True)
    _map = traitlets.Bytes().tag(sync=True)  # float32 (n, n, n)
    _signals = traitlets.Bytes().tag(sync=True)  # (P, n, n), variance 1 inside the circle
    _noises = traitlets.Bytes().tag(sync=True)  # (P, n, n), variance 1
    _truths = traitlets.Bytes().tag(sync=True)  # (P, 3) degrees
    _grid_angles = traitlets.Bytes().tag(sync=True)  # (G, 3) degrees, all psi of one direction together
    _grid_signal = traitlets.Bytes().tag(sync=True)  # (P, G): signal · projection of unit length
    _grid_noise = traitlets.Bytes().tag(sync=True)  # (P, G): noise · projection of unit length
    _norms = traitlets.Bytes().tag(sync=True)  # (P, 3): |signal|², signal · noise, |noise|² in the circle
    _nearest = traitlets.Bytes().tag(sync=True)  # uint8 (HIGH, WIDE): the direction nearest to each rot and tilt
    _inside = traitlets.Bytes().tag(sync=True)  # uint8 (n, n): 1 in the circle
    _cividis = traitlets.Bytes().tag(sync=True)

    @traitlets.validate("image")
    def _one_of_them(self, proposal: Any) -> int:
        return int(proposal["value"]) % max(self.image_count, 1)

    @traitlets.validate("snr")
    def _not_too_far(self, proposal: Any) -> float:
        return float(min(max(proposal["value"], 0.01), 10.0))

    @traitlets.validate("rot", "psi")
    def _on_the_circle(self, proposal: Any) -> float:
        return float(proposal["value"]) % 360

    @traitlets.validate("tilt")
    def _between_the_poles(self, proposal: Any) -> float:
        return float(min(max(proposal["value"], 0.0), 180.0))

    def noisy_image(self) -> Array:
        """The image (n, n) as it is shown."""
        shape = (self.image_count, self.box, self.box)
        signal, noise = (_read(b).reshape(shape)[self.image] for b in (self._signals, self._noises))
        return np.asarray(np.sqrt(self.snr) * signal + noise)

    def projection(self) -> Array:
        """The projection (n, n) of the map at the present angles."""
        return project_by_sums(_read(self._map).reshape((self.box,) * 3), [self.rot, self.tilt, self.psi], order=1)[0]

    def score(self) -> float:
        """The correlation of the image with the projection, inside the circle."""
        inside = np.frombuffer(self._inside, np.uint8).reshape(self.box, self.box) > 0
        return float(np.corrcoef(self.noisy_image()[inside], self.projection()[inside])[0, 1])

    def grid_scores(self) -> Array:
        """(G,): the correlations of the image with all projections of the computer's grid."""
        signal, noise = (_read(b).reshape(self.image_count, -1)[self.image]
                         for b in (self._grid_signal, self._grid_noise))
        s2, sn, n2 = _read(self._norms).reshape(-1, 3)[self.image]
        c = np.sqrt(self.snr)
        return np.asarray((c * signal + noise) / np.sqrt(self.snr * s2 + 2 * c * sn + n2))

    def best_angles(self) -> Array:
        """rot, tilt, psi (3,) in degrees of the best of the computer's grid."""
        return np.asarray(_read(self._grid_angles).reshape(-1, 3)[int(np.argmax(self.grid_scores()))])

    def picture(self) -> Picture:
        """The image, the projection and the computer's scores as they stand, as a static picture."""
        scores, mine = self.grid_scores(), self.score()
        best, truth = self.best_angles(), _read(self._truths).reshape(-1, 3)[self.image] % 360
        figure = new_figure(9.6, 2.9)
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 2.1))
        for ax, values, title in ((left, self.noisy_image(), f"image, SNR {self.snr:.2g}"),
                                  (middle, self.projection(), f"projection: correlation {mine:.2f}")):
            ax.imshow(values, cmap="gray", vmin=values.mean() - 3 * values.std(),
                      vmax=values.mean() + 3 * values.std())
            ax.set(xticks=[], yticks=[])
            ax.set_title(title, fontsize=10)
        from_each_side = scores.reshape(-1, self.psi_count).max(axis=1)
        seen = from_each_side[np.frombuffer(self._nearest, np.uint8).reshape(HIGH, WIDE)]
        drawn = right.imshow(seen, cmap="cividis", extent=(0, 360, 180, 0), aspect="auto")
        right.plot(self.rot, self.tilt, "+", color="white", markersize=12, markeredgewidth=2, label="you")
        right.plot(best[0], best[1], "o", color="#d55e00", markersize=9, markerfacecolor="none", markeredgewidth=2,
                   label="the computer's best")
        right.plot(truth[0], truth[1], "v", color="black", markeredgecolor="white", markersize=7, label="truth")
        right.set(xlabel="rot (degrees)", ylabel="tilt (degrees)", xticks=range(0, 361, 90), yticks=range(0, 181, 45))
        right.legend(fontsize=8, loc="lower right", framealpha=0.9)
        figure.colorbar(drawn, ax=right, label="best correlation over psi")
        return show(describe(figure, f"A projection to be matched by hand, at SNR {self.snr:.2g}: at rot "
                                     f"{self.rot:.0f}°, tilt {self.tilt:.0f}°, psi {self.psi:.0f}° its correlation "
                                     f"with the image is {mine:.2f}. The best of the computer's {len(scores)} has "
                                     f"{scores.max():.2f}, at rot {best[0]:.0f}°, tilt {best[1]:.0f}°; the truth is "
                                     f"rot {truth[0]:.0f}°, tilt {truth[1]:.0f}°."))


def match_by_hand(specimen: Specimen, *, snr: float = 1.0, defocus: float | None = 15_000.0, images: int = 5,
                  seed: int = 6) -> Matching:
    """The widget for a few simulated images of a 3D specimen, to be matched with projections of the specimen itself.

    snr: where the slider starts. defocus: Å, of the CTF that images and projections carry (300 kV); None for no CTF.
    Raises InputError if the specimen is not 3D, is larger than 48 pixels or has no contrast.
    """
    if specimen.ndim != 3 or specimen.box > 48:
        raise InputError(f"{specimen.name}: projections are matched by hand on 3D specimens of up to 48 pixels, but "
                         f"this one has {specimen.ndim} dimensions and {specimen.box} pixels: load or resample another")
    specimen = specimen if defocus is None else _through_the_microscope(specimen, defocus)
    rng, inside = np.random.default_rng(seed), circle(specimen.box, INSIDE)
    truths = matrix_to_euler(random_rotations(images, rng))
    signals = project_by_sums(specimen.density, truths)
    variance = signal_variance(signals, inside)
    if not variance > 0:
        raise InputError(f"{specimen.name}: the density of the specimen is the same everywhere, so there is nothing to "
                         "match")
    signals = signals / np.float32(np.sqrt(variance))
    noises = rng.standard_normal(signals.shape)
    search = search_3d(ORDER)
    s, x = _centred(signals, inside), _centred(noises, inside)
    found = [_ccf(np.concatenate([s, x]), specimen, search.rotations[first : first + BLOCK], inside)
             for first in range(0, len(search.rotations), BLOCK)]
    ccf_signal, ccf_noise = np.split(np.concatenate(found, axis=1), 2)
    norms = np.stack([np.sum(s * s, 1), np.sum(s * x, 1), np.sum(x * x, 1)], axis=1)
    psi_count = int(np.sum(np.all(search.angles[:, :2] == search.angles[0, :2], axis=1)))
    return Matching(box=specimen.box, image_count=images, psi_count=psi_count, snr=snr, _map=raw(specimen.density),
                    _signals=raw(signals), _noises=raw(noises), _truths=raw(truths), _grid_angles=raw(search.angles),
                    _grid_signal=raw(ccf_signal), _grid_noise=raw(ccf_noise), _norms=raw(norms),
                    _nearest=_nearest(search.angles[::psi_count]).tobytes(), _inside=inside.astype(np.uint8).tobytes(),
                    _cividis=cividis())


def _through_the_microscope(specimen: Specimen, defocus: float) -> Specimen:
    """The specimen with each wave multiplied by the CTF: its projections are those of the specimen, with their CTF."""
    radius = np.sqrt(sum(k.astype(np.float64) ** 2 for k in frequencies(specimen.box, 3)))
    factors = ctf(radius / (specimen.box * specimen.pixel_size), np.zeros_like(radius), Optics(specimen.pixel_size),
                  CTFParameters.of(defocus))[0]
    return replace(specimen, density=inverse(fourier(specimen.density, 3) * factors, 3).astype(np.float32))


def _ccf(pixels: Array, specimen: Specimen, rotations: Array, inside: Array) -> Array:
    """Products (N, G) of images (N, M), given by their pixels in the circle, with projections of unit length."""
    parts = components(specimen.box)
    slices = project(specimen.density[None].astype(np.float32), rotations, parts)[0]
    references = _centred(np.asarray(scatter(slices, parts)), inside)
    return np.asarray(pixels @ (references / np.linalg.norm(references, axis=1, keepdims=True)).T)


def _centred(images: Array, inside: Array) -> Array:
    """The pixels (N, M) of the images (N, n, n) in the circle, less their mean."""
    pixels = images[:, inside].astype(np.float64)
    return np.asarray(pixels - pixels.mean(axis=1, keepdims=True))


def _nearest(angles: Array) -> NDArray[np.uint8]:
    """For each rot and tilt of the picture (HIGH, WIDE) the nearest of the directions ``angles`` (D, 3), D <= 256."""
    def towards(rot: Array, tilt: Array) -> Array:
        a, b = np.radians(rot), np.radians(tilt)
        return np.stack([np.sin(b) * np.cos(a), np.sin(b) * np.sin(a), np.cos(b)], axis=-1)

    rot, tilt = np.meshgrid((np.arange(WIDE) + 0.5) * 360 / WIDE, (np.arange(HIGH) + 0.5) * 180 / HIGH)
    return np.argmax(towards(rot, tilt) @ towards(angles[:, 0], angles[:, 1]).T, axis=-1).astype(np.uint8)


def _read(values: bytes) -> Array:
    return np.frombuffer(values, np.float32)
