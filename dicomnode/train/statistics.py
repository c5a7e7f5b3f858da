"""Figures of an evaluation, each with its definition; no figure depends on the order of the exams.

References: Hanley and McNeil, Radiology 1982;143:29 (AUC); DeLong et al., Biometrics 1988;44:837; Efron and Tibshirani,
An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval); Cox, Biometrika 1958;45:562 and Steyerberg,
Clinical Prediction Models, chapter 15 (calibration slope and intercept); Brier, Mon Weather Rev 1950;78:1.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Floats = NDArray[np.float64]
RESAMPLES = 2000
COVERAGE = 0.95
LOGIT_LIMIT = 1e-6
"""Probabilities are kept this far from 0 and 1 before a logit is taken."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 3) -> str:
        """Such as ``0.912 (0.874 to 0.943)``."""
        if np.isnan(self.value):
            return "not defined"
        if np.isnan(self.low):
            return f"{self.value:.{digits}f} (interval not defined)"
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True, slots=True)
class Difference:
    """A minus B on the same exams.

    Attributes
    ----------
    p_value : two-sided; that the difference is zero.
    """

    estimate: Estimate
    p_value: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a threshold gives; an exam is called positive where its score is at least the threshold."""

    threshold: float
    sensitivity: float
    specificity: float
    positive_predictive_value: float
    negative_predictive_value: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Agreement of probabilities with outcomes.

    Attributes
    ----------
    brier : mean squared difference of probability and outcome.
    slope : of logit(outcome) on logit(probability), 1 when ideal, below 1 when predictions are too extreme.
    intercept : calibration in the large: offset of the logits at slope 1, 0 when ideal; NaN as ``slope`` when only one
        class is present.
    """

    brier: float
    slope: float
    intercept: float


def _binary(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    truth, values = np.asarray(labels, dtype=float), np.asarray(scores, dtype=float)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"labels {truth.shape} and scores {values.shape} are not two equal lists")
    if not np.isin(truth, (0.0, 1.0)).all():
        raise ValueError("labels are not all 0 or 1")
    if not np.isfinite(values).all():
        raise ValueError("scores are not all finite")
    return truth == 1.0, values


def midranks(values: Floats) -> Floats:
    """Rank of each value from 1, the mean rank for equal ones; SciPy's takes three times as long on few values.

    >>> midranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2.0)[place], np.float64)


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: chance that a positive scores above a negative, ties counting half; NaN without both.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    truth, values = _binary(labels, scores)
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return float("nan")
    ranks = midranks(values)
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """(points,) false positive rate, true positive rate, threshold; from nothing called (threshold inf) to all."""
    truth, values = _binary(labels, scores)
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    hits, alarms = np.cumsum(truth)[last_of_tie], np.cumsum(~truth)[last_of_tie]
    rates = [np.append(0.0, counts / max(counts[-1], 1)) for counts in (alarms, hits)]
    return rates[0], rates[1], np.append(np.inf, values[last_of_tie])


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Sum over thresholds of (recall step) x precision, without interpolation; NaN without a positive.

    For pixels: ``labels`` the flattened truth, ``scores`` the flattened probability map.
    """
    truth, values = _binary(labels, scores)
    if not truth.any():
        return float("nan")
    # below the last positive nothing changes any more; of millions of voxels few are left to be sorted
    used = values >= values[truth].min()
    truth, values = truth[used], values[used]
    order = np.argsort(-values)
    truth, values = truth[order], values[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    hits = np.cumsum(truth)[last_of_tie]
    precision, recall = hits / (last_of_tie + 1), hits / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def dice(truth: ArrayLike, marked: ArrayLike) -> float:
    """2 |A and B| / (|A| + |B|) of two masks; NaN when both are empty."""
    a, b = np.asarray(truth, dtype=bool), np.asarray(marked, dtype=bool)
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else float("nan")


def brier(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared difference of probability and outcome; lower is better."""
    truth, values = _binary(labels, probabilities)
    return float(np.mean((values - truth) ** 2))


def calibration(labels: ArrayLike, probabilities: ArrayLike) -> Calibration:
    """Brier score, slope and intercept by unpenalised logistic regression (Newton's method)."""
    truth, values = _binary(labels, probabilities)
    if truth.all() or not truth.any():
        return Calibration(brier(labels, probabilities), float("nan"), float("nan"))
    logits = special.logit(np.clip(values, LOGIT_LIMIT, 1.0 - LOGIT_LIMIT))
    both = _logistic_fit(np.stack([np.ones_like(logits), logits], axis=1), truth, np.zeros_like(logits))
    offset = _logistic_fit(np.ones((len(logits), 1)), truth, logits)
    return Calibration(brier(labels, probabilities), float(both[1]), float(offset[0]))


def platt(labels: ArrayLike, probabilities: ArrayLike) -> tuple[float, float]:
    """Slope and intercept that turn the log odds of a model into those of what happens (Platt 1999).

    Platt's targets, a little short of 0 and 1, give a finite answer also where a score parts the classes.
    """
    truth, values = _binary(labels, probabilities)
    logits = special.logit(np.clip(values, LOGIT_LIMIT, 1.0 - LOGIT_LIMIT))
    positive, negative = np.count_nonzero(truth), np.count_nonzero(~truth)
    target = np.where(truth, (positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0))
    design = np.stack([np.ones_like(logits), logits], axis=1)
    intercept, slope = _logistic_fit(design, target, np.zeros_like(logits))
    return float(slope), float(intercept)


def _logistic_fit(design: Floats, truth: NDArray[np.bool_] | Floats, offset: Floats) -> Floats:
    """(columns,) maximum likelihood coefficients; NaN where there is no maximum (classes fully apart)."""
    beta: Floats = np.zeros(design.shape[1])
    for _ in range(50):
        p: Floats = special.expit(design @ beta + offset)
        weight = p * (1.0 - p)
        information = design.T @ (design * weight[:, None])
        try:
            step = np.linalg.solve(information, design.T @ (truth - p))
        except np.linalg.LinAlgError:
            break
        # Newton may overshoot far from the maximum
        beta += np.clip(step, -5.0, 5.0)
        if np.abs(step).max() < 1e-10:
            return beta
    return np.full(design.shape[1], np.nan)


def reliability_curve(labels: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> tuple[Floats, Floats, Floats]:
    """(used bins,) mean probability, observed share, count; bins hold equally many exams, ties kept together."""
    truth, values = _binary(labels, probabilities)
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, bins + 1)))
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
    used = np.unique(place)
    count = np.array([np.count_nonzero(place == k) for k in used], dtype=float)
    mean = np.array([values[place == k].mean() for k in used])
    share = np.array([truth[place == k].mean() for k in used])
    return mean, share, count


def operating_point(labels: ArrayLike, scores: ArrayLike, threshold: float) -> OperatingPoint:
    """Sensitivity, specificity and predictive values where scores of at least ``threshold`` are called positive."""
    truth, values = _binary(labels, scores)
    called = values >= threshold
    return OperatingPoint(
        threshold=float(threshold),
        sensitivity=_share(called & truth, truth),
        specificity=_share(~called & ~truth, ~truth),
        positive_predictive_value=_share(called & truth, called),
        negative_predictive_value=_share(~called & ~truth, ~called),
    )


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    count = int(np.count_nonzero(whole))
    return int(np.count_nonzero(part)) / count if count else float("nan")


def youden_point(labels: ArrayLike, scores: ArrayLike) -> OperatingPoint:
    """The threshold with the largest sensitivity + specificity - 1; of equals, the highest threshold."""
    alarms, hits, thresholds = roc_curve(labels, scores)
    return operating_point(labels, scores, thresholds[1:][np.argmax((hits - alarms)[1:])])


def sensitivity_point(labels: ArrayLike, scores: ArrayLike, sensitivity: float = 0.95) -> OperatingPoint:
    """The highest threshold that reaches a sensitivity."""
    _, hits, thresholds = roc_curve(labels, scores)
    return operating_point(labels, scores, thresholds[1:][np.argmax(hits[1:] >= sensitivity - 1e-12)])


def bootstrap(
    figure: Callable[[NDArray[np.intp]], float],
    patients: Sequence[Hashable],
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[Estimate, Floats]:
    """Percentile bootstrap that draws patients, each with all the exams, with replacement.

    Parameters
    ----------
    figure : indices of exams -> the figure; NaN where it is not defined (such as an AUC without positives).
    patients : of each exam.

    Returns
    -------
    The figure on all exams with its 95 % interval, and the figure of each resample in which it is defined.
    """
    exams, counts = _by_patient(patients)
    starts, rng, values = np.cumsum(counts) - counts, np.random.default_rng(seed), np.empty(resamples)
    for k in range(resamples):
        drawn = rng.integers(len(counts), size=len(counts))
        many = counts[drawn]
        # exam after exam of the first patient that was drawn, of the second, ...
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        values[k] = figure(exams[np.repeat(starts[drawn], many) + within])
    values = values[np.isfinite(values)]
    whole = figure(np.arange(len(patients)))
    if not len(values) or not np.isfinite(whole):
        return Estimate(whole, float("nan"), float("nan")), values
    low, high = np.quantile(values, [(1.0 - COVERAGE) / 2, (1.0 + COVERAGE) / 2])
    return Estimate(whole, float(low), float(high)), values


def _by_patient(patients: Sequence[Hashable]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(exams,) indices of all exams, patient after patient as they first come, and (patients,) how many each has."""
    groups: dict[Hashable, list[int]] = {}
    for index, patient in enumerate(patients):
        groups.setdefault(patient, []).append(index)
    counts = np.array([len(group) for group in groups.values()], np.intp)
    return np.array([index for group in groups.values() for index in group], np.intp), counts


def compare(
    figure: Callable[[Floats, NDArray[np.intp]], float],
    a: ArrayLike,
    b: ArrayLike,
    patients: Sequence[Hashable],
    seed: int,
    resamples: int = RESAMPLES,
) -> Difference:
    """Paired bootstrap: both models on the same drawn patients, figure of A minus figure of B.

    Parameters
    ----------
    figure : (values of one model for all exams, indices) -> the figure.
    a, b : (exams,) what each model gave, such as scores or Dice.

    Returns
    -------
    The difference with its 95 % interval; the p value is twice the share of resamples on the other side of zero, and
    at least 1 / (resamples + 1).
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return difference_of(lambda i: figure(first, i) - figure(second, i), patients, seed, resamples)


def difference_of(
    difference: Callable[[NDArray[np.intp]], float],
    patients: Sequence[Hashable],
    seed: int,
    resamples: int = RESAMPLES,
) -> Difference:
    """As :func:`compare`, of a difference that is already a function of the drawn exams."""
    estimate, values = bootstrap(difference, patients, seed, resamples)
    if not len(values):
        return Difference(estimate, float("nan"))
    below, above = np.count_nonzero(values <= 0.0), np.count_nonzero(values >= 0.0)
    return Difference(estimate, min(1.0, 2.0 * (min(below, above) + 1) / (len(values) + 1)))


def delong(labels: ArrayLike, a: ArrayLike, b: ArrayLike) -> Difference:
    """Difference of two correlated AUCs (A minus B) with its normal 95 % interval and p value (DeLong 1988).

    Exams count as independent: with several exams of a patient use :func:`compare`.
    """
    truth, _ = _binary(labels, a)
    placements = [_placements(truth, _binary(labels, scores)[1]) for scores in (a, b)]
    nan = float("nan")
    if not truth.any() or truth.all():
        return Difference(Estimate(nan, nan, nan), nan)
    difference = float(placements[0][0].mean() - placements[1][0].mean())
    if min(np.count_nonzero(truth), np.count_nonzero(~truth)) < 2:
        return Difference(Estimate(difference, nan, nan), nan)
    variance = sum(
        float(np.var(placements[0][side] - placements[1][side], ddof=1)) / len(placements[0][side]) for side in (0, 1)
    )
    if variance <= 0.0:
        return Difference(Estimate(difference, difference, difference), 1.0 if difference == 0.0 else 0.0)
    reach = float(stats.norm.ppf((1.0 + COVERAGE) / 2) * np.sqrt(variance))
    p_value = float(2.0 * stats.norm.sf(abs(difference) / np.sqrt(variance)))
    return Difference(Estimate(difference, difference - reach, difference + reach), p_value)


def _placements(truth: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Share of the other class that each positive exceeds, and by which each negative is exceeded; ties count half."""
    positive, negative = scores[truth], scores[~truth]
    ranks = midranks(scores)
    above = (ranks[truth] - midranks(positive)) / max(len(negative), 1)
    below = 1.0 - (ranks[~truth] - midranks(negative)) / max(len(positive), 1)
    return above, below
