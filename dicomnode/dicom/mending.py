"""Elements of an explicit data set whose VR does not exist, such as ``XX`` or ``--``, written anew (DICOM PS3.5 7.1.2).

pydicom takes an unknown VR in letters for one of a short length, and any other for the sign that a writer switched to
implicit encoding: the length is then read from the VR itself, and swallows the rest of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR
from pydicom.tag import Tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_GROUP = 0x7FE0
MAX_DEPTH = 16

_LONG = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_32)
KNOWN_VRS = frozenset(str(vr.value) for vr in VR if len(vr.value) == 2)


class _NoStructure(Exception):
    """The bytes cannot be followed as elements."""


@dataclass(frozen=True, slots=True)
class _Element:
    tag: int
    vr: str
    start: int
    value_at: int
    end: int


def with_known_vrs(body: bytes, is_little_endian: bool) -> bytes:
    """The bytes of an explicit data set in which each top-level element has a VR that exists, that of the dictionary.

    What comes after a place that cannot be understood, and pixels, stay as they are.
    """
    order = "<" if is_little_endian else ">"
    parts, done = [], 0
    try:
        for element in _elements(body, order):
            if element.vr not in KNOWN_VRS:
                parts += [body[done : element.start], _rewritten(body, element, order)]
                done = element.end
    except (_NoStructure, struct.error):
        pass
    return b"".join([*parts, body[done:]])


def _elements(body: bytes, order: str) -> Iterator[_Element]:
    """Top-level elements up to the pixels."""
    at = 0
    while at < len(body):
        if _tag_at(body, at, order) >> 16 >= PIXEL_GROUP:
            return
        element = _element_at(body, at, order, 0)
        yield element
        at = element.end


def _tag_at(body: bytes, at: int, order: str) -> int:
    group, element = struct.unpack_from(f"{order}HH", body, at)
    return int(group << 16 | element)


def _element_at(body: bytes, at: int, order: str, depth: int) -> _Element:
    tag, vr = _tag_at(body, at, order), body[at + 4 : at + 6].decode("latin-1")
    if vr not in KNOWN_VRS:
        return _unknown_at(body, at, order, tag, vr)
    form, value_at = ("L", at + 12) if vr in _LONG else ("H", at + 8)
    length = struct.unpack_from(f"{order}{form}", body, value_at - struct.calcsize(f"={form}"))[0]
    if form == "L" and length == UNDEFINED_LENGTH:
        return _Element(tag, vr, at, value_at, _end_of_items(body, value_at, order, depth + 1))
    return _Element(tag, vr, at, value_at, value_at + length)


def _unknown_at(body: bytes, at: int, order: str, tag: int, vr: str) -> _Element:
    """The reading of the length after which another element follows: of 16 bits, of 32, or without any VR."""
    for form, length_at in (("H", 6), ("L", 8), ("L", 4)):
        if at + length_at + struct.calcsize(f"={form}") > len(body):
            continue
        length = struct.unpack_from(f"{order}{form}", body, at + length_at)[0]
        value_at = at + length_at + struct.calcsize(f"={form}")
        if _is_element_border(body, value_at + length, order, tag):
            return _Element(tag, vr, at, value_at, value_at + length)
    raise _NoStructure


def _is_element_border(body: bytes, at: int, order: str, before: int) -> bool:
    if at >= len(body):
        return at == len(body)
    if at + 8 > len(body) or _tag_at(body, at, order) <= before:
        return False
    return body[at + 4 : at + 6].decode("latin-1") in KNOWN_VRS or _vr_by_dictionary(_tag_at(body, at, order)) != "UN"


def _end_of_items(body: bytes, at: int, order: str, depth: int) -> int:
    """Behind the delimiter of a sequence of undefined length."""
    if depth > MAX_DEPTH:
        raise _NoStructure
    while True:
        tag, length = _tag_at(body, at, order), struct.unpack_from(f"{order}L", body, at + 4)[0]
        at += 8
        if tag == SEQUENCE_END:
            return at
        if tag != ITEM:
            raise _NoStructure
        at = _end_of_item(body, at, order, depth) if length == UNDEFINED_LENGTH else at + length


def _end_of_item(body: bytes, at: int, order: str, depth: int) -> int:
    while _tag_at(body, at, order) != ITEM_END:
        at = _element_at(body, at, order, depth).end
    return at + 8


def _rewritten(body: bytes, element: _Element, order: str) -> bytes:
    value, vr = body[element.value_at : element.end], _vr_by_dictionary(element.tag)
    if vr not in _LONG and len(value) > 0xFFFF:
        vr = "UN"
    head = struct.pack(f"{order}HH2s", element.tag >> 16, element.tag & 0xFFFF, vr.encode())
    length = struct.pack(f"{order}HL", 0, len(value)) if vr in _LONG else struct.pack(f"{order}H", len(value))
    return head + length + value


def _vr_by_dictionary(tag: int) -> str:
    try:
        return dictionary_VR(Tag(tag))[:2]
    except KeyError:
        return "UN"
