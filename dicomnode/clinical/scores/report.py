"""The reference scores of a case: which are given, and whether any are.

Why not always: ``docs/decisions/028-reference-scores-are-sent-when-asked-for.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dicomnode.clinical.scores.asked import Facts
from dicomnode.clinical.scores.totals import point_scores, total_of
from dicomnode.clinical.scores.verdicts import verdicts
from dicomnode.dicom import codes
from dicomnode.records import (
    MEASURED,
    Finding,
    HeadMeasures,
    MaskFinding,
    PatientContext,
    ReferenceScore,
    ScoreFinding,
    Volume,
)

BLEED = "hemorrhage"
"""The mask that the scores of a bleed are about; where no model gives it, that of blood within the brain tissue."""
OUTCOME_OF_BLEED = "prognosis"
DENSE_HU = 50.0


def reference_scores(
    findings: Sequence[Finding], volume: Volume | None, context: PatientContext, *, unasked: bool = False
) -> tuple[ReferenceScore, ...]:
    """Scores that need no learning, from what was measured and from what is known of the patient.

    Parameters
    ----------
    volume : the scan; without it what is dense within the mask counts as nothing.
    unasked : give them for every bleed, also where nobody told anything.

    Returns
    -------
    Empty where nobody told anything of the patient that any of them asks for. Else every score that is made for such a
    patient: its value, or the range that is possible, or that it cannot be computed and what is not known. What a model
    gives beside its score stands there in any case.
    """
    facts = facts_of(findings, volume, context)
    asked = [(score, {name: facts.asked(name) for name in score.needs}) for score in point_scores(facts)]
    given = [*verdicts(facts)]
    is_told = any(one.was_told for _, inputs in asked for one in inputs.values())
    is_told = is_told or any(not _is_measured_alone(score) for score in given)
    beside = {score.name: score for score in _beside(findings)}
    scores = [score for score in given if score.name in beside]
    if is_told or (facts.has_bleed and (unasked or _is_outcome_of_bleed(findings))):
        scores = [*given, *(total_of(score, inputs) for score, inputs in asked)]
    known = {score.name for score in scores}
    return (*scores, *(score for name, score in beside.items() if name not in known))


def _is_outcome_of_bleed(findings: Sequence[Finding]) -> bool:
    """A model tells the outcome of the bleed: what the published scores say stands beside it."""
    return any(isinstance(finding, ScoreFinding) and finding.name == OUTCOME_OF_BLEED for finding in findings)


def _beside(findings: Sequence[Finding]) -> Iterator[ReferenceScore]:
    """What models give beside their scores."""
    for finding in findings:
        if isinstance(finding, ScoreFinding):
            yield from finding.reference


def _is_measured_alone(score: ReferenceScore) -> bool:
    """Given beside the others, but no reason for a report: it stands in that of the measurements."""
    is_of_head = score.name in ("midline_shift", "evans_index") and all(one.source == MEASURED for one in score.inputs)
    return score.name in ("abc2_total", "oedema_extension") or is_of_head


def facts_of(findings: Sequence[Finding], volume: Volume | None, context: PatientContext) -> Facts:
    """What the scores are computed from."""
    masks = [finding for finding in findings if isinstance(finding, MaskFinding)]
    named = next((mask for mask in masks if mask.name == BLEED), None)
    by_kind = {codes.known_as(mask): mask for mask in reversed(masks)}
    bleed = named or by_kind.get(codes.PARENCHYMAL)
    return Facts(
        context=context,
        bleed=bleed,
        ventricles=by_kind.get(codes.VENTRICULAR),
        oedema=by_kind.get(codes.OEDEMA),
        hyperdense_ml=0.0 if bleed is None or volume is None else _hyperdense_ml(bleed, volume),
        seen=_seen(findings),
    )


def _seen(findings: Sequence[Finding]) -> HeadMeasures | None:
    """What a model that marks nothing has measured of the head."""
    values = {score.name: score.value for score in _beside(findings)}
    shift_mm, evans = values.get("midline_shift"), values.get("evans_index")
    return HeadMeasures(likeness=1.0, midline_shift_mm=shift_mm, evans_index=evans) if values else None


def _hyperdense_ml(bleed: MaskFinding, volume: Volume) -> float:
    return volume.stack.volume_ml(bleed.mask & (volume.hu > DENSE_HU))
