"""What each kind of output says of hand-made results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from dicomnode.train import agreement, statistics
from dicomnode.train.calibrate import told_out_of_fold
from dicomnode.train.manifest import Case
from dicomnode.train.outputs.figures import by_group, by_range, differences_of, figures_of
from dicomnode.train.outputs.image import ImageOutput
from dicomnode.train.outputs.mask import MaskOutput, mask_measures
from dicomnode.train.outputs.output import figures_of_all, truths_of_all
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.outputs.value import Value
from dicomnode.train.results import Results, results_of

NAN = float("nan")


def results(**columns: list[float]) -> Results:
    """Exams of as many patients, with these columns."""
    count = len(next(iter(columns.values())))
    cases = [Case(id=f"e{k}", patient=f"p{k}", groups={"sex": "FM"[k % 2]}) for k in range(count)]
    return results_of(cases, [{name: values[k] for name, values in columns.items()} for k in range(count)])


def graded(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 7, count).astype(float)
    return truth, truth + rng.normal(0.4, 1.0, count)


def test_agreement_of_grades_is_that_of_scikit_learn() -> None:
    truth, given = graded()
    theirs = metrics.cohen_kappa_score(truth, np.clip(np.rint(given), -9, 9), weights="quadratic", labels=range(-9, 10))
    assert agreement.weighted_kappa(truth, given) == pytest.approx(theirs)
    assert agreement.mean_absolute_error(truth, given) == pytest.approx(metrics.mean_absolute_error(truth, given))
    slope, intercept = agreement.regression(truth, given)
    assert np.allclose(np.polyfit(given, truth, 1), (slope, intercept))
    assert np.isnan(agreement.weighted_kappa(np.ones(3), np.ones(3)))
    assert np.isnan(agreement.correlation(np.ones(3), np.arange(3.0)))


def test_a_value_is_judged_where_it_is_known_and_corrected_to_the_line() -> None:
    grade = Value("mRS", "mrs", "given", ordinal=True)
    truth, given = graded()
    made = results(mrs=[NAN, *truth], given=[9.0, *given])
    figures = figures_of(made, grade.figures, seed=1, resamples=50)
    assert figures["bias"].value == pytest.approx((given - truth).mean())
    assert figures["rank_correlation"].low < figures["rank_correlation"].value < figures["rank_correlation"].high
    correction = grade.calibration(made)
    assert correction is not None
    corrected = grade.calibrated(made, correction)
    account = grade.account(corrected)
    assert account.content["known"] == 60
    straight = account.content["mRS, calibrated"]
    assert isinstance(straight, dict)
    assert (straight["slope"], straight["intercept"]) == pytest.approx((1.0, 0.0), abs=1e-9)
    assert grade.calibration(results(mrs=[0.0, 1.0], given=[2.0, 1.0])) is None


def test_the_limits_of_agreement_hold_95_percent_of_normal_differences() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(50.0, 10.0, 4000)
    given = truth + rng.normal(2.0, 3.0, 4000)
    low, high = agreement.limits_of_agreement(truth, given)
    assert (low, high) == pytest.approx((2.0 - 1.96 * 3.0, 2.0 + 1.96 * 3.0), abs=0.2)


def test_a_probability_passes_over_unknown_labels_and_folds_correct_each_other() -> None:
    death, rng = Probability("death", "death", "p", "death_"), np.random.default_rng(2)
    folds = []
    for _ in range(2):
        logits = rng.normal(0.0, 1.0, 200)
        labels = (rng.random(200) < 1 / (1 + np.exp(-logits))).astype(float)
        # three times too sure of itself
        folds.append(results(death=[*labels, NAN], p=[*(1 / (1 + np.exp(-3.0 * logits))), 0.5]))
    for corrected in told_out_of_fold(folds, [death]):
        raw, told = (statistics.calibration(*death.pairs(corrected, ending)) for ending in ("", "_calibrated"))
        assert raw.slope < 0.5
        assert told.slope == pytest.approx(1.0, abs=0.35)
        assert told.brier < raw.brier
    assert figures_of(folds[0], death.figures, 1, 20).keys() == {"death_auc"}
    assert death.account(folds[0]).content["known"] == 200


def test_the_measures_of_a_hand_made_mask() -> None:
    truth = np.zeros((2, 2, 2), bool)
    truth[0, 0] = True
    probability = np.zeros((2, 2, 2), np.float32)
    probability[0, :, 0] = 0.9
    row = mask_measures(truth, probability, 0.5, [2.0, 3.0], prefix="clot_")
    assert row["clot_dice"] == 0.5
    assert (row["clot_truth_ml"], row["clot_marked_ml"], row["clot_false_ml"]) == (4.0, 4.0, 2.0)
    assert row["clot_pixel_precision"] == pytest.approx(
        metrics.average_precision_score(truth.ravel(), probability.ravel())
    )
    assert mask_measures(None, probability, 0.5, [2.0, 3.0]) == {"marked_ml": 4.0}


def test_the_measures_of_a_hand_made_image() -> None:
    truth = np.zeros((2, 16, 16), np.float32)
    truth[:, 4:12, 4:12] = 50.0
    inside = np.zeros(truth.shape, bool)
    inside[:, 4:12, 4:12] = True
    near = agreement.image_measures(truth, truth + 10.0 * inside, inside, 100.0)
    assert near["mae"] == pytest.approx(10.0)
    assert near["psnr_db"] == pytest.approx(20.0)
    assert 0.5 < near["ssim"] < 1.0
    same = agreement.image_measures(truth, truth, inside, 100.0)
    assert (same["mae"], same["psnr_db"]) == (0.0, float("inf"))
    assert same["ssim"] == pytest.approx(1.0, abs=1e-5)


def test_two_models_are_compared_in_every_kind_of_output(tmp_path: Path) -> None:
    exam, rng = Probability("exam"), np.random.default_rng(5)
    outputs = (exam, MaskOutput("clot", exam), Value("grade", "grade", "given"), ImageOutput("later", prefix="later_"))
    labels, grades = rng.integers(0, 2, 40).astype(float), rng.normal(5.0, 2.0, 40)

    def model(noise: float) -> Results:
        drawn = np.abs(rng.normal(noise, 0.05, 40))
        columns = {"label": labels, "score": labels * 0.3 + 0.35 + rng.normal(0, noise, 40), "truth_ml": labels * 5.0}
        columns |= {"dice": 1.0 - drawn, "marked_ml": labels * 5.0 + drawn, "false_ml": drawn}
        columns |= {"pixel_precision": 1.0 - drawn, "grade": grades, "given": grades + rng.normal(0, noise, 40)}
        columns |= {"later_mae": drawn, "later_unchanged_mae": np.ones(40), "later_psnr_db": 30.0 - drawn}
        return results(**{name: list(values) for name, values in columns.items()}, later_ssim=list(1.0 - drawn))

    good, bad = model(0.1), model(0.5)
    found = differences_of(good, bad, figures_of_all(outputs), truths_of_all(outputs), seed=1, resamples=100)
    for key in (
        "auc",
        "auc_large",
        "dice",
        "dice_large",
        "pixel_precision",
        "correlation",
        "later_mae_gain",
        "later_ssim",
    ):
        assert found[key].estimate.low > 0.0, key
        assert found[key].p_value < 0.05, key
    assert all(found[key].estimate.high < 0.0 for key in ("mae", "later_mae", "false_ml"))
    drawn = [name for output in outputs for name in output.draw(tmp_path, {"good": good, "bad": bad}, True)]
    assert drawn == [
        "roc.png",
        "reliability.png",
        "dice_over_volume.png",
        "given_over_true.png",
        "later_error_over_unchanged.png",
    ]
    assert all((tmp_path / name).stat().st_size > 5000 for name in drawn)


def test_exams_fall_into_groups_of_a_word_or_of_a_range() -> None:
    made = results(age=[40.0, 60.0, 60.5, 80.0, NAN])
    assert {word: part.ids for word, part in by_group(made, "sex").items()} == {
        "F": ("e0", "e2", "e4"),
        "M": ("e1", "e3"),
    }
    assert by_group(made, "scanner") == {}
    assert {edges: part.ids for edges, part in by_range(made, "age", (0.0, 60.0, 70.0, 75.0, 90.0)).items()} == {
        (0.0, 60.0): ("e0", "e1"),
        (60.0, 70.0): ("e2",),
        (75.0, 90.0): ("e3",),
    }


def _judged(cohorts: tuple[str, ...]) -> Results:
    names = tuple(f"e{k}" for k in range(len(cohorts)))
    columns = {"label": np.array([0.0, 1.0, 0.0, 1.0]), "score": np.array([0.2, 0.9, 0.4, 0.6])}
    return Results(names, names, {"cohort": cohorts}, columns)


def test_a_report_of_the_second_cohort_says_what_could_be_known_from_which_channels() -> None:
    account = Probability("deterioration").account(_judged(("2", "2", "2", "2")))
    best = account.content["attainable_auc"]
    assert best["text+variables"] < best["oracle"]
    rows = dict(account.sections[0].rows)
    assert rows["text+variables"] == f"{best['text+variables']:.3f}"


def test_nothing_is_said_of_what_could_be_known_of_other_exams() -> None:
    for cohorts in (("2", "2", "2", "1"), ("", "", "", "")):
        assert Probability("deterioration").account(_judged(cohorts)).content["attainable_auc"] == {}
    assert Probability("mortality").account(_judged(("2", "2", "2", "2"))).content["attainable_auc"] == {}
