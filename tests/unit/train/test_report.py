from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicomnode.errors import ManifestError
from dicomnode.train import statistics
from dicomnode.train.manifest import Case
from dicomnode.train.outputs.figures import differences_of, figures_of, mean_differences
from dicomnode.train.outputs.mask import MaskOutput
from dicomnode.train.outputs.output import figures_of_all, truths_of_all
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.report import About, write_report
from dicomnode.train.results import Results, joined, matched, read_results, results_of, write_results

PLOTS = ["dice_over_volume.png", "reliability.png", "roc.png", "training.png"]
HISTORY = [{"epoch": float(k), "loss": 1.0 / k, "score": 1.0 - 1.0 / k} for k in (1, 2, 3)]


EXAM = Probability("exam")
OUTPUTS = (EXAM, MaskOutput("hemorrhage", EXAM, "no blood"))
FIGURES, TRUTHS = figures_of_all(OUTPUTS), truths_of_all(OUTPUTS)


def table(rows: list[dict[str, float]], patients: list[str] | None = None, groups: list[str] | None = None) -> Results:
    """Exams e0, e1, ... of site B."""
    cases = [
        Case(
            id=f"e{k}",
            patient=patients[k] if patients else f"p{k}",
            site="B",
            groups={"scanner": groups[k]} if groups else {},
        )
        for k in range(len(rows))
    ]
    return results_of(cases, rows)


def exams(seed: int = 1, better: float = 0.0, count: int = 60) -> Results:
    rng = np.random.default_rng(seed)
    made = []
    for k in range(count):
        sick = k % 2
        truth_ml = float(rng.lognormal(1.5, 1.3)) if sick else 0.0
        score = float(np.clip(0.35 + (0.2 + better) * sick + rng.normal(0, 0.2), 0.01, 0.99))
        dice = float(np.clip(rng.normal(0.7 + better, 0.1), 0, 1)) if sick else 0.0
        row = {"label": float(sick), "score": score, "dice": dice, "truth_ml": truth_ml}
        made.append({**row, "marked_ml": truth_ml * 0.9, "false_ml": 0.1, "pixel_precision": dice})
    return table(made, [f"p{k // 2}" for k in range(count)])


def same(a: Results, b: Results) -> bool:
    columns = a.columns.keys() == b.columns.keys() and all(
        np.array_equal(values, b[name], equal_nan=True) for name, values in a.columns.items()
    )
    return columns and (a.ids, a.patients, a.groups) == (b.ids, b.patients, b.groups)


def about(synthetic: bool) -> About:
    return About(title="Haemorrhage", model="student", data="test.csv, test", synthetic=synthetic, resamples=200)


def test_a_report_folder_holds_figures_text_plots_and_the_results(tmp_path: Path) -> None:
    made = exams()
    report = write_report(tmp_path, about(True), made, OUTPUTS, HISTORY)
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["figures"]["auc"]["value"] == statistics.auc(made["label"], made["score"])
    assert content["figures"]["dice"]["value"] == pytest.approx(np.mean(made["dice"][made["label"] == 1]))
    large = made["dice"][made["truth_ml"] >= 1.0]
    assert content["figures"]["dice_large"]["value"] == pytest.approx(np.mean(large))
    assert (content["exams"], content["patients"], content["outputs"]["exam"]["positive"]) == (60, 30, 30)
    assert content["history"] == HISTORY
    assert sorted(path.name for path in tmp_path.glob("*.png")) == PLOTS
    assert same(read_results(tmp_path / "results.csv"), made)
    text = report.read_text()
    auc = statistics.Estimate(**content["figures"]["auc"])
    assert f"| exam AUC | {auc.text()} |" in text
    assert all(f"({name})" in text for name in PLOTS)


@pytest.mark.parametrize("synthetic", [True, False])
def test_every_figure_says_synthetic_where_the_exams_are(tmp_path: Path, synthetic: bool) -> None:
    text = write_report(tmp_path, about(synthetic), exams(), OUTPUTS, HISTORY, ("teacher", exams(2))).read_text()
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
    write_report(tmp_path, about(True), exams(better=0.15), OUTPUTS, other=("teacher", exams()))
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["compared_with"] == "teacher"
    for name in ("auc", "dice", "dice_large", "auc_delong"):
        assert content["differences"][name]["estimate"]["low"] > 0.0
        assert content["differences"][name]["p_value"] < 0.05
    assert content["differences"]["volume_bias_ml"]["estimate"]["value"] == 0.0


def test_the_mean_difference_of_several_trainings_is_the_mean_of_their_differences() -> None:
    pairs = [(exams(seed, better=0.15), exams(seed)) for seed in (1, 1)]
    again = mean_differences(pairs, FIGURES, TRUTHS, seed=1, resamples=200)
    once = differences_of(*pairs[0], FIGURES, TRUTHS, seed=1, resamples=200)
    assert again["dice"] == once["dice"]
    opposite = [(exams(better=0.15), exams()), (exams(), exams(better=0.15))]
    assert mean_differences(opposite, FIGURES, TRUTHS, seed=1, resamples=200)["auc"].estimate.value == pytest.approx(
        0.0
    )


def test_trainings_scored_on_other_exams_have_no_mean_difference() -> None:
    with pytest.raises(ManifestError, match="same exams"):
        mean_differences(
            [(exams(), exams()), (exams(count=40), exams(count=40))], FIGURES, TRUTHS, seed=1, resamples=20
        )


def test_the_auc_of_large_bleeds_passes_over_the_small_ones() -> None:
    missed = {"label": 1.0, "score": 0.0, "truth_ml": 0.5}
    clear = [{"label": float(k), "score": 0.2 + 0.6 * k, "truth_ml": 3.0 * k} for k in (0, 1)]
    figures = figures_of(table([missed, *clear]), FIGURES, seed=1, resamples=20)
    assert figures["auc"].value == 0.5
    assert figures["auc_large"].value == 1.0


def test_one_class_alone_gives_a_report_without_what_is_not_defined(tmp_path: Path) -> None:
    made = exams()
    write_report(tmp_path, about(False), made.taken(np.flatnonzero(made["label"])), OUTPUTS)
    content = json.loads((tmp_path / "report.json").read_text())
    assert "auc" not in content["figures"]
    assert content["outputs"]["exam"] == {"known": 30, "positive": 30}
    assert [path.name for path in tmp_path.glob("*.png")] == ["dice_over_volume.png"]


def test_scalar_results_need_no_masks(tmp_path: Path) -> None:
    made = exams()
    scalar = table(
        [{"label": label, "score": score} for label, score in zip(made["label"], made["score"], strict=True)]
    )
    text = write_report(tmp_path, about(False), scalar, OUTPUTS).read_text()
    assert "Dice" not in text
    assert "calibration slope" in text


def test_a_model_of_another_kind_is_compared_in_what_both_have(tmp_path: Path) -> None:
    made = exams()
    scalar = made.with_columns({})
    del scalar.columns["dice"]  # type: ignore[attr-defined]
    write_report(tmp_path, about(False), made, OUTPUTS, other=("scalar", scalar))
    differences = json.loads((tmp_path / "report.json").read_text())["differences"]
    assert {"auc", "volume_bias_ml"} <= differences.keys()
    assert not {"dice", "dice_large"} & differences.keys()
    nothing = table([{"grade": 1.0} for _ in range(len(made))], list(made.patients))
    write_report(tmp_path, about(False), made, OUTPUTS, other=("grades", nothing))
    assert json.loads((tmp_path / "report.json").read_text())["differences"] == {}


def test_results_that_do_not_match_are_refused(tmp_path: Path) -> None:
    a, (first, second) = exams(), range(2)
    with pytest.raises(ManifestError, match="share no exam"):
        matched(a.taken([first]), a.taken([second]), TRUTHS)
    with pytest.raises(ManifestError, match="e1: the two sets of results differ in its label"):
        matched(a, a.taken([first, second]).with_columns({"label": [0.0, 0.0]}), TRUTHS)
    backwards = a.taken(range(len(a))[::-1])
    assert all(same(found, a) for found in matched(a, backwards, TRUTHS))
    with pytest.raises(ManifestError, match="no table of exam results"):
        read_results(tmp_path / "none.csv")
    (tmp_path / "wrong.csv").write_text("id,score\n1,2\n")
    with pytest.raises(ManifestError, match="no table of exam results"):
        read_results(tmp_path / "wrong.csv")


def test_what_does_not_apply_survives_the_table(tmp_path: Path) -> None:
    made = table([{"label": 1.0, "score": 0.25, "dice": float("nan")}, {"label": 0.0}], groups=["GE", ""])
    write_results(tmp_path / "r.csv", made)
    back = read_results(tmp_path / "r.csv")
    assert same(back, made)
    assert (back["score"][0], back.groups) == (0.25, {"site": ("B", "B"), "scanner": ("GE", "")})
    assert np.isnan([back["dice"][0], back["score"][1]]).all()


def test_results_of_folds_are_joined_and_what_one_lacks_is_not_known() -> None:
    a, b = table([{"label": 1.0}], groups=["GE"]), table([{"label": 0.0, "score": 0.5}])
    both = joined([a, b])
    assert both.groups == {"site": ("B", "B"), "scanner": ("GE", "")}
    assert both["label"].tolist() == [1.0, 0.0]
    assert np.isnan(both["score"][0])


def test_every_column_of_words_with_a_few_of_them_gives_a_table_of_subgroups(tmp_path: Path) -> None:
    made = exams()
    rows = [{name: float(values[k]) for name, values in made.columns.items()} for k in range(len(made))]
    grouped = table(rows, list(made.patients), ["GE" if k < 40 else "Siemens" for k in range(60)])
    text = write_report(tmp_path, about(True), grouped, OUTPUTS).read_text()
    (ge,) = [line for line in text.splitlines() if line.startswith("| GE | ")]
    first = figures_of(grouped.taken(range(40)), FIGURES, 1, 200)
    assert ge.split(" | ")[1:3] == ["40", first["auc"].text(2)]
    assert "| scanner (synthetic) | exams | exam AUC |" in text
    assert "| site (synthetic)" not in text  # all of one site
