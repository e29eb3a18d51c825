"""The projection viewer: a map turned by hand, and the projection that the engine makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import components, scatter
from cryoedu.microscope.projection import PADDING, transform
from cryoedu.microscope.slices import extract
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.page import LiveWidget, module, pixels

LARGEST = 192  # voxels; the transform of one of these takes half a gigabyte


class ProjectionViewer(LiveWidget):
    """The projection of a map at the angles of three sliders, computed by the kernel for each position.

    The traits ``rot``, ``tilt`` and ``psi`` (degrees) can be read and set from Python.
    """

    _esm = module("common.js", "plots.js", "projection.js")
    _css = module("common.css")

    box = traitlets.Int().tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)
    rot = traitlets.Float(0.0).tag(sync=True)
    tilt = traitlets.Float(0.0).tag(sync=True)
    psi = traitlets.Float(0.0).tag(sync=True)
    _pixels = traitlets.Bytes().tag(sync=True)  # uint8 (n, n)
    _shown = traitlets.List(traitlets.Float()).tag(sync=True)  # the three angles of these pixels

    def __init__(self, density: NDArray[np.floating], **state: Any) -> None:
        self._transform = transform(np.asarray(density, dtype=np.float32)[None])
        self._parts = components(density.shape[0])
        seen = [self._project(density.shape[0], angles) for angles in ((0, 0, 0), (0, 90, 0), (90, 90, 0))]
        self._range = float(np.min(seen)), float(np.max(seen))  # one scale of greys for all directions
        super().__init__(box=density.shape[0], **state)
        self.observe(self._turn, ["rot", "tilt", "psi"])
        self._turn()

    @traitlets.validate("rot", "tilt", "psi")
    def _inside(self, proposal: Any) -> float:
        return float(np.clip(proposal["value"], 0, 180 if proposal["trait"].name == "tilt" else 360))

    def _project(self, box: int, angles: tuple[float, float, float]) -> NDArray[np.float32]:
        parts = self._parts
        columns = extract(self._transform, euler_to_matrix(angles)[None], parts.kx, parts.ky, PADDING)
        return np.asarray(scatter(columns[0], parts)[0], dtype=np.float32)

    def projection(self) -> NDArray[np.float32]:
        """The projection (n, n) at the present angles: grey values added up along the line of sight."""
        return self._project(self.box, (self.rot, self.tilt, self.psi))

    def _turn(self, change: Any = None) -> None:
        with self.hold_sync():  # one message
            self._pixels = pixels(self.projection(), *self._range).tobytes()
            self._shown = [self.rot, self.tilt, self.psi]

    def picture(self) -> Picture:
        """The projection as it stands, as a static picture."""
        figure = new_figure(3.6, 3.6)
        ax = figure.subplots()
        ax.imshow(np.frombuffer(self._pixels, np.uint8).reshape(self.box, self.box), cmap="gray", vmin=0, vmax=255)
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"rot {self.rot:.0f}°, tilt {self.tilt:.0f}°, psi {self.psi:.0f}°", fontsize=9)
        return show(describe(figure, f"The projection of {self.name} at rot {self.rot:.0f}, tilt {self.tilt:.0f} and "
                                     f"psi {self.psi:.0f} degrees, white where there is mass."))


def projection_viewer(specimen: Specimen, *, rot: float = 0.0, tilt: float = 0.0, psi: float = 0.0) -> ProjectionViewer:
    """Turn a 3D specimen by its three Euler angles (degrees) and watch its projection.

    Raises InputError if the specimen is not 3D, or is larger than 192 voxels.
    """
    if specimen.ndim != 3 or specimen.box > LARGEST:
        raise InputError(f"{specimen.name}: the projection viewer takes a 3D specimen of up to {LARGEST} voxels, but "
                         f"this one has {specimen.ndim} dimensions and {specimen.box}: take another, or resample it")
    return ProjectionViewer(specimen.density, name=specimen.name, rot=rot, tilt=tilt, psi=psi)
