"""Names and texts of any character set, carried from sources into results (DICOM PS3.3 C.12.1.1.2, PS3.5 6.1).

Scanners and archives declare one character set and send another. What cannot be decoded for sure is not guessed at: a
name keeps its bytes under the character set that it came with, and no letter is replaced by U+FFFD.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes, default_encoding, python_encoding
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import TEXT_VR_DELIMS, PersonName

from dicomnode.dicom.values import BROKEN_VALUE, value_of
from dicomnode.environment import raise_unless_it_stays

UTF_8 = "ISO_IR 192"

_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""The value representations that SpecificCharacterSet governs (PS3.5 6.1.2.3)."""
_SINGLE_VALUED = frozenset({"LT", "ST", "UT"})
_LOST = ("\N{REPLACEMENT CHARACTER}", "\x1b")
"""What a decoder leaves of bytes that are none of its character set: the mark of a loss, or the escape itself."""


@dataclass(frozen=True, slots=True)
class _Charset:
    """Python codecs by which texts are decoded, and those of the character set under which kept bytes are written."""

    decoding: tuple[str, ...]
    writing: tuple[str, ...]


_UNDECLARED = _Charset(("utf8",), (default_encoding,))
_ASCII_ONLY = _Charset(("ascii",), (default_encoding,))


def carry(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy elements that ``source`` has to ``target``, decoded by the source's SpecificCharacterSet, sequences too.

    Elements keep their VR and their emptiness; what the source lacks is left alone. ``target`` then gets the
    character set that its texts need (:func:`settle`). Where no character set is declared, or an unknown one, texts are
    UTF-8 if all of them can be. A name that cannot be decoded keeps its bytes, and ``target`` the declared character
    set, or none; another text that cannot be decoded, or a value that cannot be read, is left out.
    """
    tags = [Tag(keyword) for keyword in keywords if keyword in source]
    declared = _declared(source)
    carried = list(_carried(source, tags, declared or _UNDECLARED))
    if declared is None and any(map(_element_keeps_bytes, carried)):
        carried = list(_carried(source, tags, _ASCII_ONLY))
    for element in carried:
        target[element.tag] = element
    if declared is not None and any(map(_element_keeps_bytes, carried)):
        target.SpecificCharacterSet = source.SpecificCharacterSet
    settle(target)


def _declared(ds: Dataset) -> _Charset | None:
    """The character set that a data set names; None where it names none beyond ASCII, or one that nobody knows."""
    stated = value_of(ds, "SpecificCharacterSet")
    values = [str(value) for value in stated] if isinstance(stated, (MultiValue, list)) else [str(stated or "")]
    if values == [""] or any(value not in python_encoding for value in values):
        return None
    encodings = tuple(convert_encodings(values))
    if encodings == _UNDECLARED.writing:
        return None
    # pydicom takes Latin-1 for the default repertoire, which is ASCII (PS3.5 6.1.2.1).
    return _Charset(tuple("ascii" if name == default_encoding else name for name in encodings), encodings)


def settle(ds: Dataset) -> None:
    """Set SpecificCharacterSet to UTF-8 where any text of ``ds`` needs more than ASCII; else leave it as it is.

    Every older character set has ASCII as its base, so an ASCII text reads the same under the old value. Where a name
    keeps the bytes that it came with, the character set that it came under stands.
    """
    if not any(map(_element_keeps_bytes, ds)) and not _is_ascii(ds):
        ds.SpecificCharacterSet = UTF_8


def _carried(ds: Dataset, tags: Sequence[BaseTag], charset: _Charset) -> Iterator[DataElement]:
    """Copies of the elements that can be read."""
    for tag in tags:
        try:
            copy = _copy(ds, tag, charset)
        except BROKEN_VALUE as error:
            raise_unless_it_stays(error)
            continue
        if copy is not None:
            yield copy


def _copy(ds: Dataset, tag: BaseTag, charset: _Charset) -> DataElement | None:
    """A copy that depends on nothing of the source; None for a text that cannot be decoded.

    Texts are decoded from their bytes: pydicom decodes and encodes a name again when it is looked at.
    """
    raw: Any = ds.get_item(tag)
    vr = text_vr_of(raw)
    if vr:
        return _text_element(tag, vr, raw.value or b"", charset)
    if isinstance(raw, RawDataElement):
        raw = convert_raw_data_element(raw, encoding=list(charset.decoding), ds=ds)
    return _copy_of_value(raw, charset)


def text_vr_of(raw: Any) -> str:
    """The VR of an element whose text was not decoded yet; empty for any other."""
    if not isinstance(raw, RawDataElement) or not isinstance(raw.value, (bytes, NoneType)):
        return ""
    vr = raw.VR
    if vr in (None, "UN"):
        vr = dictionary_VR(raw.tag) if dictionary_has_tag(raw.tag) else ""
    return vr if vr in _TEXT_VRS else ""


def _text_element(tag: BaseTag, vr: str, content: bytes, charset: _Charset) -> DataElement | None:
    """A text; a name that cannot be decoded is its bytes, whatever number of values they are."""
    text = _decoded(content.rstrip(b" \0"), charset.decoding)
    if text is None:
        return _element_of_bytes(tag, content.rstrip(b" \0"), charset.writing) if vr == "PN" else None
    parts = [part.rstrip(" \0") for part in ([text] if vr in _SINGLE_VALUED else text.split("\\"))]
    values = [PersonName(part, validation_mode=IGNORE) for part in parts] if vr == "PN" else parts
    return DataElement(tag, vr, values[0] if len(values) == 1 else values, validation_mode=IGNORE)


def _element_of_bytes(tag: BaseTag, content: bytes, encodings: tuple[str, ...]) -> DataElement:
    """A name that is written as these bytes; as text it is what pydicom makes of them."""
    name = PersonName(_lenient(content, encodings), encodings, original_string=content, validation_mode=IGNORE)
    return DataElement(tag, "PN", name, validation_mode=IGNORE)


def _decoded(content: bytes, encodings: Sequence[str]) -> str | None:
    """The text; None where the bytes are none of the character set."""
    if b"\x1b" not in content:
        try:
            text = content.decode(encodings[0])
        except (UnicodeError, LookupError):
            return None
    else:
        text = _lenient(content, encodings)
    return None if _is_lost(text) else text


def _lenient(content: bytes, encodings: Sequence[str]) -> str:
    """As pydicom decodes it, which replaces what it cannot, and warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decode_bytes(content, encodings, TEXT_VR_DELIMS)


def _copy_of_value(element: DataElement, charset: _Charset) -> DataElement | None:
    """The copy of an element whose value is no longer bytes."""
    if element.VR == "SQ":
        return DataElement(element.tag, "SQ", [_copied_item(item, charset) for item in element.value])
    if element.VR in _TEXT_VRS and _is_lost(str(element.value)):
        return None
    return DataElement(element.tag, element.VR, _plain(element.value), validation_mode=IGNORE)


def _copied_item(item: Dataset, charset: _Charset) -> Dataset:
    """An item may declare a character set of its own; the decoded copy follows its parent."""
    own = _declared(item)
    decoding = charset if own is None else _Charset(own.decoding, charset.writing)
    tags = [tag for tag in sorted(item.keys()) if tag != Tag("SpecificCharacterSet")]
    return Dataset({element.tag: element for element in _carried(item, tags, decoding)})


def _plain(value: Any) -> Any:
    """Person names as new objects: pydicom keeps the encoding that a name was read with."""
    if isinstance(value, (MultiValue, list)):
        return [_plain(item) for item in value]
    return PersonName(str(value), validation_mode=IGNORE) if isinstance(value, PersonName) else value


def _is_lost(text: str) -> bool:
    return any(mark in text for mark in _LOST)


def _element_keeps_bytes(element: DataElement) -> bool:
    """Whether a name of the element, or of a sequence in it, is carried as bytes."""
    if element.VR == "SQ":
        return any(_element_keeps_bytes(inner) for item in element.value for inner in item)
    if element.VR != "PN":
        return False
    names = element.value if isinstance(element.value, (MultiValue, list)) else [element.value]
    return any(isinstance(name, PersonName) and _keeps_bytes(name) for name in names)


def _keeps_bytes(name: PersonName) -> bool:
    if name.encodings is None or not name.original_string:
        return False
    is_beyond_ascii = name.encodings[0] == default_encoding and not name.original_string.isascii()
    return is_beyond_ascii or _is_lost(str(name))


def _is_ascii(ds: Dataset) -> bool:
    return all(_element_is_ascii(element) for element in ds)


def _element_is_ascii(element: DataElement) -> bool:
    if element.VR == "SQ":
        return all(_is_ascii(item) for item in element.value)
    return element.VR not in _TEXT_VRS or str(element.value).isascii()
