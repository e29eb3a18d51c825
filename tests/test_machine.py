"""What the machine says of itself, with psutil and without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import types

import psutil
import pytest

from cryoedu import machine
from cryoedu.arrays import library
from cryoedu.errors import InputError
from cryoedu.machine import (
    CLOCK,
    free_bytes,
    held_bytes,
    memory_budget,
    process_began,
    process_lives,
    process_words,
    total_bytes,
)

NUMPY = library("numpy")


@pytest.mark.parametrize(("memory", "size"), [
    ("1 GB", 10**9), ("1GB", 10**9), ("512 mb", 512 * 10**6), ("0.5 GiB", 2**29), ("  2 TiB ", 2**41),
    ("20000 KB", 2 * 10**7), ("16000 KiB", 16000 * 1024), ("123456789", 123456789), ("123456789 B", 123456789),
    ("1e3 MB", 10**9), (64 * 10**6, 64 * 10**6), (3e7, 30_000_000)])
def test_a_memory_budget_is_read_as_people_write_it(memory, size):
    """MB are millions of bytes and MiB are not."""
    budget = memory_budget(memory, NUMPY)
    assert budget == size and isinstance(budget, int)


@pytest.mark.parametrize("memory", ["much", "1 XB", "GB", "", "1,5 GB", "nan GB", "inf GB", "1 G", "--1 GB",
                                    float("nan"), float("inf")])
def test_what_is_no_size_is_a_sentence(memory):
    """With a size that would be right."""
    with pytest.raises(InputError, match=r"is not a size: write it like '1 GB'"):
        memory_budget(memory, NUMPY)


@pytest.mark.parametrize("memory", ["1 MB", 0, -5, "-1 GB", 15_999_999])
def test_a_budget_too_small_to_work_in_is_a_sentence(memory):
    """Otherwise blocks of no images at all."""
    with pytest.raises(InputError, match="too small to work in"):
        memory_budget(memory, NUMPY)


def test_without_a_budget_half_of_what_is_free_is_taken(monkeypatch):
    """The other half is for everybody else on the machine; and there is always something to work in."""
    monkeypatch.setattr(machine, "free_bytes", lambda xp: 8 * 10**9)
    assert memory_budget(None, NUMPY) == 4 * 10**9
    monkeypatch.setattr(machine, "free_bytes", lambda xp: 0)
    assert memory_budget(None, NUMPY) == 64 * 10**6
    monkeypatch.undo()
    assert 0 <= free_bytes(NUMPY) <= psutil.virtual_memory().total


GIB = 2**30
CGROUPS = {  # files of a control group, and what they leave
    "version 2": ({"memory.max": f"{2 * GIB}\n", "memory.current": f"{GIB}\n",
                   "memory.stat": "anon 1\ninactive_file 0\n"}, GIB),
    "files read lately do not count as used": ({"memory.max": f"{2 * GIB}", "memory.current": f"{2 * GIB}",
                                                "memory.stat": f"file 7\ninactive_file {GIB}\nfoo 1\n"}, GIB),
    "no statistics": ({"memory.max": f"{2 * GIB}", "memory.current": f"{GIB}"}, GIB),
    "over its limit": ({"memory.max": f"{GIB}", "memory.current": f"{2 * GIB}"}, 0),
    "no limit": ({"memory.max": "max\n", "memory.current": "5"}, None),
    "version 1": ({"memory/memory.limit_in_bytes": f"{3 * GIB}", "memory/memory.usage_in_bytes": f"{2 * GIB}",
                   "memory/memory.stat": f"total_inactive_file {GIB}\n"}, 2 * GIB),
    "not a container": ({}, None)}


@pytest.mark.parametrize(("files", "left"), CGROUPS.values(), ids=CGROUPS)
def test_the_limit_of_a_container_counts(tmp_path, monkeypatch, files, left):
    """A seat on Binder sees a machine of 200 GB and is killed at 2: its limit must be found."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine, "CGROUP", str(tmp_path))
    whole = types.SimpleNamespace(available=200 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: whole)
    assert free_bytes(NUMPY) == (200 * GIB if left is None else left)


@pytest.fixture(params=["with psutil", "without psutil"])
def asked(request, monkeypatch):
    if request.param == "without psutil":
        if not os.path.exists("/proc/self/stat"):
            pytest.skip("only Linux says so itself")
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "psutil", None)  # an import of it fails
            assert machine._psutil() is None
        monkeypatch.setattr(machine, "_psutil", lambda: None)  # the tests themselves ask it
    return request.param


def test_memory_is_known(asked):
    """A package that is missing must not stop a run."""
    assert total_bytes() == psutil.virtual_memory().total
    assert 0 < free_bytes(NUMPY) <= total_bytes()
    assert held_bytes() == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)


def test_a_process_is_known_by_its_number_and_its_beginning(asked):
    """Numbers are given again: another process must be neither taken for a run nor stopped."""
    command = [sys.executable, "-c", "print(flush=True); input()", "a word", "--o=x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        began = process_began(process.pid)
        assert abs(began - time.time()) < 30 and abs(began - psutil.Process(process.pid).create_time()) < CLOCK
        assert process_words(process.pid) == command
        assert process_lives(process.pid, began) and not process_lives(process.pid, began - 10)
        process.communicate(b"\n")
    assert process_began(process.pid) == 0 and process_words(process.pid) == []
    assert not process_lives(process.pid, began) and not process_lives(process.pid, 0.0)


def test_a_zombie_does_not_live(asked):
    """A run that ended while whoever started it never asked is over."""
    number = os.fork()
    if number == 0:
        os._exit(0)
    time.sleep(0.2)
    try:
        assert not process_lives(number, process_began(number))
    finally:
        os.waitpid(number, 0)
