"""The phase stepper: a density is found again from the amplitudes of its Fourier transform, iteration by iteration."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.course.lesson0a import hybrid_step, with_known_object, with_measured_amplitudes
from cryoedu.datasets import load
from cryoedu.datasets.portraits import portrait
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.widgets.page import LiveWidget, module, pixels, raw

BOX, SIDE, STARTS = 64, 32, 4  # pixels of the window and of the object; random starts
OBJECTS = ("portrait", "protein, its outline known", "protein, its outline not known")
METHODS = ("error reduction", "hybrid input–output")
HYBRID, LAST = 180, 200  # the hybrid method ends with twenty iterations of error reduction
SHOWN = np.array([*range(1, 21), *range(24, 61, 4), *range(70, LAST + 1, 10)])  # iterations that are kept as frames
Floats = NDArray[np.float64]


class PhaseStepper(LiveWidget):
    """The density after each iteration, the object, its twin and the error.

    The traits can be read and set from Python: ``frame`` (index into the iterations kept), ``object`` (index into
    `OBJECTS`), ``method`` (index into `METHODS`) and ``start`` (which random phases it began with).
    """

    _esm = module("common.js", "plots.js", "phase_stepper.js")
    _css = module("common.css")

    box = traitlets.Int(BOX).tag(sync=True)
    objects = traitlets.List(traitlets.Unicode(), list(OBJECTS)).tag(sync=True)
    methods = traitlets.List(traitlets.Unicode(), list(METHODS)).tag(sync=True)
    starts = traitlets.Int(STARTS).tag(sync=True)
    iterations = traitlets.List(traitlets.Int(), SHOWN.tolist()).tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    object = traitlets.Int(0).tag(sync=True)
    method = traitlets.Int(0).tag(sync=True)
    start = traitlets.Int(0).tag(sync=True)
    _frames = traitlets.Bytes().tag(sync=True)  # uint8 (object, method, start, frame, n, n)
    _truths = traitlets.Bytes().tag(sync=True)  # uint8 (object, n, n)
    _supports = traitlets.Bytes().tag(sync=True)  # uint8 (object, n, n): bright where the object may be, with it in it
    _errors = traitlets.Bytes().tag(sync=True)  # float32 (object, method, start, LAST)
    _likeness = traitlets.Bytes().tag(sync=True)  # float32 (object, method, start, frame, 2): upright, turned by 180°

    @traitlets.validate("frame", "object", "method", "start")
    def _inside(self, proposal: Any) -> int:
        count = {"frame": len(self.iterations), "object": len(self.objects), "method": len(self.methods),
                 "start": self.starts}[proposal["trait"].name]
        return int(proposal["value"]) % max(count, 1)

    def likeness(self) -> tuple[float, float]:
        """Correlation of the density shown with the object and with its twin, wherever they lie."""
        table = np.frombuffer(self._likeness, np.float32).reshape(len(OBJECTS), len(METHODS), STARTS, -1, 2)
        upright, turned = table[self.object, self.method, self.start, self.frame]
        return float(upright), float(turned)

    def picture(self) -> Picture:
        """The stepper as it stands, as a static picture."""
        at, number = (self.object, self.method, self.start), self.iterations[self.frame]
        density = np.frombuffer(self._frames, np.uint8).reshape(
            len(OBJECTS), len(METHODS), STARTS, -1, BOX, BOX)[(*at, self.frame)]
        truth = np.frombuffer(self._truths, np.uint8).reshape(-1, BOX, BOX)[self.object]
        errors = np.frombuffer(self._errors, np.float32).reshape(len(OBJECTS), len(METHODS), STARTS, LAST)[at]
        figure = new_figure(9.6, 2.9)
        axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.7))
        for ax, image, title in ((axes[0], truth, "object"), (axes[1], density, f"iteration {number}")):
            ax.imshow(image, cmap="gray", vmin=0, vmax=255)
            ax.set(xticks=[], yticks=[])
            ax.set_title(title, fontsize=10)
        axes[2].plot(np.arange(1, LAST + 1), np.maximum(errors, 1e-5), color="#0072b2")
        axes[2].plot(number, max(errors[number - 1], 1e-5), "o", color="#0072b2")
        axes[2].set(yscale="log", xlabel="iteration", ylabel="error", ylim=(1e-5, 1))
        axes[2].set_title(f"{METHODS[self.method]}, start {self.start + 1}", fontsize=10)
        upright, turned = self.likeness()
        return show(describe(figure, f"{OBJECTS[self.object]}, {METHODS[self.method]}, iteration {number} of {LAST}: "
                                     f"error {errors[number - 1]:.4f}, correlation with the object {upright:.2f}, with "
                                     f"its twin {turned:.2f}."))


def phase_stepper(*, object: int = 0, method: int = 1, start: int = 0, frame: int = 0) -> PhaseStepper:
    """The stepper, for one of `OBJECTS`, one of `METHODS` and one of four random starts (all counted from 0)."""
    return PhaseStepper(object=object, method=method, start=start, frame=frame, **runs())


def objects() -> list[tuple[Floats, NDArray[np.bool_]]]:
    """Each object (n, n), between 0 and 1, with the support that is known of it."""
    from scipy.ndimage import binary_dilation

    edge = (BOX - SIDE) // 2
    square = np.zeros((BOX, BOX), dtype=bool)
    square[edge : edge + SIDE, edge : edge + SIDE] = True
    faces = portrait("astronaut", SIDE).astype(np.float64), load("protein2d", box=SIDE).density.astype(np.float64)
    inside = [np.zeros((BOX, BOX)), np.zeros((BOX, BOX))]
    for whole, face in zip(inside, faces):
        whole[square] = ((face - face.min()) / np.ptp(face)).ravel()
    return [(inside[0], square), (inside[1], binary_dilation(inside[1] > 0.05, iterations=3)), (inside[1], square)]


@lru_cache(maxsize=1)  # a cell that is run again shows the same runs at once
def runs() -> dict[str, bytes]:
    """What is sent to the browser: frames, objects, supports, errors and how alike they are, for every choice."""
    frames, errors, alike = [], [], []
    for truth, support in objects():
        measured = np.abs(np.fft.fft2(truth))
        for hybrid in (0, HYBRID):
            for start in range(STARTS):
                kept, track = run(measured, support, seed=start, hybrid=hybrid)
                frames.append(pixels(kept, -0.1, 1.0))
                errors.append(track)
                alike.append([[likeness(f, truth), likeness(f[::-1, ::-1], truth)] for f in kept])
    return {"_frames": np.stack(frames).tobytes(), "_errors": raw(errors), "_likeness": raw(alike),
            "_truths": pixels([truth for truth, _ in objects()], -0.1, 1.0).tobytes(),
            "_supports": pixels([0.6 * support + 0.4 * truth for truth, support in objects()], 0, 1).tobytes()}


def run(measured: Floats, support: NDArray[np.bool_], *, seed: int, hybrid: int) -> tuple[Floats, list[float]]:
    """Densities (frames, n, n) with the measured amplitudes, and the error of every iteration, from random numbers.

    hybrid: so many iterations are hybrid input-output, the others error reduction.
    """
    density = np.where(support, np.random.default_rng(seed).random(support.shape), 0)
    kept, errors = [], []
    for number in range(1, LAST + 1):
        fitted = with_measured_amplitudes(density, measured)
        allowed = with_known_object(fitted, support)
        errors.append(float(np.linalg.norm(fitted - allowed) / np.linalg.norm(fitted)))
        density = hybrid_step(density, fitted, support) if number <= hybrid else allowed
        if number in SHOWN:
            kept.append(fitted)
    return np.stack(kept), errors


def likeness(found: Floats, true: Floats) -> float:
    """The highest correlation of two images (n, n) over all shifts of one against the other."""
    a, b = found - found.mean(), true - true.mean()
    product = np.fft.ifft2(np.fft.fft2(a) * np.conj(np.fft.fft2(b))).real
    return float(product.max() / (np.linalg.norm(a) * np.linalg.norm(b)))
