"""Lesson 6: the course's own answers against the definitions in loops and the package's own measures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from wrong_answers.lesson06 import correct, loops_accuracy, naive_posterior, naive_supervised

from cryoedu.course import lesson06 as L
from cryoedu.course.exercises import exercise
from cryoedu.course.learner import judged
from cryoedu.course.namings import NAMINGS, UNEVEN, naming, naming_mistakes
from cryoedu.validation.classes import agreement, contingency


def test_the_solutions_are_the_definitions_in_loops():
    log_p, weights = L.scores(7)
    assert L.class_posterior(log_p, weights) == pytest.approx(naive_posterior(log_p, weights))
    found, truth = naming(NAMINGS[0], 7)
    assert L.accuracy(found, truth) == pytest.approx(loops_accuracy(found, truth))
    assert L.accuracy(found, truth) == pytest.approx(agreement(found, truth))
    one, two = np.random.default_rng(7).normal(-20, 2, (2, 9))
    assert L.supervised(one, two, 0.3) == pytest.approx(naive_supervised(one, two, 0.3))


def test_independent_solutions_written_in_loops_pass_too():
    assert judged(exercise("6.4"), loops_accuracy)[0] == "right"
    assert judged(exercise("6.6"), lambda p, t: np.mean([row.max() for row in p]) - correct(p, t))[0] == "right"


def test_tables_of_6_4_tell_every_wrong_way_from_the_right_one():
    """On a table where taking the fullest cell first happens to be right, a greedy answer passes."""
    for table in NAMINGS:
        found, truth = naming(table, 3)
        assert L.accuracy(found, truth) not in naming_mistakes(np.array(table)).values()
    for table in (*NAMINGS, *UNEVEN):
        found, truth = naming(table, 4)
        assert contingency(found, truth).shape == np.shape(table)
        assert L.accuracy(found, truth) == pytest.approx(agreement(found, truth))


def test_a_class_without_weight_gets_nothing():
    """In the lesson with K = 4 one class all but dies; its logarithm must not spoil the others."""
    log_p, _ = L.scores(8)
    p = L.class_posterior(log_p, np.array([0.5, 0.5, 0.0]))
    assert (p[:, 2] == 0).all() and p.sum(axis=1) == pytest.approx(np.ones(len(p)))


def test_the_table_of_the_limit_is_that_of_the_benchmark():
    """Numbers that were measured elsewhere must not drift from where they are written."""
    root = Path(__file__).parents[2]
    lesson = (root / "notebooks" / "source" / "06_ml3d_classification.py").read_text()
    written = (root / "benchmarks" / "against_relion.md").read_text()
    for count in ("2,000", "10,000"):
        part = written.split(f"## 3D classes, true poses: {count} particles")[1].split("\n## ")[0]
        rows = dict(re.findall(r"^\| (particles in the right class|oracle[^|]*) \| (.*) \|$", part, flags=re.MULTILINE))
        measured = set(re.findall(r"[\d.]{4}", " ".join(rows.values())))
        (row,) = re.findall(rf"^# \| {count} \| (.*) \|$", lesson, flags=re.MULTILINE)
        printed = re.findall(r"[\d.]{4}", row)
        assert len(printed) >= 3 and set(printed) <= measured
