"""The MSH segment: who sends what, and how the rest is written (HL7 v2.5 chapter 2, 2.15.9).

It is read from bytes, before anything else is known: its fields up to MSH-18 say in which character set the rest is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dicomnode.clinical.sources.hl7.charsets import codec_of, decoded
from dicomnode.errors import MessageRefusal, MessageRefused

MAX_HEADER = 4096
"""Longer ones are none: of a message that is too large, so much is kept for the answer."""
ANY_BYTES = "latin-1"
"""Reads whatever comes, byte by byte: for the answer to what is not read."""
SEGMENT_END = re.compile(rb"[\r\n]")
VERSION = re.compile(r"2\.[1-9](?:\.\d)*")
_PRINTABLE = (
    frozenset(map(chr, range(0x21, 0x7F)))
    - frozenset("0123456789")
    - set(map(chr, range(0x41, 0x5B)))
    - set(map(chr, range(0x61, 0x7B)))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Separators:
    """MSH-1 and MSH-2. ``truncation`` (v2.7) is read and means nothing here."""

    field: str
    component: str
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """MSH as it stands, escape sequences and all, since the answer repeats it.

    Attributes
    ----------
    sender, receiver : application and facility, whole fields.
    application, facility : first components of MSH-3 and MSH-4.
    message_type, event : MSH-9.
    accept_ack, application_ack : MSH-15 and MSH-16; both empty: original mode.
    charsets : repetitions of MSH-18.
    codec : of Python, in which the message is.
    fault : what is wrong with its character set, if anything: it is answered, and not read.
    """

    separators: Separators
    encoding_characters: str
    sender: tuple[str, str]
    receiver: tuple[str, str]
    application: str
    facility: str
    written_at: str
    message_type: str
    event: str
    control_id: str
    processing_id: str
    version: str
    accept_ack: str
    application_ack: str
    charsets: tuple[str, ...]
    codec: str
    fault: MessageRefusal | None = None


def header_of(content: bytes, charset: str) -> Header:
    """Read the first segment of a message.

    Parameters
    ----------
    charset : of a message that names none, by table 0211.

    Raises
    ------
    MessageRefused : no MSH, or odd separators: it cannot be answered either.
    """
    first = SEGMENT_END.split(content[:MAX_HEADER], maxsplit=1)[0]
    separators, encoding_characters = _separators(first)
    names = _names(first.split(separators.field.encode()), separators)
    fault = None
    try:
        codec = codec_of(names, charset)
        # with a set of several bytes a field separator may have been half of a character
        text = decoded(first, codec)
    except MessageRefused as refused:
        codec, fault = ANY_BYTES, refused.why
        text = decoded(first, codec)
    fields = [field.strip() for field in ("MSH", *text.split(separators.field))]
    return _header(fields, separators, encoding_characters, names, codec, fault)


def _names(raw: list[bytes], separators: Separators) -> tuple[str, ...]:
    field = raw[17] if len(raw) > 17 else b""
    return tuple(name.strip() for name in field.decode("ascii", "replace").split(separators.repetition))


def _header(
    fields: list[str],
    separators: Separators,
    encoding_characters: str,
    names: tuple[str, ...],
    codec: str,
    fault: MessageRefusal | None,
) -> Header:
    def field(number: int) -> str:
        return fields[number] if number < len(fields) else ""

    def part(number: int, place: int = 0) -> str:
        parts = field(number).split(separators.component)
        return parts[place].strip() if place < len(parts) else ""

    return Header(
        separators=separators,
        encoding_characters=encoding_characters,
        sender=(field(3), field(4)),
        receiver=(field(5), field(6)),
        application=part(3),
        facility=part(4),
        written_at=part(7),
        message_type=part(9),
        event=part(9, 1),
        control_id=field(10),
        processing_id=part(11),
        version=part(12),
        accept_ack=part(15).upper(),
        application_ack=part(16).upper(),
        charsets=names,
        codec=codec,
        fault=fault,
    )


def _separators(first: bytes) -> tuple[Separators, str]:
    text = first.decode("latin-1")
    if not text.startswith("MSH"):
        raise MessageRefused(MessageRefusal.NOT_HL7)
    field, characters = text[3:4], text[4:].partition(text[3:4] or "|")[0]
    every = field + characters
    if not 2 <= len(every) <= 6 or len(set(every)) < len(every) or not set(every) <= _PRINTABLE:
        raise MessageRefused(MessageRefusal.ODD_SEPARATORS)
    given = dict(zip(("component", "repetition", "escape", "subcomponent"), characters, strict=False))
    made = Separators(field=field, **given)
    if len({made.field, made.component, made.repetition, made.escape, made.subcomponent}) < 5:
        raise MessageRefused(MessageRefusal.ODD_SEPARATORS)
    return made, characters
