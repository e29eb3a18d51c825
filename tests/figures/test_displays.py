"""What a notebook shows of an object alone in a cell, once the extension is loaded: words, and a described picture."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from cryoedu.figures import displays as D
from cryoedu.files.mrc import write_stack
from cryoedu.inference.model import Model, signal_power
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles import CTFParameters, ImageStack, Optics, Particles
from cryoedu.validation.masked import MaskedFSC

N, PIXEL = 16, 5.0
RNG = np.random.default_rng(0)
BLOB = np.exp(-((np.indices((N, N, N)) - N // 2) ** 2).sum(0) / 8).astype(np.float32)
FALLING = np.linspace(1, 0, N // 2 + 1)


def a_model(classes: int, ndim: int, groups: int = 1) -> Model:
    maps = np.stack([BLOB if ndim == 3 else BLOB[N // 2]] * classes)
    weights = np.arange(1, classes + 1) / (classes * (classes + 1) / 2)
    return Model(maps, PIXEL, np.ones((groups, N // 2 + 1)), signal_power(maps), weights, 3.0)


OBJECTS = {
    "image": (Specimen(BLOB[N // 2], PIXEL, "blob"), 1, "blob: a density of 16 x 16 pixels of 5 Å, 80 Å wide."),
    "map": (Specimen(BLOB, PIXEL, "blob"), 1, "16 x 16 x 16 pixels"),
    "particles": (Particles.of(RNG.normal(size=(30, N, N)), PIXEL, ctf=CTFParameters.of(np.linspace(9e3, 2e4, 30)),
                               angles=np.zeros((30, 3))), 1,
                  "30 particle images of 16 x 16 pixels, in memory. opticsGroup1: 300 kV, Cs 2.7 mm, amplitude "
                  "contrast 0.1, 5 Å per pixel. Defocus 9,000 to 20,000 Å, astigmatism up to 0 Å; orientations known, "
                  "shifts unknown, classes unknown, half sets unknown."),
    "experiment": (simulate(Specimen(BLOB[N // 2], PIXEL, "blob"), 7, seed=0, progress=False), 1,
                   "A simulated experiment with blob; the true poses and classes are in its truth. 7 particle images"),
    "optics": (Optics(1.2, voltage=200.0), 1, "Optics group opticsGroup1: 200 kV"),
    "ctf": (CTFParameters.of([8e3, 3e4, 2e4], [7e3, 3e4, 2e4], phase_shift=90), 1,
            "CTF parameters of 3 particle images. Defocus 7,500 to 30,000 Å, astigmatism up to 1,000 Å; phase "
            "shift up to 90°"),
    "averages": (a_model(20, 2), 2, "A model of 20 references of 16 x 16 pixels of 5 Å; class 20: 9.5 %"),
    "maps": (a_model(2, 3, groups=2), 2, "A model of 2 maps of 16 x 16 x 16 pixels of 5 Å; class 2: 66.7 %, class 1: "),
    "fsc": (MaskedFSC(FALLING**2, FALLING, FALLING**9, FALLING, 2, PIXEL), 1, "FSC of two halves: 11.7 Å at 0.143"),
}


def alts(bundle: dict[str, str]) -> list[str]:
    return [html.unescape(alt) for alt in re.findall(r'<img [^>]*alt="([^"]*)"', bundle["text/html"])]


@pytest.mark.parametrize("name", OBJECTS)
def test_words_pictures_and_descriptions(name):
    shown, pictures, words = OBJECTS[name]
    bundle = D.bundle(shown)
    assert words in bundle["text/plain"] and "\n" not in bundle["text/plain"]
    assert html.escape(bundle["text/plain"]) in bundle["text/html"]
    assert len(alts(bundle)) == pictures and all(len(alt) > 40 for alt in alts(bundle))
    assert len(bundle["text/html"]) < 400_000  # a notebook holds many of them
    assert D.bundle(shown) == bundle  # the same bytes each time


def test_every_type_is_shown_here():
    assert {f"{type(shown).__module__}.{type(shown).__name__}" for shown, *_ in OBJECTS.values()} == set(D.DESCRIBE)


def test_descriptions_say_what_is_to_be_seen():
    ctf, maps, fsc = (alts(D.bundle(OBJECTS[name][0])) for name in ("ctf", "maps", "fsc"))
    assert "30,000 Å of defocus, first zero at" in ctf[0]
    assert "class 2: 66.7 %; class 1: 33.3 %" in maps[0] and "noise σ², group 2" in maps[1]
    assert "corrected for the mask falls below 0.143" in fsc[0]


def test_the_first_zero_is_where_the_closed_form_puts_it():
    """Without spherical aberration and amplitude contrast the CTF is sin(π λ Δf u²): its first zero is at √(λ Δf)."""
    optics = Optics(1.5, spherical_aberration=0.0, amplitude_contrast=0.0)
    figure = D.ctf_picture(optics, CTFParameters.of(10_000.0), "")
    said = float(re.search(r"first zero at ([\d.]+) Å", str(figure.get_label()))[1])
    assert said == pytest.approx(np.sqrt(0.019687 * 10_000), abs=0.1)


class Watched:
    """100,000 images that count what is read."""

    shape = (100_000, N, N)

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows):
        images = np.zeros((len(range(*rows.indices(self.shape[0]))), N, N), np.float32)
        self.read += len(images)
        return images


def test_a_display_reads_twelve_images():
    """Of a million particles on disk no more may be read than are drawn."""
    watched = Watched()
    bundle = D.bundle(Particles(watched, (Optics(PIXEL),), np.zeros(len(watched), dtype=np.int64)))
    assert watched.read == 12
    assert "100,000 particle images" in bundle["text/plain"] and "The first 12 of 100,000" in alts(bundle)[0]


def test_particles_whose_files_are_gone(tmp_path):
    write_stack(RNG.normal(size=(5, N, N)).astype(np.float32), tmp_path / "some.mrcs", PIXEL)
    stack = ImageStack.open(tmp_path / "some.mrcs")
    particles = Particles(stack, (Optics(PIXEL),), np.zeros(5, dtype=np.int64))
    assert "on disk, in 1 stack." in D.bundle(particles)["text/plain"]
    again = replace(particles, images=ImageStack.open(tmp_path / "some.mrcs"))
    (tmp_path / "some.mrcs").unlink()
    bundle = D.bundle(again)
    assert alts(bundle) == [] and "Traceback" not in bundle["text/html"]
    assert bundle["text/plain"].startswith("5 particle images") and "No picture: " in bundle["text/plain"]
    assert str(tmp_path / "some.mrcs") in bundle["text/plain"]


@pytest.mark.parametrize("odd, said", [
    (Particles.of(np.zeros((0, N, N)), PIXEL), "0 particle images"),
    (Particles.of(np.zeros((1, N, N)), PIXEL), "1 particle image of"),
    (Particles.of(np.full((3, N, N), np.nan), PIXEL), "3 particle images"),
    (Particles(np.zeros((4, N, N)), tuple(Optics(p, name=f"g{p}") for p in (1.0, 2.0, 3.0, 4.0)), np.arange(4)),
     "g3.0: 300 kV, Cs 2.7 mm, amplitude contrast 0.1, 3 Å per pixel and 1 more. No CTF"),
    (Specimen(np.zeros((N, N)), PIXEL), "specimen"),
    (CTFParameters.of(np.zeros(0)), "CTF parameters of 0 particle images. CTF of no image"),
    (CTFParameters.of(0.0), "Defocus 0 to 0 Å"),
    (CTFParameters.of(-1e4, scale=0.0), "Defocus -10,000 to -10,000 Å"),
    (CTFParameters.of(np.nan), "CTF parameters"),
    (Optics(0.0), "No picture"),
    (Optics(1.0, amplitude_contrast=7.0), "No picture: optics group opticsGroup1: amplitude contrast 7"),
    (replace(a_model(2, 2), maps=np.full((2, N, N), np.nan, np.float32)), "class 2"),
    (replace(a_model(1, 2), sigma2=np.full((1, 1), 2.0)), "variance of a pixel's noise 2."),
    (replace(a_model(2, 2), class_weights=np.full(2, np.nan)), "class 1: 0.0 %"),
    (replace(a_model(2, 2), tau2=np.zeros((2, N // 2 + 1))), "A model"),
    (MaskedFSC(np.ones(9), np.ones(9), np.ones(9), np.ones(9), None, PIXEL), "at or beyond Nyquist (10.0 Å)"),
    (MaskedFSC(np.full(9, np.nan), *np.full((3, 9), np.nan), 1, PIXEL), "FSC"),
])
def test_odd_objects_never_raise(odd, said):
    """A display that stops hides the very object that a person wants to look at because something is wrong with it."""
    bundle = D.bundle(odd)
    assert said in bundle["text/plain"]
    assert bundle["text/html"].startswith("<div>")


def shell(*kinds: str) -> InteractiveShell:
    config = Config()
    config.HistoryManager.enabled = False
    config.DisplayFormatter.active_types = list(kinds)
    return InteractiveShell(config=config)


def test_a_shell_shows_them_only_once_it_is_asked_to():
    """Stored outputs of lessons must not change because of a package that somebody imported."""
    notebook, shown = shell("text/plain", "text/html"), OBJECTS["particles"][0]
    assert set(notebook.display_formatter.format(shown)[0]) == {"text/plain"}
    D.register(notebook)
    data, _ = notebook.display_formatter.format(shown)
    assert data == D.bundle(shown)
    assert set(notebook.display_formatter.format([shown])[0]) == {"text/plain"}


def test_a_terminal_gets_words_and_draws_nothing(monkeypatch):
    terminal = shell("text/plain")
    D.register(terminal)
    monkeypatch.setattr(D, "show", None)  # drawing would fail
    data, _ = terminal.display_formatter.format(OBJECTS["maps"][0])
    assert data == {"text/plain": D.bundle(OBJECTS["maps"][0], rich=False)["text/plain"]}
    assert "No picture" not in data["text/plain"]


def test_a_kind_of_ones_own_is_shown_as_what_it_is_of():
    class Mine(Specimen):
        pass

    assert "blob" in D.bundle(Mine(BLOB, PIXEL, "blob"))["text/plain"]
