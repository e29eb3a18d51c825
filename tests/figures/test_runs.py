"""Pictures of runs: they draw what there is, from one iteration and one class to hundreds."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.figures import show
from cryoedu.figures.runs import (
    class_averages,
    convergence,
    cost,
    direction_density,
    directions,
    fsc_curves,
    gain_curve,
    map_views,
    smoothing_width,
    spectra,
)
from cryoedu.geometry.euler import matrix_to_euler, random_rotations
from cryoedu.validation.fsc import resolution_text

Q = np.arange(9) / 80.0


def history(iterations: int, classes: int) -> dict[str, np.ndarray]:
    turns = np.arange(1.0, iterations + 1)
    changes = np.where(turns > 1, 10 / turns, np.nan)
    return {"iteration": turns, "log_likelihood": -100 / turns, "resolution_angstrom": 40 / turns,
            "changed_classes": changes / 100, "median_angle_change_degrees": changes,
            "rms_shift_change_angstrom": changes, "fsc_resolution_angstrom": 50 / turns, "seconds": turns,
            "seconds_expectation": turns / 2, "peak_memory_mb": 100 + turns,
            **{f"class_weight_{k + 1}": np.full(iterations, 1 / classes) for k in range(classes)}}


def examples(classes: int, iterations: int):
    rng = np.random.default_rng(0)
    names = [f"class {k + 1}" for k in range(classes)]
    curves = {name: np.maximum(1e3 * np.exp(-np.arange(9.0)) - 1, 0) for name in names}
    return {"class_averages": lambda: class_averages(rng.normal(size=(classes, 8, 8)), names, pixel_size=5.0),
            "map_views": lambda: map_views(rng.normal(size=(classes, 8, 8, 8)), names, pixel_size=5.0),
            "spectra": lambda: spectra(Q, {"a": np.ones(9)}, curves, curves),
            "fsc_curves": lambda: fsc_curves(Q, {name: np.linspace(1, 0, 9) for name in names}),
            "gain_curve": lambda: gain_curve(Q, np.linspace(1, 0, 9)),
            "convergence": lambda: convergence(history(iterations, classes)),
            "cost": lambda: cost(history(iterations, classes)),
            "directions": lambda: directions(matrix_to_euler(random_rotations(50, rng)))}


@pytest.mark.parametrize("name", examples(1, 1))
@pytest.mark.parametrize(("classes", "iterations"), [(1, 1), (2, 3), (30, 60)])
def test_a_picture_arrives_with_its_description(name, classes, iterations):
    picture = show(examples(classes, iterations)[name]())
    assert len(picture.alt) > 40 and "nan" not in picture.alt
    assert picture.png.startswith(b"\x89PNG") and len(picture.png) < 600_000


@pytest.mark.filterwarnings("error")
def test_empty_classes_and_spectra_without_signal_are_drawn():
    """A class that lost all its particles has a flat map and no SSNR anywhere."""
    show(class_averages(np.zeros((2, 8, 8)), ["a", "b"], pixel_size=5.0))
    show(map_views(np.zeros((1, 8, 8, 8)), ["a"], pixel_size=5.0))
    figure = spectra(Q, {"g": np.ones(9)}, {"class 1": np.zeros(9)}, {"class 1": np.zeros(9)})
    assert "class 1: no SSNR" in show(figure).alt


def test_descriptions_tell_the_numbers():
    curve = np.array([9.0, 9, 5, 2, 0.5, 0.1, 0.1, 0.1, 0.1])
    said = spectra(Q, {}, {}, {"map": curve}).get_label()
    assert "map: SSNR from 9 to 0.1" in said and "Å" not in said  # where it is 1 is no resolution
    halves = np.linspace(1, 0, 9)
    read = resolution_text(halves, 5.0)  # what a run reports must not differ from what its picture says
    assert f"falls below 0.143 at {read}" in fsc_curves(Q, {"map": halves}).get_label() and read == "11.7 Å"
    beyond = fsc_curves(Q, {"map": halves}, last=3).get_label()  # what may be chance counts for nothing
    assert "falls below 0.143 at 21.2 Å" in beyond
    assert "stays above 0.143" in fsc_curves(Q, {"map": halves + 0.2}).get_label()
    assert "ends at -33" in convergence(history(3, 2)).get_label()


def test_the_search_grid_does_not_show_in_the_directions():
    """A grid of 30° drawn sharply looks like preferred orientations where there are none."""
    from cryoedu.geometry.grids import search_3d

    angles = search_3d(1).angles
    assert smoothing_width(angles) == pytest.approx(0.6 * 29.3, abs=0.1)
    assert smoothing_width(search_3d(3).angles) == 10.0
    density = direction_density(angles, width=smoothing_width(angles))[2]
    assert density.max() < 1.15 and density.min() > 0.7
    assert direction_density(angles, width=10.0)[2].max() > 1.5


def test_the_density_of_directions_is_relative_to_uniform():
    """Particles all from one side stand out by the factor that the kernel allows; uniform ones lie around 1."""
    rng = np.random.default_rng(1)
    longitude, latitude, density = direction_density(matrix_to_euler(random_rotations(20_000, rng)))
    area = np.cos(np.radians(latitude))[:, None] * np.ones_like(density)
    assert np.average(density, weights=area) == pytest.approx(1, abs=0.02)
    assert density.min() > 0.8 and density.max() < 1.25
    longitude, latitude, density = direction_density(np.tile([40.0, 70.0, 12.0], (100, 1)))
    row, column = np.unravel_index(density.argmax(), density.shape)
    assert abs(longitude[column] - 40) <= 4 and abs(latitude[row] - 20) <= 4
    area = np.cos(np.radians(latitude))[:, None] * np.ones_like(density)
    assert np.average(density, weights=area) == pytest.approx(1, abs=0.02)
