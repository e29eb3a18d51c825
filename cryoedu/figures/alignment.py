"""Pictures of images, of the CCF and the PDF, and of how an alignment went.

Grey is for images, cividis for scalars over a plane; lines differ in marker and dash as well as in hue
(Okabe and Ito's colours).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cryoedu.figures.page import describe, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES: tuple[dict[str, Any], ...] = (
    {"color": "#0072b2", "marker": "o", "linestyle": "-"}, {"color": "#d55e00", "marker": "s", "linestyle": "--"},
    {"color": "#009e73", "marker": "^", "linestyle": "-."}, {"color": "#cc79a7", "marker": "D", "linestyle": ":"})
CCF_COLOUR, PDF_COLOUR, TRUTH_COLOUR = "#0072b2", "#d55e00", "#222222"


def image_grid(images: ArrayLike, *, rows: Sequence[str] = (), columns: Sequence[str] = (), shared_scale: str = "",
               limits: tuple[float, float] | None = None, pixel_size: float | None = None, size: float = 1.35,
               alt: str = "") -> Figure:
    """Images (R, C, n, n) or (C, n, n) in grey, rows and columns labelled.

    shared_scale: the label of one grey scale for all of them, with its bar; without it each has its own scale
        (its mean ± 3 standard deviations).
    limits: black and white of that scale (default: the lowest and the highest pixel of all).
    pixel_size: Å, draws a scale bar in the first image.
    alt: what is to be seen; rows and columns are named in any case.
    """
    grid = np.asarray(images, dtype=float)
    grid = grid[None] if grid.ndim == 3 else grid
    height, width = grid.shape[:2]
    figure = new_figure(size * width + 0.35 + (0.75 if shared_scale else 0), size * height + 0.3)
    axes = figure.subplots(height, width, squeeze=False)
    low, high = limits or (float(grid.min()), float(grid.max()))
    drawn = None
    for r in range(height):
        for c in range(width):
            image, ax = grid[r, c], axes[r, c]
            if not shared_scale:
                low, high = image.mean() - 3 * image.std(), image.mean() + 3 * image.std()
            drawn = ax.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            if r == 0 and c < len(columns):
                ax.set_title(columns[c], fontsize=9.5)
            if c == 0 and r < len(rows):
                ax.set_ylabel(rows[r], fontsize=10)
    if pixel_size:
        scale_bar(axes[0, 0], grid.shape[-1], pixel_size)
    if shared_scale and drawn is not None:
        figure.colorbar(drawn, ax=axes, label=shared_scale, shrink=0.9, extend="both" if limits else "neither")
    named = [f"{what}: {', '.join(names)}" for what, names in (("rows", rows), ("columns", columns)) if len(names)]
    return describe(figure, f"{'; '.join(['Images', *named])}. {alt}")


def scale_bar(ax: Axes, box: int, pixel_size: float) -> None:
    """A white bar of a round length, about a third of the box, with the length beside it."""
    third = box * pixel_size / 3
    length = max(v for v in (1, 2, 5, 10, 20, 50, 100, 200, 500) if v <= max(third, 1))
    x, y = 0.06 * box, 0.92 * box
    ax.plot([x, x + length / pixel_size], [y, y], color="white", linewidth=3, solid_capstyle="butt")
    ax.text(x, y - 0.03 * box, f"{length} Å", color="white", fontsize=8, va="bottom")


def ccf_and_pdf(angles: ArrayLike, ccf: ArrayLike, gamma: ArrayLike, labels: Sequence[str], truth: float) -> Figure:
    """The two boards: CCF (left) and PDF (right) over the rotations (R,), one row for each of ``labels``.

    ccf, gamma: (rows, R). The best CCF and the true rotation are marked.
    """
    angles, ccf, gamma = np.asarray(angles, float), np.asarray(ccf, float), np.asarray(gamma, float)
    figure = new_figure(9.2, 0.5 + 1.65 * len(labels))
    axes = figure.subplots(len(labels), 2, sharex=True, squeeze=False)
    said = []
    for row, label in enumerate(labels):
        left, right = axes[row]
        best = int(np.argmax(ccf[row]))
        left.plot(angles, ccf[row], color=CCF_COLOUR, marker="o", markersize=2.5, linewidth=1.2)
        left.plot(angles[best], ccf[row, best], "o", color=CCF_COLOUR, markersize=9, markerfacecolor="none",
                  markeredgewidth=2, label=f"highest: {angles[best]:.0f}°")
        right.bar(angles, gamma[row], width=0.8 * (angles[1] - angles[0]), color=PDF_COLOUR)
        right.axhline(1 / len(angles), color="#555555", linestyle=":", linewidth=1, label="flat: 1/R")
        for ax in (left, right):
            ax.axvline(truth, color=TRUTH_COLOUR, linestyle="--", linewidth=1,
                       label=f"true: {truth:.0f}°" if ax is left else None)
            ax.set(xlim=(0, 360), xticks=range(0, 361, 60))
        left.set_ylabel(f"{label}\nCCF")
        right.set_ylabel("probability Γ")
        right.set_ylim(0, max(1.15 * gamma[row].max(), 4 / len(angles)))
        left.margins(y=0.05)
        left.set_ylim(top=ccf[row].max() + 0.45 * np.ptp(ccf[row]))
        left.legend(fontsize=8, loc="upper right", ncols=2, framealpha=0.9)
        said.append(f"{label}: the CCF is highest at {angles[best]:.0f}°, the largest probability is "
                    f"{gamma[row].max():.2f} at {angles[int(np.argmax(gamma[row]))]:.0f}°")
    axes[0, 0].set_title("CCF: how well does it match?", fontsize=10)
    axes[0, 1].set_title("PDF: how probable is it?", fontsize=10)
    axes[0, 1].legend(fontsize=8, loc="upper right")
    for ax in axes[-1]:
        ax.set_xlabel("rotation φ (degrees)")
    return describe(figure, f"CCF and PDF over the rotation; the true rotation is {truth:.0f}°. {'. '.join(said)}.")


def climb(histories: Mapping[str, ArrayLike], true_sigma: float) -> Figure:
    """Log-likelihood and σ against the iteration; each history is (iterations, 2): log-likelihood and σ.

    The log-likelihood is drawn as the distance below the best one that any of the runs reached.
    """
    figure = new_figure(9.2, 3.2)
    left, right = figure.subplots(1, 2)
    runs = {name: np.asarray(h, dtype=float) for name, h in histories.items()}
    best = max(float(h[:, 0].max()) for h in runs.values())
    said = []
    for style, (name, h) in zip(LINES, runs.items(), strict=False):
        left.plot(best + 1 - h[:, 0], label=name, markersize=4, **style)
        right.plot(h[:, 1], label=name, markersize=4, **style)
        said.append(f"{name}: σ goes from {h[0, 1]:.2f} to {h[-1, 1]:.2f}")
    left.set(yscale="log", xlabel="iteration", ylabel="nats below the best log L (+ 1)")
    left.invert_yaxis()
    left.set_title("The likelihood climbs", fontsize=10)
    left.legend(fontsize=8, loc="lower right")
    right.axhline(true_sigma, color=TRUTH_COLOUR, linewidth=1, linestyle=":")
    right.set(yscale="log", xlabel="iteration", ylabel="σ of the model")
    right.set_title("σ finds the noise", fontsize=10)
    ticks = sorted({round(float(h[0, 1]), 2) for h in runs.values()} | {true_sigma})
    right.set_yticks(ticks, [f"{t:g}" for t in ticks])
    right.minorticks_off()
    for ax in (left, right):
        ax.xaxis.get_major_locator().set_params(integer=True)
    return describe(figure, f"Log-likelihood (left) and σ (right) against the iteration. {'; '.join(said)}; "
                            f"the noise has σ = {true_sigma:g}.")


def tracks(measured: Mapping[tuple[str, float], ArrayLike], bounds: Mapping[float, tuple[float, float]]) -> Figure:
    """How averages come closer to the truth, or drift from it: likeness (above) and contrast (below), a column per SNR.

    measured: (method, SNR) -> (iterations, 2): likeness to the truth, and contrast as a fraction of the truth's, from
        the start on.
    bounds: SNR -> the same two numbers for the average with the true poses.
    """
    methods = list(dict.fromkeys(method for method, _ in measured))
    snrs = list(dict.fromkeys(snr for _, snr in measured))
    figure = new_figure(9.4, 4.6)
    axes = figure.subplots(2, len(snrs), sharex=True, sharey="row", squeeze=False)
    said = []
    for c, snr in enumerate(snrs):
        for style, method in zip(LINES, methods, strict=False):
            track = np.asarray(measured[method, snr], dtype=float)
            for r in range(2):
                axes[r, c].plot(track[:, r], label=method, markersize=3.5, **style)
            said.append(f"{method} at SNR {snr:g}: likeness {track[:, 0].max():.1f} at best, {track[-1, 0]:.1f} at the "
                        f"end, contrast {track[-1, 1]:.1f}")
        for r in range(2):
            axes[r, c].axhline(bounds[snr][r], color="#555555", linestyle=":", linewidth=1.4, label="true poses")
        axes[0, c].set_title(f"SNR {snr:g}", fontsize=10)
        axes[1, c].set_xlabel("iteration")
    axes[0, 0].set_ylabel("likeness\nto the truth")
    axes[1, 0].set_ylabel("contrast /\ntrue contrast")
    axes[0, 0].legend(fontsize=8, loc="lower right")
    return describe(figure, f"Likeness to the truth (above) and contrast (below) against the iteration, one column for "
                            f"each SNR. {'; '.join(said)} (numbers above: to ±0.2).")
