"""The technical header of one instance: what later stages decide by, without persons and without bulk data."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.dicom.values import BROKEN_VALUE
from dicomnode.environment import raise_unless_it_stays
from dicomnode.records import Header, HeaderValue

MAX_TEXT = 1024
"""Characters kept of one value; no technical attribute needs more, a forged one may be gigabytes long."""
MAX_VALUES = 64
"""Values kept of a multi-valued element; longer ones are tables, not descriptions."""
MAX_HEADER_CHARACTERS = 64 << 10
"""Kept of one instance, as JSON; those of CT images have some thousand."""

_INTEGER_VRS = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "IS"})
_FLOAT_VRS = frozenset({"DS", "FL", "FD"})
_TEXT_VRS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UC", "UI", "UR"})

_SIZES = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "UV": 8, "SV": 8, "FD": 8}
"""Bytes of one value."""

_PATIENT_GROUPS = frozenset({0x0010, 0x0038})
_KEPT_OF_PATIENT = frozenset({"PatientAge", "PatientSex"})
"""A protocol may be for adults only; neither tells who the patient is."""
_PERSONAL_KEYWORD = re.compile(r"Address|Phone|Birth|PatientID|PatientName|PersonIdentification|Comments")

_BROKEN_VALUE = (*BROKEN_VALUE, UserWarning)
"""UserWarning where warnings are turned into errors."""


class _LeftOut(Enum):
    """An element without a usable value, told apart from an empty one (None)."""

    LEFT_OUT = "left out"


def header_of(ds: Dataset) -> Header:
    """Keyword to value of the top-level elements that describe the image, JSON-able. Never raises.

    Left out: private elements, sequences, bulk data, person names, long texts and all that identifies the patient
    (groups 0010 and 0038 but age and sex, addresses, telephone numbers, birth dates, comments).

    Parameters
    ----------
    ds : of one instance, with or without pixels. Its ``file_meta`` gives ``TransferSyntaxUID``.

    Returns
    -------
    Header : DS and floating point -> float, IS and binary integers -> int, DA, TM, DT, UI, CS, LO and the like -> str,
        several values -> list. An empty text is ``""``, an empty number None. A number that cannot be read is kept as
        text; a value that cannot be read at all is left out.
    """
    header = _header_of_elements(ds, sorted(ds.items(), key=_place))
    syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
    if syntax:
        header["TransferSyntaxUID"] = str(syntax)
    return header


def is_too_large(header: Header) -> bool:
    """Whether a header is more than the database keeps of an instance."""
    return len(json.dumps(header)) > MAX_HEADER_CHARACTERS


def essential(header: Header) -> Header:
    """What tells of a header which image it belongs to, and what kind that is; without what is long among that."""
    wanted = {keyword: header[keyword] for keyword in (*_SLICE_KEYWORDS, *_ESSENTIAL) if keyword in header}
    return {keyword: value for keyword, value in wanted.items() if len(json.dumps(value)) <= MAX_TEXT}


def _place(element: tuple[BaseTag, Any]) -> int:
    return int(element[0])


def _header_of_elements(ds: Dataset, elements: Iterable[tuple[BaseTag, Any]]) -> Header:
    """Of some elements as they lie in the dataset: to ask it for each by its tag takes as long as to read it."""
    set_up_pydicom()
    header: Header = {}
    for tag, raw in elements:
        # Tags compare in Python, numbers do not.
        keyword = _technical_keyword(int(tag))
        if not keyword:
            continue
        value = _value_of(ds, tag, raw)
        if not isinstance(value, _LeftOut):
            header[keyword] = value
    return header


def is_technical(keyword: str) -> bool:
    """Whether :func:`header_of` can ever hold this keyword.

    >>> is_technical("StudyDescription"), is_technical("PatientName"), is_technical("StudyDescripton")
    (True, False, False)
    """
    tag = tag_for_keyword(keyword)
    return (
        tag is not None
        and bool(_technical_keyword(tag))
        and _converter(dictionary_VR(tag).split(" or ")[0]) is not None
    )


@lru_cache(maxsize=4096)
def _technical_keyword(number: int) -> str:
    """Keyword of an element that a header may hold; ``""`` for one it may not."""
    tag = BaseTag(number)
    if tag.is_private or tag.group == 0x7FE0:
        return ""
    keyword = keyword_for_tag(tag)
    if tag.group in _PATIENT_GROUPS and keyword not in _KEPT_OF_PATIENT:
        return ""
    return "" if _PERSONAL_KEYWORD.search(keyword) else keyword


def _value_of(ds: Dataset, tag: BaseTag, raw: Any) -> HeaderValue | _LeftOut:
    """Plain value of one element; the bytes as text where pydicom cannot convert them."""
    if not _is_worth_converting(raw):
        return _LeftOut.LEFT_OUT
    if isinstance(raw, RawDataElement):
        values = as_written(raw.VR or _vr_of(int(tag)), raw.value, is_little_endian=raw.is_little_endian)
        if values:
            return values[0] if len(values) == 1 else values
    try:
        element = ds[tag]
        convert = _converter(element.VR)
        return _LeftOut.LEFT_OUT if convert is None else _plain(element.value, convert)
    except _BROKEN_VALUE as error:
        raise_unless_it_stays(error)
        raw = ds.get_item(tag)
        vr, value = getattr(raw, "VR", None), getattr(raw, "value", None)
        if isinstance(value, bytes) and vr in _TEXT_VRS | {"DS", "IS"}:
            return _text(value.decode("ascii", "replace"))
        return _LeftOut.LEFT_OUT


@lru_cache(maxsize=4096)
def _vr_of(tag: int) -> str:
    """By the dictionary, for an element that came without; empty where that leaves a choice."""
    return dictionary_VR(tag) if dictionary_has_tag(tag) else ""


def as_written(vr: str, value: object, *, is_little_endian: bool = True) -> list[str | float | int | None]:
    """The values of an element that is written as the standard says; empty where a library has to look at it.

    Nearly all elements of nearly all images: nothing, numbers, or ASCII. What pydicom makes of them is the same, and
    takes ten times as long for each image that arrives.
    """
    if value in (None, b""):
        return [_NOTHING[vr]] if vr in _NOTHING else []
    if not isinstance(value, bytes):
        return []
    if vr in _BINARY:
        return _unpacked(vr, value, is_little_endian=is_little_endian)
    read, pattern = _AS_WRITTEN.get(vr, (_text, _NEVER))
    if len(value) > MAX_TEXT or not pattern.fullmatch(value):
        return []
    return [read(part) for part in value.decode("ascii").rstrip("\0").split("\\")]


def _unpacked(vr: str, value: bytes, *, is_little_endian: bool) -> list[str | float | int | None]:
    count, over = divmod(len(value), _SIZES[vr])
    if over:
        return []
    numbers = struct.unpack(f"{'<' if is_little_endian else '>'}{count}{_BINARY[vr]}", value)
    return [_number(number) for number in numbers] if vr in _FLOAT_VRS else list(numbers)


def _is_worth_converting(raw: Any) -> bool:
    """Whether a value can come of it: pydicom would parse whole sequences, and read from the disk what was deferred."""
    if not isinstance(raw, RawDataElement):
        return True
    vr, value = raw.VR, raw.value
    if vr in (None, "UN"):
        vr = _vr_of(int(raw.tag)).partition(" ")[0] or "UN"
    if _converter(vr) is None or (value is None and raw.length > 0):
        return False
    if not value or len(value) < MAX_VALUES:
        return True  # nearly all: too short for more values
    separators = value.count(b"\\") if isinstance(value, bytes) else 0
    return separators < MAX_VALUES and len(value) // _SIZES.get(vr, 1 << 30) <= MAX_VALUES


def _converter(vr: str) -> Callable[[Any], str | float | int | None] | None:
    if vr in _INTEGER_VRS:
        return _integer
    if vr in _FLOAT_VRS:
        return _number
    return _text if vr in _TEXT_VRS else None


def _plain(value: Any, convert: Callable[[Any], str | float | int | None]) -> HeaderValue | _LeftOut:
    """The value, or the list of values, by ``convert``."""
    if isinstance(value, (MultiValue, list, tuple)):
        if len(value) > MAX_VALUES:
            return _LeftOut.LEFT_OUT
        return [convert(item) for item in value]
    if value is None or value == "":
        return "" if convert is _text else None
    return convert(value)


def _text(value: Any) -> str:
    """Text that any database takes: no NUL, no lone surrogates, at most MAX_TEXT characters."""
    text = str(value)[:MAX_TEXT].replace("\x00", "").strip()
    return text.encode("utf-8", "replace").decode("utf-8")


def _several(one: bytes) -> re.Pattern[bytes]:
    return re.compile(rb" *" + one + rb" *(\\ *" + one + rb" *)*\0?")


_NEVER = re.compile(rb"(?!)")
_BINARY = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
"""As :mod:`struct` names them."""
_NOTHING: dict[str, str | None] = {**dict.fromkeys(_TEXT_VRS, ""), **dict.fromkeys(_INTEGER_VRS | _FLOAT_VRS)}
# No escape sequence, and neither of the two characters that Japanese character sets have another sign for.
_AS_WRITTEN: dict[str, tuple[Callable[[str], str | float | int | None], re.Pattern[bytes]]] = {
    **dict.fromkeys(_TEXT_VRS - {"UC", "UR"}, (_text, _several(rb"[!-\[\]-}]([ -\[\]-}]*[!-\[\]-}])?"))),
    "DS": (float, _several(rb"[+-]?\d{1,12}(\.\d{0,12})?([eE][+-]?\d{1,2})?")),
    "IS": (int, _several(rb"[+-]?\d{1,9}")),
}


def _integer(value: Any) -> str | int | None:
    if value is None or value == "":
        return None
    try:
        # An IS of "1.5" comes as a float: no number of anything.
        return int(value) if int(value) == value else _text(value)
    except (ValueError, TypeError, OverflowError):
        return _text(value)


def _number(value: Any) -> str | float | None:
    """A finite float; JSON knows no NaN and no infinity."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        return _text(value)
    return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceHeader:
    """Typed view of a :data:`~dicomnode.records.Header`; what is absent or unreadable is None or empty.

    Attributes
    ----------
    image_type : values of ImageType, upper case (DICOM PS3.3 C.7.6.1.1.2).
    position_mm : ImagePositionPatient, centre of the first voxel, LPS.
    orientation : ImageOrientationPatient, row cosines then column cosines.
    pixel_spacing_mm : PixelSpacing, distance between rows, then between columns.
    acquired_at : ISO 8601 wall clock time of the scanner without offset, from AcquisitionDateTime, else
        AcquisitionDate and AcquisitionTime.
    irradiation_event_uid : the first one; some vendors write several values.
    kernel : values of ConvolutionKernel joined by a backslash, as in the file.
    rescale : slope and intercept (DICOM PS3.3 C.11.1).
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_uid: str
    series_uid: str
    modality: str
    manufacturer: str
    image_type: tuple[str, ...]
    position_mm: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, float] | None
    rows: int | None
    columns: int | None
    slice_thickness_mm: float | None
    frame_of_reference_uid: str | None
    acquisition_number: int | None
    acquired_at: str | None
    irradiation_event_uid: str | None
    kernel: str
    series_description: str
    rescale: tuple[float, float] | None
    samples_per_pixel: int
    number_of_frames: int

    @classmethod
    def of(cls, header: Header) -> SliceHeader:
        """Read the typed values out of a header; never raises."""
        position = numbers_of(header, "ImagePositionPatient", 3)
        spacing = numbers_of(header, "PixelSpacing", 2)
        slope, intercept = number_of(header, "RescaleSlope"), number_of(header, "RescaleIntercept")
        return cls(
            sop_instance_uid=text_of(header, "SOPInstanceUID"),
            sop_class_uid=text_of(header, "SOPClassUID"),
            study_uid=text_of(header, "StudyInstanceUID"),
            series_uid=text_of(header, "SeriesInstanceUID"),
            modality=text_of(header, "Modality"),
            manufacturer=text_of(header, "Manufacturer"),
            image_type=tuple(str(v).strip().upper() for v in values_of(header, "ImageType")),
            position_mm=None if position is None else (position[0], position[1], position[2]),
            orientation=numbers_of(header, "ImageOrientationPatient", 6),
            pixel_spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
            rows=integer_of(header, "Rows"),
            columns=integer_of(header, "Columns"),
            slice_thickness_mm=number_of(header, "SliceThickness"),
            frame_of_reference_uid=text_of(header, "FrameOfReferenceUID") or None,
            acquisition_number=integer_of(header, "AcquisitionNumber"),
            acquired_at=_acquired_at(header),
            irradiation_event_uid=str(next(iter(values_of(header, "IrradiationEventUID")), "")) or None,
            kernel=text_of(header, "ConvolutionKernel"),
            series_description=text_of(header, "SeriesDescription"),
            rescale=None if slope is None or intercept is None else (slope, intercept),
            samples_per_pixel=integer_of(header, "SamplesPerPixel") or 1,
            number_of_frames=integer_of(header, "NumberOfFrames") or 1,
        )


_SLICE_KEYWORDS = (
    "SOPInstanceUID",
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "Manufacturer",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "SliceThickness",
    "FrameOfReferenceUID",
    "AcquisitionNumber",
    "AcquisitionDateTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "IrradiationEventUID",
    "ConvolutionKernel",
    "SeriesDescription",
    "RescaleSlope",
    "RescaleIntercept",
    "SamplesPerPixel",
    "NumberOfFrames",
)
_ESSENTIAL = ("AccessionNumber", "StudyDescription", "BodyPartExamined", "ManufacturerModelName", "TransferSyntaxUID")
_SLICE_TAGS = tuple(Tag(keyword) for keyword in _SLICE_KEYWORDS)


def slice_header_of(ds: Dataset) -> SliceHeader:
    """The typed view of a dataset, without reading the other elements: several times as fast as by the header."""
    there = [(tag, ds.get_item(tag, keep_deferred=True)) for tag in _SLICE_TAGS if tag in ds]
    return SliceHeader.of(_header_of_elements(ds, there))


def values_of(header: Header, keyword: str) -> list[Any]:
    """All values of an element; empty where it is absent or empty."""
    value = header.get(keyword)
    if isinstance(value, list):
        return value
    return [] if value is None or value == "" else [value]


def text_of(header: Header, keyword: str) -> str:
    """The value as text; several values joined by a backslash, as in the file; ``""`` where it is absent."""
    return "\\".join("" if value is None else str(value) for value in values_of(header, keyword))


def number_of(header: Header, keyword: str) -> float | None:
    """The first value as a number, or None."""
    values = _floats(values_of(header, keyword)[:1])
    return values[0] if values else None


def integer_of(header: Header, keyword: str) -> int | None:
    """The first value as an integer, or None (also for a broken 1.5)."""
    value = number_of(header, keyword)
    return int(value) if value is not None and value.is_integer() else None


def numbers_of(header: Header, keyword: str, count: int) -> tuple[float, ...] | None:
    """Exactly ``count`` numbers, or None."""
    values = _floats(values_of(header, keyword))
    return tuple(values) if values is not None and len(values) == count else None


def _floats(values: Iterable[Any]) -> list[float] | None:
    try:
        numbers = [float(value) for value in values]
    except (ValueError, TypeError):
        return None
    return numbers if all(math.isfinite(number) for number in numbers) else None


_DATE_TIME = re.compile(r"(\d{8})(\d{2})(\d{2})?(\d{2})?(?:\.(\d{1,6}))?")


def _acquired_at(header: Header) -> str | None:
    date, time = text_of(header, "AcquisitionDate"), text_of(header, "AcquisitionTime")
    # ACR-NEMA wrote dates with dots and times with colons; some archives still do.
    separate = date.replace(".", "") + time.replace(":", "") if date and time else ""
    for text in (text_of(header, "AcquisitionDateTime"), separate):
        moment = _iso_of(text)
        if moment is not None:
            return moment
    return None


def _iso_of(text: str) -> str | None:
    """ISO 8601 of a DICOM DT value without its offset; None where it has no hour or is no date."""
    match = _DATE_TIME.match(text)
    if match is None:
        return None
    day, hour, minute, second, fraction = (part or "0" for part in match.groups())
    try:
        # A leap second is legal in TM (PS3.5 6.2) but not in Python.
        moment = datetime.strptime(f"{day}{hour:0>2}{minute:0>2}{min(int(second), 59):02}", "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return moment.replace(microsecond=int(fraction.ljust(6, "0"))).isoformat(timespec="microseconds")
