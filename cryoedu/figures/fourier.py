"""Pictures of Fourier space: planes of it, below the images that they belong to, and curves with ticks in Å."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cryoedu.figures.alignment import LINES, scale_bar
from cryoedu.figures.page import describe, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROUND = (400, 200, 100, 70, 50, 40, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4, 3.5, 3, 2.5, 2, 1.5, 1)  # Å that make good ticks


def resolution_axis(ax: Axes) -> None:
    """Spatial frequencies (1/Å) on the x axis, from 0, written as the resolutions in Å that they stand for: round ones,
    none closer to the last than a twentieth of the axis."""
    ax.set_xlim(left=0)
    top, chosen = ax.get_xlim()[1], list[float]()
    for d in ROUND:
        if 1 / d <= top * 1.0001 and 1 / d - (1 / chosen[-1] if chosen else 0) > top / 20:
            chosen.append(d)
    ax.set_xticks([1 / d for d in chosen], [f"{d:g}" for d in chosen])
    ax.set_xlabel("resolution (Å)")


def curves(u: ArrayLike, lines: Mapping[str, ArrayLike], *, ylabel: str, marks: Mapping[str, float] | None = None,
           title: str = "", limits: tuple[float, float] | None = None, points: bool = False, height: float = 2.9,
           alt: str = "") -> Figure:
    """Curves over spatial frequency u (M,) in 1/Å, the axis marked in Å.

    lines: name -> (M,) values.  marks: name -> resolution in Å of a dotted vertical line.  points: with markers.
    limits: of the vertical axis.  alt: what is to be seen; the names are told in any case.
    """
    u = np.asarray(u, dtype=float)
    figure = new_figure(9.2, height)
    ax = figure.subplots()
    for style, (name, values) in zip(LINES, lines.items(), strict=False):
        shown = {**style, "marker": style["marker"] if points else None}
        ax.plot(u, np.asarray(values, dtype=float), label=name, linewidth=1.6, markersize=3.5, **shown)
    for name, d in (marks or {}).items():
        ax.axvline(1 / d, color="#222222", linewidth=1, linestyle=":")
        ax.text(1 / d, 0.98, f" {name}", transform=ax.get_xaxis_transform(), fontsize=8, va="top")
    if min(np.min(np.asarray(v)) for v in lines.values()) < 0:
        ax.axhline(0, color="#777777", linewidth=0.8)
    ax.set(xlim=(0, float(u[-1])), ylabel=ylabel)
    if limits:
        ax.set_ylim(*limits)
    if title:
        ax.set_title(title, fontsize=10, pad=22 if len(lines) > 1 else None)
    if len(lines) > 1:
        ax.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(lines), frameon=False)
    resolution_axis(ax)
    return describe(figure, f"{ylabel} against resolution: {'; '.join(lines)}. {alt}")


def half_plane(image: ArrayLike, waves: ArrayLike, *, alt: str = "") -> Figure:
    """An image (n, n) beside the strengths, on a scale of powers of ten, of its waves as ``np.fft.rfft2`` orders them.

    waves: (n, n // 2 + 1) complex.  The rows carry the numbers of the array and, in brackets, of the wave where they
    differ.  alt: what is to be seen.
    """
    picture, strength = np.asarray(image, dtype=float), np.abs(np.asarray(waves))
    n = picture.shape[0]
    figure = new_figure(7.6, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1, 0.75))
    left.imshow(picture, cmap="gray")
    left.set(xticks=[], yticks=[])
    left.set_title("the image", fontsize=10)
    top = float(np.log10(strength.max()))
    drawn = right.imshow(np.log10(np.maximum(strength, 1e-300)), cmap="cividis", vmin=top - 4, vmax=top)
    rows = [0, n // 4, n // 2, 3 * n // 4, n - 1]
    right.set_yticks(rows, [str(r) if r < n // 2 else f"{r} ({r - n})" for r in rows])
    right.set_xticks([0, n // 4, n // 2])
    right.set(xlabel="column: waves from left to right", ylabel="row: waves from top to bottom")
    right.set_title("rfft2 of it", fontsize=10)
    figure.colorbar(drawn, ax=right, label="log₁₀ strength")
    return describe(figure, f"An image, and the strengths of its waves in the order of rfft2, {n} rows and "
                            f"{n // 2 + 1} columns. {alt}")


def planes(fields: ArrayLike, labels: Sequence[str], *, pixel_size: float | Sequence[float], scale: str,
           limits: tuple[float, float], images: ArrayLike | None = None, rings: Sequence[float] = (),
           names: tuple[str, str] = ("Fourier space", "image"), axes: tuple[str, str] = ("$k_x$", "$k_y$"),
           size: float = 1.9, alt: str = "") -> Figure:
    """Planes of Fourier space (C, n, n) in cividis, frequency 0 at n // 2, below their images (C, n, n) if given.

    pixel_size: Å, one for all or one for each.  scale: the label of the colour scale, limits: its lowest and highest
    value.  rings: resolutions in Å drawn as dashed circles, named where the pixel size changes.  names: of the rows.
    axes: of the planes.  alt: what is to be seen.
    """
    fields = np.asarray(fields, dtype=float)
    count, n = fields.shape[0], fields.shape[-1]
    rows = 1 if images is None else 2
    sizes = [float(s) for s in np.broadcast_to(np.asarray(pixel_size, dtype=float), count)]
    changed = [c == 0 or sizes[c] != sizes[c - 1] for c in range(count)]
    figure = new_figure(size * count + 1.3, size * rows + 0.5)
    grid = figure.subplots(rows, count, squeeze=False)
    turn, drawn = np.linspace(0, 2 * np.pi, 181), None
    for c, ax in enumerate(grid[-1]):
        drawn = ax.imshow(fields[c], cmap="cividis", vmin=limits[0], vmax=limits[1], interpolation="nearest")
        for d in rings:
            r = n * sizes[c] / d
            ax.plot(n // 2 + r * np.cos(turn), n // 2 + r * np.sin(turn), color="white", linewidth=0.9, linestyle="--")
            if changed[c]:
                ax.text(n // 2 + 0.72 * r, n // 2 - 0.72 * r, f"{d:g} Å", color="white", fontsize=7.5,
                        bbox={"facecolor": "#00224e", "edgecolor": "none", "alpha": 0.75, "pad": 1})
        ax.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5))
        ax.set_xlabel(axes[0], fontsize=9, labelpad=1)
    if images is not None:
        for ax, image in zip(grid[0], np.asarray(images, dtype=float), strict=True):
            middle, reach = image.mean(), 3 * image.std()
            ax.imshow(image, cmap="gray", vmin=middle - reach, vmax=middle + reach, interpolation="nearest")
        for ax, size_here, new in zip(grid[0], sizes, changed, strict=True):
            if new:
                scale_bar(ax, n, size_here)
        grid[0, 0].set_ylabel(names[1])
    for ax, label in zip(grid[0], labels, strict=True):
        ax.set_title(label, fontsize=9.5)
    for ax in grid.flat:
        ax.set(xticks=[], yticks=[])
    grid[-1, 0].set_ylabel(f"{names[0]}\n{axes[1]}")
    if drawn is not None:
        figure.colorbar(drawn, ax=grid[-1, :], label=scale, shrink=0.85)
    what = names[0] if images is None else f"{names[1]} above, {names[0]} below"
    return describe(figure, f"{what}, columns: {', '.join(labels)}. {alt}")
