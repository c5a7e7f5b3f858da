"""Names and texts of any character set, carried from sources into results (DICOM PS3.3 C.12.1.1.2, PS3.5 6.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

UTF_8 = "ISO_IR 192"

_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""The value representations that SpecificCharacterSet governs (PS3.5 6.1.2.3)."""


def carry(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy elements that ``source`` has to ``target``, decoded by the source's SpecificCharacterSet, sequences too.

    Elements keep their VR and their emptiness; what the source lacks is left alone. ``target`` then gets the
    character set that its texts need (:func:`settle`).
    """
    for keyword in keywords:
        if keyword in source:
            target[keyword] = _decoded(source[keyword])
    settle(target)


def settle(ds: Dataset) -> None:
    """Set SpecificCharacterSet to UTF-8 where any text of ``ds`` needs more than ASCII; else leave it as it is.

    Every older character set has ASCII as its base, so an ASCII text reads the same under the old value.
    """
    if not _is_ascii(ds):
        ds.SpecificCharacterSet = UTF_8


def _decoded(element: DataElement) -> DataElement:
    """A copy that holds no bytes of the source's encoding."""
    if element.VR == "SQ":
        return DataElement(element.tag, "SQ", [_decoded_item(item) for item in element.value])
    return DataElement(element.tag, element.VR, _plain(element.value))


def _decoded_item(item: Dataset) -> Dataset:
    copy = Dataset()
    for element in item:
        # An item may declare a character set of its own; the decoded copy follows its parent.
        if element.keyword != "SpecificCharacterSet":
            copy[element.tag] = _decoded(element)
    return copy


def _plain(value: Any) -> Any:
    """Person names as new objects: pydicom keeps the bytes and the encoding that a name was read with."""
    if isinstance(value, (MultiValue, list)):
        return [_plain(item) for item in value]
    return PersonName(str(value)) if isinstance(value, PersonName) else value


def _is_ascii(ds: Dataset) -> bool:
    return all(_element_is_ascii(element) for element in ds)


def _element_is_ascii(element: DataElement) -> bool:
    if element.VR == "SQ":
        return all(_is_ascii(item) for item in element.value)
    return element.VR not in _TEXT_VRS or str(element.value).isascii()
