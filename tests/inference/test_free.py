"""What nothing was compared with tells how far a map is resolved: of noise nothing, of a particle the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.geometry.fourier import components, fourier, gather, inverse, parted, scatter
from cryoedu.geometry.grids import search_2d, search_3d
from cryoedu.geometry.masks import soft_sphere
from cryoedu.inference import free
from cryoedu.inference.adaptive import Adaptive
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION as MAXCC
from cryoedu.inference.assignment import MAXIMUM_LIKELIHOOD
from cryoedu.inference.crossfit import classify3d_in_folds, cross_fit
from cryoedu.inference.em import classify2d, classify3d, refine
from cryoedu.inference.loop import opening
from cryoedu.inference.model import Posterior, unseen
from cryoedu.inference.settings import EM, CrossFit
from cryoedu.inference.spaces import FourierSpace, FreeSpace
from cryoedu.inference.start import mean_image, start_model
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured, white
from cryoedu.microscope.specimen import Specimen
from cryoedu.validation.fsc import fsc

BOX, PIXEL = 24, 5.0
SHARED = 3  # shells to 40 Å
LAST = 9


def blobs(ndim: int, seed: int = 2) -> np.ndarray:
    """Twelve blobs anywhere in half of the box."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(BOX) - BOX // 2] * ndim, indexing="ij")
    each = [np.exp(-sum((a - c) ** 2 for a, c in zip(axes, at, strict=True)) / 3)
            for at in rng.uniform(-BOX / 4, BOX / 4, (12, ndim))]
    return np.sum(each, axis=0).astype(np.float32)


def mask(ndim: int) -> np.ndarray:
    return soft_sphere(BOX, PIXEL, (BOX - 6) * PIXEL, ndim=ndim)


def of_noise(count: int, seed: int = 1, noise=white, ctf: bool = False):
    return simulate(Specimen(blobs(3), PIXEL), count, seed=seed, snr=1e-14, noise=noise, progress=False,
                    defocus=(8e3, 1.6e4) if ctf else None).particles


def run(kind: str, particles, classes: int, start: int = 2, iterations: int = 8, assignment=MAXCC, share: float = 0.1):
    """The iterations of one of the classifications, which open from shell `SHARED` to `LAST`."""
    common = {"iterations": iterations, "radii": opening(SHARED, LAST, iterations), "free": share}
    if kind == "2d":
        return classify2d(particles, classes, search_2d(5, shift_range=10, shift_step=5), seed=1, mask=mask(2),
                          assignment=assignment, array_library="numpy", **common)
    search, common = search_3d(1, shift_range=5, shift_step=5), common | {"mask": mask(3), "resolution": 40.0}
    if kind == "3d":
        return classify3d(particles, blobs(3, start), classes, search, seed=1, tau2_fudge=4.0, assignment=assignment,
                          array_library="numpy", **common)
    return classify3d_in_folds(particles, blobs(3, start), classes, search, seed=1, folds=2, array_library="numpy",
                               **common)


def last_above(ssnr: np.ndarray) -> int:
    """The last shell before a ratio falls below 1, which was told as the resolution."""
    return int(np.argmax(np.append(ssnr[1:], 0) < 1))


@pytest.mark.parametrize(("kind", "classes", "noise"), [("2d", 3, white), ("2d", 1, coloured), ("3d", 2, white)])
def test_noise_that_was_aligned_has_an_ssnr_and_no_resolution(kind, classes, noise):
    turns = list(run(kind, of_noise(200, noise=noise), classes))
    assert max(last_above(ssnr) for turn in turns for ssnr in turn.ssnr) > SHARED + 1  # what was claimed before
    assert max(turn.resolved for turn in turns) <= SHARED + 1
    assert all(turn.resolved_by_class.min() >= SHARED for turn in turns)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "kind", "classes", "noise", "ctf", "how"), [
    (2, "2d", 2, coloured, True, {}), (3, "3d", 1, white, True, {"start": 4}), (4, "3d", 3, coloured, True, {}),
    (5, "3d", 2, coloured, False, {"assignment": MAXIMUM_LIKELIHOOD}), (6, "folds", 2, white, True, {}),
    (7, "folds", 3, coloured, False, {"start": 4})])
def test_noise_has_none_however_it_is_classified(seed, kind, classes, noise, ctf, how):
    turns = list(run(kind, of_noise(250, seed, noise, ctf), classes, **how))
    assert max(turn.resolved for turn in turns) <= SHARED + 1


def test_few_images_in_many_classes_are_sure_of_noise_and_claim_nothing():
    """Maximum likelihood: each image finds itself in the average of its class, and its pose is certain."""
    box, pixel = 48, 4.0
    images = simulate(Specimen(np.pad(blobs(3), 12), pixel), 160, seed=1, snr=1e-14, progress=False).particles
    turns = list(classify2d(images, 8, search_2d(5, shift_range=8, shift_step=4), seed=1, free=0.1, iterations=10,
                            radii=opening(3, 18, 10), array_library="numpy",
                            mask=soft_sphere(box, pixel, (box - 6) * pixel, ndim=2)))
    assert turns[-1].posterior.max_probability.mean() > 0.5
    assert max(last_above(ssnr) for ssnr in turns[-1].ssnr) > 6
    assert max(turn.resolved for turn in turns) <= 4


def with_other(images: np.ndarray, share: float) -> np.ndarray:
    """The same images with other free components."""
    parts = parted(BOX, BOX // 2, share, SHARED)[1]
    rng = np.random.default_rng(9)
    noise = scatter(gather(rng.standard_normal(images.shape) * images.std(), parts), parts)
    return (images - scatter(gather(images.astype(float), parts), parts) + noise).astype(np.float32)


@pytest.mark.parametrize("kind", ["2d", "3d", "adaptive", "folds"])
def test_nothing_is_made_of_free_components(kind):
    """Other ones leave poses, classes and maps as they are, and change what is said of the maps."""
    made = simulate(Specimen(blobs(3), PIXEL), 60, seed=2, snr=0.5, defocus=(8e3, 1.6e4), progress=False).particles
    shared = {"iterations": 3, "radii": [SHARED, 6, 9], "free": 0.2, "array_library": "numpy", "perturb_seed": 1}
    ends = []
    for images in (made.images, with_other(made.images, 0.2)):
        particles = replace(made, images=images)
        if kind == "2d":
            start = np.stack([mean_image(particles, np.arange(k, 60, 2)) for k in (0, 1)])
            model = replace(start_model(particles, start), sigma2=start_model(made, start).sigma2)
            turns = refine(particles, model, search_2d(20, shift_range=5, shift_step=5), **shared)
        else:
            start = np.stack([blobs(3), blobs(3, 3)])
            model = replace(start_model(particles, start), sigma2=start_model(made, start).sigma2)
            search = search_3d(0, shift_range=5, shift_step=5)
            turns = (cross_fit(particles, model, search, seed=1, folds=2, **shared) if kind == "folds" else
                     refine(particles, model, search, adaptive=Adaptive(1, diameter=80.0) if kind == "adaptive" else
                            None, tau2_fudge=4.0, **shared))
        ends.append(list(turns)[-1])
    one, two = ends
    np.testing.assert_allclose(one.posterior.class_probability, two.posterior.class_probability, atol=1e-3)
    assert np.abs(one.model.maps - two.model.maps).max() < 1e-3 * np.abs(one.model.maps).max()
    np.testing.assert_allclose(one.model.sigma2, two.model.sigma2, rtol=1e-4)
    assert not np.allclose(one.state["free_fsc2"], two.state["free_fsc2"], atol=0.02)


def posed(truth, classes: int = 1) -> Posterior:
    """A posterior that knows the poses."""
    out = unseen(len(truth.angles), classes)
    out.class_probability[:, 0] = 1.0
    return replace(out, angles=truth.angles, shifts=truth.shifts)


@pytest.mark.parametrize("ndim", [2, 3])
def test_what_is_compared_is_each_free_component_of_each_image(ndim):
    """Against sums written out image by image, with CTF, known shifts, scales and two groups of noise."""
    made = simulate(Specimen(blobs(ndim), PIXEL), 12, seed=3, snr=1.0, shift_sigma=4.0, defocus=(8e3, 1.6e4),
                    progress=False)
    rng = np.random.default_rng(1)
    particles = replace(made.particles, shifts=rng.normal(size=(12, 2)) * 3, scale=rng.uniform(0.8, 1.2, 12),
                        optics=(*made.particles.optics, replace(made.particles.optics[0], name="two")),
                        optics_group=np.arange(12) % 2)
    model = start_model(particles, np.stack([blobs(ndim, 5), blobs(ndim, 6)]))
    posterior = posed(made.truth, 2)
    posterior = replace(posterior, classes=np.arange(12) // 3 % 2)
    space = FourierSpace(BOX, ndim, PIXEL, 8, None, 0.2, SHARED)
    overlap, energy = free.compared(particles, posterior, model, space, np)
    whole = FourierSpace(BOX, ndim, PIXEL, 8)
    parts, chosen = whole.parts, np.isin(whole.parts.index, parted(BOX, 8, 0.2, SHARED)[1].index)
    from cryoedu.geometry.euler import euler_to_matrix
    from cryoedu.inference.blocks import prepare

    expected = np.zeros((2, 2, BOX // 2 + 1))
    for i in range(12):
        group = int(particles.optics_group[i])
        block = prepare(particles, np.array([i]), group, model.sigma2[group, whole.bins],
                        posterior.shifts[i : i + 1], whole, np)
        b = block.b[0, 0].view(np.complex64)
        k = int(posterior.classes[i])
        a = whole.project(model.maps[k : k + 1], euler_to_matrix(posterior.angles[i : i + 1]))[0, 0]
        for into, values in zip(expected, ((b * a.conj()).real, block.c[0] * np.abs(a) ** 2), strict=True):
            into[k] += np.bincount(parts.shell, values * chosen, BOX // 2 + 1)
    np.testing.assert_allclose(overlap, expected[0], rtol=1e-3, atol=1e-3 * np.abs(expected[0]).max())
    np.testing.assert_allclose(energy, expected[1], rtol=1e-3, atol=1e-6)
    assert (energy[:, : SHARED + 1] == 0).all() and (energy[:, SHARED + 1 : 9] > 0).all() and (energy[:, 9:] == 0).all()


def test_of_a_signal_and_noise_the_square_of_the_fsc_with_the_truth_is_told():
    """Of a map that holds the truth and as much noise; half of it, if the map is filtered by a half."""
    made = simulate(Specimen(blobs(2), PIXEL), 3000, seed=3, snr=2.0, progress=False)
    true = made.specimens[0].density.astype(np.float64)
    noise = fourier(np.random.default_rng(0).standard_normal(true.shape))
    f = fourier(true)
    half = inverse(f + noise / np.abs(noise) * np.abs(f))
    posterior = posed(made.truth)
    model = start_model(made.particles, half[None])
    space = FourierSpace(BOX, 2, PIXEL, 6, None, 0.4, 1)
    for filtered in (1.0, 0.5):
        filter_ = np.full((1, BOX // 2 + 1), filtered)
        said = free.measured(made.particles, posterior, replace(model, maps=model.maps * np.float32(filtered)), filter_,
                             space, np)
        curve = fsc(half, true)[2:6] ** 2
        assert np.abs(said["free_fsc2"][0, 2:6] - curve).mean() < 0.15, (said["free_fsc2"][0, 2:6], curve)


def test_of_noise_the_overlap_has_the_variance_of_the_energy():
    """Whatever it is compared with: so chance is known without a second half."""
    scores = []
    space = FourierSpace(BOX, 2, PIXEL, 10, None, 0.1, SHARED)
    for seed in range(60):
        images = of_noise(30, seed)
        posterior = replace(posed(simulate(Specimen(blobs(2), PIXEL), 30, seed=seed, progress=False).truth))
        overlap, energy = free.compared(images, posterior, start_model(images, blobs(2)[None]), space, np)
        scores.append(overlap[0, 4:10] / np.sqrt(energy[0, 4:10]))
    assert abs(np.mean(scores)) < 0.15 and 0.85 < np.std(scores) < 1.15
    assert np.mean(np.array(scores) > free.SURE) < 0.06


def test_a_shell_counts_if_it_and_all_before_it_are_there_and_not_by_chance():
    space = FourierSpace(BOX, 2, PIXEL, 8, None, 0.1, SHARED)
    energy = np.full((1, 13), 100.0)
    fsc2 = np.array([[0, 0, 0, 0, 0.9, 0.3, 0.3, 0.2, 0.9, 0.9, 0.9, 0.9, 0.9]])

    def told(overlap, energy=energy, fsc2=fsc2, space=space) -> int:
        return int(free.resolved(overlap, energy, fsc2, space)[0])

    assert told(np.full((1, 13), 50.0)) == 6  # at shell 7 an FSC below 0.5
    assert told(np.full((1, 13), 19.0)) == SHARED  # less than two standard deviations
    assert told(np.full((1, 13), 50.0), fsc2=np.ones((1, 13))) == 8  # nothing is said beyond the radius
    assert told(np.zeros((1, 13)), energy=np.zeros((1, 13)), fsc2=np.ones((1, 13))) == SHARED
    assert told(np.full((1, 13), 50.0), space=replace(space, radius=2)) == 2


def test_components_are_parted_alike_at_any_radius():
    whole = components(BOX, 12)
    rest, part = parted(BOX, 12, 0.1, SHARED)
    assert sorted([*rest.index, *part.index]) == sorted(whole.index) and part.shell.min() == SHARED + 1
    count = np.bincount(part.shell, minlength=12)
    assert (count[SHARED + 1 : 12] == np.maximum(np.round(0.1 * np.bincount(whole.shell)[SHARED + 1 : 12]), 1)).all()
    fewer = parted(BOX, 7, 0.1, SHARED)[0]
    assert (rest.index[: len(fewer)] == fewer.index).all()  # columns of fewer shells come first
    space = FourierSpace(BOX, 2, PIXEL, 12, None, 0.1, SHARED)
    assert len(space.parts) + len(FreeSpace(BOX, 2, PIXEL, 12, None, 0.1, SHARED).parts) == len(whole)
    assert parted(BOX, 2, 0.1, SHARED)[0].index.tolist() == components(BOX, 2).index.tolist()


def test_who_goes_on_from_what_saw_all_components_claims_nothing():
    particles = of_noise(40)
    whole = next(run("2d", particles, 2, share=0.0))
    assert whole.resolved is None and whole.resolved_by_class is None
    after = next(classify2d(particles, 2, search_2d(30), seed=1, free=0.1, radii=[SHARED, 9], after=whole,
                            array_library="numpy"))
    assert after.resolved is None
    apart = next(run("2d", particles, 2))
    after = next(classify2d(particles, 2, search_2d(30), seed=1, free=0.1, radii=[SHARED, 9], after=apart,
                            array_library="numpy"))
    assert after.resolved is not None


def test_seeds_know_no_more_than_what_is_compared_as_a_whole(monkeypatch):
    """The reference would pass 20 Å, shell 6; the first iteration compares 3."""
    from cryoedu.inference import em

    asked = []
    true = em.seeds_from_subsets
    monkeypatch.setattr(em, "seeds_from_subsets", lambda *a, resolution, **o: asked.append(resolution) or
                        true(*a, resolution=resolution, **o))
    for share in (0.1, 0.0):
        next(classify3d(of_noise(20), blobs(3), 2, search_3d(0), seed=1, resolution=20.0, radii=[SHARED, 8], free=share,
                        array_library="numpy"))
    assert asked == [40.0, 20.0]
    assert free.shared_of(EM(radii=[6], shared=3), BOX) == 3 == free.shared_of(EM(radii=[3], shared=6), BOX)


@pytest.mark.parametrize(("change", "message"), [
    ({"free": 0.6}, "free=0.6: less than half"), ({"free": -0.1}, "free=-0.1"),
    ({"fixed": ("maps",)}, "of maps that are estimated"), ({"space": "real"}, "in Fourier space")])
def test_what_cannot_be_left_out_is_refused(change, message):
    particles = of_noise(20)
    space = change.get("space", "fourier")
    model = start_model(particles, blobs(2)[None], space=space)
    with pytest.raises(InputError, match=message):
        refine(particles, model, search_2d(30), EM(**{"free": 0.1} | change), array_library="numpy")


def test_what_is_resolved_in_the_plane_is_there():
    """Within a shell of where the average and the true image correlate by 0.5."""
    true = blobs(2)
    made = simulate(Specimen(true, PIXEL), 1500, seed=1, snr=0.1, shift_sigma=2.0, progress=False)
    search = search_2d(5, shift_range=5, shift_step=5)
    *_, last = refine(made.particles, start_model(made.particles, true[None]), search, iterations=8,
                      radii=opening(SHARED, 11, 8), free=0.1, mask=mask(2), array_library="numpy")
    there = int(np.argmax(np.append(fsc(last.model.maps[0], true * mask(2))[1:12], 0) < 0.5))
    assert SHARED + 1 < there - 1 <= last.resolved <= there + 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["3d", "folds"])
def test_what_is_resolved_of_each_class_is_there(kind):
    one = Specimen(blobs(3), PIXEL)
    two = Specimen(blobs(3) + 1.5 * blobs(3, 7), PIXEL)
    made = simulate([one, two], 800, seed=1, snr=0.5, defocus=(8e3, 1.6e4), progress=False)
    *_, last = run(kind, made.particles, 2, iterations=12, assignment=MAXIMUM_LIKELIHOOD, share=0.05)
    for k in range(2):
        curves = [fsc(last.model.maps[k], s.density * mask(3))[1 : LAST + 1] for s in (one, two)]
        curve = np.stack(curves)[int(np.argmax(np.sum(curves, axis=1)))]
        there = int(np.argmax(np.append(curve, 0) < 0.5))
        claimed = int(last.resolved_by_class[k])
        assert there > SHARED and abs(claimed - there) <= 1, (k, there, claimed)


def test_settings_say_what_is_free():
    assert EM().free == 0 and CrossFit().free == 0  # nothing is left out unless somebody asks
