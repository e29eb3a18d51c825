"""Lesson 0: usual mistakes, and some words of what a learner who makes them is told."""

from __future__ import annotations

import math

import numpy as np

WRONG = [
    ("0.1", 64, "number of pixels"),
    ("0.1", 5.5, "one pixel"),
    ("0.1", 64 / 5.5, "divided"),
    ("0.1", 69.5, "added"),
    ("0.1", 35.2, "nanometres"),
    ("0.1", 352**2, "area"),
    ("0.1", 22528, "one row"),
    ("0.1", 1000, "not it"),
    ("0.1", "352 Å", "One number"),
    ("0.2", lambda x: x, "as it was"),
    ("0.2", lambda x: x - x.mean(), "standard deviation is not yet 1"),
    ("0.2", lambda x: x / x.std(), "mean is not yet 0"),
    ("0.2", lambda x: x - x.mean() / x.std(), "brackets"),
    ("0.2", lambda x: (x - x.mean()) / x.var(), "variance"),
    ("0.2", lambda x: (x - x.min()) / (x.max() - x.min()), "0 to 1"),
    ("0.2", lambda x: (x - x.mean()) / x.max(), "largest pixel"),
    ("0.2", lambda x: np.array([(r - r.mean()) / r.std() for r in x]), "each row"),
    ("0.2", lambda x: np.array([(c - c.mean()) / c.std() for c in x.T]).T, "each column"),
    ("0.2", lambda x: np.cos(x), "should be 0 and 1"),
    ("0.2", lambda x: x.mean(), "shape"),
    ("0.2", 3, "A function is asked for"),
    ("0.3", np.arange(0, 361, 5), "73 angles"),
    ("0.3", np.arange(0, 355, 5), "too early"),
    ("0.3", np.arange(5, 360, 5), "left out 0"),
    ("0.3", np.arange(360), "whole degrees"),
    ("0.3", np.arange(0, 360, 72), "steps of 72"),
    ("0.3", np.linspace(0, 360, 72), "linspace"),
    ("0.3", np.arange(5, 361, 5), "begin at 5"),
    ("0.3", np.arange(72), "0 to 71"),
    ("0.3", [math.radians(5 * k) for k in range(72)], "radians"),
    ("0.3", list(range(355, -1, -5)), "other way round"),
    ("0.3", np.zeros(72), "not 0, 5, 10"),
    ("0.3", np.zeros(7), "72 angles, but you have 7"),
    ("0.3", np.zeros((8, 9)), "one axis"),
    ("0.3", 5, "one axis"),
    ("0.3", "0 to 355", "array of numbers"),
]
