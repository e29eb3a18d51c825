"""Refinements from several starts: where each of them goes, seen in the frame of the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.figures.alignment import LINES
from cryoedu.figures.page import describe, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cryoedu.inference.model import Iteration

Floats = NDArray[np.float64]
ALIGN_TO = 60.0  # Å: enough to find a frame
ARRIVED, LOST = 60.0, 90.0  # Å: where FSC = 0.5 with the truth calls a map found, or lost
STYLES = (*LINES, {"color": "#e69f00", "marker": "v", "linestyle": (0, (6, 2))},
          {"color": "#777777", "marker": "x", "linestyle": (0, (1, 1))},
          {"color": "#56b4e9", "marker": "*", "linestyle": (0, (3, 1, 1, 1))})


@dataclass(frozen=True)
class Track:
    """One refinement, iteration by iteration; T of them, each with the map that it began with.

    maps: (T, n, n, n), turned onto the truth as the last one fits it best, in the hand that fits it better.
    log_likelihood: (T,) of these maps; NaN while fewer shells or fewer particles were looked at than at the end, or
        each part of the particles was compared with a map of its own: that would be the likelihood of something else.
    sharpness: (T,) mean over the particles of the largest Γ; NaN where each particle was given one pose outright, which
        says nothing of how sure it is.
    fsc: (T, n//2 + 1) with the truth.  resolution: (T,) Å where that falls below 0.5; Nyquist's at most.
    numbers: (T,) of the iterations.  mirrored: whether the other hand fits better.
    """

    maps: NDArray[np.float32]
    log_likelihood: Floats
    sharpness: Floats
    fsc: Floats
    resolution: Floats
    numbers: NDArray[np.int64]
    mirrored: bool


def track(iterations: Sequence[Iteration], truth: ArrayLike, pixel_size: float, *, diameter: float) -> Track:
    """What became of a start: ``iterations`` of `refine` or of a stochastic method against ``truth`` (n, n, n).

    diameter: Å of the sphere in which maps are compared. Takes about a second for the alignment.
    Raises InputError if there are no iterations.
    """
    from cryoedu.geometry.masks import soft_sphere
    from cryoedu.geometry.turning import mirrored, turned
    from cryoedu.validation.alignment import align_maps
    from cryoedu.validation.fsc import fsc, resolution

    if not iterations:
        raise InputError("there is nothing to follow: give at least one iteration")
    true = np.asarray(truth, dtype=np.float32)
    mask = soft_sphere(len(true), pixel_size, diameter)
    found = align_maps(iterations[-1].before.maps[0], true, pixel_size, diameter=diameter, resolution=ALIGN_TO)
    maps = np.stack([turned(mirrored(m) if found.mirrored else m, found.rotation, found.shift, pixel_size=pixel_size)
                     for m in (i.before.maps[0] for i in iterations)])
    curves = np.stack([fsc(m, true, mask=mask) for m in maps])
    reached = np.array([resolution(c, pixel_size, threshold=0.5) or 2 * pixel_size for c in curves])
    seen = [i.posterior.max_probability[i.posterior.max_probability > 0] for i in iterations]
    last, size = iterations[-1].radius, len(iterations[-1].posterior.max_probability)
    comparable = [i.radius == last and len(i.posterior.max_probability) == size and not i.folds for i in iterations]
    climb = np.where(comparable, [i.log_likelihood for i in iterations], np.nan)
    return Track(maps, climb, np.array([np.nan if (s == 1).all() else float(s.mean()) for s in seen]),
                 curves, reached, np.array([i.number for i in iterations]), found.mirrored)


def verdict(resolution: float) -> str:
    """What a resolution in Å against the truth means here, in a word or two."""
    return "arrived" if resolution < ARRIVED else "half-way" if resolution < LOST else "lost"


def how_sure(sharpness: float) -> str:
    """A mean largest Γ in words; NaN is that of particles which were given one pose each."""
    if np.isnan(sharpness):
        return "each particle has one pose"
    return f"mean largest probability {sharpness:.1f} (to ±0.1)"


def below(run: Track, best: float) -> float:
    """How many thousand the end of a run lies below the log-likelihood ``best``."""
    return abs(best - float(run.log_likelihood[-1])) / 1000


def best_log_likelihood(tracks: Mapping[str, Track]) -> float:
    """The highest log-likelihood that any of the runs reached. Raises InputError if none can be compared."""
    reached = [float(np.nanmax(t.log_likelihood)) for t in tracks.values() if np.isfinite(t.log_likelihood).any()]
    if not reached:
        raise InputError("none of these runs has a log-likelihood that can be compared: let each end with refine")
    return max(reached)


def sections(density: ArrayLike) -> NDArray[np.float32]:
    """Central sections (3, n, n) of a map (n, n, n): across z, across y, across x."""
    volume = np.asarray(density, dtype=np.float32)
    middle = len(volume) // 2
    return np.stack([volume[middle], volume[:, middle], volume[:, :, middle]])


def shells_compared(density: ArrayLike, truth: ArrayLike, *, pixel_size: float, diameter: float,
                    chosen: Sequence[int] = (2, 4, 6, 8)) -> Figure:
    """What the FSC compares: central sections of a map (above) and of the truth (below), whole and shell by shell.

    chosen: the shells that are shown; each with the FSC there, inside a sphere of ``diameter`` Å.
    """
    from cryoedu.geometry.fourier import fourier, inverse, shells
    from cryoedu.geometry.masks import soft_sphere
    from cryoedu.validation.fsc import fsc

    maps = [np.asarray(m, dtype=np.float32) for m in (density, truth)]
    box = len(maps[0])
    mask, shell = soft_sphere(box, pixel_size, diameter), shells(box, 3)
    curve = fsc(*maps, mask=mask)
    figure = new_figure(1.65 * (1 + len(chosen)) + 0.4, 3.6)
    axes = figure.subplots(2, 1 + len(chosen))
    for row, (volume, name) in enumerate(zip(maps, ("the map", "the truth"), strict=True)):
        transform = fourier(volume * mask, 3)
        parts = [volume * mask, *(inverse(transform * (shell == s), 3) for s in chosen)]
        for ax, part in zip(axes[row], parts, strict=True):
            section = part[box // 2]
            ax.imshow(section, cmap="gray", vmin=-3 * section.std(), vmax=3 * section.std())
            ax.set(xticks=[], yticks=[])
        axes[row, 0].set_ylabel(name, fontsize=10)
    axes[0, 0].set_title("all detail", fontsize=9)
    said = []
    for ax, s in zip(axes[0, 1:], chosen, strict=True):
        size = box * pixel_size / s
        ax.set_title(f"only {size:.0f} Å\nFSC {curve[s]:.2f}", fontsize=9)
        said.append(f"{size:.0f} Å: FSC {curve[s]:.2f} (to ±0.02)")
    return describe(figure, "Central sections of a map and of the truth, with all detail and with that of one size "
                            f"only, and how well they agree there. {'; '.join(said)}.")


def starts_and_ends(tracks: Mapping[str, Track], truth: ArrayLike, *, pixel_size: float, section: int = 0) -> Figure:
    """A central section of each start (above) and of where it ended (below), the truth at the right of both."""
    from cryoedu.figures.alignment import scale_bar

    names = [*tracks, "the truth"]
    true = sections(truth)[section]
    figure = new_figure(1.5 * len(names) + 0.3, 3.7)
    axes = figure.subplots(2, len(names), squeeze=False)
    for r, (which, label) in enumerate(((0, "start"), (-1, "end"))):
        for c, name in enumerate(names):
            ax, image = axes[r, c], true if name not in tracks else sections(tracks[name].maps[which])[section]
            ax.imshow(image, cmap="gray", vmin=image.mean() - 3 * image.std(), vmax=image.mean() + 3 * image.std())
            ax.set(xticks=[], yticks=[])
            if r == 0:
                ax.set_title(name.replace(", ", ",\n"), fontsize=9)
            if name in tracks:
                ax.set_xlabel(f"FSC 0.5 at {tracks[name].resolution[which]:.0f} Å", fontsize=8)
        axes[r, 0].set_ylabel(label, fontsize=10)
    scale_bar(axes[0, 0], true.shape[-1], pixel_size)
    said = "; ".join(f"{name}: {verdict(float(t.resolution[-1]))}" for name, t in tracks.items())
    return describe(figure, "Central sections of maps at the start (above) and at the end (below), and of the truth, "
                            f"with the resolution at which their FSC with the truth falls below 0.5. {said}.")


def tracks_of_starts(tracks: Mapping[str, Track], *, pixel_size: float, reach: float | None = None) -> Figure:
    """Log-likelihood (left) and sharpness (middle) against the iteration, FSC of the ends with the truth (right).

    reach: how far below the best log-likelihood the axis goes (default: as far as the lines do).
    """
    figure = new_figure(9.6, 3.3)
    left, middle, right = figure.subplots(1, 3)
    best, said = best_log_likelihood(tracks), []
    for style, (name, t) in zip(STYLES, tracks.items(), strict=False):
        drawn = {"markersize": 3.5, "linewidth": 1.3, **style}
        left.plot(t.numbers, (t.log_likelihood - best) / 1000, label=name, **drawn)
        middle.plot(t.numbers, t.sharpness, **drawn)
        frequency = np.arange(1, t.fsc.shape[1]) / (2 * (t.fsc.shape[1] - 1) * pixel_size)
        right.plot(frequency, t.fsc[-1, 1:], **drawn)
        said.append(f"{name}: ends {below(t, best):.0f} thousand (to ±1) below the best log-likelihood, "
                    f"{how_sure(float(t.sharpness[0]))} at first, {verdict(float(t.resolution[-1]))}")
    left.set(xlabel="iteration", ylabel="log L, thousands below the best")
    if reach is not None:
        left.set_ylim(-reach / 1000, 0.04 * reach / 1000)
    middle.set(xlabel="iteration", ylabel="mean of the largest Γ", ylim=(-0.03, 1.03))
    right.axhline(0.5, color="#555555", linestyle=":", linewidth=1.2)
    right.set(ylabel="FSC with the truth", xlabel="resolution (Å)", ylim=(-0.25, 1.05), xlim=(0, None))
    ticks = [t for t in right.get_xticks() if 0 < t <= right.get_xlim()[1]]
    right.set_xticks(ticks, [f"{1 / t:.0f}" for t in ticks])
    left.set_title("The likelihood climbs", fontsize=10)
    middle.set_title("How sure the particles are", fontsize=10)
    right.set_title("Where they ended", fontsize=10)
    left.legend(fontsize=7.5, loc="lower right")
    for ax in (left, middle):
        ax.xaxis.get_major_locator().set_params(integer=True)
    return describe(figure, "Log-likelihood (left) and mean largest probability (middle) against the iteration, "
                            f"Fourier shell correlation of the ends with the truth (right). {'; '.join(said)}.")


def rates(table: Mapping[str, tuple[float, float]]) -> Figure:
    """Success rates with their spreads, one bar for each method: (rate, standard deviation) by name."""
    names, values = list(table), np.array(list(table.values()))
    figure = new_figure(7.2, 0.36 * len(names) + 0.8)
    ax = figure.subplots()
    places = np.arange(len(names))[::-1]
    ax.errorbar(values[:, 0], places, xerr=values[:, 1], fmt="o", color="#0072b2", capsize=4, markersize=6)
    ax.set_yticks(places, names, fontsize=9)
    ax.set(xlim=(0, 1), ylim=(-0.6, len(names) - 0.4), xlabel="success rate, mean ± standard deviation")
    ax.grid(axis="x", color="#cccccc", linewidth=0.6)
    said = "; ".join(f"{name}: {rate:.2f} ± {spread:.2f}" for name, (rate, spread) in table.items())
    return describe(figure, f"Success rates with their spreads. {said}.")
