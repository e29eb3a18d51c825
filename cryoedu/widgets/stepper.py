"""The EM stepper: expectation maximisation watched turn by turn, through the eyes of a few particles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.figures.page import Picture, describe, new_figure, show
from cryoedu.figures.runs import styles
from cryoedu.geometry.grids import Search
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD, Assignment
from cryoedu.inference.model import Iteration, Model
from cryoedu.inference.posteriors import turned_back, whole_posterior
from cryoedu.particles.particles import Particles
from cryoedu.widgets.page import LiveWidget, cividis, module, pixels, raw
from cryoedu.widgets.sphere import WIDTH, mollweide, mollweide_pixels, views

MOST = 64e6  # bytes that go to the browser
Floats = NDArray[np.float64]


class Stepper(LiveWidget):
    """References, posterior of a chosen particle and how the run has fared, turn by turn.

    The traits ``frame`` (turns done, 0 is the start), ``particle`` (among the chosen ones) and ``shown_class`` (3D:
    0 is all of them) can be read and set from Python.
    """

    _esm = module("common.js", "plots.js", "sphere.js", "stepper.js")
    _css = module("common.css")

    ndim = traitlets.Int().tag(sync=True)
    box = traitlets.Int().tag(sync=True)
    frames = traitlets.Int().tag(sync=True)
    classes = traitlets.Int().tag(sync=True)
    particle_count = traitlets.Int().tag(sync=True)
    places = traitlets.Int().tag(sync=True)  # rotations in 2D, viewing directions in 3D
    orientations = traitlets.Int().tag(sync=True)
    reach = traitlets.Int().tag(sync=True)  # shifts go from -reach to reach steps
    shift_step = traitlets.Float().tag(sync=True)  # Å
    frame = traitlets.Int(0).tag(sync=True)
    particle = traitlets.Int(0).tag(sync=True)
    shown_class = traitlets.Int(0).tag(sync=True)
    _rows = traitlets.List(traitlets.Int()).tag(sync=True)
    _angles = traitlets.Bytes().tag(sync=True)  # float32 (places, 3): degrees in 2D; rot, tilt, x, y of the map in 3D
    _maps = traitlets.Bytes().tag(sync=True)  # uint8 (F, K, n, n), or (F, K, 2, n, 3 n): projections, slices
    _images = traitlets.Bytes().tag(sync=True)  # uint8 (P, n, n)
    _averages = traitlets.Bytes().tag(sync=True)  # uint8 (F, P, n, n), 2D only
    _posterior = traitlets.Bytes().tag(sync=True)  # float32 (F, P, K, places), summed over the rest
    _shifts = traitlets.Bytes().tag(sync=True)  # float32 (F, P, side, side), [y, x]
    _particle_curves = traitlets.Bytes().tag(sync=True)  # float32 (F, P, 2): orientations left, weight of the best
    _curves = traitlets.Bytes().tag(sync=True)  # float32 (F, 2 + K): log-likelihood gained, sharpness, occupancies
    _truths = traitlets.Bytes().tag(sync=True)  # float32 (P, 3), NaN where unknown; x, y of the map first in 3D
    _lookup = traitlets.Bytes().tag(sync=True)  # int32 (WIDTH/2, WIDTH), 3D only
    _cividis = traitlets.Bytes().tag(sync=True)

    @traitlets.validate("frame", "particle", "shown_class")
    def _inside(self, proposal: Any) -> int:
        count = {"frame": self.frames, "particle": self.particle_count, "shown_class": self.classes + 1}
        return int(np.clip(proposal["value"], 0, max(count[proposal["trait"].name] - 1, 0)))

    def posterior(self) -> NDArray[np.float32]:
        """What is shown of the chosen particle now: its weights (K, places) for each class and rotation, or viewing
        direction, summed over everything else."""
        shape = (self.frames, self.particle_count, self.classes, self.places)
        return np.frombuffer(self._posterior, np.float32).reshape(shape)[self.frame, self.particle]

    def picture(self) -> Picture:
        """The first and the last references, and the posterior and the curves as they stand, as a static picture."""
        k, now, n = self.classes, self.posterior(), self.box
        tall, wide = (n, n) if self.ndim == 2 else (n, 3 * n)
        maps = np.frombuffer(self._maps, np.uint8).reshape(self.frames, k, -1, tall, wide)[:, :, 0]
        curves = np.frombuffer(self._curves, np.float32).reshape(self.frames, -1)
        figure = new_figure(9.6, 5.6)
        halves: Any = figure.subfigures(2, 1, height_ratios=(1.2, 1))
        grid = halves[0].subplots(2, k, squeeze=False)
        for row, (frame, name) in enumerate(((0, "start"), (self.frames - 1, f"after {self.frames - 1}"))):
            for c in range(k):
                grid[row, c].imshow(maps[frame, c], cmap="gray", vmin=0, vmax=255)
                grid[row, c].set(xticks=[], yticks=[])
                grid[row, c].set_title(f"{name}: class {c + 1}" if k > 1 else name, fontsize=9)
        left, right = halves[1].subplots(1, 2)
        best_class, best = np.unravel_index(int(now.argmax()), now.shape)
        where = self._draw_posterior(figure, left, now)
        left.set_title(f"posterior of particle {self._rows[self.particle] + 1} after {self.frame} turns", fontsize=9)
        right.plot(curves[:, 1], color="#222222", marker="o", markersize=4, label="mean weight of the best hypothesis")
        for c, style in enumerate(styles(k) if k > 1 else ()):
            right.plot(curves[:, 2 + c], **style, label=f"share of class {c + 1}")
        right.set(ylim=(0, 1.02), xlabel="turns done", xticks=range(0, self.frames, -(-self.frames // 10)))
        right.legend(fontsize=7)
        gained = curves[:, 0][np.isfinite(curves[:, 0])]
        total = ""
        if len(gained):  # a hundredth of a nat hangs on the processor
            total = (f"The log-likelihood gains {gained[-1]:.3g} nat per particle. " if abs(gained[-1]) >= 0.1 else
                     "The log-likelihood changes by less than 0.1 nat per particle. ")
        return show(describe(figure, f"EM stepper: {k} reference{'s' if k > 1 else ''} at the start and after "
                             f"{self.frames - 1} turns. {total}After {self.frame} turns, particle "
                             f"{self._rows[self.particle] + 1} has {now[best_class, best]:.2f} of its weight at "
                             f"{where[best]}" + (f" in class {best_class + 1}." if k > 1 else ".")))

    def _draw_posterior(self, figure: Any, ax: Any, now: NDArray[np.float32]) -> list[str]:
        """Paint the posterior, and say in words what each of its places is."""
        angles = np.frombuffer(self._angles, np.float32).reshape(self.places, -1)
        if self.ndim == 3:
            lookup = np.frombuffer(self._lookup, np.int32).reshape(WIDTH // 2, WIDTH)
            drawn = ax.imshow(np.where(lookup < 0, np.nan, now.sum(axis=0)[lookup]), cmap="cividis", vmin=0)
            ax.set(xticks=[0, WIDTH / 2, WIDTH], yticks=[0, WIDTH / 4, WIDTH / 2], xlabel="rot", ylabel="tilt")
            ax.set(xticklabels=["-180°", "0°", "180°"], yticklabels=["0°", "90°", "180°"])
        elif self.classes > 1:
            drawn = ax.imshow(now, cmap="cividis", vmin=0, aspect="auto", interpolation="nearest",
                              extent=(0, 360, self.classes + 0.5, 0.5))
            ax.set(xlabel="rotation φ (degrees)", ylabel="class", yticks=range(1, self.classes + 1))
        else:
            ax.bar(angles[:, 0], now[0], width=360 / self.places, color="#d55e00")
            ax.set(xlabel="rotation φ (degrees)", ylabel="probability", xlim=(0, 360))
            return [f"{a:.0f}°" for a in angles[:, 0]]
        figure.colorbar(drawn, ax=ax, label="probability", shrink=0.8)
        return [f"{a[0]:.0f}°" if self.ndim == 2 else f"rot {a[0]:.0f}°, tilt {a[1]:.0f}°" for a in angles]


def em_stepper(iterations: Iterable[Iteration], particles: Particles, search: Search, *,
               chosen: int | Sequence[int] = 4, truth: Particles | None = None, space: str = "fourier",
               assignment: Assignment = MAXIMUM_LIKELIHOOD) -> Stepper:
    """Step through what `align2d`, `classify2d`, `refine` or `classify3d` went through.

    iterations: a list, or the job itself, which is then run here; nothing of it is kept but pictures and numbers.
    particles, space, assignment: as the job got them.  search: a whole grid to show posteriors on; that of the job, or
        a coarser one. Frame i shows the references after i turns and what they say of a particle.
    chosen: rows of the particles to watch, or how many of the first.
    truth: particles with the true angles, in the frame of the references, to be marked.

    Raises InputError if there is no iteration, a row does not exist, or there is more than a browser should hold.
    """
    rows = np.arange(min(chosen, len(particles))) if isinstance(chosen, int) else np.asarray(chosen, dtype=np.int64)
    if len(rows) == 0 or rows.min() < 0 or rows.max() >= len(particles):
        raise InputError(f"chosen is {chosen}, but the particles are 0 to {len(particles) - 1}: give their rows, or "
                         "how many to take")
    few, ndim, box = particles.subset_of(rows), 2 if search.in_plane else 3, particles.box
    psi = search.angles[:, 2]
    directions, place = views(search.angles) if ndim == 3 else (np.stack([psi, psi], 1), np.arange(len(psi)))
    seen: dict[str, list[NDArray[Any]]] = {name: [] for name in ("maps", "averages", "posterior", "shifts", "own")}
    told: list[tuple[float, int, float, Floats]] = []
    held = 0
    for model, radius, iteration in _frames(iterations):
        gamma = whole_posterior(few, model, search, radius=radius, assignment=assignment, space=space)
        seen["maps"].append(_looks(model.maps))
        seen["posterior"].append(_summed(gamma.sum(axis=3), place, len(directions)))
        seen["shifts"].append(_on_a_square(gamma.sum(axis=(1, 2)), search))
        seen["own"].append(_sharpness(gamma))
        if ndim == 2:
            best = gamma.sum(axis=(2, 3)).argmax(axis=1)
            back = turned_back(few, gamma, search)[np.arange(len(few)), best]
            seen["averages"].append(np.stack([pixels(image) for image in back]))
        found = None if iteration is None else iteration.posterior
        told.append((np.nan if iteration is None else iteration.log_likelihood / len(particles), radius,
                     np.nan if found is None else float(found.max_probability.mean()),
                     model.class_weights if found is None else found.class_probability.mean(axis=0)))
        held += sum(values[-1].nbytes for values in seen.values() if values)
        if held > MOST:
            raise InputError(f"{len(told)} turns of {len(rows)} particles are more than {MOST / 1e6:.0f} MB: choose "
                             "fewer particles, fewer iterations or a coarser grid")
    packed = {name: np.stack(values) if values else np.zeros(0, np.uint8) for name, values in seen.items()}
    where = np.hstack([directions, mollweide_pixels(directions)]) if ndim == 3 else directions
    side = packed["shifts"].shape[-1]
    return Stepper(
        ndim=ndim, box=box, frames=len(told), classes=packed["posterior"].shape[2], particle_count=len(rows),
        places=len(directions), orientations=len(search.angles), reach=side // 2, shift_step=search.shift_step,
        frame=len(told) - 1, _rows=rows.tolist(), _angles=raw(where), _maps=packed["maps"].tobytes(),
        _images=np.stack([pixels(image) for image in few.images[np.arange(len(few))]]).tobytes(),
        _averages=packed["averages"].tobytes(), _posterior=raw(packed["posterior"]), _shifts=raw(packed["shifts"]),
        _particle_curves=raw(packed["own"]), _curves=raw(_history(told)), _truths=raw(_marks(truth, rows, ndim)),
        _lookup=mollweide(directions).tobytes() if ndim == 3 else b"", _cividis=cividis())


def _frames(iterations: Iterable[Iteration]) -> Iterator[tuple[Model, int, Iteration | None]]:
    """Every model that was compared with the particles, shells used, what that said; then the model that came out."""
    iteration = None
    for iteration in iterations:
        yield iteration.before, iteration.radius, iteration
    if iteration is None:
        raise InputError("there is no iteration to step through: give the job, or the list of what it yielded")
    yield iteration.model, iteration.radius, None


def _looks(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """References (K, n, n) as grey levels, or of maps (K, n, n, n) what one sees along x, y and z: (K, 2, n, 3 n), the
    projections and the central slices."""
    if maps.ndim == 3:
        return pixels(maps)
    middle = maps.shape[-1] // 2
    along = [(maps.sum(axis=a), maps.take(middle, axis=a)) for a in (3, 2, 1)]
    return np.stack([pixels(np.concatenate([pair[i] for pair in along], axis=-1)) for i in (0, 1)], axis=1)


def _summed(weights: NDArray[np.float32], place: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Weights (P, K, O) of orientations added up at the place (O,) where each belongs: (P, K, count)."""
    summed = [np.bincount(place, of_one, count) for of_one in weights.reshape(-1, len(place))]
    return np.reshape(summed, (*weights.shape[:2], count)).astype(np.float32)


def _on_a_square(weights: NDArray[np.float32], search: Search) -> NDArray[np.float32]:
    """Weights (P, S) of shifts as maps (P, side, side), indexed [y, x], centre in the middle."""
    steps = np.rint(search.shifts / search.shift_step).astype(int)
    reach = int(np.abs(steps).max(initial=0))
    out = np.zeros((len(weights), 2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    out[:, steps[:, 1] + reach, steps[:, 0] + reach] = weights
    return out


def _sharpness(gamma: NDArray[np.float32]) -> Floats:
    """How many orientations are left, exp(entropy), and the weight of the best hypothesis: (P, 2)."""
    p = gamma.sum(axis=(1, 3)).astype(np.float64)
    entropy = -np.sum(p * np.log(np.maximum(p, 1e-300)), axis=1)
    return np.stack([np.exp(entropy), gamma.max(axis=(1, 2, 3))], axis=1)


def _history(told: Sequence[tuple[float, int, float, Floats]]) -> Floats:
    """(F, 2 + K): log-likelihood per particle gained since the first turn with as many shells as the last, NaN before
    (another number of components cannot be compared); mean weight of the best hypothesis; occupancies."""
    level, radius = np.array([t[0] for t in told]), np.array([t[1] for t in told])
    level[radius != radius[-1]] = np.nan
    known = level[np.isfinite(level)]
    gained = level - (known[0] if len(known) else 0.0)
    return np.column_stack([gained, [t[2] for t in told], np.stack([t[3] for t in told])])


def _marks(truth: Particles | None, rows: NDArray[np.int64], ndim: int) -> Floats:
    if truth is None:
        return np.full((len(rows), 3), np.nan)
    if truth.angles is None:
        raise InputError("the truth has no angles: give particles with rot, tilt and psi, or leave it out")
    if ndim == 3:
        return np.hstack([mollweide_pixels(truth.angles[rows]), np.zeros((len(rows), 1))])
    return np.repeat(truth.angles[rows, 2:] % 360, 3, axis=1)
