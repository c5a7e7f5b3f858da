"""The predicted follow-up scan by the one way to train: a few coarse pairs through training, bundle and prediction."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dicomnode.cohort.make import make_cohort
from dicomnode.images.files import read_image
from dicomnode.records import Inputs, PatientContext
from dicomnode.train.engine import FitSettings
from dicomnode.train.followup.experiment import MATRIX, PARTS
from dicomnode.train.followup.judging import METALLIC
from dicomnode.train.followup.learner import fast_learner
from dicomnode.train.followup.pairs import pair_of
from dicomnode.train.followup.ship import assembled
from dicomnode.train.importers.cohort import read
from dicomnode.train.manifest import Case, Split, read_manifest, write_manifest
from dicomnode.train.results import read_results
from dicomnode.train.run import train_model
from dicomnode.train.samples import image_of
from dicomnode.train.settings import TrainSettings
from dicomnode.zoo.followup.model import BLOOD, SCAN
from dicomnode.zoo.reading.contract import Explained, Predicted
from dicomnode.zoo.reading.inputs import InputsModel
from dicomnode.zoo.registry import Registry, open_bundle

SPLITS = (Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder = tmp_path_factory.mktemp("pairs")
    make_cohort(folder, len(SPLITS), 985, False, arm="post_evt", matrix=MATRIX, formats=("dicom",))
    return [replace(case, split=split) for case, split in zip(read(folder, folder), SPLITS, strict=True)]


@pytest.fixture(scope="module")
def trained(cases: list[Case], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("training")
    fit = FitSettings(epochs=2, patience=0, device="cpu", mixed_precision=False)
    manifest = write_manifest(out / "manifest.csv", cases)
    train_model(manifest, out / "out", fast_learner(), TrainSettings(fit=fit, batch=1, progress=False))
    return out / "out"


def test_a_pair_lies_on_one_grid_and_differs_less_where_nothing_changes(trained: Path) -> None:
    read_before = len(list((trained / "cache" / "pairs").iterdir()))
    pairs = [pair_of(case, trained / "cache") for case in read_manifest(trained.parent / "manifest.csv").cases]
    assert len(list((trained / "cache" / "pairs").iterdir())) == read_before == len(pairs)
    for pair in pairs:
        known, changed = pair["known"].bool(), pair["changed"].bool()
        error = (pair["target"].float() - pair["head"][0].float()).abs()
        assert int(known.sum()) > 8000
        assert float(error[known & ~changed].median()) < 3.0
        assert abs(float((pair["target"].float() - pair["head"][0].float())[known & ~changed].median())) < 1.5
    errors = [
        [float((p["target"].float() - p["head"][0].float()).abs()[p["known"].bool() & where(p)].mean()) for p in pairs]
        for where in (lambda p: p["changed"].bool(), lambda p: ~p["changed"].bool())
    ]
    assert np.nanmean(errors[0]) > np.nanmean(errors[1])


def test_a_training_reports_both_tasks_beside_what_needs_no_learning(trained: Path) -> None:
    results = read_results(trained / "report" / "results.csv")
    for column in (
        "mae",
        "unchanged_mae",
        "constants_mae",
        "changed_mae",
        "outside_mae",
        "voxel_brier",
        "score",
        METALLIC,
    ):
        assert np.isfinite(results[column]).all(), column
    report = json.loads((trained / "report" / "report.json").read_text())
    assert len(report["history"]) == 2
    assert report["about"]["settings"]["shares"] is True
    # of one test pair there is no AUC; how many show the sign is a row in any case
    assert "metallic hyperdensity sign" in (trained / "report" / "report.md").read_text()


def test_its_bundle_predicts_a_scan_on_the_slices_of_the_source(
    trained: Path, cases: list[Case], tmp_path: Path
) -> None:
    bundle = assembled(trained, tmp_path / "bundle")
    manifest = open_bundle(bundle).manifest
    assert manifest.name == "own_followup"
    assert {one.name for one in Registry([bundle]).list()} >= {"own_followup", "followup"}
    volume = read_image(image_of(cases[-1]))
    said = InputsModel(manifest, torch.device("cpu"))(Inputs(volume=volume, context=PatientContext()))
    assert set(said) == {output.name for output in manifest.gives} == {SCAN, BLOOD}
    scan, exam = said[SCAN], said[BLOOD]
    assert isinstance(scan, Predicted)
    assert isinstance(exam, Explained)
    assert scan.hu.shape == volume.hu.shape
    assert 0.0 < exam.value < 1.0
    assert (bundle / "models" / "model.safetensors").stat().st_size < 8e6


def test_the_parts_of_the_experiment_share_no_patient() -> None:
    assert len({part.seed for part in PARTS}) == len({part.name for part in PARTS}) == len(PARTS)
    assert sum(part.patients for part in PARTS if part.use is Split.TRAIN) == 1050
    assert sum(part.patients for part in PARTS if part.use is Split.TEST) == 400
