"""The findings as a text that every viewer shows: Enhanced SR, TID 2000 (DICOM PS3.3 A.35.2, PS3.16).

OHIF shows a TID 1500 report without contours as a black viewport; a report with this root opens as text, with the
names of its items, because every container is SEPARATE. It refers to no image: viewers print such items as an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from dicomnode.dicom import codes
from dicomnode.dicom.values import text_of
from dicomnode.encode import wording
from dicomnode.encode.content import Report, broken, container, new_document, root_container, separate, text_item
from dicomnode.encode.context import Context, stamp
from dicomnode.encode.pictures.slices import slice_range
from dicomnode.kinds import Kind
from dicomnode.records import Case, MaskFinding, NotApplicable, ReferenceScore, ScoreFinding

KIND = Kind.TEXT
MAX_LESION_LINES = 25
"""Lesions with a line of their own, the largest first; the others count in the total."""

Line = tuple[codes.Code, str]


def text_report(context: Context) -> Report:
    """The report of a case in words, positive or negative."""
    report = new_document(context, KIND, _content(context), context.references)
    stamp(report, context, KIND, "AI text report")
    return report


def _content(context: Context) -> Dataset:
    case = context.case
    sections = (  # what was found first: it shall stand on the first screen
        (codes.FINDINGS_HEADING, [(name, broken(text)) for name, text in _findings(case)]),
        (codes.IMPRESSIONS_HEADING, _impressions(case)),
        (codes.PROCEDURE_DESCRIPTIONS, _procedure(context)),
    )
    root = root_container(context, codes.TEXT_REPORT, "2000")
    for heading, lines in sections:
        section = container(heading)
        section.ContentSequence.extend([text_item(name, text) for name, text in lines])
        root.ContentSequence.append(section)
    separate(root)
    return root


def _procedure(context: Context) -> Iterator[Line]:
    """What was looked at, by which models, and within which limits."""
    case = context.case
    yield codes.PROCEDURE_DESCRIPTION, f"{_images(case)}, read by software."
    for finding in case.masks:
        yield codes.PROCEDURE_DESCRIPTION, _limits(finding)
    for model in context.models:
        sentence = f"Model: {wording.model_line(model)}. Trained on {model.trained_on}."
        yield codes.PROCEDURE_DESCRIPTION, sentence


def _images(case: Case) -> str:
    series = text_of(case.sources[0], "SeriesNumber")
    return f"CT of the head, {f'series {series}, ' if series else ''}{len(case.sources)} slices"


def _limits(finding: MaskFinding) -> str:
    return (
        f"{finding.label}: smallest lesion reported {finding.detection_limit_ml:g} mL, "
        f"probability threshold {finding.threshold:g}."
    )


def _findings(case: Case) -> Iterator[Line]:
    for finding in case.masks:
        total = finding.total
        if total is None:
            yield codes.FINDING, wording.nothing_found(finding)
            continue
        yield codes.FINDING, f"{finding.label}, total: {wording.measurements(total, slice_range(case, total))}"
        for index, region in enumerate(finding.lesions[:MAX_LESION_LINES]):
            figures = wording.measurements(region, slice_range(case, region))
            yield codes.FINDING, f"{wording.lesion_name(finding, index)}: {figures}"
        if len(finding.lesions) > MAX_LESION_LINES:
            yield codes.FINDING, f"{finding.label}: {len(finding.lesions) - MAX_LESION_LINES} smaller lesions."
    for score in case.scores:
        yield from ((codes.FINDING, text) for text in _of_score(score))
    for refused in case.not_applicable:
        yield from ((codes.FINDING, text) for text in _of_inputs(refused))
    for reference in case.reference:
        yield from ((codes.FINDING, text) for text in _of_reference(reference))


def _of_reference(reference: ReferenceScore) -> Iterator[str]:
    """A score that no model made, and what it was computed from; one that cannot be computed says what is not known."""
    yield wording.reference_sentence(reference)
    if reference.inputs and (reference.value is not None or reference.possible is not None):
        yield f"{reference.label}: inputs {', '.join(map(wording.input_phrase, reference.inputs))}."
    if reference.missing and reference.possible is not None:
        yield f"{reference.label}: not known: {', '.join(reference.missing)}."


def _of_score(score: ScoreFinding) -> Iterator[str]:
    """What stands beside a score: its value is the impression."""
    yield from map(wording.reference_sentence, score.reference)
    yield from _of_inputs(score)
    yield from (f"{score.label}: {warning}" for warning in score.warnings)


def _of_inputs(finding: ScoreFinding | NotApplicable) -> Iterator[str]:
    """What is known of a model's inputs for this patient, and what is not."""
    if finding.inputs:
        yield f"{finding.label}: inputs {', '.join(map(wording.input_phrase, finding.inputs))}."
    if finding.missing:
        yield f"{finding.label}: not known: {', '.join(finding.missing)}."


def _impressions(case: Case) -> Iterator[Line]:
    for mask in case.masks:
        yield codes.IMPRESSION, wording.impression(mask)
    for score in case.scores:
        yield codes.IMPRESSION, wording.score_sentence(score)
    for image in case.images:
        yield codes.IMPRESSION, " ".join((wording.prediction_sentence(image), *image.warnings))
    for finding in case.not_applicable:
        yield codes.IMPRESSION, wording.not_applicable_sentence(finding)
    yield codes.IMPRESSION, wording.NOTICE
