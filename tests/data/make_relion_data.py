"""Make tests/data/relion: small files that RELION itself wrote, for the tests to agree with.

    python tests/data/make_relion_data.py            # needs numpy, mrcfile and the programs of RELION 3.1

RELION never enters the tests: they read the files that this script left behind. Everything random has a seed of
its own here, and RELION's noise starts from the same state in every run, so that a second run gives the same
numbers (headers of MRC files differ in the date, STAR files in nothing).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mrcfile
import numpy as np

HERE = Path(__file__).resolve().parent / "relion"
BOX, PIXEL = 32, 4.0  # pixels, Å
COMMANDS: list[str] = []

OPTICS = ["rlnOpticsGroup", "rlnOpticsGroupName", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast",
          "rlnImagePixelSize", "rlnImageSize", "rlnImageDimensionality"]
ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst"]
CTF = ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift", "rlnCtfBfactor", "rlnCtfScalefactor"]


def run(*command: object) -> str:
    """Run a RELION program in the current working folder; its line goes to commands.txt."""
    line = " ".join(str(c) for c in command)
    COMMANDS.append(line)
    done = subprocess.run([str(c) for c in command], check=False, capture_output=True, text=True, cwd=WORK)
    if done.returncode:
        sys.exit(f"{line}\nfailed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def text(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def block(name: str, columns: list[str], rows: list[list[object]]) -> str:
    """One loop of a STAR file."""
    lines = [f"\ndata_{name}\n", "loop_"] + [f"_{c} #{i}" for i, c in enumerate(columns, 1)]
    return "\n".join(lines + [" ".join(text(v) for v in row) for row in rows]) + "\n\n"


def optics(box: int = BOX, pixel: float = PIXEL) -> str:
    """Two optics groups that differ in voltage, Cs and amplitude contrast."""
    return "\n# version 30001\n" + block("optics", OPTICS, [[1, "opticsGroup1", 300.0, 2.7, 0.1, pixel, box, 2],
                                                           [2, "opticsGroup2", 200.0, 2.0, 0.07, pixel, box, 2]])


def write_particles(path: Path, columns: list[str], rows: list[list[object]], groups: list[int]) -> None:
    """A 3.1 STAR file; every particle names an image, a micrograph, a group and its optics group."""
    head = ["rlnImageName", "rlnMicrographName", "rlnGroupName", "rlnOpticsGroup"]
    full = [[f"{i + 1:06d}@none.mrcs", "mic1.mrc", "group1", g] + r for i, (r, g) in enumerate(zip(rows, groups))]
    path.write_text(optics() + "\n# version 30001\n" + block("particles", head + columns, full))


def write_mrc(path: Path, data: np.ndarray, *, stack: bool = False) -> None:
    with mrcfile.new(path, overwrite=True) as f:
        f.set_data(data)
        f.voxel_size = PIXEL
        if stack:
            f.set_image_stack()


def gaussians() -> np.ndarray:
    """Eight blobs at random places: columns x, y, z (Å from the centre), sigma (Å), mass."""
    rng = np.random.default_rng(20240501)
    place = rng.normal(size=(8, 3))
    place *= (35 * rng.random(8) ** (1 / 3) / np.linalg.norm(place, axis=1))[:, None]
    return np.round(np.column_stack([place, rng.uniform(5, 8, 8), rng.uniform(500, 3000, 8)]), 3)


def density(blobs: np.ndarray) -> np.ndarray:
    """The blobs on the grid, map[z, y, x], centre at voxel BOX // 2; mass / Å³ in every voxel."""
    axis = (np.arange(BOX) - BOX // 2) * PIXEL
    out = np.zeros((BOX,) * 3)
    for x, y, z, sigma, mass in blobs:
        gx, gy, gz = (np.exp(-((axis - c) ** 2) / (2 * sigma**2)) for c in (x, y, z))
        out += mass / (2 * np.pi * sigma**2) ** 1.5 * gz[:, None, None] * gy[:, None] * gx
    return out.astype(np.float32)


def poses() -> list[list[object]]:
    """Twelve orientations: no rotation, each angle alone, special ones, and random ones."""
    rng = np.random.default_rng(7)
    fixed = [(0, 0, 0), (30, 0, 0), (0, 40, 0), (0, 0, 50), (90, 90, 0), (0, 90, 90), (180, 90, 270), (-120, 180, 20)]
    rand = np.round(np.column_stack([rng.uniform(-180, 180, 4), np.degrees(np.arccos(rng.uniform(-1, 1, 4))),
                                     rng.uniform(-180, 180, 4)]), 3)
    return [[float(a) for a in row] for row in [*fixed, *rand.tolist()]]


def ctfs() -> tuple[list[list[object]], list[int]]:
    """Twelve CTFs (defocus U, V, angle, phase shift, B, scale) and their optics groups."""
    rows = [(10000, 10000, 0, 0, 0, 1), (12000, 9000, 0, 0, 0, 1), (12000, 9000, 35, 0, 0, 1),
            (9000, 12000, 35, 0, 0, 1), (15000, 14000, -70, 90, 0, 1), (8000, 7000, 120, 45, 0, 1),
            (10000, 9500, 20, 0, 150, 1), (10000, 9500, 20, 0, 0, 0.8), (20000, 18000, 60, 30, 80, 1.2),
            (-5000, -5000, 10, 0, 0, 1), (500, 500, 0, 90, 0, 1), (11000, 10300, 160, 0, 60, 0.9)]
    return [[float(v) for v in r] for r in rows], [1, 1, 1, 2, 1, 2, 1, 1, 2, 1, 1, 2]


def keep(*names: str) -> None:
    for name in names:
        shutil.copy(WORK / name, HERE / Path(name).name)


def projections() -> None:
    """Parts 1 and 2: the map, its projections, shifted ones, and ones with a CTF."""
    blobs = gaussians()
    np.savetxt(HERE / "gaussians.csv", blobs, fmt="%.3f", delimiter=",", header="x,y,z,sigma,mass", comments="")
    write_mrc(WORK / "map.mrc", density(blobs))
    keep("map.mrc")
    pose = poses()
    ones = [1] * len(pose)
    rng = np.random.default_rng(8)
    origin = [[4.0, 0.0], [0.0, 4.0], [-8.0, 12.0]] + np.round(rng.normal(0, 6, (9, 2)), 3).tolist()
    ctf, groups = ctfs()
    jobs = {"projections": (ANGLES, pose, ones, []),
            "shifted": (ANGLES + ORIGINS, [p + o for p, o in zip(pose, origin)], ones, []),
            "with_ctf": (ANGLES + ORIGINS + CTF, [p + o + c for p, o, c in zip(pose, origin, ctf)], groups, ["--ctf"])}
    for name, (columns, rows, group, extra) in jobs.items():
        write_particles(WORK / "in.star", columns, rows, group)
        run("relion_project", "--i", "map.mrc", "--ang", "in.star", "--o", name, "--angpix", PIXEL, "--pad", 2, *extra)
        keep(f"{name}.mrcs", f"{name}.star")


def ctf_images() -> None:
    """Fold 3: the CTF itself, as the image of a point and from relion_ctf_toolbox."""
    point = np.zeros((BOX,) * 3, np.float32)
    point[BOX // 2, BOX // 2, BOX // 2] = 1
    write_mrc(WORK / "point.mrc", point)
    ctf, groups = ctfs()
    write_particles(WORK / "in.star", ANGLES + ORIGINS + CTF, [[0.0] * 5 + c for c in ctf], groups)
    run("relion_project", "--i", "point.mrc", "--ang", "in.star", "--o", "point_with_ctf", "--angpix", PIXEL, "--pad",
        2, "--ctf")
    keep("point_with_ctf.mrcs", "point_with_ctf.star")
    kV, Cs, Q0 = {1: 300, 2: 200}, {1: 2.7, 2: 2.0}, {1: 0.1, 2: 0.07}
    images = []
    for i, ((u, v, angle, phase, _, _), g) in enumerate(zip(ctf, groups)):
        run("relion_ctf_toolbox", "--simulate", f"ctf{i}.mrc", "--angpix", PIXEL, "--box", BOX, "--kV", kV[g], "--Cs",
            Cs[g], "--Q0", Q0[g], "--defU", u, "--defV", v, "--defAng", angle, "--phase_shift", phase)
        images.append(mrcfile.read(WORK / f"ctf{i}.mrc").squeeze())
    write_mrc(HERE / "ctf_images.mrcs", np.array(images, np.float32), stack=True)


def reconstruction() -> None:
    """Fold 4: 200 noisy particles (8-bit, MRC mode 0) and the maps that relion_reconstruct makes of them."""
    rng = np.random.default_rng(9)
    n = 200
    u = rng.uniform(6000, 14000, n)
    columns = [rng.uniform(-180, 180, n), np.degrees(np.arccos(rng.uniform(-1, 1, n))), rng.uniform(-180, 180, n),
               rng.normal(0, 5, n), rng.normal(0, 5, n), u, u - rng.uniform(200, 800, n), rng.uniform(0, 180, n),
               np.zeros(n), np.full(n, 40.0), np.ones(n), rng.permutation(n) % 2 + 1]
    rows = [[float(v) for v in row[:-1]] + [int(row[-1])] for row in np.round(np.column_stack(columns), 3).tolist()]
    names = [*ANGLES, *ORIGINS, *CTF, "rlnRandomSubset"]
    write_particles(WORK / "in.star", names, rows, [1] * n)
    run("relion_project", "--i", "map.mrc", "--ang", "in.star", "--o", "particles", "--angpix", PIXEL, "--pad", 2,
        "--ctf", "--add_noise", "--white_noise", 1)
    images = mrcfile.read(WORK / "particles.mrcs")
    write_mrc(WORK / "particles.mrcs", np.clip(np.round(images * 20), -127, 127).astype(np.int8), stack=True)
    keep("particles.mrcs", "particles.star")
    reconstruct = ["relion_reconstruct", "--i", "particles.star", "--pad", 2, "--angpix", PIXEL]
    run(*reconstruct, "--ctf", "--o", "reconstruction.mrc")
    keep("reconstruction.mrc")
    for half in (1, 2):
        run(*reconstruct, "--ctf", "--subset", half, "--o", f"half{half}.mrc")
    for name, one, two in (("fsc_map", "reconstruction.mrc", "map.mrc"), ("fsc_halves", "half1.mrc", "half2.mrc")):
        (HERE / f"{name}.star").write_text(run("relion_image_handler", "--i", one, "--fsc", two, "--angpix", PIXEL))


def aberrated() -> None:
    """What RELION makes of the same images when their optics group has aberrations.

    They are far too large for a microscope, so that they are seen at 8 Å, and none of the images has them: whoever
    corrects for them as RELION does gets the same wrong map. The odd coefficients 3 and 4 are 0: where there is a beam
    tilt, RELION 3.1 puts its own in their place, and later versions add it to them.
    """
    head, tail = (WORK / "particles.star").read_text().split("data_particles")
    columns = ["rlnBeamTiltX", "rlnBeamTiltY", "rlnOddZernike", "rlnEvenZernike",
               *(f"rlnMagMat{i}" for i in ("00", "01", "10", "11"))]
    values = ["20 -10 [10,-20,300,0,0,-200] [0,20,0,30,300,-250,0,0,0] 1.04 0.02 -0.01 0.97",
              "0 0 [0,0,0,0,0,0] [0,0,0,0,0,0,0,0,0] 1 0 0 1"]
    lines = head.splitlines()
    last = max(i for i, line in enumerate(lines) if line.startswith("_rln"))
    lines[last + 1 : last + 1] = [f"_{column} #{i} " for i, column in enumerate(columns, 9)]
    rows = [i for i, line in enumerate(lines) if "opticsGroup" in line and not line.startswith("_")]
    for row, value in zip(rows, values, strict=True):
        lines[row] = f"{lines[row].rstrip()} {value} "
    (WORK / "aberrated.star").write_text("\n".join(lines) + "\n\ndata_particles" + tail)
    run("relion_reconstruct", "--i", "aberrated.star", "--pad", 2, "--angpix", PIXEL, "--ctf", "--o", "aberrated.mrc")
    keep("aberrated.star", "aberrated.mrc")


def first_rows(name: str, rows: int) -> None:
    """Keep a STAR file with only the first rows of its particles."""
    head, tail = (WORK / name).read_text().split("data_particles")
    lines = tail.splitlines(keepends=True)
    data = [i for i, line in enumerate(lines) if line.strip() and not line.startswith(("_", "loop_"))]
    (HERE / Path(name).name).write_text(head + "data_particles" + "".join(lines[: data[0] + rows]) + "\n")


def refinements() -> None:
    """Fold 5: what relion_refine writes, for its format: one iteration of Class2D and of Class3D."""
    (WORK / "out").mkdir()
    common = ["relion_refine", "--i", "particles.star", "--particle_diameter", 110, "--ctf", "--iter", 1, "--norm",
              "--scale", "--oversampling", 0, "--offset_range", 2, "--offset_step", 2, "--random_seed", 1, "--pad", 2,
              "--dont_check_norm", "--zero_mask", "--flatten_solvent"]
    run(*common, "--o", "out/class2d", "--K", 3, "--psi_step", 24, "--tau2_fudge", 2)
    run(*common, "--o", "out/class3d", "--K", 2, "--ref", "map.mrc", "--ini_high", 20, "--healpix_order", 1,
        "--tau2_fudge", 4)
    for name in ("class2d", "class3d"):
        first_rows(f"out/{name}_it001_data.star", 20)
        keep(f"out/{name}_it001_model.star")


OLD = ["rlnImageName", "rlnMicrographName", "rlnVoltage", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle",
       "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnMagnification", "rlnDetectorPixelSize", "rlnAngleRot",
       "rlnAngleTilt", "rlnAnglePsi", "rlnOriginX", "rlnOriginY", "rlnPhaseShift"]


def old_style() -> None:
    """A particle table as RELION 3.0 laid it out (no optics, origins in pixels), and what 3.1 makes of it.

    No program of RELION 3.1 writes the old layout, so this script does; relion_convert_star reads it.
    """
    pose, (ctf, _) = poses(), ctfs()
    rows = [[f"{i + 1:06d}@shifted.mrcs", "mic1.mrc", 300.0, *c[:3], 2.7, 0.1, 10000.0, PIXEL, *p, 0.25 * i, -0.5 * i,
             c[3]] for i, (p, c) in enumerate(zip(pose, ctf))]
    table = ["", "data_", "", "loop_ "] + [f"_{c} #{i} " for i, c in enumerate(OLD, 1)]
    table += [" ".join(f"{text(v):>12}" for v in row) + " " for row in rows]
    (WORK / "style30.star").write_text("\n".join(table) + "\n \n")
    run("relion_convert_star", "--i", "style30.star", "--o", "style30_as_31.star")
    keep("style30.star", "style30_as_31.star")


if __name__ == "__main__":
    HERE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        WORK = Path(folder)
        COMMANDS.append("# " + run("relion_project", "--version").split("\n")[0])
        projections()
        ctf_images()
        reconstruction()
        aberrated()
        refinements()
        old_style()
        (HERE / "commands.txt").write_text("\n".join(COMMANDS) + "\n")
