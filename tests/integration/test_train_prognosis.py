"""The outcome after a bleed by the one way to train: records alone, through learner, weights and figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicomnode.train.engine import FitSettings
from dicomnode.train.manifest import write_manifest
from dicomnode.train.prognosis.learner import NONE, WEIGHTS, bundled
from dicomnode.train.prognosis.patients import exams_of, groups_of
from dicomnode.train.results import read_results
from dicomnode.train.run import BEST, evaluate_model, train_model
from dicomnode.train.settings import TrainSettings


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    strangers = replace(groups_of(0, 0, 60, 0)[2], seed=987)
    return write_manifest(folder / "manifest.csv", [replace(one, split=None) for one in exams_of(folder, strangers)])


def test_a_training_from_records_leaves_weights_that_can_be_judged(manifest: Path, tmp_path: Path) -> None:
    fit = FitSettings(epochs=1, device="cpu", mixed_precision=False)
    report = train_model(manifest, tmp_path / "out", bundled(), TrainSettings(fit=fit, batch=16, progress=False))
    assert "prognosis" in report.read_text()
    again = evaluate_model(manifest, tmp_path / "out" / BEST, tmp_path / "again", bundled(), split=None, progress=False)
    assert json.loads(again.with_suffix(".json").read_text())["exams"] > 40


def test_the_shipped_weights_tell_more_with_a_record_than_without(manifest: Path, tmp_path: Path) -> None:
    evaluate_model(manifest, WEIGHTS, tmp_path, bundled(), split=None, progress=False)
    results = read_results(tmp_path / "results.csv")
    label = results["label"] == 1
    apart = [np.mean(results[name][label]) - np.mean(results[name][~label]) for name in ("score", NONE)]
    assert apart[0] > max(apart[1], 0.1)
