"""The CUDA kernels' own source, compiled as C++ and walked thread by thread, beside the Numba kernels.

Continuous integration has no GPU. Here the text that CuPy would hand to the GPU's compiler, and the code that launches
it, do the same work on the CPU: arithmetic, indices, argument order, number types and the padding of the last block are
all tested; only the atomic additions are not.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import types
from importlib import resources

import numpy as np
import pytest

from cryoedu.arrays import cupy_problem
from cryoedu.geometry.euler import euler_to_matrix, random_rotations
from cryoedu.geometry.fourier import components
from cryoedu.microscope import slices, slices_cupy
from cryoedu.microscope.projection import half_shape

COMPILER = shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
SHIM = """
#include <math.h>
struct coordinates { int x, y, z; };
static coordinates blockIdx, blockDim, threadIdx;
#define __global__
#define __device__ static
template <class T> static void atomicAdd(T *place, T value) { *place += value; }
"""
WALK = """
template <class... Arguments> static void walk(int blocks, int threads, void (*kernel)(Arguments...), Arguments... a) {
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) kernel(a...);
}
extern "C" void walk_extract(int blocks, int threads, const pair *source, const double *axes, const double *kx,
                             const double *ky, pair *out, int maps, int depth, int height, int width, int orientations,
                             int components) {
    walk(blocks, threads, extract, source, axes, kx, ky, out, maps, depth, height, width, orientations, components);
}
extern "C" void walk_insert(int blocks, int threads, const pair *values, const real *weights, const double *axes,
                            const double *kx, const double *ky, pair *sums, real *totals, int maps, int depth,
                            int height, int width, int orientations, int components) {
    walk(blocks, threads, insert, values, weights, axes, kx, ky, sums, totals, maps, depth, height, width, orientations,
         components);
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Libraries of the kernels by their source, each compiled once."""
    libraries = {}

    def library(source: str) -> ctypes.CDLL:
        if source not in libraries:
            path = tmp_path_factory.mktemp("kernels") / "slices.cpp"
            path.write_text(SHIM + source + WALK)
            built = subprocess.run([COMPILER, "-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror",
                                    "-shared", "-fPIC", "-o", path.with_suffix(".so"), path],
                                   capture_output=True, text=True, check=False)
            assert built.returncode == 0, built.stderr
            libraries[source] = ctypes.CDLL(str(path.with_suffix(".so")))
        return libraries[source]

    return library


@pytest.fixture
def cupy_of_the_cpu(compiled, monkeypatch):
    """A module that stands in for CuPy: arrays are NumPy's, a raw kernel is compiled by the C++ compiler."""
    if COMPILER is None:
        pytest.skip("no C++ compiler (g++, clang++ or c++) is installed to compile slices.cu with")
    class RawKernel:
        def __init__(self, source: str, name: str) -> None:
            self.walk = getattr(compiled(source), f"walk_{name}")
            self.real = np.dtype(np.float32 if "#define real float" in source else np.float64)

        def __call__(self, grid, block, arguments) -> None:
            values = []
            for a in arguments:
                if isinstance(a, np.ndarray):
                    assert a.flags.c_contiguous
                    assert a.dtype in (np.int32, np.float64) or a.real.dtype == self.real, f"{a.dtype} is misread"
                    values.append(ctypes.c_void_p(a.ctypes.data))
                else:
                    assert isinstance(a, np.int32 | np.uint64)
                    values.append(ctypes.c_int(int(a)) if isinstance(a, np.int32) else ctypes.c_void_p(int(a) or None))
            self.walk(grid[0], block[0], *values)

    names = ("ascontiguousarray", "asarray", "empty", "zeros", "int32")
    fake = types.SimpleNamespace(RawKernel=RawKernel, **{name: getattr(np, name) for name in names})
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(slices, "is_cupy", lambda x: True)
    slices_cupy._kernel.cache_clear()
    yield monkeypatch
    slices_cupy._kernel.cache_clear()


def problem(ndim, dtype):
    n, rng = 12, np.random.default_rng(1)
    parts = components(n)
    in_plane = euler_to_matrix(np.outer(rng.uniform(-180, 180, 23), [0, 0, 1]))
    rotations = random_rotations(23, rng) if ndim == 3 else in_plane
    rotations[0] = np.eye(3)  # readings exactly on the grid
    shape = half_shape(n, ndim)
    draw = lambda *s: (rng.standard_normal(s) + 1j * rng.standard_normal(s)).astype(dtype)  # noqa: E731
    return draw(2, *shape), draw(2, 23, len(parts)), rotations, parts, shape


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("ndim", [2, 3])
def test_both_kernels_extract_the_same(cupy_of_the_cpu, ndim, dtype):
    """What was developed on a laptop has to mean the same on a GPU."""
    volume, _, rotations, parts, _ = problem(ndim, dtype)
    there = slices.extract(volume, rotations, parts.kx, parts.ky, 2)
    cupy_of_the_cpu.setattr(slices, "is_cupy", lambda x: False)
    here = slices.extract(volume, rotations, parts.kx, parts.ky, 2)
    assert there.dtype == here.dtype == dtype
    np.testing.assert_allclose(there, here, atol=1e-6 if dtype == np.complex64 else 1e-14)


@pytest.mark.parametrize("weights", ["none", "as the slices", "float64"])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("ndim", [2, 3])
def test_both_kernels_insert_the_same(cupy_of_the_cpu, ndim, dtype, weights):
    """Sums and weights, in the precision of the slices, whatever the weights came in."""
    _, values, rotations, parts, shape = problem(ndim, dtype)
    real = np.float64 if weights == "float64" else values.real.dtype
    given = None if weights == "none" else np.random.default_rng(2).random(values.shape).astype(real)
    there, total_there = slices.insert(values, given, rotations, parts.kx, parts.ky, 2, shape)
    cupy_of_the_cpu.setattr(slices, "is_cupy", lambda x: False)
    here, total_here = slices.insert(values, given, rotations, parts.kx, parts.ky, 2, shape)
    assert there.dtype == here.dtype == dtype
    bound = 1e-5 if dtype == np.complex64 else 1e-13
    np.testing.assert_allclose(there, here, atol=bound)
    if given is None:
        assert total_there is None and total_here is None
    else:
        assert total_there.dtype == total_here.dtype == values.real.dtype
        np.testing.assert_allclose(total_there, total_here, atol=bound)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc, the CUDA compiler, is not installed")
@pytest.mark.parametrize("real", ["float", "double"])
def test_nvidia_s_compiler_takes_the_source(tmp_path, real):
    """The C++ compiler is more lenient in some things and knows nothing of address spaces."""
    source = resources.files("cryoedu.microscope").joinpath("slices.cu")
    with resources.as_file(source) as path:
        built = subprocess.run(["nvcc", "-ptx", f"-Dreal={real}", "-Werror=all-warnings", "-o", tmp_path / "slices.ptx",
                                path], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert {"extract", "insert"} <= {word.rstrip("(") for word in (tmp_path / "slices.ptx").read_text().split()}


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_gpu_computes_what_the_cpu_does(ndim, dtype):
    """The kernels where they belong, atomic additions included."""
    if (reason := cupy_problem()) is not None:
        pytest.skip(f"no GPU that CuPy can compute on: {reason}")
    import cupy

    volume, values, rotations, parts, shape = problem(ndim, dtype)
    weights = np.random.default_rng(2).random(values.shape)
    bound = 1e-5 if dtype == np.complex64 else 1e-13
    read = slices.extract(cupy.asarray(volume), rotations, parts.kx, parts.ky, 2)
    np.testing.assert_allclose(read.get(), slices.extract(volume, rotations, parts.kx, parts.ky, 2), atol=bound)
    there = slices.insert(cupy.asarray(values), cupy.asarray(weights), rotations, parts.kx, parts.ky, 2, shape)
    for found, expected in zip(there, slices.insert(values, weights, rotations, parts.kx, parts.ky, 2, shape)):
        np.testing.assert_allclose(found.get(), expected, atol=bound)
