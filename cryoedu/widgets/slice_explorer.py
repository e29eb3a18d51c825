"""The projection-slice explorer: a plane turned through the transform of a map, beside the projection that it equals.

Below, what many such planes fill, and what the map looks like if nothing else is known. The browser computes all of it
from arrays that are sent once; here it is computed once more, for the static picture, by the engine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.filling import VIEWS, reached, views
from cryoedu.geometry.fourier import components, fourier, inverse, scatter
from cryoedu.microscope.projection import PADDING, transform
from cryoedu.microscope.realspace import project_by_sums
from cryoedu.microscope.slices import extract
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.page import LiveWidget, cividis, module, raw

Floats = NDArray[np.float64]
MOST = 300  # slices
DECADES = 4.0  # of amplitude that the colours span
NEVER = 65535


class SliceExplorer(LiveWidget):
    """A slice of a map's transform and the projection that it is, and how many slices fill space.

    The traits can be read and set from Python: ``rot`` and ``tilt`` (degrees) of the plane, ``slices`` (how many are
    taken, up to 300) and ``kind`` (which views: 0 from all sides, 1 from the top, 2 a tilt series).
    """

    _esm = module("common.js", "plots.js", "slice_explorer.js")
    _css = module("common.css")

    box = traitlets.Int().tag(sync=True)
    pixel_size = traitlets.Float().tag(sync=True)
    rot = traitlets.Float(30.0).tag(sync=True)
    tilt = traitlets.Float(60.0).tag(sync=True)
    slices = traitlets.Int(3).tag(sync=True)
    kind = traitlets.Int(0).tag(sync=True)
    _kinds = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _map = traitlets.Bytes().tag(sync=True)  # float32 (n, n, n)
    _padded = traitlets.Bytes().tag(sync=True)  # float32 (2n, 2n, n + 1, 2): ready for slices
    _whole = traitlets.Bytes().tag(sync=True)  # float32 (n, n, n//2 + 1, 2): of the map as it is
    _first = traitlets.Bytes().tag(sync=True)  # uint16 (kinds, n, n, n): the first slice to reach a component
    _directions = traitlets.Bytes().tag(sync=True)  # float32 (kinds, 300, 3): of the views
    _cividis = traitlets.Bytes().tag(sync=True)

    @traitlets.validate("rot", "tilt")
    def _turned(self, proposal: Any) -> float:
        return float(proposal["value"]) % 360 if proposal["trait"].name == "rot" else _clip(proposal["value"], 0, 180)

    @traitlets.validate("slices", "kind")
    def _counted(self, proposal: Any) -> int:
        return int(_clip(proposal["value"], 0, MOST if proposal["trait"].name == "slices" else len(VIEWS) - 1))

    def look(self) -> dict[str, Floats]:
        """``slice`` (n, n), log10 of its amplitude; ``from_slice`` and ``by_sums`` (n, n), the projection made in both
        ways; ``reached`` (n, n), the plane of k_x and k_z, and ``section`` (n, n), x and z, of the map that the slices
        give; ``share`` (n//2,), of each shell that they reach."""
        n, pose = self.box, [self.rot, self.tilt, 0.0]
        density = np.frombuffer(self._map, np.float32).reshape(n, n, n)
        half = transform(density[None])
        k = np.arange(n) - n // 2
        kx, ky = np.meshgrid(k, k)
        inside = kx**2 + ky**2 < (n // 2) ** 2
        rotation = euler_to_matrix([pose])
        plane = np.full((n, n), -np.inf)
        plane[inside] = np.log10(np.abs(extract(half, rotation, kx[inside], ky[inside], PADDING)[0, 0]) + 1e-30)
        parts = components(n)
        first = np.frombuffer(self._first, np.uint16).reshape(len(VIEWS), n, n, n)[self.kind]
        filled = first < self.slices
        kept = np.fft.ifftshift(filled)[..., : n // 2 + 1]
        shell = np.rint(np.sqrt(np.sum(np.stack(np.meshgrid(k, k, k)) ** 2, axis=0))).astype(int)
        return {"slice": plane, "by_sums": project_by_sums(density, pose, order=1)[0],
                "from_slice": scatter(extract(half, rotation, parts.kx, parts.ky, PADDING)[0], parts)[0],
                "reached": filled[:, n // 2].astype(float),
                "section": inverse(fourier(density, 3) * kept, 3)[:, n // 2],
                "share": np.array([filled[shell == s].mean() for s in range(n // 2)])}

    def picture(self) -> Picture:
        """The explorer as it stands, as a static picture."""
        now, name = self.look(), self._kinds[self.kind]
        figure = new_figure(9.6, 5.2)
        axes = figure.subplots(2, 3)
        top = np.log10(np.abs(np.frombuffer(self._map, np.float32).sum()))
        shown = (("slice", "slice: amplitude", "cividis", (top - DECADES, top)),
                 ("from_slice", "the slice, transformed back", "gray", None),
                 ("by_sums", "projection by adding up", "gray", None),
                 ("reached", f"reached by {self.slices} slices", "cividis", (0, 1)),
                 ("section", "the map from them, cut x–z", "gray", None))
        for ax, (key, title, colours, limits) in zip(axes.flat, shown, strict=False):
            values = now[key]
            low, high = limits or (values.mean() - 3 * values.std(), values.mean() + 3 * values.std())
            ax.imshow(np.maximum(values, low), cmap=colours, vmin=low, vmax=high, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.set_title(title, fontsize=10)
        axes[1, 2].plot(100 * now["share"], color="#0072b2", marker="o", markersize=3)
        axes[1, 2].set(xlabel="shell", ylabel="reached (%)", ylim=(0, 105))
        alike = np.corrcoef(now["from_slice"].ravel(), now["by_sums"].ravel())[0, 1]
        return show(describe(figure, f"Projection-slice explorer at rot {self.rot:.0f}°, tilt {self.tilt:.0f}°: the "
                                     f"slice, the projection made from it, and the projection made by adding up; their "
                                     f"correlation is {alike:.3f}. Below, the part of Fourier space that {self.slices} "
                                     f"slices reach ({name}), a cut through the map made from them, and the share of "
                                     f"each shell, {100 * now['share'][-1]:.0f} % of the last."))


def slice_explorer(specimen: Specimen, *, slices: int = 3) -> SliceExplorer:
    """The explorer for a 3D specimen.  slices: how many are taken at the start.

    Raises InputError if the specimen is not 3D, or has more than 64 pixels: the browser gets all of its transform.
    """
    n = specimen.box
    if specimen.ndim != 3 or n > 64:
        raise InputError(f"{specimen.name}: the explorer takes a 3D specimen of up to 64 pixels, but this one has "
                         f"{specimen.ndim} dimensions and {n} pixels: resample it")
    density = specimen.density.astype(np.float32)
    first = np.full((len(VIEWS), n, n, n), NEVER, dtype=np.uint16)
    directions = np.empty((len(VIEWS), MOST, 3))
    for k, name in enumerate(VIEWS):
        rotations = euler_to_matrix(views(name, MOST))
        directions[k] = rotations[:, 2]
        for s in range(MOST - 1, -1, -1):
            first[k][reached(n, rotations[s])] = s
    return SliceExplorer(box=n, pixel_size=specimen.pixel_size, slices=slices, _map=raw(density),
                         _padded=_pairs(transform(density[None])[0]), _whole=_pairs(fourier(density, 3)),
                         _first=first.astype("<u2").tobytes(), _directions=raw(directions), _cividis=cividis(),
                         _kinds=list(VIEWS.values()))


def _pairs(values: NDArray[Any]) -> bytes:
    return raw(np.stack([values.real, values.imag], axis=-1))


def _clip(value: Any, low: float, high: float) -> float:
    return float(min(max(value, low), high))
