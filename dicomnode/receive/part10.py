"""DICOM File Format around a data set that came over the network (DICOM PS3.10 chapter 7)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

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
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(origin.sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(origin.sop_instance_uid)
    meta.TransferSyntaxUID = UID(origin.transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    meta.SourceApplicationEntityTitle = origin.calling_ae
    meta.ReceivingApplicationEntityTitle = origin.called_ae
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    return _PREFIX + buffer.getvalue()


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
