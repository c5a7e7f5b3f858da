"""The findings as a text that every viewer shows: Enhanced SR, TID 2000 (DICOM PS3.3 A.35.2, PS3.16).

OHIF shows a TID 1500 report without contours as a black viewport; a report with this root opens as text, with the
names of its items, because every container is SEPARATE. It refers to no image: viewers print such items as an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from highdicom import sr as hd_sr
from pydicom.dataset import Dataset

from dicomnode.dicom import codes
from dicomnode.dicom.values import text_of
from dicomnode.encode.content import Report, broken, container, new_document, root_container, separate, text_item
from dicomnode.encode.context import Context, stamp
from dicomnode.encode.pictures.slices import slice_range
from dicomnode.encode.references import beside, by_themselves, with_head
from dicomnode.encode.wording import Wording, model_line
from dicomnode.kinds import Kind
from dicomnode.records import Case, MaskFinding, NotApplicable, ReferenceScore, ScoreFinding

KIND = Kind.TEXT
MAX_LESION_LINES = 25
"""Lesions with a line of their own, the largest first; the others count in the total."""

Line = tuple[codes.Code, str]


def text_report(context: Context) -> Report:
    """The report of a case in words, positive or negative."""
    report = new_document(context, KIND, _content(context), context.references)
    stamp(report, context, KIND, context.words.series("text series"))
    return report


def _content(context: Context) -> Dataset:
    case, words = context.case, context.words
    sections = (  # the answer first: it shall stand on the first screen; what the machine is, last
        (codes.IMPRESSIONS_HEADING, [(name, broken(text)) for name, text in _impressions(case, words)]),
        (codes.FINDINGS_HEADING, [(name, broken(text)) for name, text in _findings(case, words)]),
        (codes.PROCEDURE_DESCRIPTIONS, _procedure(context)),
    )
    root = root_container(context, codes.TEXT_REPORT, "2000")
    about = list(root.ContentSequence)  # language and observer: viewers print the items in their order, UID and all
    root.ContentSequence = hd_sr.ContentSequence()
    for heading, lines in sections:
        section = container(heading)
        section.ContentSequence.extend([text_item(name, text) for name, text in lines])
        if section.ContentSequence:
            root.ContentSequence.append(section)
    root.ContentSequence.extend(about)
    separate(root)
    return root


def _impressions(case: Case, words: Wording) -> Iterator[Line]:
    for mask in case.masks:
        yield codes.IMPRESSION, words.impression(mask)
    for score in case.scores:
        yield codes.IMPRESSION, words.score_sentence(score)
    for image in case.images:
        yield codes.IMPRESSION, " ".join((words.prediction_sentence(image), *image.warnings))
    for finding in case.not_applicable:
        yield codes.IMPRESSION, words.not_applicable_sentence(finding)
    yield codes.IMPRESSION, words.disclaimer()


def _findings(case: Case, words: Wording) -> Iterator[Line]:
    for finding in case.masks:
        yield from ((codes.FINDING, text) for text in _of_mask(finding, case, words))
        if case.tells_of_head(finding):
            yield from ((codes.FINDING, text) for text in _of_head(finding, case, words))
    for score in case.scores:
        yield from ((codes.FINDING, text) for text in _of_score(score, case, words))
    for refused in case.not_applicable:
        yield from ((codes.FINDING, text) for text in _of_inputs(refused, words))
    for reference in by_themselves(case):
        yield from ((codes.FINDING, text) for text in _of_reference(reference, words))


def _of_reference(reference: ReferenceScore, words: Wording) -> Iterator[str]:
    """A score that no model made, and what it was computed from; one that cannot be computed says what is not known."""
    yield words.reference_sentence(reference)
    label = reference.label
    if reference.inputs and (reference.value is not None or reference.possible is not None):
        yield words.say("inputs", label=label, inputs=", ".join(map(words.input_phrase, reference.inputs)))
    if reference.missing and reference.possible is not None:
        yield words.say("inputs missing", label=label, inputs=", ".join(reference.missing))


def _of_mask(finding: MaskFinding, case: Case, words: Wording) -> Iterator[str]:
    total = finding.total
    if total is None:
        yield words.nothing_marked(finding)
        return
    if len(finding.lesions) > 1:
        images = slice_range(case, total, words)
        yield words.say("total", label=finding.label, figures=words.measurements(total, images))
    for index, region in enumerate(finding.lesions[:MAX_LESION_LINES]):
        figures = words.measurements(region, slice_range(case, region, words))
        yield f"{words.lesion_name(finding, index)}: {figures}"
    if len(finding.lesions) > MAX_LESION_LINES:
        yield words.say("smaller lesions", label=finding.label, count=len(finding.lesions) - MAX_LESION_LINES)


def _of_head(finding: MaskFinding, case: Case, words: Wording) -> Iterator[str]:
    """What the head shows as a whole, each measure with the verdict that its reference score gives."""
    judged = with_head(case)
    for name, line in words.head_lines(finding).items():
        verdict = judged.get(name)
        # of the hypodense share the line itself says what it may be
        yield line if verdict is None or name == "hypodense_share" else f"{line} {verdict.meaning}".rstrip()


def _of_score(score: ScoreFinding, case: Case, words: Wording) -> Iterator[str]:
    """What stands beside a score: its value is the impression."""
    if score.definition:
        yield f"{score.label}: {score.definition}"
    yield from map(words.reference_sentence, beside(case, score))
    if score.contributions:
        yield words.contributions(score)
    yield from _of_inputs(score, words)
    yield from (f"{score.label}: {warning}" for warning in score.warnings)


def _of_inputs(finding: ScoreFinding | NotApplicable, words: Wording) -> Iterator[str]:
    """What is known of a model's inputs for this patient, and what is not."""
    if finding.inputs:
        yield words.say("inputs", label=finding.label, inputs=", ".join(map(words.input_phrase, finding.inputs)))
    if finding.missing:
        yield words.say("inputs missing", label=finding.label, inputs=", ".join(map(words.text, finding.missing)))


def _procedure(context: Context) -> Iterator[Line]:
    """What was looked at, within which limits, and by which models."""
    words = context.words
    yield codes.PROCEDURE_DESCRIPTION, _images(context.case, words)
    for finding in context.case.masks:
        yield from ((codes.PROCEDURE_DESCRIPTION, text) for text in _limits(finding, words))
    if context.case.masks:
        yield codes.PROCEDURE_DESCRIPTION, words.say("how volumes are measured")
    for model in context.models:
        sentence = words.say("model", model=model_line(model), trained_on=model.trained_on)
        yield codes.PROCEDURE_DESCRIPTION, sentence


def _images(case: Case, words: Wording) -> str:
    number = text_of(case.sources[0], "SeriesNumber")
    series = words.say("series", number=number) if number else ""
    return words.say("read", series=series, count=len(case.sources))


def _limits(finding: MaskFinding, words: Wording) -> Iterator[str]:
    limit, threshold = words.limit(finding), words.number(finding.threshold)
    yield words.say("mask limits", label=finding.label, limit=limit, threshold=threshold)
    if finding.dense_rule:
        noun = words.noun(finding).plain
        yield words.say("dense rule", label=finding.label, noun=noun, rule=finding.dense_rule)
