"""DICOM File Format around a data set that came over the network (DICOM PS3.10 chapter 7)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from dicomnode.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREFIX = b"\x00" * 128 + b"DICM"
_LENGTH_ELEMENT_BYTES = 12
"""Of File Meta Information Group Length, which tells how many bytes follow it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whence an instance came and what it was said to be, by the association and the C-STORE command."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    called_ae: str = ""


def preamble_of(origin: Origin) -> bytes:
    """Preamble, prefix and file meta information; the bytes of the data set follow unchanged."""
    # Written here: pydicom takes as long for it as for all else that an image costs before it is on the disk.
    elements = (
        _element(0x0002, b"UI", origin.sop_class_uid),
        _element(0x0003, b"UI", origin.sop_instance_uid),
        _element(0x0010, b"UI", origin.transfer_syntax_uid),
        _IMPLEMENTATION,
        _element(0x0016, b"AE", origin.calling_ae),
        _element(0x0018, b"AE", origin.called_ae),
    )
    meta = _VERSION + b"".join(elements)
    return _PREFIX + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(meta)) + meta


def _element(element: int, vr: bytes, text: str) -> bytes:
    """An element of group 0002, explicit VR little endian (PS3.5 7.1.2), padded to an even length."""
    value = text.encode("latin-1", "replace")
    value += (b"\x00" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


_VERSION = struct.pack("<HH2sHL2s", 2, 1, b"OB", 0, 2, b"\x00\x01")
_IMPLEMENTATION = _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID) + _element(
    0x0013, b"SH", IMPLEMENTATION_VERSION_NAME
)


def origin_of(path: Path) -> Origin:
    """The origin of a file that :func:`preamble_of` began; its inverse.

    Raises
    ------
    OSError, ValueError, pydicom.errors.InvalidDicomError : the file does not begin like one of the spool.
    """
    meta = read_file_meta_info(path)
    return Origin(
        sop_class_uid=str(meta.get("MediaStorageSOPClassUID", "")),
        sop_instance_uid=str(meta.get("MediaStorageSOPInstanceUID", "")),
        transfer_syntax_uid=str(meta.get("TransferSyntaxUID", "")),
        calling_ae=str(meta.get("SourceApplicationEntityTitle", "")),
        called_ae=str(meta.get("ReceivingApplicationEntityTitle", "")),
    )


def data_offset_of(path: Path) -> int:
    """Offset of the data set in a file that :func:`preamble_of` began.

    Raises
    ------
    OSError : the file cannot be read.
    ValueError : it does not begin like one of the spool.
    """
    head_bytes = len(_PREFIX) + _LENGTH_ELEMENT_BYTES
    with path.open("rb") as file:
        head = file.read(head_bytes)
    if len(head) < head_bytes or head[len(_PREFIX) : len(_PREFIX) + 8] != b"\x02\x00\x00\x00UL\x04\x00":
        raise ValueError("not a file of the spool: no file meta information")
    return head_bytes + int(struct.unpack("<L", head[-4:])[0])
