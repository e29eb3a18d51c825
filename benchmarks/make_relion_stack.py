"""Make particle stacks of ribosome states with RELION 3.1 itself, for demonstrations and comparisons.

    python benchmarks/make_relion_stack.py FOLDER [SET ...]      # needs relion_project, _reconstruct, _image_handler

Each set becomes FOLDER/SET with particles.star and particles.mrcs (what a user would have), poses.star (the same with
true angles and origins), truth.star (and with true classes), true_classNNN.mrc (the maps that were projected),
noise_model.star (the spectrum that relion_project drew its noise from), relion_classNNN.mrc (relion_reconstruct of each
class from its true poses), their FSC with the true maps, and measured.json (the SNR that came out, and the like).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import mrcfile
import numpy as np

from cryoedu.datasets.ribosome import ribosome
from cryoedu.geometry.euler import matrix_to_euler, random_rotations
from cryoedu.microscope.noise import circle, coloured, signal_variance

PARTICLE_DIAMETER = 310.0  # Å
TRUTH = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst", "rlnClassNumber"]
CTF = ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift", "rlnCtfBfactor", "rlnCtfScalefactor"]


@dataclass(frozen=True)
class Stack:
    """What a set is made of. snr: variance of the CTF-filtered signal in the particle's circle / of the noise there."""

    states: tuple[str, ...]
    count: int
    box: int
    pixel_size: float  # Å
    snr: float
    seed: int


WHOLE, LARGE, TRIMMED = "ribosome-80S", "ribosome-large-subunit", "ribosome-trimmed"
SETS = {
    "trimmed_64": Stack((WHOLE, TRIMMED), 2000, 64, 5.0, 0.1, 11),
    "large_subunit_64": Stack((WHOLE, LARGE), 2000, 64, 5.0, 0.1, 12),
    "one_state_64": Stack((WHOLE,), 1000, 64, 5.0, 0.1, 13),
    "large_subunit_32": Stack((WHOLE, LARGE), 2000, 32, 11.0, 0.25, 14),
    "large_subunit_32_snr0.5": Stack((WHOLE, LARGE), 2000, 32, 11.0, 0.5, 15),
    "large_subunit_32_10000": Stack((WHOLE, LARGE), 10000, 32, 11.0, 0.25, 16),
    "trimmed_64_10000": Stack((WHOLE, TRIMMED), 10000, 64, 5.0, 0.1, 17),
}


def run(work: Path, *command: object) -> str:
    """Run a program of RELION in ``work``; its output. The script stops with RELION's own words if it fails."""
    done = subprocess.run([str(c) for c in command], check=False, capture_output=True, text=True, cwd=work)
    if done.returncode:
        sys.exit(f"{' '.join(str(c) for c in command)}\nfailed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def loop(name: str, columns: list[str], rows: list[list[object]]) -> str:
    """One loop of a STAR file."""
    head = ["", "# version 30001", "", f"data_{name}", "", "loop_"] + [f"_{c} #{i}" for i, c in enumerate(columns, 1)]
    lines = [" ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in row) for row in rows]
    return "\n".join(head + lines) + "\n\n"


def optics(stack: Stack) -> str:
    """The optics table: one group, 300 kV, Cs 2.7 mm, amplitude contrast 0.1."""
    return loop("optics", ["rlnOpticsGroup", "rlnOpticsGroupName", "rlnMicrographOriginalPixelSize", "rlnVoltage",
                           "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnImagePixelSize", "rlnImageSize",
                           "rlnImageDimensionality"],
                [[1, "opticsGroup1", stack.pixel_size, 300.0, 2.7, 0.1, stack.pixel_size, stack.box, 2]])


def truth_columns(stack: Stack) -> dict[str, list[object]]:
    """Poses, classes and CTFs, drawn: orientations uniform, shifts of 5 Å, defocus 1-3 µm, U - V of 200-800 Å."""
    rng = np.random.default_rng(stack.seed)
    n = stack.count
    angles = matrix_to_euler(random_rotations(n, rng))
    origins = rng.normal(0, 5, (n, 2))
    classes = rng.permutation(np.arange(n) % len(stack.states)) + 1
    mean, half = rng.uniform(10_000, 30_000, n), rng.uniform(100, 400, n)
    numbers = [*angles.T, *origins.T]
    optical = [mean + half, mean - half, rng.uniform(0, 180, n), np.zeros(n), np.zeros(n), np.ones(n)]
    columns: dict[str, list[object]] = {k: np.round(v, 3).tolist() for k, v in zip(TRUTH, numbers)}
    columns[TRUTH[5]] = classes.tolist()
    columns |= {k: np.round(v, 2).tolist() for k, v in zip(CTF, optical)}
    return columns


def write_star(path: Path, stack: Stack, columns: dict[str, list[object]], names: list[str], rows: np.ndarray,
               stack_name: str = "particles.mrcs") -> None:
    """Particles ``rows`` with the columns ``names``; all belong to one noise group."""
    head = ["rlnImageName", "rlnMicrographName", "rlnGroupName", "rlnOpticsGroup"]
    table = [[f"{i + 1:06d}@{stack_name}", f"micrograph{i // 100 + 1:03d}.mrc", "group1", 1,
              *(columns[c][i] for c in names)] for i in rows.tolist()]
    path.write_text(optics(stack) + loop("particles", head + names, table))


def write_noise_model(path: Path, stack: Stack, sigma2: np.ndarray) -> None:
    """A model file as relion_refine writes it, with this spectrum (box // 2 + 1,) in RELION's units."""
    general = {"rlnReferenceDimensionality": 3, "rlnDataDimensionality": 2, "rlnOriginalImageSize": stack.box,
               "rlnCurrentResolution": 2 * stack.pixel_size, "rlnCurrentImageSize": stack.box, "rlnPaddingFactor": 2.0,
               "rlnIsHelix": 0, "rlnFourierSpaceInterpolator": 1, "rlnMinRadiusNnInterpolation": 10,
               "rlnPixelSize": stack.pixel_size, "rlnNrClasses": 1, "rlnNrBodies": 1, "rlnNrGroups": 1,
               "rlnTau2FudgeFactor": 1.0, "rlnNormCorrectionAverage": 1.0, "rlnSigmaOffsetsAngst": 5.0,
               "rlnOrientationalPriorMode": 0, "rlnSigmaPriorRotAngle": 0.0, "rlnSigmaPriorTiltAngle": 0.0,
               "rlnSigmaPriorPsiAngle": 0.0, "rlnLogLikelihood": 0.0, "rlnAveragePmax": 0.0}
    text = "\n# version 30001\n\ndata_model_general\n\n" + "".join(f"_{k} {v}\n" for k, v in general.items())
    text += loop("model_classes", ["rlnReferenceImage", "rlnClassDistribution", "rlnAccuracyRotations",
                                   "rlnAccuracyTranslationsAngst", "rlnEstimatedResolution",
                                   "rlnOverallFourierCompleteness"], [["true_class001.mrc", 1.0, 0.0, 0.0, 0.0, 0.0]])
    shells = [[i, i / (stack.box * stack.pixel_size)] for i in range(stack.box // 2 + 1)]
    text += loop("model_class_1", ["rlnSpectralIndex", "rlnResolution", "rlnAngstromResolution", "rlnSsnrMap",
                                   "rlnGoldStandardFsc", "rlnFourierCompleteness", "rlnReferenceSigma2",
                                   "rlnReferenceTau2"], [[i, u, 1 / u if i else 999.0] + [0.0] * 5 for i, u in shells])
    text += loop("model_groups", ["rlnGroupNumber", "rlnGroupName", "rlnGroupNrParticles", "rlnGroupScaleCorrection"],
                 [[1, "group1", stack.count, 1.0]])
    text += loop("model_group_1", ["rlnSpectralIndex", "rlnResolution", "rlnSigma2Noise"],
                 [[i, u, float(s)] for (i, u), s in zip(shells, sigma2)])
    text += loop("model_pdf_orient_class_1", ["rlnOrientationDistribution"], [[1 / 192] for _ in range(192)])
    path.write_text(text)


def write_mrc(path: Path, data: np.ndarray, pixel_size: float, *, images: bool = False) -> None:
    """A float32 map, or a stack of images."""
    with mrcfile.new(path, overwrite=True) as f:
        f.set_data(data.astype(np.float32, copy=False))
        if images:
            f.set_image_stack()
        f.voxel_size = pixel_size


def project(work: Path, stack: Stack, noise: bool) -> list[np.ndarray]:
    """Images (N, n, n) of every particle as each of the states, by relion_project.

    RELION never seeds its noise, so that a call for another state repeats it row for row. That is wanted here: each
    particle is later taken from one of the states, and keeps a noise image that no other particle has.
    """
    extra = ["--add_noise", "--model_noise", "noise_model.star"] if noise else []
    images = []
    for k in range(1, len(stack.states) + 1):
        run(work, "relion_project", "--i", f"true_class{k:03d}.mrc", "--ang", "in.star", "--o", "out", "--angpix",
            stack.pixel_size, "--pad", 2, "--ctf", *extra)
        images.append(mrcfile.read(work / "out.mrcs"))
    return images


def chosen(images: list[np.ndarray], classes: np.ndarray) -> np.ndarray:
    """Each particle from the state that it belongs to."""
    out = images[0].copy()
    for k, of_state in enumerate(images[1:], 2):
        out[classes == k] = of_state[classes == k]
    return out


def make(folder: Path, stack: Stack) -> dict[str, object]:
    """Make one set in ``folder``; what was measured on it."""
    columns = truth_columns(stack)
    classes = np.array(columns["rlnClassNumber"])
    rows = np.arange(stack.count)
    for k, state in enumerate(stack.states, 1):
        write_mrc(folder / f"true_class{k:03d}.mrc", ribosome(state, stack.box, stack.pixel_size).density,
                  stack.pixel_size)
    write_star(folder / "in.star", stack, columns, [*TRUTH, *CTF], rows)
    clean = chosen(project(folder, stack, noise=False), classes)
    inside = circle(stack.box, PARTICLE_DIAMETER / (stack.box * stack.pixel_size))
    signal = signal_variance(clean, inside)
    shape = coloured(np.arange(stack.box // 2 + 1) / (stack.box * stack.pixel_size))

    # Once to see how much noise this spectrum makes, and once with the spectrum that makes the wanted amount.
    sigma2 = shape * signal / stack.snr / (2 * stack.box**2)
    write_noise_model(folder / "noise_model.star", stack, sigma2)
    noise = chosen(project(folder, stack, noise=True), classes) - clean
    sigma2 *= signal / stack.snr / float(np.mean(noise[:, inside].astype(np.float64) ** 2))
    write_noise_model(folder / "noise_model.star", stack, sigma2)
    noisy = chosen(project(folder, stack, noise=True), classes)
    noise = noisy - clean
    write_mrc(folder / "particles.mrcs", noisy, stack.pixel_size, images=True)
    write_star(folder / "particles.star", stack, columns, CTF, rows)
    write_star(folder / "poses.star", stack, columns, [*TRUTH[:5], *CTF], rows)
    write_star(folder / "truth.star", stack, columns, [*TRUTH, *CTF], rows)

    measured: dict[str, object] = asdict(stack) | {
        "particle_diameter": PARTICLE_DIAMETER, "signal_variance": signal,
        "snr_measured": signal / float(np.mean(noise[:, inside].astype(np.float64) ** 2)),
        "noise_correlation_of_neighbouring_particles": float(np.mean(noise[1:] * noise[:-1]) / np.mean(noise**2)),
        "resolution_at_fsc_0.5": {}}
    for k in range(1, len(stack.states) + 1):
        measured["resolution_at_fsc_0.5"][k] = reconstruct(folder, stack, k)  # type: ignore[index]
    for name in ("in.star", "out.star", "out.mrcs", ".spi"):
        (folder / name).unlink(missing_ok=True)
    (folder / "measured.json").write_text(json.dumps(measured, indent=1) + "\n")
    return measured


def reconstruct(folder: Path, stack: Stack, k: int) -> float:
    """RELION's own map of class ``k`` from the true poses, and where its FSC with the true map falls below 0.5 (Å)."""
    name = f"class{k:03d}"
    run(folder, "relion_reconstruct", "--i", "truth.star", "--o", f"relion_{name}.mrc", "--ctf", "--class", k, "--pad",
        2, "--angpix", stack.pixel_size)
    fsc = run(folder, "relion_image_handler", "--i", f"relion_{name}.mrc", "--fsc", f"true_{name}.mrc", "--angpix",
              stack.pixel_size)
    (folder / f"relion_{name}_fsc.star").write_text(fsc)
    table = np.array([line.split() for line in fsc.splitlines() if len(line.split()) == 4], dtype=float)
    below = np.flatnonzero(table[1:, 3] < 0.5) + 1
    if not len(below):
        return 2 * stack.pixel_size
    i = below[0]
    share = (table[i - 1, 3] - 0.5) / (table[i - 1, 3] - table[i, 3])
    return float(stack.box * stack.pixel_size / (i - 1 + share))


def main() -> None:
    """Read the command line and make the sets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"one or more of {', '.join(SETS)} (default: all)")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.sets if name not in SETS]
    if unknown:
        parser.error(f"no such set: {', '.join(unknown)} (choose from {', '.join(SETS)})")
    if shutil.which("relion_project") is None:
        parser.error("relion_project is not installed (Debian and Ubuntu: apt install relion)")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.sets or SETS:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
            measured = make(Path(work), SETS[name])
            shutil.rmtree(arguments.folder / name, ignore_errors=True)
            shutil.copytree(work, arguments.folder / name)
        print(f"{arguments.folder / name}: SNR {measured['snr_measured']:.4f}, relion_reconstruct reaches FSC 0.5 at "
              f"{measured['resolution_at_fsc_0.5']} Å", flush=True)


if __name__ == "__main__":
    main()
