"""The options that the commands share, and what they mean for the engine."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import Particles

if TYPE_CHECKING:
    from cryoedu.runs.folder import RunFolder

Star = Annotated[Path, typer.Argument(help="particles: a STAR file of RELION 3.0 or 3.1", show_default=False)]
Output = Annotated[Path, typer.Option("--o", "-o", "--project", help="folder for the results", show_default=False)]
Iterations = Annotated[int, typer.Option("--iter", min=1, help="number of iterations")]
Fudge = Annotated[
    float, typer.Option("--tau2-fudge", min=0.0, help="T of the regularised likelihood; 0 switches the prior off")
]
Range = Annotated[float, typer.Option("--offset-range", min=0.0, help="shifts searched, Å from the known centre")]
Step = Annotated[float | None, typer.Option("--offset-step", help="step of the shifts, Å (default: 1 pixel)")]
PsiStep = Annotated[float, typer.Option("--psi-step", help="step of the in-plane angle, degrees")]
Diameter = Annotated[
    float | None, typer.Option("--particle-diameter", help="Å, of the soft mask on the references (default: the box)")
]
Mask = Annotated[
    Path | None, typer.Option("--solvent-mask", help="mask (MRC, 0 to 1) on the maps, instead of a sphere")
]
MaxCC = Annotated[bool, typer.Option("--maxcc", help="maximum cross-correlation instead of maximum likelihood")]
FirstRes = Annotated[
    float | None, typer.Option("--first-resolution", help="Å used in the first iteration; opens evenly from there")
]
LastRes = Annotated[
    float | None, typer.Option("--strict-highres", help="Å used in the last iteration (default: 3 pixels)")
]
Seed = Annotated[int, typer.Option("--random-seed", help="seed of everything random")]
Memory = Annotated[str | None, typer.Option(help="memory budget, such as '1 GB' (default: half of what is free)")]
Symmetry = Annotated[str, typer.Option("--sym", help="point group of the map: C1, C4, D7, T, O, I …")]
OffsetSigma = Annotated[
    float | None, typer.Option("--offset-sigma", help="Å, spread of the shifts; kept (default: estimated)")
]
Scale = Annotated[bool, typer.Option("--scale", help="estimate the intensity of each micrograph (rlnMicrographName)")]
Library = Annotated[str, typer.Option("--array-library", help="numpy, cupy, or auto")]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", help="address of a Dask scheduler, or workers to start here; --memory is then of each")
]
Resume = Annotated[bool, typer.Option("--resume", help="go on after the last iteration that was finished")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the run that the folder holds")]
PixelSize = Annotated[float | None, typer.Option("--pixel-size", help="Å: resample all optics groups to this")]
Truth = Annotated[Path | None, typer.Option(help="STAR file with the true poses and classes, to compare with")]
MaskOrAuto = Annotated[
    str | None,
    typer.Option("--solvent-mask", help="mask (MRC, 0 to 1) on the maps, instead of a sphere; with --cross-fit also "
                 "'auto': one that follows the map"),
]
TruthMaps = Annotated[
    list[Path] | None,
    typer.Option("--truth-map", help="true maps in the order of the classes, for the oracle; repeat it"),
]


AUTO = "auto"  # for a mask that is made, not read
FILES = {"star", "reference", "solvent_mask", "truth", "truth_map"}  # options that name what a run reads
# results do not depend on these
UNASKED = {"o", "memory", "array_library", "cluster", "resume", "overwrite", "truth", "truth_map"}


def folder_of(context: typer.Context) -> RunFolder:
    """The folder that a command was told to write into, for a new run or, with --resume, one to go on with.

    Every option of the command counts for whether a run may go on, but for `UNASKED`; files by what they hold.
    """
    from cryoedu.runs.folder import open_folder

    given, inputs = context.params, []
    asked: dict[str, Any] = {"command": context.info_name}
    for parameter in context.command.params:
        name = str(parameter.name)
        value = given.get(name)
        label = "the STAR file" if name == "star" else parameter.opts[0]
        if name in FILES and value is not None and value != AUTO:
            files = [Path(v) for v in (value if isinstance(value, list | tuple) else [value])]
            inputs += files
            value = [_digest(file) for file in files]
        if name not in UNASKED:
            asked[label] = value
    command = shlex.join(["cryoedu", *sys.argv[1:]])
    return open_folder(Path(given["o"]), asked, inputs, command=command, resume=given["resume"],
                       overwrite=given["overwrite"], memory=given["memory"], array_library=given["array_library"])


def machine_of(context: typer.Context, folder: RunFolder) -> dict[str, Any]:
    """Where a command computes: the options memory, array_library and cluster of `refine`.

    The workers of a cluster are found, or started, here; they are left, or ended, when the command ends.
    """
    given = context.params
    machine = {"memory": folder.memory, "array_library": given["array_library"], "cluster": None}
    if given["cluster"] is None:
        return machine
    from cryoedu.inference import cluster

    context.call_on_close(cluster.close)
    return machine | {"memory": given["memory"], "cluster": cluster.client_of(given["cluster"])}


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


def particles_of(star: Path, pixel_size: float | None) -> Particles:
    """Particles of a STAR file, checked before anything long starts: columns, optics, every image."""
    from cryoedu.particles import check_images, read_particles
    from cryoedu.particles.normalisation import uneven_background

    particles = read_particles(star, resample_to=pixel_size)
    _ = particles.pixel_size  # refuses optics groups that differ
    check_images(particles.images, str(star))
    if spread := uneven_background(particles):
        typer.echo("warning: the background of the images has standard deviations from {:.2g} to {:.2g}, but one noise "
                   "spectrum holds for all: 'cryoedu normalise' makes them alike".format(*spread), err=True)
    return particles


def reference_of(path: Path, particles: Particles) -> NDArray[np.float32]:
    """The density of a map with the particles' box and pixel size, resampled if it only shows the same field finer or
    coarser; its projections, sums of voxels, keep their grey values."""
    density, finer = _in_the_box_of(particles, path)
    return np.asarray(density * finer, dtype=np.float32)


def _in_the_box_of(particles: Particles, path: Path) -> tuple[NDArray[np.float32], float]:
    """A map in the particles' box, its grey values kept, and how many of its voxels made one of theirs along a line."""
    from cryoedu.geometry.fourier import resize
    from cryoedu.inference.model import check_size
    from cryoedu.microscope import read_map

    specimen, box = read_map(path), particles.box
    if specimen.box != box and abs(specimen.box * specimen.pixel_size / (box * particles.pixel_size) - 1) < 5e-3:
        return resize(specimen.density, box, 3), specimen.box / box
    check_size(specimen.box, specimen.pixel_size, box, particles.pixel_size, str(path))
    return specimen.density, 1.0


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


def refinement_options(
    particles: Particles,
    ndim: int,
    iterations: int,
    tau2_fudge: float,
    diameter: float | None,
    mask: Path | None,
    maxcc: bool,
    first: float | None,
    last: float | None,
    seed: int,
    machine: dict[str, Any],
) -> dict[str, Any]:
    """Options of the command line as those of `refine`; ``machine`` are those of `machine_of`."""
    from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
    from cryoedu.inference.loop import opening

    end = shell_of(3 * particles.pixel_size if last is None else last, particles)
    return {
        "iterations": iterations,
        "tau2_fudge": tau2_fudge or None,
        **machine,
        "assignment": MAXIMUM_CROSS_CORRELATION if maxcc else MAXIMUM_LIKELIHOOD,
        "perturb_seed": seed,
        "mask": mask_of(particles, ndim, diameter, mask),
        "radii": [end] if first is None else opening(min(shell_of(first, particles), end), end, iterations),
    }


def shell_of(resolution: float, particles: Particles) -> int:
    """The Fourier shell of a resolution in Å, between 2 and Nyquist."""
    return min(max(round(particles.box * particles.pixel_size / resolution), 2), particles.box // 2)


def mask_of(particles: Particles, ndim: int, diameter: float | None, mask: Path | None) -> NDArray[np.float32]:
    """A soft sphere (or disc) of ``diameter`` Å, by default as large as fits the box, or what the file ``mask`` holds.

    Raises InputError if both are given.
    """
    from cryoedu.geometry.masks import soft_sphere

    box, pixel = particles.box, particles.pixel_size
    if diameter is not None and mask is not None:
        raise InputError("--particle-diameter and --solvent-mask are both given: choose one")
    if mask is not None:
        density, finer = _in_the_box_of(particles, mask)
        return density if finer == 1 else np.clip(density, 0.0, 1.0)  # resampling swings a little beyond
    return soft_sphere(box, pixel, (box - 6) * pixel if diameter is None else diameter, ndim=ndim)


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
    return truth
