"""The example protein of the 2D lessons: drawn by formula, with no mirror and no rotation that maps it onto itself."""

from __future__ import annotations

import numpy as np

from cryoedu.errors import InputError
from cryoedu.microscope.specimen import Specimen

DIAMETER = 200.0  # Å, of the circle about the box centre that holds the protein

# Everything is drawn in units of half the diameter: x to the right, y down the rows of the image.
Points = tuple[tuple[float, float], ...]
BODY = ((-0.26, 0.10, 0.40, 0.46, 20.0), (0.08, -0.40, 0.36, 0.26, -35.0))  # ellipses: x, y, radii, turn in degrees
ARM: Points = ((0.00, 0.30), (0.22, 0.51), (0.48, 0.55), (0.70, 0.38), (0.76, 0.12), (0.60, -0.06))  # a hook
ARM_WIDTHS = (0.19, 0.14, 0.125, 0.115, 0.115, 0.155)
TAIL: Points = ((0.30, -0.46), (0.46, -0.56), (0.60, -0.58), (0.72, -0.47))
TAIL_WIDTHS = (0.13, 0.08, 0.07, 0.10)
PORE = (-0.34, 0.20, 0.125)  # x, y, radius
CLEFT: Points = ((-0.62, -0.32), (-0.38, -0.31), (-0.20, -0.25), (-0.09, -0.11))
CLEFT_WIDTHS = (0.09, 0.055, 0.04, 0.02)
# Helices: two seen from the side, and a ring of them seen end-on around the pore, each a little stronger than the last.
RODS: tuple[Points, ...] = (((-0.03, -0.57), (0.31, -0.35)), ((-0.14, -0.47), (0.20, -0.25)))
RING = 7
DOTS = ((ARM[1], 0.16), (ARM[2], 0.22), (ARM[3], 0.28), (ARM[5], 0.42), (TAIL[3], 0.38))
CENTRE = (0.1098, 0.0041)  # of mass


def protein2d(box: int = 64, pixel_size: float | None = None) -> Specimen:
    """The example protein in a square box, density between 0 and 1, its centre of mass at pixel box // 2.

    box: pixels, even. pixel_size: Å; default 256 / box, where the protein takes up three quarters of the box.
    Raises InputError if the protein, 200 Å across, does not fit.
    """
    pixel_size = 256 / box if pixel_size is None and box > 0 else pixel_size
    if box < 16 or box % 2:
        raise InputError(f"protein2d: the box is {box} pixels, but an even number from 16 upwards is needed")
    if pixel_size is None or not pixel_size > 0 or box * pixel_size < DIAMETER:
        raise InputError(f"protein2d: {box} pixels of {pixel_size:g} Å cannot hold a protein of {DIAMETER:.0f} Å: take "
                         f"pixels of {np.ceil(100 * DIAMETER / box) / 100:g} Å or more, or a larger box")
    step = pixel_size / (DIAMETER / 2)
    fine = max(2, int(np.ceil(step * 80)))  # samples across a pixel, so that the picture does not depend on the grid
    axis = ((np.arange(box * fine) + 0.5) / fine - 0.5 - box // 2) * step
    density = _draw(axis + CENTRE[0], axis[:, None] + CENTRE[1])
    density = density.reshape(box, fine, box, fine).mean(axis=(1, 3))
    return Specimen(density.astype(np.float32), float(pixel_size), "protein2d")


def _draw(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The density at x (columns) and y (rows), from distances to the outline (negative inside)."""
    shapes = [_ellipse(x, y, *e) for e in BODY]
    shapes += [_tube(x, y, *_smooth(ARM, ARM_WIDTHS)), _tube(x, y, *_smooth(TAIL, TAIL_WIDTHS))]
    pore = PORE[2] - np.hypot(x - PORE[0], y - PORE[1])
    cleft = -_tube(x, y, *_smooth(CLEFT, CLEFT_WIDTHS))
    outline = np.maximum(_union(shapes), np.maximum(pore, cleft))
    depth = np.clip(-outline, 0, None)
    density = _inside(outline, 0.04) * (0.40 + 0.14 * (1 - np.exp(-depth / 0.08)))  # thicker away from the edge
    for i, turn in enumerate(0.35 + np.arange(RING) * 2 * np.pi / RING):
        place = (PORE[0] + 0.045 + 0.25 * np.cos(turn), PORE[1] - 0.045 + 0.25 * np.sin(turn))
        density += (0.28 + 0.025 * i) * _disc(x, y, place)
    for rod in RODS:
        density += 0.36 * _inside(_tube(x, y, np.array(rod), np.array([0.04, 0.04])), 0.03)
    for place, strength in DOTS:
        density += strength * _disc(x, y, place)
    return density


def _disc(x: np.ndarray, y: np.ndarray, place: tuple[float, float]) -> np.ndarray:
    return _inside(np.hypot(x - place[0], y - place[1]) - 0.052, 0.03)


def _inside(distance: np.ndarray, edge: float) -> np.ndarray:
    """1 well inside the outline, 0 well outside, over a soft edge."""
    return 1 / (1 + np.exp(np.clip(4 * distance / edge, -60, 60)))


def _union(distances: list[np.ndarray]) -> np.ndarray:
    """The smallest of the distances, with the corners where two shapes meet filled in."""
    sharpness = 22.0
    return -np.log(sum(np.exp(-sharpness * d) for d in distances)) / sharpness


def _ellipse(x: np.ndarray, y: np.ndarray, cx: float, cy: float, a: float, b: float, turn: float) -> np.ndarray:
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    u, v = (x - cx) * c + (y - cy) * s, (y - cy) * c - (x - cx) * s
    return (np.sqrt((u / a) ** 2 + (v / b) ** 2) - 1) * min(a, b)


def _smooth(points: Points, widths: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A curve through ``points`` (Catmull-Rom), six steps between neighbours, and its half widths."""
    knots = np.column_stack([np.array(points), widths])
    knots = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    t = np.append(np.tile(np.arange(6) / 6, len(points) - 1), 1.0)
    i = np.append(np.repeat(np.arange(len(points) - 1), 6), len(points) - 2)
    a, b, c, d = (knots[i + k] for k in range(4))
    t = t[:, None]
    curve = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return curve[:, :2], curve[:, 2]


def _tube(x: np.ndarray, y: np.ndarray, points: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Distance to the line through ``points`` (P, 2) whose half width (P,) changes from point to point."""
    best = np.full(np.broadcast_shapes(x.shape, y.shape), np.inf)
    for (x0, y0), (x1, y1), w0, w1 in zip(points, points[1:], widths, widths[1:]):
        dx, dy = x1 - x0, y1 - y0
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        best = np.minimum(best, np.hypot(x - x0 - t * dx, y - y0 - t * dy) - (w0 + t * (w1 - w0)))
    return best
