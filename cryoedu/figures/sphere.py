"""Pictures over all directions: which ones a search tries, and what a particle says about them.

The sphere is drawn on a Mollweide map, which keeps areas: rot runs along the equator, tilt from the top (0°) to the
bottom (180°). Directions are those of HEALPix in its nested order, as `search_3d` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.errors import InputError
from cryoedu.figures.page import describe, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
AXES = "→ rot, −180° to 180°; ↓ tilt, 0° to 180°"


def search_grids(orders: Sequence[int]) -> Figure:
    """The directions of HEALPix grids of these ``orders``, one map for each."""
    import healpix

    figure = new_figure(3.2 * len(orders), 2.3)
    said = []
    for ax, order in zip(_maps(figure, len(orders)), orders, strict=True):
        nside = 2**order
        rot, latitude = healpix.pix2ang(nside, np.arange(12 * nside**2), nest=True, lonlat=True)
        ax.plot(np.radians(_wrapped(rot)), np.radians(latitude), "o", color="#0072b2", clip_on=False,
                markersize=6 / (order + 1) ** 0.7)
        ax.set_title(f"order {order}: {len(rot)} directions, {60 / nside:g}° apart", fontsize=9)
        ax.set_xlabel(AXES, fontsize=7.5)
        said.append(f"order {order}: {len(rot)} directions about {60 / nside:g} degrees apart")
    return describe(figure, f"Directions of view on Mollweide maps of the sphere, evenly spread. {'; '.join(said)}.")


def posteriors_on_sphere(probabilities: ArrayLike, titles: Sequence[str], *, truth: ArrayLike | None = None,
                         columns: int = 3, highest: ArrayLike | None = None) -> Figure:
    """Probabilities (M, D) of the D directions of a HEALPix grid, one map for each of ``titles``, each to its scale.

    truth: rot and tilt in degrees of the true direction, (2,) or one for each map (M, 2): a white triangle; the most
    probable one is a white ring. highest: (M,) ends of the scales, where they are not the maps' own highest values.
    Raises InputError if D is no HEALPix grid.
    """
    values = np.atleast_2d(np.asarray(probabilities, dtype=float))
    places = None if truth is None else np.broadcast_to(np.asarray(truth, dtype=float)[..., :2], (len(values), 2))
    tops = values.max(axis=1) if highest is None else np.asarray(highest, dtype=float)
    rows = -(-len(values) // columns)
    figure = new_figure(3.25 * columns, 2.6 * rows + 0.3)
    axes, said = _maps(figure, len(values), columns), []
    for i, (ax, row, title, top) in enumerate(zip(axes, values, titles, tops, strict=True)):
        rot, latitude, picture = on_map(row)
        drawn = ax.pcolormesh(np.radians(rot), np.radians(latitude), picture, cmap="cividis", vmin=0, vmax=top,
                              rasterized=True)
        ax.grid(visible=False)
        best = direction_of(int(row.argmax()), len(row))
        ax.plot(*_point(best), "o", color="white", markersize=9, markerfacecolor="none", markeredgewidth=1.6,
                label="most probable")
        words = f"{title}: most probable, with {row.max():.2g}, is rot {best[0]:.0f}°, tilt {best[1]:.0f}°"
        if places is not None:
            ax.plot(*_point(places[i]), "^", color="white", markersize=6, markeredgecolor="#222222", label="true")
            words += f", {angle_between(best, places[i]):.0f}° from the truth"
        ax.set_title(title, fontsize=9.5)
        ax.set_xlabel(AXES, fontsize=7.5)
        bar = figure.colorbar(drawn, ax=ax, orientation="horizontal", shrink=0.62, aspect=28, pad=0.03)
        bar.set_ticks([0, float(top)], labels=["0", f"{top:.2g}"], fontsize=8)
        bar.set_label("probability", fontsize=8, labelpad=-9)
        said.append(words)
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, ncols=2, loc="outside lower center",
                  facecolor="#555555", labelcolor="white")
    return describe(figure, "Probability of each direction of view, on Mollweide maps of the sphere; the scale of each "
                            f"runs from 0 to {'its highest value' if highest is None else 'a given one'}. "
                            f"{'. '.join(said)}.")


def on_map(values: ArrayLike, *, width: int = 240, height: int = 120) -> tuple[Floats, Floats, Floats]:
    """Longitudes (rot, -180 to 180), latitudes (90 - tilt) and a picture (height, width) of ``values`` (D,) there."""
    import healpix

    row = np.asarray(values, dtype=float)
    nside = _nside(len(row))
    rot = (np.arange(width) + 0.5) * 360 / width - 180
    latitude = (np.arange(height) + 0.5) * 180 / height - 90
    lon, lat = np.meshgrid(rot, latitude)
    return rot, latitude, row[healpix.ang2pix(nside, lon, lat, nest=True, lonlat=True)]


def direction_of(index: int, count: int) -> tuple[float, float]:
    """rot and tilt in degrees of direction ``index`` of a HEALPix grid of ``count`` directions."""
    import healpix

    rot, latitude = healpix.pix2ang(_nside(count), index, nest=True, lonlat=True)
    return float(rot), 90 - float(latitude)


def angle_between(one: ArrayLike, other: ArrayLike) -> float:
    """Degrees between two directions, each (rot, tilt) in degrees."""
    def vector(direction: ArrayLike) -> Floats:
        rot, tilt = np.radians(np.asarray(direction, dtype=float)[:2])
        return np.array([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)])

    return float(np.degrees(np.arccos(np.clip(vector(one) @ vector(other), -1, 1))))


def _nside(count: int) -> int:
    nside = round((count / 12) ** 0.5)
    if count != 12 * nside**2 or nside & (nside - 1):
        raise InputError(f"{count} values are no HEALPix grid: give 12, 48, 192, 768, … of them")
    return nside


def _maps(figure: Figure, count: int, columns: int | None = None) -> list[Axes]:
    columns = columns or count
    rows = -(-count // columns)
    made = [figure.add_subplot(rows, columns, i + 1, projection="mollweide") for i in range(count)]
    for ax in made:
        ax.set_xticks(np.radians([-120, -60, 0, 60, 120]), [])
        ax.set_yticks(np.radians([-60, -30, 0, 30, 60]), [])
        ax.grid(color="#999999", linewidth=0.4)
    return made


def _wrapped(rot: ArrayLike) -> Floats:
    return (np.asarray(rot, dtype=float) + 180) % 360 - 180


def _point(direction: ArrayLike) -> tuple[float, float]:
    rot, tilt = np.asarray(direction, dtype=float)[:2]
    return float(np.radians(_wrapped(rot))), float(np.radians(90 - tilt))
