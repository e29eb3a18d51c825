"""The class explorer without a browser: its sections, its counts, its picture, and what it refuses."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.inference.model import Iteration, Model, unseen
from cryoedu.widgets.class_explorer import BINS, class_explorer

TRUTH = np.repeat([0, 1], [70, 30])


def run(turns=3, classes=2, box=8, ndim=3):
    """Iterations of a run that is made up: random maps, class probabilities that grow more certain."""
    rng = np.random.default_rng(5)
    out = []
    for t in range(turns):
        maps = rng.normal(size=(classes, *(box,) * ndim)).astype(np.float32)
        model = Model(maps, 11.0, np.ones((1, 5)), np.ones((classes, 5)), np.full(classes, 1 / classes), 5.0)
        p = rng.dirichlet(np.full(classes, 2.0 / (t + 1)), size=100)
        posterior = replace(unseen(100, classes), class_probability=p, classes=p.argmax(axis=1))
        out.append(Iteration(t + 1, model, model, posterior, 0.0, 4, np.ones((classes, 5))))
    return out


@pytest.fixture
def explorer():
    widget = class_explorer(run(), TRUTH, names=["whole", "large"])
    yield widget
    widget.close()


def test_sections_are_those_of_the_maps_that_the_particles_were_compared_with(explorer):
    """A section across another axis than it says would show a subunit where there is none."""
    history = run()
    explorer.iteration, explorer.depth = 2, 5
    for explorer.plane, cut in enumerate((np.s_[:, :, :, 5], np.s_[:, :, 5], np.s_[:, 5])):
        maps, apart = explorer.section()
        true = history[2].before.maps[cut]
        assert maps == pytest.approx(true, abs=1e-3)
        assert apart == pytest.approx(true - true.mean(axis=0), abs=1e-3)


def test_counts_and_table_hold_every_particle_once(explorer):
    for explorer.iteration in range(3):
        posterior = run()[explorer.iteration].posterior
        for explorer.shown in range(2):
            counts = explorer.counts()
            assert counts.sum(axis=1).tolist() == [70, 30]
            sure = posterior.class_probability[:70, explorer.shown] >= 1 - 1 / BINS
            assert counts[0, -1] == sure.sum()
        table = explorer.table()
        assert table.sum(axis=0).tolist() == [70, 30]
        assert table[1, 0] == np.sum(posterior.classes[:70] == 1)


def test_values_out_of_range_are_brought_back(explorer):
    explorer.iteration, explorer.plane, explorer.depth, explorer.shown = 99, -1, 800, 7
    assert (explorer.iteration, explorer.plane, explorer.depth, explorer.shown) == (2, 0, 7, 1)


def test_the_picture_says_what_it_shows(explorer):
    explorer.iteration = 1
    picture = explorer.picture()
    assert explorer.words() in picture.alt and "Iteration 2 of 3" in picture.alt
    numbers = [int(n) for n in re.findall(r"(\d+) (?:whole|large)", explorer.words())]
    assert numbers == explorer.table().ravel().tolist()
    assert picture.png == explorer.picture().png


def test_many_classes_and_a_single_one():
    for classes in (1, 6):
        widget = class_explorer(run(classes=classes), TRUTH, names=["whole", "large"])
        assert widget.picture().png and widget.section()[0].shape == (classes, 8, 8)
        widget.close()


@pytest.mark.parametrize(("options", "truth", "says"), [
    ({"turns": 0}, TRUTH, "at least one"), ({"ndim": 2}, TRUTH, "3D"), ({"classes": 7}, TRUTH, "6 classes"),
    ({}, TRUTH[:50], "50"), ({}, TRUTH + 1, "a name for each")])
def test_what_cannot_be_shown_is_refused(options, truth, says):
    with pytest.raises(InputError, match=says):
        class_explorer(run(**options), truth, names=["whole", "large"])
