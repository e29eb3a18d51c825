"""The run monitor's part of the server: what is shown of a run, and that a folder from a stranger does no harm."""

from __future__ import annotations

import http.cookiejar
import json
import os
import tracemalloc
import urllib.error
import urllib.request
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from commandline import cryoedu
from plugins import TOKEN, get, server, unpacked

from cryoedu.errors import InputError
from cryoedu.lab import runs
from cryoedu.runs.names import STATUS
from cryoedu.runs.status import Status, write_status

MAP = Path(__file__).parents[1] / "data" / "relion" / "map.mrc"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """What Jupyter serves: images, a run of averages and a refinement of a map from two halves."""
    root, before = tmp_path_factory.mktemp("root"), Path.cwd()
    os.chdir(root)
    cryoedu("simulate", MAP, "--o", "sim", "--n", 60, "--snr", 1.0, "--random-seed", 1)
    cryoedu("classify2d", "sim/particles_data.star", "--o", "deep/er/plane", "--k", 2, "--psi-step", 30,
            "--offset-range", 4, "--iter", 3)
    cryoedu("refine3d", "sim/particles_data.star", "--o", "space", "--reference", MAP, "--healpix-order", 0,
            "--offset-range", 8, "--iter", 2)
    os.chdir(before)
    return root


@pytest.mark.slow
def test_runs_are_found_however_deep_and_those_that_go_on_come_first(root):
    told = runs.listed(root, root)
    assert [run["path"] for run in told["runs"]] == ["space", "deep/er/plane"] and not told["more"]
    assert {run["state"] for run in told["runs"]} == {"finished"} and told["runs"][1]["job"] == "classify2d"
    assert [run["path"] for run in runs.listed(root, root / "deep")["runs"]] == ["deep/er/plane"]
    assert [run["path"] for run in runs.listed(root, root / "space")["runs"]] == ["space"]
    write_status(root / "deep" / "er" / "plane", Status("running", 2, 3))
    assert [run["state"] for run in runs.listed(root, root)["runs"]] == ["running", "finished"]
    write_status(root / "deep" / "er" / "plane", Status("finished", 3, 3, arguments=("classify2d",)))


def test_a_search_ends_in_a_disk_full_of_folders(tmp_path, monkeypatch):
    """Jupyter is often started in a home folder with a million files; links may even lead in a circle."""
    monkeypatch.setattr(runs, "MOST_FOLDERS", 20)
    for i in range(40):
        (tmp_path / f"folder{i:02d}").mkdir()
    (tmp_path / "folder00" / "circle").symlink_to(tmp_path)
    found, more = runs.find_runs(tmp_path)
    assert found == [] and more
    deep = tmp_path.joinpath(*"abcdefghi")
    deep.mkdir(parents=True)
    (deep / STATUS).touch()
    monkeypatch.setattr(runs, "MOST_FOLDERS", 2000)
    assert runs.find_runs(tmp_path) == ([], True)


@pytest.mark.slow
def test_what_is_shown_of_a_refinement(root):
    told = runs.detail(root / "space", root)
    assert (told["state"], told["iteration"], told["iterations"]) == ("finished", 2, 2)
    assert told["command"].startswith("cryoedu refine3d sim/particles_data.star --o space --reference")
    assert told["history"]["iteration"] == [1, 2] and None not in told["history"]["log_likelihood"]
    assert len(told["curves"]["fsc"]) == len(told["curves"]["frequencies"]) == len(told["curves"]["ssnr"][0])
    assert told["curves"]["fsc"][0] == pytest.approx(1) and told["weights"] == [1.0]
    assert not told["can_stop"] and not told["can_resume"] and told["report"]
    assert runs.detail(root / "space", root, told["stamp"]) == {"stamp": told["stamp"]}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count", "views"), [("space", 1, 3), ("deep/er/plane", 2, 1)])
def test_pictures_of_the_last_iteration(root, name, count, views):
    folder = root / name
    number = runs.detail(folder, root)["pictures"]
    _, levels = unpacked(runs.pictures(folder, number))
    size = levels.shape[-1]
    assert levels.shape == (count, views, size, size)
    if views == 3:
        density = mrcfile.read(folder / f"run_it{number:03d}_class001.mrc")
        assert np.corrcoef(levels[0, 0].ravel(), density[size // 2].ravel())[0, 1] > 0.98
        assert np.corrcoef(levels[0, 2].ravel(), density[:, :, size // 2].ravel())[0, 1] > 0.98
    assert levels.min() == 0 and levels.max() == 255


def test_a_large_average_is_made_small_and_a_broken_one_is_drawn(tmp_path):
    write_status(tmp_path, Status("running"))
    image = np.zeros((2, 300, 300), dtype=np.float32)
    image[0] = np.arange(300)
    image[0, 5, 5], image[0, 6, 6], image[1] = np.nan, np.inf, np.nan
    with pytest.warns(RuntimeWarning, match="NaN"):
        mrcfile.write(tmp_path / "run_it001_classes.mrcs", image)
    _, levels = unpacked(runs.pictures(tmp_path, 1))
    assert levels.shape == (2, 1, 100, 100) and levels[0].max() == 255 and not levels[1].any()
    assert (np.diff(levels[0, 0, 50].astype(int)) > 0).mean() > 0.9


@pytest.mark.slow
def test_a_run_of_an_older_version_is_stopped_or_finished(root, tmp_path):
    for name in ("run_job.json", "run_history.csv"):
        (tmp_path / name).write_bytes((root / "space" / name).read_bytes())
    told = runs.detail(tmp_path, tmp_path)
    assert told["state"] == "finished" and told["history"]["iteration"] == [1, 2] and told["pictures"] == 0
    assert "a copy" in told["why_not"]
    job = json.loads((tmp_path / "run_job.json").read_text()) | {"finished": False}
    (tmp_path / "run_job.json").write_text(json.dumps(job))
    assert runs.detail(tmp_path, tmp_path)["state"] == "stopped" and not runs.detail(tmp_path, tmp_path)["can_resume"]


def test_a_run_in_its_first_iteration_is_shown(tmp_path):
    """For a large data set it takes an hour, in which the folder holds nothing but its status."""
    write_status(tmp_path, Status("running", 0, 25, arguments=("refine3d", "a.star", "--reference", "m.mrc", "--o",
                                                               str(tmp_path)), place=str(tmp_path)))
    told = runs.detail(tmp_path, tmp_path)
    assert told["state"] == "running" and told["can_stop"] and told["history"] == {} and told["log"] == ""


@pytest.mark.parametrize("name", [STATUS, "run_log.txt", "run_history.csv", "run_it001_model.star", "run_x"])
def test_a_file_that_leads_out_of_the_folder_is_not_opened(tmp_path, tmp_path_factory, name):
    """A run from a download whose log is a link to a private key."""
    secret = tmp_path_factory.mktemp("home") / "key"
    secret.write_text("secret")
    write_status(tmp_path, Status("stopped"))
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).symlink_to(secret)
    for ask in (lambda: runs.detail(tmp_path, tmp_path), lambda: runs.pictures(tmp_path, 1)):
        with pytest.raises(InputError, match="no plain file"):
            ask()
    told = runs.summary(tmp_path, tmp_path)
    assert told["state"] == "failed" and "secret" not in json.dumps(told)


def test_a_pipe_does_not_hold_the_server(tmp_path):
    """Whoever opens a pipe that nobody writes into waits for ever."""
    write_status(tmp_path, Status("stopped"))
    os.mkfifo(tmp_path / "run_history.csv")
    with pytest.raises(InputError, match="no plain file"):
        runs.detail(tmp_path, tmp_path)


def test_damaged_tables_are_shown_as_far_as_they_go(tmp_path):
    write_status(tmp_path, Status("stopped"))
    (tmp_path / "run_history.csv").write_bytes(b"iteration,log_likelihood,seconds\n1,<b>,nan\n2,1e999,\xff\n\n3\n")
    loop = b"data_model_class_1\nloop_\n_rlnResolution\n_rlnSsnrMap\n"
    for star in (b"", b"data_\n_x", b"\0" * 100, loop + b"0 1\n1 inf\n"):
        (tmp_path / "run_it001_model.star").write_bytes(star)
        told = json.loads(json.dumps(runs.detail(tmp_path, tmp_path), allow_nan=False))
        assert told["history"] == {"iteration": [1, 2, 3], "log_likelihood": [None] * 3, "seconds": [None] * 3}
    assert told["curves"]["ssnr"] == [[1, None]]
    with pytest.raises(InputError, match="no pictures"):
        runs.pictures(tmp_path, 1)


def test_the_end_of_a_long_log_as_a_terminal_would_show_it(tmp_path):
    log = tmp_path / "run_log.txt"
    log.write_bytes(b"x" * 50_000 + b"\nstep 1\rstep 2\rstep 3\r\n\x1b[31mred\x00\xff\nend")
    assert runs.tail(log) == "step 3\n[31mred�\nend"
    log.write_bytes(b"one\ntwo")
    assert runs.tail(log) == "one\ntwo"


def test_a_history_that_no_run_leaves_takes_no_memory(tmp_path):
    """A megabyte of names is a line of as many values for each of thousands of rows."""
    write_status(tmp_path, Status("stopped"))
    history = tmp_path / "run_history.csv"
    names = ["iteration", *(f"x{i}" for i in range(100_000)), *(f"class_weight_{k}" for k in range(100))]
    history.write_text(",".join(names) + "\n" + "1\n" * 100_000)
    tracemalloc.start()
    told = runs.detail(tmp_path, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert told["history"] == {"iteration": [1.0] * runs.MOST_ROWS} and len(told["weights"]) == runs.MOST_CLASSES
    assert peak < 50e6
    history.write_text("iteration,class_weight_1\n")
    assert runs.detail(tmp_path, tmp_path)["history"] == {}
    history.write_text("iteration\n" + "1" * 200_000)
    with pytest.raises(InputError, match=r"run_history\.csv is damaged"):
        runs.detail(tmp_path, tmp_path)
    history.write_text("1\n" * (runs.LARGEST_HISTORY // 2 + 1))
    with pytest.raises(InputError, match="too large to be the history"):
        runs.detail(tmp_path, tmp_path)


@pytest.mark.parametrize("shapes", [[(1, 8, 8), (1, 9, 9)], [(4, 8, 8)], [(1, 8, 9)]], ids=["two", "no cube", "oblong"])
def test_pictures_that_do_not_fit_together_are_told_in_a_sentence(tmp_path, shapes):
    write_status(tmp_path, Status("stopped"))
    for k, shape in enumerate(shapes, 1):
        mrcfile.write(tmp_path / f"run_it001_class{k:03d}.mrc", np.zeros(shape, np.float32))
    with pytest.raises(InputError, match="not all squares of one size"):
        runs.pictures(tmp_path, 1)


def test_what_a_run_says_of_itself_is_cut(tmp_path):
    """Two hundred runs that each say a megabyte are a list that no browser holds."""
    write_status(tmp_path, Status("failed", message="x" * 500_000, arguments=("y" * 400_000,)))
    assert len(json.dumps(runs.listed(tmp_path, tmp_path))) < 5000


def test_a_record_of_gigabytes_is_not_read(tmp_path):
    with open(tmp_path / "run_job.json", "wb") as file:
        file.truncate(3 * 10**9)
    tracemalloc.start()
    told = runs.detail(tmp_path, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert told["state"] == "failed" and "run_job.json is damaged" in told["message"] and peak < 10e6


@pytest.fixture(scope="module")
def running(root):
    """The address of a Jupyter server of ``root``."""
    with server(root) as (url, _):
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("path", ["..", "../..", "/etc", "space/..", "sim/../..", "nowhere", "sim", ".home", "out",
                                  "\0", "space/run_job.json", "<b>"])
@pytest.mark.parametrize("address", ["runs/one", "runs/pictures", "runs/stop", "runs/resume"])
def test_no_folder_outside_is_answered_for(running, root, tmp_path_factory, address, path):
    outside = tmp_path_factory.mktemp("outside")
    write_status(outside, Status("stopped"))
    (root / "out").unlink(missing_ok=True)
    (root / "out").symlink_to(outside)
    method = "POST" if address.endswith(("stop", "resume")) else "GET"
    status, said = get(running, address, method=method, path=path)
    assert status in (400, 403) and str(outside) not in said.decode() and "message" in json.loads(said)


@pytest.mark.slow
def test_another_site_s_page_starts_and_stops_nothing(running, root):
    """Any page in the same browser can send a request to a Jupyter at home: its cookie goes along, not its token."""
    cookies = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    browser.open(f"{running}/login?token={TOKEN}", timeout=30).read()

    def post(address, **headers):
        with pytest.raises(urllib.error.HTTPError) as refused:
            browser.open(urllib.request.Request(f"{running}/cryoedu/{address}?path=space", b"", headers), timeout=30)
        return refused.value.code

    for address in ("runs/stop", "runs/resume", "course/open", "course/reset"):
        assert get(running, address, path="space", lesson="3")[0] == 405  # nothing happens by following a link
        assert post(address) == 403
        assert post(address, Origin="http://evil.example") in (403, 404)
        known = {cookie.name: cookie.value for cookie in cookies}
        assert post(address, **{"X-XSRFToken": known["_xsrf"]}) == 400  # this page itself is heard
    assert not (root / "cryoedu-course").exists()


@pytest.mark.slow
def test_what_the_panels_ask_for_is_answered(running):
    status, said = get(running, "runs", path="")
    assert status == 200 and {run["path"] for run in json.loads(said)["runs"]} == {"space", "deep/er/plane"}
    status, said = get(running, "runs/one", path="space")
    assert status == 200 and json.loads(said)["state"] == "finished"
    status, said = get(running, "runs/pictures", path="space", number=2)
    assert status == 200 and unpacked(said)[1].shape == (1, 3, 32, 32)
    status, said = get(running, "runs/resume", method="POST", path="space")
    assert status == 400 and "finished" in json.loads(said)["message"]
    status, said = get(running, "course")
    assert status == 200 and json.loads(said)["folder"] is None
    status, said = get(running, "course/open", method="POST", lesson=3)
    assert status == 200 and json.loads(said) == {"path": "cryoedu-course/03_ml_alignment.ipynb"}
    status, said = get(running, "course/reset", method="POST", lesson=3, forget=1)
    assert status == 200 and json.loads(said)["old"].startswith("cryoedu-course/old_answers/03_ml_alignment_2")
    assert get(running, "course/reset", method="POST", lesson="../3")[0] == 400
