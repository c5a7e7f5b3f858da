""" "Not performed": why a series was not processed, as a text that every viewer shows (Enhanced SR, TID 2000).

Silence in a PACS reads as a negative; this says that nothing was looked at, with the coded reason and what would be
needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from dicomnode.dicom import codes
from dicomnode.dicom.values import number_of, text_of
from dicomnode.encode.content import (
    broken,
    code_item,
    container,
    new_document,
    private_scheme,
    root_container,
    separate,
    text_item,
)
from dicomnode.encode.context import Envelope, created_at, stamp
from dicomnode.encode.identity import bare_reference, identity_of, plain_identity_of
from dicomnode.encode.single import encoding, write_single
from dicomnode.encode.uids import attributes_of, digest_of
from dicomnode.encode.wording import Wording
from dicomnode.errors import EncodeError, Refusal
from dicomnode.kinds import Kind
from dicomnode.records import EncodedResult, NotPerformed

log = logging.getLogger(__name__)

KIND = Kind.NOT_PERFORMED
NEEDED: dict[Refusal, str] = {
    **dict.fromkeys(Refusal, "needed axial"),
    **dict.fromkeys(
        (
            Refusal.UNREADABLE,
            Refusal.INVALID_UID,
            Refusal.UID_MISMATCH,
            Refusal.HEADER_TOO_LARGE,
            Refusal.IMPLAUSIBLE_SIZE,
            Refusal.EXPANDS_TOO_FAR,
            Refusal.NO_GEOMETRY,
            Refusal.MISSING_SLICES,
            Refusal.DUPLICATE_POSITIONS,
            Refusal.CONTENT_CONFLICT,
            Refusal.MIXED_PATIENTS,
            Refusal.NO_RESCALE,
            Refusal.IMPLAUSIBLE_HU,
        ),
        "needed resend",
    ),
    Refusal.OWN_RESULT: "needed nothing",
    Refusal.REJECTED: "needed not rejected",
    Refusal.AFTER_RETENTION: "needed whole series",
    Refusal.RUN_FAILED: "needed operator",
    Refusal.NO_PROTOCOL: "needed protocol",
    Refusal.MULTI_FRAME: "needed single frame",
    Refusal.UNEVEN_STACK: "needed even",
    Refusal.COVERAGE_TOO_SMALL: "needed coverage",
    Refusal.OUTSIDE_INTENDED_USE: "needed other model",
}
"""What would have to be there for the work to be done, by its key among the sentences of a language."""


def reason_code(refusal: Refusal) -> codes.Code:
    """A refusal as a coded concept of this node's scheme: no code of the standard fits."""
    return codes.private_code(refusal.value, refusal.value.replace("_", " ").capitalize())


def encode_not_performed(not_performed: NotPerformed, folder: Path, now: datetime | None = None) -> EncodedResult:
    """Write the report that a series was not processed.

    Parameters
    ----------
    folder : gets one file, ``<SOPInstanceUID>.dcm``; created where it is missing.
    now : time of encoding, with an offset from UTC; the clock where None.

    Returns
    -------
    EncodedResult : of kind ``not_performed``. The same reason for the same images has the same UIDs. Where a value of
        the header breaks the encoding, the report is written with :func:`plain_identity_of`.

    Raises
    ------
    EncodeError : there are no images, or the report cannot be written as a valid object.
    OSError : the disk is full or gone; the same call may succeed later.
    """
    if not not_performed.sources:
        raise EncodeError("a report without images")
    try:
        return _written(not_performed, folder, now, identity_of)
    except EncodeError as fault:
        # The fault names types and places, no value.
        log.warning("report is written with the least identity", extra={"action": "encode", "error": str(fault)})
        return _written(not_performed, folder, now, plain_identity_of)


def _written(
    not_performed: NotPerformed, folder: Path, now: datetime | None, identify: Callable[[Dataset], Dataset]
) -> EncodedResult:
    with encoding(KIND):
        envelope = _envelope_of(not_performed, now, identify(not_performed.identity))
        references = [_reference(source, envelope.identity) for source in not_performed.sources]
        report = new_document(envelope, KIND, _content(not_performed, envelope), references)
        report.CodingSchemeIdentificationSequence = [private_scheme()]
        stamp(report, envelope, KIND, envelope.words.say("not performed series"))
    return write_single(report, KIND, envelope, references, folder)


def _envelope_of(not_performed: NotPerformed, now: datetime | None, identity: Dataset) -> Envelope:
    parts = {
        "kind": KIND,
        "sources": sorted(text_of(source, "SOPInstanceUID") for source in not_performed.sources),
        "reason": [not_performed.refusal.value, not_performed.detail, not_performed.protocol],
        "generation": not_performed.generation,
        "identity": attributes_of(identity),
        "language": not_performed.language,
    }
    return Envelope(
        digest=digest_of(parts),
        identity=identity,
        created=created_at(not_performed.identity, not_performed.timezone, now),
        station_ae_title=not_performed.station_ae_title,
        source_series_number=int(number_of(not_performed.sources[0], "SeriesNumber") or 0),
        models=(),
        is_research=not_performed.research,
        words=Wording(not_performed.language),
    )


def _reference(source: Dataset, identity: Dataset) -> Dataset:
    return bare_reference(
        text_of(source, "SOPClassUID"),
        text_of(source, "SOPInstanceUID"),
        text_of(source, "SeriesInstanceUID"),
        identity,
    )


def _content(not_performed: NotPerformed, envelope: Envelope) -> Dataset:
    words = envelope.words
    root = root_container(envelope, codes.TEXT_REPORT, "2000")
    procedure, findings, impressions = (
        container(heading)
        for heading in (codes.PROCEDURE_DESCRIPTIONS, codes.FINDINGS_HEADING, codes.IMPRESSIONS_HEADING)
    )
    procedure.ContentSequence.append(text_item(codes.PROCEDURE_DESCRIPTION, _images(not_performed, words)))
    findings.ContentSequence.append(code_item(codes.NOT_PERFORMED, reason_code(not_performed.refusal)))
    findings.ContentSequence.append(text_item(codes.FINDING, broken(_reason(not_performed, words))))
    findings.ContentSequence.append(text_item(codes.NEEDED, words.say(NEEDED[not_performed.refusal])))
    said = (words.say("nothing said"), words.disclaimer())
    impressions.ContentSequence.extend([text_item(codes.IMPRESSION, text) for text in said])
    root.ContentSequence.extend([procedure, findings, impressions])
    separate(root)
    return root


def _images(not_performed: NotPerformed, words: Wording) -> str:
    number = text_of(not_performed.sources[0], "SeriesNumber")
    series = words.say("Series", number=number) if number else ""
    protocol = words.say("received by", protocol=not_performed.protocol) if not_performed.protocol else ""
    return words.say("received", series=series, count=len(not_performed.sources), protocol=protocol)


def _reason(not_performed: NotPerformed, words: Wording) -> str:
    reason = words.refusal(not_performed.refusal)
    return words.say("not performed", reason=reason, detail=not_performed.detail).strip()
