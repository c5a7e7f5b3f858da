"""An output that says how likely something is, judged against a label of 0 or 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dicomnode.measure.exam import calibrated
from dicomnode.train import plots, statistics
from dicomnode.train.outputs.attainable import attainable
from dicomnode.train.outputs.figures import Figure, known_pairs
from dicomnode.train.outputs.output import CALIBRATED, Account, Calibration, Output, Section, having, number
from dicomnode.train.results import Floats, Results
from dicomnode.train.statistics import Difference, OperatingPoint

UNCALIBRATED: Calibration = {"slope": 1.0, "intercept": 0.0, "threshold": 0.5}
THRESHOLDS = (0.05, 0.95)
"""No threshold of a calibrated probability lies further out."""
POINT_HEADER = ("threshold", "sensitivity", "specificity", "PPV", "NPV")


class Probability(Output):
    """A probability.

    Parameters
    ----------
    name : such as ``exam`` or ``deterioration``.
    label, score : columns: 0 or 1, NaN where not known; the probability.
    prefix : of its figures' keys and its files' names, for models with several outputs.
    """

    def __init__(self, name: str, label: str = "label", score: str = "score", prefix: str = "") -> None:
        self.name, self.label, self.score, self.prefix = name, label, score, prefix
        self.truths = (label,)
        self.figures = (Figure(f"{prefix}auc", f"{name} AUC", (label, score), _auc),)

    def pairs(self, results: Results, ending: str = "") -> tuple[Floats, Floats]:
        """Label and score of the exams whose label is known."""
        return known_pairs(results[self.label], results[self.score + ending])

    def _columns(self, results: Results) -> dict[str, str]:
        """What there is: the score itself, and as calibrated."""
        endings = {"": "", ", calibrated": CALIBRATED}
        return {says: ending for says, ending in endings.items() if self.score + ending in results.columns}

    def account(self, results: Results) -> Account:
        """How many are positive; Brier score, calibration and operating points where both classes are present."""
        labels, scores = self.pairs(results)
        positive = int((labels == 1).sum())
        content: dict[str, object] = {"known": len(labels), "positive": positive}
        if len(set(labels)) < 2:
            return Account(f"{positive} positive", content)
        agreement = {
            f"{self.name}{says}": asdict(statistics.calibration(*self.pairs(results, ending)))
            for says, ending in self._columns(results).items()
        }
        points = {says: asdict(point) for says, point in _points(labels, scores).items()}
        best = attainable(self.name, results)
        sections = (
            *_best(best),
            Section(("output", "Brier score", "calibration slope", "calibration intercept"), _rows(agreement)),
            Section((f"operating point, {self.name}", *POINT_HEADER), _rows(points)),
        )
        content |= {"calibration": agreement, "operating_points": points, "attainable_auc": dict(best)}
        return Account(f"{positive} positive", content, sections)

    def draw(self, out: Path, sets: Mapping[str, Results], synthetic: bool) -> list[str]:
        """ROC and reliability, where the first set has both classes."""
        used = having(sets, self.label, self.score)
        shown = {name: self.pairs(results) for name, results in used.items()}
        if not shown or len(set(next(iter(shown.values()))[0])) < 2:
            return []
        told = {
            f"{name}{says}": self.pairs(results, ending)
            for name, results in used.items()
            for says, ending in self._columns(results).items()
        }
        names = [f"{self.prefix}roc.png", f"{self.prefix}reliability.png"]
        plots.roc_plot(out / names[0], shown, synthetic)
        plots.reliability_plot(out / names[1], told, synthetic)
        return names

    def calibration(self, results: Results) -> Calibration | None:
        """Slope and intercept of the log odds (Platt), and the threshold by Youden in steps of 0.01.

        Exams that are all positive, or all negative, can tell neither, nor can scores that do not rise with the truth:
        they stay as they are.
        """
        labels, scores = self.pairs(results)
        if len(set(labels)) < 2:
            return UNCALIBRATED
        slope, intercept = (round(value, 3) for value in statistics.platt(labels, scores))
        if not slope > 0.0:  # NaN where all scores are alike
            return UNCALIBRATED
        probabilities = [calibrated(score, slope, intercept) for score in scores]
        threshold = np.clip(round(statistics.youden_point(labels, probabilities).threshold, 2), *THRESHOLDS)
        return {"slope": slope, "intercept": intercept, "threshold": float(threshold)}

    def calibrated(self, results: Results, by: Calibration) -> Results:
        """Adds the calibrated probability."""
        told = [calibrated(score, by["slope"], by["intercept"]) for score in results[self.score]]
        return results.with_columns({self.score + CALIBRATED: told})

    def other_differences(self, a: Results, b: Results) -> dict[str, tuple[str, Difference]]:
        """Of the AUC, by DeLong."""
        labels, first = self.pairs(a)
        if len(set(labels)) < 2 or self.score not in b.columns:
            return {}
        second = b[self.score][np.isfinite(a[self.label]) & np.isfinite(a[self.score])]
        title = f"{self.figures[0].title}, DeLong"
        return {f"{self.prefix}auc_delong": (title, statistics.delong(labels, first, second))}


def _auc(labels: Floats, scores: Floats) -> float:
    return statistics.auc(*known_pairs(labels, scores))


def _best(attainable_auc: Mapping[str, float]) -> tuple[Section, ...]:
    """What no model can pass that sees no more than some channels of the synthetic cohort."""
    rows = [(channels, number(auc)) for channels, auc in attainable_auc.items()]
    return (Section(("best that these channels of the synthetic cohort can tell", "AUC"), rows),) if rows else ()


def _points(labels: Floats, scores: Floats) -> dict[str, OperatingPoint]:
    return {
        "0.5": statistics.operating_point(labels, scores, 0.5),
        "Youden": statistics.youden_point(labels, scores),
        "sensitivity 95 %": statistics.sensitivity_point(labels, scores),
    }


def _rows(table: Mapping[str, Mapping[str, float]]) -> list[tuple[str, ...]]:
    return [(says, *map(number, values.values())) for says, values in table.items()]
