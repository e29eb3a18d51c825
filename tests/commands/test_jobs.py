"""The jobs of the command line: a setting for each option, an option for each setting, and old runs can go on."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import typer

import cryoedu
from cryoedu.commands.app import app
from cryoedu.pipeline.settings import Align2D, Classify2D, Classify3D, InitialModel, Job, Refine3D

COMMANDS = typer.main.get_command(app).commands
JOBS = {"align2d": Align2D, "classify2d": Classify2D, "classify3d": Classify3D, "refine3d": Refine3D,
        "initial-model": InitialModel}
EVERY = {"star", "--o", "--random-seed", "--angpix", "--pixel-size", "--memory", "--array-library", "--resume",
         "--overwrite"}
PLANE = EVERY | {"--iter", "--psi-step", "--offset-range", "--offset-step", "--tau2-fudge", "--particle-diameter",
                 "--maxcc", "--first-resolution", "--strict-highres", "--cluster"}
OPTIONS = {  # what stands in run_job.json and in checkpoints: under another name no older run could go on
    "align2d": PLANE,
    "classify2d": PLANE | {"--k", "--offset-sigma", "--scale", "--truth"},
    "classify3d": (PLANE - {"--psi-step"}) | {
        "--k", "--reference", "--cross-fit", "--healpix-order", "--oversampling", "--skip-align", "--local-range",
        "--local-step", "--sym", "--ini-high", "--solvent-mask", "--supervised", "--offset-sigma", "--scale", "--truth",
        "--truth-map"},
    "refine3d": EVERY | {
        "--reference", "--ini-high", "--healpix-order", "--offset-range", "--offset-step", "--particle-diameter",
        "--solvent-mask", "--low-resol-join-halves", "--iter", "--sym", "--cluster", "--truth", "--truth-map"},
    "initial-model": EVERY | {
        "--algorithm", "--k", "--iter", "--healpix-order", "--offset-range", "--offset-step", "--particle-diameter",
        "--solvent-mask", "--first-resolution", "--strict-highres", "--write-iter", "--truth-map"}}


@pytest.mark.parametrize("name", JOBS)
def test_every_setting_is_an_option_and_the_names_stay(name):
    """A run that was started a year ago is resumed by what it wrote down then."""
    parameters = COMMANDS[name].params
    assert {parameter.opts[0] for parameter in parameters} == OPTIONS[name]
    assert {parameter.name for parameter in parameters} == {field.name for field in fields(JOBS[name])}
    assert all(getattr(parameter, "help", "") for parameter in parameters)


def test_every_setting_is_read():
    """classify3d once had 34 options, six of which nobody read."""
    text = "".join(path.read_text(encoding="utf-8") for room in ("commands", "pipeline")
                   for path in (Path(cryoedu.__path__[0]) / room).glob("*.py"))
    read = set(re.findall(r"settings\.(\w+)", text))
    assert not {f"{job.__name__}.{field.name}" for job in JOBS.values() for field in fields(job)} - {
        f"{job.__name__}.{name}" for job in JOBS.values() for name in read}


def test_what_is_no_setting_is_refused():
    with pytest.raises(TypeError, match="tau_fudge"):
        Classify3D(star=Path("a.star"), o=Path("b"), reference=[Path("c.mrc")], tau_fudge=4.0)


def test_what_a_job_is_told_is_what_was_typed(monkeypatch):
    """Each option ends in the field of its name, with the type that it has there."""
    from cryoedu.commands import options

    seen: list[Job] = []
    command = typer.Typer()
    command.command()(options.as_command(Classify3D, lambda context, settings: seen.append(settings)))
    typer.main.get_command(command)(["a.star", "--o", "out", "--reference", "1.mrc", "--reference", "2.mrc", "--k", "2",
                                     "--tau2-fudge", "0", "--sym", "D7", "--skip-align"], standalone_mode=False)
    assert seen == [Classify3D(star=Path("a.star"), o=Path("out"), reference=[Path("1.mrc"), Path("2.mrc")], k=2,
                               tau2_fudge=0.0, symmetry="D7", skip_align=True)]
