"""A-ASSOCIATE-RQ as it came (DICOM PS3.8 9.3.2): what can be understood is, whatever else stands in it.

Padding is padding, unknown items are ignored, bit 0 of the protocol version counts, and a presentation context that
breaks the rules costs that context. Libraries drop the whole association for any of these.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dicomnode.dicom.contexts import TRANSFER_SYNTAXES
from dicomnode.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, is_valid_uid
from dicomnode.receive.pdus import ASSOCIATE_AC

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
MIN_REQUEST_BYTES = 68
"""Of the fields before the items: version, titles, reserved bytes."""
MAX_CONTEXTS = 128
"""Odd identifiers from 1 to 255."""
MIN_MAX_LENGTH = 8
"""Room for two bytes of a message; a peer that says less, but not 0, could be told nothing at all."""

_APPLICATION, _CONTEXT, _ABSTRACT, _TRANSFER, _USER = 0x10, 0x20, 0x30, 0x40, 0x50
_MAX_LENGTH, _CLASS_UID, _ROLE, _VERSION_NAME = 0x51, 0x52, 0x54, 0x55
_CONTEXT_ANSWER = 0x21
USER_REJECTION, ABSTRACT_UNSUPPORTED, TRANSFER_UNSUPPORTED = 1, 3, 4
"""Results of PS3.8 table 9-18."""
_DEFAULT_MAX_LENGTH = 16_384


class UnreadableRequest(Exception):
    """The bytes are no A-ASSOCIATE-RQ."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """A presentation context that may be accepted: transfer syntaxes that the node knows, in the peer's order."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one proposed presentation context.

    Attributes
    ----------
    result : of PS3.8 table 9-18; 0: accepted.
    roles : SCU and SCP role of the peer, where it proposed roles and the node says which it may take (PS3.7 D.3.3.4).
    """

    context_id: int
    transfer_syntax: str
    result: int = 0
    abstract_syntax: str = ""
    roles: tuple[bool, bool] | None = None


@dataclass(slots=True, kw_only=True)
class AssociationRequest:
    """What a peer asks for.

    Attributes
    ----------
    called_ae, calling_ae : printable; what is no printable ASCII is a question mark.
    titles : called and calling AE title as they came, 32 bytes; the answer repeats them.
    speaks_version_1 : bit 0 of the protocol version.
    application_context : empty where none was named.
    refused : result of each presentation context that broke the rules, by its identifier (PS3.8 table 9-18).
    max_length : of a PDU that the peer takes; 0: any.
    roles : SCU and SCP role by SOP class, where the peer proposes them (PS3.7 D.3.3.4).
    """

    called_ae: str
    calling_ae: str
    titles: bytes
    speaks_version_1: bool
    application_context: str = ""
    proposed: dict[int, Proposed] = field(default_factory=dict)
    refused: dict[int, int] = field(default_factory=dict)
    max_length: int = _DEFAULT_MAX_LENGTH
    roles: dict[str, tuple[bool, bool]] = field(default_factory=dict)

    @classmethod
    def of(cls, body: bytes) -> AssociationRequest:
        """Read the body of an A-ASSOCIATE-RQ, without the six bytes of type and length.

        Raises
        ------
        UnreadableRequest : it is shorter than its fixed part.
        """
        if len(body) < MIN_REQUEST_BYTES:
            raise UnreadableRequest(f"request of {len(body)} bytes")
        request = cls(
            called_ae=printable_title(body[4:20]),
            calling_ae=printable_title(body[20:36]),
            titles=body[4:36],
            speaks_version_1=bool(body[1] & 1),
        )
        for kind, data in _items(body[MIN_REQUEST_BYTES:]):
            if kind == _APPLICATION:
                request.application_context = _text(data)
            elif kind == _CONTEXT:
                request._take_context(data)
            elif kind == _USER:
                request._take_user(data)
        return request

    def _take_context(self, data: bytes) -> None:
        if len(data) < 4 or data[0] in self.proposed or data[0] in self.refused:
            return  # of two with one identifier the first counts: an answer could not tell them apart
        if len(self.proposed) + len(self.refused) >= MAX_CONTEXTS:
            return
        items = list(_items(data[4:]))
        abstract = next((_text(value) for kind, value in items if kind == _ABSTRACT), "")
        named = dict.fromkeys(_text(value) for kind, value in items if kind == _TRANSFER)
        known = tuple(uid for uid in named if uid in TRANSFER_SYNTAXES)
        fault = _fault_of(data[0], abstract, known)
        if fault:
            self.refused[data[0]] = fault
        else:
            self.proposed[data[0]] = Proposed(data[0], abstract, known)

    def _take_user(self, data: bytes) -> None:
        for kind, value in _items(data):
            if kind == _MAX_LENGTH and len(value) == 4:
                length = int(struct.unpack(">L", value)[0])
                self.max_length = max(length, MIN_MAX_LENGTH) if length else 0
            elif kind == _ROLE and len(value) >= 4:
                uid_length = struct.unpack_from(">H", value)[0]
                uid, flags = _text(value[2 : 2 + uid_length]), value[2 + uid_length : 4 + uid_length]
                if is_valid_uid(uid) and len(flags) == 2:
                    self.roles[uid] = bool(flags[0] & 1), bool(flags[1] & 1)

    def accepted(self, answers: Iterable[Answer], max_length: int) -> bytes:
        """The A-ASSOCIATE-AC (PS3.8 9.3.3): the titles as they came, and an answer to every context.

        Parameters
        ----------
        answers : to the contexts that were proposed; those that broke the rules are refused with them.
        max_length : of a PDU of data that the node wants to get.
        """
        refused = [Answer(number, TRANSFER_SYNTAXES[1], result) for number, result in self.refused.items()]
        everything = sorted((*answers, *refused), key=lambda one: one.context_id)
        items = _item(_APPLICATION, APPLICATION_CONTEXT.encode()) + b"".join(map(_answer_item, everything))
        user = _item(_MAX_LENGTH, struct.pack(">L", max_length)) + _item(_CLASS_UID, IMPLEMENTATION_CLASS_UID.encode())
        for uid, roles in {one.abstract_syntax: one.roles for one in everything if one.roles is not None}.items():
            user += _item(_ROLE, struct.pack(">H", len(uid)) + uid.encode() + bytes(roles))
        user += _item(_VERSION_NAME, IMPLEMENTATION_VERSION_NAME.encode())
        body = struct.pack(">HH", 1, 0) + self.titles + bytes(32) + items + _item(_USER, user)
        return struct.pack(">BBL", ASSOCIATE_AC, 0, len(body)) + body


def _fault_of(context_id: int, abstract: str, known: tuple[str, ...]) -> int:
    """Result with which a context is refused for its own faults; 0 for none."""
    if context_id % 2 == 0:
        return USER_REJECTION
    if not is_valid_uid(abstract):
        return ABSTRACT_UNSUPPORTED
    return 0 if known else TRANSFER_UNSUPPORTED


def printable_title(field: bytes) -> str:
    """An AE title without its padding: spaces on either side, NULs, and what a C string has behind its NUL.

    >>> printable_title(b" CT 7\\0\\0\\0rubbish"), printable_title(bytes(16)), printable_title(b"K\\xd6LN\\\\1")
    ('CT 7', '', 'K?LN?1')
    """
    text = field.strip(b" \x00").partition(b"\x00")[0].strip()
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else "?" for byte in text)


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each item; what is cut off is left out."""
    at = 0
    while at + 4 <= len(data):
        kind, _, length = struct.unpack_from(">BBH", data, at)
        at += 4 + length
        if at > len(data):
            return
        yield kind, data[at - length : at]


def _answer_item(answer: Answer) -> bytes:
    head = bytes([answer.context_id, 0, answer.result, 0])
    return _item(_CONTEXT_ANSWER, head + _item(_TRANSFER, answer.transfer_syntax.encode()))


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


def _text(value: bytes) -> str:
    return value.strip(b" \x00").decode("latin-1")
