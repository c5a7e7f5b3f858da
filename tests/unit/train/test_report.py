from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicomnode.errors import ManifestError
from dicomnode.train import statistics
from dicomnode.train.report import About, differences_of, figures_of, mean_differences, write_report
from dicomnode.train.results import ExamResult, matched, read_results, write_results

PLOTS = ["dice_over_volume.png", "reliability.png", "roc.png", "training.png"]
HISTORY = [{"epoch": float(k), "loss": 1.0 / k, "score": 1.0 - 1.0 / k} for k in (1, 2, 3)]


def exams(seed: int = 1, better: float = 0.0, count: int = 60) -> list[ExamResult]:
    rng = np.random.default_rng(seed)
    made = []
    for k in range(count):
        sick = k % 2
        truth_ml = float(rng.lognormal(1.5, 1.3)) if sick else 0.0
        score = float(np.clip(0.35 + (0.2 + better) * sick + rng.normal(0, 0.2), 0.01, 0.99))
        dice = float(np.clip(rng.normal(0.7 + better, 0.1), 0, 1)) if sick else 0.0
        made.append(
            ExamResult(f"e{k}", f"p{k // 2}", "B", float(sick), score, dice, truth_ml, truth_ml * 0.9, 0.1, dice)
        )
    return made


def about(synthetic: bool) -> About:
    return About(title="Haemorrhage", model="student", data="test.csv, test", synthetic=synthetic, resamples=200)


def test_a_report_folder_holds_figures_text_plots_and_the_results(tmp_path: Path) -> None:
    made = exams()
    report = write_report(tmp_path, about(True), made, HISTORY)
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["figures"]["auc"]["value"] == statistics.auc([e.label for e in made], [e.score for e in made])
    assert content["figures"]["dice"]["value"] == pytest.approx(np.mean([e.dice for e in made if e.label]))
    large = [e.dice for e in made if e.truth_ml >= 1.0]
    assert content["figures"]["dice_large"]["value"] == pytest.approx(np.mean(large))
    assert (content["exams"], content["patients"], content["positive"]) == (60, 30, 30)
    assert content["history"] == HISTORY
    assert sorted(path.name for path in tmp_path.glob("*.png")) == PLOTS
    assert read_results(tmp_path / "results.csv") == made
    text = report.read_text()
    auc = statistics.Estimate(**content["figures"]["auc"])
    assert f"| exam AUC | {auc.text()} |" in text
    assert all(f"({name})" in text for name in PLOTS)


@pytest.mark.parametrize("synthetic", [True, False])
def test_every_figure_says_synthetic_where_the_exams_are(tmp_path: Path, synthetic: bool) -> None:
    text = write_report(tmp_path, about(synthetic), exams(), HISTORY, ("teacher", exams(2))).read_text()
    tables = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    headers = [line for line in tables if text.splitlines()[text.splitlines().index(line) + 1].startswith("| ---")]
    assert len(headers) == 4
    assert all(("synthetic" in line) == synthetic for line in headers)
    assert ("synthetic" in text.splitlines()[0]) == synthetic
    assert all(("synthetic" in line) == synthetic for line in text.splitlines() if line.startswith("!["))
    for name in PLOTS:
        with Image.open(tmp_path / name) as picture:
            assert ("synthetic" in picture.info["Title"]) == synthetic
            assert np.asarray(picture.convert("L")).std() > 5


def test_a_better_model_is_better_in_the_paired_comparison(tmp_path: Path) -> None:
    write_report(tmp_path, about(True), exams(better=0.15), other=("teacher", exams()))
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["compared_with"] == "teacher"
    for name in ("auc", "dice", "dice_large", "auc_delong"):
        assert content["differences"][name]["estimate"]["low"] > 0.0
        assert content["differences"][name]["p_value"] < 0.05
    assert content["differences"]["volume_bias_ml"]["estimate"]["value"] == 0.0


def test_the_mean_difference_of_several_trainings_is_the_mean_of_their_differences() -> None:
    pairs = [(exams(seed, better=0.15), exams(seed)) for seed in (1, 1)]
    again = mean_differences(pairs, seed=1, resamples=200)
    once = differences_of(*pairs[0], seed=1, resamples=200)
    assert again["dice"] == once["dice"]
    opposite = [(exams(better=0.15), exams()), (exams(), exams(better=0.15))]
    assert mean_differences(opposite, seed=1, resamples=200)["auc"].estimate.value == pytest.approx(0.0)


def test_trainings_scored_on_other_exams_have_no_mean_difference() -> None:
    with pytest.raises(ManifestError, match="same exams"):
        mean_differences([(exams(), exams()), (exams(count=40), exams(count=40))], seed=1, resamples=20)


def test_the_auc_of_large_bleeds_passes_over_the_small_ones() -> None:
    missed = ExamResult("small", "p", "B", 1.0, 0.0, 0.0, truth_ml=0.5, marked_ml=0.0)
    clear = [ExamResult(f"{k}", f"q{k}", "B", float(k), 0.2 + 0.6 * k, 0.8, truth_ml=3.0 * k) for k in (0, 1)]
    figures = figures_of([missed, *clear], seed=1, resamples=20)
    assert figures["auc"].value == 0.5
    assert figures["auc_large"].value == 1.0


def test_one_class_alone_gives_a_report_without_what_is_not_defined(tmp_path: Path) -> None:
    sick = [result for result in exams() if result.label]
    write_report(tmp_path, about(False), sick)
    content = json.loads((tmp_path / "report.json").read_text())
    assert "auc" not in content["figures"]
    assert content["calibration"] is None
    assert [path.name for path in tmp_path.glob("*.png")] == ["dice_over_volume.png"]


def test_scalar_results_need_no_masks(tmp_path: Path) -> None:
    scalar = [ExamResult(e.id, e.patient, e.site, e.label, e.score) for e in exams()]
    text = write_report(tmp_path, about(False), scalar).read_text()
    assert "Dice" not in text
    assert "calibration slope" in text


def test_results_that_do_not_match_are_refused(tmp_path: Path) -> None:
    a = exams()
    with pytest.raises(ManifestError, match="share no exam"):
        matched(a, [replace(a[0], id="other")])
    with pytest.raises(ManifestError, match="e1: the two sets"):
        matched(a, [a[0], replace(a[1], label=0.0)])
    assert matched(a, a[::-1]) == (a, a)
    with pytest.raises(ManifestError, match="no table of exam results"):
        read_results(tmp_path / "none.csv")
    (tmp_path / "wrong.csv").write_text("id,score\n1,2\n")
    with pytest.raises(ManifestError, match="no table of exam results"):
        read_results(tmp_path / "wrong.csv")


def test_what_does_not_apply_survives_the_table(tmp_path: Path) -> None:
    write_results(tmp_path / "r.csv", [ExamResult("e", "p", "", 1.0, 0.25)])
    (back,) = read_results(tmp_path / "r.csv")
    assert (back.id, back.label, back.score) == ("e", 1.0, 0.25)
    assert np.isnan(back.dice)
