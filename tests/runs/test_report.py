"""The report of a run: one page that opens anywhere, tells everything, and can be read without seeing its pictures."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commandline import cryoedu

from cryoedu.errors import InputError
from cryoedu.runs.report import _sections, read_history, read_results, write_report

pytestmark = pytest.mark.slow

RELION = Path(__file__).parents[1] / "data" / "relion"
SPACE = ["--reference", RELION / "map.mrc", "--healpix-order", 0, "--offset-range", 4, "--strict-highres", 16]


def ran(*arguments: object) -> None:
    assert cryoedu(*arguments) == ""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """sim: particles; plane: a 2D classification in a folder with an awkward name; space: one in 3D."""
    folder = tmp_path_factory.mktemp("work")
    star = folder / "sim" / "particles_data.star"
    ran("simulate", RELION / "map.mrc", "--o", folder / "sim", "--n", 60, "--snr", 1.0, "--random-seed", 1)
    ran("classify2d", star, "--o", folder / '<b>"plane"&', "--k", 7, "--iter", 3, "--psi-step", 30)
    ran("classify3d", star, "--o", folder / "space", "--k", 2, "--iter", 2, *SPACE)
    return folder


class Page(HTMLParser):
    """Tags with their attributes, the text of headings and cells, and whether every tag is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.text.setdefault(self.open[-1], []).append(data.strip())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("name", ['<b>"plane"&', "space"])
def test_a_page_that_stands_alone_and_can_be_read_aloud(work, name):
    """Sent by mail, opened without a network, read by a screen reader."""
    page = Page(work / name / "run_report.html")
    assert not page.open and page.of("html") == [{"lang": "en"}]
    assert len(page.of("h1")) == 1 and not page.of("script") and not page.of("link") and not page.of("b")
    assert "http" not in page.source and "url(" not in page.source
    pictures = page.of("img")
    assert len(pictures) == (5 if name == "space" else 4)
    for picture in pictures:
        assert len(picture["alt"] or "") > 40 and "nan" not in picture["alt"].lower()
        kind, data = str(picture["src"]).split(",")
        assert kind == "data:image/png;base64" and base64.b64decode(data).startswith(b"\x89PNG")
    assert all("scope" in header for header in page.of("th"))
    anchors = {str(link["href"])[1:] for link in page.of("a")}
    assert anchors == {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert len(page.source) < 1_500_000
    assert "StrictUndefined" not in page.source and "nan" not in " ".join(page.text["td"])


def test_what_was_asked_and_what_came_out_is_told(work):
    page = Page(work / "space" / "run_report.html")
    command = " ".join(page.text["span"])
    assert command.startswith("cryoedu classify3d ") and command.endswith("--strict-highres 16")
    cells = " ".join(page.text["td"])
    for words in ("numpy " + np.__version__, "python 3.", "cores"):
        assert words in cells
    assert page.text["dd"][:4] == ["60", "2", "32 px of 4 Å", "2"]
    for heading in ("Maps", "Convergence", "Directions of view", "Noise and signal", "Time and memory"):
        assert heading in page.text["h2"]
    results = read_results(work / "space", 2)
    assert results.maps.shape == (2, 32, 32, 32) and results.pixel_size == pytest.approx(4.0)
    assert results.weights.sum() == pytest.approx(1) and set(results.sigma2) == {"opticsGroup1"}
    weights = sorted(results.weights, reverse=True)
    assert f"{100 * weights[0]:.1f} %" in page.text["td"]


def test_the_page_of_a_resumed_run_tells_of_every_iteration_and_start(work, monkeypatch):
    folder, star = work / "resumed", work / "sim" / "particles_data.star"
    options = ["align2d", star, "--o", folder, "--iter", 4, "--psi-step", 30]
    from cryoedu.runs.folder import RunFolder

    add = RunFolder.add

    def stop(self, iteration, seconds):
        add(self, iteration, seconds)
        if iteration.number == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "add", stop)
        assert cryoedu(*options) == "130"
    assert "Not finished: iteration 2 of 4." in write_report(folder).read_text()
    ran(*options, "--resume")
    page = Page(folder / "run_report.html")
    assert "Finished. Resumed once." in page.text["p"] and "Resumed from iteration 3" in page.text["h3"]
    assert read_history(folder)["iteration"].tolist() == [1, 2, 3, 4]
    assert "--resume" in page.text["span"]
    assert page.source.count("python 3.") == 1  # what did not change is not told twice


def test_halves_have_their_fsc_drawn(work):
    results, history = read_results(work / "space", 2), read_history(work / "space")
    shells = len(results.frequencies)
    sections = list(_sections(replace(results, fsc={"class 1": np.linspace(1, -0.1, shells)}), history))
    (drawn,) = (s for s in sections if s["heading"] == "Fourier shell correlation")
    assert "falls below 0.143 at" in drawn["picture"]["alt"]


def test_what_is_missing_or_damaged_gets_one_sentence(work, tmp_path, capsys):
    with pytest.raises(InputError, match="no run to report on"):
        write_report(tmp_path)
    with pytest.raises(InputError, match="no run to report on"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "run_history.csv").write_text("iteration,log_likelihood\n1,x\n")
    with pytest.raises(InputError, match=r"run_history.csv is damaged"):
        write_report(tmp_path)
    (tmp_path / "run_history.csv").write_text("iteration,log_likelihood\n1,2\n")
    with pytest.raises(InputError, match=r"has no peak_memory_mb, resolution_angstrom, seconds"):
        write_report(tmp_path)
    pd.read_csv(work / "space" / "run_history.csv").to_csv(tmp_path / "run_history.csv", index=False)
    with pytest.raises(InputError, match=r"run_job.json is missing"):
        write_report(tmp_path)
    for text in ("{", "[]", json.dumps({"asked": 1, "starts": []})):
        (tmp_path / "run_job.json").write_text(text)
        with pytest.raises(InputError, match=r"run_job.json is damaged"):
            write_report(tmp_path)
    (tmp_path / "run_job.json").write_text((work / "space" / "run_job.json").read_text())
    with pytest.raises(InputError, match=r"run_it002_model.star"):
        write_report(tmp_path)
    (tmp_path / "run_it002_model.star").write_text("data_model_general\n\n_rlnPixelSize 4\n")
    with pytest.raises(InputError, match="no table data_model_classes"):
        write_report(tmp_path)
