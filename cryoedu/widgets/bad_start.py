"""Bad start: choose an initial model and see where it ends, two of them side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import traitlets
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.figures.starts import Track, best_log_likelihood, how_sure, sections, verdict
from cryoedu.widgets.page import LiveWidget, module, pixels, raw


class BadStart(LiveWidget):
    """Two refinements of the same images from different starts, stepped through together.

    The traits can be read and set from Python: ``left`` and ``right`` (which runs, as indices of ``names``) and
    ``frame`` (0 is the start; a run that is shorter stays at its end).
    """

    _esm = module("common.js", "plots.js", "bad_start.js")
    _css = module("common.css")

    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    lengths = traitlets.List(traitlets.Int()).tag(sync=True)  # frames of each run
    box = traitlets.Int().tag(sync=True)
    pixel_size = traitlets.Float().tag(sync=True)
    left = traitlets.Int(0).tag(sync=True)
    right = traitlets.Int(1).tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    _truth = traitlets.Bytes().tag(sync=True)  # (3, n, n) uint8
    _sections = traitlets.Bytes().tag(sync=True)  # (frames of all runs, 3, n, n) uint8
    _numbers = traitlets.Bytes().tag(sync=True)  # float32 (frames of all runs,), and so on
    _log_likelihood = traitlets.Bytes().tag(sync=True)  # below the best of all, in thousands; NaN: not comparable
    _sharpness = traitlets.Bytes().tag(sync=True)
    _resolution = traitlets.Bytes().tag(sync=True)
    _fsc = traitlets.Bytes().tag(sync=True)  # (frames of all runs, n//2 + 1)

    @traitlets.validate("left", "right", "frame")
    def _inside(self, proposal: Any) -> int:
        count = max(self.lengths, default=1) if proposal["trait"].name == "frame" else max(len(self.names), 1)
        return int(min(max(proposal["value"], 0), count - 1))

    def row_of(self, run: int) -> int:
        """Row of the arrays that ``run`` shows now."""
        return sum(self.lengths[:run]) + min(self.frame, self.lengths[run] - 1)

    def now(self, run: int) -> dict[str, float]:
        """What the words say of a run: iteration, log L (thousands below the best), sharpness, resolution in Å."""
        row = self.row_of(run)
        return {name: float(self._of(name)[row]) for name in ("numbers", "log_likelihood", "sharpness", "resolution")}

    def _of(self, name: str) -> NDArray[np.float32]:
        return np.frombuffer(getattr(self, f"_{name}"), "<f4")

    def picture(self) -> Picture:
        """Start, present state and end of both runs beside the truth, and how well they agree with it in the end."""
        n, bins = self.box, self.box // 2 + 1
        shown = np.frombuffer(self._sections, np.uint8).reshape(-1, 3, n, n)
        curves = np.frombuffer(self._fsc, "<f4").reshape(-1, bins)
        figure = new_figure(9.6, 3.6)
        axes = figure.subplot_mosaic("abctP;defuP", width_ratios=(1, 1, 1, 1, 2.2))
        frequency, said = np.arange(1, bins) / (n * self.pixel_size), []
        for keys, run, colour, dash in (("abct", self.left, "#0072b2", "-"), ("defu", self.right, "#d55e00", "--")):
            first, now, last = sum(self.lengths[:run]), self.row_of(run), sum(self.lengths[: run + 1]) - 1
            at = self.now(run)
            images = [*(shown[row, 0] for row in (first, now, last)),
                      np.frombuffer(self._truth, np.uint8).reshape(3, n, n)[0]]
            for key, image, title in zip(keys, images, ("start", f"iteration {at['numbers']:.0f}", "end", "truth"),
                                         strict=True):
                axes[key].imshow(image, cmap="gray", vmin=0, vmax=255)
                axes[key].set(xticks=[], yticks=[])
                axes[key].set_title(title, fontsize=9)
            axes[keys[0]].set_ylabel(self.names[run].replace(", ", ",\n"), fontsize=9)
            axes["P"].plot(frequency, curves[last, 1:], color=colour, linestyle=dash, marker="o", markersize=3.5,
                           label=self.names[run])
            said.append(f"{self.names[run]}: in iteration {at['numbers']:.0f} {how_sure(at['sharpness'])}; at the end "
                        f"{verdict(self._of('resolution')[last])}")
        axes["P"].axhline(0.5, color="#555555", linestyle=":", linewidth=1.2)
        axes["P"].set(xlim=(0, None), ylim=(-0.25, 1.05), xlabel="resolution (Å)")
        axes["P"].set_title("FSC of the end with the truth", fontsize=9)
        ticks = [t for t in axes["P"].get_xticks() if 0 < t <= axes["P"].get_xlim()[1]]
        axes["P"].set_xticks(ticks, [f"{1 / t:.0f}" for t in ticks])
        axes["P"].legend(fontsize=8, loc="upper right")
        return show(describe(figure, "Two refinements of the same images from different starts: central sections at "
                                     f"the start, now and at the end, beside the truth. {'. '.join(said)}."))


def bad_start(runs: Mapping[str, Track], truth: ArrayLike, pixel_size: float, *, left: int = 0,
              right: int = 1) -> BadStart:
    """A widget of finished runs, which `cryoedu.figures.starts.track` has followed: choose two, play, compare.

    truth: (n, n, n), and pixel_size in Å.  left, right: which runs are shown at first.
    Raises InputError if there are fewer than two runs, or if their maps and the truth differ in shape.
    """
    true = np.asarray(truth, dtype=np.float32)
    if len(runs) < 2:
        raise InputError("two runs are compared here: give at least two")
    for name, run in runs.items():
        if run.maps.shape[1:] != true.shape:
            raise InputError(f"{name}: its maps have shape {run.maps.shape[1:]}, but the truth {true.shape}: "
                             "resample one")

    def grey(density: Any) -> Any:
        return np.stack([pixels(s) for s in sections(density)])

    best = best_log_likelihood(runs)

    def joined(values: list[Any]) -> bytes:
        return raw(np.concatenate(values))

    tracks = list(runs.values())
    return BadStart(
        names=list(runs), lengths=[len(t.maps) for t in tracks], box=len(true), pixel_size=float(pixel_size),
        left=left, right=right, frame=0, _truth=grey(true).tobytes(),
        _sections=np.stack([grey(m) for t in tracks for m in t.maps]).tobytes(),
        _numbers=joined([t.numbers for t in tracks]), _sharpness=joined([t.sharpness for t in tracks]),
        _log_likelihood=joined([(t.log_likelihood - best) / 1000 for t in tracks]),
        _resolution=joined([t.resolution for t in tracks]), _fsc=joined([t.fsc for t in tracks]))
