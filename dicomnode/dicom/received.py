"""Reading files as they came: the one way in which images of others are parsed (DICOM PS3.10, PS3.5 chapter 7).

What a file gets wrong about its own encoding costs one value, not the file: group 0002 repeated within the data set, a
VR that does not exist, no preamble, no file meta information.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomnode.dicom.mending import KNOWN_VRS, UNDEFINED_LENGTH, with_known_vrs

StopWhen = Callable[[BaseTag, str | None, int], bool]

PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
PREFIX_AT, META_AT, META_LENGTH_BYTES = 128, 132, 12
_FIRST_GROUPS = frozenset({0x0002, 0x0008})
"""Of a file without preamble; a data set begins with SpecificCharacterSet, ImageType or the like."""


def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    """Stops before the pixels."""
    return tag in PIXEL_TAGS


def read_received(path: Path, stop_when: StopWhen | None = None, defer_bytes: int | None = None) -> FileDataset:
    """Parse a file as it came.

    A file without preamble or file meta information is read where it begins like a data set; its transfer syntax is
    then the uncompressed one that its bytes follow. Elements of group 0002 within the data set are dropped: the file
    meta information, for what came by network that which was negotiated, decides.

    Parameters
    ----------
    stop_when : of tag, VR and length of an element; see :func:`at_pixels`.
    defer_bytes : longer values are left on the disk.

    Raises
    ------
    pydicom.errors.InvalidDicomError, OSError, ... : see :data:`dicomnode.images.pixels.BAD_FILE`.
    """
    with path.open("rb") as file:
        start = _data_set_at(file)
        if start is None:
            ds = _parsed(file, stop_when, defer_bytes)
            if ds is not None and not _is_odd(ds):
                return _with_syntax(ds)
        return _mended(file, path, start, stop_when)


def _parsed(file: BinaryIO, stop_when: StopWhen | None, defer_bytes: int | None) -> FileDataset | None:
    """As pydicom reads it; None where it meets a VR that it does not know."""
    try:
        return read_partial(file, stop_when, defer_bytes, force=_begins_like_a_data_set(file))
    except NotImplementedError:
        return None


def _begins_like_a_data_set(file: BinaryIO) -> bool:
    """Whether a file without preamble is one all the same; leaves the file at its beginning."""
    file.seek(0)
    head = file.read(8)
    file.seek(0)
    if len(head) < 8:
        return False
    groups = {struct.unpack_from(f"{order}H", head)[0] for order in "<>"}
    length = struct.unpack_from("<L", head, 4)[0]
    return bool(groups & _FIRST_GROUPS) and (head[4:6].decode("latin-1") in KNOWN_VRS or length < 1 << 16)


def _is_odd(ds: FileDataset) -> bool:
    """Whether an element has no VR that exists although the encoding is explicit."""
    is_implicit, _ = ds.original_encoding
    raw: Iterator[Any] = (ds.get_item(tag) for tag in ds.keys())  # noqa: SIM118 (a dataset iterates over its elements)
    return not is_implicit and any(isinstance(one, RawDataElement) and one.VR not in KNOWN_VRS for one in raw)


def _with_syntax(ds: FileDataset) -> FileDataset:
    """With the transfer syntax that the bytes follow, where no file meta information names one."""
    if not ds.file_meta.get("TransferSyntaxUID"):
        is_implicit, is_little_endian = ds.original_encoding
        explicit = ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
    return ds


def _data_set_at(file: BinaryIO) -> int | None:
    """Where the data set begins by the length of the file meta information, if group 0002 goes on behind it."""
    file.seek(0)
    head = file.read(META_AT + META_LENGTH_BYTES)
    if head[PREFIX_AT : META_AT + 8] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        return None
    start = len(head) + int(struct.unpack("<L", head[-4:])[0])
    file.seek(start)
    if file.read(2) != b"\x02\x00":
        return None
    file.seek(0)
    meta = read_partial(BytesIO(file.read(start))).file_meta
    return start if meta.get("TransferSyntaxUID") else None


def _mended(file: BinaryIO, path: Path, start: int | None, stop_when: StopWhen | None) -> FileDataset:
    """Parsed again from bytes that were mended."""
    file.seek(0)
    content = file.read()
    if start is None:
        first = read_partial(BytesIO(content), lambda *_: True, force=_begins_like_a_data_set(file))
        start = _behind_meta(content)
    else:
        first = read_partial(BytesIO(content[:start]))
        start = _behind_group_2(content, start)
    syntax = _with_syntax(first).file_meta.TransferSyntaxUID
    is_implicit, is_little_endian = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    body = content[start:]
    if syntax == DeflatedExplicitVRLittleEndian:
        body = zlib.decompress(body, -zlib.MAX_WBITS)
    if not is_implicit:
        body = with_known_vrs(body, is_little_endian)
    ds = without_group_2(read_dataset(BytesIO(body), is_implicit, is_little_endian, stop_when=stop_when))
    return FileDataset(str(path), ds, first.preamble, first.file_meta, is_implicit, is_little_endian)


def _behind_meta(content: bytes) -> int:
    """Where the data set begins, whatever the file meta information says of its length."""
    start = META_AT if content[PREFIX_AT:META_AT] == b"DICM" else 0
    return _behind_group_2(content, start)


def _behind_group_2(content: bytes, at: int) -> int:
    """Behind elements of group 0002, explicit or implicit, little endian.

    Raises
    ------
    InvalidDicomError : one of them has no length that can be read.
    """
    while content[at : at + 2] == b"\x02\x00":
        vr = content[at + 4 : at + 6].decode("latin-1")
        if vr in ("OB", "UN"):
            length, head = struct.unpack_from("<L", content, at + 8)[0], 12
        elif vr in KNOWN_VRS:
            length, head = struct.unpack_from("<H", content, at + 6)[0], 8
        else:
            length, head = struct.unpack_from("<L", content, at + 4)[0], 8
        if length == UNDEFINED_LENGTH:
            raise InvalidDicomError("group 0002 without end")
        at += head + length
    return at


def without_group_2(ds: Dataset) -> Dataset:
    """The data set without elements that belong to file meta information, in place."""
    for tag in [tag for tag in ds.keys() if BaseTag(tag).group == 2]:  # noqa: SIM118
        del ds[tag]
    return ds
