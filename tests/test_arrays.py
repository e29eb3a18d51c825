"""Which library computes, and how much memory it may fill: on laptops, in containers, and where CuPy is broken."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import array_api_strict
import numpy as np
import psutil
import pytest

from cryoedu import arrays
from cryoedu.arrays import cupy_problem, free_bytes, is_cupy, library, like, memory_budget, namespace, to_numpy
from cryoedu.errors import InputError

NUMPY = library("numpy")


@pytest.fixture
def no_cupy(monkeypatch):
    """As on a laptop: CuPy is not installed."""
    monkeypatch.setitem(sys.modules, "cupy", None)


def test_numpy_is_there_by_name_and_by_default(no_cupy):
    """The default, "auto", must work everywhere."""
    assert library("numpy") is library("auto") is library()
    x = library().asarray([1.0, 2.0])
    assert isinstance(x, np.ndarray) and namespace(x) is library()


def test_cupy_without_a_gpu_is_a_sentence(no_cupy):
    """Who asks for the GPU must be told that there is none, and why, rather than wait for NumPy unknowingly."""
    with pytest.raises(InputError, match=r"CuPy cannot be used here: .*cryoedu doctor.*numpy"):
        library("cupy")


@pytest.mark.parametrize("name", ["torch", "CuPy", "", "numpy "])
def test_unknown_libraries_are_a_sentence(name):
    """The choices stand in the message."""
    with pytest.raises(InputError, match="'numpy', 'cupy' or 'auto'"):
        library(name)


BROKEN = {"left behind by an uninstall": "",
          "without its CUDA libraries": "raise OSError('libcudart.so.12: cannot open shared object file')",
          "of another Python": "raise SystemError('incompatible')"}


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN)
def test_a_broken_cupy_does_not_break_numpy(tmp_path, source):
    """Half-removed CuPys are common on shared machines, and any module of that name is asked what an array is."""
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text(source)
    script = ("import sys; sys.path.insert(0, sys.argv[1])\n"
              "from cryoedu.arrays import library, namespace, cupy_problem, to_numpy\n"
              "import numpy as np\n"
              "assert 'not import' in cupy_problem(), cupy_problem()\n"
              "xp = library('auto'); x = xp.ones((2, 2))\n"
              "assert namespace(x) is xp and to_numpy(x) is x\n"
              "from cryoedu.geometry.fourier import fourier\n"
              "assert fourier(x).shape == (2, 2)\n"
              "try: library('cupy')\n"
              "except ValueError as error: print(error)\n")
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False,
                         cwd=Path(arrays.__file__).parents[1])
    assert run.returncode == 0, run.stderr
    assert "CuPy cannot be used here: CuPy does not import" in run.stdout


def fake_cupy(devices, product):
    def count():
        if isinstance(devices, Exception):
            raise devices
        return devices

    class Answer:
        def __matmul__(self, other):
            return {(0, 0): product}

    runtime = types.SimpleNamespace(getDeviceCount=count)
    return types.SimpleNamespace(ndarray=Answer, float32="float32", cuda=types.SimpleNamespace(runtime=runtime),
                                 ones=lambda shape, dtype: Answer())


@pytest.mark.parametrize(("devices", "product", "problem"), [
    (0, 2.0, "no GPU"), (RuntimeError("cudaErrorInsufficientDriver"), 2.0, "cudaErrorInsufficientDriver"),
    (1, 3.0, "wrong product"), (1, 2.0, None)])
def test_a_gpu_is_believed_when_it_has_computed_something(monkeypatch, devices, product, problem):
    """A driver that is too old imports well and fails at the first kernel, an hour into a course."""
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(devices, product))
    found = cupy_problem()
    assert found is None if problem is None else problem in found


def test_arrays_go_to_the_library_of_their_reference():
    """Kernels run on NumPy arrays and hand their results back to whatever library the caller uses."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    strict = array_api_strict.asarray(x)
    assert like(x, x) is x and to_numpy(x) is x
    there = like(x, strict)
    assert namespace(there) is array_api_strict and there.dtype == array_api_strict.float32
    back = like(there, x)
    assert isinstance(back, np.ndarray) and back.dtype == np.float32
    np.testing.assert_array_equal(back, x)
    assert not is_cupy(x) and not is_cupy(strict)
    with pytest.raises(TypeError):
        namespace(x, strict)


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
    monkeypatch.setattr(arrays, "free_bytes", lambda xp: 8 * 10**9)
    assert memory_budget(None, NUMPY) == 4 * 10**9
    monkeypatch.setattr(arrays, "free_bytes", lambda xp: 0)
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
    monkeypatch.setattr(arrays, "CGROUP", str(tmp_path))
    machine = types.SimpleNamespace(available=200 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    assert free_bytes(NUMPY) == (200 * GIB if left is None else left)
