"""The commands as a person types them: from a specimen to maps, and what bad input says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from commandline import heed_ctrl_c

from cryoedu.microscope import read_map
from cryoedu.particles import read_particles

RELION = Path(__file__).parents[1] / "data" / "relion"
COMMAND = [sys.executable, "-c", "from cryoedu.commands.app import main; main()"]


def cryoedu(*arguments: object, status: int = 0) -> str:
    """What the command printed; a traceback is a failure whatever the exit status."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "200"},
    )
    text = done.stdout + done.stderr
    assert "Traceback" not in text, text
    assert done.returncode == status, text
    return text


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    cryoedu(
        "simulate", RELION / "map.mrc", "--o", folder, "--n", 150, "--snr", 1.0, "--sigma-offset", 3, "--random-seed", 1
    )
    return folder


@pytest.mark.slow
def test_from_a_map_to_particles_and_back(simulated, tmp_path):
    """The first vertical slice: projected, made noisy, written, read again, reconstructed, compared."""
    cryoedu("reconstruct", simulated / "truth_data.star", "--o", tmp_path / "map.mrc")
    text = cryoedu("fsc", tmp_path / "map.mrc", simulated / "truth_class001.mrc", "--threshold", 0.5)
    angstrom = float(text.rsplit(":", 1)[1].split("Å")[0])
    assert angstrom < 16, text
    with mrcfile.open(tmp_path / "map.mrc") as mrc:
        assert mrc.voxel_size.x == pytest.approx(4.0)


def test_classify2d_writes_what_relion_reads(simulated, tmp_path):
    text = cryoedu(
        "classify2d",
        simulated / "particles_data.star",
        "--o",
        tmp_path,
        "--k",
        2,
        "--iter",
        2,
        "--psi-step",
        30,
        "--offset-range",
        4,
        "--truth",
        simulated / "truth_data.star",
    )
    assert text.count(" of at most 2: log L ") == 2  # a line for each where no terminal is, instead of a bar
    assert "agreement" in text
    found = read_particles(tmp_path / "run_it002_data.star")
    assert set(found.classes) <= {0, 1} and found.angles.shape == (150, 3)
    np.testing.assert_allclose(found.images[:3], read_particles(simulated / "particles_data.star").images[:3])
    assert "rlnSigma2Noise" in (tmp_path / "run_it002_model.star").read_text()
    with mrcfile.open(tmp_path / "run_it002_classes.mrcs") as mrc:
        assert mrc.data.shape == (2, 32, 32)


def test_on_larger_pixels_no_copy_of_the_stack_is_left_behind(simulated, tmp_path):
    """A hundred iterations would else fill the disk, and RELION would go on with coarse images."""
    text = cryoedu("classify2d", simulated / "particles_data.star", "--o", tmp_path, "--k", 2, "--iter", 1,
                   "--psi-step", 30, "--offset-range", 4, "--pixel-size", 8)
    assert "log L" in text and not list(tmp_path.glob("*_data.mrcs"))
    found = read_particles(tmp_path / "run_it001_data.star")
    asked = read_particles(simulated / "particles_data.star")
    assert found.pixel_size == asked.pixel_size and found.images.shape == asked.images.shape


@pytest.mark.slow
def test_align2d_and_maxcc(simulated, tmp_path):
    for extra in ([], ["--maxcc"]):
        folder = tmp_path / f"out{len(extra)}"
        text = cryoedu(
            "align2d", simulated / "particles_data.star", "--o", folder, "--iter", 1, "--psi-step", 45, *extra
        )
        assert "class weights: 1.000" in text


@pytest.mark.slow
def test_classify3d_with_the_truth_and_the_oracle_beside_it(simulated, tmp_path):
    options = ["--iter", 2, "--healpix-order", 0, "--offset-range", 4, "--first-resolution", 30, "--strict-highres", 16]
    text = cryoedu(
        "classify3d",
        simulated / "particles_data.star",
        "--o",
        tmp_path,
        "--reference",
        RELION / "map.mrc",
        "--k",
        2,
        *options,
        "--truth",
        simulated / "truth_data.star",
        "--truth-map",
        simulated / "truth_class001.mrc",
    )
    assert "median pose error" in text and "oracle" in text
    finer = cryoedu("classify3d", simulated / "particles_data.star", "--o", tmp_path / "finer", "--reference",
                    RELION / "map.mrc", *options, "--oversampling", 1, "--truth", simulated / "truth_data.star")
    assert "median pose error" in finer
    assert read_map(tmp_path / "run_it002_class001.mrc").pixel_size == pytest.approx(4.0)
    kept = cryoedu(
        "classify3d",
        simulated / "particles_data.star",
        "--o",
        tmp_path / "kept",
        "--supervised",
        "--reference",
        RELION / "map.mrc",
        "--reference",
        RELION / "reconstruction.mrc",
        "--iter",
        1,
        *options[2:],
    )
    assert "class weights" in kept
    np.testing.assert_array_equal(
        read_map(tmp_path / "kept/run_it001_class001.mrc").density, read_map(RELION / "map.mrc").density
    )


@pytest.mark.slow
def test_a_point_group_from_a_shell(simulated, tmp_path):
    """--sym must reach the engine, in a reconstruction as in a refinement: what comes out looks the same turned."""
    cryoedu("reconstruct", simulated / "truth_data.star", "--o", tmp_path / "map.mrc", "--sym", "C2")
    cryoedu("classify3d", simulated / "particles_data.star", "--o", tmp_path / "run", "--reference", RELION / "map.mrc",
            "--k", 1, "--iter", 1, "--healpix-order", 0, "--offset-range", 0, "--strict-highres", 20, "--sym", "C2")
    for path in (tmp_path / "map.mrc", tmp_path / "run" / "run_it001_class001.mrc"):
        density = read_map(path).density[1:, 1:, 1:]
        assert np.abs(density - density[:, ::-1, ::-1]).max() < 0.02 * np.abs(density).max()


@pytest.mark.slow
def test_offsets_and_scales_from_a_shell(tmp_path):
    """--offset-sigma is kept as it is given, and --scale leaves a correction for each micrograph in the model file."""
    import starfile

    cryoedu("classify2d", RELION / "particles.star", "--o", tmp_path, "--k", 1, "--iter", 2, "--psi-step", 45,
            "--offset-range", 4, "--offset-sigma", 2.5, "--scale")
    model = starfile.read(tmp_path / "run_it002_model.star")
    assert float(model["model_general"]["rlnSigmaOffsetsAngst"]) == 2.5
    particles = read_particles(RELION / "particles.star")
    groups = starfile.read(tmp_path / "run_it002_model.star", always_dict=True)["model_groups"]
    names = groups["rlnGroupName"] if hasattr(groups, "columns") else [groups["rlnGroupName"]]
    assert set(map(str, names)) == set(particles.extra["rlnGroupName"].astype(str))


def test_doctor_and_help_answer():
    assert "numpy" in cryoedu("doctor").lower()
    assert "classify3d" in cryoedu("--help")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fsc", "no.mrc", RELION / "map.mrc"], "no.mrc"),
        (["reconstruct", "no.star", "--o", "x.mrc"], "no.star"),
        (["reconstruct", RELION / "map.mrc", "--o", "x.mrc"], "map.mrc"),
        (["reconstruct", RELION / "particles.star", "--o", "x.mrc", "--class", "3"], "rlnClassNumber"),
        (["classify2d", RELION / "particles.star", "--o", "out", "--k", "500"], "500 classes for 200 particles"),
        (
            ["classify3d", RELION / "particles.star", "--o", "out", "--reference", RELION / "map.mrc", "--supervised"],
            "two maps",
        ),
        (["classify2d", RELION / "particles.star", "--o", "out", "--memory", "huge"], "memory 'huge'"),
        (["classify2d", RELION / "particles.star", "--o", "out", "--particle-diameter", "900"], "900 Å does not fit"),
        (["classify2d", RELION / "particles.star", "--o", RELION / "map.mrc"], "map.mrc"),
        (["reconstruct", RELION / "particles.star", "--o", "x.mrc", "--sym", "X7"], "'X7' is not a point group"),
        (["simulate", "unicorn", "--o", "out"], "unicorn"),
        (["simulate", RELION / "map.mrc", "--o", "out", "--defocus", "200000", "300000"], "larger box"),
    ],
    ids=lambda v: str(v[0]) if isinstance(v, list) else "",
)
def test_bad_input_gets_one_sentence(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = cryoedu(*arguments, status=1)
    assert words in text
    assert text.startswith("cryoedu: ") and text.count("\n") == 1


def test_a_reference_of_another_pixel_size_is_refused(tmp_path):
    from cryoedu.microscope import write_map

    density = read_map(RELION / "map.mrc").density
    write_map(density, tmp_path / "wrong.mrc", 4.5)
    write_map(np.pad(density, 2), tmp_path / "large.mrc", 4.0)
    for name, words in (("wrong.mrc", "4.5 Å per pixel"), ("large.mrc", "box of 36 pixels")):
        text = cryoedu(
            "classify3d", RELION / "particles.star", "--o", tmp_path / "out", "--reference", tmp_path / name, status=1
        )
        assert words in text and name in text


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_written(simulated, tmp_path):
    """Stopped after its first iteration, a run leaves whole files and no temporary ones."""
    import signal
    import time

    run = subprocess.Popen(
        [
            *COMMAND,
            "classify2d",
            str(simulated / "particles_data.star"),
            "--o",
            str(tmp_path),
            "--k",
            "3",
            "--iter",
            "500",
            "--psi-step",
            "20",
        ],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    for _ in range(600):
        if list(tmp_path.glob("run_it002_data.star")):
            break
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130 and "stopped" in errors and "Traceback" not in errors
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*part*"))
    assert len(read_particles(tmp_path / "run_it001_data.star")) == 150


def test_a_number_of_classes_that_the_references_contradict_is_refused(tmp_path):
    """Each of several references starts a class: --k beside them would be an option that does nothing."""
    maps = ["--reference", RELION / "map.mrc", "--reference", RELION / "reconstruction.mrc"]
    text = cryoedu("classify3d", RELION / "particles.star", "--o", tmp_path / "out", *maps, "--k", 3, status=1)
    assert "--k 3 does not fit 2 references" in text


def test_a_part_of_a_stack_stays_on_disk():
    """Seeds from random subsets must not read a stack that is larger than memory."""
    from cryoedu.particles import ImageStack

    particles = read_particles(RELION / "particles.star")
    part = particles.subset_of(np.array([5, 2]))
    assert isinstance(part.images, ImageStack)
    np.testing.assert_array_equal(part.images[:], particles.images[np.array([5, 2])])
