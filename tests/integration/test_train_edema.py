"""Brain oedema by the one way to train: a tiny cohort of coarse heads through encoders, fusions, bundle and report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicomnode.cohort.patients import Arm
from dicomnode.train.edema import heads
from dicomnode.train.edema.heads import Group, exams_of, made
from dicomnode.train.edema.learner import WEIGHTS, bundled
from dicomnode.train.edema.records import records
from dicomnode.train.engine import FitSettings
from dicomnode.train.manifest import write_manifest
from dicomnode.train.results import read_results
from dicomnode.train.run import BEST, evaluate_model, train_model
from dicomnode.train.settings import TrainSettings

STRANGERS = Group(name="strangers", site="A", arm=Arm.ICH, patients=14, seed=987)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    without_image = [replace(one, split=None) for one in records(40)]
    return write_manifest(folder / "manifest.csv", [*exams_of(made(folder, STRANGERS), None), *without_image])


def test_a_training_from_heads_and_records_leaves_weights_that_can_be_judged(manifest: Path, tmp_path: Path) -> None:
    fit = FitSettings(epochs=2, device="cpu", mixed_precision=False)
    report = train_model(manifest, tmp_path / "out", bundled(), TrainSettings(fit=fit, batch=8, progress=False))
    assert "edema" in report.read_text()
    again = evaluate_model(manifest, tmp_path / "out" / BEST, tmp_path / "again", bundled(), split=None, progress=False)
    figures = json.loads(again.with_suffix(".json").read_text())
    assert figures["exams"] == STRANGERS.patients + 40


def test_the_shipped_weights_can_be_judged_and_exams_without_an_image_are_asked_nothing(
    manifest: Path, tmp_path: Path
) -> None:
    evaluate_model(manifest, WEIGHTS, tmp_path, bundled(), split=None, progress=False)
    results = read_results(tmp_path / "results.csv")
    assert int(np.isfinite(results["score"]).sum()) == STRANGERS.patients
    assert len(results) == STRANGERS.patients + 40


def test_the_groups_of_the_experiment_share_no_patient() -> None:
    groups = [*heads.training_groups(5000), *heads.unseen_groups(200, 40)]
    assert len({group.seed for group in groups}) == len({group.name for group in groups}) == len(groups)
