"""What the commands say of images of noise: on the screen, in RELION's files, in the history and in the report."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from typer.testing import CliRunner

from cryoedu.commands.app import app
from cryoedu.files.star import read_tables
from cryoedu.particles import read_particles, write_particles

RELION = Path(__file__).parents[1] / "data" / "relion"
FIRST, SHELL = 60.0, 128.0  # Å: used in the first iteration; of the box


def cryoedu(*arguments: object) -> str:
    """What the command printed."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    cryoedu("simulate", RELION / "map.mrc", "--o", folder, "--n", 120, "--snr", 1e-12, "--random-seed", 1)
    return folder


def claimed(folder, number: int) -> list[float]:
    """Å of every place in which a run tells a resolution."""
    tables = read_tables(folder / f"run_it{number:03d}_model.star")
    history = pandas.read_csv(folder / "run_history.csv")
    return [*map(float, tables["model_classes"]["rlnEstimatedResolution"]),
            float(tables["model_general"]["rlnCurrentResolution"].iloc[0]), *history["resolved_angstrom"]]


@pytest.mark.parametrize("command", [
    ["classify2d", "--maxcc", "--psi-step", 10, "--tau2-fudge", 0],
    ["classify3d", "--maxcc", "--reference", RELION / "map.mrc", "--healpix-order", 1]], ids=lambda c: c[0])
def test_noise_is_said_to_hold_nothing(command, noise, tmp_path):
    """Hard assignments find an SSNR above 1 on all shells, which the files told as the resolution."""
    name, *options = command
    text = cryoedu(name, noise / "particles_data.star", "--o", tmp_path, "--k", 2, "--iter", 4, "--offset-range", 4,
                   *options)
    began = SHELL / round(SHELL / FIRST)
    one_more = SHELL / (round(SHELL / FIRST) + 1)
    assert min(claimed(tmp_path, 4)) >= one_more
    said = next(line for line in text.splitlines() if line.startswith("resolution by components"))
    assert said.count(f"{began:.1f} Å (the start's)") + said.count(f"{one_more:.1f} Å") == 2
    report = (tmp_path / "run_report.html").read_text()
    assert "resolved to" in report and "SSNR above 1" not in report and "SSNR = 1 at" not in report


def test_poses_that_were_there_may_know_the_images(noise, tmp_path):
    """So nothing is claimed, and this is said."""
    posed = read_particles(noise / "truth_data.star")
    write_particles(posed, tmp_path / "posed.star")
    text = cryoedu("classify3d", tmp_path / "posed.star", "--o", tmp_path / "run", "--k", 2, "--iter", 2,
                   "--skip-align", "--reference", RELION / "map.mrc")
    assert "resolution: not measured" in text
    tables = read_tables(tmp_path / "run" / "run_it002_model.star")
    assert set(map(float, tables["model_classes"]["rlnEstimatedResolution"])) == {999.0}
    assert "not measured" in (tmp_path / "run" / "run_report.html").read_text()
