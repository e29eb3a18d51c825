"""Pictures of 2D classification: Γ over classes and rotations, several runs, how many classes, what is in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cryoedu.figures.alignment import LINES
from cryoedu.figures.page import describe, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILLS: tuple[dict[str, Any], ...] = (
    {"color": "#0072b2", "hatch": ""}, {"color": "#e69f00", "hatch": "//"}, {"color": "#999999", "hatch": ".."},
    {"color": "#cc79a7", "hatch": "xx"}, {"color": "#009e73", "hatch": "\\\\"})


def posterior_map(gammas: ArrayLike, *, names: Sequence[str], titles: Sequence[str],
                  truth: tuple[int, float]) -> Figure:
    """Γ of one image as maps over class and rotation, side by side: gammas (T, K, R), one for each of ``titles``.

    names: of the classes.  truth: true class and true rotation (degrees), marked in every map.
    """
    maps = np.asarray(gammas, dtype=float)
    step = 360 / maps.shape[2]
    figure = new_figure(9.6, 0.9 + 0.42 * maps.shape[1])
    axes = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
    said = []
    for ax, one, title in zip(axes, maps, titles, strict=True):
        drawn = ax.imshow(one, cmap="cividis", aspect="auto", vmin=0, vmax=one.max(), interpolation="nearest",
                          extent=(-step / 2, 360 - step / 2, len(one) - 0.5, -0.5))
        ax.plot(truth[1], truth[0], "o", markersize=13, markerfacecolor="none", markeredgecolor="#d55e00",
                markeredgewidth=2, label="truth")
        ax.set(xlabel="rotation φ (degrees)", xticks=range(0, 360, 90), yticks=range(len(names)))
        ax.set_title(title, fontsize=10)
        figure.colorbar(drawn, ax=ax, shrink=0.9, label="probability Γ" if ax is axes[-1] else None)
        best = int(one.sum(axis=1).argmax())
        said.append(f"{title}: most probable is class {names[best]} with {one.sum(axis=1)[best]:.2f}, the largest "
                    f"single value is {one.max():.2f}")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylabel("class")
    axes[0].legend(loc="lower left", fontsize=8, markerscale=0.6)
    return describe(figure, f"Probability of each class and rotation for one image; the truth is class "
                            f"{names[truth[0]]} at {truth[1]:.0f}°. {'; '.join(said)}.")


def seed_runs(histories: Mapping[str, ArrayLike]) -> Figure:
    """Several runs of one data set: log L against the round (left), and where they end (right).

    histories: name -> (rounds, 2): log L and the agreement with the truth.
    """
    figure = new_figure(9.6, 3.3)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    runs = {name: np.asarray(h, dtype=float) for name, h in histories.items()}
    best = max(float(h[-1, 0]) for h in runs.values())
    for i, (name, h) in enumerate(runs.items()):
        look = _look(i)
        left.plot(np.arange(1, len(h) + 1), h[:, 0] - best, label=name, markersize=4, **look)
        right.plot(h[-1, 0] - best, h[-1, 1], label=name, markersize=8, linestyle="", marker=look["marker"],
                   color=look["color"])
    lowest = min(float(h[-1, 0]) for h in runs.values()) - best
    left.set(xlabel="round", ylabel="log L − highest log L", ylim=(2.2 * min(lowest, -1.0), -0.08 * min(lowest, -1.0)))
    left.set_title("The likelihood climbs", fontsize=10)
    left.legend(fontsize=8, loc="lower right")
    right.set(xlabel="log L − highest log L, at the end", ylabel="agreement with the truth", ylim=(0.45, 1.04))
    right.set_title("What it is worth", fontsize=10)
    right.margins(x=0.12)
    said = "; ".join(f"{n}: {h[-1, 0] - best:.0f}, agreement {h[-1, 1]:.2f}" for n, h in runs.items())
    return describe(figure, f"Log-likelihood against the round for {len(runs)} runs (left), and agreement with the "
                            f"truth against the final log-likelihood (right). Below the highest at the end: {said}.")


def class_scan(counts: Sequence[int], log_likelihood: ArrayLike, agreement: Mapping[str, ArrayLike],
               shares: Sequence[ArrayLike], per_class: float) -> Figure:
    """What K does: gain in log L (left), agreement with the truth (middle), the classes' shares (right).

    counts: K of each run.  log_likelihood: (runs,).  agreement: name -> (runs,).  shares: (K,) of each run.
    per_class: what one more class gains by explaining noise alone, drawn as a slope from K = 4 on.
    """
    k, value = np.asarray(counts), np.asarray(log_likelihood, dtype=float)
    figure = new_figure(9.8, 3.3)
    a, b, c = figure.subplots(1, 3)
    gain = value - value[0]
    a.plot(k, gain, markersize=5, label="log L", **LINES[0])
    if 4 in k:
        at4 = float(gain[list(k).index(4)])
        more = k[k >= 4]
        a.plot(more, at4 + per_class * (more - 4), color="#222222", linestyle=":", linewidth=1.5,
               label="K = 4, and noise explained")
    a.set(ylabel="log L − log L of K = 1")
    a.set_title("Likelihood", fontsize=10)
    a.legend(fontsize=8, loc="lower right")
    for style, (name, values) in zip(LINES, agreement.items(), strict=False):
        b.plot(k, np.asarray(values, dtype=float), label=name, markersize=5, **style)
    b.set(ylim=(0.3, 1.04))
    b.set_title("Against the truth", fontsize=10)
    b.legend(fontsize=8, loc="lower center")
    from matplotlib import colormaps

    for where, share in zip(k, shares, strict=True):
        bottom = 0.0
        for i, part in enumerate(sorted(np.asarray(share, dtype=float), reverse=True)):
            shade = colormaps["cividis"](0.15 + 0.8 * i / max(k.max() - 1, 1))
            c.bar(where, part, bottom=bottom, width=0.75, color=shade, edgecolor="white", linewidth=0.8)
            bottom += part
    c.set(ylabel="share of the images")
    c.set_title("Classes, the largest below", fontsize=10)
    for ax in (a, b, c):
        ax.set(xlabel="number of classes K", xticks=k)
    said = [f"K = {n}: log L +{g:.0f}, " + ", ".join(f"{name} {np.asarray(v)[i]:.2f}" for name, v in agreement.items())
            + f", smallest class {100 * float(np.min(shares[i])):.1f} %" for i, (n, g) in enumerate(zip(k, gain))]
    return describe(figure, f"Gain in log-likelihood, agreement with the truth and class shares against the number of "
                            f"classes. {'; '.join(said)}.")


def two_options(agreement: Mapping[tuple[str, float], ArrayLike], shares: Mapping[str, ArrayLike],
                true_shares: ArrayLike, *, shares_at: float) -> Figure:
    """maxCC beside ML: agreement with the truth at several SNRs (left), the shares of the classes at one (right).

    agreement: (method, SNR) -> (seeds,).  shares: method -> (K,) at the SNR ``shares_at``, and (K,) of the truth.
    """
    methods = list(dict.fromkeys(m for m, _ in agreement))
    snrs = list(dict.fromkeys(s for _, s in agreement))
    figure = new_figure(9.6, 3.2)
    left, right = figure.subplots(1, 2)
    for i, method in enumerate(methods):
        rows = [np.asarray(agreement[method, s], dtype=float) for s in snrs]
        x = np.arange(len(snrs)) + 0.12 * (i - 0.5)
        left.plot(x, [r.mean() for r in rows], label=f"{method}, mean", markersize=0, **{**_look(i), "marker": None})
        for at, row in zip(x, rows, strict=True):
            left.plot(np.full(len(row), at), row, linestyle="", markersize=7, marker=_look(i)["marker"],
                      color=_look(i)["color"])
    left.set(xticks=range(len(snrs)), xlabel="SNR", ylabel="agreement with the truth", ylim=(0.2, 1.05))
    left.set_xticklabels([f"{s:g}" for s in snrs])
    left.set_title("One mark for each seed", fontsize=10)
    left.legend(fontsize=8)
    bars = {"truth": np.asarray(true_shares, dtype=float), **{m: np.asarray(v, dtype=float) for m, v in shares.items()}}
    wide = 0.8 / len(bars)
    for i, (name, values) in enumerate(bars.items()):
        ordered = np.sort(values)[::-1]
        fill = ({"color": "#999999", "hatch": ".."}, {"color": LINES[0]["color"]},
                {"color": LINES[1]["color"], "hatch": "//"})[i % 3]
        right.bar(np.arange(len(ordered)) + (i - 1) * wide, ordered, width=wide, label=name, edgecolor="white", **fill)
    right.set(xticks=range(len(bars["truth"])), ylabel="share of the images")
    right.set_xticklabels(["largest", *[""] * (len(bars["truth"]) - 2), "smallest"])
    right.set_xlabel("class")
    right.set_title(f"How large are the classes? SNR {shares_at:g}", fontsize=10)
    right.legend(fontsize=8)
    said = [f"{m} at SNR {s:g}: " + " and ".join(f"{v:.2f}" for v in np.asarray(a)) for (m, s), a in agreement.items()]
    sizes = [f"{n}: " + ", ".join(f"{v:.2f}" for v in np.sort(b)[::-1]) for n, b in bars.items()]
    return describe(figure, f"Agreement with the truth (left): {'; '.join(said)}. Shares of the classes at SNR "
                            f"{shares_at:g} (right): {'; '.join(sizes)}.")


def contents(table: ArrayLike, kinds: Sequence[str]) -> Figure:
    """What is in each class: table (K, kinds) of image counts, drawn as one bar of stacked kinds for each class."""
    counts = np.asarray(table, dtype=float)
    figure = new_figure(9.6, 2.9)
    ax = figure.subplots()
    x, bottom = np.arange(len(counts)), np.zeros(len(counts))
    for fill, name, column in zip(FILLS, kinds, counts.T, strict=False):
        ax.bar(x, column, bottom=bottom, width=0.8, label=name, edgecolor="white", linewidth=0.5, **fill)
        bottom += column
    ax.set(xlabel="class", ylabel="images")
    ax.set_xticks(x, [str(k) for k in x + 1])
    ax.legend(fontsize=9)
    said = [f"class {k}: " + ", ".join(f"{int(n)} {name}" for n, name in zip(row, kinds, strict=True) if n)
            for k, row in enumerate(counts, start=1)]
    return describe(figure, f"What is in each class, which only a simulation can tell. {'; '.join(said)}.")


def _look(i: int) -> dict[str, Any]:
    """How to draw run ``i``: four looks, then others that still differ in marker and dash."""
    looks = (*LINES, {"color": "#56b4e9", "marker": "v", "linestyle": (0, (5, 1))},
             {"color": "#222222", "marker": "P", "linestyle": (0, (1, 1))})
    return dict(looks[i % len(looks)])
