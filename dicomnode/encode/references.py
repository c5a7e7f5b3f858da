"""Where a reference score stands in a text or a picture: each once, where a reader looks for it.

What was measured of the head as a whole stands with the first mask that tells of the head; without one, beside the
score that it was measured for. What somebody read is another source than the measure, and is told with its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from dicomnode.records import MEASURED, Case, HeadMeasures, ReferenceScore, ScoreFinding


def is_measured(score: ReferenceScore) -> bool:
    """Whether nobody told any of its inputs."""
    return all(one.source == MEASURED for one in score.inputs)


def with_head(case: Case) -> Mapping[str, ReferenceScore | None]:
    """Measures that a mask's account of the head tells, by name, each with the reference score that it is judged by.

    Returns
    -------
    None in place of a score that the case does not give, or that goes by what somebody read.
    """
    head = next((mask.head for mask in case.masks if mask.head is not None), HeadMeasures(likeness=0.0))
    told = {
        "midline_shift": head.midline_shift_mm,
        "evans_index": head.evans_index,
        "hypodense_share": head.hypodense_percent,
    }
    judged = {one.name: one for one in case.reference if is_measured(one)}
    return {name: judged.get(name) for name, value in told.items() if value is not None}


def beside(case: Case, score: ScoreFinding) -> tuple[ReferenceScore, ...]:
    """What is told beside a score: what its model measured, with the verdict that the case gives; nothing of the head
    that stands elsewhere already."""
    judged = {one.name: one for one in case.reference if is_measured(one)}
    elsewhere = with_head(case)
    return tuple(judged.get(one.name, one) for one in score.reference if one.name not in elsewhere)


def by_themselves(case: Case) -> tuple[ReferenceScore, ...]:
    """Reference scores that are told neither with a mask's account of the head nor beside a score."""
    told = {*with_head(case), *(one.name for score in case.scores for one in score.reference)}
    return tuple(one for one in case.reference if one.name not in told or not is_measured(one))
