"""Figures of 2D classification: each says in words what it shows."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cryoedu.figures import show
from cryoedu.figures.classes import class_scan, contents, posterior_map, seed_runs, two_options


def examples():
    rng = np.random.default_rng(0)
    gammas = rng.dirichlet(np.ones(12), 2).reshape(2, 3, 4)
    gammas[0] = 0
    gammas[0, 1, 2] = 1
    climbing = np.stack([-np.geomspace(1000, 1, 6), np.linspace(0.5, 0.9, 6)], axis=1)
    return {
        "posterior_map": posterior_map(gammas, names="ABC", titles=["SNR 1", "SNR 0.1"], truth=(1, 180.0)),
        "seed_runs": seed_runs({f"seed {i}": climbing - [[50 * i, 0.1 * i]] for i in range(6)}),
        "class_scan": class_scan([1, 2, 4, 5], [-90, -50, -10, -8], {"purity": [0.4, 0.7, 1, 1]},
                                 [[1.0], [0.5, 0.5], [0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1, 0.0]], per_class=2.0),
        "two_options": two_options({("maxCC", 0.1): [0.5, 0.6], ("ML", 0.1): [0.8, 0.7]},
                                   {"maxCC": [0.25, 0.75], "ML": [0.9, 0.1]}, [0.2, 0.8], shares_at=0.1),
        "contents": contents([[3, 0], [1, 5]], ["particle", "junk"]),
    }


@pytest.mark.parametrize("name", examples())
def test_a_picture_arrives_with_its_description(name):
    """A learner who cannot see the picture gets its content."""
    first, again = (show(examples()[name]) for _ in range(2))
    assert re.search(r'<img [^>]*alt="[^"]{40,}"', first._repr_html_())
    assert "nan" not in first.alt and first.png == again.png and len(first.png) < 200_000


def test_descriptions_tell_what_was_drawn():
    alt = {name: figure.get_label() for name, figure in examples().items()}
    assert "SNR 1: most probable is class B with 1.00" in alt["posterior_map"]
    assert "truth is class B at 180°" in alt["posterior_map"]
    assert "seed 1: -50, agreement 0.80" in alt["seed_runs"]
    assert "K = 4: log L +80, purity 1.00, smallest class 10.0 %" in alt["class_scan"]
    assert "ML at SNR 0.1: 0.80 and 0.70" in alt["two_options"] and "maxCC: 0.75, 0.25" in alt["two_options"]
    assert "class 1: 3 particle; class 2: 1 particle, 5 junk" in alt["contents"]


def test_the_slope_of_noise_is_drawn_from_four_classes_on():
    """The dotted line starts at K = 4's own value and rises by what a class of noise would bring."""
    dotted = examples()["class_scan"].axes[0].lines[1]
    assert dotted.get_xdata().tolist() == [4, 5] and dotted.get_ydata().tolist() == [80, 82]
