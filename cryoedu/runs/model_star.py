"""The model of a refinement as RELION writes it: a _model.star file with the class maps beside it.

RELION divides an image's transform by n², so its files hold σ² / n⁴ and τ² / n⁴; that is changed here and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from cryoedu.arrays import to_numpy
from cryoedu.errors import InputError
from cryoedu.files.mrc import store_map, stream_stack
from cryoedu.files.star import write_tables
from cryoedu.files.writing import replace_when_done
from cryoedu.inference.model import Model

UNLIMITED = 999.0  # what RELION calls the resolution of shell 0


def write_model(model: Model, path: str | os.PathLike[str], *, ssnr: Any = None, fsc: Any = None,
                resolved: Any = None, group_names: Sequence[str] = (), group_sizes: Sequence[int] = (),
                group_scales: Sequence[float] = (), tau2_fudge: float = 1.0, log_likelihood: float = 0.0,
                average_pmax: float = 0.0) -> None:
    """Write a ``_model.star`` as RELION 3.1 does, and the class maps that it names beside it.

    run_model.star comes with run_classes.mrcs for 2D references (K, n, n), and with run_class001.mrc, … for maps
    (K, n, n, n); all of them take their places together when the last one is written.

    ssnr: (K, n//2 + 1) weight of the data against that of the prior, T τ² / σ² of the map, per shell. Without it these
    columns are left out, and RELION can show the file but not go on from it.
    resolved: (K,) last shell to which each map is resolved, as something independent says; without it no resolution is
    written but 999 Å. RELION writes where its SSNR falls below 1, which it does for images of noise too.
    fsc: (n//2 + 1,) correlation of two independent halves, for every class; 0 where there are ratios but no halves.
    tau2_fudge: T, which ``tau2`` does not hold.
    group_names, group_sizes: name and number of particles of each noise group.  group_scales: its intensity
        (rlnGroupScaleCorrection; default 1).

    Raises InputError if the arrays do not fit together, or if nothing can be written there.
    """
    path = Path(path)
    maps = np.asarray(to_numpy(model.maps), dtype=np.float32)
    count, box, is_3d = len(maps), maps.shape[-1], maps.ndim == 4
    bins = box // 2 + 1
    sigma2 = np.atleast_2d(to_numpy(model.sigma2)).astype(np.float64)
    if sigma2.shape[1] == 1:  # white noise, as the variance of a pixel
        sigma2 = np.repeat(sigma2 * box**2 / 2, bins, axis=1)
    tau2 = np.atleast_2d(to_numpy(model.tau2)).astype(np.float64)
    ratio = None if ssnr is None else np.atleast_2d(to_numpy(ssnr)).astype(np.float64)
    agreed = None if fsc is None else np.atleast_2d(to_numpy(fsc)).astype(np.float64)
    for name, values, rows in (("sigma2", sigma2, len(sigma2)), ("tau2", tau2, count), ("ssnr", ratio, count),
                               ("fsc", agreed, 1)):
        if values is not None and values.shape != (rows, bins):
            raise InputError(f"{path}: {name} has shape {values.shape}, but {count} classes of {box} pixels need "
                             f"{(rows, bins)}")
    prefix = path.stem.removesuffix("_model")
    files = [f"{prefix}_class{k + 1:03d}.mrc" for k in range(count)] if is_3d else [f"{prefix}_classes.mrcs"]
    references = files if is_3d else [f"{k + 1:06d}@{files[0]}" for k in range(count)]
    known = np.zeros(count, dtype=int) if resolved is None else np.asarray(resolved)
    if known.shape != (count,):
        raise InputError(f"{path}: resolved has shape {known.shape}, but there are {count} classes")
    resolution = [box * float(model.pixel_size) / shell if shell > 0 else UNLIMITED for shell in known]
    tables: dict[str, Any] = {
        "model_general": _general(model, maps, len(sigma2), resolution, tau2_fudge, log_likelihood, average_pmax),
        "model_classes": _classes(model, references, None if ratio is None else resolution, is_3d)}
    for k in range(count):
        tables[f"model_class_{k + 1}"] = _class_spectra(tau2[k], None if ratio is None else ratio[k],
                                                        None if agreed is None else agreed[0], tau2_fudge, box,
                                                        model.pixel_size)
    tables["model_groups"] = _groups(len(sigma2), group_names, group_sizes, group_scales)
    for g, spectrum in enumerate(sigma2):
        tables[f"model_group_{g + 1}"] = _frame({**_shells(box, model.pixel_size), "rlnSigma2Noise": spectrum / box**4})
    with ExitStack() as outputs:
        star = outputs.enter_context(replace_when_done(path))
        parts = [outputs.enter_context(replace_when_done(path.parent / file)) for file in files]
        if is_3d:
            for part, density in zip(parts, maps):
                store_map(density, part, model.pixel_size)
        else:
            stream_stack([maps], parts[0], files[0], model.pixel_size, count)
        write_tables(tables, star)


def _general(model: Model, maps: np.ndarray, groups: int, resolution: list[float], tau2_fudge: float,
             log_likelihood: float, average_pmax: float) -> dict[str, Any]:
    box = maps.shape[-1]
    return {"rlnReferenceDimensionality": maps.ndim - 1, "rlnDataDimensionality": 2, "rlnOriginalImageSize": box,
            "rlnCurrentResolution": min(resolution),
            "rlnCurrentImageSize": box, "rlnPaddingFactor": 2.0, "rlnIsHelix": 0, "rlnFourierSpaceInterpolator": 1,
            "rlnMinRadiusNnInterpolation": 10, "rlnPixelSize": float(model.pixel_size), "rlnNrClasses": len(maps),
            "rlnNrBodies": 1, "rlnNrGroups": groups, "rlnTau2FudgeFactor": float(tau2_fudge),
            "rlnNormCorrectionAverage": 1.0, "rlnSigmaOffsetsAngst": float(model.offset_sigma),
            "rlnOrientationalPriorMode": 0, "rlnSigmaPriorRotAngle": 0.0, "rlnSigmaPriorTiltAngle": 0.0,
            "rlnSigmaPriorPsiAngle": 0.0, "rlnLogLikelihood": float(log_likelihood),
            "rlnAveragePmax": float(average_pmax)}


def _classes(model: Model, references: list[str], resolution: list[float] | None, is_3d: bool) -> Any:
    zeros = np.zeros(len(references))
    table = {"rlnReferenceImage": references, "rlnClassDistribution": to_numpy(model.class_weights).astype(np.float64),
             "rlnAccuracyRotations": zeros, "rlnAccuracyTranslationsAngst": zeros}
    if resolution is not None:
        table["rlnEstimatedResolution"] = np.array(resolution)
    if not is_3d:
        table |= {"rlnClassPriorOffsetX": zeros, "rlnClassPriorOffsetY": zeros}
    return _frame(table)


def _class_spectra(tau2: np.ndarray, ssnr: np.ndarray | None, fsc: np.ndarray | None, tau2_fudge: float, box: int,
                   pixel_size: float) -> Any:
    shells = _shells(box, pixel_size)
    with np.errstate(divide="ignore"):
        shells["rlnAngstromResolution"] = np.where(shells["rlnResolution"] > 0, 1 / shells["rlnResolution"], UNLIMITED)
    if ssnr is not None:
        shells["rlnSsnrMap"] = ssnr
        with np.errstate(divide="ignore", invalid="ignore"):
            shells["rlnReferenceSigma2"] = np.where(ssnr > 0, tau2_fudge * tau2 / ssnr, 0.0) / box**4
    if fsc is not None or ssnr is not None:  # RELION wants both, even if there is no other half
        shells["rlnGoldStandardFsc"] = np.zeros(len(tau2)) if fsc is None else fsc
    return _frame({**shells, "rlnReferenceTau2": tau2 / box**4})


def _shells(box: int, pixel_size: float) -> dict[str, np.ndarray]:
    index = np.arange(box // 2 + 1)
    return {"rlnSpectralIndex": index, "rlnResolution": index / (box * float(pixel_size))}


def _groups(count: int, names: Sequence[str], sizes: Sequence[int], scales: Sequence[float]) -> Any:
    table: dict[str, Any] = {"rlnGroupNumber": np.arange(count) + 1,
                             "rlnGroupName": list(names) or [f"opticsGroup{g + 1}" for g in range(count)]}
    if len(sizes):
        table["rlnGroupNrParticles"] = [int(n) for n in sizes]
    table["rlnGroupScaleCorrection"] = np.asarray(scales, dtype=np.float64) if len(scales) else np.ones(count)
    if any(len(column) != count for column in table.values()):
        raise InputError(f"there are {count} noise groups, but {len(names)} names and {len(sizes)} sizes "
                         f"of groups, and {len(scales)} scales")
    return _frame(table)


def _frame(table: dict[str, Any]) -> Any:
    from pandas import DataFrame

    return DataFrame(table)
