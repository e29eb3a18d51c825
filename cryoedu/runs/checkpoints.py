"""What an interrupted run needs to go on: one file beside its outputs, replaced after each iteration.

A run draws its randomness from its seed and the iteration's number, so that number and the model, exact to the last
bit, are all it needs. Where the particles are kept in parts, such as two halves, the model of each part is kept beside
that of them all.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoedu.errors import InputError
from cryoedu.files.writing import replace_when_done
from cryoedu.inference.model import Checkpoint, Model

FORMAT = 2  # of the file; another one is refused


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write ``path`` (.npz) so that a crash at any moment leaves either the old file or the new one, whole."""
    head = {"format": FORMAT, "number": checkpoint.number, "models": len(checkpoint.models),
            "arrays": list(checkpoint.arrays), "notes": dict(checkpoint.notes)}
    stored: dict[str, Any] = {"head": np.array(json.dumps(head))}
    for i, model in enumerate(checkpoint.models):
        stored |= {f"model{i}_{part.name}": np.asarray(getattr(model, part.name)) for part in fields(Model)}
    stored |= {f"array_{name}": values for name, values in checkpoint.arrays.items()}
    with replace_when_done(path) as part, open(part, "wb") as file:
        np.savez(file, allow_pickle=False, **stored)


def read_checkpoint(path: Path) -> Checkpoint:
    """The state that `write_checkpoint` wrote, bit by bit. Raises InputError if the file is missing or damaged."""
    if not path.exists():
        raise InputError(f"{path.parent} holds no interrupted run ({path.name} is missing): leave out --resume")
    try:
        with zipfile.ZipFile(path) as whole:  # NumPy stops reading where its header says, before the checksum
            if (bad := whole.testzip()) is not None:
                raise zipfile.BadZipFile(bad)
        with np.load(path, allow_pickle=False) as stored:
            head = json.loads(str(stored["head"]))
            if head["format"] != FORMAT:
                raise InputError(f"{path} was written by another version of cryoedu: finish the run with that version, "
                                 "or start anew with --overwrite or in another folder")
            models = [_model({part.name: stored[f"model{i}_{part.name}"] for part in fields(Model)})
                      for i in range(head["models"])]
            arrays = {name: stored[f"array_{name}"] for name in head["arrays"]}
        return Checkpoint(int(head["number"]), models, arrays, dict(head["notes"]))
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib, json and NumPy raise many kinds
        raise InputError(f"{path} is damaged ({type(error).__name__}), so the run cannot go on: restore the file, or "
                         "start anew with --overwrite or in another folder") from None


def _model(parts: dict[str, NDArray[Any]]) -> Model:
    values: dict[str, Any] = {name: value if value.ndim else float(value) for name, value in parts.items()}
    return Model(**values)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
