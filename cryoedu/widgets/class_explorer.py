"""The class explorer: a classification in 3D over its iterations, its maps cut anywhere, its particles counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.figures.heterogeneity import FILLS, HATCHES, PLANES
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.inference.model import Iteration
from cryoedu.widgets.page import LiveWidget, cividis, module, raw

BINS = 20  # of the histograms of class probabilities
MOST_CLASSES, LARGEST_BOX = 6, 64
SWAPPED = 0.005  # of the particles may be in another class on another processor


class ClassExplorer(LiveWidget):
    """The K maps of each iteration and their differences, the particles' class probabilities, and a table.

    What is shown of an iteration are the maps that its E-step compared with, and what the particles said to them.
    The traits can be read and set from Python: ``iteration`` (index, from 0), ``plane`` (0, 1, 2: a section across x, y
    or z), ``depth`` (voxel along that axis) and ``shown`` (index of the class whose probabilities are drawn).
    """

    _esm = module("common.js", "plots.js", "class_explorer.js")
    _css = module("common.css", "class_explorer.css")

    iterations = traitlets.Int().tag(sync=True)
    classes = traitlets.Int().tag(sync=True)
    box = traitlets.Int().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)  # of the true classes
    iteration = traitlets.Int(0).tag(sync=True)
    plane = traitlets.Int(0).tag(sync=True)
    depth = traitlets.Int(0).tag(sync=True)
    shown = traitlets.Int(0).tag(sync=True)
    _maps = traitlets.Bytes().tag(sync=True)  # uint16 (T, K, n, n, n), from the lowest to the highest density
    _range = traitlets.List(traitlets.Float()).tag(sync=True)  # these two
    _reach = traitlets.Float().tag(sync=True)  # the largest difference from the mean of the classes
    _counts = traitlets.Bytes().tag(sync=True)  # float32 (T, K, L, BINS): particles by true class and P(class k)
    _tables = traitlets.Bytes().tag(sync=True)  # float32 (T, K, L): particles by their most probable class
    _cividis = traitlets.Bytes().tag(sync=True)

    @traitlets.validate("iteration", "plane", "depth", "shown")
    def _inside(self, proposal: Any) -> int:
        count = {"iteration": self.iterations, "plane": len(PLANES), "depth": self.box, "shown": self.classes}
        return int(np.clip(proposal["value"], 0, max(count[proposal["trait"].name] - 1, 0)))

    def section(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The present section of each map (K, n, n), and of its difference from the mean of the maps (K, n, n)."""
        shape = (self.iterations, self.classes, self.box, self.box, self.box)
        stored = np.frombuffer(self._maps, "<u2").reshape(shape)[self.iteration]
        low, high = self._range
        cut = np.take(stored, self.depth, axis=3 - self.plane) * ((high - low) / 65535) + low
        return cut, cut - cut.mean(axis=0)

    def counts(self) -> NDArray[np.float64]:
        """Particles (L, BINS) of each true class by the probability of the class ``shown``."""
        shape = (self.iterations, self.classes, len(self.names), BINS)
        return np.frombuffer(self._counts, "<f4").reshape(shape)[self.iteration, self.shown].astype(float)

    def table(self) -> NDArray[np.int64]:
        """Particles (K, L) by their most probable class and their true one."""
        shape = (self.iterations, self.classes, len(self.names))
        return np.frombuffer(self._tables, "<f4").reshape(shape)[self.iteration].astype(np.int64)

    def words(self) -> str:
        """What is shown, in words."""
        rows = (f"class {k + 1}: " + ", ".join(f"{v} {name}" for v, name in zip(row, self.names, strict=True))
                for k, row in enumerate(self.table()))
        return f"Iteration {self.iteration + 1} of {self.iterations}. Most probable class: {'; '.join(rows)}."

    def picture(self) -> Picture:
        """The explorer as it stands, as a static picture."""
        maps, apart = self.section()
        figure = new_figure(9.6, 4.4)
        parts: Any = figure.subfigures(1, 2, width_ratios=(0.8 + 0.45 * self.classes, 1.2))
        left, right = parts
        axes = left.subplots(2, self.classes, squeeze=False)
        reach = self._reach or 1.0
        for k in range(self.classes):
            grey = axes[0, k].imshow(maps[k], cmap="gray", vmin=self._range[0], vmax=self._range[1])
            colour = axes[1, k].imshow(apart[k], cmap="cividis", vmin=-reach, vmax=reach)
            axes[0, k].set_title(f"class {k + 1}", fontsize=10)
        for ax in axes.flat:
            ax.set(xticks=[], yticks=[])
        axes[0, 0].set_ylabel("density", fontsize=9)
        axes[1, 0].set_ylabel("less the mean\nof the classes", fontsize=9)
        left.colorbar(grey, ax=axes[0, :], shrink=0.9)
        left.colorbar(colour, ax=axes[1, :], shrink=0.9)
        left.suptitle(f"iteration {self.iteration + 1}, sections {PLANES[self.plane]}", fontsize=10)
        middles = (np.arange(BINS) + 0.5) / BINS
        plots = right.subplots(len(self.names), 1, sharex=True, squeeze=False)[:, 0]
        for j, (ax, row, name) in enumerate(zip(plots, self.counts(), self.names, strict=True)):
            ax.bar(middles, row, width=0.9 / BINS, color=FILLS[j % 4], hatch=HATCHES[j % 4], edgecolor="#333333",
                   linewidth=0.5)
            ax.set(xlim=(0, 1), ylabel="particles")
            ax.set_title(f"{name}: {int(row.sum())} particles", fontsize=10)
        plots[-1].set_xlabel(f"probability of class {self.shown + 1}")
        return show(describe(figure, f"Class explorer. {self.words()} Sections {PLANES[self.plane]} of the "
                                     f"{self.classes} maps, of their differences from the mean of the classes, and "
                                     f"histograms of the probability of class {self.shown + 1}, one for each kind of "
                                     "particle."), tolerance=round(SWAPPED * self.counts().sum(), 1))


def class_explorer(history: Sequence[Iteration], truth: ArrayLike, *, names: Sequence[str]) -> ClassExplorer:
    """The explorer of a run in 3D.

    history: its iterations, in order.  truth: (N,) true class numbers from 0, or another classification.  names: of
    these classes.
    Raises InputError if there is no iteration, if it is not a run in 3D of up to 6 classes and 64 voxels, or if truth
    and names do not fit.
    """
    turns, true = list(history), np.asarray(truth)
    first = turns[0].before if turns else None
    if first is None or first.ndim != 3 or first.classes > MOST_CLASSES or first.box > LARGEST_BOX:
        raise InputError(f"the class explorer shows the iterations of a run in 3D with up to {MOST_CLASSES} classes "
                         f"and {LARGEST_BOX} voxels each way: give at least one")
    particles = len(turns[0].posterior.classes)
    if true.shape != (particles,) or not len(names) or true.min() < 0 or true.max() >= len(names):
        raise InputError(f"class numbers of shape {true.shape} and {len(names)} names do not fit {particles} "
                         "particles: give one number from 0 for each particle, and a name for each number")
    maps = np.stack([turn.before.maps for turn in turns]).astype(np.float64)
    low, high = float(maps.min()), float(maps.max())
    stored = np.rint((maps - low) * (65535 / (high - low if high > low else 1.0))).astype("<u2")
    kinds = [true == j for j in range(len(names))]
    probabilities = np.stack([turn.posterior.class_probability for turn in turns])  # (T, N, K)
    counts = np.array([[[np.histogram(p[kind, k], bins=BINS, range=(0, 1 + 1e-6))[0] for kind in kinds]
                        for k in range(first.classes)] for p in probabilities])
    tables = np.array([[[np.sum(turn.posterior.classes[kind] == k) for kind in kinds] for k in range(first.classes)]
                       for turn in turns])
    return ClassExplorer(iterations=len(turns), classes=first.classes, box=first.box, names=list(names),
                         iteration=len(turns) - 1, depth=first.box // 2, _maps=stored.tobytes(), _range=[low, high],
                         _reach=float(np.abs(maps - maps.mean(axis=1, keepdims=True)).max()), _counts=raw(counts),
                         _tables=raw(tables), _cividis=cividis())
