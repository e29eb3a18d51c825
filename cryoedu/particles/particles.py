"""The data: particle images with what is known of each.

`Particles` is one table. Images may be an array in memory or an `ImageStack` that reads its images from
disk when they are asked for; both give float32 blocks through ``particles.images[rows]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.images import Images, taken

ISOTROPIC = ((1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True)
class Optics:
    """One optics group: what all particles of one microscope session share."""

    pixel_size: float  # Å
    voltage: float = 300.0  # kV
    spherical_aberration: float = 2.7  # mm
    amplitude_contrast: float = 0.1
    name: str = "opticsGroup1"
    ctf_premultiplied: bool = False  # images were multiplied by their CTF already
    beam_tilt: tuple[float, float] = (0.0, 0.0)  # mrad, along x and y
    odd_zernike: tuple[float, ...] = ()  # radians, in RELION's order: see `cryoedu.microscope.aberrations`
    even_zernike: tuple[float, ...] = ()
    magnification: tuple[tuple[float, float], tuple[float, float]] = ISOTROPIC  # anisotropic: RELION's M
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)  # further STAR columns, written back untouched

    def __post_init__(self) -> None:
        for name in ("beam_tilt", "odd_zernike", "even_zernike"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        object.__setattr__(self, "magnification", tuple(tuple(map(float, row)) for row in self.magnification))
        if not abs(np.linalg.det(self.magnification)) > 0.1:
            raise InputError(f"optics group {self.name}: a magnification of {self.magnification} flattens the images: "
                             "correct rlnMagMat00 to rlnMagMat11")


@dataclass(frozen=True)
class CTFParameters:
    """What the microscope did to each particle; every array has shape (N,)."""

    defocus_u: np.ndarray  # Å, underfocus positive
    defocus_v: np.ndarray  # Å
    astigmatism_angle: np.ndarray  # degrees, from x to the axis of defocus_u
    phase_shift: np.ndarray  # degrees
    b_factor: np.ndarray  # Å², envelope exp(-B u² / 4)
    scale: np.ndarray  # dimensionless factor on the CTF

    @classmethod
    def of(cls, defocus_u: Any, defocus_v: Any = None, astigmatism_angle: Any = 0.0, phase_shift: Any = 0.0,
           b_factor: Any = 0.0, scale: Any = 1.0) -> CTFParameters:
        """Parameters from numbers or arrays; whatever is one number is taken for every particle."""
        u = np.atleast_1d(np.asarray(defocus_u, dtype=np.float64))
        v = u if defocus_v is None else defocus_v
        full = [np.array(np.broadcast_to(np.asarray(a, dtype=np.float64), u.shape))
                for a in (u, v, astigmatism_angle, phase_shift, b_factor, scale)]
        return cls(*full)

    def __getitem__(self, rows: Any) -> CTFParameters:
        return CTFParameters(self.defocus_u[rows], self.defocus_v[rows], self.astigmatism_angle[rows],
                             self.phase_shift[rows], self.b_factor[rows], self.scale[rows])


@dataclass(frozen=True)
class Particles:
    """N particle images and what is known of each of them.

    images: (N, n, n) float32, particles white on dark; an array or an `ImageStack` on disk.
    optics: the optics groups; ``optics_group`` (N,) holds the index (from 0) of each particle's group.
    ctf: None where images carry no CTF (model CTF = 1).
    angles: (N, 3) rot, tilt, psi in degrees, or None where unknown.
    shifts: (N, 2) x, y in Å: where the particle sits from the box centre (minus RELION's origin), or None.
    classes: (N,) class index from 0 (RELION's rlnClassNumber counts from 1), -1 where it is not known; None for all.
    subset: (N,) 1 or 2, the half set, or None.
    scale: (N,) factor on the signal of each image, beside the CTF, or None for 1.
    extra: further columns of the STAR file by name, each (N,), as text, written back untouched.
    """

    images: Images
    optics: tuple[Optics, ...]
    optics_group: np.ndarray
    ctf: CTFParameters | None = None
    angles: np.ndarray | None = None
    shifts: np.ndarray | None = None
    classes: np.ndarray | None = None
    subset: np.ndarray | None = None
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    scale: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = self.images.shape
        if len(shape) != 3 or shape[1] != shape[2]:
            raise InputError(f"the images have shape {shape}, but square images (N, n, n) are needed: crop or pad them")
        if shape[1] % 2:
            raise InputError(f"the images are {shape[1]} pixels wide, but an even box is needed: "
                             "crop or pad by one pixel")
        n = shape[0]
        for name in ("optics_group", "angles", "shifts", "classes", "subset", "scale"):
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise InputError(f"{name} has {len(column)} rows, but there are {n} images")
        if n and not 0 <= int(np.min(self.optics_group)) <= int(np.max(self.optics_group)) < len(self.optics):
            raise InputError(f"optics_group holds {int(np.max(self.optics_group))}, but there are {len(self.optics)} "
                             "optics groups, counted from 0")

    @classmethod
    def of(cls, images: np.ndarray, pixel_size: float, **columns: Any) -> Particles:
        """Particles of one optics group from an array of images (N, n, n) and a pixel size in Å."""
        images = np.asarray(images, dtype=np.float32)
        return cls(images, (Optics(pixel_size),), np.zeros(len(images), dtype=np.int64), **columns)

    def __len__(self) -> int:
        return int(self.images.shape[0])

    @property
    def box(self) -> int:
        """Side of the images in pixels."""
        return int(self.images.shape[1])

    @property
    def pixel_size(self) -> float:
        """Å per pixel. Raises InputError if the optics groups differ (resample them first)."""
        sizes = {o.pixel_size for o in self.optics}
        if len(sizes) > 1:
            raise InputError(f"the optics groups have pixel sizes {sorted(sizes)} Å, but one is needed: "
                             "resample the particles to a common pixel size first")
        return sizes.pop()

    def known_views(self) -> np.ndarray:
        """``angles`` (N, 3), once they are found to be views of a map. Raises InputError if there are none, or if all
        are one view, as after a 2D classification, which knows the angle in the plane only."""
        if self.angles is None:
            raise InputError("the particles have no angles (rlnAngleRot, rlnAngleTilt, rlnAnglePsi): refine them "
                             "first, or give a STAR file that a refinement wrote")
        if len(self) > 1 and not self.angles[:, :2].any():
            raise InputError(f"all {len(self)} particles have one and the same view, rlnAngleRot and rlnAngleTilt 0, "
                             "as a 2D classification leaves them: refine them against a map first")
        return self.angles

    def known_classes(self) -> np.ndarray:
        """``classes`` (N,), once they are found to be known. Raises InputError if some are not, or none."""
        if self.classes is None:
            raise InputError("the particles have no classes (rlnClassNumber): classify them first")
        if len(unknown := np.flatnonzero(self.classes < 0)):
            raise InputError(f"{len(unknown)} particles have no class yet (rlnClassNumber 0), the first of them in row "
                             f"{unknown[0] + 1}: classify them first, or leave them out")
        return self.classes

    def subset_of(self, rows: Any) -> Particles:
        """The particles of these rows (indices or a mask); images in stacks on disk stay there."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)

        def pick(column: Any) -> Any:
            return None if column is None else column[rows]

        return replace(self, images=taken(self.images, rows), optics_group=self.optics_group[rows], ctf=pick(self.ctf),
                       angles=pick(self.angles), shifts=pick(self.shifts), classes=pick(self.classes),
                       subset=pick(self.subset), extra={k: v[rows] for k, v in self.extra.items()},
                       scale=pick(self.scale))
