"""Elements of an explicit data set whose VR does not exist, such as ``XX`` or ``--``, written anew (DICOM PS3.5 7.1.2).

pydicom takes an unknown VR in letters for one of a short length, and any other for the sign that a writer switched to
implicit encoding: the length is then read from the VR itself, and swallows the rest of the file, or of a sequence.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR
from pydicom.tag import Tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from dicomnode.dicom.bounded import MAX_HEADER_ELEMENTS

UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_GROUP = 0x7FE0
MAX_DEPTH = 16

_LONG = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_32)
KNOWN_VRS = frozenset(str(vr.value) for vr in VR if len(vr.value) == 2)


class _NoStructure(Exception):
    """The bytes cannot be followed as elements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Element:
    """``head``: how its length is written: ``H`` and ``L`` behind a VR, ``I`` without any (implicit encoding)."""

    tag: int
    vr: str
    head: str
    start: int
    value_at: int
    end: int

    @property
    def is_sequence(self) -> bool:
        """Whether its value is made of items, as far as the VR tells."""
        return self.vr == "SQ"


def with_known_vrs(body: bytes, is_little_endian: bool) -> bytes:
    """The bytes of an explicit data set in which each element has a VR that exists, that of the dictionary.

    What comes after a place that cannot be understood, and pixels, stay as they are; within a sequence, what comes
    after it in that sequence.
    """
    mender = _Mender(body, is_little_endian)
    with contextlib.suppress(_NoStructure, struct.error):
        mender.mend_data_set()
    return mender.result()


def has_odd_item(value: bytes, is_little_endian: bool) -> bool:
    """Whether an element in the items of a sequence has a VR that does not exist."""
    mender = _Mender(value, is_little_endian)
    with contextlib.suppress(_NoStructure, struct.error):
        mender.mend_items(0, len(value), 1)
    return mender.is_odd


class _Mender:
    """Follows elements, and remembers what is to be written in their place."""

    def __init__(self, body: bytes, is_little_endian: bool) -> None:
        self._body, self._order = body, "<" if is_little_endian else ">"
        self._left = MAX_HEADER_ELEMENTS
        self._changes: list[tuple[int, int, bytes]] = []

    @property
    def is_odd(self) -> bool:
        """Whether anything was found."""
        return bool(self._changes)

    def result(self) -> bytes:
        """The bytes with all changes."""
        parts, done = [], 0
        for start, end, new in sorted(self._changes):
            parts += [self._body[done:start], new]
            done = end
        return b"".join([*parts, self._body[done:]]) if parts else self._body

    def mend_data_set(self) -> None:
        """Top-level elements up to the pixels."""
        at = 0
        while at < len(self._body) and self._tag_at(at) >> 16 < PIXEL_GROUP:
            at = self._mend_element(at, 0)

    def mend_items(self, at: int, end: int, depth: int) -> int:
        """The items of a sequence; behind them, or behind their delimiter."""
        if depth > MAX_DEPTH:
            raise _NoStructure
        while at < end:
            tag, length = self._tag_at(at), self._number("L", at + 4)
            at += 8
            if tag == SEQUENCE_END:
                return at
            if tag != ITEM:
                raise _NoStructure
            is_open = length == UNDEFINED_LENGTH
            at = self._mend_item(at, end if is_open else at + length, is_open, depth)
        return at

    def _mend_item(self, at: int, end: int, is_open: bool, depth: int) -> int:
        try:
            while at < end:
                if is_open and self._tag_at(at) == ITEM_END:
                    return at + 8
                at = self._mend_element(at, depth)
        except _NoStructure:
            if is_open:
                raise
        return end

    def _mend_element(self, at: int, depth: int) -> int:
        self._left -= 1
        if self._left < 0:
            raise _NoStructure
        element = self._element_at(at, depth)
        if element.vr not in KNOWN_VRS:
            self._changes.append(self._nested(element) if depth else self._rewritten(element))
        elif element.is_sequence and element.end <= len(self._body):
            # One of undefined length was followed already, to find its end.
            with contextlib.suppress(_NoStructure):
                self._mend_defined(element, depth)
        return element.end

    def _mend_defined(self, element: _Element, depth: int) -> None:
        if self._number("L", element.value_at - 4) != UNDEFINED_LENGTH:
            self.mend_items(element.value_at, element.end, depth + 1)

    def _number(self, form: str, at: int) -> int:
        return int(struct.unpack_from(f"{self._order}{form}", self._body, at)[0])

    def _tag_at(self, at: int) -> int:
        return self._number("H", at) << 16 | self._number("H", at + 2)

    def _vr_at(self, at: int) -> str:
        return self._body[at + 4 : at + 6].decode("latin-1")

    def _element_at(self, at: int, depth: int) -> _Element:
        tag, vr = self._tag_at(at), self._vr_at(at)
        if vr not in KNOWN_VRS:
            return self._unknown_at(at, tag, vr)
        head, value_at = ("L", at + 12) if vr in _LONG else ("H", at + 8)
        length = self._number(head, value_at - struct.calcsize(f"={head}"))
        if head == "L" and length == UNDEFINED_LENGTH:
            end = self.mend_items(value_at, len(self._body), depth + 1)
            return _Element(tag=tag, vr=vr, head=head, start=at, value_at=value_at, end=end)
        return _Element(tag=tag, vr=vr, head=head, start=at, value_at=value_at, end=value_at + length)

    def _unknown_at(self, at: int, tag: int, vr: str) -> _Element:
        """The reading of the length after which another element follows: of 16 bits, of 32, or without any VR."""
        for head, form, length_at in (("H", "H", 6), ("L", "L", 8), ("I", "L", 4)):
            value_at = at + length_at + struct.calcsize(f"={form}")
            if value_at > len(self._body):
                continue
            end = value_at + self._number(form, at + length_at)
            if self._is_border(end, tag):
                return _Element(tag=tag, vr=vr, head=head, start=at, value_at=value_at, end=end)
        raise _NoStructure

    def _is_border(self, at: int, before: int) -> bool:
        if at >= len(self._body):
            return at == len(self._body)
        if at + 8 > len(self._body):
            return False
        tag = self._tag_at(at)
        if tag in (ITEM, ITEM_END, SEQUENCE_END):
            return True
        return tag > before and (self._vr_at(at) in KNOWN_VRS or _vr_by_dictionary(tag) != "UN")

    def _rewritten(self, element: _Element) -> tuple[int, int, bytes]:
        """The whole element with the VR that it should have."""
        value, vr = self._body[element.value_at : element.end], _vr_by_dictionary(element.tag)
        if vr not in _LONG and len(value) > 0xFFFF:
            vr = "UN"
        head = struct.pack(f"{self._order}HH2s", element.tag >> 16, element.tag & 0xFFFF, vr.encode())
        form = ("HL", 0, len(value)) if vr in _LONG else ("H", len(value))
        return element.start, element.end, head + struct.pack(f"{self._order}{form[0]}", *form[1:]) + value

    def _nested(self, element: _Element) -> tuple[int, int, bytes]:
        """A head as long as the old one: lengths of items and sequences around it stand.

        Raises
        ------
        _NoStructure : its length has no room in such a head.
        """
        vr, length = _vr_by_dictionary(element.tag), element.end - element.value_at
        at = element.start + 4
        if element.head == "L":
            return at, at + 2, (vr if vr in _LONG else "UN").encode()
        if length > 0xFFFF:
            raise _NoStructure
        short = vr if vr not in _LONG else "LO"
        return at, at + 4, short.encode() + struct.pack(f"{self._order}H", length)


def _vr_by_dictionary(tag: int) -> str:
    try:
        return dictionary_VR(Tag(tag))[:2]
    except KeyError:
        return "UN"
