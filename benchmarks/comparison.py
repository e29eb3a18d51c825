"""The table of two programs on the same data, from the results that single runs left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

Result = Mapping[str, Any]
PROGRAMS = ("relion", "cryoedu")
NYQUIST = "at or beyond Nyquist"


def angstrom(value: float) -> str:
    """A resolution; those that no shell limits come as minus infinity."""
    return NYQUIST if value == -np.inf else f"{value:.1f} Å"


def percent(value: float) -> str:
    """A share of the particles."""
    return f"{100 * value:.1f} %"


QUANTITIES: dict[str, tuple[str, Callable[[float], str]]] = {
    "agreement": ("particles in the right class", percent),
    "oracle": ("oracle: true maps, poses and noise", percent),
    "oracle_found": ("oracle: true maps and noise, poses as found", percent),
    "largest_class": ("share of the larger class", percent),
    "noise_ratio": ("estimated over true noise power", lambda v: f"{v:.2f}"),
    "reported_resolution": ("resolution that it reports", angstrom),
    "half_map_resolution": ("FSC of its unmasked half maps = 0.143 at", angstrom),
    "true_resolution": ("FSC with the true map = 0.5 at", angstrom),
    "median_angle": ("median error of the orientations", lambda v: f"{v:.2f}°"),
    "median_shift": ("median error of the shifts", lambda v: f"{v:.2f} Å"),
    "lost": ("orientations off by more than 10°", percent),
    "views": ("likeness of the views in a 2D class, from 0 to 1", lambda v: f"{v:.2f}"),
    "seconds": ("wall time", lambda v: f"{v:.0f} s"),
    "cpu_seconds": ("processor time", lambda v: f"{v:.0f} s"),
    "memory": ("peak memory of the largest process", lambda v: f"{v:.0f} MB"),
    "load": ("load average of the machine", lambda v: f"{v:.1f}"),
}


def values_of(results: Sequence[Result], name: str) -> list[float]:
    """A quantity of each result that has it; None, a resolution that no shell limits, as minus infinity."""
    rows = [{**r, **r["measured"]} for r in results]
    return [-np.inf if row[name] is None else row[name] for row in rows if name in row]


def cell(results: Sequence[Result], name: str) -> str:
    """Median over the seeds, and each seed's value where they differ."""
    if not results:
        return "not run"
    values, (_, text) = values_of(results, name), QUANTITIES[name]
    if not values:
        return ""
    each = [text(v) for v in values]
    return text(median(values)) + (f" ({', '.join(each)})" if len(set(each)) > 1 else "")


def ratio(name: str, above: Sequence[Result], below: Sequence[Result]) -> float:
    """One program's quantity over the other's: the median over the seeds that both ran on the same machine. A machine
    that is slow that day is slow for both; without such seeds it is the ratio of the medians."""
    of = {(r["seed"], r["host"]): r[name] for r in below}
    pairs = [r[name] / of[r["seed"], r["host"]] for r in above if (r["seed"], r["host"]) in of]
    return median(pairs) if pairs else median(values_of(above, name)) / median(values_of(below, name))


def section(title: str, of: Mapping[str, Sequence[Result]], names: Mapping[str, str], letters: Mapping[str, str],
            remark: str = "") -> list[str]:
    """One experiment: the commands, a row for each quantity that any of its results has, and a remark."""
    lines = [f"## {title}", ""]
    for results in of.values():
        lines += [f"    {results[0]['command']}", ""] if results else []
    if not any(of.values()):
        return [*lines, "Not run.", ""]
    lines += ["| | " + " | ".join(names[p] for p in of) + " |", "|---" * (len(of) + 1) + "|"]
    seeds = [", ".join(str(r["seed"]) for r in results) or "not run" for results in of.values()]
    lines.append(f"| runs, by seed | {' | '.join(seeds)} |")
    for name, (label, _) in QUANTITIES.items():
        if any(values_of(results, name) for results in of.values()):
            lines.append(f"| {label} | " + " | ".join(cell(results, name) for results in of.values()) + " |")
    ran = [[letters[r["host"]] for r in results] or ["not run"] for results in of.values()]
    lines.append(f"| machine | {' | '.join(', '.join(each if len(set(each)) > 1 else each[:1]) for each in ran)} |")
    if all(of.values()):
        faster, less, more = (ratio(name, of["relion"], of["cryoedu"]) for name in ("seconds", "cpu_seconds", "memory"))
        lines += ["", f"{names['cryoedu']} is {faster:.1f} times as fast as {names['relion']} ({less:.1f} times by "
                      f"processor time), with {1 / more:.1f} times its memory."]
    curves = [np.median([r["measured"]["true_fsc"] for r in results if "true_fsc" in r["measured"]], axis=0)
              for results in of.values() if any("true_fsc" in r["measured"] for r in results)]
    if len(curves) == 2:
        theirs, ours = curves
        lines += ["", f"FSC with the true map, {names['cryoedu']} less {names['relion']}: at least "
                      f"{np.min((ours - theirs)[1:]):+.3f} in every shell."]
    return [*lines, "", remark, ""] if remark else [*lines, ""]


def table(titles: Mapping[str, str], results: Sequence[Result], *, remarks: Mapping[str, str] | None = None,
          imports: float | None = None) -> str:
    """The page. titles: of each experiment, by name.  remarks: what to say under some of their tables.
    imports: MB that importing takes before anything is done.
    """
    ordered = sorted(results, key=lambda r: r["seed"])
    versions = {p: sorted({r["version"] for r in ordered if r["program"] == p}) for p in PROGRAMS}
    names = {p: " ".join([label, *versions[p]]) for p, label in zip(PROGRAMS, ("RELION", "cryoedu"))}
    lines = ["# cryoedu against RELION", "",
             "Written by `python benchmarks/against_relion.py STACKS --work FOLDER`: same files, same sampling.",
             "The stacks, images that RELION projected and gave noise, come from `benchmarks/make_relion_stack.py`.",
             "Commands run in the folder of their stack. Values are medians over the seeds (each seed's behind).",
             ""]
    letters = {host: chr(ord("A") + i) for i, host in enumerate(dict.fromkeys(r["host"] for r in results))}
    if results:
        kinds = {f"{r['machine']} ({letters[r['host']]})": None for r in results}
        loads = [r["load"] for r in results]
        lines += [f"Machines: {'; '.join(kinds)}. Those of the same name are not equally fast: “times as fast” is the "
                  "median over the seeds of what one program took over the other on the same machine. Where they ran "
                  "on different ones it is the ratio of the medians, and says less.",
                  f"Load average {min(loads):.1f} to {max(loads):.1f}. Where it is more than the processes of a run, "
                  "the machine had other work: wall times came out long, and processor times are the better "
                  "comparison.",
                  ""]
    if imports is not None:
        lines += [f"Memory, to reach: no more than twice RELION's. A process that only imports NumPy, SciPy, Numba and "
                  f"pandas takes {imports:.0f} MB.",
                  "The rest are blocks and tables within a budget, here half of what is free: less with `--memory`.",
                  ""]
    missing = []
    for name, title in titles.items():
        of = {p: [r for r in ordered if r["experiment"] == name and r["program"] == p] for p in PROGRAMS}
        lines += section(title, of, names, letters, (remarks or {}).get(name, ""))
        missing += [f"- {name}, {names[p]}" for p in PROGRAMS if not of[p]]
    if missing:
        lines += ["## Not run", "", *missing, ""]
    return "\n".join(lines)
