"""What an exam comes to, from its marks and its probability."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnode.decision import Decision, Grounds, Outcome, decision_of, grounds_of, worst
from dicomnode.measure.outcome import outcome_of, outcomes_of
from tests.unit.encode.cases import EVEN, case_of, kinds_of_blood

BLEED = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)


@pytest.mark.parametrize(
    ("is_marked", "probability", "threshold", "decision", "grounds"),
    [
        (True, 0.93, 0.56, Decision.POSITIVE, Grounds.BOTH),
        (True, 0.56, 0.56, Decision.POSITIVE, Grounds.BOTH),
        (True, 0.08, 0.56, Decision.UNCERTAIN, Grounds.EXAM_BELOW),
        (False, 0.93, 0.56, Decision.UNCERTAIN, Grounds.NO_MARKS),
        (False, 0.08, 0.56, Decision.NEGATIVE, Grounds.NEITHER),
        (True, None, None, Decision.POSITIVE, Grounds.MARKS_ALONE),
        (False, None, None, Decision.NEGATIVE, Grounds.NOTHING_MARKED),
    ],
)
def test_marks_and_exam_decide_together_and_the_marks_alone_where_no_exam_probability_exists(
    is_marked: bool, probability: float | None, threshold: float | None, decision: Decision, grounds: Grounds
) -> None:
    found = grounds_of(is_marked, probability, threshold)
    assert (found, found.decision) == (grounds, decision)


def test_every_ground_has_a_decision() -> None:
    assert all(isinstance(grounds.decision, Decision) for grounds in Grounds)


def test_the_outcome_of_a_finding_has_the_figures_of_the_results_and_survives_json() -> None:
    finding = replace(case_of(EVEN, BLEED).masks[0], exam_probability=0.5588, exam_threshold=0.56, dense_ml=0.123)
    outcome = outcome_of(finding)
    assert finding.total is not None
    assert outcome.volume_ml == round(finding.total.volume_ml, 2)
    assert (outcome.decision, outcome.exam_probability, outcome.dense_ml) == (Decision.UNCERTAIN, 0.55, 0.12)
    assert outcome.in_words() == f"uncertain, {outcome.volume_ml:g} mL, 1 lesion"
    assert Outcome.from_dict(outcome.as_dict()) == outcome


def test_a_negative_is_told_without_figures() -> None:
    assert outcome_of(case_of(EVEN).masks[0]).in_words() == "negative"


def test_of_several_findings_the_gravest_counts() -> None:
    assert worst([Decision.NEGATIVE, Decision.POSITIVE, Decision.UNCERTAIN]) is Decision.POSITIVE
    assert worst([]) is None


def test_oedema_is_told_but_makes_no_exam_positive() -> None:
    outcomes = outcomes_of(kinds_of_blood(case_of(EVEN, BLEED)).findings)
    blood = [outcome for outcome in outcomes if outcome.decides]
    (oedema,) = [outcome for outcome in outcomes if not outcome.decides]
    assert (len(blood), oedema.decision) == (3, Decision.POSITIVE)
    assert decision_of(outcomes) is Decision.POSITIVE
    assert decision_of([replace(one, decision=Decision.NEGATIVE) for one in blood] + [oedema]) is Decision.NEGATIVE
    assert decision_of([oedema]) is None


def test_an_outcome_of_an_earlier_version_decides() -> None:
    kept = outcome_of(case_of(EVEN, BLEED).masks[0]).as_dict()
    del kept["decides"]
    assert Outcome.from_dict(kept).decides
