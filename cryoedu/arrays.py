"""Which array library: NumPy, or CuPy on a GPU. Nothing else in the package asks.

Everything above the kernels is written once against the array namespace of its input
(``xp = namespace(x)``); CuPy is imported only when somebody asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

import array_api_compat
import numpy as np

from cryoedu.errors import InputError

Array = Any  # any array that array_api_compat knows: numpy, cupy, array_api_strict
P = ParamSpec("P")
T = TypeVar("T")


def namespace(*arrays: Array) -> ModuleType:
    """The array-API namespace that all of ``arrays`` belong to (raises TypeError if they mix)."""
    return array_api_compat.array_namespace(*arrays)


def library(name: str = "auto") -> ModuleType:
    """The array library called ``name``: "numpy", "cupy", or "auto" (CuPy where it works, else NumPy).

    Raises InputError if "cupy" is asked for and does not work here.
    """
    if name == "numpy":
        return _compat("numpy")
    if name not in ("auto", "cupy"):
        raise InputError(f"array library {name!r} is unknown: choose 'numpy', 'cupy' or 'auto'")
    problem = cupy_problem()
    if problem is None:
        return _compat("cupy")
    if name == "cupy":
        raise InputError(f"CuPy cannot be used here: {problem}; run 'cryoedu doctor', or choose 'numpy'")
    return _compat("numpy")


def _compat(name: str) -> ModuleType:
    import importlib

    return importlib.import_module(f"array_api_compat.{name}")


def cupy_problem() -> str | None:
    """Why CuPy cannot compute here, in a few words, or None if it can (a tiny product is run to see)."""
    try:
        import cupy
        cupy.ndarray  # noqa: B018  what an uninstalled CuPy leaves behind imports, but has none
    except Exception as error:  # a broken CUDA raises all kinds of errors on import
        sys.modules.pop("cupy", None)  # array_api_compat asks it what an array is
        return f"CuPy does not import ({error})"
    try:
        if cupy.cuda.runtime.getDeviceCount() == 0:
            return "there is no GPU"
        a = cupy.ones((2, 2), dtype=cupy.float32)
        if float((a @ a)[0, 0]) != 2.0:
            return "the GPU gives a wrong product"
    except Exception as error:
        return f"the GPU does not answer ({error})"
    return None


def on_gpu(xp: ModuleType) -> bool:
    """Whether the arrays of this library live on a GPU."""
    return xp.__name__.endswith("cupy")


def is_cupy(x: Array) -> bool:
    """Whether ``x`` lives on a GPU as a CuPy array."""
    return array_api_compat.is_cupy_array(x)


def to_numpy(x: Array) -> np.ndarray:
    """``x`` in the host's memory, as a NumPy array (no copy if it is one already)."""
    if isinstance(x, np.ndarray):
        return x
    return x.get() if is_cupy(x) else np.asarray(x)


def like(x: Array, reference: Array) -> Array:
    """``x`` as an array of the library and device of ``reference``; its dtype is kept."""
    xp = namespace(reference)
    return xp.asarray(to_numpy(x)) if namespace(x) is not xp else x


def fourier_transforms(x: Array) -> ModuleType:
    """The module with the FFTs for ``x``: SciPy's for NumPy arrays, several times as fast on a stack of small images as
    NumPy's, because it has several of them in the wide registers at once; else that of its own library."""
    if isinstance(x, np.ndarray):
        import scipy.fft

        return scipy.fft
    fft: ModuleType = namespace(x).fft
    return fft


def gpu_bytes_held() -> int | None:
    """Bytes that CuPy holds on the GPU for this process, or None where it is not in use, or there is no GPU: importing
    CuPy works without one, and nothing else of it does."""
    if sys.modules.get("cupy") is None or cupy_problem() is not None:
        return None
    import cupy

    return int(cupy.get_default_memory_pool().total_bytes())


def attempt(xp: ModuleType, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What ``work`` returns for these arguments, or None where memory ran out while it ran.

    On a GPU the blocks that CuPy holds for later are then given back, so that a smaller try finds all the room there
    is. ``work`` must leave nothing half done behind: whoever calls tries again with less.
    """
    try:
        return work(*args, **kwargs)
    except out_of_memory(xp):
        pass  # until here the traceback holds on to what the failed try had made
    if on_gpu(xp):
        import cupy

        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()
    return None


def out_of_memory(xp: ModuleType) -> tuple[type[Exception], ...]:
    """What is raised where the host's memory, or that of the library's device, is used up."""
    if on_gpu(xp):
        import cupy

        return MemoryError, cupy.cuda.memory.OutOfMemoryError
    return (MemoryError,)
