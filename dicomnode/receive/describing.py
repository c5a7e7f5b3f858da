"""What a received file is, by its header and by the command that brought it: its record, still without a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dicomnode.dicom.ct_slices import reason_not_used
from dicomnode.dicom.headers import text_of
from dicomnode.dicom.uids import usable_uid
from dicomnode.errors import Refusal
from dicomnode.receive.part10 import Origin
from dicomnode.receive.reading import Reading
from dicomnode.records import Header, ReceivedInstance


@dataclass(frozen=True, slots=True)
class ToDescribe:
    """A whole file of which the record is wanted.

    Attributes
    ----------
    digest : of its data set, as in the record.
    only_leading : to read the whole header has ended a process twice: now only what stands in front of it all.
    """

    path: str
    origin: Origin
    digest: str
    size_bytes: int
    only_leading: bool = False


@dataclass(frozen=True, slots=True)
class NotRead:
    """The disk or the memory failed, which says nothing of the file.

    Attributes
    ----------
    said : the reason, without paths or values.
    """

    said: str


Described = ReceivedInstance | NotRead


def describe(reading: Reading, origin: Origin, *, digest: str, size_bytes: int) -> ReceivedInstance:
    """The record of one file, still without its path.

    A UID that could not serve as a name is replaced, the same one by the same: what came together stays together. Where
    the command named no instance, the data set does.
    """
    names_one = origin.sop_instance_uid != usable_uid("")
    sop_instance_uid = usable_uid(origin.sop_instance_uid if names_one else text_of(reading.header, "SOPInstanceUID"))
    reason = _reason(reading, origin)
    return ReceivedInstance(
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=origin.sop_class_uid,
        study_uid=_kept_under(reading.header, "StudyInstanceUID", "study", sop_instance_uid),
        series_uid=_kept_under(reading.header, "SeriesInstanceUID", "series", sop_instance_uid),
        transfer_syntax_uid=origin.transfer_syntax_uid,
        path=Path(),
        digest=digest,
        size_bytes=size_bytes,
        header=reading.header,
        not_used=None if reason is None else reason.value,
        named_otherwise=named_otherwise(reading.header, origin),
        rejection=reading.rejection,
    )


def _reason(reading: Reading, origin: Origin) -> Refusal | None:
    """Why an instance is not used; what it is, where that suffices, before what is wrong with it."""
    # A file that was not read to its end may have pixels.
    reason = reason_not_used(reading.header, has_pixels=reading.has_pixels or reading.refusal is not None)
    if reading.refusal is not None and reason in (None, Refusal.UNREADABLE, Refusal.INVALID_UID):
        return reading.refusal
    return Refusal.UID_MISMATCH if reason is None and named_otherwise(reading.header, origin) else reason


def named_otherwise(header: Header, origin: Origin) -> dict[str, str]:
    """UIDs of the data set that are others than those of the command that brought it, by keyword; as they were sent."""
    said = {"SOPInstanceUID": origin.sop_instance_uid, "SOPClassUID": origin.sop_class_uid}
    stated = {keyword: text_of(header, keyword) for keyword in said}
    same = {keyword: (uid, usable_uid(uid), usable_uid("")) for keyword, uid in stated.items()}
    return {keyword: uid for keyword, uid in stated.items() if uid and said[keyword] not in same[keyword]}


def _kept_under(header: Header, keyword: str, what: str, sop_instance_uid: str) -> str:
    """The UID that came, or the one that stands for it; images of which nothing came belong to no other."""
    sent = text_of(header, keyword)
    return usable_uid(sent, what) if sent else usable_uid(sent, what, sop_instance_uid)
