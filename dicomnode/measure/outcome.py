"""What the findings of a run came to, in the figures of the results."""

from __future__ import annotations

from collections.abc import Iterable

from dicomnode.decision import Outcome, ScoreOutcome
from dicomnode.dicom import codes
from dicomnode.measure.figures import rounded_ml, rounded_probability
from dicomnode.records import Finding, MaskFinding, ScoreFinding


def outcome_of(finding: MaskFinding) -> Outcome:
    """One mask's."""
    probability, threshold = finding.exam_probability, finding.exam_threshold
    return Outcome(
        finding=finding.name,
        decision=finding.decision,
        grounds=finding.grounds,
        volume_ml=0.0 if finding.total is None else rounded_ml(finding.total.volume_ml),
        lesions=len(finding.lesions),
        dense_ml=rounded_ml(finding.dense_ml),
        exam_probability=None if probability is None else rounded_probability(probability, threshold),
        exam_threshold=threshold,
        decides=codes.decides(finding),
    )


def outcomes_of(findings: Iterable[Finding]) -> tuple[Outcome, ...]:
    """Of all masks among the findings; a score has a value and no decision."""
    return tuple(outcome_of(finding) for finding in findings if isinstance(finding, MaskFinding))


def score_of(finding: ScoreFinding) -> ScoreOutcome:
    """One number's."""
    value = rounded_probability(finding.value, finding.threshold) if finding.unit == "1" else finding.value
    return ScoreOutcome(finding=finding.name, value=value, unit=finding.unit, threshold=finding.threshold)


def scores_of(findings: Iterable[Finding]) -> tuple[ScoreOutcome, ...]:
    """Of all numbers among the findings."""
    return tuple(score_of(finding) for finding in findings if isinstance(finding, ScoreFinding))
