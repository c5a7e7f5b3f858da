"""Reading files as they came: the one way in which images of others are parsed (DICOM PS3.10, PS3.5 chapter 7).

What a file gets wrong about its own encoding costs one value, not the file: group 0002 repeated within the data set, a
VR that does not exist, no preamble, no file meta information.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import data_element_generator, read_dataset, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomnode.dicom.bounded import (
    MAX_HEADER_BYTES,
    MAX_HEADER_ELEMENTS,
    MAX_IMAGE_BYTES,
    SLACK_BYTES,
    BoundedFile,
    image_bytes_of,
    inflated,
    within,
)
from dicomnode.dicom.mending import KNOWN_VRS, UNDEFINED_LENGTH, has_odd_item, with_known_vrs
from dicomnode.errors import Refusal, SeriesError

BAD_FILE = (
    InvalidDicomError,
    BytesLengthException,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What pydicom and its decoders raise on damaged or unsupported files; an OSError may be the disk's own."""

StopWhen = Callable[[BaseTag, str | None, int], bool]

PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
PREFIX_AT, META_AT, META_LENGTH_BYTES = 128, 132, 12
_META_BYTES = 4096
"""Room for preamble and file meta information."""
_PEEK_BYTES = 4096
MAX_SEQUENCE_BYTES = 4 << 20
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""Tag of an item in both byte orders."""
_ODD_STRUCTURE = (
    NotImplementedError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    struct.error,
)
"""What pydicom makes of a VR that it does not know, and of what follows it. Mended, the file may be read."""
_LEADING_ELEMENTS = 2_000
"""What names study and series stands among the first."""
_FIRST_GROUPS = frozenset({0x0002, 0x0008})
"""Of a file without preamble; a data set begins with SpecificCharacterSet, ImageType or the like."""


def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    """Stops before the pixels."""
    return tag in PIXEL_TAGS


def read_received(
    path: Path,
    stop_when: StopWhen | None = None,
    defer_bytes: int | None = None,
    max_elements: int = MAX_HEADER_ELEMENTS,
) -> FileDataset:
    """Parse a file as it came, within the bounds of :mod:`~dicomnode.dicom.bounded`.

    A file without preamble or file meta information is read where it begins like a data set; its transfer syntax is
    then the uncompressed one that its bytes follow. Elements of group 0002 within the data set are dropped: the file
    meta information, for what came by network that which was negotiated, decides.

    Parameters
    ----------
    stop_when : of tag, VR and length of an element, stops before the pixels; see :func:`at_pixels`. None: the pixels
        are wanted, too.
    defer_bytes : longer values are left on the disk.

    Raises
    ------
    SeriesError : ``HEADER_TOO_LARGE``; ``IMPLAUSIBLE_SIZE``: no image needs as much; ``EXPANDS_TOO_FAR``: a deflated
        data set holds more than its image needs.
    pydicom.errors.InvalidDicomError, OSError, ... : see :data:`BAD_FILE`.
    """
    with path.open("rb") as file:
        start = _data_set_at(file)
        if start is None and not _may_be_deflated(file):
            ds = _parsed(file, stop_when, defer_bytes, max_elements)
            if ds is not None and not _is_odd(ds, with_items=defer_bytes is None):
                ds.filename, ds.fileobj_type, ds.buffer = str(path), open, None
                return _with_syntax(ds)
        return _mended(file, path, start, stop_when, max_elements)


def read_leading(path: Path, defer_bytes: int | None = None) -> Dataset:
    """What stands in front of the place where a file cannot be read, or goes beyond the bounds. Never raises.

    Only of a file with file meta information, as the spool writes it; of another nothing.
    """
    leading: dict[BaseTag, Any] = {}
    meta = FileMetaDataset()
    with contextlib.suppress(Exception), path.open("rb") as file:
        content = file.read(MAX_HEADER_BYTES)
        end_of_meta = _behind_meta(content)
        meta = read_partial(BytesIO(content[:end_of_meta])).file_meta
        body, syntax = content[_behind_group_2(content, end_of_meta) :], meta.TransferSyntaxUID
        if syntax == DeflatedExplicitVRLittleEndian:
            body, _ = inflated(BytesIO(body), MAX_HEADER_BYTES)
        reader: Any = BoundedFile(BytesIO(body), max_elements=_LEADING_ELEMENTS)
        is_implicit, is_little_endian = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
        for element in data_element_generator(reader, is_implicit, is_little_endian, at_pixels, defer_bytes):
            leading[BaseTag(element.tag)] = element
    ds = Dataset(leading)
    ds.file_meta = meta
    return ds


def _parsed(
    file: BinaryIO, stop_when: StopWhen | None, defer_bytes: int | None, max_elements: int
) -> FileDataset | None:
    """As pydicom reads it; None where it meets a VR that it does not know."""
    force = _begins_like_a_data_set(file)
    bounded = BoundedFile(file, max_bytes=_most_bytes(stop_when), max_elements=max_elements)
    try:
        ds = within(bounded, lambda fp: read_partial(fp, stop_when, defer_bytes, force=force))
    except _ODD_STRUCTURE as fault:
        if isinstance(fault, OSError) and fault.errno is not None:
            raise  # of the system; pydicom's own have no number
        return None
    if max_elements == MAX_HEADER_ELEMENTS:
        _require_modest_sequences(ds)
    return ds


def _require_modest_sequences(ds: Dataset) -> None:
    """Sequences of a defined length are parsed when somebody looks at them: not where they hold too much for that.

    Raises
    ------
    SeriesError : ``HEADER_TOO_LARGE``.
    """
    # As they lie there: to ask for an element by its tag takes as long as to read it.
    raw = [one for one in ds.values() if isinstance(one, RawDataElement)]
    values = [one.value for one in raw if one.VR in ("SQ", "UN", None)]
    items = [value for value in values if isinstance(value, bytes) and value[:4] in _ITEMS]
    if (
        sum(map(len, items)) > MAX_SEQUENCE_BYTES
        or sum(value.count(value[:4]) for value in items) > MAX_HEADER_ELEMENTS
    ):
        raise SeriesError(Refusal.HEADER_TOO_LARGE, "sequences")


def _most_bytes(stop_when: StopWhen | None) -> int:
    return MAX_HEADER_BYTES + (MAX_IMAGE_BYTES + SLACK_BYTES if stop_when is None else 0)


def _may_be_deflated(file: BinaryIO) -> bool:
    """Whether the syntax is named where file meta information stands; pydicom would inflate all there is."""
    file.seek(0)
    return DeflatedExplicitVRLittleEndian.encode() in file.read(_META_BYTES)


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


def _is_odd(ds: Dataset, *, with_items: bool) -> bool:
    """Whether an element has no VR that exists although the encoding is explicit; also within sequences."""
    return any(_is_odd_element(one, with_items) for one in ds.values())


def _is_odd_element(one: Any, with_items: bool) -> bool:
    if not isinstance(one, RawDataElement):
        return with_items and one.VR == "SQ" and any(_is_odd(item, with_items=True) for item in one.value)
    if one.is_implicit_VR:
        return False
    is_sequence = with_items and one.VR == "SQ" and isinstance(one.value, bytes)
    return one.VR not in KNOWN_VRS or (is_sequence and has_odd_item(one.value, one.is_little_endian))  # type: ignore[arg-type]


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


def _mended(
    file: BinaryIO, path: Path, start: int | None, stop_when: StopWhen | None, max_elements: int
) -> FileDataset:
    """Parsed again from bytes that were mended."""
    file.seek(0)
    content = file.read(_most_bytes(stop_when) + 1)
    if stop_when is None and len(content) > _most_bytes(stop_when):
        raise SeriesError(Refusal.IMPLAUSIBLE_SIZE, "the file alone is larger than any image")
    if start is None:
        start = _behind_meta(content)
        # Only of a file without meta information are the first bytes of the data set looked at.
        first = read_partial(BytesIO(content[: start or _PEEK_BYTES]), lambda *_: True, force=start == 0)
    else:
        first = read_partial(BytesIO(content[:start]))
        start = _behind_group_2(content, start)
    syntax = _with_syntax(first).file_meta.TransferSyntaxUID
    is_implicit, is_little_endian = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian

    def parsed(body: bytes, stop: StopWhen | None) -> Dataset:
        mended = body if is_implicit else with_known_vrs(body, is_little_endian)
        bounded = BoundedFile(BytesIO(mended), max_bytes=_most_bytes(stop), max_elements=max_elements)
        return within(bounded, lambda fp: read_dataset(fp, is_implicit, is_little_endian, stop_when=stop))

    body = content[start:]
    if syntax == DeflatedExplicitVRLittleEndian:
        body = _inflated_body(body, stop_when, parsed)
    ds = without_group_2(parsed(body, stop_when))
    return FileDataset(str(path), ds, first.preamble, first.file_meta, is_implicit, is_little_endian)


def _inflated_body(packed: bytes, stop_when: StopWhen | None, parsed: Callable[[bytes, StopWhen], Dataset]) -> bytes:
    """Header alone, or with as many pixels as the header speaks of: the rest of a bomb is never inflated."""
    body, is_all = inflated(BytesIO(packed), MAX_HEADER_BYTES)
    reached: list[BaseTag] = []

    def stop(tag: BaseTag, vr: str | None, length: int) -> bool:
        reached.extend([tag] * at_pixels(tag, vr, length))
        return bool(reached)

    header = parsed(body, stop)
    if not is_all and not reached:
        raise SeriesError(Refusal.HEADER_TOO_LARGE, "bytes")
    if is_all or stop_when is not None:
        return body
    body, is_all = inflated(BytesIO(packed), MAX_HEADER_BYTES + image_bytes_of(header) + SLACK_BYTES)
    if not is_all:
        raise SeriesError(Refusal.EXPANDS_TOO_FAR, f"{len(body)} bytes and more of {len(packed)}")
    return body


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
