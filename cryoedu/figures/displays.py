"""What a notebook shows of an object that stands alone at the end of a cell: its picture with a description, and words.

`register` tells IPython how to show each type, by the type's name; so the types themselves know nothing of pictures,
and nothing is imported before there is something to show. Without it (no ``%load_ext cryoedu``) all is as it was.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.figures.alignment import LINES, image_grid
from cryoedu.figures.page import describe, new_figure, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cryoedu.inference.model import Model
    from cryoedu.microscope.experiment import Experiment
    from cryoedu.microscope.specimen import Specimen
    from cryoedu.particles.particles import CTFParameters, Optics, Particles
    from cryoedu.validation.masked import MaskedFSC

GALLERY = 12  # images of particles, and class averages, that are drawn
MOST_VOLUMES = 3  # maps of a model that are drawn
NAMED = 3  # classes, and optics groups, that the words name
EXAMPLE_DEFOCI = (5_000.0, 10_000.0, 20_000.0)  # Å, drawn where only the microscope is known
EXAMPLE_PIXEL = 2.0  # Å, where only the defocus is known
RINGS = 128  # pixels on a side of the picture of CTF²
Pictures = Callable[[], Iterable["Figure"]]


def bundle(shown: Any, rich: bool = True) -> dict[str, str]:
    """What a page gets of an object, by MIME type: text/plain, and text/html with its pictures if ``rich``.

    Never raises: where a picture cannot be drawn (the files of particles are gone), one sentence says why.
    """
    words = f"{type(shown).__name__}."
    try:
        names = (f"{kind.__module__}.{kind.__name__}" for kind in type(shown).__mro__)
        words, pictures = next(DESCRIBE[name] for name in names if name in DESCRIBE)(shown)
        drawn = "".join(show(figure)._repr_html_() for figure in pictures()) if rich else ""
    except Exception as error:  # a display that stops would hide the object, whatever is odd about it
        words, drawn = f"{words} No picture: {(str(error) or type(error).__name__).rstrip('.')}.", ""
    return {"text/plain": words, **({"text/html": f"<div>{html.escape(words)}</div>{drawn}"} if rich else {})}


def register(shell: Any) -> None:
    """Let an IPython shell show the types of `DESCRIBE` so; a shell without pages (a terminal) gets the words alone."""
    formatter = shell.display_formatter

    def show_it(shown: Any) -> dict[str, str]:
        return bundle(shown, rich="text/html" in formatter.active_types)

    for name in DESCRIBE:
        formatter.mimebundle_formatter.for_type_by_name(*name.rsplit(".", 1), show_it)


def specimen(shown: Specimen) -> tuple[str, Pictures]:
    """An image, or the three central slices of a map, on one grey scale."""
    density, n = np.asarray(shown.density), shown.box
    sides = " x ".join([str(n)] * shown.ndim)
    width = f"{n * shown.pixel_size:.4g} Å"
    words = f"{shown.name}: a density of {sides} pixels of {shown.pixel_size:.4g} Å, {width} wide."
    middle = n // 2
    planes = {"": density} if shown.ndim == 2 else {
        "slice, z": density[middle], "slice, y": density[:, middle], "slice, x": density[:, :, middle]}

    def pictures() -> Iterable[Figure]:
        low, high = (float(v) for v in np.percentile(density, [0.1, 99.9]))
        limits = (low, high) if high > low else (low - 1.0, low + 1.0)
        yield image_grid(np.stack(list(planes.values())), columns=list(planes) if len(planes) > 1 else (),
                         shared_scale="density", limits=limits, pixel_size=shown.pixel_size, size=2.4,
                         alt=f"{shown.name}, white where there is mass, {width} from side to side.")

    return words, pictures


def particles(shown: Particles) -> tuple[str, Pictures]:
    """The first twelve images, and in words what is known of all of them. No other image is read."""
    count, box = len(shown), shown.box
    files = getattr(shown.images, "files", None)
    where = "in memory" if files is None else f"on disk, in {len(files)} {'stack' if len(files) == 1 else 'stacks'}"
    columns = {"orientations": shown.angles, "shifts": shown.shifts, "classes": shown.classes,
               "half sets": shown.subset}
    known = [f"{name} {'unknown' if column is None else 'known'}" for name, column in columns.items()]
    groups = "; ".join(map(_of_optics, shown.optics[:NAMED]))
    more = f" and {len(shown.optics) - NAMED} more" if len(shown.optics) > NAMED else ""
    words = f"{_number(count)} of {box} x {box} pixels, {where}. {groups}{more}. {_of_defocus(shown.ctf)}; " \
            f"{', '.join(known)}."

    def pictures() -> Iterable[Figure]:
        images = np.asarray(shown.images[: min(GALLERY, count)], dtype=np.float64)
        if not images.size:
            return
        bad = int((~np.isfinite(images)).any(axis=(1, 2)).sum())
        rows = np.zeros((-(-len(images) // 6) * 6, box, box)) if len(images) > 6 else np.zeros(images.shape)
        rows[: len(images)] = np.nan_to_num(images, posinf=0.0, neginf=0.0)
        grid = rows.reshape(-1, min(6, len(rows)), box, box)
        drawn = image_grid(grid, pixel_size=shown.optics[int(shown.optics_group[0])].pixel_size)
        for ax in drawn.axes[len(images):]:
            ax.set_visible(False)
        odd = f" {bad} of them hold NaN or infinite values, drawn as zero." if bad else ""
        yield describe(drawn, f"The first {len(images)} of {_number(count)}, each on a grey scale of its own.{odd}")

    return words, pictures


def experiment(shown: Experiment) -> tuple[str, Pictures]:
    """The particles of a simulated experiment; what is true of them is in words only."""
    words, pictures = particles(shown.particles)
    names = ", ".join(dict.fromkeys(specimen.name for specimen in shown.specimens))
    return f"A simulated experiment with {names}; the true poses and classes are in its truth. {words}", pictures


def _number(count: int) -> str:
    return "1 particle image" if count == 1 else f"{count:,} particle images"


def _of_optics(shown: Optics) -> str:
    done = ", images multiplied by their CTF" if shown.ctf_premultiplied else ""
    return f"{shown.name}: {shown.voltage:g} kV, Cs {shown.spherical_aberration:g} mm, amplitude contrast " \
           f"{shown.amplitude_contrast:g}, {shown.pixel_size:.4g} Å per pixel{done}"


def _of_defocus(shown: CTFParameters | None) -> str:
    if shown is None:
        return "No CTF"
    mean = (np.asarray(shown.defocus_u) + np.asarray(shown.defocus_v)) / 2
    if not mean.size:
        return "CTF of no image"
    apart = float(np.max(np.abs(np.asarray(shown.defocus_u) - np.asarray(shown.defocus_v))))
    return f"Defocus {mean.min():,.0f} to {mean.max():,.0f} Å, astigmatism up to {apart:,.0f} Å"


def optics(shown: Optics) -> tuple[str, Pictures]:
    """The CTF of this microscope at three common defoci, and its rings at the middle one."""
    from cryoedu.particles.particles import CTFParameters

    told = f"The microscope is that of {shown.name}, the defoci are examples."
    return f"Optics group {_of_optics(shown)}.", lambda: [
        ctf_picture(shown, CTFParameters.of(EXAMPLE_DEFOCI), told)]


def ctf_parameters(shown: CTFParameters) -> tuple[str, Pictures]:
    """The CTF with the least and with the most defocus, for a common microscope, since the parameters name none."""
    from cryoedu.particles.particles import Optics

    count = len(np.atleast_1d(shown.defocus_u))
    chosen = Optics(EXAMPLE_PIXEL)
    told = f"Drawn for {_of_optics(chosen).partition(': ')[2]}, which belong to the optics."
    words = f"CTF parameters of {_number(count)}. {_of_defocus(shown)}; phase shift up to " \
            f"{float(np.max(np.abs(shown.phase_shift), initial=0.0)):.3g}°, B factor up to " \
            f"{float(np.max(shown.b_factor, initial=0.0)):.3g} Å². {told if count else ''}".strip()

    def pictures() -> Iterable[Figure]:
        if count:
            order = np.argsort(np.asarray(shown.defocus_u) + np.asarray(shown.defocus_v), kind="stable")
            least_middle_most = list(dict.fromkeys(order[[0, count // 2, -1]].tolist()))
            yield ctf_picture(chosen, shown[least_middle_most], told)

    return words, pictures


def ctf_picture(optics: Optics, parameters: CTFParameters, told: str) -> Figure:
    """CTFs of up to four particles along the axis of defocus_u (left), and the middle one's rings, CTF² (right)."""
    from cryoedu.figures.fourier import resolution_axis
    from cryoedu.microscope.aberrations import wavelength
    from cryoedu.microscope.ctf import ctf, ctf_image

    defoci = (parameters.defocus_u + parameters.defocus_v) / 2
    middle = len(defoci) // 2
    fine = np.sqrt(RINGS / 16 / max(wavelength(optics.voltage) * abs(float(defoci[middle])), 1e-9))
    edge = min(1 / (2 * optics.pixel_size), float(fine))  # further out a ring would be narrower than four pixels
    q = np.linspace(0, edge, 1000)
    figure = new_figure(9.4, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.9, 1))
    said = []
    for k, (style, defocus) in enumerate(zip(LINES, defoci, strict=False)):
        one = parameters[k : k + 1]
        curve = ctf(q, one.astigmatism_angle[0], optics, one)[0]
        left.plot(q, curve, label=f"defocus {defocus:,.0f} Å", **{**style, "marker": None}, linewidth=1.3)
        zero = np.flatnonzero(np.sign(curve[1:]) * np.sign(curve[:-1]) < 0)
        first = f"first zero at {1 / q[zero[0] + 1]:.1f} Å" if len(zero) else "no zero"
        said.append(f"{defocus:,.0f} Å of defocus, {first}")
    left.axhline(0, color="#555555", linewidth=0.8)
    left.set(ylabel="CTF", ylim=(-1.08 * (top := max(1.0, float(np.max(np.abs(parameters.scale))))), 1.08 * top))
    left.legend(fontsize=8, loc="lower left", framealpha=0.9)
    resolution_axis(left)
    rings = ctf_image(RINGS, replace(optics, pixel_size=1 / (2 * edge)), parameters[middle : middle + 1]) ** 2
    right.imshow(rings, cmap="gray", vmin=0, vmax=max(1e-9, float(rings.max())), extent=(-edge, edge, -edge, edge),
                 origin="lower", interpolation="nearest")
    ticks = [f"{-edge:.3g}", "0", f"{edge:.3g}"]
    right.set_xticks([-edge, 0, edge], ticks)
    right.set_yticks([-edge, 0, edge], ticks)
    right.set_xlabel("spatial frequency (1/Å)")
    right.set_title(f"CTF², defocus {defoci[middle]:,.0f} Å", fontsize=10)
    return describe(figure, f"CTF against resolution (left) and its rings, CTF squared (right), to {1 / edge:.1f} Å. "
                            f"{'; '.join(said)}. {told}")


def model(shown: Model) -> tuple[str, Pictures]:
    """The largest classes with their weights, and the spectra of noise and signal where the model has them."""
    from cryoedu.figures.noise import power_curves
    from cryoedu.figures.runs import class_averages, map_views

    weights = np.nan_to_num(np.asarray(shown.class_weights, dtype=np.float64))
    order = np.argsort(-weights, kind="stable")[: GALLERY if shown.ndim == 2 else MOST_VOLUMES]
    labels = [f"class {k + 1}: {100 * weights[k]:.1f} %" for k in order]
    what = "reference" if shown.ndim == 2 else "map"
    told = ", ".join(labels[:NAMED]) + (f" and {shown.classes - NAMED} more" if shown.classes > NAMED else "")
    bins = np.asarray(shown.sigma2).shape[-1]
    noise = "" if bins > 1 else f", variance of a pixel's noise {float(np.mean(shown.sigma2)):.3g}"
    words = f"A model of {shown.classes} {what}{'' if shown.classes == 1 else 's'} of " \
            f"{' x '.join([str(shown.box)] * shown.ndim)} pixels of {shown.pixel_size:.4g} Å; " \
            f"{told}; standard deviation of the shifts {shown.offset_sigma:.3g} Å{noise}."

    def pictures() -> Iterable[Figure]:
        maps = np.nan_to_num(np.asarray(shown.maps)[order])
        yield (class_averages if shown.ndim == 2 else map_views)(maps, labels, pixel_size=shown.pixel_size)
        if bins > 1:
            curves = {"noise σ²" + (f", group {g + 1}" if len(shown.sigma2) > 1 else ""): values
                      for g, values in enumerate(shown.sigma2[:2])}
            curves |= {f"signal τ², class {k + 1}": shown.tau2[k] for k in order[: 4 - len(curves)]}
            drawn = power_curves(np.arange(bins) / (shown.box * shown.pixel_size), curves)
            drawn.axes[0].set_ylabel("power of a component")
            yield drawn

    return words, pictures


def masked_fsc(shown: MaskedFSC) -> tuple[str, Pictures]:
    """The four curves of two halves under a mask."""
    from cryoedu.figures.runs import fsc_curves
    from cryoedu.validation.fsc import resolution_text

    words = f"FSC of two halves: {resolution_text(shown.true, shown.pixel_size)} at 0.143, corrected for the mask; " \
            f"randomised phases keep a correlation of {shown.inflation:.2f} at most."
    curves: dict[str, NDArray[np.float64]] = {"unmasked": shown.unmasked, "masked": shown.masked}
    if shown.first_random is not None:
        curves |= {"masked, phases randomised": shown.randomised, "corrected for the mask": shown.true}
    length = 2 * (len(shown.true) - 1) * shown.pixel_size
    return words, lambda: [fsc_curves(np.arange(len(shown.true)) / length, curves)]


DESCRIBE: dict[str, Callable[[Any], tuple[str, Pictures]]] = {
    "cryoedu.microscope.specimen.Specimen": specimen,
    "cryoedu.microscope.experiment.Experiment": experiment,
    "cryoedu.particles.particles.Particles": particles,
    "cryoedu.particles.particles.CTFParameters": ctf_parameters,
    "cryoedu.particles.particles.Optics": optics,
    "cryoedu.inference.model.Model": model,
    "cryoedu.validation.masked.MaskedFSC": masked_fsc,
}
