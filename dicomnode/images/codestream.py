"""Does compressed pixel data hold the image that its header speaks of? Asked before a decoder believes it.

A decoder makes room for what the codestream says: 40 bytes of JPEG 2000 may ask for 60000 x 60000 pixels.
References: ITU-T T.81 B.2.2, T.87 C.2.2, T.800 A.5.1; DICOM PS3.5 annex G.
"""

from __future__ import annotations

import struct

from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import RLELossless

from dicomnode.dicom.bounded import image_bytes_of
from dicomnode.dicom.values import number_of
from dicomnode.errors import Refusal, SeriesError

MAX_GROWTH = 2
"""Compressed pixels may be larger than the image; noise is, by a few per cent."""
SLACK_BYTES = 64 << 10

_SIZ = b"\xff\x4f\xff\x51"
_BOX_BYTES = 1024
"""Some writers wrap the codestream into the boxes of a JP2 file."""
_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})
_LS_FRAME = 0xF7
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


def require_decodable(ds: Dataset) -> None:
    """Whether the pixel data of a single frame may be given to a decoder.

    Raises
    ------
    SeriesError : ``IMPLAUSIBLE_SIZE``, with both sizes.
    """
    expected = image_bytes_of(ds)
    syntax = ds.file_meta.get("TransferSyntaxUID")
    if not getattr(syntax, "is_encapsulated", False):
        return
    if len(ds.PixelData) > MAX_GROWTH * expected + SLACK_BYTES:
        raise SeriesError(Refusal.IMPLAUSIBLE_SIZE, f"{len(ds.PixelData)} bytes of pixel data for {expected}")
    frame = bytes(get_frame(ds.PixelData, 0, number_of_frames=1))
    rows, columns, samples = (int(number_of(ds, keyword) or 0) for keyword in ("Rows", "Columns", "SamplesPerPixel"))
    if syntax == RLELossless:
        _require_segments(frame, samples * int(number_of(ds, "BitsAllocated") or 0) // 8)
        return
    size = size_of(frame)
    if size is not None and size != (rows, columns, samples):
        raise SeriesError(
            Refusal.IMPLAUSIBLE_SIZE, f"{_said(size)} in the codestream, {_said((rows, columns, samples))}"
        )


def _said(size: tuple[int, int, int]) -> str:
    return " x ".join(map(str, size))


def _require_segments(frame: bytes, expected: int) -> None:
    (segments,) = struct.unpack_from("<L", frame)
    if segments != expected:
        raise SeriesError(Refusal.IMPLAUSIBLE_SIZE, f"{segments} RLE segments, {expected} by the header")


def size_of(frame: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples that a codestream of any JPEG names; None where it names none."""
    at = frame.find(_SIZ, 0, _BOX_BYTES)
    if at >= 0 and len(frame) >= at + 42:
        right, bottom, left, top = struct.unpack_from(">4L", frame, at + 8)
        return max(0, bottom - top), max(0, right - left), int(struct.unpack_from(">H", frame, at + 40)[0])
    return _size_of_jpeg(frame) if frame[:2] == b"\xff\xd8" else None


def _size_of_jpeg(frame: bytes) -> tuple[int, int, int] | None:
    at = 2
    while at + 4 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _LS_FRAME or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME):
            if at + 10 > len(frame):
                return None
            rows, columns, samples = struct.unpack_from(">HHB", frame, at + 5)
            return rows, columns, samples
        at += 2 + int(struct.unpack_from(">H", frame, at + 2)[0])
    return None
