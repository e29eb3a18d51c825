"""Why a pile of back-projections is blurred: one point, smeared along many lines, and the waves that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cryoedu.figures.page import describe, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
WIDTH = 1.2  # pixels: standard deviation of the point


def point_smeared(box: int, lines: int) -> Floats:
    """A point in the middle of a picture (box, box), smeared along ``lines`` lines at equal angles and added up."""
    y, x = np.mgrid[:box, :box] - box // 2
    angles = np.arange(lines) * np.pi / lines + 0.3
    return sum(np.exp(-((x * np.cos(a) + y * np.sin(a)) ** 2) / (2 * WIDTH**2)) for a in angles)


def waves(picture: Floats) -> Floats:
    """How strong each wave of a picture (n, n) is: coarse ones in the middle, fine ones outside."""
    return np.abs(np.fft.fftshift(np.fft.fft2(picture)))


def divided(picture: Floats, lines: int) -> Floats:
    """The picture that is left of `point_smeared` when each wave is divided by how often it was counted."""
    box = len(picture)
    y, x = np.mgrid[:box, :box] - box // 2
    point = np.fft.fft2(np.fft.ifftshift(np.exp(-(x**2 + y**2) / (2 * WIDTH**2))))
    pile = np.fft.fft2(np.fft.ifftshift(picture))
    counted = np.maximum((pile / point).real, 0.02 * lines)
    seen = np.fft.ifftshift(np.hypot(x, y) < box / 2)
    return np.fft.fftshift(np.fft.ifft2(seen * pile / counted).real)


def smeared_point(counts: Sequence[int] = (1, 3, 10, 100), *, box: int = 64) -> Figure:
    """A point smeared along ever more lines (above) and its waves (below); last, each wave divided by its count."""
    pictures = {f"{c} line{'s' * (c > 1)}": point_smeared(box, c) for c in counts}
    pictures["… each wave\ndivided by its count"] = divided(point_smeared(box, counts[-1]), counts[-1])
    figure = new_figure(1.75 * len(pictures) + 0.5, 3.9)
    axes = figure.subplots(2, len(pictures))
    for c, (name, picture) in enumerate(pictures.items()):
        axes[0, c].imshow(np.sqrt(np.maximum(picture / picture.max(), 0)), cmap="gray", vmin=0, vmax=1)  # shows halos
        strength = waves(picture)
        axes[1, c].imshow(np.sqrt(strength), cmap="cividis", vmin=0, vmax=np.sqrt(np.quantile(strength, 0.999)))
        axes[0, c].set_title(name, fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("picture", fontsize=10)
    axes[1, 0].set_ylabel("its waves,\ncoarse in the middle", fontsize=9)
    return describe(figure, "One point, smeared along "
                    f"{', '.join(map(str, counts[:-1]))} and {counts[-1]} lines: a star, then a spot with a wide halo. "
                    "Its waves lie on as many spokes, which crowd in the middle, where the coarse waves are. Divided "
                    "by how often each wave was counted, the halo is gone and the point is back.")
