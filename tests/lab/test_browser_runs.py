"""The run monitor as somebody uses it who has started a classification and waits: in JupyterLab, in a real browser."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cryoedu.runs.status import Status, recorded, status_of, write_status

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PANEL = "#cryoedu-runs"
HERE = Path(__file__).parents[2]
SCRIPT = """from cryoedu.commands.background import start
print(start("classify2d", "sim/particles_data.star", o="runs/job001", k=3, psi_step=15, offset_range=4, iter=400))"""
HOSTILE = "<img src=x onerror=console.error(1)>"


def cryoedu(folder, *arguments):
    subprocess.run([sys.executable, "-m", "cryoedu.commands.app", *arguments], cwd=folder, check=True,
                   capture_output=True, env={**os.environ, "PYTHONPATH": str(HERE)})


@pytest.fixture(scope="module")
def runs(either):
    """The page on a JupyterLab that serves images and one run of two iterations."""
    cryoedu(either.root, "simulate", "ribosome-80S", "--o", "sim", "--n", "200", "--box", "32", "--pixel-size", "11",
            "--snr", "0.5", "--random-seed", "1")
    cryoedu(either.root, "classify2d", "sim/particles_data.star", "--o", "other/short", "--k", "2", "--iter", "2",
            "--psi-step", "30", "--offset-range", "11")
    yield either
    for folder in either.root.glob("runs/*"):
        status = status_of(folder)
        if status is not None and status.state == "running":
            os.kill(status.process, signal.SIGKILL)


@pytest.fixture
def monitor(runs):
    """A new page with the monitor open."""
    runs.page.goto(f"{runs.url}/lab?reset", wait_until="domcontentloaded")
    runs.page.wait_for_selector(".jp-LauncherCard", timeout=120_000)
    runs.console.clear()
    runs.outside.clear()
    runs.page.locator(".jp-LauncherCard", has_text="Runs").press("Enter")
    runs.page.wait_for_selector(f"{PANEL} .cryoedu-runs > li")
    return runs


def until(lab, words, where=PANEL):
    lab.page.locator(where, has_text=words).first.wait_for(timeout=120_000)


def choose(lab, path):
    lab.page.locator(f"{PANEL} .cryoedu-runs button", has_text=path).press("Enter")
    lab.page.locator(f"{PANEL} section h2", has_text=path).wait_for()


def press(lab, name):
    button = lab.page.locator(PANEL).get_by_role("button", name=name, exact=True)
    button.and_(lab.page.locator(":enabled")).wait_for(timeout=120_000)
    button.press("Enter")


def test_a_finished_run_is_seen_in_numbers_curves_and_pictures(monitor):
    page, held = monitor.page, []
    pictures = "**/cryoedu/runs/pictures*"
    page.route(pictures, lambda route: held.append(route))
    choose(monitor, "other/short")
    until(monitor, "finished, 2 of at most 2 iterations done", f"{PANEL} .cryoedu-state")
    # a screen reader goes on from there, however long the pictures take
    assert page.evaluate("document.activeElement.textContent") == "other/short"
    page.unroute(pictures)
    for route in held:
        route.continue_()
    page.wait_for_function(f"document.querySelectorAll('{PANEL} canvas').length === 2")
    greys = page.evaluate(f"""[...document.querySelectorAll('{PANEL} canvas')].map(c => new Set(
        c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size)""")
    assert min(greys) > 30
    titles = page.locator(f"{PANEL} svg .title").all_text_contents()
    assert [title.split()[0] for title in titles] == ["Log-likelihood", "Resolution", "Signal"]
    pictured = page.locator(f"{PANEL} [role=img]").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    assert len(pictured) == 5 and all(pictured)
    command = page.locator(f"{PANEL} pre").first.inner_text()
    assert "cryoedu classify2d sim/particles_data.star --o other/short" in command
    assert all(page.get_by_role("button", name=name).is_disabled() for name in ("Resume", "Stop…"))
    press(monitor, "Open the report")
    page.wait_for_function("window.jupyterapp.shell.currentWidget?.context?.path === 'other/short/run_report.html'")
    assert monitor.console == [] and monitor.outside == []


def test_a_run_from_a_notebook_is_watched_stopped_resumed_and_finished(runs, monitor):
    """It goes on without the kernel that started it, and without a browser."""
    page, folder = monitor.page, runs.root / "runs" / "job001"
    runs.notebook("start.ipynb", SCRIPT, shows=".jp-OutputArea-output")
    page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
    page.goto("about:blank")
    while status_of(folder).iteration < 1:
        page.wait_for_timeout(100)
        assert status_of(folder).going_on
    page.goto(f"{runs.url}/lab?reset", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-LauncherCard", timeout=120_000)
    page.evaluate("window.jupyterapp.commands.execute('cryoedu:runs')")
    page.wait_for_selector(f"{PANEL} .cryoedu-runs > li")
    first = page.locator(f"{PANEL} .cryoedu-runs > li").first
    assert "runs/job001" in first.inner_text() and "running" in first.inner_text()  # before those that have ended
    choose(monitor, "runs/job001")
    until(monitor, "iteration 1 of at most 400: log L", f"{PANEL} pre[aria-label=log]")
    page.wait_for_function(f"document.querySelectorAll('{PANEL} canvas').length === 3")
    shown = page.locator(f"{PANEL} .cryoedu-state").inner_text()
    page.wait_for_function(f"document.querySelector('{PANEL} .cryoedu-state').textContent !== {json.dumps(shown)}")

    press(monitor, "Stop…")
    page.locator(".jp-Dialog").get_by_role("button", name="Cancel").press("Enter")
    assert status_of(folder).state == "running"
    press(monitor, "Stop…")
    page.locator(".jp-Dialog").get_by_role("button", name="Stop").press("Enter")
    until(monitor, "runs/job001: stopped", f"{PANEL} [role=status][aria-live=polite]")
    reached = status_of(folder).iteration
    assert status_of(folder).state == "stopped" and reached >= 1

    press(monitor, "Resume")
    until(monitor, "runs/job001: running", f"{PANEL} [role=status]")
    worker = psutil.Process(status_of(folder).process)
    page.wait_for_function(f"""document.querySelector('{PANEL} .cryoedu-state').textContent.match(/[0-9]+/)
        > {reached}""", timeout=120_000)
    worker.kill()  # as for want of memory: nobody is left to say so
    until(monitor, "its process is gone", f"{PANEL} .cryoedu-state")
    assert page.get_by_role("button", name="Resume").is_enabled()
    assert runs.console == [] and runs.outside == []


def test_a_run_is_resumed_to_its_end(runs, monitor):
    page, folder = monitor.page, runs.root / "runs" / "end"
    cryoedu(runs.root, "classify2d", "sim/particles_data.star", "--o", "runs/end", "--k", "2", "--iter", "3",
            "--psi-step", "30", "--offset-range", "11")
    job = json.loads((folder / "run_job.json").read_text())
    (folder / "run_job.json").write_text(json.dumps(job | {"finished": False}))
    write_status(folder, replace(recorded(folder), state="stopped"))
    page.evaluate("window.jupyterapp.commands.execute('cryoedu:runs', { path: 'runs/end' })")
    page.locator(f"{PANEL} section h2", has_text="runs/end").wait_for()
    press(monitor, "Resume")
    until(monitor, "runs/end: finished", f"{PANEL} [role=status]")
    assert status_of(folder).state == "finished"


def test_a_folder_s_runs_are_shown_from_the_file_browser(monitor):
    page = monitor.page
    page.locator(".jp-DirListing-item", has_text="other").click(button="right")
    page.locator(".lm-Menu-item", has_text="Show the runs in this folder").click()
    until(monitor, "Runs in other")
    page.wait_for_function(f"document.querySelectorAll('{PANEL} .cryoedu-runs > li').length === 1")
    press(monitor, "Show all runs")
    until(monitor, "All runs below Jupyter's folder")
    page.locator(".jp-DirListing-item", has_text="sim").click(button="right")
    page.locator(".lm-Menu-item", has_text="Show the runs in this folder").click()
    until(monitor, "There is no run here.")
    assert monitor.console == []


def test_the_panel_comes_back_with_the_page(monitor):
    """Who opens the laptop in the morning finds it where it was."""
    page, morning = monitor.page, f"{monitor.url}/lab/workspaces/morning"
    page.goto(morning, wait_until="domcontentloaded")
    page.locator(".jp-LauncherCard", has_text="Runs").press("Enter", timeout=120_000)
    kept = "fetch('/lab/api/workspaces/morning').then(a => a.json()).then(w => w.data['layout-restorer:data']?.main)"
    end = time.monotonic() + 120
    while (page.evaluate(kept) or {}).get("current") != "cryoedu-runs:runs":
        assert time.monotonic() < end, "JupyterLab did not keep its layout"
    page.goto(morning, wait_until="domcontentloaded")
    page.wait_for_selector(f"{PANEL} .cryoedu-runs > li", timeout=120_000)


def test_markup_in_names_and_records_stays_text(runs, monitor):
    """A run from a download must not become part of the page."""
    page, folder = monitor.page, runs.root / "hostile" / HOSTILE
    folder.mkdir(parents=True)
    write_status(folder, Status("failed", 1, 2, HOSTILE, arguments=("refine3d", HOSTILE), place=str(folder)))
    (folder / "run_log.txt").write_text(HOSTILE)
    (folder / "run_history.csv").write_text(f"iteration,{HOSTILE}\n1,{HOSTILE}\n")
    page.evaluate("window.jupyterapp.commands.execute('cryoedu:runs', { path: 'hostile' })")
    page.locator(f"{PANEL} section h2", has_text=HOSTILE).wait_for()
    until(monitor, HOSTILE, f"{PANEL} pre[aria-label=log]")
    until(monitor, HOSTILE, f"{PANEL} .cryoedu-state")
    until(monitor, "It cannot be resumed from here")
    assert page.locator(f"{PANEL} img").count() == 0 and page.get_by_role("button", name="Resume").is_disabled()
    assert monitor.console == []
