"""What a file says about itself: the technical header, and whether it is a CT slice at all. Parsing never fails.

Nothing is decoded here, and nothing is read beyond bounds: this is the process that receives.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydicom.tag import BaseTag

from dicomnode.dicom.equipment import is_made_here
from dicomnode.dicom.headers import essential, header_of, is_too_large, text_of
from dicomnode.dicom.received import PIXEL_TAGS, read_leading, read_received
from dicomnode.dicom.rejections import rejection_in
from dicomnode.environment import raise_unless_it_stays
from dicomnode.errors import Refusal, SeriesError
from dicomnode.kinds import KEY_OBJECT_SELECTION
from dicomnode.records import Header, RejectionNote

log = logging.getLogger(__name__)

DEFER_BYTES = 64 << 10
"""Longer values stay on the disk: no header element that decides anything is as long."""
MAX_KEY_OBJECT_BYTES = 8 << 20
"""A key object of a study with ten thousand images has about 2 MB."""
MAX_KEY_OBJECT_ITEMS, MAX_KEY_OBJECT_ELEMENTS = 50_000, 200_000
"""Three items for an image."""

_ITEM = b"\xfe\xff\x00\xe0"
"""Tag of an item, little endian, as nearly all are sent."""
_one_key_object = threading.Lock()
"""Read whole, each takes some hundred times its size: one at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read of one file.

    Attributes
    ----------
    header : technical attributes; where the file could not be parsed, those in front of that place.
    has_pixels : whether the data set holds (Float, Double Float) Pixel Data.
    refusal : why the file is of no use, whatever its header says; None where it is not known to be of none.
    rejection : what it rejects, where it is a rejection note that was not made here.
    """

    header: Header = field(default_factory=dict)
    has_pixels: bool = False
    refusal: Refusal | None = None
    rejection: RejectionNote | None = None


def read(path: Path) -> Reading:
    """Parse a file of the spool up to its pixels. What cannot be parsed yields what stands before it, never an error.

    That the file could not be read says nothing about what is in it.

    Parameters
    ----------
    path : of a DICOM file (PS3.10 chapter 7).

    Raises
    ------
    OSError, MemoryError : the disk or the memory failed; see :mod:`dicomnode.environment`.
    """
    try:
        return _with_rejection(_bounded(_read(path)), path)
    except SeriesError as fault:
        log.warning("instance is not read", extra={"action": "read", "refusal": fault.refusal, "detail": fault.detail})
        refusal = fault.refusal
    except Exception as fault:  # noqa: BLE001 (rule 2: what a peer sends may break pydicom anywhere; the bytes are kept)
        raise_unless_it_stays(fault)
        # Not the message: it may quote a value.
        log.warning("instance cannot be parsed", extra={"action": "read", "error": type(fault).__name__})
        refusal = Refusal.UNREADABLE
    return read_leading_alone(path, refusal)


def read_leading_alone(path: Path, refusal: Refusal) -> Reading:
    """What stands in front of the place where a file cannot be read, and why it is of no use."""
    return Reading(header=essential(header_of(read_leading(path, DEFER_BYTES))), refusal=refusal)


def _read(path: Path) -> Reading:
    seen: list[BaseTag] = []

    def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        if tag in PIXEL_TAGS:
            seen.append(tag)
        return tag in PIXEL_TAGS

    ds = read_received(path, at_pixels, DEFER_BYTES)
    return Reading(header=header_of(ds), has_pixels=bool(seen))


def _bounded(reading: Reading) -> Reading:
    if not is_too_large(reading.header):
        return reading
    log.warning("instance is not read", extra={"action": "read", "refusal": Refusal.HEADER_TOO_LARGE})
    return replace(reading, header=essential(reading.header), refusal=Refusal.HEADER_TOO_LARGE)


def _with_rejection(reading: Reading, path: Path) -> Reading:
    """A key object is read whole: what it rejects stands in its sequences."""
    if text_of(reading.header, "SOPClassUID") != KEY_OBJECT_SELECTION or is_made_here(reading.header):
        return reading
    if path.stat().st_size > MAX_KEY_OBJECT_BYTES or path.read_bytes().count(_ITEM) > MAX_KEY_OBJECT_ITEMS:
        log.warning("key object too large to be read", extra={"action": "read"})
        return reading
    with _one_key_object:
        return replace(reading, rejection=rejection_in(read_received(path, max_elements=MAX_KEY_OBJECT_ELEMENTS)))
