"""A message as its segments and fields, split by the ``hl7`` library (python-hl7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hl7

from dicomnode.clinical.sources.header import storable
from dicomnode.clinical.sources.hl7.charsets import decoded
from dicomnode.clinical.sources.hl7.escapes import unescaped
from dicomnode.clinical.sources.hl7.header import Header
from dicomnode.errors import MessageRefusal, MessageRefused

READ = frozenset({"MSH", "EVN", "PID", "PV1", "MRG", "DG1", "OBR", "OBX"})
"""Segments that are split; others, such as those of insurances, are passed over as they are."""
MAX_SEPARATORS = 50_000
"""The library makes a list of every part: a million of them would take half a minute."""
NULL = '""'
"""What was there is not any more (v2.5 chapter 2, 2.5.3)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a message."""

    name: str
    header: Header
    parts: Any

    def repetitions(self, field: int) -> range:
        """Numbers of the repetitions of a field, from 1."""
        return range(1, len(self._field(field)) + 1)

    def text(self, field: int, component: int = 1, *, repetition: int = 1, subcomponent: int = 1) -> str:
        """One part, counted from 1, as it is meant and without blanks around it; empty where it is not there."""
        return self.raw(field, component, repetition=repetition, subcomponent=subcomponent).strip()

    def raw(self, field: int, component: int = 1, *, repetition: int = 1, subcomponent: int = 1) -> str:
        """As :meth:`text`, with the blanks and line breaks around it."""
        part = _at(self._field(field), repetition)
        for place in (component, subcomponent):
            part = _at(part, place) if not isinstance(part, str) else part if place == 1 else ""
        return storable(unescaped(part, self.header.separators, self.header.codec))

    def whole(self, field: int, repetition: int) -> str:
        """A repetition of a field that has no components, as a text that has not escaped its separators."""
        part = _at(self._field(field), repetition)
        return storable(unescaped(str(part), self.header.separators, self.header.codec))

    def is_null(self, field: int) -> bool:
        """Whether it is said that there is nothing."""
        return self.text(field) == NULL

    def _field(self, number: int) -> Any:
        return self.parts[number] if number < len(self.parts) else ()


def _at(parts: Any, place: int) -> Any:
    """A part of a part, counted from 1."""
    return parts[place - 1] if place <= len(parts) else ""


def segments_of(content: bytes, header: Header) -> list[Segment]:
    """The segments of a message that may tell something, in their order.

    Raises
    ------
    MessageRefused : bytes outside of its character set, or more parts than a message has.
    """
    lines = list(_lines(decoded(content, header.codec)))
    marks = header.separators
    count = sum(
        line.count(mark)
        for line in lines
        for mark in (marks.field, marks.component, marks.repetition, marks.subcomponent)
    )
    if count > MAX_SEPARATORS:
        raise MessageRefused(MessageRefusal.TOO_MANY_PARTS)
    message = hl7.parse("\r".join(lines) + "\r")
    return [Segment(str(parts[0]), header, parts) for parts in message]


def _lines(text: str) -> Iterator[str]:
    """Lines of segments that are read; some senders end segments as lines of a file end.

    Raises
    ------
    MessageRefused : a second message.
    """
    lines = (line.strip() for line in re.split(r"[\r\n]+", text))
    first, *others = (line for line in lines if line)
    if any(line.startswith("MSH") for line in others):
        raise MessageRefused(MessageRefusal.SEVERAL_MESSAGES)
    yield first
    yield from (line for line in others if line[:3] in READ)
