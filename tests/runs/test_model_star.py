"""_model.star: what other programs and later runs read of a refinement, in RELION's units."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.files.star import read_tables
from cryoedu.inference.model import Model, signal_power
from cryoedu.microscope import read_map
from cryoedu.runs.model_star import write_model

RELION = Path(__file__).parents[1] / "data" / "relion"


def model(ndim=2, classes=2, n=8, groups=2, white=False):
    rng = np.random.default_rng(5)
    maps = rng.normal(size=(classes,) + (n,) * ndim).astype(np.float32)
    sigma2 = np.full((groups, 1), 4.0) if white else rng.uniform(1, 2, (groups, n // 2 + 1))
    return Model(maps, 2.5, sigma2, signal_power(maps), np.array([0.75, 0.25])[:classes], 6.5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_model_and_its_maps_come_together(tmp_path, ndim):
    written = model(ndim)
    write_model(written, tmp_path / "run_it003_model.star", group_names=["a", "b"], group_sizes=[30, 40])
    maps = ["run_it003_classes.mrcs"] if ndim == 2 else ["run_it003_class001.mrc", "run_it003_class002.mrc"]
    assert sorted(os.listdir(tmp_path)) == sorted([*maps, "run_it003_model.star"])
    tables = read_tables(tmp_path / "run_it003_model.star")
    general = tables["model_general"].iloc[0]
    assert general["rlnReferenceDimensionality"] == str(ndim) and general["rlnNrClasses"] == "2"
    assert float(general["rlnPixelSize"]) == 2.5 and float(general["rlnSigmaOffsetsAngst"]) == 6.5
    classes = tables["model_classes"]
    assert classes["rlnClassDistribution"].tolist() == ["0.75", "0.25"]
    for reference, density in zip(classes["rlnReferenceImage"], written.maps):
        name = reference.replace("@", f"@{tmp_path}/") if ndim == 2 else tmp_path / reference
        assert np.array_equal(read_map(name).density, density) and read_map(name).pixel_size == 2.5
    groups = tables["model_groups"]
    assert groups["rlnGroupName"].tolist() == ["a", "b"] and groups["rlnGroupNrParticles"].tolist() == ["30", "40"]


def test_relion_s_ratio_of_signal_and_noise_holds_its_t():
    """What `write_model` takes ssnr to be: weight of the data against that of the prior, T τ² / σ²."""
    tables = read_tables(RELION / "class2d_it001_model.star")
    spectrum = tables["model_class_1"].astype(float)
    assert np.allclose(spectrum["rlnSsnrMap"] * spectrum["rlnReferenceSigma2"],
                       float(tables["model_general"]["rlnTau2FudgeFactor"].iloc[0]) * spectrum["rlnReferenceTau2"],
                       rtol=1e-3)


def test_spectra_are_divided_by_the_fourth_power_of_the_box(tmp_path):
    written = model()
    ssnr = np.array([[50.0, 20.0, 5.0, 0.5, 2.0], [0.5] * 5])
    write_model(written, tmp_path / "run_model.star", ssnr=ssnr, resolved=[2, 1], tau2_fudge=2.0)
    tables = read_tables(tmp_path / "run_model.star")
    for k in range(2):
        spectrum = tables[f"model_class_{k + 1}"].astype(float)
        assert np.allclose(spectrum["rlnReferenceTau2"] * 8**4, written.tau2[k])
        assert np.allclose(spectrum["rlnSsnrMap"] * spectrum["rlnReferenceSigma2"], 2 * spectrum["rlnReferenceTau2"])
        assert spectrum["rlnSpectralIndex"].tolist() == [0, 1, 2, 3, 4]
        assert spectrum["rlnAngstromResolution"].tolist() == [999, 20, 10, 20 / 3, 5]
        assert np.allclose(tables[f"model_group_{k + 1}"]["rlnSigma2Noise"].astype(float) * 8**4, written.sigma2[k])
    assert tables["model_classes"]["rlnEstimatedResolution"].astype(float).tolist() == [10.0, 20.0]
    assert float(tables["model_general"]["rlnCurrentResolution"].iloc[0]) == 10.0


def test_an_ssnr_is_no_resolution(tmp_path):
    """That of noise that was aligned is above 1 too: what nothing independent has measured is not written."""
    write_model(model(), tmp_path / "run_model.star", ssnr=np.full((2, 5), 50.0))
    tables = read_tables(tmp_path / "run_model.star")
    assert tables["model_classes"]["rlnEstimatedResolution"].astype(float).tolist() == [999.0, 999.0]
    assert float(tables["model_general"]["rlnCurrentResolution"].iloc[0]) == 999.0


def test_correlations_of_halves_stand_as_they_are(tmp_path):
    """Without units, and zero where there is no other half: RELION reads the column either way."""
    curve = np.array([1, 0.9, 0.5, 0.143, -0.02])
    for name, fsc in (("halves", curve), ("whole", None)):
        write_model(model(3, classes=1), tmp_path / f"{name}_model.star", ssnr=np.ones((1, 5)), fsc=fsc)
        column = read_tables(tmp_path / f"{name}_model.star")["model_class_1"]["rlnGoldStandardFsc"]
        assert np.allclose(column.astype(float), 0 if fsc is None else curve)


def test_white_noise_is_the_same_in_every_shell(tmp_path):
    write_model(model(white=True), tmp_path / "run_model.star")
    noise = read_tables(tmp_path / "run_model.star")["model_group_1"]["rlnSigma2Noise"].astype(float)
    assert np.allclose(noise, 4.0 / (2 * 8**2))  # pixel variance s² is n² s² / 2 per component, / n⁴ in the file


@pytest.mark.parametrize("name", ["class2d", "class3d"])
def test_every_column_is_one_that_relion_writes(tmp_path, name):
    """A misspelt label would be passed over by RELION without a word."""
    theirs = read_tables(RELION / f"{name}_it001_model.star")
    write_model(model(2 if name == "class2d" else 3), tmp_path / "run_model.star", ssnr=np.ones((2, 5)),
                group_sizes=[1, 2])
    written = read_tables(tmp_path / "run_model.star")
    assert set(written["model_general"].columns) == set(theirs["model_general"].columns)
    for table, ours in written.items():
        if table in theirs:
            assert set(ours.columns) <= set(theirs[table].columns), table
        else:
            assert table == "model_group_2"


@pytest.mark.parametrize(("change", "message"), [
    ({"ssnr": np.ones((2, 4))}, r"ssnr has shape \(2, 4\), but 2 classes of 8 pixels need \(2, 5\)"),
    ({"fsc": np.ones(4)}, r"fsc has shape \(1, 4\), but .* need \(1, 5\)"),
    ({"resolved": [1, 2, 3]}, r"resolved has shape \(3,\), but there are 2 classes"),
    ({"group_names": ["one"]}, "there are 2 noise groups, but 1 names and 0 sizes")])
def test_arrays_that_do_not_fit_leave_what_there_was(tmp_path, change, message):
    (tmp_path / "run_model.star").write_text("old")
    with pytest.raises(InputError, match=message):
        write_model(model(), tmp_path / "run_model.star", **change)
    assert os.listdir(tmp_path) == ["run_model.star"] and (tmp_path / "run_model.star").read_text() == "old"
