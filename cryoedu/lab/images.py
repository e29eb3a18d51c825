"""What the viewer of MRC files asks for: the header, images and slices as grey levels, spectra, a map to draw."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.files.mrc import Header
from cryoedu.lab.files import UNKNOWN, open_mrc, pixels
from cryoedu.lab.handlers import Handler, handler, pack
from cryoedu.lab.pictures import (
    READ,
    Numbers,
    grey,
    image_power,
    limits,
    map_power,
    profile,
    shrink,
    statistics,
    whole_plane,
)

LARGEST = 1024  # pixels on a side of a picture
MOST_SHOWN = 200  # images of a page
TILE, TILES = 512, 16  # of a large image its spectrum is the mean over so many squares
SPECTRUM_IMAGES = 64
SPECTRUM_BOX = 256  # voxels in the middle of a map that its spectrum is of
SURFACE_BOX = 128
MODES = {0: "int8", 1: "int16", 2: "float32", 6: "uint16", 12: "float16"}


def summary(path: Path) -> dict[str, Any]:
    """What the header of an MRC file says: shape, kind ("stack", "image" or "map"), pixel size, and every field."""
    header, record = open_mrc(path)
    fields = [[name, _words(record[name])] for name in record.dtype.names if name not in ("extra1", "extra2", "label")]
    labels = [bytes(label).decode("latin-1").strip(" \0") for label in record["label"]]
    return {"shape": list(header.shape), "kind": kind_of(header, record), "mode": int(record["mode"]),
            "type": MODES[int(record["mode"])], "order": "big" if record.dtype["mode"].str[0] == ">" else "little",
            "voxel": [float(size) for size in header.voxel_size], "bytes": path.stat().st_size,
            "packed": header.size == UNKNOWN, "changed": str(header.changed),
            "fields": fields, "labels": [label for label in labels if label]}


def _words(value: Any) -> str:
    """A field of the header as text: a number, three of them, or characters."""
    if value.dtype.names:
        return ", ".join(f"{float(value[name]):.6g}" for name in value.dtype.names)
    if value.dtype.kind in "SV":
        return bytes(value).decode("latin-1").strip(" \0")
    return ", ".join(f"{number:.6g}" for number in np.ravel(value).astype(float))


def kind_of(header: Header, record: Any) -> str:
    """What to take the data for: "image", "stack" of images, or "map"; a person can choose otherwise.

    The name tells (.mrcs, .map); else a cube is a map, and so is what its space group and sampling call a volume.
    """
    names = [suffix.lower() for suffix in header.path.suffixes]
    count, height, width = header.shape
    if count == 1:
        return "image"
    if ".mrcs" in names or header.of_images:
        return "stack"
    volume = int(record["ispg"]) == 1 and int(record["mz"]) == count
    return "map" if ".map" in names or count == height == width or volume else "stack"


def opened(ask: Handler) -> Header:
    """The header of the file that is asked about. Raises InputError as `open_mrc`, and as `Handler.unchanged`."""
    header, _ = open_mrc(ask.file())
    ask.unchanged(header.path, header.changed)
    return header


def density(header: Header) -> Numbers:
    """The data of a map as (z, y, x), whatever the order of its axes on disk."""
    place = [3 - axis for axis in reversed(header.axes)]
    return pixels(header).transpose(np.argsort(place))


def gallery(ask: Handler) -> bytes:
    """Images ``first`` and the next, ``count`` in all, of at most ``size`` pixels, uint8 (k, h, w).

    Each is scaled to its mean ± ``sigmas`` standard deviations, or all from ``low`` to ``high``.  ``factors`` and
    ``sampled`` as in `plane`.
    """
    stack = pixels(opened(ask))
    first = ask.number("first", 0, 0, len(stack) - 1)
    chosen = stack[first : first + ask.number("count", 1, 1, MOST_SHOWN)]
    images = []
    for image in chosen:  # together they read no more than one picture may
        small, factors, sampled = shrink(image, ask.number("size", 128, 8, LARGEST), READ // len(chosen))
        images.append(grey(small, *_range(ask, small)))
    return pack({"shape": [len(images), *images[0].shape], "factors": list(factors), "sampled": sampled},
                np.stack(images))


def _range(ask: Handler, values: NDArray[np.floating]) -> tuple[float, float]:
    low, high = ask.decimal("low"), ask.decimal("high")
    return limits(values, min(abs(ask.decimal("sigmas") or 3.0), 100.0)) if low is None or high is None else (low, high)


def plane(ask: Handler) -> bytes:
    """A picture of section ``at`` across ``axis`` (z, y or x) of the data, or of a rectangle in it, uint8 (h, w).

    left, top, width, height: the rectangle, in pixels; 0 for width and height is all.  size, sigmas, low, high: as in
    `gallery`.  ``factors`` says how many pixels are one in the picture, down and right; ``sampled``: some of them were
    not read.
    """
    header = opened(ask)
    axis = ask.text("axis", "z")
    if axis not in ("x", "y", "z"):
        raise InputError(f"axis={axis[:40]} is not x, y or z")
    data = pixels(header) if ask.text("as", "stack") == "stack" else density(header)
    across = "zyx".index(axis)
    at = ask.number("at", 0, 0, data.shape[across] - 1)
    section = data[(slice(None),) * across + (at,)]
    height, width = section.shape
    top, left = ask.number("top", 0, 0, height - 1), ask.number("left", 0, 0, width - 1)
    part = section[top : top + (ask.number("height", 0, 0, height) or height),
                   left : left + (ask.number("width", 0, 0, width) or width)]
    small, factors, sampled = shrink(part, ask.number("size", 512, 8, LARGEST))
    low, high = _range(ask, small)
    return pack({"shape": list(small.shape), "factors": list(factors), "sampled": sampled, "range": [low, high]},
                grey(small, low, high))


def spectrum(ask: Handler) -> bytes:
    """The power spectrum of image ``at``, the mean over up to 64 images (at=all), or that of a map (as=map).

    The picture, uint8 (n, n), is the logarithm of the power, for a map of its section kz = 0; ``profile`` is the power
    in shells of 1 / n per pixel, ``box`` is n; ``of`` says in words what was measured.
    """
    header = opened(ask)
    if ask.text("as", "stack") == "map":
        volume = density(header)
        n = min(SPECTRUM_BOX, min(volume.shape) // 2 * 2)
        _check_box(n)
        middle = [(side - n) // 2 for side in volume.shape]
        power: NDArray[np.floating] = map_power(np.asarray(volume[tuple(slice(m, m + n) for m in middle)]))
        half = power[0]
        of = f"the map, section kz = 0, of {'all' if volume.shape == (n, n, n) else 'the middle'} {n} voxels"
    else:
        stack = pixels(header)
        chosen = np.unique(np.linspace(0, len(stack) - 1, SPECTRUM_IMAGES).astype(int)) \
            if ask.text("at") == "all" else [ask.number("at", 0, 0, len(stack) - 1)]
        n = min(TILE, min(stack.shape[1:]) // 2 * 2)
        _check_box(n)
        corners = _tiles(stack.shape[1], stack.shape[2], n, TILES if len(chosen) == 1 else 1)
        power = half = image_power((stack[i, y : y + n, x : x + n] for i in chosen for y, x in corners), n)
        of = f"image {chosen[0] + 1}" if len(chosen) == 1 else f"the mean of {len(chosen)} images"
        of += f", mean of {len(corners)} squares of {n} pixels" if len(corners) > 1 else f", {n} pixels"
    curve = profile(power)
    picture = np.log10(np.maximum(whole_plane(half), max(float(curve[1:].min()), 1e-30) * 1e-3))
    return pack({"shape": [n, n], "box": n, "pixel": header.pixel_size or 0.0, "of": of,
                 "profile": [float(v) if math.isfinite(v) else None for v in curve]},
                grey(picture, *np.percentile(picture, [1, 99.8])))


def _check_box(n: int) -> None:
    if n < 4:
        raise InputError("there are fewer than 4 pixels on a side: too few for a spectrum")


def _tiles(height: int, width: int, n: int, most: int) -> list[tuple[int, int]]:
    """Upper left corners of squares of n pixels, in a grid over the image; the one in the middle if there is one."""
    down, right = (min(side // n, math.isqrt(most)) for side in (height, width))
    return [(int(y), int(x)) for y in (height - n) * (np.arange(down) + 0.5) / down
            for x in (width - n) * (np.arange(right) + 0.5) / right]


def volume(ask: Handler) -> bytes:
    """A map of at most 128 voxels on a side to draw surfaces of: uint16 (z, y, x) from ``low`` to ``high``."""
    whole = density(opened(ask))
    if min(whole.shape) < 2 * math.ceil(max(whole.shape) / SURFACE_BOX):
        raise InputError(f"{' x '.join(map(str, whole.shape[::-1]))} voxels are too thin for a surface: look at the "
                         "slices")
    small, factors, sampled = shrink(whole, SURFACE_BOX)
    numbers = np.nan_to_num(small, posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    levels = np.rint((numbers - low) * (65535 / (high - low) if high > low else 0.0)).astype("<u2")
    return pack({"shape": list(levels.shape), "factors": list(factors), "sampled": sampled, "low": low, "high": high,
                 "mean": float(numbers.mean(dtype=np.float64)), "sigma": float(numbers.std(dtype=np.float64))}, levels)


HANDLERS = {
    "mrc": handler(get=lambda ask: summary(ask.file())),
    "mrc/statistics": handler(get=lambda ask: statistics(pixels(opened(ask)))),
    "mrc/gallery": handler(get=gallery),
    "mrc/plane": handler(get=plane),
    "mrc/spectrum": handler(get=spectrum),
    "mrc/volume": handler(get=volume),
}
