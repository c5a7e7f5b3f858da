from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn import linear_model, metrics

from dicomnode.train import statistics as s


def noisy(seed: int, count: int = 120, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.4).astype(float)
    scores = special.expit(rng.normal(size=count) + 1.2 * labels - 0.6)
    return labels, np.round(scores, 1) if ties else scores


def test_the_auc_of_a_hand_made_list_counts_ties_half() -> None:
    # pairs (positive, negative): 0.8>0.4, 0.8>0.1, 0.4=0.4, 0.4>0.1 -> 3.5 of 4
    assert s.auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8]) == 0.875
    assert s.auc([0, 1], [0.9, 0.1]) == 0.0
    assert s.auc([0, 1, 1], [0.5, 0.5, 0.5]) == 0.5
    assert np.isnan(s.auc([1, 1], [0.1, 0.2]))


@pytest.mark.parametrize("ties", [False, True])
def test_auc_average_precision_and_roc_agree_with_scikit_learn(ties: bool) -> None:
    labels, scores = noisy(1, ties=ties)
    assert s.auc(labels, scores) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
    assert s.average_precision(labels, scores) == pytest.approx(
        metrics.average_precision_score(labels, scores), abs=1e-12
    )
    assert s.brier(labels, scores) == pytest.approx(metrics.brier_score_loss(labels, scores), abs=1e-12)
    for mine, theirs in zip(
        s.roc_curve(labels, scores), metrics.roc_curve(labels, scores, drop_intermediate=False), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_auc_is_the_share_of_ordered_pairs(pairs: list[tuple[bool, int]]) -> None:
    labels, scores = [float(label) for label, _ in pairs], [float(score) for _, score in pairs]
    won = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p, a in zip(scores, labels, strict=True)
        for n, b in zip(scores, labels, strict=True)
        if a == 1 and b == 0
    ]
    found = s.auc(labels, scores)
    assert np.isnan(found) if not won else found == pytest.approx(np.mean(won))


def test_dice_of_small_masks() -> None:
    assert s.dice([1, 1, 0, 0], [0, 1, 1, 0]) == 0.5
    assert s.dice([1, 1], [1, 1]) == 1.0
    assert s.dice([1, 0], [0, 1]) == 0.0
    assert np.isnan(s.dice([0, 0], [0, 0]))


def test_average_precision_of_a_hand_made_list() -> None:
    # thresholds 0.9, 0.8, 0.7: recall 1/2, 1/2, 1; precision 1, 1/2, 2/3 -> 1/2 + 1/2 * 2/3
    assert s.average_precision([1, 0, 1], [0.9, 0.8, 0.7]) == pytest.approx(5 / 6)
    assert np.isnan(s.average_precision([0, 0], [0.1, 0.2]))


def test_calibration_agrees_with_an_unpenalised_logistic_regression() -> None:
    labels, scores = noisy(2, 400)
    logits = special.logit(scores)
    model = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits[:, None], labels)
    found = s.calibration(labels, scores)
    assert found.slope == pytest.approx(model.coef_[0, 0], abs=1e-4)
    # in the large: the mean of the shifted probabilities is the observed share
    assert special.expit(logits + found.intercept).mean() == pytest.approx(labels.mean(), abs=1e-9)


def test_calibration_finds_the_distortion_that_was_put_in() -> None:
    rng = np.random.default_rng(3)
    true_logits = rng.normal(0.0, 1.5, 60_000)
    labels = (rng.random(60_000) < special.expit(true_logits)).astype(float)
    ideal = s.calibration(labels, special.expit(true_logits))
    assert (ideal.slope, ideal.intercept) == (pytest.approx(1.0, abs=0.03), pytest.approx(0.0, abs=0.03))
    assert s.calibration(labels, special.expit(2.0 * true_logits)).slope == pytest.approx(0.5, abs=0.02)
    assert s.calibration(labels, special.expit(true_logits - 0.7)).intercept == pytest.approx(0.7, abs=0.03)


def test_calibration_without_both_classes_or_with_classes_apart_is_not_defined() -> None:
    one_class = s.calibration([1, 1], [0.6, 0.7])
    assert one_class.brier == pytest.approx((0.16 + 0.09) / 2)
    assert np.isnan(one_class.slope)
    assert np.isnan(s.calibration([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]).slope)


def test_reliability_bins_hold_all_exams_and_their_observed_share() -> None:
    labels, scores = noisy(4, 200)
    mean, share, count = s.reliability_curve(labels, scores, bins=5)
    assert count.tolist() == [40, 40, 40, 40, 40]
    assert (share * count).sum() == labels.sum()
    assert (mean * count).sum() == pytest.approx(scores.sum())
    mean, share, count = s.reliability_curve([0, 1, 1], [0.5, 0.5, 0.5])
    assert (mean.tolist(), share.tolist(), count.tolist()) == ([0.5], [pytest.approx(2 / 3)], [3.0])


def test_operating_points_of_a_hand_made_list() -> None:
    labels, scores = [0, 0, 0, 1, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    youden = s.youden_point(labels, scores)
    # at 0.6: 3/4 + 4/4; at 0.4: 4/4 + 3/4; the higher threshold is taken
    assert (youden.threshold, youden.sensitivity, youden.specificity) == (0.6, 0.75, 1.0)
    sensitive = s.sensitivity_point(labels, scores, 0.95)
    assert (sensitive.threshold, sensitive.sensitivity, sensitive.specificity) == (0.4, 1.0, 0.75)
    assert sensitive.positive_predictive_value == pytest.approx(4 / 5)
    assert sensitive.negative_predictive_value == 1.0


def test_the_bootstrap_interval_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(5).normal(3.0, 2.0, 400)
    estimate, _ = s.bootstrap(lambda i: float(values[i].mean()), range(400), seed=1)
    error = values.std(ddof=1) / 20.0
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert estimate.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_exams_of_one_patient_are_drawn_together_and_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(6).normal(size=60), 10)
    width = {}
    for name, patients in (("exam", list(range(600))), ("patient", [i // 10 for i in range(600)])):
        estimate, _ = s.bootstrap(lambda i: float(values[i].mean()), patients, seed=1, resamples=800)
        width[name] = estimate.high - estimate.low
    assert width["patient"] == pytest.approx(np.sqrt(10) * width["exam"], rel=0.15)


def test_the_bootstrap_is_the_same_for_the_same_seed() -> None:
    labels, scores = noisy(7)
    found = [
        s.bootstrap(lambda i: s.auc(labels[i], scores[i]), range(120), seed=k, resamples=200)[0] for k in (1, 1, 2)
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_the_paired_comparison_sees_what_two_separate_intervals_hide() -> None:
    rng = np.random.default_rng(8)
    b = rng.normal(0.7, 0.2, 100)
    a = b + rng.normal(0.02, 0.02, 100)

    def mean(values: np.ndarray, i: np.ndarray) -> float:
        return float(values[i].mean())

    difference = s.compare(mean, a, b, range(100), seed=1)
    separate, _ = s.bootstrap(lambda i: mean(b, i), range(100), seed=1)
    assert difference.estimate.low > 0.0
    assert difference.p_value < 0.01
    assert separate.low < a.mean() < separate.high
    same = s.compare(mean, b, b, range(100), seed=1, resamples=100)
    assert (same.estimate.value, same.p_value) == (0.0, 1.0)


def test_delong_agrees_with_the_definition_over_all_pairs() -> None:
    labels, a = noisy(9, 50, ties=True)
    b = np.round(np.clip(a + np.random.default_rng(10).normal(0, 0.25, 50), 0, 1), 1)

    def components(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gap = scores[labels == 1][:, None] - scores[labels == 0][None]
        won = (gap > 0) + 0.5 * (gap == 0)
        return won.mean(axis=1), won.mean(axis=0)

    (a10, a01), (b10, b01) = components(a), components(b)
    variance = np.var(a10 - b10, ddof=1) / len(a10) + np.var(a01 - b01, ddof=1) / len(a01)
    found = s.delong(labels, a, b)
    assert found.estimate.value == pytest.approx(s.auc(labels, a) - s.auc(labels, b), abs=1e-12)
    assert found.estimate.high - found.estimate.value == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-6)
    z = found.estimate.value / np.sqrt(variance)
    assert found.p_value == pytest.approx(special.erfc(abs(z) / np.sqrt(2)), rel=1e-9)
    assert s.delong(labels, a, a).p_value == 1.0
    lonely = s.delong([1, 0, 0], [0.9, 0.1, 0.2], [0.1, 0.9, 0.0])
    assert lonely.estimate.text() == "0.500 (interval not defined)"
    assert np.isnan(lonely.p_value)


def test_delong_and_the_paired_bootstrap_tell_the_same() -> None:
    labels, a = noisy(11, 300)
    b = np.clip(a + np.random.default_rng(12).normal(0, 0.15, 300), 0, 1)
    by_bootstrap = s.compare(lambda v, i: s.auc(labels[i], v[i]), a, b, range(300), seed=1, resamples=1000)
    by_delong = s.delong(labels, a, b)
    assert by_bootstrap.estimate.low == pytest.approx(by_delong.estimate.low, abs=0.006)
    assert by_bootstrap.estimate.high == pytest.approx(by_delong.estimate.high, abs=0.006)


@pytest.mark.parametrize(
    ("labels", "scores", "says"),
    [([0, 2], [0.1, 0.2], "not all 0 or 1"), ([0, 1], [0.1, np.nan], "not all finite"), ([0, 1], [0.1], "not two")],
)
def test_lists_that_cannot_be_judged_are_refused(labels: list[float], scores: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        s.auc(labels, scores)


def test_an_estimate_reads_as_a_figure_with_its_interval() -> None:
    assert s.Estimate(0.9123, 0.8741, 0.9428).text() == "0.912 (0.874 to 0.943)"
    assert s.Estimate(float("nan"), 0.0, 1.0).text() == "not defined"


def test_an_overconfident_score_is_drawn_back_to_what_happens() -> None:
    rng = np.random.default_rng(5)
    true_log_odds = rng.normal(0.0, 1.5, 4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(-true_log_odds))
    shown = 1 / (1 + np.exp(-(4.0 * true_log_odds + 2.0)))
    slope, intercept = s.platt(labels, shown)
    assert slope == pytest.approx(0.25, rel=0.1)
    assert intercept == pytest.approx(-0.5, abs=0.15)


def test_a_score_that_parts_the_classes_gets_a_finite_slope() -> None:
    slope, intercept = s.platt([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    assert 0.0 < slope < 10.0
    assert intercept == pytest.approx(0.0, abs=1e-6)
