"""Which library computes, and how much memory it may fill: on laptops, in containers, and where CuPy is broken."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import array_api_strict
import numpy as np
import pytest

from cryoedu import arrays
from cryoedu.arrays import cupy_problem, is_cupy, library, like, namespace, to_numpy
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
