"""The map viewer: slices and projections of maps, and their isosurfaces, side by side and turned together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.figures.surface import shaded
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.page import LiveWidget, module, pixels, raw

MOST_MAPS, LARGEST = 4, 128
LEVELS = 80  # positions of the level's slider
SURFACE = (200, 176, 140)  # pixels on the page of a surface, of one map, of two, of more: all are seen together
COLOURS = (0x3D8FD1, 0xD55E00, 0x009E73, 0xCC79A7)  # as in plots.js
CAMERA = (0, 0, -2.3, 0, 0, 0, 0, -1, 0)  # x to the right, y down and z away, as in a projection
Map = Specimen | NDArray[np.floating]


class MapViewer(LiveWidget):
    """Slices through one voxel, projections, and isosurfaces at one level, for up to four maps.

    The traits can be read and set from Python: ``x``, ``y`` and ``z`` (voxel that the slices go through), ``view``
    (0 slices, 1 projections), ``level`` (of the surface, in σ of each map above its mean), ``rot`` and ``tilt``
    (degrees, the direction that the surfaces are looked at from).
    """

    _esm = module("common.js", "plots.js", "mapviewer.js")
    _css = module("common.css")
    most_open: ClassVar[int] = 2  # a browser draws no more than some sixteen surfaces at a time

    box = traitlets.Int().tag(sync=True)
    pixel_size = traitlets.Float().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    x = traitlets.Int().tag(sync=True)
    y = traitlets.Int().tag(sync=True)
    z = traitlets.Int().tag(sync=True)
    view = traitlets.Int(0).tag(sync=True)
    level = traitlets.Float(2.0).tag(sync=True)
    highest = traitlets.Float().tag(sync=True)
    rot = traitlets.Float(0.0).tag(sync=True)
    tilt = traitlets.Float(0.0).tag(sync=True)
    surface_size = traitlets.Int().tag(sync=True)  # pixels on the page
    _volumes = traitlets.Bytes().tag(sync=True)  # uint8 (M, n, n, n)
    _projections = traitlets.Bytes().tag(sync=True)  # uint8 (M, 3, n, n), along z, y and x
    _scales = traitlets.Bytes().tag(sync=True)  # float32 (M, 2): mean and σ
    _enclosed = traitlets.Bytes().tag(sync=True)  # float32 (M, LEVELS + 1): share of the box above each level
    _plots = traitlets.List(traitlets.Unicode()).tag(sync=True)  # the models of k3d's views
    _surfaces = traitlets.List(traitlets.Unicode()).tag(sync=True)  # and of what they show

    def __init__(self, maps: NDArray[np.float32], **state: Any) -> None:
        import k3d  # type: ignore[import-untyped]

        self._maps = maps
        self._drawn = []
        size = SURFACE[min(len(maps), len(SURFACE)) - 1]
        for volume, colour in zip(maps, COLOURS, strict=False):
            plot = k3d.plot(height=size, menu_visibility=False, grid_visible=False,
                            axes_helper=0.0, camera_fov=30.0, camera_auto_fit=False, camera_no_rotate=True,
                            camera_no_zoom=True, camera_no_pan=True, camera=CAMERA)
            surface = k3d.marching_cubes(volume, level=float(volume.max()), color=colour)
            plot += surface
            self._drawn.append((plot, surface))
        super().__init__(surface_size=size, _plots=[plot.model_id for plot, _ in self._drawn],
                         _surfaces=[surface.model_id for _, surface in self._drawn], **state)

    @traitlets.validate("x", "y", "z", "view")
    def _whole(self, proposal: Any) -> int:
        count = 2 if proposal["trait"].name == "view" else max(self.box, 1)
        return int(np.clip(proposal["value"], 0, count - 1))

    @traitlets.validate("level", "rot", "tilt")
    def _inside(self, proposal: Any) -> float:
        low, high = {"level": (0.0, self.highest), "rot": (0.0, 360.0), "tilt": (0.0, 180.0)}[proposal["trait"].name]
        return float(np.clip(proposal["value"], low, high))

    def close(self) -> None:
        """Free the widget, and the views of its surfaces."""
        from ipywidgets import Widget

        for pair in self._drawn:
            for part in pair:
                Widget.close(part)  # k3d's own close() of a plot leaves it open
        self._drawn = []
        super().close()

    def thresholds(self) -> NDArray[np.float64]:
        """The grey value (M,) of each map at which its surface is drawn now."""
        mean, sigma = np.frombuffer(self._scales, np.float32).reshape(-1, 2).T.astype(float)
        return np.asarray(mean + self.level * sigma)

    def picture(self) -> Picture:
        """The slices or projections and the surfaces as they stand, as a static picture."""
        count, n = len(self.names), self.box
        volumes = np.frombuffer(self._volumes, np.uint8).reshape(count, n, n, n)
        sums = np.frombuffer(self._projections, np.uint8).reshape(count, 3, n, n)
        figure = new_figure(8.4, 2.15 * count + 0.1)
        grid = figure.subplots(count, 4, squeeze=False)
        said = []
        for axes, volume, sum_, density, threshold, name, colour in zip(
                grid, volumes, sums, self._maps, self.thresholds(), self.names, COLOURS, strict=False):
            slices = (volume[self.z], volume[:, self.y], volume[:, :, self.x])
            places = [f"{a} = {v}" for a, v in zip("zyx", (self.z, self.y, self.x), strict=True)]
            for ax, image, title in zip(axes, sum_ if self.view else slices,
                                        ["along z", "along y", "along x"] if self.view else places, strict=False):
                ax.imshow(image, cmap="gray", vmin=0, vmax=255)
                ax.set_title(title, fontsize=8)
            axes[0].set_ylabel(name, fontsize=9)
            light = shaded(density, threshold, (self.rot, self.tilt, 0.0))
            shades = np.array([(colour >> s) & 255 for s in (16, 8, 0)]) / 255
            axes[3].imshow(np.where(np.isfinite(light)[..., None], light[..., None] * shades, 1.0))
            axes[3].set_title(f"surface at {self.level:.1f} σ", fontsize=8)
            said.append(f"{name}, {100 * (density > threshold).mean():.1f} % of the box")
            for ax in axes:
                ax.set(xticks=[], yticks=[])
        what = "Projections along z, y and x" if self.view else f"Slices at z {self.z}, y {self.y}, x {self.x}"
        return show(describe(figure, f"{what}, and surfaces at {self.level:.1f} σ above the mean, seen from rot "
                                     f"{self.rot:.0f}°, tilt {self.tilt:.0f}°. They enclose: {'; '.join(said)}."))


def map_viewer(maps: Map | Sequence[Map], *, pixel_size: float | None = None, names: Sequence[str] = (),
               level: float = 2.0, rot: float = 0.0, tilt: float = 0.0) -> MapViewer:
    """Look at a map, or at up to four of one box side by side.

    maps: specimens or arrays (n, n, n).  pixel_size: Å, needed for arrays.  names: one for each map.
    level: of the surface, in σ of each map above its mean.  rot, tilt: degrees, where the surface is seen from.

    Raises InputError if the maps are not 3D, differ in their box, are more than four or larger than 128 voxels.
    """
    some: list[Any] = [maps] if isinstance(maps, Specimen) or getattr(maps, "ndim", 4) < 4 else list(maps)
    if not 1 <= len(some) <= MOST_MAPS:
        raise InputError(f"{len(some)} maps do not fit beside each other: give 1 to {MOST_MAPS}")
    sizes = {m.pixel_size for m in some if isinstance(m, Specimen)} | ({pixel_size} if pixel_size else set())
    if len(sizes) != 1:
        raise InputError(f"the maps have pixel sizes {sorted(sizes)} Å: give maps of one pixel size, and "
                         "pixel_size=… with arrays")
    found = names or [m.name if isinstance(m, Specimen) else f"map {i + 1}" for i, m in enumerate(some)]
    if len(found) != len(some):
        raise InputError(f"{len(found)} names for {len(some)} maps: give one for each")
    densities = [np.asarray(m.density if isinstance(m, Specimen) else m, dtype=np.float32) for m in some]
    shapes = {d.shape for d in densities}
    shape = shapes.pop()
    if shapes or len(shape) != 3 or len(set(shape)) != 1 or shape[0] > LARGEST:
        raise InputError(f"maps of shape {sorted({d.shape for d in densities})} cannot be shown side by side: give "
                         f"cubic maps of one box of up to {LARGEST} voxels")
    volumes = np.stack(densities)
    if not np.isfinite(volumes).all():
        raise InputError("a map holds NaN or infinite values: replace them first")
    mean, sigma = volumes.mean(axis=(1, 2, 3)), np.maximum(volumes.std(axis=(1, 2, 3)), 1e-30)
    highest = max(float(((volumes.max(axis=(1, 2, 3)) - mean) / sigma).max()), 1.0)
    levels = np.linspace(0, highest, LEVELS + 1)
    enclosed = [[np.mean(v > m + s * at) for at in levels] for v, m, s in zip(volumes, mean, sigma, strict=True)]
    grey = np.stack([pixels(v, *np.percentile(v, [0.1, 99.9])) for v in volumes])
    sums = np.stack([np.stack([pixels(v.sum(axis=a)) for a in range(3)]) for v in volumes])
    middle = shape[0] // 2
    return MapViewer(volumes, box=shape[0], pixel_size=float(sizes.pop()), names=list(found), x=middle, y=middle,
                     z=middle, highest=highest, level=level, rot=rot, tilt=tilt, _volumes=grey.tobytes(),
                     _projections=sums.tobytes(), _scales=raw(np.stack([mean, sigma], axis=1)),
                     _enclosed=raw(enclosed))
