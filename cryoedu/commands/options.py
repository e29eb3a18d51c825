"""What the commands share: how settings become options, and what these mean for the folder and the engine."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import typer

from cryoedu.errors import InputError
from cryoedu.pipeline.settings import AUTO, Job

if TYPE_CHECKING:
    from cryoedu.inference.settings import Compute
    from cryoedu.microscope.specimen import Specimen
    from cryoedu.particles.particles import Particles
    from cryoedu.runs.folder import RunFolder


FILES = {"star", "reference", "solvent_mask", "truth", "truth_map"}  # options that name what a run reads
# results do not depend on these
UNASKED = {"o", "memory", "array_library", "cluster", "resume", "overwrite", "truth", "truth_map"}
S = TypeVar("S", bound=Job)


def as_command(settings: type[S], body: Callable[[typer.Context, S], None]) -> Callable[..., None]:
    """A command of Typer with an option for each field of ``settings``, which ``body`` gets as one."""
    hints = get_type_hints(settings, include_extras=True)
    first, second, *last = (field.name for field in fields(Job))
    order = dict.fromkeys([first, second, *settings.__annotations__, *hints])  # its own options come early
    names = [name for name in order if name not in last] + last  # and what all jobs have at the end
    defaults = {field.name: Parameter.empty if field.default is MISSING else field.default
                for field in fields(settings)}

    def command(context: typer.Context, **given: Any) -> None:
        body(context, settings(**given))

    signature = [Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    signature += [Parameter(name, Parameter.KEYWORD_ONLY, annotation=hints[name], default=defaults[name])
                  for name in names]
    command.__name__, command.__doc__ = body.__name__, body.__doc__
    command.__signature__ = Signature(signature)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in signature}
    return command


def folder_of(context: typer.Context, settings: Job) -> RunFolder:
    """The folder that a command was told to write into, for a new run or, with --resume, one to go on with.

    Every option of the command counts for whether a run may go on, but for `UNASKED`; files by what they hold.
    """
    from cryoedu.particles.joining import particle_file
    from cryoedu.runs.folder import open_folder

    inputs: list[Path] = []
    asked: dict[str, Any] = {"command": context.info_name}
    for parameter in context.command.params:
        name = str(parameter.name)
        value = getattr(settings, name)
        label = "the STAR file" if name == "star" else parameter.opts[0]
        if name in FILES and value is not None and value != AUTO:
            files = [Path(v) for v in (value if isinstance(value, list | tuple) else [value])]
            files = [particle_file(file) for file in files] if name == "star" else files
            inputs += files
            value = [_digest(file) for file in files]
        if name not in UNASKED:
            asked[label] = value
    command = shlex.join(["cryoedu", *sys.argv[1:]])
    return open_folder(settings.o, asked, inputs, command=command, resume=settings.resume, overwrite=settings.overwrite,
                       memory=settings.memory, array_library=settings.array_library)


def compute_of(context: typer.Context, settings: Job, folder: RunFolder, cluster: str | None = None) -> Compute:
    """Where a command computes.

    The workers of a cluster are found, or started, here; they are left, or ended, when the command ends.
    """
    from cryoedu.inference.settings import Compute

    if cluster is None:
        return Compute(folder.memory, settings.array_library)
    from cryoedu.inference import cluster as workers

    context.call_on_close(workers.close)
    return Compute(settings.memory, settings.array_library, workers.client_of(cluster))


def refuse_together(context: typer.Context, because: str, *names: str) -> None:
    """Raise InputError if one of the options ``names`` (parameters of the command) was typed, with the reason."""
    for parameter in context.command.params:
        if parameter.name in names and (source := context.get_parameter_source(str(parameter.name))) is not None \
                and source.name == "COMMANDLINE":
            raise InputError(f"{parameter.opts[0]} {because}: leave one of them out")


def _digest(file: Path) -> str:
    from cryoedu.runs.checkpoints import file_digest

    try:
        return f"sha256:{file_digest(file)}"
    except OSError:
        return "sha256:"  # whoever reads it says what is wrong


def particles_of(star: Path, angpix: float | None = None, pixel_size: float | None = None) -> Particles:
    """Particles of a STAR file, checked before anything long starts: columns, optics, every image.

    angpix: Å that a pixel of the images has, whatever the files say.  pixel_size: Å to resample them to.
    """
    from cryoedu.particles import check_images, read_particles
    from cryoedu.particles.joining import particle_file
    from cryoedu.particles.normalisation import CLEAR, contrast, uneven_background
    from cryoedu.particles.optics import unapplied

    particles = read_particles(particle_file(star), pixel_size=angpix, resample_to=pixel_size)
    _ = particles.pixel_size  # refuses optics groups that differ
    check_images(particles.images, str(star))
    if unread := unapplied(particles):
        typer.echo(f"warning: {star} has measured aberrations ({', '.join(unread)}), which are written back and not "
                   "taken into account: what they do to the finest details is not undone", err=True)
    if spread := uneven_background(particles):
        typer.echo("warning: the background of the images has standard deviations from {:.2g} to {:.2g}, but one noise "
                   "spectrum holds for all: 'cryoedu normalise' makes them alike".format(*spread), err=True)
    if (sign := contrast(particles)) < -CLEAR:
        typer.echo("warning: the particles are darker than what is around them, and bright ones are expected: their "
                   "map would come out with its density negative; 'cryoedu normalise --invert' turns them", err=True)
    elif sign < CLEAR:
        typer.echo("warning: the images do not tell whether particles are brighter than what is around them, as is "
                   "expected, or darker: if a map comes out negative, 'cryoedu normalise --invert' turns them",
                   err=True)
    return particles


def specimen_of(text: str, box: int, pixel_size: float) -> Specimen:
    """A specimen from the name of a data set, an MRC map, or an atomic model."""
    from cryoedu import datasets

    path = Path(text)
    if not path.exists():
        return datasets.load(text, box=box, pixel_size=pixel_size)
    if path.suffix.lower() in (".mrc", ".map"):
        from cryoedu.microscope import read_map

        return read_map(path)
    from cryoedu.microscope.atoms import read_atoms, specimen_from_atoms

    return specimen_from_atoms(read_atoms(path), box, pixel_size, name=path.stem)


def truth_of(path: Path, particles: Particles, *, classes: bool = True) -> Particles:
    """True poses (and classes, where they count), once they are known to be of the same particles."""
    from cryoedu.particles import read_particles

    truth = read_particles(path)
    if abs(truth.pixel_size / particles.pixel_size - 1) > 5e-3:
        truth = read_particles(path, resample_to=particles.pixel_size)
    if len(truth) != len(particles) or (classes and truth.classes is None) or truth.angles is None:
        raise InputError(
            f"{path} cannot be the truth: it needs angles{' and rlnClassNumber' * classes} for the same "
            f"{len(particles)} particles in the same order, and has {len(truth)} rows"
        )
    if classes:
        truth.known_classes()
    return truth
