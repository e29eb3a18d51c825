"""Pictures of the aside on the phase problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cryoedu.figures.alignment import LINES
from cryoedu.figures.page import describe, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FLOOR = 1e-5  # errors below are rounding, and differ from machine to machine


def amplitudes_and_phases(density: ArrayLike) -> Figure:
    """A density (n, n), the amplitudes of its Fourier transform (logarithmic) and its phases, frequency 0 central."""
    image = np.asarray(density, dtype=float)
    waves = np.fft.fftshift(np.fft.fft2(image))
    reach = len(image) // 2
    figure = new_figure(9.8, 3.0)
    axes = figure.subplots(1, 3)
    axes[0].imshow(image, cmap="gray")
    axes[0].set(xticks=[], yticks=[])
    axes[0].set_title("density V", fontsize=10)
    for ax, values, table, label, title in (
            (axes[1], np.log10(np.abs(waves) + 1e-3 * np.abs(waves).max()), "cividis", "log₁₀ amplitude",
             "amplitudes |F|: measured"),
            (axes[2], np.degrees(np.angle(waves)), "twilight", "phase (degrees)", "phases ψ: lost")):
        drawn = ax.imshow(values, cmap=table, extent=(-reach, reach, reach, -reach), interpolation="nearest")
        figure.colorbar(drawn, ax=ax, label=label, shrink=0.85)
        ax.set(xlabel="waves across the image", ylabel="waves down the image")
        ax.set_title(title, fontsize=10)
    return describe(figure, "A picture (left), the amplitudes of its waves (middle), strong near the centre and weak "
                            "outside, and their phases (right), in which the eye sees no pattern at all.")


def error_curves(runs: Mapping[str, Sequence[ArrayLike]], *, title: str = "") -> Figure:
    """Error against the iteration on a logarithmic axis: several runs (iterations,) for each method."""
    figure = new_figure(6.8, 3.2)
    ax = figure.subplots()
    said = []
    for style, (name, errors) in zip(LINES, runs.items()):
        for k, run in enumerate(errors):
            track = np.maximum(np.asarray(run, dtype=float), FLOOR)
            ax.plot(np.arange(1, len(track) + 1), track, **{**style, "marker": None, "linewidth": 1.3},
                    label=name if k == 0 else None)
        last = [float(np.asarray(run, dtype=float)[-1]) for run in errors]
        low, high = (f"{v:.2g}" if v >= 1e-3 else "less than 0.001" for v in (min(last), max(last)))
        said.append(f"{name} ends at {low}" + (f" to {high}" if high != low else ""))
    ax.set(yscale="log", xlabel="iteration", ylabel="error", ylim=(0.8 * FLOOR, None))
    ax.text(1.01, FLOOR, "this or\nless", transform=ax.get_yaxis_transform(), fontsize=8, va="center")
    if title:
        ax.set_title(title, fontsize=10)
    ax.legend(fontsize=8.5)
    return describe(figure, f"Error against the iteration, several random starts each: {'; '.join(said)}.")
