"""The exercises of lesson 5, from 2D to 3D.

Arrays are named as in the lesson: ``gamma`` (O, S) the probability of each orientation and shift for one particle,
``V`` a map (n, n, n), ``scores`` (O,) of the orientations in the order in which they are visited.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.course.exercises import (
    Exercise,
    Wrong,
    call,
    call_for_array,
    call_for_number,
    describe,
    first_match,
    real_array,
    same,
    shape_of,
    whole_number,
)

Array = NDArray[Any]


# ---- the solutions, as the lesson's later cells use them ------------------------------------------------------

def hypotheses(order: int, shifts: int) -> int:
    """How many hypotheses a 3D search has: directions × in-plane rotations × shifts."""
    return int(12 * 4**order * 6 * 2**order * shifts)


def over_directions(gamma: Array, in_plane: int) -> Array:
    """(D,): the probability of each direction of view, whatever the in-plane rotation and the shift."""
    return np.asarray(gamma.reshape(-1, in_plane, gamma.shape[1]).sum(axis=(1, 2)))


def hands(V: Array, truth: Array) -> Array:
    """(2,): the correlation with the truth of a map, and of its mirror image."""
    from cryoedu.geometry.turning import mirrored

    return np.array([np.corrcoef(one.ravel(), truth.ravel())[0, 1] for one in (V, mirrored(V))])


def first_better(scores: Array, present: float) -> int:
    """The place of the first score above ``present``, or -1 if there is none."""
    better = np.flatnonzero(scores > present)
    return int(better[0]) if len(better) else -1


def sgd_step(V: Array, velocity: Array, best: Array, rate: float, momentum: float) -> tuple[Array, Array]:
    """The next map and the next velocity, given the map that would be best for the mini-batch."""
    velocity = momentum * velocity + (1 - momentum) * rate * (best - V)
    return V + velocity, velocity


def success_rate(arrived: int, starts: int) -> tuple[float, float]:
    """Mean and standard deviation of the success rate, if before every rate was equally likely."""
    rate = (arrived + 1) / (starts + 2)
    return rate, math.sqrt(rate * (1 - rate) / (starts + 3))


# ---- the judges -------------------------------------------------------------------------------------------------

def judge_hypotheses(answer: Any) -> str | None:
    """5.1: 12·4^k · 6·2^k · S."""
    for order, shifts in ((2, 13), (3, 29), (1, 1)):
        right, value = hypotheses(order, shifts), call_for_number(answer, order, shifts)
        if not same(value, right, 1e-6):
            directions, in_plane = 12 * 4**order, 6 * 2**order
            return first_match(value, {
                "These are the orientations. Each of them is tried with every shift: multiply by the shifts.":
                    directions * in_plane,
                "The in-plane rotations are missing: each direction is tried with 6·2^k of them.": directions * shifts,
                "The directions are missing: there are 12·4^k of them.": in_plane * shifts,
                "You added. Every direction goes with every in-plane rotation and every shift: multiply.":
                    directions + in_plane + shifts,
                "You added the shifts. Every orientation is tried with every shift: multiply.":
                    directions * in_plane + shifts,
                "The number of directions grows as 4^k, not as 2^k: a sphere has two dimensions.":
                    12 * 2**order * in_plane * shifts,
                "The in-plane angles grow as 2^k, not as 4^k: a circle has one dimension.":
                    directions * 6 * 4**order * shifts,
                "With order 0 there are 12 directions and 6 in-plane rotations already: 12·4^k, 6·2^k.":
                    4**order * 2**order * shifts,
            }, 1e-6) or (f"For order {order} and {shifts} shifts there are {directions} directions and {in_plane} "
                         "in-plane rotations. Multiply the three numbers.")
    return None


def judge_directions(answer: Any) -> str | None:
    """5.2: the marginal of Γ over the directions."""
    for seed, directions, in_plane, shifts in ((521, 12, 6, 5), (522, 48, 12, 1), (523, 7, 4, 3)):
        gamma = np.random.default_rng(seed).dirichlet(np.full(directions * in_plane * shifts, 0.1))
        gamma = gamma.reshape(directions * in_plane, shifts)
        right, cube = over_directions(gamma, in_plane), gamma.reshape(directions, in_plane, shifts)
        shape: Any = shape_of(call(answer, gamma, in_plane))
        if shape != right.shape:
            raise Wrong({
                (in_plane,): "That is the probability of each in-plane rotation. Keep the directions, and add up over "
                             "the in-plane rotations and the shifts.",
                (directions * in_plane,): "You added up over the shifts only. Each direction stands in so many rows, "
                                          "one after the other, as there are in-plane rotations: add those up too.",
                (directions, in_plane): "The shifts are gone, the in-plane rotations are still there: add up over them "
                                        "too.",
                (directions, shifts): "The in-plane rotations are gone, the shifts are still there: add up over them "
                                      "too.",
                (): "One number for each direction is asked for, not one for all of them.",
            }.get(shape, f"Your function returns the shape {shape}, but there are {directions} "
                                f"directions: ({directions},) is asked for."))
        value = call_for_array(answer, right.shape, gamma, in_plane)
        if not same(value, right):
            crossed = gamma.reshape(in_plane, directions, shifts).sum(axis=(0, 2))
            problem = first_match(value, {
                "You mixed up rows: the in-plane rotations of one direction stand together, so the in-plane rotation "
                "is the axis that runs faster: reshape(-1, in_plane, shifts).": crossed,
                "You took the mean. Probabilities of things that exclude each other add up: take the sum.":
                    cube.mean(axis=(1, 2)),
                "You took the mean over one of the two axes. Take the sum over both.": cube.mean(axis=1).sum(axis=1),
                "You took the mean over the shifts. Take the sum over both.": cube.mean(axis=2).sum(axis=1),
                "You kept the first in-plane rotation of each direction. Add up over all of them.":
                    cube[:, 0].sum(axis=1),
                "You divide by the largest value. Probabilities add up to 1 as they are.": right / right.max(),
                "You kept the best in-plane rotation and shift of each direction. That is option 1; to marginalise is "
                "to add up over all of them.": cube.max(axis=(1, 2)),
                "You kept the best in-plane rotation. Add up over all of them.": cube.sum(axis=2).max(axis=1),
                "You kept the best shift. Add up over all of them.": cube.max(axis=2).sum(axis=1),
            })
            return problem or (f"That is not the probability of each direction; yours add up to {value.sum():.3f}. "
                               "Reshape Γ to (directions, in_plane, shifts) and add up over the last two axes.")
    return None


def judge_hands(answer: Any) -> str | None:
    """5.3: correlations of both hands with the truth."""
    from cryoedu.geometry.turning import mirrored

    for seed, flip in ((531, False), (532, True)):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=(8, 8, 8)) + 2
        V = (mirrored(truth) if flip else truth) * 3 + rng.normal(size=(8, 8, 8)) + 1
        right = hands(V, truth)
        result = call(answer, V, truth)
        if shape_of(result) == (2, 2, 2):
            raise Wrong("np.corrcoef gives a table of 2 × 2. The correlation of the two maps is its entry [0, 1].")
        if shape_of(result) != (2,):
            raise Wrong("Two numbers are asked for, of V and of its mirror image, but your function returns "
                        f"{describe(result)}.")
        value = call_for_array(answer, (2,), V, truth)

        def cosines(one: Array, other: Array, at: Array) -> Array:
            return np.array([np.sum(v * at) / np.linalg.norm(v) / np.linalg.norm(at) for v in (one, other)])

        if not same(value, right):
            def with_mirror(other: Array, V: Array = V, truth: Array = truth) -> Array:
                return np.array([np.corrcoef(v.ravel(), truth.ravel())[0, 1] for v in (V, other)])

            covariance = np.array([np.mean((v - v.mean()) * (truth - truth.mean())) for v in (V, mirrored(V))])
            return first_match(value, {
                "The two are right, but in the wrong order: first the map as it is, then its mirror image.":
                    right[::-1],
                "You did not subtract the means, so that a constant background counts as likeness; np.corrcoef does.":
                    cosines(V, mirrored(V), truth),
                "V[::-1] alone also moves the map by a voxel, because the centre is voxel n // 2. Use mirrored(V).":
                    with_mirror(V[::-1]),
                "You flipped the first axis of both maps, so both numbers compare V as it is. Mirror V alone.":
                    with_mirror(V),
                "You flipped another axis. That is a mirror image too, but turned by half a turn against the one that "
                "mirrored(V) makes, and so turned away from the truth.": with_mirror(np.roll(V[:, :, ::-1], 1, 2)),
                "You flipped the y axis. That is a mirror image too, but turned by half a turn against the one that "
                "mirrored(V) makes, and so turned away from the truth.": with_mirror(np.roll(V[:, ::-1], 1, 1)),
                "You flipped two axes. That is half a turn, which does not change the hand. A mirror flips one.":
                    with_mirror(np.roll(V[::-1, ::-1], (1, 1), (0, 1))),
                "You flipped all three axes. That changes the hand, but it turns the map as well, away from the truth. "
                "Use mirrored(V), which flips z only.":
                    with_mirror(np.roll(V[::-1, ::-1, ::-1], (1, 1, 1), (0, 1, 2))),
                "These are the squares of the correlations.": right**2,
                "These are covariances: divide by the two standard deviations, as np.corrcoef does.": covariance,
            }) or ("Those are not the two correlations. For V and for mirrored(V): np.corrcoef(map.ravel(), "
                   "truth.ravel())[0, 1].")
    return None


NOTHING = -99  # stands for None, where an answer gives it only now and then


def judge_first_better(answer: Any) -> str | None:
    """5.4: the rule of stochastic hill climbing."""
    rng = np.random.default_rng(541)
    asked: list[tuple[Array, float]] = []
    for k in range(12):
        scores = rng.normal(size=rng.integers(6, 12)).round(2)
        present = float(np.sort(scores)[-1 - rng.integers(2, 5)])  # some are better, and one is as good
        if k % 4 == 3:
            scores = np.roll(scores, 2 - int(scores.argmax()))
            present = float(scores.max())  # none is better
        asked.append((scores, present))
    call_for_number(answer, *asked[0])

    def ask(scores: Array, present: float) -> float:
        try:
            return call_for_number(answer, scores, present)
        except Wrong as wrong:
            if "(None)" in str(wrong):
                return NOTHING
            raise

    given, right = [ask(*a) for a in asked], [first_better(*a) for a in asked]
    return None if given == right else _not_first(asked, given, right, again=[ask(*a) for a in asked])


def _not_first(asked: list[tuple[Array, float]], given: list[float], right: list[int],
               again: list[float]) -> str:
    """Why the places ``given`` for scores and present ones are not those ``right``; ``again``: asked a second time."""
    none = [g for g, r in zip(given, right, strict=True) if r == -1]
    some = [(float(g), scores, present, r) for (scores, present), g, r in zip(asked, given, right, strict=True)
            if r != -1]
    if [g for g, *_ in some] == [r for *_, r in some]:
        if set(none) == {NOTHING}:
            return ("Right where one is better. If none is better, your function returns nothing (None): return -1, "
                    "the particle stays.")
        if set(none) == {0.0}:
            return ("If no orientation is better, the answer is -1: the particle stays. np.argmax of an array that is "
                    "False everywhere is 0, the first orientation, better or not.")
        if none == [float(s.argmax()) for (s, _), r in zip(asked, right, strict=True) if r == -1]:
            return ("If no orientation is better, the particle stays: return -1. An orientation that is only as good "
                    "as the present one is no step up the hill.")
        return "If no orientation is better than the present one, return -1: the particle stays."

    rules: dict[str, Callable[[Array, float], Any]] = {
        "You look through all of them and take the best. That is the greedy rule. Stop at the first that is better.":
            lambda s, p: s.argmax(),
        "You also accept one that is only as good as the present one. Better means larger: > and not >=.":
            lambda s, p: np.flatnonzero(s >= p)[0],
        "You take the first that is worse. Better means a larger score: scores > present.":
            lambda s, p: np.flatnonzero(s < p)[0],
        "That is the last of the better ones. Stop at the first.": lambda s, p: np.flatnonzero(s > p)[-1],
        "You take the smallest step, the one that is only just better. Take the first that you meet.":
            lambda s, p: np.flatnonzero(s == s[s > p].min())[0],
        "You return a score. Asked for is its place in the list: 0 for the first.": lambda s, p: s[s > p][0],
        "You count from 1. Places in Python count from 0.": lambda s, p: np.flatnonzero(s > p)[0] + 1,
        "You return how many are better. Asked for is the place of the first of them.": lambda s, p: np.sum(s > p),
        "You return True or False. Asked for is the place of the first better one.": lambda s, p: 1,
    }
    for why, rule in rules.items():
        if all(g == rule(scores, present) for g, scores, present, _ in some):
            return why
    if again != given or all(g in range(len(scores)) and scores[int(g)] > present for g, scores, present, _ in some):
        return ("You take one that is better, but not the first that is met. The order of the visit is random already: "
                "stop at the first better one.")
    value, scores, present, first = next(one for one in some if one[0] != one[3])
    said = "nothing (None)" if value == NOTHING else f"{value:g}"
    return (f"For the scores {scores.tolist()} and a present score of {present:g} the answer is {first}, but your "
            f"function returns {said}.")


def judge_sgd_step(answer: Any) -> str | None:
    """5.5: a step of gradient descent with momentum."""
    rng = np.random.default_rng(551)
    V, velocity, best = rng.normal(size=(3, 1, 4, 5, 6))
    for rate, momentum in ((0.9, 0.5), (0.4, 0.8)):
        right = np.stack(sgd_step(V, velocity, best, rate, momentum))
        result = call(answer, V, velocity, best, rate, momentum)
        if shape_of(result) == V.shape:
            raise Wrong("Your function returns one map. Two are asked for: return V, velocity (both after the step).")
        if shape_of(result) != right.shape:
            raise Wrong(f"Your function returns {describe(result)}. Two maps are asked for: return V, velocity.")
        value = call_for_array(answer, right.shape, V, velocity, best, rate, momentum)
        if not same(value, right):
            push = best - V

            def pair(v: Array, V: Array = V) -> Array:
                return np.stack([V + v, v])

            return first_match(value, {
                "The velocity is right, but the map has moved by the old velocity. Compute the new one first, then add "
                "it to V.": np.stack([V + velocity, right[1]]),
                "The velocity is right, but the map has not moved: add the velocity to V.": np.stack([V, right[1]]),
                "The two maps are right, but in the wrong order: return V, velocity.": right[::-1],
                "The map is right, but you return the old velocity: the next step builds on the new one.":
                    np.stack([right[0], velocity]),
                "You go back: V − velocity. The velocity points towards the best map already, so add it.":
                    np.stack([V - right[1], right[1]]),
                "You multiply by the rate when the map moves. It belongs into the velocity, to best − V.":
                    np.stack([V + rate * (right[1] + (1 - momentum) * (1 - rate) * push),
                              right[1] + (1 - momentum) * (1 - rate) * push]),
                "The rate multiplies the old velocity too. It belongs to best − V only.":
                    pair(rate * (momentum * velocity + (1 - momentum) * push)),
                "The factor 1 − m is missing: what momentum keeps of the old direction, the new one must give up, or "
                "the steps grow too long.": pair(momentum * velocity + rate * push),
                "You forgot the rate r.": pair(momentum * velocity + (1 - momentum) * push),
                "You forgot the momentum: m times the old velocity belongs to the new one.":
                    pair((1 - momentum) * rate * push),
                "The sign is wrong: the map has to go towards the best map for the batch, V* − V.":
                    pair(momentum * velocity - (1 - momentum) * rate * push),
                "You exchanged m and 1 − m.": pair((1 - momentum) * velocity + momentum * rate * push),
                "You go towards V* itself instead of towards V* − V.":
                    pair(momentum * velocity + (1 - momentum) * rate * best),
            }) or ("That is not the step. velocity = m · velocity + (1 − m) · r · (best − V), then V + velocity; "
                   "return both.")
    return None


def judge_success_rate(answer: Any) -> str | None:
    """5.6: mean and spread of a Beta distribution."""
    for arrived, starts in ((4, 4), (2, 10), (7, 9)):
        right, result = np.array(success_rate(arrived, starts)), call(answer, arrived, starts)
        if shape_of(result) != (2,):
            raise Wrong(f"Your function returns {describe(result)}. Two numbers are asked for: return rate, spread.")
        value = call_for_array(answer, (2,), arrived, starts)
        if not same(value, right):
            p, n, naive = right[0], starts, arrived / starts
            return first_match(value, {
                "That is arrived / starts with the usual formula. It claims that 4 of 4 means certainty. Add one "
                "success and one failure first: (arrived + 1) / (starts + 2).":
                    np.array([naive, math.sqrt(naive * (1 - naive) / n)]),
                "The rate is arrived / starts. Add one success and one failure first, or 4 of 4 would mean certainty.":
                    np.array([naive, right[1]]),
                "The rate is right. Take the square root of p(1 − p)/(n + 3).": np.array([p, right[1] ** 2]),
                "The rate is right, but the spread has n + 3 below, not n.": np.array([p, math.sqrt(p * (1 - p) / n)]),
                "The rate is right, but the spread has n + 3 below, not n + 2.":
                    np.array([p, math.sqrt(p * (1 - p) / (n + 2))]),
                "The rate is right; p(1 − p) is not divided by n + 3.": np.array([p, math.sqrt(p * (1 - p))]),
                "The two are right, but in the wrong order: return rate, spread.": right[::-1],
                "Those are per cent. A rate is between 0 and 1.": 100 * right,
                "You added one success, but no failure: (arrived + 1) / (starts + 2).": np.array([
                    (arrived + 1) / (n + 1),
                    math.sqrt(max((arrived + 1) / (n + 1) * (1 - (arrived + 1) / (n + 1)), 0) / (n + 3))]),
            }) or (f"For {arrived} of {starts} the rate is {p:.3f} and the spread {right[1]:.3f}; your function "
                   f"returns {value[0]:.3f} and {value[1]:.3f}.")
    return None


EXERCISES = (
    Exercise("5.1", "How many hypotheses has a search in 3D?", judge_hypotheses,
             "Each halving of the step makes eight times more orientations: three angles, a factor of two for each.",
             ("Every direction is tried with every in-plane rotation, and each of these orientations with every shift.",
              "Directions: 12 * 4**order. In-plane rotations: 6 * 2**order.",
              "return 12 * 4**order * 6 * 2**order * shifts"), hypotheses, whole_number),
    Exercise("5.2", "From Γ to the probability of each direction.", judge_directions,
             "That is marginalising once more: whatever the in-plane rotation and the shift.",
             ("What excludes each other adds up: sum over everything that is not the direction.",
              "The rows of gamma are orientations: all in-plane rotations of the first direction, then all of the "
              "second. reshape can pull the two apart.",
              "gamma.reshape(-1, in_plane, gamma.shape[1]) has the axes direction, in-plane rotation, shift.",
              "return gamma.reshape(-1, in_plane, gamma.shape[1]).sum(axis=(1, 2))"), over_directions, real_array),
    Exercise("5.3", "Which hand has a map?", judge_hands,
             "You could do this only because you know the truth. The images cannot tell.",
             ("np.corrcoef(a.ravel(), b.ravel()) is a table of 2 × 2; the number that you want is in [0, 1].",
              "mirrored(V) is the other hand, with the centre in its place.",
              "return np.array([np.corrcoef(one.ravel(), truth.ravel())[0, 1] for one in (V, mirrored(V))])"), hands,
             real_array),
    Exercise("5.4", "Write the rule of stochastic hill climbing.", judge_first_better,
             "One line makes the difference between greedy and stochastic: where you stop.",
             ("scores > present is an array of True and False, in the order of the visit.",
              "np.flatnonzero(scores > present) lists the places of those that are better. It may be empty.",
              "better = np.flatnonzero(scores > present); return better[0] if len(better) else -1"), first_better,
             whole_number),
    Exercise("5.5", "Write a step of stochastic gradient descent with momentum.", judge_sgd_step,
             "With all particles in the batch, r = 1 and m = 0, this is generalised EM: an M-step that goes uphill, by "
             "one step along the gradient, not all the way to the top.",
             ("First the new velocity, from the old one and from best − V. Then the map.",
              "velocity = momentum * velocity + (1 - momentum) * rate * (best - V)",
              "return V + velocity, velocity"), sgd_step, real_array),
    Exercise("5.6", "How sure is a success rate?", judge_success_rate,
             "Four of four, and the rate may still be two thirds. Ten starts tell more than four, a hundred would tell "
             "more than ten.",
             ("rate = (arrived + 1) / (starts + 2): one success and one failure are added.",
              "The spread is a standard deviation: the square root of rate (1 − rate) / (starts + 3).",
              "return rate, np.sqrt(rate * (1 - rate) / (starts + 3))"), success_rate, real_array),
)
