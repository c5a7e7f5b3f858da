"""What a file says about itself: the technical header, and whether it is a CT slice at all. Parsing never fails."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from dicomnode.dicom.contexts import DEFLATED
from dicomnode.dicom.equipment import is_made_here
from dicomnode.dicom.headers import header_of, text_of
from dicomnode.dicom.mending import with_known_vrs
from dicomnode.dicom.received import PIXEL_TAGS, read_received
from dicomnode.dicom.rejections import rejection_in
from dicomnode.environment import raise_unless_it_stays
from dicomnode.kinds import KEY_OBJECT_SELECTION
from dicomnode.receive.part10 import data_offset_of
from dicomnode.records import Header, RejectionNote

log = logging.getLogger(__name__)

DEFER_BYTES = 64 << 10
"""Longer values stay on the disk: no header element that decides anything is as long."""
MAX_INFLATED_BYTES = 64 << 20
"""How much of a deflated data set is inflated to read its header; it may be a bomb, and pydicom would inflate all."""

MAX_KEY_OBJECT_BYTES = 64 << 20
"""A key object of a study with ten thousand images has about 2 MB."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one file.

    Attributes
    ----------
    header : technical attributes; empty where the file could not be parsed.
    has_pixels : whether the data set holds (Float, Double Float) Pixel Data.
    rejection : what it rejects, where it is a rejection note that was not made here.
    """

    header: Header = field(default_factory=dict)
    has_pixels: bool = False
    rejection: RejectionNote | None = None


def read(path: Path, transfer_syntax_uid: str) -> Reading:
    """Parse a file up to its pixels. Whatever cannot be parsed yields an empty header, never an error.

    That the file could not be read says nothing about what is in it.

    Parameters
    ----------
    path : of a DICOM file (PS3.10 chapter 7).

    Raises
    ------
    OSError, MemoryError : the disk or the memory failed; see :mod:`dicomnode.environment`.
    """
    try:
        return _with_rejection(_read(path, transfer_syntax_uid), path)
    except Exception as fault:  # noqa: BLE001 (rule 2: what a peer sends may break pydicom anywhere; the bytes are kept)
        raise_unless_it_stays(fault)
        # Not the message: it may quote a value.
        log.warning("instance cannot be parsed", extra={"action": "read", "error": type(fault).__name__})
        return Reading()


def _read(path: Path, transfer_syntax_uid: str) -> Reading:
    seen: list[BaseTag] = []

    def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        if tag in PIXEL_TAGS:
            seen.append(tag)
        return tag in PIXEL_TAGS

    if transfer_syntax_uid == DEFLATED:
        body = with_known_vrs(_inflated(path), is_little_endian=True)
        ds = read_dataset(BytesIO(body), False, True, stop_when=at_pixels)
        return Reading({**header_of(ds), "TransferSyntaxUID": transfer_syntax_uid}, bool(seen))
    ds = read_received(path, at_pixels, DEFER_BYTES)
    return Reading(header_of(ds), bool(seen))


def _with_rejection(reading: Reading, path: Path) -> Reading:
    """A key object is read whole: what it rejects stands in its sequences."""
    if text_of(reading.header, "SOPClassUID") != KEY_OBJECT_SELECTION or is_made_here(reading.header):
        return reading
    if path.stat().st_size > MAX_KEY_OBJECT_BYTES:
        log.warning("key object too large to be read", extra={"action": "read"})
        return reading
    return replace(reading, rejection=rejection_in(read_received(path)))


def _inflated(path: Path) -> bytes:
    """The beginning of a deflated data set (DICOM PS3.5 A.5), as much of it as may be held in memory."""
    with path.open("rb") as file:
        file.seek(data_offset_of(path))
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        return inflater.decompress(file.read(MAX_INFLATED_BYTES), MAX_INFLATED_BYTES)
