"""One pip install brings the plugins and switches them on; what it brings is the source, byte for byte."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from browser import laboratory
from newcomer import ROOT, bare

TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
SHARED = TOOLS["hatch"]["build"]["targets"]["wheel"]["shared-data"]
NOTEBOOKS_OWN = ["page error: Cannot read properties of undefined (reading 'last_modified')",
                 "Cannot convert undefined or null to object"]  # Notebook 7.2 alone says so too, of a text file


def sources() -> dict[str, Path]:
    """Where every file goes that Jupyter reads, and the file in the repository that it is."""
    found = {}
    for source, place in SHARED.items():
        for path in [ROOT / source] if (ROOT / source).is_file() else sorted((ROOT / source).rglob("*")):
            if path.is_file():
                found[place if path == ROOT / source else f"{place}/{path.relative_to(ROOT / source)}"] = path
    return found


@pytest.mark.parametrize("kind", ["standard", "editable"])
def test_a_wheel_carries_the_source(tmp_path, kind):
    """There is no build: a wheel that differs from the repository has not come from it."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", f"wheel:{kind}", "-d", tmp_path], cwd=ROOT,
                   check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".data/data/" in name]
        packed = {name.split(".data/data/")[1]: archive.read(name) for name in names}
    assert packed == {place: path.read_bytes() for place, path in sources().items()}


def test_what_jupyterlab_reads_of_it_is_there():
    """JupyterLab drops an extension without a word if its package.json names a file that is not there."""
    package = json.loads((ROOT / "labextension" / "package.json").read_text())
    folder = "share/jupyter/labextensions/cryoedu"
    assert f"{folder}/{package['jupyterlab']['_build']['load']}" in sources()
    import cryoedu

    assert package["name"] == "cryoedu" and package["version"] == cryoedu.__version__
    scripts = {Path(place).name: path for place, path in sources().items() if place.startswith(f"{folder}/static")}
    for path in scripts.values():
        if path.suffix == ".js":
            lines = path.read_text(encoding="utf-8").splitlines()
            named = [line.split('from "./')[1].split('"')[0] for line in lines if line.startswith("import ")]
            assert set(named) <= set(scripts), path.name


def test_no_script_reaches_for_another_machine():
    """Everything works where there is no network."""
    for path in (ROOT / "labextension").rglob("*.*"):
        text = path.read_text(encoding="utf-8").replace("https://doi.org", "")
        assert "http://" not in text and "https://" not in text, path.name
        assert "innerHTML" not in text and "eval(" not in text and "new Function" not in text, path.name


@pytest.mark.slow
def test_a_new_environment_has_it_switched_on(oldest):
    """Who installs the package in some JupyterLab of theirs types nothing more."""
    def said(*command: str) -> str:
        done = subprocess.run([oldest, "-m", *command], capture_output=True, text=True, check=True, env=bare("JUPYTER"))
        return done.stdout + done.stderr

    assert "cryoedu v0.1.0 enabled OK" in " ".join(said("jupyter", "labextension", "list").replace("\x1b[32m", "")
                                                   .replace("\x1b[0m", "").split())
    server = said("jupyter", "server", "extension", "list")
    assert "cryoedu.lab" in server and "enabled" in server.split("cryoedu.lab")[1]
    overrides = oldest.parents[1] / "share" / "jupyter" / "lab" / "settings" / "overrides.d" / "cryoedu.json"
    assert json.loads(overrides.read_text())["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


@pytest.mark.slow
@pytest.mark.browser
def test_notebook_7_has_all_of_it_too(oldest, tmp_path):
    """Notebook 7 loads the plugins of JupyterLab, but has room for one thing only in the middle of its page."""
    (tmp_path / "small.star").write_text("data_x\nloop_\n_rlnA\n_rlnB\n1 2\n3 4\n")
    with laboratory(tmp_path, str(oldest), module="notebook") as lab:
        lab.page.goto(f"{lab.url}/edit/small.star", wait_until="domcontentloaded")
        lab.page.wait_for_selector(".cryoedu-table tbody tr", timeout=120_000)
        assert lab.page.locator(".cryoedu-table td").all_inner_texts() == ["1", "2", "3", "4"]
        lab.page.goto(f"{lab.url}/tree", wait_until="domcontentloaded")
        lab.page.wait_for_selector(".jp-DirListing-item")
        for name, shown in (("Lessons and progress", "#cryoedu-course .cryoedu-lessons > li"),
                            ("Runs", "#cryoedu-runs .cryoedu >> text=There is no run here")):
            lab.page.keyboard.press("Control+Shift+C")
            lab.page.locator(".lm-CommandPalette-input").fill(name)
            lab.page.locator(".lm-CommandPalette-item", has_text=name).first.click()
            lab.page.locator(shown).first.wait_for()
        assert not [line for line in lab.console if line not in NOTEBOOKS_OWN] and not lab.outside
