"""The commands as a person types them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dicomnode.cli.main import app
from dicomnode.cohort.make import make_cohort
from dicomnode.train.manifest import Split, write_manifest
from tests.unit.train.heads import acquired_head, nifti_of, write_nifti_exam

REPOSITORY = Path(__file__).parents[2]
WEIGHTS = REPOSITORY / "dicomnode" / "zoo" / "hemorrhage" / "bundle" / "models" / "model.safetensors"


@pytest.fixture(scope="module")
def exams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of one exam to train on, one to validate, one to test, one without labels, and one that is no head."""
    folder = tmp_path_factory.mktemp("exams")
    sick, healthy = acquired_head(20, 40.0), acquired_head(21)
    cases = [write_nifti_exam(head, folder, name) for name, head in (("t", sick), ("v", sick), ("x", healthy))]
    air = nifti_of(np.full(sick.hu.shape, -1000, np.int16), sick, folder / "air.nii.gz")
    splits = [Split.TRAIN, Split.VALIDATION, Split.TEST, Split.UNLABELLED, Split.TRAIN]
    cases += [replace(cases[0], id="u", patient="u", masks={}), replace(cases[0], id="air", patient="air", image=air)]
    return write_manifest(folder / "m.csv", [replace(c, split=s) for c, s in zip(cases, splits, strict=True)])


def test_every_option_of_train_reaches_the_training(exams: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["-m", str(exams), "-o", str(out), "--teacher", str(WEIGHTS), "--skip-unusable", "--device", "cpu"]
    numbers = {"epochs": 1, "steps": 2, "batch": 4, "rate": 1e-6, "patience": 3, "seed": 5, "workers": 1}
    for name, value in numbers.items():
        options += [f"--{name}", str(value)]
    called = CliRunner().invoke(app, ["train", "hemorrhage", *options])
    assert called.exit_code == 0, called.output
    settings = json.loads((out / "report" / "report.json").read_text())["about"]["settings"]
    fit = settings["fit"]
    assert {name: settings[name] for name in ("steps", "batch", "workers")} == {"steps": 2, "batch": 4, "workers": 1}
    assert (fit["epochs"], fit["learning_rate"], fit["patience"], fit["seed"]) == (1, 1e-6, 3, 5)
    assert (settings["teacher"], settings["ranked_share"], settings["folds"]) == (str(WEIGHTS), 0.1, 0)
    assert (settings["skip_unusable"], fit["device"]) == (True, "cpu")
    assert "exam air" in (out / "left-out.txt").read_text()
    assert (out / "best.safetensors").exists()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder / "cohort", 2, 5, progress=False, arm="ich", matrix=160, formats=("dicom",), version="1")
    called = CliRunner().invoke(
        app, ["manifest", "import", "cohort", str(folder / "cohort"), "--out", str(folder / "manifest.csv")]
    )
    assert called.exit_code == 0, called.output
    assert "synthetic, no person was scanned" in called.output
    return folder / "manifest.csv"


def test_check_counts_exams_and_says_synthetic(manifest: Path) -> None:
    called = CliRunner().invoke(app, ["manifest", "check", str(manifest)])
    assert called.exit_code == 0
    assert called.output.startswith("2 exams of 2 patients (")
    assert "synthetic" in called.output


def test_check_says_what_a_model_needs_and_an_exam_lacks(manifest: Path, tmp_path: Path) -> None:
    (bare := tmp_path / "bare.csv").write_text("id,patient\na,p\n")
    found = [CliRunner().invoke(app, ["manifest", "check", str(m), "--model", "hemorrhage"]) for m in (manifest, bare)]
    assert [called.exit_code for called in found] == [0, 2]
    assert "bare.csv: exam a has no image, which hemorrhage needs" in found[1].output


def test_evaluate_writes_its_report_where_it_says(manifest: Path, tmp_path: Path) -> None:
    options = ["-m", str(manifest), "-w", str(WEIGHTS), "-o", str(tmp_path / "report"), "--split", "all"]
    called = CliRunner().invoke(app, ["evaluate", "hemorrhage", *options])
    assert called.exit_code == 0, called.output
    report = tmp_path / "report" / "report.md"
    assert called.output.splitlines()[-1] == str(report)
    assert json.loads(report.with_suffix(".json").read_text())["exams"] == 2


def test_wrong_calls_end_with_2_and_every_fault(manifest: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("id,patient,image,split\na,p,gone.nii,train\na,p,away.nii,test\n")
    for call in (["manifest", "check", str(wrong)], ["train", "hemorrhage", "-m", str(wrong), "-o", str(tmp_path)]):
        called = CliRunner().invoke(app, call)
        assert called.exit_code == 2
        for part in ("no gone.nii", "no away.nii", "a stands already in line 2", "patient p stands in 2 splits"):
            assert part in called.output
    model = CliRunner().invoke(app, ["train", "tumour", "-m", str(manifest), "-o", str(tmp_path)])
    assert (model.exit_code, "there is no model 'tumour'" in model.output) == (2, True)
    split = CliRunner().invoke(app, ["evaluate", "hemorrhage", "-m", "x", "-w", "x", "-o", "x", "--split", "dev"])
    assert (split.exit_code, "--split dev" in split.output) == (2, True)


def test_weights_that_do_not_fit_end_with_1(manifest: Path, tmp_path: Path) -> None:
    options = ["-m", str(manifest), "-w", str(WEIGHTS), "-o", str(tmp_path), "--split", "all"]
    called = CliRunner().invoke(app, ["evaluate", "hemorrhage-paper", *options])
    assert called.exit_code == 1
    assert "cannot be loaded" in called.output


def test_the_guide_names_only_commands_and_options_that_exist() -> None:
    lines = (REPOSITORY / "docs" / "training.md").read_text().splitlines()
    calls = [line.split()[1:] for line in lines if line.startswith("dicomnode ")]
    assert len(calls) >= 9
    for call in calls:
        words = call[:2] if call[0] in ("manifest", "cohort") else call[:1]
        shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
        assert shown.exit_code == 0, call
        for option in (word for word in call if word.startswith("--")):
            assert option in shown.output, (call, option)
