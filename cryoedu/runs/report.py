"""A report of a run as one HTML file that needs no other: what came out, how it got there, and how it was made."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.files.writing import replace_when_done
from cryoedu.runs.checkpoints import read_checkpoint
from cryoedu.runs.names import CHECKPOINT, HISTORY, JOB, REPORT, outputs_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Floats = NDArray[np.float64]
MOST_ROWS = 200  # of a table
LARGEST_JOB = 1 << 24  # bytes of a record that can be right


@dataclass(frozen=True)
class Results:
    """What the files of a run's last iteration hold.

    maps: (K, n, n) or (K, n, n, n).  weights, resolution: (K,).  classes: (N,) from 0.  angles: (N, 3).
    certainty: (N,) probability of each particle's best pose, or None.
    frequencies: (bins,) 1/Å.  sigma2: by noise group; tau2, ssnr, fsc: by class; each (bins,).
    gain: (bins,) of the differences between classes, from a cross-fitted run, else None.
    """

    maps: NDArray[np.float32]
    pixel_size: float
    weights: Floats
    resolution: Floats | None
    classes: NDArray[np.int64]
    angles: Floats
    certainty: Floats | None
    frequencies: Floats
    sigma2: Mapping[str, Floats]
    tau2: Mapping[str, Floats]
    ssnr: Mapping[str, Floats]
    fsc: Mapping[str, Floats]
    gain: Floats | None = None

    @property
    def is_3d(self) -> bool:
        """Whether the classes are maps."""
        return self.maps.ndim == 4


def write_report(folder: Path) -> Path:
    """Write FOLDER/run_report.html about the run in ``folder``, finished or not; its path.

    Raises InputError if the folder holds no run of cryoedu, or if a file of it is missing or damaged.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    history, job = read_history(folder), read_job(folder)
    number = int(history["iteration"].iloc[-1])
    results = read_results(folder, number)
    command = str(job["asked"].get("command", "run"))
    environment = Environment(loader=PackageLoader("cryoedu"), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("report.html").render(
        title=f"{command}: {folder.resolve().name}", subtitle=_subtitle(job, number),
        facts=_facts(results, history), sections=list(_sections(results, history)), starts=_starts(job["starts"]),
        options=[(name, _value(value)) for name, value in job["asked"].items() if name != "command"],
        files=sorted(p.name for p in outputs_of(folder) if p.name.startswith(f"run_it{number:03d}_")))
    path = folder / REPORT
    with replace_when_done(path) as part:
        part.write_text(page, encoding="utf-8")
    return path


def read_history(folder: Path) -> DataFrame:
    """The rows of run_history.csv. Raises InputError if there are none, or if something else is written there."""
    import pandas

    path = folder / HISTORY
    if not path.exists():
        raise InputError(f"{folder} holds no run to report on ({HISTORY} is missing): give the folder of a run of "
                         "cryoedu, in which an iteration was finished")
    try:
        table = pandas.read_csv(path).astype(float)
    except ValueError as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}): restore it, or run again") from None
    missing = {"iteration", "log_likelihood", "resolution_angstrom", "seconds", "peak_memory_mb"} - set(table.columns)
    if missing or not len(table):
        raise InputError(f"{path} has no {', '.join(sorted(missing)) or 'rows'}: restore it, or run again")
    return table


def read_job(folder: Path) -> dict[str, Any]:
    """What run_job.json holds: what was asked for, each start, whether it ended. InputError if it cannot be read."""
    path = folder / JOB
    try:
        if path.stat().st_size > LARGEST_JOB:
            raise ValueError
        job = json.loads(path.read_text(encoding="utf-8"))
        return {"asked": dict(job["asked"]), "starts": [dict(start) for start in job["starts"]],
                "finished": bool(job["finished"])}
    except FileNotFoundError:
        raise InputError(f"{path} is missing, which says how the run was made: restore it, or run again") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path} is damaged: restore it, or run again") from None


def read_results(folder: Path, number: int) -> Results:
    """The maps, spectra, poses and classes of iteration ``number``, from its STAR and MRC files."""
    from cryoedu.files.star import numbers, read_tables
    from cryoedu.microscope import read_map
    from cryoedu.particles import read_particles

    path = folder / f"run_it{number:03d}_model.star"
    tables = read_tables(path)
    for name in ("model_general", "model_classes", "model_class_1", "model_groups", "model_group_1"):
        if name not in tables:
            raise InputError(f"{path} has no table data_{name}: copy it again, or run again")
    classes = tables["model_classes"]
    names = [str(name) for name in classes["rlnReferenceImage"]]
    at = [name.split("@") for name in names]
    maps = [read_map("@".join([*parts[:-1], str(folder / parts[-1])])).density for parts in at]
    own = [tables[f"model_class_{k + 1}"] for k in range(len(maps))]
    groups = tables["model_groups"]["rlnGroupName"].astype(str)
    labels = [f"class {k + 1}" for k in range(len(maps))]

    def spectra(column: str) -> dict[str, Floats]:
        return {label: numbers(table, column, path) for label, table in zip(labels, own) if column in table.columns}

    particles = read_particles(folder / f"run_it{number:03d}_data.star", images=False)
    if particles.angles is None or particles.classes is None:
        raise InputError(f"{folder}/run_it{number:03d}_data.star has no angles or classes: copy it again, or run again")
    certainty = particles.extra.get("rlnMaxValueProbDistribution")
    resolution = "rlnEstimatedResolution"
    return Results(
        np.stack(maps), float(numbers(tables["model_general"], "rlnPixelSize", path)[0]),
        numbers(classes, "rlnClassDistribution", path),
        numbers(classes, resolution, path) if resolution in classes.columns else None,
        particles.classes, particles.angles, None if certainty is None else np.asarray(certainty, dtype=np.float64),
        numbers(own[0], "rlnResolution", path),
        {g: numbers(tables[f"model_group_{i + 1}"], "rlnSigma2Noise", path) for i, g in enumerate(groups)},
        spectra("rlnReferenceTau2"), spectra("rlnSsnrMap"),
        {name: fsc for name, fsc in spectra("rlnGoldStandardFsc").items() if fsc.any()}, _gain(folder, number))


def _gain(folder: Path, number: int) -> Floats | None:
    """The gain of the differences, which no file of RELION's has a place for."""
    if not (folder / CHECKPOINT).exists():
        return None
    at = read_checkpoint(folder / CHECKPOINT)
    return at.arrays.get("difference_gain") if at.number == number else None


def _facts(results: Results, history: DataFrame) -> list[tuple[str, str]]:
    last = history.iloc[-1]
    count, box = len(results.maps), results.maps.shape[-1]
    said = [f"{last['resolved_angstrom']:.1f} Å"] if "resolved_angstrom" in history.columns else \
        [] if "fsc_resolution_angstrom" in history.columns else ["not measured"]
    facts = [("particles", f"{len(results.classes):,}"), ("maps" if results.is_3d else "class averages", str(count)),
             ("box", f"{box} px of {results.pixel_size:.3g} Å"), ("iterations", f"{last['iteration']:.0f}"),
             ("resolution used", f"{last['resolution_angstrom']:.1f} Å"),
             *([("FSC 0.143 between halves", f"{last['fsc_resolution_angstrom']:.1f} Å")]
               if "fsc_resolution_angstrom" in history.columns else []),
             *[("resolved to", text) for text in said],
             ("wall time", _duration(history["seconds"].sum())),
             ("peak memory", f"{history['peak_memory_mb'].max() / 1000:.2f} GB")]
    return facts


def _sections(results: Results, history: DataFrame) -> Iterator[dict[str, Any]]:
    """Heading, text, picture and table of each part of the page."""
    from cryoedu.figures import runs as draw

    order = np.argsort(-results.weights, kind="stable")
    labels = [f"class {k + 1}: {100 * results.weights[k]:.1f} %" for k in order]
    maps, table = results.maps[order], _class_table(results, order, history)
    if results.is_3d:
        shown = f" The {draw.MOST_MAPS} largest are drawn." if len(maps) > draw.MOST_MAPS else ""
        yield _section("Maps", "Central slices across the three axes, and projections along them, each on a grey scale "
                       f"of its own. Largest class first.{shown}",
                       draw.map_views(maps, labels, pixel_size=results.pixel_size), table)
    else:
        yield _section("Class averages", "Each on a grey scale of its own, largest class first.",
                       draw.class_averages(maps, labels, pixel_size=results.pixel_size), table)
    yield _section("Convergence", "The log-likelihood counts every component in use, so it can be compared between "
                   "iterations of the same resolution only: a line joins those.", draw.convergence(_columns(history)),
                   _history_table(history), folded=True)
    if results.is_3d:
        yield _section("Directions of view", "How many particles are seen from each direction, relative to a uniform "
                       f"distribution, smoothed over {draw.smoothing_width(results.angles):.0f}°. Directions that are "
                       "missing leave a map smeared.",
                       draw.directions(results.angles))
    yield _section("Noise and signal", "The power of the noise, σ², and of the maps, τ², in each component, divided by "
                   "the box to the fourth as RELION writes them. SSNR weighs the data against the prior: 1 is where a "
                   "map begins to hold more prior than data. It is no resolution: of noise that was aligned it can "
                   "be high.",
                   draw.spectra(results.frequencies, results.sigma2, results.tau2, results.ssnr))
    if results.fsc:
        yield _section("Fourier shell correlation", "Between maps from two halves of the particles that never met.",
                       draw.fsc_curves(results.frequencies, results.fsc, last=_resolved_shell(results)))
    if results.gain is not None:
        yield _section("What is real of the differences", "Of each class's difference from the map of all particles: "
                       "the share that particles without a part in it find again. 1 is all of it, 0 is noise; the maps "
                       "are filtered by it. In the first half of a run it is held up.",
                       draw.gain_curve(results.frequencies, results.gain))
    yield _section("Time and memory", "Measured on the machine that is named below.", draw.cost(_columns(history)))


def _resolved_shell(results: Results) -> int | None:
    """The shell that the one map is resolved to."""
    length = results.maps.shape[-1] * results.pixel_size
    return None if results.resolution is None else round(length / results.resolution[0])


def _section(heading: str, text: str, figure: Figure, table: dict[str, Any] | None = None, *,
             folded: bool = False) -> dict[str, Any]:
    from cryoedu.figures import show

    drawn = show(figure)
    picture = {"data": base64.b64encode(drawn.png).decode(), "width": drawn.width, "alt": drawn.alt}
    return {"heading": heading, "anchor": heading.lower().replace(" ", "-"), "text": text, "picture": picture,
            "table": table, "folded": folded}


def _class_table(results: Results, order: NDArray[np.int64], history: DataFrame) -> dict[str, Any]:
    measured = results.resolution is not None and bool({"resolved_angstrom", "fsc_resolution_angstrom"}
                                                       & set(history.columns))
    columns = ["class", "weight", "particles assigned"]
    if measured:
        columns.append("resolved to")
    if results.certainty is not None:
        columns.append("mean probability of the best pose")
    rows = []
    for k in order[:MOST_ROWS]:
        mine = results.classes == k
        row = [str(k + 1), f"{100 * results.weights[k]:.1f} %", f"{mine.sum():,}"]
        if measured and results.resolution is not None:  # else it is what an older version wrote, from the SSNR
            row.append(f"{results.resolution[k]:.1f} Å")
        if results.certainty is not None:
            row.append(f"{results.certainty[mine].mean():.3f}" if mine.any() else "–")
        rows.append(row)
    return {"caption": "Classes, the largest first", "columns": columns, "rows": rows}


def _history_table(history: DataFrame) -> dict[str, Any]:
    wanted = {"iteration": ("iteration", "{:.0f}"), "log_likelihood": ("log-likelihood", "{:.1f}"),
              "resolution_angstrom": ("used, Å", "{:.2f}"), "resolved_angstrom": ("resolved, Å", "{:.2f}"),
              "fsc_resolution_angstrom": ("FSC 0.143, Å", "{:.2f}"), "mean_max_probability": ("mean Pmax", "{:.3f}"),
              "offset_sigma_angstrom": ("σ of shifts, Å", "{:.2f}"), "changed_classes": ("changed class", "{:.2%}"),
              "median_angle_change_degrees": ("Δ orientation, degrees", "{:.2f}"),
              "rms_shift_change_angstrom": ("Δ shift, Å", "{:.2f}"), "seconds": ("seconds", "{:.2f}"),
              "peak_memory_mb": ("memory, MB", "{:.0f}")}
    there = [name for name in wanted if name in history.columns]
    rows = [["–" if np.isnan(row[name]) else wanted[name][1].format(row[name]) for name in there]
            for _, row in history.tail(MOST_ROWS).iterrows()]
    return {"caption": f"Every iteration (more columns in {HISTORY})", "columns": [wanted[name][0] for name in there],
            "rows": rows}


def _columns(history: DataFrame) -> dict[str, Floats]:
    return {str(name): history[name].to_numpy(dtype=np.float64) for name in history.columns}


def _subtitle(job: Mapping[str, Any], number: int) -> str:
    planned = job["asked"].get("--iter")
    state = "Finished." if job["finished"] else f"Not finished: iteration {number} of {planned or 'an open number'}."
    times = f" Resumed {len(job['starts']) - 1} times." if len(job["starts"]) > 2 else \
        " Resumed once." if len(job["starts"]) == 2 else ""
    return f"{state}{times}"


def _starts(starts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each time the run was started, in words; of a resumed run only what differs from the start before."""
    told: list[dict[str, Any]] = []
    before: list[tuple[str, str]] = []
    for i, start in enumerate(starts):
        versions = ", ".join(f"{name} {version}" for name, version in dict(start.get("versions", {})).items())
        rows = [("started", str(start.get("time", ""))), ("in folder", str(start.get("folder", ""))),
                ("versions", versions), ("array library", str(start.get("array_library", ""))),
                ("machine", str(start.get("machine", "")))]
        told.append({"heading": f"Resumed from iteration {start.get('from_iteration', '?')}" if i else "Command",
                     "command": str(start.get("command", "")).split(" "),
                     "rows": [row for row in rows if row not in before]})
        before = rows
    return told


def _value(value: Any) -> str:
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(map(_value, value)) if isinstance(value, list) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
