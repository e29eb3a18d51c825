"""What solvers are told: by settings or by name, and never past them."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import numpy as np
import pytest

import cryoedu.inference
from cryoedu import arrays, machine
from cryoedu.geometry.grids import search_2d, search_3d
from cryoedu.inference import align2d, classify2d, classify3d, gold_standard, refine, seeds_from_subsets
from cryoedu.inference.crossfit import classify3d_in_folds, cross_fit
from cryoedu.inference.gradient_descent import stochastic_gradient_descent
from cryoedu.inference.hillclimbing import stochastic_hill_climbing
from cryoedu.inference.settings import (
    EM,
    HERE,
    Compute,
    CrossFit,
    GoldStandard,
    GradientDescent,
    HillClimbing,
    told,
    turned_by,
)
from cryoedu.inference.start import start_model
from cryoedu.particles import Particles

SETTINGS = (EM, CrossFit, GoldStandard, GradientDescent, HillClimbing)


class Untouched:
    """Particles that nobody may look at yet."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked for before the settings were read")

    def __len__(self):
        raise AssertionError("counted before the settings were read")


NONE, MAP, GRID = Untouched(), np.ones((8, 8, 8), dtype=np.float32), search_3d(0)
SOLVERS = {
    "refine": lambda **named: refine(NONE, None, GRID, **named),
    "align2d": lambda **named: align2d(NONE, GRID, **named),
    "classify2d": lambda **named: classify2d(NONE, 2, GRID, seed=1, **named),
    "classify3d": lambda **named: classify3d(NONE, MAP, 2, GRID, seed=1, **named),
    "cross_fit": lambda **named: cross_fit(NONE, None, GRID, seed=1, **named),
    "classify3d_in_folds": lambda **named: classify3d_in_folds(NONE, MAP, 2, GRID, seed=1, **named),
    "gold_standard": lambda **named: gold_standard(NONE, MAP, GRID, seed=1, **named),
    "gradient descent": lambda **named: stochastic_gradient_descent(NONE, GRID, seed=1, **named),
    "hill climbing": lambda **named: stochastic_hill_climbing(NONE, GRID, seed=1, **named)}


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_a_misspelt_setting_is_refused_before_anything_is_done(solver):
    """Half an hour of seeds, and only then the sentence that the name is wrong."""
    with pytest.raises(TypeError, match=r"'iteration' is no setting of \w+: did you mean 'iterations'\?"):
        solver(iteration=3)
    with pytest.raises(TypeError, match="'tau_fudge' is no setting of"):
        solver(tau_fudge=4)
    with pytest.raises(TypeError, match=r"'qqq' is no setting .*: choose of .*iterations.*, and array_library"):
        solver(qqq=1)


def test_a_misspelt_setting_of_em_is_told_what_it_may_have_meant():
    with pytest.raises(TypeError, match="did you mean 'tau2_fudge'"):
        classify3d(NONE, MAP, 2, GRID, seed=1, tau_fudge=4)


def test_seeds_know_what_they_are_told():
    """Options that a solver has and its seeds would not heed were dropped without a word."""
    particles = Particles.of(np.random.default_rng(1).standard_normal((6, 8, 8)), 10.0)
    with pytest.raises(TypeError, match="'tau2' is no setting"):
        seeds_from_subsets(particles, MAP, 2, GRID, seed=1, tau2=4)


def test_settings_may_be_given_whole_or_by_name():
    """With the same result; what is given by name counts."""
    particles = Particles.of(np.random.default_rng(1).standard_normal((12, 8, 8)), 10.0)
    model = start_model(particles, particles.images[:1])
    grid = search_2d(40)
    whole, named, both = (list(run) for run in (
        refine(particles, model, grid, EM(iterations=2, tau2_fudge=2.0), compute=Compute(array_library="numpy")),
        refine(particles, model, grid, iterations=2, tau2_fudge=2.0, array_library="numpy"),
        refine(particles, model, grid, EM(iterations=9, tau2_fudge=2.0), iterations=2, array_library="numpy")))
    assert len(whole) == len(named) == len(both) == 2
    for one, other in zip(whole * 2, named + both, strict=True):
        np.testing.assert_array_equal(one.model.maps, other.model.maps)
        assert one.tau2_fudge == other.tau2_fudge == 2.0


def test_the_seed_turns_the_grid_unless_the_settings_do():
    assert turned_by(3, EM()) == {"perturb_seed": 3} and turned_by(3, CrossFit(perturb_seed=5)) == {}


def test_settings_do_not_change():
    with pytest.raises(FrozenInstanceError):
        EM().iterations = 3  # type: ignore[misc]


def test_every_setting_is_read():
    """An option that nobody reads promises what does not happen."""
    text = "".join(path.read_text(encoding="utf-8") for path in Path(cryoedu.inference.__path__[0]).glob("*.py")
                   if path.name != "settings.py")
    read = set(re.findall(r"(?:settings|compute)\.(\w+)", text))
    unread = {f"{kind.__name__}.{field.name}" for kind in (*SETTINGS, Compute) for field in fields(kind)
              if field.name not in read}
    assert not unread


def test_the_library_is_looked_for_once_and_memory_is_that_of_now(monkeypatch):
    """"auto" runs a product on the GPU to see; and what was free an hour ago may not be any more."""
    asked, free = [], [10**9]
    monkeypatch.setattr(arrays, "cupy_problem", lambda: asked.append(1) or "no GPU")
    monkeypatch.setattr(machine, "free_bytes", lambda xp: free[0])
    _, compute = told(EM(), HERE, {})
    assert compute is not HERE and compute.budget == 5 * 10**8 and compute.xp is compute.xp and len(asked) == 1
    assert told(EM(), compute, {"iterations": 2})[1] is compute
    free[0] = 4 * 10**8
    assert told(EM(), HERE, {})[1].budget == 2 * 10**8 and compute.budget == 5 * 10**8
