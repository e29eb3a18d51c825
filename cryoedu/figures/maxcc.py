"""Pictures of lesson 2: the CCF beside the squared distance, averages from several starts, and what noise makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cryoedu.figures.alignment import CCF_COLOUR, LINES, PDF_COLOUR, TRUTH_COLOUR
from cryoedu.figures.page import describe, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ccf_and_distance(angles: ArrayLike, ccf: ArrayLike, distance: ArrayLike, truth: float) -> Figure:
    """CCF (left) and squared distance |X - A|² (right) over the rotations (R,) in degrees; both optima are marked."""
    angles, ccf, distance = (np.asarray(a, dtype=float) for a in (angles, ccf, distance))
    figure = new_figure(9.2, 2.9)
    axes = figure.subplots(1, 2, sharex=True)
    said = []
    for ax, values, best, name, word, colour, marker in (
            (axes[0], ccf, int(ccf.argmax()), "CCF", "highest", CCF_COLOUR, "o"),
            (axes[1], distance, int(distance.argmin()), "squared distance |X − A|²", "lowest", PDF_COLOUR, "s")):
        ax.plot(angles, values, color=colour, marker=marker, markersize=2.5, linewidth=1.2)
        ax.plot(angles[best], values[best], marker, color=colour, markersize=9, markerfacecolor="none",
                markeredgewidth=2, label=f"{word}: {angles[best]:.0f}°")
        ax.axvline(truth, color=TRUTH_COLOUR, linestyle="--", linewidth=1, label=f"true: {truth:.0f}°")
        ax.set(xlim=(0, 360), xticks=range(0, 361, 60), xlabel="rotation φ (degrees)", ylabel=name)
        low, high = float(values.min()), float(values.max())
        room = 0.35 * (high - low)
        below, above = (1.0, 0.2) if word == "lowest" else (0.2, 1.0)  # room for the legend
        ax.set_ylim(low - below * room, high + above * room)
        ax.legend(fontsize=8, loc="upper right" if word == "highest" else "lower right", ncols=2, framealpha=0.9)
        said.append(f"the {name} is {word} at {angles[best]:.0f}°")
    return describe(figure, f"Two curves over the rotation, one the mirror image of the other: {', '.join(said)}. "
                            f"The true rotation is {truth:.0f}°.")


def approach(likeness: Mapping[tuple[str, float], ArrayLike], best: Mapping[float, float], chance: float) -> Figure:
    """How like the truth the average is against the round, a line for each start, a column for each SNR.

    likeness: (start, SNR) -> (rounds + 1,), the start first.  best: SNR -> the same for the true rotations.
    chance: what pictures that have nothing to do with the truth reach; all below is shaded.
    """
    starts = list(dict.fromkeys(start for start, _ in likeness))
    snrs = list(dict.fromkeys(snr for _, snr in likeness))
    figure = new_figure(9.4, 3.1)
    axes = figure.subplots(1, len(snrs), sharey=True, squeeze=False)[0]
    said = []
    for ax, snr in zip(axes, snrs):
        for style, start in zip(LINES, starts):
            track = np.asarray(likeness[start, snr], dtype=float)
            ax.plot(track, label=start, markersize=4, **style)
            said.append(f"{start} at SNR {snr:g}: {track[0]:.2f} to {track[-1]:.2f} (to ±0.03)")
        ax.axhline(best[snr], color="#555555", linestyle=":", linewidth=1.4, label="true rotations")
        ax.axhspan(0, chance, color="#bbbbbb", alpha=0.5, linewidth=0, label="by accident")
        ax.set_title(f"SNR {snr:g}", fontsize=10)
        ax.set(xlabel="round", ylim=(0, 1.05))
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("likeness to the truth")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8.5)
    return describe(figure, f"Likeness of the average to the truth against the round. {'; '.join(said)}. By accident "
                            f"up to {chance:.2f} are reached.")


def noise_portrait_curve(counts: ArrayLike, predicted: ArrayLike, measured: Mapping[str, tuple[ArrayLike, ArrayLike]],
                         threshold: float | None = None) -> Figure:
    """Correlation with the reference against the number of images averaged, on a logarithmic axis.

    counts, predicted: the line.  measured: name -> (counts, correlations), drawn as points of unlike shape.
    """
    x, line = np.asarray(counts, dtype=float), np.asarray(predicted, dtype=float)
    figure = new_figure(6.8, 3.3)
    ax = figure.subplots()
    ax.plot(x, line, color="#222222", linewidth=1.6, label="predicted: m/√(m² + d/M)")
    said = []
    for style, (name, (at, values)) in zip(LINES, measured.items()):
        ax.plot(at, values, **{**style, "linestyle": "", "markersize": 6}, label=name)
        said.append(f"{name}: {np.asarray(values)[-1]:.2f} with {np.asarray(at)[-1]:.0f} images")
    if threshold is not None:
        ax.axhline(threshold, color="#555555", linestyle=":", linewidth=1.2, label=f"correlation {threshold:g}")
    ax.set(xscale="log", xlabel="images averaged, M", ylabel="correlation with the portrait", ylim=(-0.1, 1.02))
    ax.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    ax.legend(fontsize=8.5, loc="upper left")
    return describe(figure, f"Correlation of the average of noise with the portrait: predicted {line[-1]:.2f} with "
                            f"{x[-1]:.0f} images; {'; '.join(said)}.")


def spread_of_maxima(values: ArrayLike, labels: Sequence[str]) -> Figure:
    """Histograms of two sets of numbers, such as the CCF at one place and the highest of many, with their means."""
    sets = [np.asarray(v, dtype=float).ravel() for v in values]  # type: ignore[union-attr]
    figure = new_figure(6.8, 2.7)
    ax = figure.subplots()
    bins = np.arange(-4.0, 5.6, 0.2)
    said = []
    for v, label, colour, hatch in zip(sets, labels, (CCF_COLOUR, PDF_COLOUR), ("", "//")):
        ax.hist(v, bins=list(bins), weights=np.full(len(v), 100 / len(v)), color=colour, alpha=0.75, hatch=hatch,
                edgecolor="white", linewidth=0.4, label=f"{label}: mean {v.mean():.2f}")
        ax.axvline(float(v.mean()), color=TRUTH_COLOUR, linestyle="--", linewidth=1)
        said.append(f"{label}, mean {v.mean():.2f}")
    ax.set(xlabel="CCF of noise with the portrait, in units of its standard deviation", ylabel="% of the images")
    ax.legend(fontsize=8.5, loc="upper left")
    return describe(figure, f"Two histograms that hardly overlap: {'; '.join(said)}.")
