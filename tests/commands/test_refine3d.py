"""``cryoedu refine3d``, and ``classify3d`` in folds or at known poses, as a person types them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commandline import cryoedu

from cryoedu.files.star import read_tables
from cryoedu.geometry.masks import soft_sphere, solvent_mask
from cryoedu.microscope import read_map, write_map
from cryoedu.particles import read_particles, write_particles
from cryoedu.runs.checkpoints import read_checkpoint
from cryoedu.runs.names import outputs_of
from cryoedu.validation.fsc import fsc

BOX, PIXEL = 16, 10.0
QUICK = ["--ini-high", 40, "--offset-range", 10, "--offset-step", 10, "--particle-diameter", 110]
FOLDS = ["--k", 2, "--cross-fit", 3, "--skip-align", "--strict-highres", 27, "--iter", 4, "--random-seed", 1]


def blobs(*places: tuple[float, float, float]) -> np.ndarray:
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return sum((1 + 0.3 * i) * np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 2)
               for i, (a, b, c) in enumerate(places)).astype(np.float32)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """one: 80 images of a map; two: 120 of it with and without a domain."""
    folder = tmp_path_factory.mktemp("work")
    body = ((0, -4, 0), (0, -1, -1), (1, 2, 0), (4, 3, 0), (0, 3, 4))
    write_map(blobs(*body), folder / "map.mrc", PIXEL)
    write_map(blobs(*body, (-4, -1, 0)), folder / "more.mrc", PIXEL)
    for name, maps, count in (("one", ["map.mrc"], 80), ("two", ["map.mrc", "more.mrc"], 120)):
        cryoedu("simulate", *(folder / m for m in maps), "--o", folder / name, "--n", count, "--snr", 2.0,
                "--defocus", 8000, 16000, "--astigmatism", 0, "--random-seed", 1)
    return folder


@pytest.fixture(scope="module")
def refined(work):
    """A refinement to its end, and what it printed."""
    import contextlib
    import io

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        ended = cryoedu("refine3d", work / "one" / "particles_data.star", "--reference", work / "map.mrc", "--o",
                        work / "refined", *QUICK, "--low-resol-join-halves", 80, "--iter", 9, "--truth",
                        work / "one" / "truth_data.star", "--truth-map", work / "map.mrc")
    assert ended == ""
    return work / "refined", said.getvalue()


def last_of(folder: Path) -> int:
    return read_checkpoint(folder / "run_checkpoint.npz").number


@pytest.mark.slow
def test_it_ends_when_nothing_gets_better_and_says_how_far_it_came(refined):
    folder, said = refined
    assert 3 < last_of(folder) < 9  # of the 9 that it was allowed
    reached = re.search(r"resolution at FSC = 0\.143 between the halves: .*?(\d+\.\d) Å", said)
    assert reached and float(reached[1]) < 45
    errors = re.search(r"median pose error: (\d+\.\d) degrees, (\d+\.\d) Å", said)
    assert float(errors[1]) < 15 and float(errors[2]) < 6
    assert re.search(r"map\.mrc: FSC 0\.5 against the truth at .* Å", said) and "true hand" in said


@pytest.mark.slow
def test_what_it_leaves_has_relion_s_names_and_halves(refined):
    """Whoever goes on in another program needs the halves unfiltered and the particles' half in the STAR file."""
    folder, _ = refined
    number = last_of(folder)
    names = {path.name for path in outputs_of(folder)}
    for prefix in ("run", *(f"run_it{n:03d}" for n in range(1, number + 1))):
        mine = {f"{prefix}_{end}" for end in ("data.star", "model.star", "class001.mrc", "half1_class001_unfil.mrc",
                                              "half2_class001_unfil.mrc")}
        assert mine <= names
        names -= mine
    assert not names
    half, other, whole = (read_map(folder / f"run_{name}class001{end}.mrc").density
                          for name, end in (("half1_", "_unfil"), ("half2_", "_unfil"), ("", "")))
    np.testing.assert_array_equal(whole, read_map(folder / f"run_it{number:03d}_class001.mrc").density)
    assert 0.5 < np.corrcoef(half.ravel(), other.ravel())[0, 1] < 0.999
    subset = read_particles(folder / "run_data.star").subset
    assert np.bincount(subset).tolist() == [0, 40, 40]
    model = read_tables(folder / "run_model.star")["model_class_1"]
    history = (folder / "run_history.csv").read_text().splitlines()
    assert "fsc_resolution_angstrom" in history[0] and len(history) == number + 1
    fsc = model["rlnGoldStandardFsc"].to_numpy(dtype=float)
    assert len(fsc) == BOX // 2 + 1 and fsc[1:4].min() > 0.9 and fsc.max() <= 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("relion_image_handler") is None, reason="RELION is not installed")
def test_relion_reads_it(refined, tmp_path):
    """The correlations that it reads from the model file are those between the two halves. What it finds between these
    itself differs a little on few voxels: it counts the plane kx = 0 twice."""
    folder, _ = refined
    halves = [f"run_half{half}_class001_unfil.mrc" for half in (1, 2)]
    (tmp_path / "fsc.star").write_text(subprocess.run(
        ["relion_image_handler", "--i", halves[0], "--fsc", halves[1], "--angpix", str(PIXEL)], cwd=folder,
        capture_output=True, text=True, check=True).stdout)
    theirs = read_tables(tmp_path / "fsc.star")["fsc"]["rlnFourierShellCorrelation"].to_numpy(dtype=float)
    printed = subprocess.run(["relion_star_printtable", "run_model.star", "data_model_class_1", "rlnGoldStandardFsc"],
                             cwd=folder, capture_output=True, text=True, check=True).stdout
    ours = np.array([float(line) for line in printed.split()])
    maps = [read_map(folder / half).density for half in halves]
    shown = slice(1, len(ours) - 1)
    np.testing.assert_allclose(ours[shown], fsc(*maps)[shown], atol=1e-4)
    one, two = (np.fft.rfftn(density.astype(np.float64)) for density in maps)
    frequency = np.fft.fftfreq(BOX, 1 / BOX)
    shell = np.rint(np.sqrt(frequency[:, None, None] ** 2 + frequency[:, None] ** 2 + np.arange(BOX // 2 + 1) ** 2))
    common, first, second = (np.bincount(shell.astype(int).ravel(), values.ravel())
                             for values in ((one * two.conj()).real, np.abs(one) ** 2, np.abs(two) ** 2))
    np.testing.assert_allclose(theirs[shown], (common / np.sqrt(first * second))[shown], atol=1e-3)


@pytest.mark.slow
def test_the_page_shows_the_halves(refined):
    page = (refined[0] / "run_report.html").read_text()
    assert "Fourier shell correlation" in page and "FSC 0.143 between halves" in page


@pytest.mark.slow
def test_folds_at_known_poses_with_a_mask_that_follows(work, tmp_path, capsys):
    assert cryoedu("classify3d", work / "two" / "truth_data.star", "--reference", work / "map.mrc", "--o", tmp_path,
                   *FOLDS, "--solvent-mask", "auto", "--truth", work / "two" / "truth_data.star") == ""
    said = capsys.readouterr().out
    rows = r"( +\d\.\d\d to \d\.\d\d +\d+ +\d+\.\d % +\d+\.\d %\n)+"
    assert re.search(r"probability of the class found: .*\n" + rows, said)
    assert "median pose error: 0.0 degrees, 0.0 Å" in said  # as they were
    at = read_checkpoint(tmp_path / "run_checkpoint.npz")
    assert len(at.folds) == 3 and at.arrays["difference_gain"].shape == (BOX // 2 + 1,)
    assert cryoedu("classify3d", work / "two" / "truth_data.star", "--reference", work / "map.mrc", "--o",
                   tmp_path / "sphere", *FOLDS) == ""
    sphere = read_checkpoint(tmp_path / "sphere" / "run_checkpoint.npz")
    solvent = solvent_mask(read_map(work / "more.mrc").density, PIXEL) == 0
    assert np.std(at.model.maps[:, solvent]) < 0.8 * np.std(sphere.model.maps[:, solvent])
    assert "What is real of the differences" in (tmp_path / "run_report.html").read_text()


@pytest.mark.slow
def test_a_search_around_the_poses_in_the_file_mends_them(work, tmp_path, capsys):
    """Angles that are off by some degrees come back, those of the file being where the search is centred."""
    rng = np.random.default_rng(1)
    truth = read_particles(work / "one" / "truth_data.star")
    off = replace(truth, angles=truth.angles + rng.normal(0, 12, truth.angles.shape), shifts=truth.shifts + 6)
    write_particles(off, work / "one" / "off.star")
    run = ["classify3d", work / "one" / "off.star", "--reference", work / "map.mrc", "--k", 1, "--iter", 3,
           "--strict-highres", 27, "--truth", work / "one" / "truth_data.star"]
    errors = []
    for name, options in (("kept", ["--skip-align"]), ("mended", ["--local-range", 21, "--local-step", 7,
                                                                  "--offset-range", 10, "--offset-step", 5])):
        assert cryoedu(*run, *options, "--o", tmp_path / name) == ""
        found = re.search(r"median pose error: (\d+\.\d) degrees, (\d+\.\d) Å", capsys.readouterr().out)
        errors.append((float(found[1]), float(found[2])))
    assert errors[1][0] < 0.75 * errors[0][0]


@pytest.mark.slow
def test_point_groups_in_folds(work, tmp_path):
    """--sym reaches the folds: each map, and that of all, is symmetric."""
    assert cryoedu("classify3d", work / "two" / "truth_data.star", "--reference", work / "map.mrc", "--o", tmp_path,
                   *FOLDS, "--sym", "C2") == ""
    at = read_checkpoint(tmp_path / "run_checkpoint.npz")
    for model in at.models:
        for density in model.maps[:, 1:, 1:, 1:]:
            assert np.abs(density - density[:, ::-1, ::-1]).max() < 0.03 * np.abs(density).max()


@pytest.mark.parametrize(("options", "words"), [
    (["--skip-align"], "has no angles"),
    (["--local-range", 5], "has no angles"),
    (["--skip-align", "--local-range", 5], "--local-range does not go with --skip-align"),
    (["--skip-align", "--healpix-order", 2], "--healpix-order does not go with --skip-align"),
    (["--local-range", 5, "--oversampling", 1], "--oversampling does not go with --local-range"),
    (["--local-step", 1], "--local-step is of no use without --local-range"),
    (["--cross-fit", 1], "--cross-fit 1 leaves no particles"),
    (["--cross-fit", 61], "61 folds of 120 particles"),
    (["--cross-fit", 5, "--k", 1], "give --k 2 or more"),
    (["--cross-fit", 5, "--tau2-fudge", 4], "--tau2-fudge does not go with --cross-fit"),
    (["--cross-fit", 5, "--maxcc"], "--maxcc does not go with --cross-fit"),
    (["--solvent-mask", "auto"], "only --cross-fit has"),
    (["--solvent-mask", "no.mrc"], "no.mrc"),
], ids=lambda v: " ".join(map(str, v)) if isinstance(v, list) else "")
def test_options_that_make_no_sense_get_one_sentence(work, tmp_path, options, words):
    said = cryoedu("classify3d", work / "two" / "particles_data.star", "--reference", work / "map.mrc", "--o",
                   tmp_path / "out", *options)
    assert words in said and said.startswith("cryoedu: ") and "\n" not in said
    assert not (tmp_path / "out").exists() or not outputs_of(tmp_path / "out")


@pytest.mark.parametrize(("options", "words"), [
    (["--particle-diameter", 900], "900 Å does not fit"),
    (["--sym", "X7"], "'X7' is not a point group"),
    (["--truth-map", "no.mrc"], "no.mrc"),
    (["--truth", "no.star"], "no.star"),
], ids=str)
def test_bad_input_of_a_refinement_gets_one_sentence(work, tmp_path, options, words):
    said = cryoedu("refine3d", work / "one" / "particles_data.star", "--reference", work / "map.mrc", "--o",
                   tmp_path / "out", *options)
    assert words in said and said.startswith("cryoedu: ") and "\n" not in said


@pytest.mark.slow
def test_a_run_cut_off_between_its_end_and_the_note_of_it_is_finished(refined, work, tmp_path, capsys):
    """Power fails after the last checkpoint: --resume must not begin again, nor fail because there is nothing to do."""
    folder = tmp_path / "cut"
    shutil.copytree(refined[0], folder)
    job = (folder / "run_job.json").read_text()
    (folder / "run_job.json").write_text(job.replace('"finished": true', '"finished": false'))
    assert cryoedu("refine3d", work / "one" / "particles_data.star", "--reference", work / "map.mrc", "--o", folder,
                   *QUICK, "--low-resol-join-halves", 80, "--iter", 9, "--resume") == ""
    assert "nothing left to do" in capsys.readouterr().out and last_of(folder) == last_of(refined[0])
    assert '"finished": true' in (folder / "run_job.json").read_text()


@pytest.mark.slow
def test_a_mask_of_the_same_field_on_finer_pixels_serves(work, tmp_path):
    """Masks are often drawn on the map of another program, on its pixels."""
    write_map(soft_sphere(2 * BOX, PIXEL / 2, 100), tmp_path / "mask.mrc", PIXEL / 2)
    assert cryoedu("refine3d", work / "one" / "particles_data.star", "--reference", work / "map.mrc", "--o",
                   tmp_path / "run", "--ini-high", 40, "--offset-range", 10, "--offset-step", 10, "--iter", 1,
                   "--solvent-mask", tmp_path / "mask.mrc") == ""
    density = read_map(tmp_path / "run" / "run_class001.mrc").density
    outside = soft_sphere(BOX, PIXEL, 150) == 0
    assert np.abs(density[outside]).max() < 0.02 * np.abs(density).max()
