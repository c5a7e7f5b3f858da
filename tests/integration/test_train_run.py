"""Manifest in, weights and report out, with the real network of the zoo on small synthetic exams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dicomnode.errors import ConfigError, ManifestError, TrainingError
from dicomnode.train.engine import FitSettings
from dicomnode.train.hemorrhage.recipes import detector_learner, paper_learner
from dicomnode.train.learners import learner_named
from dicomnode.train.manifest import Case, Split, write_manifest
from dicomnode.train.results import read_results
from dicomnode.train.run import evaluate_model, train_model
from dicomnode.train.settings import TrainSettings
from tests.unit.train.heads import acquired_head, write_dicom_exam, write_nifti_exam

LEARNER = detector_learner()
SETTINGS = TrainSettings(fit=FitSettings(epochs=2, learning_rate=3e-3, device="cpu"), steps=3, batch=4, progress=False)
BUNDLE = Path(__file__).parents[2] / "dicomnode" / "zoo" / "hemorrhage" / "bundle" / "models" / "model.safetensors"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def by_id(report: Path, column: str) -> dict[str, float]:
    """A column of the results of a report, by exam."""
    results = read_results(report / "results.csv")
    return dict(zip(results.ids, results[column], strict=True))


@pytest.fixture(scope="module")
def exams(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, ...]:
    """Two exams to train on, one to validate, two to test, one unlabelled."""
    folder = tmp_path_factory.mktemp("exams")
    volumes = {"t1": 40.0, "t2": 0.0, "v1": 35.0, "x1": 45.0, "x2": 0.0, "u1": 50.0}
    splits = {"t": Split.TRAIN, "v": Split.VALIDATION, "x": Split.TEST, "u": Split.UNLABELLED}
    made = []
    for seed, (name, volume_ml) in enumerate(volumes.items(), start=20):
        write = write_nifti_exam if name in ("t2", "x1") else write_dicom_exam
        case = write(acquired_head(seed, volume_ml), folder, name)
        masks = {} if name == "u1" else case.masks
        labels = {} if name == "u1" else {"hemorrhage": float(volume_ml > 0)}
        made.append(replace(case, split=splits[name[0]], labels=labels, masks=masks))
    return tuple(made)


@pytest.fixture(scope="module")
def manifest(exams: tuple[Case, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("manifest") / "m.csv", exams)


@pytest.fixture(scope="module")
def teacher(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("teacher")
    train_model(manifest, out, LEARNER, SETTINGS)
    return out


def test_training_writes_weights_of_the_zoos_network_and_a_report_that_says_synthetic(teacher: Path) -> None:
    names = {name.removeprefix("members.0.") for name in load_file(BUNDLE) if name.startswith("members.0.")}
    assert load_file(teacher / "best.safetensors").keys() == names
    content = json.loads((teacher / "report" / "report.json").read_text())
    assert content["about"]["synthetic"] is True
    assert len(content["history"]) == 2
    assert (content["exams"], content["outputs"]["exam"]["positive"]) == (2, 1)
    assert "synthetic" in (teacher / "report" / "report.md").read_text().splitlines()[0]
    truth_ml = by_id(teacher / "report", "truth_ml")
    assert truth_ml["x1"] == pytest.approx(45.0, rel=0.15)
    assert truth_ml["x2"] == 0.0


def test_the_same_call_again_takes_up_what_is_there(manifest: Path, teacher: Path) -> None:
    before = (teacher / "report" / "report.json").read_text()
    train_model(manifest, teacher, LEARNER, SETTINGS)
    assert (teacher / "report" / "report.json").read_text() == before


def test_the_shipped_weights_find_the_bleed_and_beat_two_epochs_of_training(
    manifest: Path, teacher: Path, tmp_path: Path
) -> None:
    report = evaluate_model(
        manifest,
        BUNDLE,
        tmp_path / "shipped",
        LEARNER,
        compare=teacher / "report" / "results.csv",
        progress=False,
    )
    score = by_id(report.parent, "score")
    assert by_id(report.parent, "dice")["x1"] > 0.6
    assert score["x1"] > score["x2"]
    content = json.loads((report.parent / "report.json").read_text())
    assert content["differences"]["dice"]["estimate"]["value"] > 0.0
    assert content["figures"]["auc"]["value"] == 1.0


def test_a_student_starts_from_its_teacher_and_learns_from_unlabelled_exams(manifest: Path, tmp_path: Path) -> None:
    fit = replace(SETTINGS.fit, epochs=1, learning_rate=1e-6)
    train_model(manifest, tmp_path, LEARNER, replace(SETTINGS, fit=fit, steps=1, teacher=BUNDLE))
    student, shipped = load_file(tmp_path / "best.safetensors"), load_file(BUNDLE)
    name = next(name for name, value in student.items() if value.ndim == 4)
    assert torch.allclose(student[name], shipped[f"members.0.{name}"].float(), atol=1e-4)
    assert by_id(tmp_path / "report", "dice")["x1"] > 0.6


def test_cross_validation_scores_every_labelled_exam_out_of_fold(exams: tuple[Case, ...], tmp_path: Path) -> None:
    sick = [replace(case, patient=f"{case.patient}-{k}", id=f"{case.id}-{k}") for case in exams[:1] for k in range(4)]
    manifest = write_manifest(tmp_path / "m.csv", [*sick, *exams[1:2], *exams[5:]])
    fit = replace(SETTINGS.fit, epochs=1)
    train_model(manifest, tmp_path / "out", LEARNER, replace(SETTINGS, fit=fit, steps=1, folds=2))
    results = read_results(tmp_path / "out" / "report" / "results.csv")
    assert sorted(results.ids) == ["t1-0", "t1-1", "t1-2", "t1-3", "t2"]
    assert (tmp_path / "out" / "fold-2" / "best.safetensors").exists()
    # one image under four names is read once
    assert len(list((tmp_path / "out" / "cache").iterdir())) == 2


def test_wrong_calls_are_refused_before_anything_is_trained(
    manifest: Path, exams: tuple[Case, ...], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"no model 'expansion' to train; there are: deterioration, .*hemorrhage"):
        learner_named("expansion")
    labelled = write_manifest(tmp_path / "labelled.csv", exams[:5])
    with pytest.raises(ManifestError, match="no exam stands in split unlabelled"):
        train_model(labelled, tmp_path / "a", LEARNER, replace(SETTINGS, teacher=BUNDLE))
    train_only = write_manifest(tmp_path / "train.csv", exams[:2])
    with pytest.raises(ManifestError) as caught:
        train_model(train_only, tmp_path / "b", LEARNER, SETTINGS)
    assert caught.value.faults == ["no exam in split validation", "no exam in split test"]
    unseen = write_manifest(tmp_path / "unseen.csv", [replace(exams[0], image=None), *exams[1:]])
    with pytest.raises(ManifestError, match=r"unseen\.csv: exam t1 has no image, which hemorrhage needs"):
        train_model(unseen, tmp_path / "e", LEARNER, SETTINGS)
    with pytest.raises(ManifestError, match="no exam in split test"):
        evaluate_model(train_only, BUNDLE, tmp_path / "c", LEARNER, progress=False)
    with pytest.raises(TrainingError, match="cannot be loaded"):
        evaluate_model(manifest, BUNDLE, tmp_path / "d", paper_learner(), progress=False)
