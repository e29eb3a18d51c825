"""What was generated once is kept on disk, and made again if the file is damaged or the code has changed."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cryoedu.errors import InputError
from cryoedu.files.writing import replace_when_done
from cryoedu.microscope.experiment import Experiment
from cryoedu.microscope.specimen import Specimen
from cryoedu.particles.particles import CTFParameters, Optics, Particles

T = TypeVar("T", Specimen, Experiment)
Arrays = dict[str, Any]  # of NumPy arrays
DAMAGED = (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError)
WRITTEN_BY = ("datasets", "geometry", "microscope")  # packages whose code decides what the files hold


def folder() -> Path:
    """Where the files are kept: CRYOEDU_CACHE, or cryoedu's own folder in the user's cache."""
    chosen = os.environ.get("CRYOEDU_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("cryoedu", appauthor=False))


def specimen(name: str, options: Mapping[str, Any], make: Callable[[], Specimen]) -> Specimen:
    """The specimen of these options, from the cache or from ``make``."""
    return _stored(name, options, make, _pack_specimen, _unpack_specimen)


def experiment(name: str, options: Mapping[str, Any], make: Callable[[], Experiment]) -> Experiment:
    """The experiment of these options, from the cache or from ``make``."""
    return _stored(name, options, make, _pack_experiment, _unpack_experiment)


def _stored(name: str, options: Mapping[str, Any], make: Callable[[], T], pack: Callable[[T], Arrays],
            unpack: Callable[[Arrays], T]) -> T:
    which = hashlib.sha256(json.dumps(options, sort_keys=True, default=_plain).encode()).hexdigest()[:12]
    path = folder() / f"{name}-{which}-{_code()}.npz"
    with suppress(*DAMAGED):  # nothing there yet, or not what was written
        return unpack(_read(path))
    made = make()
    try:
        with replace_when_done(path) as part, open(part, "wb") as file:
            np.savez(file, **pack(made))
        for old in path.parent.glob(f"{name}-{which}-*.npz"):
            if old != path:  # made by other code
                old.unlink(missing_ok=True)
    except (OSError, InputError) as error:
        warnings.warn(f"{name} cannot be kept for the next time ({error}): set CRYOEDU_CACHE to a folder that can be "
                      "written to", stacklevel=4)
    return made


def _read(path: Path) -> Arrays:
    """All arrays of an .npz file; reading them to the end checks the checksum that the file holds for each."""
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, for the name of the file."""
    return value.item() if isinstance(value, np.generic) else str(value)


@cache
def _code() -> str:
    """Twelve letters that change with the code and the data that the files are made from."""
    home = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256(np.__version__.encode())
    for package in WRITTEN_BY:
        for path in sorted([*(home / package).glob("*.py"), *(home / package / "data").glob("*")]):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _pack_specimen(made: Specimen, prefix: str = "") -> Arrays:
    return {prefix + "density": made.density, prefix + "pixel_size": np.array(made.pixel_size),
            prefix + "name": np.array(made.name)}


def _unpack_specimen(arrays: Arrays, prefix: str = "") -> Specimen:
    return Specimen(arrays[prefix + "density"], float(arrays[prefix + "pixel_size"]), str(arrays[prefix + "name"]))


def _pack_experiment(made: Experiment) -> Arrays:
    truth = made.truth
    columns = {"angles": truth.angles, "shifts": truth.shifts, "classes": truth.classes}
    arrays = {"images": np.asarray(truth.images[:]), "optics_group": truth.optics_group, "sigma2": made.sigma2,
              "optics": np.array(json.dumps([asdict(o) for o in truth.optics])),
              "specimens": np.array(len(made.specimens)), **{k: v for k, v in columns.items() if v is not None}}
    if truth.ctf is not None:
        arrays |= {f"ctf_{f.name}": getattr(truth.ctf, f.name) for f in fields(CTFParameters)}
    for i, one in enumerate(made.specimens):
        arrays |= _pack_specimen(one, f"specimen{i}_")
    return arrays


def _unpack_experiment(arrays: Arrays) -> Experiment:
    optics = tuple(Optics(**o) for o in json.loads(str(arrays["optics"])))
    ctf = None
    if "ctf_defocus_u" in arrays:
        ctf = CTFParameters(**{f.name: arrays[f"ctf_{f.name}"] for f in fields(CTFParameters)})
    truth = Particles(arrays["images"], optics, arrays["optics_group"], ctf, arrays.get("angles"), arrays.get("shifts"),
                      arrays.get("classes"))
    specimens = tuple(_unpack_specimen(arrays, f"specimen{i}_") for i in range(int(arrays["specimens"])))
    return Experiment(replace(truth, angles=None, shifts=None, classes=None), truth, specimens, arrays["sigma2"])
