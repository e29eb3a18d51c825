"""Pictures of the experiment: its set-up, the CTF, what averaging does to noise, and how a map comes out of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoedu.figures.alignment import LINES, TRUTH_COLOUR
from cryoedu.figures.page import describe, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
ICE, BEAM, CAMERA = "#cfe8f3", "#d55e00", "#444444"


def set_up(views: ArrayLike, *, pixel_size: float, snr: float = 0.1, seed: int = 0) -> Figure:
    """The experiment from the side (left) and what the camera gives, a micrograph of many dark particles (right).

    views: (P, n, n) clean projections of the particle, P at least 8. pixel_size: Å. snr: of the micrograph's particles.
    """
    images = np.asarray(views, dtype=float)
    figure = new_figure(9.6, 4.4)
    side, camera = figure.subplots(1, 2, width_ratios=(1, 1.05))
    _from_the_side(side, images)
    field, places = micrograph(images, seed=seed)
    clean = images - images.mean(axis=(1, 2), keepdims=True)
    sigma = np.sqrt(clean.var() / snr)
    noisy = np.random.default_rng([seed, 1]).normal(0, sigma, field.shape) - field  # matter scatters electrons away
    camera.imshow(noisy, cmap="gray", vmin=noisy.mean() - 3 * noisy.std(), vmax=noisy.mean() + 3 * noisy.std())
    n = images.shape[-1]
    for y, x in places:
        camera.add_patch(_rectangle((x - 0.5, y - 0.5), n, n, fill=False, edgecolor="#e69f00", linewidth=1.3))
    camera.set(xticks=[], yticks=[])
    camera.set_title(f"What the camera gives: a micrograph. Each box is {n * pixel_size:.0f} Å wide.", fontsize=10)
    return describe(figure, "Left, the experiment from the side: the beam comes from above, goes through a thin layer "
                            "of ice in which the same particle lies many times, each time turned another way, and ends "
                            f"on the camera. Right, the camera's picture: {len(places)} noisy projections of the "
                            "particle, dark on a bright ground, in boxes.")


def micrograph(views: ArrayLike, *, across: int = 4, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """A field of particles that do not overlap, without noise: (across² particles drawn from the views in turn).

    Returns the field (m, m) and the corners (across², 2) of the particles' boxes as y, x.
    """
    images, rng = np.asarray(views, dtype=float), np.random.default_rng(seed)
    n = images.shape[-1]
    free = max(n // 4, 1)
    cell = n + free
    field = np.zeros((across * cell,) * 2)
    corners = np.stack(np.meshgrid(*[np.arange(across) * cell] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    corners = corners + rng.integers(0, free + 1, corners.shape)
    for k, (y, x) in enumerate(corners):
        field[y : y + n, x : x + n] += images[k % len(images)]
    return field, corners


def _from_the_side(ax: Axes, images: Floats) -> None:
    """Source, beam, ice with particles and camera, from above downwards."""
    ax.set(xlim=(0, 10), ylim=(0, 10), xticks=[], yticks=[], aspect="equal")
    ax.set_title("The experiment, seen from the side", fontsize=10)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.add_patch(_rectangle((0.4, 9.0), 9.2, 0.6, facecolor=CAMERA))
    ax.add_patch(_rectangle((0.4, 4.4), 9.2, 2.2, facecolor=ICE, edgecolor="#7fb4cc"))
    ax.add_patch(_rectangle((0.4, 0.9), 9.2, 0.5, facecolor=CAMERA))
    for x in np.linspace(1.45, 8.55, 5):
        ax.annotate("", (x, 1.45), (x, 9.0),
                    arrowprops={"arrowstyle": "-|>", "color": BEAM, "linewidth": 1.2, "alpha": 0.65})
    strong = images / images.max()
    for k, x in enumerate(np.linspace(1.45, 8.55, 5)):
        y = 5.5 + (0.3, -0.25, 0.1, -0.3, 0.2)[k]
        rgba = np.zeros((*images.shape[1:], 4))
        rgba[..., 3] = np.clip(1.4 * strong[k], 0, 1)
        ax.imshow(rgba, extent=(x - 1.0, x + 1.0, y - 1.0, y + 1.0), zorder=3)
    ax.set(xlim=(0, 10), ylim=(0, 10))
    for y, words in ((9.3, "electron source and lenses"), (1.15, "camera")):
        ax.text(5.0, y, words, color="white", fontsize=9, ha="center", va="center")
    ax.text(3.4, 6.7, "a thin layer of ice", fontsize=9, va="bottom")
    ax.text(3.4, 7.9, "the beam, along z", fontsize=9, color=BEAM)
    ax.text(5.0, 3.0, "one kind of particle,\nturned in many unknown ways", fontsize=9, va="center", ha="center",
            bbox={"facecolor": "white", "linewidth": 0, "pad": 3})


def _rectangle(corner: tuple[float, float], width: float, height: float, **style: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, **style)


def transfer(frequencies: ArrayLike, curves: Mapping[str, ArrayLike]) -> Figure:
    """CTFs (bins,) by their defocus, in words, against the spatial frequency (bins,) in 1/Å."""
    q = np.asarray(frequencies, dtype=float)
    figure = new_figure(7.6, 2.9)
    ax = figure.subplots()
    said = []
    for style, (name, values) in zip(LINES, curves.items(), strict=False):
        ctf = np.asarray(values, dtype=float)
        ax.plot(q, ctf, label=name, markevery=max(len(q) // 24, 1), markersize=4, **style)
        turned = np.flatnonzero(np.sign(ctf[1:]) * np.sign(ctf[:-1]) < 0)
        said.append(f"{name}: first zero at {1 / q[turned[0] + 1]:.0f} Å" if len(turned) else f"{name}: no zero")
    ax.axhline(0, color="#555555", linewidth=0.8)
    ax.set(xlabel="spatial frequency (1/Å): coarse on the left, fine on the right", ylabel="CTF", ylim=(-1.08, 1.08),
           xlim=(0, q[-1]))
    ax.legend(title="defocus", fontsize=8, title_fontsize=8, loc="lower left", framealpha=0.9)
    return describe(figure, f"CTF against spatial frequency, by defocus. {'; '.join(said)}.")


def averaging(counts: ArrayLike, measured: ArrayLike, sigma: float) -> Figure:
    """The σ of the noise in averages of ``counts`` (C,) images, ``measured`` (C,), beside σ/√N; logarithmic axes."""
    n, noise = np.asarray(counts, dtype=float), np.asarray(measured, dtype=float)
    figure = new_figure(6.0, 3.1)
    ax = figure.subplots()
    ax.plot(n, sigma / np.sqrt(n), color="#555555", linestyle="--", label="σ / √N")
    ax.plot(n, noise, label="measured", **{**LINES[0], "linestyle": "none"}, markersize=7)
    ax.set(xscale="log", yscale="log", xlabel="N, number of images in the average", ylabel="σ of the noise left")
    ax.set_xticks(n, [f"{v:,.0f}" for v in n])
    ticks = [t for t in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0) if noise.min() / 1.3 < t < noise.max() * 1.3]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=9)
    return describe(figure, f"Noise left in an average of N images, from {noise[0]:.2f} at N = {n[0]:.0f} to "
                            f"{noise[-1]:.2f} at N = {n[-1]:.0f}; the points lie on the line σ/√N.")


def approach(frequencies: ArrayLike, fscs: Sequence[ArrayLike], correlations: ArrayLike,
             known: tuple[ArrayLike, float], shown: Sequence[int]) -> Figure:
    """How a map comes closer to the truth: FSC with the truth (left), correlation with it by iteration (right).

    frequencies: (bins,) in 1/Å. fscs: (bins,) of the start and after each iteration; correlations: as many numbers.
    known: both for the map from the true orientations. shown: the iterations whose FSC is drawn, 0 for the start.
    """
    q, track = np.asarray(frequencies, dtype=float), np.asarray(correlations, dtype=float)
    figure = new_figure(9.6, 3.5)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    for style, k in zip(LINES, shown, strict=False):
        left.plot(q[1:], np.asarray(fscs[k], dtype=float)[1:], markersize=4,
                  label="start" if k == 0 else f"iteration {k}", **style)
    left.plot(q[1:], np.asarray(known[0], dtype=float)[1:], color=TRUTH_COLOUR, linewidth=1.4,
              label="true orientations")
    left.axhline(0.5, color="#555555", linestyle=":", linewidth=1.2)
    left.text(q[1], 0.47, "0.5", fontsize=8, va="top", ha="right")
    ticks = [t for t in (1 / 200, 1 / 100, 1 / 60, 1 / 40, 1 / 30, 1 / 25) if t <= q[-1]]
    left.set_xticks(ticks, [f"{1 / t:.0f}" for t in ticks])
    left.set(xlabel="size of the detail (Å)", ylabel="FSC with the truth", ylim=(-0.15, 1.05))
    left.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, frameon=False, columnspacing=1.2)
    right.plot(track, **LINES[0], markersize=5)
    right.axhline(known[1], color=TRUTH_COLOUR, linewidth=1.4)
    right.text(len(track) - 1, known[1], "true orientations", fontsize=8, va="bottom", ha="right")
    right.set(xlabel="iteration (0: the start)", ylabel="correlation with the truth", xticks=range(len(track)),
              ylim=(min(float(track.min()), known[1]) - 0.03, 1.03))
    return describe(figure, "Left: FSC with the truth falls to one half at finer and finer detail from the start to "
                            f"iteration {shown[-1]}. Right: the correlation with the truth goes from {track[0]:.2f} to "
                            f"{track[-1]:.2f}; with the true orientations it is {known[1]:.2f}.")
