"""The Einstein-from-noise stepper: a portrait grows out of pure noise, one aligned image after another."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.datasets.portraits import PORTRAITS, portrait
from cryoedu.errors import InputError
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.widgets.page import LiveWidget, module, raw

BOX, STEP, TOTAL = 64, 4, 1000  # pixels; pixels between the places that are tried; noise images
LEVELS = 32  # noise is sent as whole numbers, so many for one standard deviation
SIDE = BOX // STEP  # places along one axis
Floats = NDArray[np.float64]


class NoisePortrait(LiveWidget):
    """Noise images aligned to a portrait and averaged, beside the correlation that was predicted.

    The traits can be read and set from Python: ``images`` (how many are averaged), ``portrait`` (index into
    `PORTRAITS`) and ``aligned`` (whether the images are aligned first).
    """

    _esm = module("common.js", "plots.js", "noise_portrait.js")
    _css = module("common.css")

    box = traitlets.Int(BOX).tag(sync=True)
    step = traitlets.Int(STEP).tag(sync=True)
    levels = traitlets.Int(LEVELS).tag(sync=True)
    total = traitlets.Int(TOTAL).tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    images = traitlets.Int(1).tag(sync=True)
    portrait = traitlets.Int(0).tag(sync=True)
    aligned = traitlets.Bool(True).tag(sync=True)
    _noise = traitlets.Bytes().tag(sync=True)  # int8 (M, n, n)
    _portraits = traitlets.Bytes().tag(sync=True)  # float32 (P, n, n)
    _places = traitlets.Bytes().tag(sync=True)  # uint8 (P, M): where the CCF is highest, row by row
    _measured = traitlets.Bytes().tag(sync=True)  # float32 (P, 2, M): correlation not aligned, aligned
    _predicted = traitlets.Bytes().tag(sync=True)  # float32 (P, M)

    @traitlets.validate("images", "portrait")
    def _inside(self, proposal: Any) -> int:
        if proposal["trait"].name == "portrait":
            return int(proposal["value"]) % max(len(self.names), 1)
        return int(min(max(proposal["value"], 1), self.total))

    def average(self) -> Floats:
        """The average (n, n) that is shown now."""
        noise = np.frombuffer(self._noise, np.int8).reshape(self.total, BOX, BOX)[: self.images] / LEVELS
        if self.aligned:
            first = self.portrait * self.total
            noise = aligned(noise, np.frombuffer(self._places, np.uint8)[first : first + self.images])
        return np.asarray(noise.mean(axis=0))

    def correlation(self) -> float:
        """Its correlation with the portrait."""
        return float(np.frombuffer(self._measured, np.float32)[
            (2 * self.portrait + self.aligned) * self.total + self.images - 1])

    def picture(self) -> Picture:
        """The stepper as it stands, as a static picture."""
        count, name = self.images, self.names[self.portrait]
        face = np.frombuffer(self._portraits, np.float32).reshape(-1, BOX, BOX)[self.portrait]
        curve = np.frombuffer(self._measured, np.float32).reshape(-1, 2, self.total)[self.portrait, int(self.aligned)]
        line = np.frombuffer(self._predicted, np.float32).reshape(-1, self.total)[self.portrait] * self.aligned
        figure = new_figure(9.6, 2.9)
        axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.7))
        how = "aligned" if self.aligned else "not aligned"
        for ax, image, title in ((axes[0], face, f"portrait: {name}"),
                                 (axes[1], self.average(), f"average of {count} noise images, {how}")):
            ax.imshow(image, cmap="gray", vmin=image.mean() - 3 * image.std(), vmax=image.mean() + 3 * image.std())
            ax.set(xticks=[], yticks=[])
            ax.set_title(title, fontsize=9.5)
        every = np.arange(1, self.total + 1)
        axes[2].plot(every, line, color="#222222", linestyle="--", label="predicted")
        axes[2].plot(every[:count], curve[:count], color="#0072b2", linewidth=2, label="measured")
        axes[2].plot(count, curve[count - 1], "o", color="#0072b2")
        axes[2].set(xscale="log", ylim=(-0.1, 1), xlabel="noise images averaged, M", ylabel="correlation")
        axes[2].set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
        axes[2].legend(fontsize=8, loc="upper left")
        return show(describe(figure, f"The average of {count} images of pure noise, {how} to the portrait ({name}): "
                                     f"correlation with the portrait {self.correlation():.2f}, predicted "
                                     f"{line[count - 1]:.2f}."))


def noise_portrait(images: int = 1, *, portrait: str = "astronaut", seed: int = 6) -> NoisePortrait:
    """The stepper with ``images`` noise images averaged, aligned to the portrait called "astronaut" or "cat".

    The noise is white; places are shifts by multiples of 4 pixels, 256 in all. Raises InputError for another name.
    """
    names = list(PORTRAITS)
    if portrait not in names:
        raise InputError(f"no portrait is called {portrait!r}: choose one of {', '.join(names)}")
    data = experiment(seed)
    return NoisePortrait(names=names, images=images, portrait=names.index(portrait), **data)


@lru_cache(maxsize=1)  # a cell that is run again shows the same noise at once
def experiment(seed: int) -> dict[str, bytes]:
    """What is sent to the browser: noise, portraits, best places, and the correlations measured and predicted."""
    rng = np.random.default_rng(seed)
    noise = quantised(rng.standard_normal((TOTAL, BOX, BOX), dtype=np.float32))
    others = rng.standard_normal((TOTAL // 2, BOX, BOX), dtype=np.float32)  # the prediction never sees the images
    faces = np.stack([portrait(name, BOX) for name in PORTRAITS])
    chosen, measured, predicted = [], [], []
    plain = correlations(noise / np.float32(LEVELS), faces)
    for k, face in enumerate(faces):
        best = place_scores(noise / np.float32(LEVELS), face).argmax(axis=1).astype(np.uint8)
        chosen.append(best)
        turned = correlations(aligned(noise / np.float32(LEVELS), best), face[None])[0]
        measured.append(np.stack([plain[k], turned]))
        highest = float(place_scores(others, face).max(axis=1).mean())
        predicted.append(highest / np.sqrt(highest**2 + BOX**2 / np.arange(1, TOTAL + 1)))
    return {"_noise": noise.tobytes(), "_portraits": raw(faces), "_places": np.stack(chosen).tobytes(),
            "_measured": raw(measured), "_predicted": raw(predicted)}


def quantised(noise: NDArray[np.float32]) -> NDArray[np.int8]:
    """Noise of σ = 1 as whole numbers of which `LEVELS` are one standard deviation."""
    return np.clip(np.rint(noise * LEVELS), -127, 127).astype(np.int8)


def place_scores(noise: NDArray[Any], face: NDArray[np.float32]) -> NDArray[np.float32]:
    """CCF (M, 256) of images (M, n, n) with a portrait (n, n) moved to each place, y outermost."""
    moved = np.stack([np.roll(face, (STEP * y, STEP * x), axis=(0, 1)) for y in range(SIDE) for x in range(SIDE)])
    return np.asarray(noise.reshape(len(noise), -1) @ moved.reshape(len(moved), -1).T)


def aligned(noise: NDArray[Any], places: NDArray[np.uint8]) -> NDArray[Any]:
    """Images (M, n, n) moved back from their places (M,), which are numbered as by `place_scores`."""
    return np.stack([np.roll(image, (-STEP * (place // SIDE), -STEP * (place % SIDE)), axis=(0, 1))
                     for image, place in zip(noise, places.astype(int))])


def correlations(images: NDArray[Any], faces: NDArray[np.float32]) -> Floats:
    """(P, M): correlation of the average of the first 1, 2, … M images with each portrait (mean 0, length 1)."""
    total, out = np.zeros(BOX**2), np.empty((len(faces), len(images)))
    flat = faces.reshape(len(faces), -1)
    for k, image in enumerate(images):
        total += image.ravel()
        out[:, k] = flat @ total / np.linalg.norm(total - total.mean())
    return out
