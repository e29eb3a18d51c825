"""Who is answered, and about what: only who is signed in, and only about files below the folder that Jupyter serves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import psutil
import pytest
from plugins import get, server

from cryoedu import lab
from cryoedu.errors import InputError
from cryoedu.lab.handlers import below

RELION = Path(__file__).parents[1] / "data" / "relion"
ADDRESSES = [(address, method) for name in lab.MODULES
             for address, handler in import_module(f"cryoedu.lab.{name}").HANDLERS.items()
             for method in ("get", "post", "put", "delete") if method in vars(handler)]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A server of a folder with good, hidden, linked and odd files: its address, and the folder."""
    top = tmp_path_factory.mktemp("jupyter")
    served, outside = top / "served", top / "outside"
    for folder in (served / "sub", served / ".hidden", outside):
        folder.mkdir(parents=True)
        shutil.copy(RELION / "particles.mrcs", folder)
    shutil.copy(RELION / "particles.star", served)
    (served / "link.mrcs").symlink_to(outside / "particles.mrcs")
    (served / "folder").symlink_to(outside)
    (served / "inside.mrcs").symlink_to(served / "sub" / "particles.mrcs")
    (served / "peek.mrcs").symlink_to(served / ".hidden" / "particles.mrcs")
    os.mkfifo(served / "pipe.mrcs")
    (top / "served-too").mkdir()
    shutil.copy(RELION / "particles.mrcs", top / "served-too")
    with server(served) as (url, process):
        yield url, process


@pytest.mark.parametrize("address, method", ADDRESSES, ids=[f"{method} {address}" for address, method in ADDRESSES])
def test_who_is_not_signed_in_gets_nothing(running, address, method):
    for token in (None, "guessed"):
        status, said = get(running[0], address, token, method.upper(), path="sub/particles.mrcs")
        assert status == 403 and b"shape" not in said


def test_every_address_is_tried_above():
    assert {address for address, _ in ADDRESSES} >= {"mrc", "mrc/plane", "mrc/volume", "star/rows", "star/picture"}


def test_another_site_s_page_gets_nothing(running):
    """A page elsewhere can make this browser send its cookie; it may not read what comes back."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(f"{running[0]}/cryoedu/mrc?path=sub/particles.mrcs",
                                     headers={"Origin": "http://evil.example", "Cookie": "username-x=1"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code in (403, 404)


@pytest.mark.parametrize("path", ["sub/particles.mrcs", "/sub/particles.mrcs", "inside.mrcs"])
def test_files_below_the_folder_are_served(running, path):
    status, said = get(running[0], "mrc", path=path)
    assert status == 200 and json.loads(said)["shape"] == [200, 32, 32]


@pytest.mark.parametrize("path", [
    "../outside/particles.mrcs", "sub/../../outside/particles.mrcs", "../served-too/particles.mrcs", "..", "",
    "/etc/passwd", "sub//../../outside/particles.mrcs", "link.mrcs", "folder/particles.mrcs", "peek.mrcs",
    ".hidden/particles.mrcs", "pipe.mrcs", "sub", "nothing.mrcs", "sub\\particles.mrcs", "a\0b", "%2e%2e/outside",
    "drive:sub/particles.mrcs", "x" * 5000])
def test_nothing_else_is(running, path):
    status, said = get(running[0], "mrc", path=path)
    words = json.loads(said)["message"]
    assert status == 400 and "shape" not in words and str(RELION) not in words and "Traceback" not in words
    assert "jupyter0" not in words  # where the folder is on the server


def test_what_is_wrong_with_a_file_reaches_the_browser_as_a_sentence(running):
    status, said = get(running[0], "mrc", path="particles.star")
    assert status == 400
    assert json.loads(said)["message"].startswith("particles.star is not an MRC file")


def test_the_server_stays_small(running):
    """On a shared machine the server is one process for each learner, beside the kernels that compute."""
    url, process = running
    for address in ("mrc", "mrc/statistics", "mrc/gallery", "mrc/plane", "mrc/spectrum", "mrc/volume"):
        assert get(url, address, path="sub/particles.mrcs")[0] == 200
    assert get(url, "star/rows", path="particles.star", sort=4)[0] == 200
    loaded = {part for mapped in psutil.Process(process).memory_maps() for part in Path(mapped.path).parts}
    assert "numpy" in loaded and not loaded & {"scipy", "pandas", "matplotlib", "llvmlite", "numba", "gemmi"}


def test_importing_the_extension_computes_nothing():
    heavy = ["scipy", "matplotlib", "numba", "pandas", "cupy", "IPython", "anywidget"]
    code = ("import sys, importlib; from cryoedu import lab; "
            "[importlib.import_module(f'cryoedu.lab.{name}').HANDLERS for name in lab.MODULES]; "
            f"print([m for m in {heavy} if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"[]"


def test_hidden_files_are_served_where_jupyter_itself_does(tmp_path):
    (tmp_path / ".secret").mkdir()
    (tmp_path / ".secret" / "a.mrc").write_bytes(b"x")
    with pytest.raises(InputError, match="there is no file"):
        below(tmp_path, ".secret/a.mrc")
    assert below(tmp_path, ".secret/a.mrc", hidden=True).name == "a.mrc"
