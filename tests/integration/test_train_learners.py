"""Models that are no haemorrhage go the one way, from manifest to report and experiment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from dicomnode.cli.main import app
from dicomnode.errors import ConfigError, ManifestError, TrainingError
from dicomnode.train import learners, statistics
from dicomnode.train.engine import FitSettings
from dicomnode.train.experiment.arms import Arm, Plan, best_runs, folder_of, run_arms
from dicomnode.train.experiment.design import Experiment, Words
from dicomnode.train.experiment.ship import summarise
from dicomnode.train.manifest import Case, Split, read_manifest, write_manifest
from dicomnode.train.results import read_results
from dicomnode.train.run import evaluate_model, train_model
from dicomnode.train.settings import TrainSettings
from dicomnode.train.splits import draw_splits
from dicomnode.train.tabular import ExamBatches, ExamTensors
from tests.unit.train.learners import (
    VARIABLES,
    FeatureLearner,
    FollowUpLearner,
    OutcomeLearner,
    outcome_cases,
    small_nifti,
)

FIT = FitSettings(epochs=20, learning_rate=0.1, patience=0, device="cpu")
SETTINGS = TrainSettings(fit=FIT, batch=8, progress=False)
NO_LESION = ("blood", "haemorrhage", "hemorrhage", "Dice", " mL", "voxel", "slice")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 patients, without images; splits are left to be drawn."""
    folder = tmp_path_factory.mktemp("outcomes")
    return write_manifest(folder / "m.csv", outcome_cases(folder / "texts"))


@pytest.fixture(scope="module")
def split_manifest(manifest: Path) -> Path:
    """The same; every other training patient sets the calibration instead."""
    drawn = draw_splits(read_manifest(manifest, {"mrs": (0, 6)}), 1, "death").cases
    training = [case.id for case in drawn if case.split is Split.TRAIN]
    cases = [replace(case, split=Split.CALIBRATION) if case.id in training[::2] else case for case in drawn]
    return write_manifest(manifest.with_name("split.csv"), cases)


@pytest.fixture(scope="module")
def trained(split_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train_model(split_manifest, out, OutcomeLearner(), SETTINGS)
    return out


def report_of(out: Path) -> dict[str, dict[str, dict[str, float]]]:
    return dict(json.loads((out / "report.json").read_text()))


def test_the_weights_hold_the_scale_of_the_training_exams_alone(split_manifest: Path, trained: Path) -> None:
    training = [case for case in read_manifest(split_manifest, {"mrs": (0, 6)}).cases if case.split is Split.TRAIN]
    weights = load_file(trained / "best.safetensors")
    for index, name in enumerate(VARIABLES):
        known = [case.variables[name] for case in training if name in case.variables]
        assert float(weights["mean"][index]) == pytest.approx(np.mean(known), rel=1e-5)
        assert float(weights["deviation"][index]) == pytest.approx(np.std(known), rel=1e-5)


def test_every_output_has_its_figures_and_nothing_is_said_of_lesions(trained: Path) -> None:
    content = report_of(trained / "report")
    assert content["figures"].keys() == {"auc", "mrs_mae", "mrs_bias", "mrs_kappa", "mrs_rank_correlation"}
    assert content["figures"]["auc"]["value"] > 0.75
    assert content["figures"]["mrs_rank_correlation"]["value"] > 0.5
    text = (trained / "report" / "report.md").read_text()
    assert "| death AUC |" in text
    assert "| mRS: kappa, quadratic weights |" in text
    assert not [word for word in NO_LESION if word in text]
    pictures = {path.name for path in (trained / "report").glob("*.png")}
    assert pictures == {"roc.png", "reliability.png", "mrs_given_over_true.png", "training.png"}


def test_what_is_missing_is_met_everywhere(manifest: Path, tmp_path: Path) -> None:
    train_model(manifest, tmp_path, OutcomeLearner(), replace(SETTINGS, fit=replace(FIT, epochs=2), folds=3))
    results = read_results(tmp_path / "report" / "results.csv")
    assert len(results) == 240
    assert np.isfinite(results["death_score"]).all()  # of those without a coma scale, too
    unknown = {results.ids[k] for k in np.flatnonzero(np.isnan(results["death"]))}
    assert unknown == {f"e{k}" for k in range(0, 240, 11)}
    assert report_of(tmp_path / "report")["outputs"]["death"]["known"] == 240 - len(unknown)


def test_the_folds_of_a_cross_validation_correct_each_other_and_subgroups_are_told(
    manifest: Path, tmp_path: Path
) -> None:
    report = train_model(manifest, tmp_path, OutcomeLearner(), replace(SETTINGS, folds=3))
    results = read_results(report.parent / "results.csv")
    known = np.isfinite(results["death"])
    before, after = (
        statistics.calibration(results["death"][known], results[name][known])
        for name in ("death_score", "death_score_calibrated")
    )
    assert abs(after.intercept) < 0.3
    assert after.brier < before.brier + 0.01
    # each fold by the others: no single pair of numbers gives all of them
    whole = json.loads((tmp_path / "calibration.json").read_text())["death"]
    logits = np.log(results["death_score"] / (1 - results["death_score"]))
    at_once = 1 / (1 + np.exp(-(whole["slope"] * logits + whole["intercept"])))
    assert not np.allclose(at_once, results["death_score_calibrated"])
    text = report.read_text()
    assert "| death, calibrated |" in text
    assert all(f"| {name} (synthetic) | exams | death AUC |" in text for name in ("site", "sex"))
    assert (tmp_path / "fold-3" / "best.safetensors").exists()


def test_evaluation_tells_the_probability_as_the_calibration_exams_correct_it(
    split_manifest: Path, trained: Path, tmp_path: Path
) -> None:
    report = evaluate_model(
        split_manifest,
        trained / "best.safetensors",
        tmp_path,
        OutcomeLearner(),
        calibration=trained / "calibration.json",
        compare=trained / "report" / "results.csv",
        progress=False,
    )
    again, before = (read_results(path / "results.csv") for path in (report.parent, trained / "report"))
    for column, values in before.columns.items():
        assert np.array_equal(values, again[column], equal_nan=True), column
    assert {"death_score_calibrated", "mrs_given_calibrated"} <= before.columns.keys()
    differences = report_of(tmp_path)["differences"]
    assert {name: item["estimate"]["value"] for name, item in differences.items()} == dict.fromkeys(differences, 0.0)
    assert "auc_delong" in differences


def test_the_commands_know_a_further_learner_and_its_options(
    split_manifest: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(learners.LEARNERS, "outcome", OutcomeLearner)
    data, weights = ["-m", str(split_manifest)], str(tmp_path / "out" / "best.safetensors")
    fit = ["--epochs", "20", "--rate", "0.1", "--patience", "0", "--batch", "8", "--device", "cpu"]
    called = CliRunner().invoke(app, ["train", "outcome", *data, "-o", str(tmp_path / "out"), *fit])
    assert called.exit_code == 0, called.output
    assert Path(weights).read_bytes() == (trained / "best.safetensors").read_bytes()
    told = ["--calibration", str(trained / "calibration.json"), "--split", "all"]
    called = CliRunner().invoke(app, ["evaluate", "outcome", *data, "-w", weights, "-o", str(tmp_path / "e"), *told])
    assert called.exit_code == 0, called.output
    assert "death_score_calibrated" in read_results(tmp_path / "e" / "results.csv").columns
    taught = CliRunner().invoke(app, ["train", "outcome", *data, "-o", str(tmp_path / "t"), "--teacher", weights])
    assert (taught.exit_code, "learns from labels alone" in taught.output) == (2, True)


def test_what_a_learner_needs_and_a_manifest_lacks_is_all_listed(manifest: Path, tmp_path: Path) -> None:
    cases = list(read_manifest(manifest, {"mrs": (0, 6)}).cases)
    bare = write_manifest(tmp_path / "m.csv", [replace(case, text=None) for case in cases[:2]])
    with pytest.raises(ManifestError) as caught:
        train_model(bare, tmp_path / "a", OutcomeLearner(), SETTINGS)
    assert caught.value.faults == [f"m.csv: exam e{k} has no text, which outcome needs" for k in (0, 1)]
    with pytest.raises(ManifestError, match="mrs: 4 lies outside 0 to 1"):
        train_model(manifest, tmp_path / "b", FeatureLearner(), SETTINGS)
    nobody = write_manifest(tmp_path / "n.csv", [replace(case, variables={"age_years": 70.0}) for case in cases])
    with pytest.raises(ManifestError, match="variable gcs is known in no training exam"):
        train_model(nobody, tmp_path / "c", OutcomeLearner(), SETTINGS)


class Pretraining(OutcomeLearner):
    """Stands for a model that learns from exams without labels before it learns from others."""

    unlabelled = True

    def batches(self, samples: Mapping[Split, Sequence[ExamTensors]], settings: TrainSettings) -> ExamBatches:
        both = [*samples[Split.TRAIN], *samples[Split.UNLABELLED]]
        return super().batches({**samples, Split.TRAIN: both}, settings)


def test_unlabelled_exams_are_read_by_those_alone_that_learn_from_them(split_manifest: Path, tmp_path: Path) -> None:
    cases = read_manifest(split_manifest, {"mrs": (0, 6)}).cases
    hidden = [c if c.split is not Split.CALIBRATION else replace(c, split=Split.UNLABELLED, labels={}) for c in cases]
    manifest, steps = write_manifest(tmp_path / "m.csv", hidden), {}
    for learner in (OutcomeLearner(), Pretraining()):
        out = tmp_path / type(learner).__name__
        train_model(manifest, out, learner, replace(SETTINGS, fit=replace(FIT, epochs=1)))
        (epoch,) = (out / "checkpoints").iterdir()
        steps[type(learner)] = json.loads((epoch / "progress.json").read_text())["settings"]["steps"]
    count = {split: sum(case.split is split for case in hidden) for split in Split}
    assert steps[OutcomeLearner] == count[Split.TRAIN] // 8
    assert steps[Pretraining] == (count[Split.TRAIN] + count[Split.UNLABELLED]) // 8


def test_a_calibration_of_another_model_is_refused(split_manifest: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"exam": {"slope": 1.0}}')
    weights, learner = trained / "best.safetensors", OutcomeLearner()
    with pytest.raises(TrainingError, match="corrects exam, which the model does not give"):
        evaluate_model(split_manifest, weights, tmp_path, learner, calibration=tmp_path / "c.json", progress=False)
    with pytest.raises(TrainingError, match="is no calibration"):
        evaluate_model(split_manifest, weights, tmp_path, learner, calibration=tmp_path / "none.json", progress=False)


def assemble(members: list[Path], target: Path) -> torch.nn.Module:
    save_file(load_file(members[0]), target)
    return OutcomeLearner().trained(target)


BLIND, READING = "variables alone", "variables and words"
EXPERIMENT = Experiment(
    parts=(),
    arms=(Arm(BLIND, partial(OutcomeLearner, ()), ships=False), Arm(READING, OutcomeLearner)),
    needed=(READING,),
    compared=((READING, BLIND),),
    shown=("auc", "mrs_mae"),
    claimed=("auc",),
    seats=1,
    assemble=assemble,
    weights="outcome.safetensors",
    words=Words(
        command="python -m somewhere",
        title="Outcome",
        origin="Of these tests.",
        made="Made by `{command}`. {exams} exams of {patients} patients, {positive} of whom died.",
        figures="Figures of two tiny networks.",
        shipped="The weights of {members}.",
        calibration="Log odds times {slope:g} plus {intercept:g}, threshold {threshold:g}.",
        left_out="as they cannot be read",
        cohorts="nowhere",
    ),
    settings=SETTINGS,
)


def test_an_experiment_compares_arms_over_seeds_and_ships_the_best(split_manifest: Path, tmp_path: Path) -> None:
    plan = Plan((1, 2, 3), (BLIND, READING), SETTINGS)
    broken_off = dict(run_arms(split_manifest, tmp_path, EXPERIMENT.arms, replace(plan, seeds=(1,))))
    stamp = (folder_of(tmp_path, (1, READING)) / "best.safetensors").stat().st_mtime_ns
    runs = dict(run_arms(split_manifest, tmp_path, EXPERIMENT.arms, replace(plan, seeds=(1, 2))))
    assert [*runs] == [(1, BLIND), (1, READING), (2, BLIND), (2, READING)]
    assert (folder_of(tmp_path, (1, READING)) / "best.safetensors").stat().st_mtime_ns == stamp
    assert np.array_equal(runs[1, READING]["death_score"], broken_off[1, READING]["death_score"])
    report = summarise(EXPERIMENT, split_manifest, tmp_path, plan, runs)
    figures = json.loads((report.parent / "figures.json").read_text())
    assert [(run["seed"], run["arm"]) for run in figures["shipped"]] == best_runs(tmp_path, runs, EXPERIMENT.arms, 1)
    assert figures["shipped"][0]["arm"] == READING
    assert figures["differences"][f"{READING} minus {BLIND}"]["auc"][0] > 0.05
    assert figures["death"].keys() == {"slope", "intercept", "threshold"}
    text = report.read_text()
    assert f"Not trained, so nothing is said of it: {BLIND} of seed 3, {READING} of seed 3." in text
    assert "the test exams have sensitivity" in text
    assert "| sex (synthetic) | exams | death AUC | mRS: mean absolute error |" in text
    assert not [word for word in NO_LESION if word in text]
    assert (report.parent / "outcome.safetensors").exists()
    assert len((report.parent / "training.csv").read_text().splitlines()) == 1 + 4 * FIT.epochs


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    """Twelve small images, bright where the label is 1."""
    rng, cases = np.random.default_rng(1), []
    splits = [Split.TRAIN] * 6 + [Split.VALIDATION] * 3 + [Split.TEST] * 3
    for k, split in enumerate(splits):
        image = small_nifti(tmp_path / f"{k}.nii", rng.normal(30.0 + 40.0 * (k % 2), 3.0, (4, 8, 8)))
        cases.append(Case(id=f"exam{k}", patient=f"p{k}", image=image, labels={"dense": float(k % 2)}, split=split))
    return write_manifest(tmp_path / "dense.csv", cases)


def unreadable(folder: Path) -> None:
    """Overwrite every image with as many zeros; what a folder says of the files stays the same."""
    for path in folder.glob("*.nii"):
        before = path.stat()
        path.write_bytes(bytes(before.st_size))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_second_training_on_frozen_features_reads_no_image(dense: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, fit=replace(FIT, epochs=2), batch=3, cache=tmp_path / "cache")
    train_model(dense, tmp_path / "first", FeatureLearner(), settings)
    unreadable(tmp_path)
    train_model(dense, tmp_path / "second", FeatureLearner(), settings)
    first, second = (load_file(tmp_path / name / "best.safetensors") for name in ("first", "second"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".safetensors"}
    assert not any(
        case.id in path.name for case in read_manifest(dense).cases for path in (tmp_path / "cache").iterdir()
    )


def test_a_changed_weight_or_image_is_noticed(dense: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, fit=replace(FIT, epochs=1), batch=3, cache=tmp_path / "cache")
    train_model(dense, tmp_path / "first", FeatureLearner(), settings)
    small_nifti(tmp_path / "3.nii", np.full((4, 8, 8), 55.0))
    learner, case = FeatureLearner(), next(case for case in read_manifest(dense).cases if case.id == "exam3")
    assert learner.tensors(case, tmp_path / "cache")["features"].tolist() == pytest.approx([0.55, 0.55])
    unreadable(tmp_path)
    other = FeatureLearner(weight=2.0)
    with pytest.raises(ManifestError) as caught:
        train_model(dense, tmp_path / "second", other, settings)
    assert len(caught.value.faults) == 12


def test_an_image_to_come_is_judged_beside_the_one_that_is_there(tmp_path: Path) -> None:
    rng, cases = np.random.default_rng(2), []
    splits = [Split.TRAIN] * 4 + [Split.VALIDATION] * 2 + [Split.TEST] * 3
    for k, split in enumerate(splits):
        hu = rng.normal(40.0, 10.0, (4, 12, 12))
        image = small_nifti(tmp_path / f"{k}.nii", hu)
        # the follow-up was scanned from another column on, and is brighter
        later = small_nifti(tmp_path / f"{k}-later.nii", 1.2 * hu[:, :, 1:] + 8.0, first_mm=4.0)
        cases.append(Case(id=f"f{k}", patient=f"f{k}", image=image, targets={"followup": later}, split=split))
    manifest = write_manifest(tmp_path / "m.csv", cases)
    assert read_manifest(manifest).cases == tuple(cases)
    fit = FitSettings(epochs=40, learning_rate=0.05, patience=0, device="cpu")
    report = train_model(manifest, tmp_path / "out", FollowUpLearner(), replace(SETTINGS, fit=fit, batch=4))
    figures = report_of(report.parent)["figures"]
    assert figures.keys() == {"mae", "mae_gain", "psnr_db", "ssim"}
    assert figures["mae_gain"]["value"] > 0.0
    results = read_results(report.parent / "results.csv")
    assert figures["mae_gain"]["value"] == pytest.approx(np.mean(results["unchanged_mae"] - results["mae"]))
    assert (report.parent / "error_over_unchanged.png").stat().st_size > 1000
    lacking = write_manifest(tmp_path / "l.csv", [replace(case, targets={}) for case in cases])
    with pytest.raises(ConfigError, match="exam f0 has no target followup, which follow-up needs"):
        train_model(lacking, tmp_path / "l", FollowUpLearner(), SETTINGS)
