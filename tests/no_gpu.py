"""CuPy as it is on a machine without a GPU: it imports, and whatever reaches for the device raises its error (as CuPy
14.2 does, even where it is only asked how much memory it holds)."""

from __future__ import annotations

from pathlib import Path

SOURCE = '''
class CUDARuntimeError(RuntimeError):
    pass

def unreachable(*arguments, **options):
    raise CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version")

class ndarray:
    def __init__(self, *arguments, **options):
        unreachable()

class Somewhere:
    """A part of the library: it can be named, and a call of it fails."""
    def __call__(self, *arguments, **options):
        unreachable()
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Somewhere()

class OutOfMemoryError(MemoryError):
    pass

cuda = Somewhere()
cuda.memory = Somewhere()
cuda.memory.OutOfMemoryError = OutOfMemoryError
cuda.runtime = Somewhere()
cuda.runtime.CUDARuntimeError = CUDARuntimeError
cuda.runtime.runtimeGetVersion = lambda: 12090
cuda.runtime.driverGetVersion = lambda: 0
float32, float64, complex64, complex128, int32, int64 = "f4", "f8", "c8", "c16", "i4", "i8"
__version__ = "14.2.0"

def get_default_memory_pool():
    return Somewhere()

def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Somewhere()
'''


def stand_in(folder: Path) -> Path:
    """A folder for `sys.path` in which a package ``cupy`` behaves so."""
    (folder / "cupy").mkdir(parents=True)
    (folder / "cupy" / "__init__.py").write_text(SOURCE)
    (folder / "cupy_cuda12x-14.2.0.dist-info").mkdir()
    (folder / "cupy_cuda12x-14.2.0.dist-info" / "METADATA").write_text("Name: cupy-cuda12x\nVersion: 14.2.0\n")
    return folder
