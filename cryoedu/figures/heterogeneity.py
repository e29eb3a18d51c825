"""Pictures of particles that are not all alike: maps and their difference, classes that part, tables, certainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cryoedu.figures.alignment import LINES, scale_bar
from cryoedu.figures.page import describe, new_figure
from cryoedu.figures.sphere import posteriors_on_sphere
from cryoedu.figures.surface import shaded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cryoedu.validation.classes import Bin

PLANES = ("across x", "across y", "across z")
HATCHES, FILLS = ("", "///", "...", "xx"), ("#56a0d3", "#e8a37c", "#7fc8ad", "#dcb3cf")
FAINT = "#555555"


def sections(maps: ArrayLike, labels: Sequence[str], *, pixel_size: float, difference: str = "",
             limits: tuple[float, float] | None = None, alt: str = "") -> Figure:
    """Central sections across x, y and z (rows) of maps (K, n, n, n) (columns), all on one scale of grey.

    difference: title of one more column, the first map less the second, in colour; empty for none.
    limits: black and white (default: the lowest and highest voxel of the sections).  alt: what is to be seen.
    """
    volumes = np.asarray(maps, dtype=float)
    middle = volumes.shape[-1] // 2
    shown = np.stack([np.take(volumes, middle, axis=3 - row) for row in range(3)])  # (3, K, n, n)
    columns = len(volumes) + bool(difference)
    figure = new_figure(1.42 * columns + 1.3 + 0.9 * bool(difference), 4.5)
    axes = figure.subplots(3, columns, squeeze=False)
    figure.set_layout_engine("constrained", w_pad=0.1)  # room for the names of the rows
    low, high = limits or (float(shown.min()), float(shown.max()))
    for row in range(3):
        for k, label in enumerate(labels):
            grey = axes[row, k].imshow(shown[row, k], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axes[0, k].set_title(label, fontsize=9.5)
        axes[row, 0].set_ylabel(PLANES[row], fontsize=9.5)
    if difference:
        apart = shown[:, 0] - shown[:, 1]
        reach = float(np.abs(apart).max()) or 1.0
        for row in range(3):
            colour = axes[row, -1].imshow(apart[row], cmap="cividis", vmin=-reach, vmax=reach, interpolation="nearest")
        axes[0, -1].set_title(difference, fontsize=9.5)
        figure.colorbar(colour, ax=axes[:, -1], label="difference", shrink=0.9)
    figure.colorbar(grey, ax=axes[:, : len(volumes)], label="density", shrink=0.9, extend="both" if limits else None)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    scale_bar(axes[0, 0], volumes.shape[-1], pixel_size)
    named = [*labels, *([difference] if difference else [])]
    return describe(figure, f"Central sections across x, y and z (rows) of maps (columns): {', '.join(named)}. {alt}")


def class_surfaces(maps: ArrayLike, labels: Sequence[str], *, level: float, views: ArrayLike, difference: str,
                   alt: str = "") -> Figure:
    """Two maps (2, n, n, n) as surfaces at ``level``, and what the first has more, in colour inside its outline.

    The coloured surface is that of the first map less the second at half of ``level``; ``difference`` is its title.
    views: (V, 3) rot, tilt, psi in degrees, a row for each.  alt: what is to be seen.
    """
    one, other = (np.asarray(density, dtype=float) for density in np.asarray(maps))
    looks = np.atleast_2d(np.asarray(views, dtype=float))
    figure = new_figure(7.2, 2.35 * len(looks))
    axes = figure.subplots(len(looks), 3, squeeze=False)
    for row, view in zip(axes, looks, strict=True):
        whole, left, more = (shaded(density, threshold, view, pixels=120)
                             for density, threshold in ((one, level), (other, level), (one - other, level / 2)))
        y, x = np.nonzero(np.isfinite(whole) | np.isfinite(left))
        for ax, grey in zip(row, (whole, left, whole), strict=True):
            ax.imshow(grey, cmap="gray", vmin=0, vmax=1, alpha=0.3 if ax is row[2] else 1.0)
        row[2].imshow(more, cmap="inferno", vmin=-0.35, vmax=1.3)
        for ax in row:
            ax.set(xlim=(x.min() - 4, x.max() + 4), ylim=(y.max() + 4, y.min() - 4))
        row[0].set_ylabel("rot {:g}°, tilt {:g}°".format(*view[:2]), fontsize=9)
    for ax, title in zip(axes[0], (*labels, difference), strict=True):
        ax.set_title(title, fontsize=9.5)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return describe(figure, f"Surfaces of maps (columns: {', '.join([*labels, difference])}), seen from {len(looks)} "
                            f"sides (rows). {alt}")


def class_and_pose(gamma: ArrayLike, particles: Sequence[str], classes: Sequence[str], *, truth: ArrayLike) -> Figure:
    """Γ (N, K, D) of a few particles over classes (columns) and the D directions of a HEALPix grid, on spheres.

    The two spheres of a particle have one scale.  truth: (N, 2 or more) rot and tilt in degrees of the true directions.
    """
    weights = np.asarray(gamma, dtype=float)
    shares = weights.sum(axis=2)
    titles = [f"{particle}: {name}, sum {share:.2f}" for particle, of_particle in zip(particles, shares, strict=True)
              for name, share in zip(classes, of_particle, strict=True)]
    return posteriors_on_sphere(weights.reshape(-1, weights.shape[2]), titles, columns=len(classes),
                                truth=np.repeat(np.asarray(truth, dtype=float)[:, :2], len(classes), axis=0),
                                highest=np.repeat(weights.max(axis=(1, 2)), len(classes)))


def departure(right: ArrayLike, claimed: ArrayLike, densities: ArrayLike, *, what: str) -> Figure:
    """How K classes part: the share right and claimed (T,) on the left, a density in each map (T, K) on the right.

    what: the density's name, which is 1 in one true map and 0 in the other.
    """
    correct, sure, parts = (np.asarray(a, dtype=float) for a in (right, claimed, densities))
    turns = np.arange(1, len(correct) + 1)
    figure = new_figure(9.2, 3.2)
    left, other = figure.subplots(1, 2)
    _certainty(left, turns, correct, sure)
    left.set(xlabel="iteration", ylabel="share of the particles")
    left.legend(fontsize=8.5, loc="lower right")
    for style, column in zip(LINES, range(parts.shape[1]), strict=False):
        other.plot(turns, parts[:, column], label=f"class {column + 1}", markersize=4, **style)
    for level in (0, 1):
        other.axhline(level, color=FAINT, linestyle=":", linewidth=1)
    other.set(xlabel="iteration", ylabel=what, ylim=(-0.15, 1.15))
    other.legend(fontsize=8.5, loc="center right")
    for ax in (left, other):
        ax.xaxis.get_major_locator().set_params(integer=True)
    ends = ", ".join(f"{parts[0, k]:.2f} to {parts[-1, k]:.2f} in class {k + 1}" for k in range(parts.shape[1]))
    return describe(figure, f"Over {len(turns)} iterations the share of particles in the right class goes from "
                            f"{correct[0]:.2f} to {correct[-1]:.2f}, what the posterior claims from {sure[0]:.2f} to "
                            f"{sure[-1]:.2f}; the {what} from {ends}.")


def certainty(runs: Mapping[str, tuple[ArrayLike, ArrayLike]], *, oracle: float | None = None) -> Figure:
    """The share of particles in the right class, and the one claimed, both (T,), over the iterations; a panel a run.

    oracle: what one who knows the true maps reaches.
    """
    figure = new_figure(4.6 * len(runs), 3.2)
    axes = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    said = []
    for ax, (name, (right, claimed)) in zip(axes, runs.items(), strict=True):
        correct, sure = np.asarray(right, dtype=float), np.asarray(claimed, dtype=float)
        if oracle is not None:
            ax.axhline(oracle, color=FAINT, linestyle=":", linewidth=1.6, label="oracle")
        _certainty(ax, np.arange(1, len(correct) + 1), correct, sure)
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("iteration")
        ax.xaxis.get_major_locator().set_params(integer=True)
        said.append(f"{name}: right from {correct[0]:.2f} to {correct[-1]:.2f}, claimed from {sure[0]:.2f} to "
                    f"{sure[-1]:.2f}")
    axes[0].set_ylabel("share of the particles")
    axes[-1].legend(fontsize=8.5, loc="lower right")
    known = "" if oracle is None else f" The oracle reaches {oracle:.2f}."
    return describe(figure, f"Share of particles in the right class and share claimed. {'; '.join(said)}.{known}")


def _certainty(ax: Axes, turns: ArrayLike, right: ArrayLike, claimed: ArrayLike) -> None:
    ax.plot(turns, right, label="in the right class", markersize=4, **LINES[0])
    ax.plot(turns, claimed, label="claimed by the posterior", markersize=4, **LINES[1])
    ax.set_ylim(0.45, 1.02)


def tables(counts: Sequence[ArrayLike], titles: Sequence[str], *, rows: Sequence[Sequence[str]],
           columns: Sequence[Sequence[str]]) -> Figure:
    """Contingency tables (K, L) side by side: numbers of particles, brighter where there are more.

    rows, columns: for each table, names of its K classes, and of the L classes that they are compared with.
    """
    figure = new_figure(0.6 + 2.9 * len(counts), 0.75 + 0.62 * max(map(len, rows)))
    axes = figure.subplots(1, len(counts), squeeze=False)[0]
    said = []
    for ax, table, title, ours, names in zip(axes, counts, titles, rows, columns, strict=True):
        cells = np.asarray(table, dtype=int)
        ax.imshow(cells, cmap="cividis", vmin=0, vmax=cells.max(), aspect="auto")
        for (k, j), value in np.ndenumerate(cells):
            ax.text(j, k, str(value), ha="center", va="center", fontsize=12,
                    color="black" if value > 0.5 * cells.max() else "white")
        ax.set_xticks(range(len(names)), names, fontsize=9)
        ax.set_yticks(range(len(ours)), ours, fontsize=9)
        ax.set_title(title, fontsize=10)
        lines = (f"{row}: " + ", ".join(f"{v} {n}" for v, n in zip(line, names, strict=True))
                 for row, line in zip(ours, cells, strict=True))
        said.append(f"{title}: {'; '.join(lines)}")
    return describe(figure, f"Numbers of particles. {'. '.join(said)}.")


def reliability(runs: Mapping[str, Sequence[Bin]]) -> Figure:
    """How often the best class is right against the probability that it claims; honest ones lie on the diagonal.

    The numbers are those of the particles in a bin; the bars are one standard error of a share that rests on so many.
    """
    figure = new_figure(5.4, 4.1)
    ax = figure.subplots()
    ax.plot([0.5, 1], [0.5, 1], color=FAINT, linestyle=":", label="honest")
    said = []
    for style, (name, bins) in zip(LINES, runs.items(), strict=False):
        error = [np.sqrt(max(b.right * (1 - b.right), 0.25 / b.count) / b.count) for b in bins]
        ax.errorbar([b.mean for b in bins], [b.right for b in bins], error, label=name, markersize=7, capsize=3,
                    **style)
        for b in bins:
            ax.annotate(str(b.count), (b.mean, b.right), (7, -13), textcoords="offset points", fontsize=9)
        said.append(f"{name}: " + ", ".join(f"{b.mean:.2f} claimed, {b.right:.2f} right" for b in bins))
    ax.set(xlabel="claimed: probability of the best class", ylabel="right: share of these particles")
    ax.set(xlim=(0.48, 1.05), ylim=(0.35, 1.05))
    ax.legend(fontsize=9, loc="upper left")
    return describe(figure, f"Claimed and right, in bins of the claim. {'. '.join(said)}.")


def contents(found: Mapping[int, ArrayLike], names: Sequence[str]) -> Figure:
    """What each class holds, for runs with K classes: K -> table (K, L) of particles; names of the L true classes."""
    figure = new_figure(9.2, 3.3)
    axes = figure.subplots(1, len(found), sharey=True, squeeze=False, width_ratios=[k + 0.6 for k in found])[0]
    said = []
    for ax, (count, table) in zip(axes, found.items(), strict=True):
        cells, bottom = np.asarray(table, dtype=float), np.zeros(count)
        for j, name in enumerate(names):
            ax.bar(range(1, count + 1), cells[:, j], bottom=bottom, label=name, color=FILLS[j], hatch=HATCHES[j],
                   edgecolor="#333333", linewidth=0.6, width=0.72)
            bottom += cells[:, j]
        ax.set_xticks(range(1, count + 1))
        ax.set(xlabel="class", xlim=(0.3, count + 0.7))
        ax.set_title(f"K = {count}", fontsize=10)
        said.append(f"K = {count}: " + "; ".join(
            f"class {k + 1} " + ", ".join(f"{int(v)} {n}" for v, n in zip(row, names, strict=True))
            for k, row in enumerate(cells)))
    axes[0].set_ylabel("particles")
    axes[-1].legend(fontsize=9, loc="upper right")
    return describe(figure, f"What each class holds. {'. '.join(said)}.")


def self_agreement(counts: Sequence[int], judged: Mapping[str, ArrayLike], *, oracle: ArrayLike) -> Figure:
    """The share of particles put right (M,), for data sets of ``counts`` (M,) particles, by kind of judge.

    judged: name of the judge -> (M,).  oracle: (M,) by one who knows the true maps.
    """
    figure = new_figure(6.4, 3.9)
    ax = figure.subplots()
    ax.plot(counts, oracle, color=FAINT, linestyle=":", linewidth=2, label="oracle: the true maps")
    said = [f"the oracle {', '.join(f'{v:.2f}' for v in np.asarray(oracle, dtype=float))}"]
    for style, (name, values) in zip(LINES, judged.items(), strict=False):
        ax.plot(counts, values, label=name, markersize=7, **style)
        said.append(f"{name} {', '.join(f'{v:.2f}' for v in np.asarray(values, dtype=float))}")
    ax.axhline(0.5, color=FAINT, linewidth=0.8)
    ax.annotate("guessing", (counts[0], 0.5), (0, 4), textcoords="offset points", fontsize=8.5)
    ax.set(xscale="log", xlabel="particles in the data set", ylabel="put into the right class", ylim=(0.46, 1.03))
    ax.set_xticks(list(counts), [f"{c:,}" for c in counts])
    ax.minorticks_off()
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(0.0, 0.46))
    return describe(figure, f"Share put into the right class, for {', '.join(map(str, counts))} particles: "
                            f"{'; '.join(said)}.")
