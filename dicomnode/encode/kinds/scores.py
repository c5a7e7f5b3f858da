"""Scores as a structured report of their own: TID 1500 with TID 1501 groups only (DICOM PS3.3 A.35.13, PS3.16).

In one document with TID 1411 groups they would draw errors from PixelMed's validator, which takes one template for all
groups. One group per score: value, confidence interval, threshold, the reference scores beside it, category, inputs.
The limits of the interval are numbers of the group: as properties of the value (TID 310) they draw errors from it too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from highdicom import sr as hd_sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicomnode.dicom import codes
from dicomnode.encode.content import (
    Report,
    code_item,
    container,
    new_document,
    presence_item,
    private_scheme,
    procedure_reported,
    root_container,
    separate,
    text_item,
)
from dicomnode.encode.context import Context, stamp
from dicomnode.encode.wording import Wording, is_probability, model_line
from dicomnode.kinds import Kind
from dicomnode.records import NotApplicable, ReferenceScore, ScoreFinding

DECIMALS = 6


def score_report(context: Context, kind: Kind = Kind.SCORES) -> Report | None:
    """The report of a case's scores, of what was not applicable, and of reference scores; None where it has none.

    Parameters
    ----------
    kind : ``SCORES``, or one that stands in for it.
    """
    case = context.case
    if not (case.scores or case.not_applicable or case.reference):
        return None
    report = new_document(context, kind, _content(context), context.references)
    report.CodingSchemeIdentificationSequence = [private_scheme()]
    stamp(report, context, kind, context.words.series("scores series"))
    return report


def _content(context: Context) -> Dataset:
    root = root_container(context, codes.MEASUREMENT_REPORT, "1500")
    root.ContentSequence.append(procedure_reported())
    groups = container(codes.IMAGING_MEASUREMENTS)
    for score in context.case.scores:
        groups.ContentSequence.extend(_group(score, context))
    for finding in context.case.not_applicable:
        groups.ContentSequence.extend(_not_applicable_group(finding, context))
    for reference in context.case.reference:
        groups.ContentSequence.extend(_reference_group(reference, context))
    root.ContentSequence.append(groups)
    evaluations = container(codes.QUALITATIVE_EVALUATIONS)
    for mask in context.case.masks:
        evaluations.ContentSequence.append(presence_item(mask, context.case.masks))
        evaluations.ContentSequence.append(text_item(codes.IMPRESSION, context.words.impression(mask)))
    evaluations.ContentSequence.append(text_item(codes.NOTICE, context.words.disclaimer()))
    root.ContentSequence.append(evaluations)
    separate(root)
    return root


def _group(score: ScoreFinding, context: Context) -> hd_sr.MeasurementsAndQualitativeEvaluations:
    name = codes.private_code(score.name, score.label)
    group = hd_sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd_sr.TrackingIdentifier(context.tracking_uid(score.name), score.label),
        finding_type=Code(*name),
        measurements=list(_numbers(score)),
    )
    if score.category is not None:
        group[0].ContentSequence.append(code_item(codes.RISK_CATEGORY, codes.Code(*score.category)))
    own = {reference.name for reference in context.case.reference}  # these have a group that says what they mean
    group[0].ContentSequence.extend([text_item(of, text) for of, text in _statements(score, own, context.words)])
    return group


def _not_applicable_group(finding: NotApplicable, context: Context) -> hd_sr.MeasurementsAndQualitativeEvaluations:
    """A group without a number: that the model does not apply, the coded reason, and what is known of its inputs."""
    name = codes.private_code(finding.name, finding.label)
    why = codes.private_code(finding.reason, finding.reason.sentence())
    group = hd_sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd_sr.TrackingIdentifier(context.tracking_uid(finding.name), finding.label),
        finding_type=Code(*name),
        qualitative_evaluations=[
            hd_sr.QualitativeEvaluation(Code(*codes.APPLICABILITY), Code(*codes.NOT_APPLICABLE)),
            hd_sr.QualitativeEvaluation(Code(*codes.WHY_NOT_APPLICABLE), Code(*why)),
        ],
    )
    sentences = [
        (codes.IMPRESSION, context.words.not_applicable_sentence(finding)),
        *_said_of_inputs(finding, context.words),
    ]
    group[0].ContentSequence.extend([text_item(of, text) for of, text in sentences])
    return group


def _reference_group(reference: ReferenceScore, context: Context) -> hd_sr.MeasurementsAndQualitativeEvaluations:
    """A score that no model made: its number, or the two between which it lies, or that it cannot be computed."""
    name = codes.private_code(reference.name, reference.label)
    numbers = list(_reference_numbers(reference))
    silent = hd_sr.QualitativeEvaluation(Code(*codes.COMPUTABILITY), Code(*codes.NOT_COMPUTABLE))
    group = hd_sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd_sr.TrackingIdentifier(context.tracking_uid(reference.name), reference.label),
        finding_type=Code(*name),
        measurements=numbers or None,
        qualitative_evaluations=None if numbers else [silent],
    )
    group[0].ContentSequence.extend([text_item(of, text) for of, text in _said_of_reference(reference, context.words)])
    return group


def _reference_numbers(reference: ReferenceScore) -> Iterator[hd_sr.Measurement]:
    unit = codes.unit_code(reference.unit)
    if reference.value is not None:
        yield _number(codes.private_code(reference.name, reference.label), reference.value, unit)
    for name, limit in zip((codes.LOWEST_POSSIBLE, codes.HIGHEST_POSSIBLE), reference.possible or (), strict=False):
        yield _number(name, limit, unit)


def _said_of_reference(reference: ReferenceScore, words: Wording) -> Iterator[tuple[codes.Code, str]]:
    yield codes.REFERENCE_SCORE, words.reference_sentence(reference)
    if reference.working:
        yield codes.WORKING, reference.working
    for item in reference.inputs:
        yield codes.INPUT_USED, words.input_phrase(item)
    for label in reference.missing:
        yield codes.INPUT_MISSING, label


def _numbers(score: ScoreFinding) -> Iterator[hd_sr.Measurement]:
    algorithm = hd_sr.AlgorithmIdentification(
        name=score.model.name,
        version=score.model.version,
        parameters=[f"bundle={score.model.digest}"],
        family=Code(*codes.ARTIFICIAL_INTELLIGENCE),
    )
    unit = codes.unit_code(score.unit)
    yield _number(_name_of(score), score.value, unit, algorithm)
    for name, limit in zip((codes.INTERVAL_LOW, codes.INTERVAL_HIGH), score.interval or (), strict=False):
        yield _number(name, limit, unit, algorithm)
    if score.threshold is not None:
        yield _number(codes.THRESHOLD_VALUE, score.threshold, unit, algorithm)
    for reference in score.reference:
        if reference.value is not None:
            name = codes.private_code(reference.name, reference.label)
            yield _number(name, reference.value, codes.unit_code(reference.unit))


def _name_of(score: ScoreFinding) -> codes.Code:
    """A probability is called one, the finding of its group says of what; any other score has its own name."""
    return codes.PROBABILITY if is_probability(score) else codes.private_code(score.name, score.label)


def _number(
    name: codes.Code, value: float, unit: codes.Code, algorithm: hd_sr.AlgorithmIdentification | None = None
) -> hd_sr.Measurement:
    return hd_sr.Measurement(name=Code(*name), value=round(value, DECIMALS), unit=Code(*unit), algorithm_id=algorithm)


def _statements(score: ScoreFinding, own: Collection[str], words: Wording) -> Iterator[tuple[codes.Code, str]]:
    yield codes.IMPRESSION, words.score_sentence(score)
    if score.definition:
        yield codes.DEFINITION, score.definition
    yield from ((codes.CONTRIBUTION, phrase) for phrase in words.contribution_phrases(score))
    for reference in score.reference:
        if reference.name not in own:
            yield codes.REFERENCE_SCORE, words.reference_sentence(reference)
    for warning in score.warnings:
        yield codes.USE_WARNING, warning
    yield from _said_of_inputs(score, words)


def _said_of_inputs(finding: ScoreFinding | NotApplicable, words: Wording) -> Iterator[tuple[codes.Code, str]]:
    """What the model was given and what was not known, and which model it is."""
    for item in finding.inputs:
        yield codes.INPUT_USED, words.input_phrase(item)
    for label in finding.missing:
        yield codes.INPUT_MISSING, words.text(label)
    yield codes.MODEL, model_line(finding.model)
    yield codes.TRAINING_DATA, finding.model.trained_on
