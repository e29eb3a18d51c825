"""Points of the finer grids of an adaptive search that images ask for: their slices, and the sums over images.

Many images ask for the same points, so a slice is made once, and what the images say of it is added up where it is and
inserted into the volume once: eight voxels for each component of a point, not of each image of each point. Points come
in families, the children of one point of the coarser grid. A point is known by one number, its key: class · points of a
class + number, and child t of a point has the key of its parent · T + t.

There is room for as many families as memory allows, and no more than are asked for several times on average. When it is
full, the sums go into the volume and everything is forgotten. What a single block of images asks for beyond it is made
anew for each of them, and inserted at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cryoedu.arrays import Array, is_cupy, namespace
from cryoedu.geometry.euler import Floats
from cryoedu.inference.blocks import as_columns, as_reals
from cryoedu.inference.spaces import FourierSpace
from cryoedu.inference.sums import Inserter
from cryoedu.microscope.projection import PADDING
from cryoedu.microscope.slices import COMPILES, extract, in_loops

if COMPILES:
    from cryoedu.inference import kernels

PIECE = 2**22  # bytes of slices that are looked at together, which stay in fast memory
REUSED = 4  # times that a family is asked for on average, for which there is room
FEWEST = 2**25  # bytes of families that there is room for at the least
Keys = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """All points of a level: ``coarse`` rotations (O, 3, 3), split again and again by ``turns``, each (T, 3, 3)."""

    coarse: Floats
    turns: tuple[Floats, ...] = ()

    def __len__(self) -> int:
        """Points of each class."""
        return len(self.coarse) * int(np.prod([len(turns) for turns in self.turns], dtype=np.int64))

    def finer(self, turns: Floats) -> Grid:
        """The grid with every point split."""
        return Grid(self.coarse, (*self.turns, turns))

    def classes(self, keys: Keys) -> Keys:
        """The class of each key."""
        return keys // len(self)

    def rotations(self, keys: Keys) -> Floats:
        """The rotation (…, 3, 3) of each key."""
        numbers = keys % len(self)
        if not self.turns:
            return self.coarse[numbers]
        parents, child = np.divmod(numbers, len(self.turns[-1]))
        return np.asarray(self.turns[-1][child] @ Grid(self.coarse, self.turns[:-1]).rotations(parents))


def family_bytes(space: FourierSpace, split: int, summed: bool) -> int:
    """Bytes of the slices of a family, and of their sums if these are kept."""
    return (20 if summed else 8) * split * len(space.bins)


@dataclass
class Points:
    """Some points of a grid, whose families stand in slots.

    half: (K, Z, Y, X) the transformed maps.  turns: (T, 3, 3), from ``parents`` to their children.  space: the shells.
    room: families that find a slot.  piece: bytes of slices that are looked at together.
    inserter: where sums go; None on a level of which none are kept.
    spare: memory that is not in use.
    values, numerators: (slots · T, 2 J).  weights: (slots · T, J).  used: (slots · T,) which hold sums.
    """

    half: Array
    parents: Grid
    turns: Floats
    space: FourierSpace
    room: int
    piece: int
    inserter: Inserter | None = None
    values: Array = field(init=False)
    numerators: Array = field(init=False)
    weights: Array = field(init=False)
    used: NDArray[np.bool_] = field(init=False)
    keys: Keys = field(init=False)  # of the families that are here, in order, and their slots
    places: Keys = field(init=False)
    spare: list[Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        xp, rows, reals = namespace(self.half), self.room * len(self.turns), 2 * len(self.space.bins)
        summed = rows if self.inserter is not None else 0
        self.values = xp.empty((rows, reals), dtype=xp.float32)
        self.numerators = xp.zeros((summed, reals), dtype=xp.float32)
        self.weights = xp.zeros((summed, reals // 2), dtype=xp.float32)
        self.used = np.zeros(summed, dtype=bool)
        self._forget()

    @property
    def at_once(self) -> int:
        """How many points are looked at together, in whole families."""
        split = len(self.turns)
        return max(self.piece // (8 * len(self.space.bins) * split), 1) * split

    def buffer(self) -> NDArray[np.float32]:
        """Memory for the numbers (`at_once`, 2 J) of so many points, which may have served before: to get as much anew
        takes longer than to fill it. To be put back among the `spare` ones."""
        try:
            return self.spare.pop()
        except IndexError:
            return np.empty((self.at_once, 2 * len(self.space.bins)), dtype=np.float32)

    @property
    def grid(self) -> Grid:
        """The grid that the points are of."""
        return self.parents.finer(self.turns)

    def ask(self, families: Keys) -> None:
        """Have the slices of these families ready, in order and each once, or of as many as there is room for."""
        new = families[self.slots(families) < 0]
        if len(self.keys) and len(self.keys) + len(new) > self.room:
            self.flush()
            new = families
        new = new[: self.room - len(self.keys)]
        split, first = len(self.turns), len(self.keys)
        size, classes = self.at_once // split, self.parents.classes(new)
        for k in np.unique(classes):
            mine = np.flatnonzero(classes == k)
            for some in np.split(mine, range(size, len(mine), size)):
                made = as_reals(self.computed(int(k), self._children(new[some])), namespace(self.half))
                self.values[(first + some[0]) * split : (first + some[-1] + 1) * split, :] = made
        keys, places = np.append(self.keys, new), np.append(self.places, first + np.arange(len(new)))
        order = np.argsort(keys)
        self.keys, self.places = keys[order], places[order]

    def slots(self, families: Keys) -> Keys:
        """Where families stand, -1 for those that are not here."""
        at = np.searchsorted(self.keys, families)
        here = np.append(self.keys, -1)[at] == families
        return np.where(here, np.append(self.places, -1)[at], -1)

    def computed(self, k: int, rotations: Floats) -> Array:
        """Slices (M, J) of map ``k``."""
        parts = self.space.parts
        return extract(self.half[k : k + 1, ...], rotations, parts.kx, parts.ky, PADDING)[0, ...]

    def slices(self, points: Keys) -> Array:
        """Slices (M, 2 J) of points, as reals, wherever they come from."""
        xp, split = namespace(self.half), len(self.turns)
        slots = self.slots(points // split)
        if (slots >= 0).all():
            return xp.take(self.values, xp.asarray(slots * split + points % split), axis=0)
        rotations, classes = self.grid.rotations(points), self.grid.classes(points)
        each = [self.values[slot * split + key % split, :] if slot >= 0 else
                as_reals(self.computed(int(k), rotation[None])[0, :], xp)
                for key, slot, k, rotation in zip(points, slots, classes, rotations, strict=True)]
        return xp.stack(each)

    def add(self, points: Keys, numerator: Array, weights: NDArray[np.float32], c: Array) -> None:
        """What an image says of points (M,), each once: numerators (M, 2 J), and ``weights`` (M,) of its c (J,)."""
        assert self.inserter is not None
        split, xp = len(self.turns), namespace(self.half)
        slots = self.slots(points // split)
        rows = np.where(slots >= 0, slots * split + points % split, -1)
        self.used[rows[rows >= 0]] = True
        if in_loops(numerator):
            kernels.add_rows(self.numerators, self.weights, rows, numerator, weights, c)
        else:
            some = np.flatnonzero(rows >= 0)
            for table, values in ((self.numerators, xp.take(numerator, xp.asarray(some), axis=0)),
                                  (self.weights, xp.asarray(weights[some])[:, None] * c[None, :])):
                if is_cupy(table) or isinstance(table, np.ndarray):
                    table[rows[some]] += values
                else:
                    for i, row in enumerate(rows[some]):
                        table[int(row), :] += values[i, :]
        if (beyond := np.flatnonzero(rows < 0)).size:
            heavy = xp.asarray(weights[beyond])[:, None] * c[None, :]
            self._insert(points[beyond], xp.take(numerator, xp.asarray(beyond), axis=0), heavy,
                         np.arange(len(beyond)))
        if in_loops(numerator):
            self.spare.append(numerator if numerator.base is None else numerator.base)

    def flush(self) -> None:
        """Insert the sums, and forget everything."""
        if self.inserter is not None:
            split = len(self.turns)
            size = max(self.inserter.most // (split * len(self.space.bins)), 1)
            for first in range(0, len(self.keys), size):
                some = slice(first, first + size)
                rows = (self.places[some, None] * split + np.arange(split)).ravel()
                points = (self.keys[some, None] * split + np.arange(split)).ravel()
                used = np.flatnonzero(self.used[rows])
                self._insert(points[used], self.numerators, self.weights, rows[used])
            taken = slice(0, len(self.keys) * split)
            self.numerators[taken, :], self.weights[taken, :], self.used[taken] = 0.0, 0.0, False
        self._forget()

    def _insert(self, points: Keys, numerators: Array, weights: Array, rows: Keys) -> None:
        """Points (M,), which stand in some rows of these, into the volumes of their classes, in their order."""
        assert self.inserter is not None
        xp, rotations, classes = namespace(self.half), self.grid.rotations(points), self.grid.classes(points)
        for k in np.unique(classes):
            mine = np.flatnonzero(classes == k)
            at = xp.asarray(rows[mine])
            self.inserter.add(int(k), as_columns(xp.take(numerators, at, axis=0), self.space, xp),
                              xp.take(weights, at, axis=0), rotations[mine])

    def _children(self, families: Keys) -> Floats:
        return (self.turns[None] @ self.parents.rotations(families)[:, None]).reshape(-1, 3, 3)

    def _forget(self) -> None:
        self.keys, self.places = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
