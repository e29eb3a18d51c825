"""Pictures of regularised likelihood: shrinking, overfitting, curves over the resolution, where the signal wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cryoedu.figures.alignment import LINES
from cryoedu.figures.page import describe, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MORE_LINES = (*LINES, {"color": "#555555", "marker": "v", "linestyle": (0, (1, 1))})
DRIFT = 0.02  # a correlation that ends so far below its best has drifted away
FAINT, STRONG = -2.0, 2.0  # log₁₀ of the SSNR where the colours of `ssnr_maps` end


def shrinking(factors: ArrayLike, errors: Mapping[int, ArrayLike], predicted: Mapping[int, float]) -> Figure:
    """Mean squared error of c · mean against the factor c (F,), for each number of measurements.

    errors: measurements -> (F,).  predicted: measurements -> the factor that theory says is best.
    """
    c = np.asarray(factors, dtype=float)
    figure = new_figure(7.2, 3.5)
    ax = figure.subplots()
    said = []
    for style, (count, curve) in zip(MORE_LINES, errors.items(), strict=False):
        values = np.asarray(curve, dtype=float)
        name = f"{count} measurement{'s' if count > 1 else ''}"
        ax.plot(c, values, label=name, markersize=4, markevery=6, **style)
        best = predicted[count]
        ax.plot(best, np.interp(best, c, values), marker="*", markersize=15, color=style["color"],
                markeredgecolor="black", linestyle="")
        said.append(f"{name}: error {np.interp(1, c, values):.2f} at factor 1, lowest {values.min():.2f} at "
                    f"{c[values.argmin()]:.2f}")
    ax.axvline(1, color="#555555", linestyle=":", linewidth=1.2)
    ax.text(1, 1.02, "the plain mean", transform=ax.get_xaxis_transform(), fontsize=9, ha="center")
    ax.plot([], [], marker="*", markersize=12, color="white", markeredgecolor="black", linestyle="",
            label="SSNR/(1 + SSNR)")
    ax.set(xlabel="factor c by which the mean is multiplied", ylabel="mean squared error", yscale="log")
    ticks = (0.05, 0.1, 0.2, 0.5, 1, 2, 5)
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.01, 1))
    return describe(figure, f"Mean squared error against the factor. {'; '.join(said)}. The star of each curve, the "
                            "factor from the formula, lies at its lowest point.")


def rounds(gains: Mapping[str, ArrayLike], likeness: Mapping[str, ArrayLike]) -> Figure:
    """How refinements went: gain in log-likelihood (left) and correlation with the truth (right) by iteration.

    Both map the run's name to its values (iterations,).
    """
    figure = new_figure(9.4, 3.3)
    left, right = figure.subplots(1, 2)
    said = []
    for style, (name, gain) in zip(MORE_LINES, gains.items(), strict=False):
        g, a = np.asarray(gain, dtype=float), np.asarray(likeness[name], dtype=float)
        turns = np.arange(1, len(g) + 1)
        for ax, values in ((left, g), (right, a)):
            ax.plot(turns, values, label=name, markersize=4, **style)
        best = int(a.argmax())
        peak = f"{a[best]:.2f} at best, in iteration {best + 1} (to ±1), " if a[best] - a[-1] > DRIFT else ""
        said.append(f"{name}: log-likelihood up by about {float(f'{g[-1]:.2g}'):.0f}, correlation {peak}{a[-1]:.2f} at "
                    "the end")
    left.set(xlabel="iteration", ylabel="log L, gain since the start (nats)")
    right.set(xlabel="iteration", ylabel="correlation with the truth")
    left.set_title("What the program sees", fontsize=10)
    right.set_title("What only a simulation can tell", fontsize=10)
    for ax in (left, right):
        ax.xaxis.get_major_locator().set_params(integer=True)
    if len(gains) > 1:
        left.legend(fontsize=8)
    return describe(figure, f"Log-likelihood (left) and correlation with the truth (right) against the iteration. "
                            f"{'; '.join(said)}.")


def shell_curves(length: float, curves: Mapping[str, ArrayLike], *, ylabel: str, last: int | None = None,
                 levels: Mapping[str, float] | None = None, log: bool = False, title: str = "",
                 alt: str = "") -> Figure:
    """Curves over the Fourier shells 1, 2, …, against the resolution.

    length: Å, side of the box.  curves: name -> one value for each shell, shell 0 first.  last: last shell shown
    (default: all).  levels: horizontal lines by name.  alt: what is to be seen; the ends of the curves are named too.
    """
    figure = new_figure(7.4, 3.5)
    ax = figure.subplots()
    said = []
    last = min(len(np.asarray(v)) for v in curves.values()) - 1 if last is None else last
    for style, (name, values) in zip(MORE_LINES, curves.items(), strict=False):
        curve = np.asarray(values, dtype=float)[1 : last + 1]
        ax.plot(np.arange(1, last + 1), np.where(curve > 0, curve, np.nan) if log else curve, label=name, markersize=4,
                **style)
        said.append(f"{name} from {_short(curve[0])} to {_short(curve[-1])}")
    for name, level in (levels or {}).items():
        ax.axhline(level, color="#555555", linestyle=":", linewidth=1.3)
        ax.text(1.01, level, name, transform=ax.get_yaxis_transform(), fontsize=8.5, va="center")
    if log:
        ax.set_yscale("log")
    elif min(np.asarray(v, dtype=float)[1 : last + 1].min() for v in curves.values()) < 0:
        ax.axhline(0, color="#999999", linewidth=0.8)
    _resolution(ax, length, last)
    ax.set_ylabel(ylabel)
    if title:
        ax.set_title(title, fontsize=10)
    if len(curves) > 1:
        ax.legend(fontsize=8.5)
    rounded = "" if log else " (numbers above: to ±0.02)"
    return describe(figure, f"{title or ylabel} against the resolution: {'; '.join(said)}. {alt}{rounded}")


def ssnr_maps(maps: ArrayLike, *, columns: Sequence[str], rows: Sequence[str] = (), length: float,
              axes: tuple[str, str] = ("x", "y"), alt: str = "") -> Figure:
    """SSNR of every Fourier component in planes (R, C, n, n) or (C, n, n), zero frequency in the centre.

    length: Å, side of the box.  The colours are logarithmic; a line is drawn where the SSNR is 1.
    """
    grid = np.asarray(maps, dtype=float)
    grid = grid[None] if grid.ndim == 3 else grid
    height, width, n = grid.shape[:3]
    figure = new_figure(2.15 * width + 1.2, 2.15 * height + 1.1)
    cells = figure.subplots(height, width, squeeze=False)
    edge = n / (2 * length)
    drawn, said = None, []
    for r in range(height):
        for c in range(width):
            ax, plane = cells[r, c], np.log10(np.maximum(grid[r, c], 1e-9))
            drawn = ax.imshow(np.clip(plane, FAINT, STRONG), cmap="cividis", vmin=FAINT, vmax=STRONG, origin="lower",
                              extent=(-edge, edge, -edge, edge), interpolation="nearest")
            if plane.min() < 0 < plane.max():
                where = (np.arange(n) - n // 2 + 0.5) / length
                ax.contour(where, where, plane, levels=[0], colors="white", linewidths=1.1)
            ax.set(xticks=[], yticks=[])
            if r == 0:
                ax.set_title(columns[c], fontsize=9.5)
            if c == 0 and r < len(rows):
                ax.set_ylabel(rows[r], fontsize=10)
            place = ", ".join(x for x in (rows[r] if r < len(rows) else "", columns[c]) if x)
            said.append(f"{place.replace(chr(10), ' ')}: the SSNR is above 1 in {(plane > 0).mean():.0%}")
    ticks = (-1 / (4 * length / n), 0.0, 1 / (4 * length / n))
    names = [f"−1/{4 * length / n:.0f}", "0", f"1/{4 * length / n:.0f}"]
    for ax in cells[-1]:
        ax.set_xticks(ticks, names, fontsize=8)
        ax.set_xlabel(f"along {axes[0]} (1/Å)", fontsize=8.5)
    for ax in cells[:, -1]:
        ax.yaxis.tick_right()
        ax.yaxis.set_label_position("right")
        ax.set_yticks(ticks, names, fontsize=8)
        ax.set_ylabel(f"along {axes[1]} (1/Å)", fontsize=8.5)
    assert drawn is not None
    bar = figure.colorbar(drawn, ax=cells, label="SSNR (white line: 1)", shrink=0.9, extend="both")
    bar.set_ticks([-2, -1, 0, 1, 2], labels=["0.01", "0.1", "1", "10", "100"])
    return describe(figure, f"Signal-to-noise ratio of the Fourier components in a plane of {' and '.join(axes)}. "
                            f"{'; '.join(said)}. {alt}")


def _resolution(ax: Axes, length: float, last: int) -> None:
    """Ticks at a few shells, named by their resolution in Å."""
    step = max(round(last / 8), 1)
    shells = list(range(step, last + 1, step))
    ax.set_xticks(shells, [f"{length / s:.0f}" for s in shells])
    ax.set_xlim(0.5, last + 0.5)
    ax.set_xlabel("resolution (Å)")


def _short(value: float) -> str:
    return f"{value:.2g}"


def plane_through_zero(half: ArrayLike) -> np.ndarray:
    """The plane ky = 0 (n, n) of a half volume (n, n, n//2 + 1): kz upwards, kx to the right, zero in the centre.

    The half volume is that of a real map's power or weight, so that each component equals its opposite.
    """
    values = np.asarray(half, dtype=float)
    n = values.shape[0]
    plane = np.empty((n, n))
    right = values[:, 0, :]  # kz in the order of the FFT, kx = 0 … n/2
    opposite = np.roll(right[::-1], 1, axis=0)  # -kz
    plane[:, n // 2 :] = right[:, : n // 2]
    plane[:, : n // 2] = opposite[:, n // 2 : 0 : -1]
    return np.fft.fftshift(plane, axes=0)
