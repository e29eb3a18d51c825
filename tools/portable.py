"""Run the lessons with the arithmetic of other processors: `make portable`, or python tools/portable.py [NAME …].

A matrix product adds in an order that depends on the processor, and so do NumPy's and Numba's loops. What a lesson
prints has to hold on all of them. OpenBLAS, Numba and NumPy can be told to compute as on an older processor; a set that
asks for more than this one has is left out. With --engine, the tests of the engine are run in the same way.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NO_AVX512 = "X86_V4 AVX512_ICL AVX512_SPR"
SETS = {
    "haswell": {"OPENBLAS_CORETYPE": "Haswell", "NUMBA_CPU_NAME": "haswell", "NPY_DISABLE_CPU_FEATURES": NO_AVX512},
    "skylake": {"OPENBLAS_CORETYPE": "SkylakeX", "NUMBA_CPU_NAME": "skylake-avx512"},
    "sandybridge": {"OPENBLAS_CORETYPE": "Sandybridge", "NUMBA_CPU_NAME": "generic",
                    "NPY_DISABLE_CPU_FEATURES": f"X86_V3 {NO_AVX512}"},
    "generic": {"OPENBLAS_CORETYPE": "Prescott", "NUMBA_CPU_NAME": "generic",
                "NPY_DISABLE_CPU_FEATURES": f"X86_V3 {NO_AVX512}"},
    "zen": {"OPENBLAS_CORETYPE": "Zen", "NUMBA_CPU_NAME": "znver2", "NPY_DISABLE_CPU_FEATURES": NO_AVX512},
}
NEEDS = {"haswell": "avx2", "skylake": "avx512bw", "sandybridge": "avx", "zen": "avx2"}
LESSONS = ["tests/notebooks/test_lessons.py", "-k", "confirms"]
ENGINE = ["-m", "not notebook and not browser and not slow", "tests/inference", "tests/microscope", "tests/validation",
          "tests/geometry", "tests/course", "tests/figures", "tests/particles"]


def processor_flags() -> set[str]:
    """What this processor can do, as Linux calls it; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 if every set passed."""
    parser = argparse.ArgumentParser(description="Run the lessons with the arithmetic of other processors.")
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(SETS)}; all if none is given")
    parser.add_argument("--engine", action="store_true", help="the engine's fast tests in place of the lessons")
    parser.add_argument("--pytest", default="", help="more options for pytest")
    asked = parser.parse_args(arguments)
    unknown = set(asked.names) - set(SETS)
    if unknown:
        parser.error(f"no set is called {' or '.join(sorted(unknown))}: they are {', '.join(SETS)}")
    flags, failed = processor_flags(), []
    for name in asked.names or SETS:
        if NEEDS.get(name) and NEEDS[name] not in flags:
            print(f"{name}: left out, this processor has no {NEEDS[name]}", flush=True)
            continue
        print(f"{name}: {' '.join(f'{key}={value!r}' for key, value in SETS[name].items())}", flush=True)
        command = [sys.executable, "-m", "pytest", *(ENGINE if asked.engine else LESSONS), *asked.pytest.split()]
        if subprocess.run(command, cwd=ROOT, env={**os.environ, **SETS[name]}, check=False).returncode:
            failed.append(name)
    print(f"failed with the arithmetic of: {', '.join(failed)}" if failed else "passed with every set that was run")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
