"""Key Object Selections: what belongs to one job, and what must no longer be used (DICOM PS3.3 A.35.4, IHE IOCM)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from highdicom.base import SOPClass
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.dicom import codes
from dicomnode.dicom.equipment import MANUFACTURER
from dicomnode.encode.content import device_observer
from dicomnode.encode.context import Context, Envelope, created_at, stamp
from dicomnode.encode.identity import bare_reference, identity_of
from dicomnode.encode.single import encoding, write_single
from dicomnode.encode.uids import attributes_of, digest_of
from dicomnode.encode.wording import Wording
from dicomnode.errors import EncodeError
from dicomnode.kinds import Kind
from dicomnode.records import EncodedResult, Rejection


def result_root(context: Context, results: Iterable[SOPClass]) -> SOPClass:
    """One object that names all results of a job, so that a system can find them as one set."""
    description = context.words.say("list", research=context.words.research)
    # the library would quote an unusual PatientName in a warning; ``stamp`` sets who the patient is
    named_results = [
        bare_reference(ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID, context.identity) for ds in results
    ]
    root = _selection(context, Kind.KOS, codes.OF_INTEREST, named_results, description)
    stamp(root, context, Kind.KOS, context.words.series("list series"))
    return root


def encode_rejection(rejection: Rejection, folder: Path, now: datetime | None = None) -> EncodedResult:
    """Write a rejection note for superseded results: a PACS with IOCM then hides them.

    Parameters
    ----------
    folder : gets one file, ``<SOPInstanceUID>.dcm``; created where it is missing.
    now : time of encoding, with an offset from UTC; the clock where None.

    Raises
    ------
    EncodeError : nothing is rejected, or the note cannot be written as a valid object.
    OSError : the disk is full or gone; the same call may succeed later.

    References: DICOM PS3.16 TID 2010, CID 7010; IHE Radiology Image Object Change Management.
    """
    if not rejection.results:
        raise EncodeError("a rejection note without rejected results")
    with encoding(Kind.REJECTION):
        envelope = _envelope_of(rejection, now)
        rejected = [_rejected(result, envelope.identity) for result in rejection.results]
        note = _selection(envelope, Kind.REJECTION, codes.REJECTED_FOR_QUALITY, rejected, _why(rejection))
        stamp(note, envelope, Kind.REJECTION, envelope.words.series("withdrawn series"))
    return write_single(note, Kind.REJECTION, envelope, rejected, folder)


def _envelope_of(rejection: Rejection, now: datetime | None) -> Envelope:
    identity = identity_of(rejection.identity)
    rejected = sorted(result.sop_instance_uid for result in rejection.results)
    said = {"rejected": rejected, "description": _why(rejection), "language": rejection.language}
    parts = {"kind": Kind.REJECTION, "identity": attributes_of(identity), **said}
    return Envelope(
        digest=digest_of(parts),
        identity=identity,
        created=created_at(rejection.identity, rejection.timezone, now),
        station_ae_title=rejection.station_ae_title,
        source_series_number=0,
        models=(),
        is_research=any(result.research for result in rejection.results),
        words=Wording(rejection.language),
    )


def _why(rejection: Rejection) -> str:
    return Wording(rejection.language).say(f"withdrawn {rejection.why}")


def _rejected(result: EncodedResult, identity: Dataset) -> Dataset:
    return bare_reference(result.sop_class_uid, result.sop_instance_uid, result.series_instance_uid, identity)


def _selection(
    envelope: Envelope, kind: Kind, title: codes.Code, objects: Sequence[Dataset], description: str
) -> KeyObjectSelectionDocument:
    content = KeyObjectSelection(
        document_title=Code(*title),
        referenced_objects=objects,
        observer_device_context=device_observer(envelope),
        description=description,
    )
    return KeyObjectSelectionDocument(
        evidence=objects,
        content=content,
        series_instance_uid=envelope.series_uid(kind),
        series_number=envelope.series_number(kind),
        sop_instance_uid=envelope.instance_uid(kind),
        instance_number=1,
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
