"""Exercise 6.4: do two classifications agree, whatever their classes are called?

``found`` and ``truth`` (N,) hold class numbers from 0. Classes are matched one to one, so that most particles agree.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import Wrong, call_for_number, first_match, same

Array = NDArray[Any]
Table = tuple[tuple[int, ...], ...]

# Particles in class k of one classification and class l of another [k, l]. In the first two, the best naming is neither
# a turn (0→1→2→3→0) nor an exchange of two names, and whoever takes the fullest cells first does not find it.
NAMINGS: tuple[Table, ...] = (((4, 0, 6, 1), (0, 3, 1, 5), (12, 5, 19, 19), (15, 9, 11, 0)),
                              ((3, 8, 10, 6), (3, 9, 16, 6), (2, 0, 5, 2), (1, 15, 18, 1)))
UNEVEN: tuple[Table, ...] = (((2, 9), (7, 1), (4, 3)), ((2, 7, 4), (9, 1, 3)),  # a class stays empty
                             ((5, 1, 2), (0, 0, 0), (3, 6, 4)))


def accuracy(found: Array, truth: Array) -> float:
    """Share of the particles in matching classes, whatever the classes are called."""
    count = int(max(found.max(), truth.max())) + 1
    table = np.zeros((count, count))
    np.add.at(table, (found, truth), 1)
    best = max(sum(table[k, match[k]] for k in range(count)) for match in permutations(range(count)))
    return float(best / len(truth))


def naming(table: Table, seed: int) -> tuple[Array, Array]:
    """Class numbers (N,) of two classifications with this table (K, L), in random order."""
    cells = np.argwhere(np.ones_like(table))
    both = np.repeat(cells, np.ravel(table), axis=0)
    found, truth = np.random.default_rng(seed).permutation(both).T.copy()
    return found, truth


def judge_accuracy(answer: Any) -> str | None:
    """6.4: agreement under the best naming of the classes."""
    for seed, table in enumerate(NAMINGS):
        found, truth = naming(table, 641 + seed)
        right = accuracy(found, truth)
        value = call_for_number(answer, found, truth)
        if not same(value, right):
            return first_match(value, naming_mistakes(np.array(table)), 1e-4) or (
                "That is not the share under the best naming. Count a table [found, truth]; for each permutation of "
                "0 … K−1 add up the cells it picks; divide the best sum by the number of particles.")
    for seed, table in enumerate(UNEVEN):
        found, truth = naming(table, 643 + seed)
        try:
            agreed = same(call_for_number(answer, found, truth), accuracy(found, truth))
        except Wrong:
            agreed = False
        if not agreed:
            return ("Right while both have a particle in each of the K classes. But a class may stay empty in one of "
                    "them: count K from the larger number, max(found.max(), truth.max()) + 1, and give the table K "
                    "rows and K columns.")
    return None


def naming_mistakes(table: Array) -> dict[str, Any]:
    """What is wrong with an answer to 6.4 -> the answer, of the square ``table`` (K, K)."""
    count, every = int(table.sum()), list(permutations(range(len(table))))
    sums = {match: sum(table[k, match[k]] for k in range(len(table))) for match in every}
    best = max(sums.values())

    def greatest(among: Any) -> Any:
        return max(sums[m] for m in every if among(m)) / count

    return {
        "You compare the numbers as they are. Class 0 of a run may be class 2 of the truth: try every "
        "permutation of the names and take the best.": np.trace(table) / count,
        "You let every class pick its commonest true class, so that two classes may pick the same one. That is "
        "the purity; here the names must be matched one to one.": table.max(axis=1).sum() / count,
        "You let every true class pick its commonest class, so that two may pick the same one. The names must "
        "be matched one to one.": table.max(axis=0).sum() / count,
        "You take the fullest cell first, then the fullest one that is left. A good first pair can spoil the others: "
        "try every permutation of the names.": picked(table, largest_first=True) / count,
        "You name one class after the other, each with the best name that is left. The first ones take the names that "
        "others need more: try every permutation of the names.": picked(table) / count,
        "You name one true class after the other, each with the best class that is left. The first ones take what "
        "others need more: try every permutation of the names.": picked(table.T) / count,
        "That is the number of particles. Divide it by how many there are.": best,
        "That is in percent. Give the share, from 0 to 1.": best / count * 100,
        "That is the share that is wrong.": 1 - best / count,
        "You only turned the names round (0→1→2→…→0). K classes have K! permutations, not K.":
            greatest(lambda m: all((m[k] - m[0] - k) % len(m) == 0 for k in range(len(m)))),
        "You only exchanged two names. K classes have K! permutations: try them all.":
            greatest(lambda m: sum(m[k] != k for k in range(len(m))) <= 2),
        "You divided by the number of classes or of permutations. Divide by the number of particles.":
            best / count / len(table),
        "That is the mean over the classes. Add up the particles first, then divide by their number.":
            max(np.mean([table[k, m[k]] / table[k].sum() for k in range(len(m))]) for m in every),
        "That is the mean over all namings. Take the best one.": np.mean(list(sums.values())) / count,
        "That is the worst naming. Take the best one: max, not min.": min(sums.values()) / count,
    }


def picked(table: Array, *, largest_first: bool = False) -> int:
    """Particles that agree if row after row takes the best column left, or if the fullest cell left is always next."""
    left, total = table.astype(float), 0
    for row in range(len(table)):
        k = int(left.max(axis=1).argmax()) if largest_first else row
        j = int(left[k].argmax())
        total += int(table[k, j])
        left[k], left[:, j] = -1, -1
    return total
