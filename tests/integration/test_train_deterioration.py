"""Early neurological deterioration by the one way to train: patients without images, the shipped reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicomnode.cohort.patients import Site
from dicomnode.train.deterioration.learner import WEIGHTS, bundled
from dicomnode.train.deterioration.patients import Group, drawn, exams_of, variables_of
from dicomnode.train.engine import FitSettings
from dicomnode.train.manifest import write_manifest
from dicomnode.train.run import BEST, evaluate_model, train_model
from dicomnode.train.settings import TrainSettings
from dicomnode.zoo.deterioration.variables import VARIABLES

STRANGERS = Group(name="strangers", site=Site.A, first=9_000_000, count=120)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patients")
    return write_manifest(folder / "manifest.csv", exams_of(STRANGERS, folder, None))


def test_the_variables_of_the_network_are_those_of_the_cohort() -> None:
    known = set().union(*(variables_of(patient) for patient in drawn(STRANGERS)))
    assert {read.trained_as for read in VARIABLES.values()} == known


def test_the_shipped_weights_tell_strangers_apart(manifest: Path, tmp_path: Path) -> None:
    report = evaluate_model(manifest, WEIGHTS, tmp_path, bundled(), split=None, progress=False)
    figures = json.loads(report.with_suffix(".json").read_text())["figures"]
    assert figures["auc"]["value"] > 0.7


def test_a_training_leaves_weights_that_can_be_judged(manifest: Path, tmp_path: Path) -> None:
    fit = FitSettings(epochs=2, device="cpu", mixed_precision=False)
    report = train_model(manifest, tmp_path / "out", bundled(), TrainSettings(fit=fit, batch=16, progress=False))
    assert "deterioration" in report.read_text()
    again = evaluate_model(manifest, tmp_path / "out" / BEST, tmp_path / "again", bundled(), split=None, progress=False)
    assert json.loads(again.with_suffix(".json").read_text())["exams"] == STRANGERS.count
