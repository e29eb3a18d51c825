"""Pictures of noise by spatial frequency, and of what filters do to an alignment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cryoedu.figures.alignment import LINES
from cryoedu.figures.fourier import resolution_axis
from cryoedu.figures.page import describe, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def power_curves(frequencies: ArrayLike, curves: Mapping[str, ArrayLike], *, truth: str = "") -> Figure:
    """Powers (bins,) by name against the frequencies (bins,) in 1/Å, DC left out; power has a logarithmic axis.

    truth: the name of the curve that is drawn as the thick grey one behind the others.
    """
    q = np.asarray(frequencies, dtype=float)[1:]
    figure = new_figure(7.4, 3.6)
    ax = figure.subplots()
    said = []
    styles = iter(LINES)
    for name, values in curves.items():
        curve = np.asarray(values, dtype=float)[1:]
        style = {"color": "#999999", "linewidth": 6} if name == truth else {**next(styles), "markersize": 4}
        ax.plot(q, np.where(curve > 0, curve, np.nan), label=name, **style)
        said.append(f"{name} goes from {curve[0]:.3g} at {1 / q[0]:.0f} Å to {curve[-1]:.3g} at {1 / q[-1]:.0f} Å")
    ax.set(yscale="log", ylabel="power of a component (σ²)")
    resolution_axis(ax)
    ax.legend(fontsize=8.5)
    return describe(figure, f"Power against resolution: {'; '.join(said)}.")


def filter_map(resolutions: ArrayLike, share: ArrayLike, learned: float) -> Figure:
    """How many images are aligned correctly with each band-pass filter, and with the filter that the data taught.

    resolutions: (S,) Å, of the shells 1, 2, …  share: (S, S), of correct images when the shells from the first index to
    the second are kept; NaN where the first is larger.  learned: the same share for the learned filter.
    """
    d, table = np.asarray(resolutions, dtype=float), np.asarray(share, dtype=float)
    figure = new_figure(7.6, 4.4)
    ax = figure.subplots()
    drawn = ax.imshow(table, origin="lower", cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
    first, last = np.unravel_index(np.nanargmax(table), table.shape)
    for row, column, mark, label in ((0, len(d) - 1, "s", f"no filter: {table[0, -1]:.0%}"),
                                     (first, last, "*", f"best band: {table[first, last]:.0%}")):
        ax.plot(column, row, mark, markersize=13, markerfacecolor="white", markeredgecolor="black", label=label)
    ticks = np.arange(0, len(d), 2)
    ax.set_xticks(ticks, [f"{v:.0f}" for v in d[ticks]], rotation=90)
    ax.set_yticks(ticks, [f"{v:.0f}" for v in d[ticks]])
    ax.set(xlabel="finest resolution kept (Å)", ylabel="coarsest resolution kept (Å)")
    bar = figure.colorbar(drawn, ax=ax, label="share of images within 10° of the truth")
    bar.ax.axhline(learned, color="white", linewidth=5)
    bar.ax.axhline(learned, color="#d55e00", linewidth=2.5)
    ax.plot([], [], color="#d55e00", linewidth=2.5, label=f"learned filter: {learned:.0%}")
    ax.legend(fontsize=8.5, loc="upper left")
    return describe(figure, f"Share of images aligned within 10° for every band-pass filter. Without a filter "
                            f"{table[0, -1]:.0%}; at best {table[first, last]:.0%}, when {d[first]:.0f} to "
                            f"{d[last]:.0f} Å is kept; with the learned filter {learned:.0%}.")
