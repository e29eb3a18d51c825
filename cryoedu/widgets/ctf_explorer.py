"""The CTF explorer: what defocus, astigmatism, aberration, amplitude contrast, envelope and phase plate do to an image.

The browser computes with the formula of `cryoedu.microscope.ctf`; here it is used once more for the static picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.figures.fourier import resolution_axis
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.microscope.aberrations import wavelength
from cryoedu.microscope.ctf import ctf, ctf_image
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import CTFParameters, Optics
from cryoedu.widgets.page import LiveWidget, cividis, module, raw

Floats = NDArray[np.float64]
LIMITS = {"defocus": (-5_000.0, 40_000.0), "astigmatism": (0.0, 10_000.0), "angle": (0.0, 180.0), "cs": (0.0, 8.0),
          "voltage": (80.0, 400.0), "amplitude_contrast": (0.0, 1.0), "b_factor": (0.0, 400.0),
          "phase_shift": (0.0, 180.0)}
PROFILE = 513  # points of the curve


class CTFExplorer(LiveWidget):
    """An image before and after the microscope, with the CTF that lies between and its point spread function.

    The traits can be read and set from Python: ``defocus`` and ``astigmatism`` (U - V) in Å, ``angle`` and
    ``phase_shift`` in degrees, ``cs`` in mm, ``voltage`` in kV, ``amplitude_contrast``, ``b_factor`` in Å².
    """

    _esm = module("common.js", "plots.js", "ctf_explorer.js")
    _css = module("common.css")

    box = traitlets.Int().tag(sync=True)
    pixel_size = traitlets.Float().tag(sync=True)
    defocus = traitlets.Float(12_000.0).tag(sync=True)
    astigmatism = traitlets.Float(0.0).tag(sync=True)
    angle = traitlets.Float(30.0).tag(sync=True)
    cs = traitlets.Float(2.7).tag(sync=True)
    voltage = traitlets.Float(300.0).tag(sync=True)
    amplitude_contrast = traitlets.Float(0.1).tag(sync=True)
    b_factor = traitlets.Float(0.0).tag(sync=True)
    phase_shift = traitlets.Float(0.0).tag(sync=True)
    _image = traitlets.Bytes().tag(sync=True)  # float32 (n, n)
    _transform = traitlets.Bytes().tag(sync=True)  # float32 (n, n, 2): real and imaginary, in the order of fft2
    _cividis = traitlets.Bytes().tag(sync=True)

    @traitlets.validate(*LIMITS)
    def _inside(self, proposal: Any) -> float:
        low, high = LIMITS[proposal["trait"].name]
        return float(min(max(proposal["value"], low), high))

    def optics(self) -> Optics:
        """The microscope as it stands."""
        return Optics(self.pixel_size, self.voltage, self.cs, self.amplitude_contrast)

    def parameters(self) -> CTFParameters:
        """What it does to the one image."""
        half = self.astigmatism / 2
        return CTFParameters.of(self.defocus + half, self.defocus - half, self.angle, self.phase_shift, self.b_factor)

    def planes(self) -> dict[str, Floats]:
        """``ctf`` (n, n), frequency 0 in the centre; ``psf`` and ``image`` (n, n) in real space, centre n // 2."""
        n = self.box
        transfer = np.fft.ifftshift(ctf_image(n, self.optics(), self.parameters()))
        F = np.frombuffer(self._transform, np.float32).reshape(n, n, 2).astype(np.float64)
        seen = np.fft.ifft2((F[..., 0] + 1j * F[..., 1]) * transfer)
        return {"ctf": np.fft.fftshift(transfer), "psf": np.fft.fftshift(np.fft.ifft2(transfer)).real,
                "image": np.fft.fftshift(seen).real}

    def profile(self) -> tuple[Floats, Floats]:
        """Spatial frequencies (513,) up to Nyquist in 1/Å, and the CTF (2, 513) along the axes of U and of V."""
        u = np.linspace(0, 1 / (2 * self.pixel_size), PROFILE)
        directions = np.array([[self.angle], [self.angle + 90]])
        return u, ctf(np.broadcast_to(u, (2, PROFILE)), directions, self.optics(), self.parameters())[0]

    def first_zero(self) -> float | None:
        """Å, along the axis of U; None if the CTF does not change its sign before Nyquist."""
        u, (along, _) = self.profile()
        change = np.flatnonzero(along[1:-1] * along[2:] <= 0) + 1  # an in-focus CTF may begin at 0: not a crossing
        if not len(change):
            return None
        a, b = along[change[0]], along[change[0] + 1]
        return float(1 / (u[change[0]] + (u[1] - u[0]) * a / (a - b if a != b else 1)))

    def displacement(self, spacing: float) -> float:
        """Å by which waves of this spacing (Å) are moved, |γ'| / 2π, on the axis of U or V that moves them more."""
        electrons = wavelength(self.voltage)
        along = [self.defocus + side * self.astigmatism / 2 for side in (1, -1)]
        return max(abs(electrons * df / spacing - self.cs * 1e7 * electrons**3 / spacing**3) for df in along)

    def contrast(self) -> float:
        """Standard deviation of the image after the microscope, over that before it."""
        return float(self.planes()["image"].std() / np.frombuffer(self._image, np.float32).std(dtype=np.float64))

    def picture(self) -> Picture:
        """The explorer as it stands, as a static picture."""
        now, zero, n = self.planes(), self.first_zero(), self.box
        figure = new_figure(9.6, 5.2)
        grid = figure.add_gridspec(2, 4, height_ratios=(1.25, 1))
        before = np.frombuffer(self._image, np.float32).reshape(n, n).astype(np.float64)
        reach = 3 * float(now["psf"].std())
        panels: tuple[tuple[str, Floats, dict[str, Any]], ...] = (
            ("before", before, {}), ("CTF²", now["ctf"] ** 2, {"cmap": "cividis", "vmin": 0, "vmax": 1}),
            ("a point becomes", now["psf"], {"vmin": -reach, "vmax": reach}), ("after", now["image"], {}))
        for column, (title, values, how) in enumerate(panels):
            ax = figure.add_subplot(grid[0, column])
            ax.imshow(values, **{"cmap": "gray", **how})
            ax.set(xticks=[], yticks=[])
            ax.set_title(title, fontsize=10)
        u, curves = self.profile()
        ax = figure.add_subplot(grid[1, :])
        ax.plot(u, curves[0], color="#0072b2", label=f"along U ({self.angle:.0f}°)")
        ax.plot(u, curves[1], color="#d55e00", linestyle="--", label=f"along V ({(self.angle + 90) % 180:.0f}°)")
        ax.axhline(0, color="#555555", linewidth=0.8, linestyle=":")
        ax.set(xlim=(0, u[-1]), ylim=(-1.05, 1.05), ylabel="CTF")
        ax.legend(fontsize=8, loc="lower right")
        resolution_axis(ax)
        where = "no zero before Nyquist" if zero is None else f"first zero at {zero:.1f} Å"
        return show(describe(figure, f"CTF explorer at a defocus of {self.defocus:.0f} Å, astigmatism "
                                     f"{self.astigmatism:.0f} Å, phase shift {self.phase_shift:.0f}°, B "
                                     f"{self.b_factor:.0f} Å²: an image before the microscope, CTF² as rings, the "
                                     f"point spread function, the image after with {self.contrast():.0%} of the "
                                     f"contrast, and the CTF as a curve: {where}."))


def ctf_explorer(specimen: Specimen, **start: float) -> CTFExplorer:
    """The explorer for an image.

    specimen: a 2D one whose box is a power of two up to 256 pixels.  start: where the sliders begin, by the names of
    the traits (``defocus=20_000``).  Raises InputError for another box, a 3D specimen, or a name that no slider has.
    """
    n = specimen.box
    if specimen.ndim != 2 or n & (n - 1) or not 32 <= n <= 256:
        raise InputError(f"{specimen.name}: the explorer takes an image of 32, 64, 128 or 256 pixels, but this has "
                         f"{specimen.ndim} dimensions and {n} pixels: project or resample it")
    if unknown := set(start) - set(LIMITS):
        raise InputError(f"the explorer has no slider {', '.join(sorted(unknown))}: choose among {', '.join(LIMITS)}")
    F = np.fft.fft2(np.fft.ifftshift(specimen.density.astype(np.float64)))
    return CTFExplorer(box=n, pixel_size=specimen.pixel_size, _image=raw(specimen.density),
                       _transform=raw(np.stack([F.real, F.imag], axis=-1)), _cividis=cividis(), **start)
