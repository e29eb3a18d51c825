"""The Wiener and T explorer: how much of a map is kept, depending on the data, on τ² and on T."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.figures.alignment import LINES
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.geometry.fourier import fourier, inverse, multiplicity, radial_mean, shells
from cryoedu.microscope.ctf import ctf_half_planes
from cryoedu.microscope.noise import circle, signal_variance
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import CTFParameters, Optics
from cryoedu.widgets.page import LiveWidget, cividis, module, raw

COUNTS = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
SOURCES = ("from the truth", "from the map itself", "from the FSC of two halves", "the same everywhere", "no prior")
TRUTH, MAP, HALVES, FLAT, NONE = range(5)
EXPONENTS = np.linspace(-2, 2, 41)  # log₁₀ T of the error curve
ROUNDS = 30  # of the lecture's loop, filter and take τ² from the map
GUARD, WEAK = 1e-6, 1e-2  # no prior still needs something where no image has seen anything; so do the halves
LEAST_FSC, MOST_FSC = 1e-3, 0.999
Array = NDArray[Any]


class WienerExplorer(LiveWidget):
    """A map from images at known poses through the Wiener filter, beside the truth, with τ², SSNR, filter and error.

    The traits can be read and set from Python: ``count`` (index into ``counts``), ``snr``, ``fudge`` (T) and
    ``source`` (index into `SOURCES`: where τ² comes from).
    """

    _esm = module("common.js", "plots.js", "wiener.js")
    _css = module("common.css")

    box = traitlets.Int().tag(sync=True)
    pixel_size = traitlets.Float().tag(sync=True)
    counts = traitlets.List(traitlets.Int()).tag(sync=True)
    sources = traitlets.List(traitlets.Unicode(), list(SOURCES)).tag(sync=True)
    count = traitlets.Int(0).tag(sync=True)
    snr = traitlets.Float(0.02).tag(sync=True)
    fudge = traitlets.Float(1.0).tag(sync=True)
    source = traitlets.Int(0).tag(sync=True)
    _map = traitlets.Bytes().tag(sync=True)  # (n, n//2 + 1) complex: the truth; its images have variance 1
    _weights = traitlets.Bytes().tag(sync=True)  # (C, 2, n, n//2 + 1): Σ CTF² of the images of each half
    _noises = traitlets.Bytes().tag(sync=True)  # (C, 2, n, n//2 + 1) complex: Σ CTF · noise
    _cividis = traitlets.Bytes().tag(sync=True)

    @traitlets.validate("count", "source")
    def _inside(self, proposal: Any) -> int:
        last = (len(self.counts) if proposal["trait"].name == "count" else len(SOURCES)) - 1
        return int(min(max(proposal["value"], 0), max(last, 0)))

    @traitlets.validate("snr", "fudge")
    def _positive(self, proposal: Any) -> float:
        low, high = (1e-3, 1.0) if proposal["trait"].name == "snr" else (1e-2, 1e2)
        return float(min(max(proposal["value"], low), high))

    def parts(self) -> tuple[Array, Array, Array]:
        """The true transform (n, n//2 + 1) at this SNR; weights Σ CTF² and numerators Σ CTF·X (2, n, n//2 + 1)."""
        shape = (len(self.counts), 2, self.box, self.box // 2 + 1)
        f = np.sqrt(self.snr) * np.frombuffer(self._map, np.complex64).reshape(shape[2:]).astype(complex)
        weights = np.frombuffer(self._weights, np.float32).reshape(shape)[self.count].astype(float)
        noises = np.frombuffer(self._noises, np.complex64).reshape(shape)[self.count]
        return f, weights, weights * f + noises

    def curves(self, fudge: float | None = None) -> dict[str, Array]:
        """What the explorer shows now (or at another T), one value per shell (n//2 + 1,): ``signal`` (true τ²),
        ``prior`` (T τ²), ``noise`` (of the map without prior), ``kept`` (of each component), ``best`` (with the true τ²
        and T = 1), ``fsc`` (of the halves); and ``map``, its transform, with the ``error`` of it and of the one
        without a prior (``error_ml``)."""
        n, fudge = self.box, self.fudge if fudge is None else fudge
        f, halves, numerators = self.parts()
        weight, numerator = halves.sum(axis=0), numerators.sum(axis=0)
        guard, noise = GUARD * weight.max(), n**2 / 2
        signal, correlation = _power(f), _halves_fsc(halves, numerators)
        ml = numerator / (weight + guard)
        safe = np.clip(correlation, LEAST_FSC, MOST_FSC)
        if self.source == MAP:
            tau2 = _power(ml)
            for _ in range(ROUNDS):
                tau2 = np.maximum(_power(numerator / (weight + self._ridge(fudge * tau2))), 1e-12 * signal.max())
        elif self.source == HALVES:
            tau2 = safe / (1 - safe) * noise / radial_mean(halves.mean(axis=0), n, 2)
        else:
            tau2 = signal if self.source == TRUTH else np.full_like(signal, np.exp(np.log(signal[1:]).mean()))
        ridge = guard if self.source == NONE else self._ridge(fudge * tau2)
        found = numerator / (weight + ridge)
        return {"signal": signal, "prior": fudge * tau2 if self.source != NONE else np.full_like(tau2, np.nan),
                "noise": noise / radial_mean(weight, n, 2), "fsc": correlation, "map": found,
                "kept": radial_mean(weight / (weight + ridge), n, 2),
                "best": radial_mean(weight / (weight + self._ridge(signal)), n, 2),
                "error": _distance(found, f), "error_ml": _distance(ml, f),
                "error_best": _distance(numerator / (weight + self._ridge(signal)), f)}

    def _ridge(self, power: Array) -> Array:
        """σ²/(T τ²) of each component, from T τ² of each shell."""
        n = self.box
        return np.asarray((n**2 / 2 / np.maximum(power, 1e-30))[np.minimum(shells(n), n // 2)])

    def sweep(self) -> Array:
        """The error of the map at T = 10**`EXPONENTS`."""
        return np.array([float(self.curves(10.0**e)["error"]) for e in EXPONENTS])

    def picture(self) -> Picture:
        """The explorer as it stands, as a static picture."""
        now, errors, n = self.curves(), self.sweep(), self.box
        f, halves, numerators = self.parts()
        weight = halves.sum(axis=0)
        ml = numerators.sum(axis=0) / (weight + GUARD * weight.max())
        truth = inverse(f)
        figure = new_figure(10.2, 5.0)
        grid = figure.add_gridspec(2, 12, height_ratios=(1, 1.15))
        panels = {"truth": f, "no prior (ML)": ml, "with this filter": now["map"],
                  "filtered minus truth": now["map"] - f}
        for k, (title, image) in enumerate(panels.items()):
            ax = figure.add_subplot(grid[0, 3 * k : 3 * k + 3])
            ax.imshow(inverse(image), cmap="gray", vmin=-0.6 * truth.max(), vmax=1.2 * truth.max())
            ax.set(xticks=[], yticks=[])
            ax.set_title(title, fontsize=10)
        powers, gains, curve = (figure.add_subplot(grid[1, 4 * k : 4 * k + 4]) for k in range(3))
        shell = np.arange(1, n // 2 + 1)
        ticks = shell[n // 16 - 1 :: n // 16][::2]
        for ax, names in ((powers, {"signal": "signal (truth)", "prior": "T τ²", "noise": "noise left"}),
                          (gains, {"kept": "kept", "best": "best possible", "fsc": "FSC of halves"})):
            for style, (key, name) in zip(LINES, names.items(), strict=False):
                ax.plot(shell, now[key][1:], label=name, **{**style, "markersize": 3})
            ax.set(xlabel="resolution (Å)", xlim=(0.5, n // 2 + 0.5))
            ax.set_xticks(ticks, [f"{n * self.pixel_size / k:.0f}" for k in ticks])
            ax.legend(fontsize=7.5)
        drawn = np.concatenate([now["signal"][1:], now["noise"][1:]])
        powers.set(yscale="log", ylabel="power", ylim=(drawn.min() / 10, drawn.max() * 10))
        gains.set(ylabel="share, or FSC", ylim=(-0.3, 1.05))
        curve.plot(10**EXPONENTS, errors, color=LINES[0]["color"])
        curve.plot(self.fudge, now["error"], "o", color=LINES[1]["color"], markersize=8)
        curve.axhline(float(now["error_best"]), color="#555555", linestyle=":", linewidth=1.2)
        curve.set(xscale="log", xlabel="T", ylabel="error of the map", ylim=(0, 1.1 * max(errors.max(), 0.1)))
        return show(describe(figure, self._words(now, errors)))

    def _words(self, now: dict[str, Array], errors: Array) -> str:
        best = int(errors.argmin())
        prior = "no prior" if self.source == NONE else f"τ² {SOURCES[self.source]}, T = {self.fudge:.2g}"
        where = "" if self.source == NONE else f", lowest {errors[best]:.2f} at T = {10 ** EXPONENTS[best]:.2g}"
        return (f"Wiener and T explorer: {self.counts[self.count]} images at SNR {self.snr:.2g}, {prior}. Error of the "
                f"map {now['error']:.2f}, without a prior {now['error_ml']:.2f}{where}; with the true τ² and T = 1: "
                f"{now['error_best']:.2f}.")


def wiener_explorer(specimen: Specimen, *, images: int = 100, snr: float = 0.02, seed: int = 4) -> WienerExplorer:
    """The explorer for images of a 2D specimen, all in the same pose, each with a CTF of its own.

    images, snr: where the sliders start; the nearest number of `COUNTS` is taken. SNR is that of the images, CTF
    applied, within the particle's circle.
    Defocus from 8,000 to 20,000 Å, astigmatism up to 3,000 Å, B-factor 200 Å², white noise.
    Raises InputError if the specimen is not 2D, has no contrast, or a box that is not 32, 64 or 128 pixels.
    """
    n = specimen.box
    if specimen.ndim != 2 or n not in (32, 64, 128):
        raise InputError(f"{specimen.name}: the explorer takes a 2D specimen of 32, 64 or 128 pixels, but this one has "
                         f"{specimen.ndim} dimensions and {n} pixels: project or resample it")
    rng, most, block = np.random.default_rng(seed), COUNTS[-1], 50
    mean, half, axis = rng.uniform(8000, 20000, most), rng.uniform(0, 3000, most) / 2, rng.uniform(0, 180, most)
    parameters = CTFParameters.of(mean + half, mean - half, axis, phase_shift=0.0, b_factor=200.0)
    f, optics, variance = fourier(specimen.density.astype(np.float64)), Optics(specimen.pixel_size), 0.0
    shape = (len(COUNTS), 2, n, n // 2 + 1)
    weights, noises = np.zeros(shape, np.float32), np.zeros(shape, np.complex64)
    running = np.zeros(shape[1:]), np.zeros(shape[1:], dtype=complex)
    for first in range(0, most, block):
        ctfs = ctf_half_planes(n, optics, parameters[first : first + block])
        variance += signal_variance(inverse(ctfs * f), circle(n)) * block / most
        for i, ctf in enumerate(ctfs, start=first):
            running[0][i % 2] += ctf**2
            running[1][i % 2] += ctf * fourier(rng.standard_normal((n, n)))
            if i + 1 in COUNTS:
                weights[COUNTS.index(i + 1)], noises[COUNTS.index(i + 1)] = running
    if not variance > 1e-12 * float(np.abs(specimen.density).max()) ** 2:  # more than rounding
        raise InputError(f"{specimen.name}: the density is the same everywhere, so there is nothing to be filtered")
    return WienerExplorer(box=n, pixel_size=float(specimen.pixel_size), counts=list(COUNTS),
                          count=int(np.abs(np.log(np.array(COUNTS) / max(images, 1))).argmin()), snr=snr,
                          _map=_complex(f / np.sqrt(variance)), _weights=raw(weights), _noises=_complex(noises),
                          _cividis=cividis())


def _power(f: Array) -> Array:
    """τ² (n//2 + 1,) of each shell, from a half plane."""
    return 0.5 * radial_mean(np.abs(f) ** 2, f.shape[0], 2)


def _halves_fsc(weights: Array, numerators: Array) -> Array:
    """FSC (n//2 + 1,) of the two halves' maps, weakly held where hardly any image has seen anything."""
    n = weights.shape[-2]
    mean = radial_mean(weights, n, 2)[:, np.minimum(shells(n), n // 2)]
    a, b = numerators / (weights + WEAK * mean)
    cross = radial_mean((a * np.conj(b)).real, n, 2)
    return np.asarray(cross / np.sqrt(radial_mean(np.abs(a) ** 2, n, 2) * radial_mean(np.abs(b) ** 2, n, 2)))


def _distance(found: Array, truth: Array) -> Array:
    """Root of the squared difference over that of the truth: 0 is perfect, 1 as bad as an empty map."""
    weight = multiplicity(truth.shape[0])
    return np.sqrt(np.sum(weight * np.abs(found - truth) ** 2) / np.sum(weight * np.abs(truth) ** 2))


def _complex(values: Array) -> bytes:
    return np.ascontiguousarray(values, dtype="<c8").tobytes()
