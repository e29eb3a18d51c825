"""The filter bench without a browser: its numbers against the definition, its bounds, its picture."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.datasets import load
from cryoedu.errors import InputError
from cryoedu.geometry.fourier import components, gather
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.microscope.realspace import rotate
from cryoedu.widgets.filter_bench import KINDS, filter_bench


@pytest.fixture(scope="module")
def experiment():
    return simulate(load("protein2d", box=32), 60, seed=1, snr=0.1, noise=coloured, progress=False)


@pytest.fixture
def bench(experiment):
    made = filter_bench(experiment, experiment.sigma2, images=40, angular_step=10)
    yield made
    made.close()


def share_by_definition(experiment, weight_of_shell):
    parts = components(32)
    weight = np.array([weight_of_shell(s) if 0 < s < 16 else 0.0 for s in range(17)])[parts.shell]
    angles = np.arange(0, 360, 10.0)
    A = gather(rotate(experiment.specimens[0].density, angles).astype(np.float32), parts)
    X = gather(experiment.particles.images[:40], parts)
    square = np.array([[np.sum(weight * np.abs(x - a) ** 2) for a in A] for x in X])
    off = np.abs((angles[square.argmin(1)] - experiment.truth.angles[:40, 2] + 180) % 360 - 180)
    return np.mean(off <= 10)


def test_the_share_of_aligned_images_is_the_definition_taken_literally(bench, experiment):
    """A bench that counts otherwise would teach that another filter is the best."""
    assert bench.aligned() == share_by_definition(experiment, lambda s: 1.0)
    bench.kind, bench.coarse, bench.fine = KINDS.index("band-pass"), 4, 9
    assert bench.aligned() == share_by_definition(experiment, lambda s: 1.0 * (4 <= s <= 9))
    bench.kind = KINDS.index("low-pass")
    assert bench.aligned() == share_by_definition(experiment, lambda s: 1.0 * (s <= 9))
    bench.kind = KINDS.index("high-pass")
    assert bench.aligned() == share_by_definition(experiment, lambda s: 1.0 * (s >= 4))
    bench.kind = KINDS.index("learned from the data")
    assert bench.aligned() == share_by_definition(experiment, lambda s: 1 / experiment.sigma2[s])


def test_the_pieces_add_up_to_the_image(bench, experiment):
    pieces = np.frombuffer(bench._pieces, np.float32).reshape(8, 15, 32, 32)
    parts = components(32)
    inside = (parts.shell > 0) & (parts.shell < 16)
    seen, whole = gather(pieces.sum(1), parts)[:, inside], gather(experiment.particles.images[:8], parts)[:, inside]
    assert seen == pytest.approx(whole, abs=1e-3)


def test_positions_stay_inside_and_an_empty_band_aligns_nothing(bench):
    bench.coarse, bench.fine, bench.kind, bench.particle = 99, -5, 99, 99
    assert (bench.coarse, bench.fine, bench.kind, bench.particle) == (15, 1, 4, 7)
    bench.kind = KINDS.index("band-pass")
    assert not bench.weights().any() and bench.aligned() == 0
    assert "band-pass" in bench.picture().alt and "0% of 40" in bench.picture().alt


def test_it_begins_with_an_image_on_which_the_filter_is_seen_to_matter():
    """A bench that begins with an image which only the learned filter gets wrong shows the contrary of its point."""
    experiment = simulate(load("protein2d", box=32), 40, seed=1, snr=0.03, progress=False,
                          noise=lambda u: 1 + 200 / (1 + (120 * u) ** 4))
    bench = filter_bench(experiment, experiment.sigma2, images=40, angular_step=10)
    truth, learned = experiment.truth.angles[bench.particle, 2], KINDS.index("learned from the data")
    off = {kind: abs((10 * bench.scores(kind)[bench.particle].argmax() - truth + 180) % 360 - 180)
           for kind in (0, learned)}
    assert off[learned] <= 10 < off[0]
    others = np.minimum(bench.leads(learned), -bench.leads(0))[:8]
    assert others[bench.particle] == others.max() > 0 and not np.allclose(others, others.max())
    bench.close()


def test_the_worth_of_a_shell_is_signal_over_noise(bench, experiment):
    """Beside the weights alone, the finest waves would seem to decide: they weigh most, and hold no signal."""
    parts = components(32)
    A = gather(experiment.specimens[0].density[None].astype(np.float32), parts)[0]
    ratio = np.array([np.mean(np.abs(A[parts.shell == s]) ** 2) / experiment.sigma2[s] for s in range(1, 16)])
    assert bench.worth() == pytest.approx(ratio / ratio.max(), rel=1e-3)
    assert bench.weights(KINDS.index("learned from the data")).argmax() > bench.worth().argmax()


def test_what_does_not_fit_is_refused(experiment):
    with pytest.raises(InputError, match="17 shells"):
        filter_bench(experiment, np.ones(5))
    shifted = simulate(load("protein2d", box=32), 5, seed=1, shift_sigma=3, progress=False)
    with pytest.raises(InputError, match="without shifts"):
        filter_bench(shifted, np.ones(17))
