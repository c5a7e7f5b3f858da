"""Which instances are single slices of a CT that came from elsewhere: read off the header, with a coded reason.

Reception keeps all else as bytes only; a folder is read by the same rule.
"""

from __future__ import annotations

import re

from dicomnode.dicom.contexts import CT_IMAGE, MULTI_FRAME_CT
from dicomnode.dicom.equipment import is_made_here
from dicomnode.dicom.headers import SliceHeader, text_of
from dicomnode.dicom.uids import is_valid_uid
from dicomnode.errors import Refusal
from dicomnode.records import Header

_BY_SOP_CLASS = {
    **dict.fromkeys(MULTI_FRAME_CT, Refusal.MULTI_FRAME),
    "1.2.840.10008.5.1.4.1.1.7": Refusal.SECONDARY_CAPTURE,
    "1.2.840.10008.5.1.4.1.1.7.1": Refusal.SECONDARY_CAPTURE,  # multi-frame single bit
    "1.2.840.10008.5.1.4.1.1.7.2": Refusal.SECONDARY_CAPTURE,  # multi-frame grayscale byte
    "1.2.840.10008.5.1.4.1.1.7.3": Refusal.SECONDARY_CAPTURE,  # multi-frame grayscale word
    "1.2.840.10008.5.1.4.1.1.7.4": Refusal.SECONDARY_CAPTURE,  # multi-frame true colour
}

# Siemens writes the acquisition kind into value 4: "CT_SOM5 TOP" is a topogram, "CT_SOM5 MON" bolus monitoring.
_LOCALIZER_TYPE = re.compile(r"LOCALIZER|SCOUT|TOPOGRAM|SURVIEW|SCANOGRAM|CT_SOM\d+ TOP\b")
_SCREEN_TYPE = re.compile(r"SCREEN ?SAVE|^DOSE|^PROTOCOL|^REPORT")


def reason_not_used(header: Header, *, has_pixels: bool = True) -> Refusal | None:
    """Why one instance is kept as bytes only; None for a single-frame CT slice.

    A localizer is told by ImageType here, so that one inside a series of slices (older GE) does not spoil the series.

    Parameters
    ----------
    header : empty where the file could not be parsed.
    has_pixels : whether the data set holds Pixel Data; a file read without its pixels counts as having some.
    """
    sop_class = text_of(header, "SOPClassUID")
    if not sop_class:
        return Refusal.UNREADABLE
    if is_made_here(header):
        return Refusal.OWN_RESULT
    if sop_class != CT_IMAGE:
        return _BY_SOP_CLASS.get(sop_class, Refusal.NOT_CT)
    if not _is_identified(header):
        return Refusal.INVALID_UID
    return _reason_of_image(SliceHeader.of(header)) if has_pixels else Refusal.NO_PIXELS


def _is_identified(header: Header) -> bool:
    named = (text_of(header, keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
    return all(map(is_valid_uid, named))


def _reason_of_image(view: SliceHeader) -> Refusal | None:
    if view.modality and view.modality != "CT":
        return Refusal.NOT_CT
    if view.number_of_frames > 1:
        return Refusal.MULTI_FRAME
    if any(_LOCALIZER_TYPE.search(value) for value in view.image_type):
        return Refusal.LOCALIZER
    # Colour maps and dose pages come as CT images, too.
    if view.samples_per_pixel > 1 or any(_SCREEN_TYPE.search(value) for value in view.image_type):
        return Refusal.SECONDARY_CAPTURE
    return None
