"""What a person sets: one frozen dataclass for each job. A field carries its option of the command line and its help.

A number that may be left out is None until the data decide (`cryoedu.pipeline.derive`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

Star = Annotated[
    Path, typer.Argument(help="particles: a STAR file of RELION, or a .cs file of cryoSPARC", show_default=False)
]
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
AngPix = Annotated[
    float | None, typer.Option("--angpix", help="Å that a pixel of the images has (default: what the files say)")
]
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
References = Annotated[
    list[Path], typer.Option(help="map (MRC) to start from; one for each class makes them the starts")
]
Reference = Annotated[Path, typer.Option(help="map (MRC) to start from")]
StepOrHalf = Annotated[
    float | None,
    typer.Option("--offset-step", help="coarsest step of the shifts, Å (default: 2 pixels, or half the range)"),
]
DiameterOr80 = Annotated[
    float | None, typer.Option("--particle-diameter", help="Å, of the sphere around the maps (default: 0.8 of the box)")
]
AUTO = "auto"  # for a mask that is made, not read


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every job that leaves a run is told."""

    star: Star
    o: Output
    random_seed: Seed = 0
    angpix: AngPix = None
    pixel_size: PixelSize = None
    memory: Memory = None
    array_library: Library = "auto"
    resume: Resume = False
    overwrite: Overwrite = False


@dataclass(frozen=True, kw_only=True)
class Align2D(Job):
    """Align in the plane."""

    iterations: Iterations = 20
    psi_step: PsiStep = 5.0
    offset_range: Range = 15.0
    offset_step: Step = None
    tau2_fudge: Fudge = 0.0
    particle_diameter: Diameter = None
    maxcc: MaxCC = False
    first_resolution: FirstRes = 60.0
    strict_highres: LastRes = None
    cluster: Cluster = None


@dataclass(frozen=True, kw_only=True)
class Classify2D(Align2D):
    """Classify in the plane."""

    k: Annotated[int, typer.Option("--k", min=1, help="number of classes")] = 10
    iterations: Iterations = 25
    offset_sigma: OffsetSigma = None
    scale: Scale = False
    truth: Truth = None


@dataclass(frozen=True, kw_only=True)
class Classify3D(Job):
    """Classify maps."""

    reference: References
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="classes from random subsets (default: 2; or the references)")
    ] = None
    iterations: Iterations = 25
    cross_fit: Annotated[
        int, typer.Option("--cross-fit", min=0, help="folds, each scored against maps without it; 0: off, 5 is usual")
    ] = 0
    healpix_order: Annotated[
        int, typer.Option("--healpix-order", min=0, max=5, help="sampling of the orientations: 1: 30°, 2: 15°, 3: 7.5°")
    ] = 2
    oversampling: Annotated[
        int, typer.Option(min=0, max=4, help="how often the steps are halved around what counts for each particle")
    ] = 0
    offset_range: Range = 15.0
    offset_step: Step = None
    skip_align: Annotated[
        bool, typer.Option("--skip-align", help="take the poses in the STAR file as they are: only classify")
    ] = False
    local_range: Annotated[
        float | None, typer.Option("--local-range", min=0.0, help="degrees searched around the poses in the STAR file")
    ] = None
    local_step: Annotated[
        float | None, typer.Option("--local-step", help="degrees between them (default: a third of the range)")
    ] = None
    symmetry: Symmetry = "C1"
    ini_high: Annotated[float, typer.Option("--ini-high", help="Å: low-pass filter of a single reference")] = 60.0
    tau2_fudge: Fudge = 4.0
    particle_diameter: Diameter = None
    solvent_mask: MaskOrAuto = None
    maxcc: MaxCC = False
    supervised: Annotated[bool, typer.Option("--supervised", help="keep the given maps: only classify")] = False
    first_resolution: FirstRes = None
    strict_highres: LastRes = None
    offset_sigma: OffsetSigma = None
    scale: Scale = False
    cluster: Cluster = None
    truth: Truth = None
    truth_map: TruthMaps = None


@dataclass(frozen=True, kw_only=True)
class Refine3D(Job):
    """Refine one map, against two halves."""

    reference: Reference
    ini_high: Annotated[float, typer.Option("--ini-high", min=1.0, help="Å: low-pass filter of the reference")] = 60.0
    healpix_order: Annotated[
        int, typer.Option("--healpix-order", min=0, max=3, help="coarsest sampling of the orientations: 2: 15°")
    ] = 2
    offset_range: Range = 15.0
    offset_step: StepOrHalf = None
    particle_diameter: DiameterOr80 = None
    solvent_mask: Annotated[
        Path | None, typer.Option("--solvent-mask", help="mask (MRC, 0 to 1) on the maps; the FSC is corrected for it")
    ] = None
    low_resol_join_halves: Annotated[
        float, typer.Option("--low-resol-join-halves", min=1.0, help="Å: coarser than this the halves share their map")
    ] = 40.0
    iterations: Annotated[int, typer.Option("--iter", min=1, help="at most; it ends when nothing gets better")] = 30
    symmetry: Symmetry = "C1"
    cluster: Cluster = None
    truth: Annotated[Path | None, typer.Option(help="STAR file with the true poses, to compare with")] = None
    truth_map: Annotated[
        Path | None, typer.Option("--truth-map", help="true map, to compare with after alignment")
    ] = None


@dataclass(frozen=True, kw_only=True)
class InitialModel(Job):
    """Maps from particles alone."""

    algorithm: Annotated[
        Literal["sgd", "shc"], typer.Option(help="sgd: stochastic gradient descent, shc: stochastic hill climbing")
    ] = "sgd"
    k: Annotated[int, typer.Option("--k", min=1, help="number of classes (sgd)")] = 1
    iterations: Annotated[
        int | None, typer.Option("--iter", min=1, help="number of iterations (default: sgd 200, shc 60)")
    ] = None
    healpix_order: Annotated[
        int, typer.Option("--healpix-order", min=0, max=3, help="sampling in the last tenth: 1: 30°, 2: 15°, 3: 7.5°")
    ] = 2
    offset_range: Range = 15.0
    offset_step: Step = None
    particle_diameter: Diameter = None
    solvent_mask: Mask = None
    first_resolution: Annotated[
        float | None, typer.Option("--first-resolution", help="Å used in the first iteration (default: 1/3 of the box)")
    ] = None
    strict_highres: Annotated[
        float | None, typer.Option("--strict-highres", help="Å used in the last iteration (default: 1/10 of the box)")
    ] = None
    write_iter: Annotated[
        int, typer.Option("--write-iter", min=1, help="write maps and a checkpoint each so many iterations")
    ] = 10
    truth_map: Annotated[
        list[Path] | None, typer.Option(help="true map, to compare with in either hand; repeat it for several states")
    ] = None
