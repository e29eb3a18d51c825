"""Pictures of a run: its classes and maps, its spectra, the directions it found, and how it got there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.figures.alignment import LINES, image_grid, scale_bar
from cryoedu.figures.fourier import resolution_axis
from cryoedu.figures.page import describe, new_figure
from cryoedu.validation.fsc import resolution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
VIEWS = ("slice, z", "slice, y", "slice, x", "projection, z", "projection, y", "projection, x")
MOST_MAPS = 20  # drawn in one picture


def class_averages(images: ArrayLike, labels: Sequence[str], *, pixel_size: float, columns: int = 6) -> Figure:
    """2D class averages (K, n, n) in rows of ``columns``, each on its own grey scale under its label."""
    stack = np.asarray(images, dtype=float)
    rows = -(-len(stack) // columns)
    wide = min(columns, len(stack))
    size = 1.5 if len(stack) > 1 else 3.0
    figure = new_figure(size * wide + 0.1, (size + 0.25) * rows)
    for ax in (axes := figure.subplots(rows, wide, squeeze=False)).flat[len(stack):]:
        ax.set_visible(False)
    for ax, image, label in zip(axes.flat, stack, labels):
        low, high = _grey(image)
        ax.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.set_title(label, fontsize=9)
    scale_bar(axes[0, 0], stack.shape[-1], pixel_size)
    return describe(figure, f"Images of what the particles of a class have in common: {'; '.join(labels)}.")


def map_views(maps: ArrayLike, labels: Sequence[str], *, pixel_size: float) -> Figure:
    """Central slices across z, y and x, and projections along them, of maps (K, n, n, n); a row for each."""
    volumes = np.asarray(maps, dtype=float)[:MOST_MAPS]
    middle = volumes.shape[-1] // 2
    grid = []
    for volume in volumes:
        views = [volume[middle], volume[:, middle], volume[:, :, middle], *(volume.sum(axis=a) for a in range(3))]
        grid.append([(np.clip(v, *_grey(v)) - _grey(v)[0]) / (_grey(v)[1] - _grey(v)[0]) for v in views])
    figure = image_grid(grid, rows=list(labels)[:MOST_MAPS], columns=VIEWS, shared_scale="", pixel_size=pixel_size,
                        limits=(0.0, 1.0), size=1.45)
    return describe(figure, f"Central slices and projections of maps: {'; '.join(labels[:MOST_MAPS])}.")


def _grey(image: Floats) -> tuple[float, float]:
    """Black and white: all but the brightest thousandth, so that one hot pixel does not darken the rest."""
    low, high = np.percentile(image, [0.1, 99.9])
    return (float(low), float(high)) if high > low else (float(low) - 1.0, float(low) + 1.0)


def spectra(frequencies: ArrayLike, sigma2: Mapping[str, ArrayLike], tau2: Mapping[str, ArrayLike],
            ssnr: Mapping[str, ArrayLike]) -> Figure:
    """Noise σ² by group and signal τ² by class (left), SSNR by class (right), each (bins,).

    frequencies: (bins,) in 1/Å.  σ² and τ² in units of n⁴, as RELION writes them.
    """
    q = np.asarray(frequencies, dtype=float)[1:]
    figure = new_figure(9.4, 3.6)
    left, right = figure.subplots(1, 2)
    for i, (name, values) in enumerate(sigma2.items()):
        left.plot(q, _positive(values), color="#222222", linewidth=2.2, linestyle=LINES[i % 4]["linestyle"],
                  label=f"noise σ², {name}" if len(sigma2) < 5 else None)
    for style, (name, values) in zip(styles(len(tau2)), tau2.items()):
        left.plot(q, _positive(values), label=f"signal τ², {name}" if len(tau2) < 5 else None, **style)
    said = []
    for style, (name, values) in zip(styles(len(ssnr)), ssnr.items()):
        curve = _positive(values)
        right.plot(q, curve, label=name if len(ssnr) < 5 else None, **style)
        some = curve[np.isfinite(curve)]
        said.append(f"{name}: SSNR from {some.max():.2g} to {some.min():.2g}" if len(some) else f"{name}: no SSNR")
    right.axhline(1, color="#555555", linestyle=":", linewidth=1.4)
    left.set(yscale="log", ylabel="power / n⁴")
    right.set(yscale="log", ylabel="SSNR")
    for ax, curves in ((left, [*sigma2.values(), *tau2.values()]), (right, list(ssnr.values()))):
        resolution_axis(ax)
        top = max((float(np.nanmax(_positive(c), initial=1e-30)) for c in curves), default=1.0)
        low = min((float(np.nanmin(_positive(c), initial=top)) for c in curves), default=top)
        ax.set_ylim(max(low, 1e-6 * top) / 2, 2 * top)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=8)
    return describe(figure, f"Spectra of noise and signal (left) and signal-to-noise ratio (right). {'; '.join(said)}.")


def fsc_curves(frequencies: ArrayLike, curves: Mapping[str, ArrayLike], *, threshold: float = 0.143,
               last: int | None = None) -> Figure:
    """Fourier shell correlations (bins,) by name, against the frequencies (bins,) in 1/Å, from 0 to Nyquist.

    last: shell beyond which they may be chance, as in `cryoedu.validation.fsc.resolution`.
    """
    q = np.asarray(frequencies, dtype=float)[1:]
    figure = new_figure(6.4, 3.6)
    ax = figure.subplots()
    said = []
    marks = [line["marker"] for line in LINES] if len(curves) <= len(LINES) else [None] * len(curves)
    for style, mark, (name, values) in zip(styles(len(curves)), marks, curves.items()):
        curve = np.asarray(values, dtype=float)[1:]
        ax.plot(q, curve, label=name, markersize=3.5, **{**style, "marker": mark})
        read = resolution(values, 0.5 / float(q[-1]), threshold=threshold, last=last)  # between shells, as reported
        said.append(f"{name} stays above {threshold:g}" if read is None
                    else f"{name} falls below {threshold:g} at {read:.1f} Å")
    ax.axhline(threshold, color="#555555", linestyle=":", linewidth=1.4)
    ax.text(1.01, threshold, f"{threshold:g}", transform=ax.get_yaxis_transform(), fontsize=8.5, va="center")
    ax.axhline(0, color="#999999", linewidth=0.8)
    ax.set(ylabel="FSC", ylim=(-0.15, 1.05))
    if len(curves) < 9:
        ax.legend(fontsize=8)
    resolution_axis(ax)
    return describe(figure, f"Fourier shell correlation: {'; '.join(said)}.")


def gain_curve(frequencies: ArrayLike, gain: ArrayLike) -> Figure:
    """The gain (bins,) of what tells classes apart, 0 to 1, against the frequencies (bins,) in 1/Å."""
    q, values = (np.asarray(a, dtype=float)[1:] for a in (frequencies, gain))
    figure = new_figure(6.4, 3.2)
    ax = figure.subplots()
    ax.plot(q, values, **LINES[0])
    ax.set(ylabel="share that is real", ylim=(-0.05, 1.05))
    resolution_axis(ax)
    half = np.flatnonzero(values < 0.5)
    said = f"falls below one half at {1 / q[half[0]]:.1f} Å" if len(half) else "stays above one half"
    return describe(figure, f"Share of the differences between classes that is real: {said}.")


def convergence(history: Mapping[str, ArrayLike]) -> Figure:
    """Log-likelihood, resolution, class weights and changes against the iteration.

    history: columns of run_history.csv, each (iterations,); those of the changes may be missing.
    """
    column = {name: np.asarray(values, dtype=float) for name, values in history.items()}
    turns = column["iteration"]
    weights = {n.removeprefix("class_weight_"): v for n, v in column.items() if n.startswith("class_weight_")}
    figure = new_figure(9.4, 5.6)
    (a, b), (c, d) = figure.subplots(2, 2, sharex=True)
    a.plot(turns, column["log_likelihood"], markersize=4, **{**LINES[0], "linestyle": ""})
    for first in np.flatnonzero(np.diff(column["resolution_angstrom"]) == 0):
        a.plot(turns[first : first + 2], column["log_likelihood"][first : first + 2], color=LINES[0]["color"])
    a.set_title("log-likelihood", fontsize=10)
    b.plot(turns, column["resolution_angstrom"], markersize=4, **LINES[0])
    b.set(ylabel="Å")
    b.set_title("resolution used", fontsize=10)
    if "fsc_resolution_angstrom" in column:
        b.plot(turns, column["fsc_resolution_angstrom"], markersize=4, label="FSC 0.143 between halves", **LINES[1])
        b.legend(fontsize=8)
    if "resolved_angstrom" in column:
        b.plot(turns, column["resolved_angstrom"], markersize=4, label="resolved, the finest map", **LINES[1])
        b.legend(fontsize=8)
    for style, (k, values) in zip(styles(len(weights)), weights.items()):
        c.plot(turns, values, label=f"class {k}" if len(weights) < 5 else None, **{"markersize": 4, **style})
    c.set(ylim=(0, 1.05 * max(float(v.max()) for v in weights.values())))
    c.set_title("class weights", fontsize=10)
    if 1 < len(weights) < 5:
        c.legend(fontsize=8)
    elif len(weights) > 1:
        _name_largest(c, weights, turns[-1])
    changes = (("changed_classes", 100, "particles that changed class, %"),
               ("median_angle_change_degrees", 1, "median change of the orientation, degrees"),
               ("rms_shift_change_angstrom", 1, "change of the shift (rms), Å"))
    for style, (name, factor, label) in zip(LINES, changes):
        if name in column and (len(weights) > 1 or name != "changed_classes"):
            d.plot(turns, factor * column[name], label=label, markersize=4, **style)
    d.set_title("changes from the iteration before", fontsize=10)
    d.set_ylim(0, 1.45 * d.get_ylim()[1])
    if d.get_legend_handles_labels()[0]:
        d.legend(fontsize=8, loc="upper right")
    for ax in (a, b, c, d):
        _iterations(ax, turns)
    c.set_xlabel("iteration")
    d.set_xlabel("iteration")
    said = f"{len(turns)} iterations; the log-likelihood ends at {column['log_likelihood'][-1]:.0f}, the resolution " \
           f"used at {column['resolution_angstrom'][-1]:.1f} Å"
    if "median_angle_change_degrees" in column and len(turns) > 1:
        said += f"; in the last one orientations change by {column['median_angle_change_degrees'][-1]:.1f} degrees " \
                f"(median) and {100 * column['changed_classes'][-1]:.1f} % of the particles change class"
    return describe(figure, f"Convergence: {said}.")


def cost(history: Mapping[str, ArrayLike]) -> Figure:
    """Wall time of each iteration by its parts, and the most memory held until then (columns of run_history.csv)."""
    column = {name: np.asarray(values, dtype=float) for name, values in history.items()}
    turns, total = column["iteration"], column["seconds"]
    figure = new_figure(9.4, 2.9)
    left, right = figure.subplots(1, 2)
    parts = {n.removeprefix("seconds_"): np.nan_to_num(v) for n, v in column.items() if n.startswith("seconds_")}
    parts["files and the rest"] = np.maximum(total - sum(parts.values(), np.zeros(len(total))), 0)
    bottom = np.zeros(len(total))
    for (name, values), colour, hatch in zip(parts.items(), ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#999999"),
                                             ("", "//", "..", "xx", "")):
        left.bar(turns, values, bottom=bottom, label=name, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4)
        bottom += values
    left.set(ylabel="seconds", xlabel="iteration", ylim=(0, 1.35 * float(bottom.max())))
    left.set_title("wall time", fontsize=10)
    left.legend(fontsize=8, ncols=3, loc="upper center")
    for style, (name, label) in zip(LINES, (("peak_memory_mb", "host"), ("peak_gpu_memory_mb", "GPU"))):
        if name in column:
            right.plot(turns, column[name], label=label, markersize=4, **style)
    right.set(ylabel="MB", xlabel="iteration")
    right.set_ylim(0, 1.2 * right.get_ylim()[1])
    right.set_title("peak memory of the process until then", fontsize=10)
    right.legend(fontsize=8, loc="lower right")
    for ax in (left, right):
        _iterations(ax, turns)
    return describe(figure, f"Wall time and memory: {np.nansum(total):.1f} s in all, "
                            f"{np.nanmax(column['peak_memory_mb']):.0f} MB at most.")


def directions(angles: ArrayLike) -> Figure:
    """How often each direction of view was found: angles (N, 3) rot, tilt, psi in degrees on a Mollweide map.

    The number of particles around each direction relative to a uniform distribution, smoothed over `smoothing_width`.
    """
    width = smoothing_width(angles)
    longitude, latitude, density = direction_density(angles, width=width)
    figure = new_figure(7.2, 3.7)
    ax = figure.add_subplot(projection="mollweide")
    drawn = ax.pcolormesh(np.radians(longitude), np.radians(latitude), density, cmap="cividis", vmin=0,
                          vmax=max(2.0, float(density.max())), shading="gouraud", rasterized=True)
    ax.set_xticks(np.radians([-120, -60, 0, 60, 120]), [f"{t}°" for t in (-120, -60, 0, 60, 120)], fontsize=8,
                  color="white")
    ax.set_yticks(np.radians([-60, -30, 0, 30, 60]), ["150°", "120°", "90°", "60°", "30°"], fontsize=8)
    ax.grid(color="white", linewidth=0.5, alpha=0.6)
    ax.set_ylabel("tilt", fontsize=9)
    ax.set_xlabel("rot", fontsize=9)
    figure.colorbar(drawn, ax=ax, label="particles / uniform", shrink=0.75)
    top = np.unravel_index(int(density.argmax()), density.shape)
    return describe(figure, f"Directions of view of {len(np.asarray(angles))} particles, smoothed over {width:.0f}°: "
                            f"most crowded, {density.max():.1f} times a uniform distribution, at rot "
                            f"{longitude[top[1]]:.0f}°, tilt {90 - latitude[top[0]]:.0f}°; least crowded "
                            f"{density.min():.1f} times.")


def smoothing_width(angles: ArrayLike, *, least: float = 10.0) -> float:
    """Degrees over which the directions of ``angles`` (N, 3) are smoothed: not so few that the search grid shows."""
    different = len(np.unique(np.round(_views(angles), 4), axis=0))
    return max(least, 0.6 * float(np.sqrt(4 * np.pi / different) * 180 / np.pi))


def _views(angles: ArrayLike) -> Floats:
    """Unit vectors (N, 3) to where the particles are looked at from."""
    rot, tilt = np.radians(np.asarray(angles, dtype=float)[:, :2]).T
    return np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], axis=1)


def direction_density(angles: ArrayLike, *, width: float = 10.0) -> tuple[Floats, Floats, Floats]:
    """Longitudes (rot), latitudes (90° - tilt) and the density (latitudes, longitudes) of the directions of view.

    Smoothed by a von Mises-Fisher kernel of ``width`` degrees; 1 where they are as frequent as if uniform.
    """
    import healpix

    view = _views(angles)
    nside = 16  # pixels of 3.7°, finer than the kernel
    pixels, counts = np.unique(healpix.vec2pix(nside, *view.T), return_counts=True)
    centres = np.stack(healpix.pix2vec(nside, pixels), axis=1)
    longitude, latitude = np.linspace(-180.0, 180.0, 121), np.linspace(-90.0, 90.0, 61)
    lon, lat = np.radians(longitude)[None, :], np.radians(latitude)[:, None]
    kappa = 1 / np.radians(width) ** 2
    density = np.empty((len(latitude), len(longitude)))
    for row in range(len(latitude)):
        z = np.broadcast_to(np.sin(lat[row]), lon.shape)
        here = np.stack([np.cos(lat[row]) * np.cos(lon), np.cos(lat[row]) * np.sin(lon), z], axis=-1)[0]
        density[row] = np.exp(kappa * (here @ centres.T - 1)) @ counts
    return longitude, latitude, density * 2 * kappa / (1 - np.exp(-2 * kappa)) / len(view)


def styles(count: int) -> list[dict[str, Any]]:
    """How to draw ``count`` lines: each with a dash of its own up to four, then in shades, the first ones darkest."""
    if count <= len(LINES):
        return [{**style, "marker": None} for style in LINES[:count]]
    from matplotlib import colormaps

    return [{"color": colormaps["cividis"](0.9 * i / count), "linewidth": 1.0} for i in range(count)]


def _name_largest(ax: Axes, weights: Mapping[str, Floats], where: float, *, most: int = 6) -> None:
    """Write the numbers of the classes that end largest beside their lines, where there is room."""
    top, taken = ax.get_ylim()[1], np.inf
    for k in sorted(weights, key=lambda k: -weights[k][-1])[:most]:
        height = float(weights[k][-1])
        if taken - height > 0.06 * top:
            ax.annotate(k, (where, height), (4, 0), textcoords="offset points", fontsize=8, va="center")
            taken = height


def _positive(values: ArrayLike) -> Floats:
    """Shells from 1 on, NaN (not drawn) where a logarithm has no place."""
    curve = np.asarray(values, dtype=float)[1:]
    return np.where(curve > 0, curve, np.nan)


def _iterations(ax: Axes, turns: Floats) -> None:
    ax.set_xlim(turns.min() - 0.6, turns.max() + 0.6)
    step = max(1, round(len(turns) / 8))
    ax.set_xticks(turns[step - 1 :: step] if step > 1 else turns)
