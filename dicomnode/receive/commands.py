"""Command sets of DIMSE messages (DICOM PS3.7 6.3 and annex E): read without a library, answered."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from dicomnode.dicom.uids import MAX_UID_LENGTH, usable_uid
from dicomnode.receive.pdus import BrokenProtocol

MAX_COMMAND_BYTES = 16_384
"""Of one command set; those of a Storage SCP have a few hundred."""

_AFFECTED_CLASS, _REQUESTED_CLASS, _FIELD, _MESSAGE_ID, _ANSWERED_ID = 0x0002, 0x0003, 0x0100, 0x0110, 0x0120
_DATA_SET_TYPE, _STATUS, _AFFECTED_INSTANCE, _REQUESTED_INSTANCE = 0x0800, 0x0900, 0x1000, 0x1001
_EVENT_TYPE, _ACTION_TYPE = 0x1002, 0x1008
_NO_DATA_SET = 0x0101
_ANSWER = 0x8000
_CANCEL = 0x0FFF


class Field(IntEnum):
    """Command fields of requests that the node answers (PS3.7 table E.1-1)."""

    C_STORE = 0x0001
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_ACTION = 0x0130


@dataclass(frozen=True, slots=True)
class Command:
    """One command set, by element number of group 0000.

    Attributes
    ----------
    field : which request or answer it is.
    has_data_set : a data set follows.
    """

    elements: dict[int, bytes]
    field: int
    has_data_set: bool

    @classmethod
    def of(cls, data: bytes) -> Command:
        """Read a command set: implicit VR, little endian.

        Raises
        ------
        BrokenProtocol : it cannot be read, or does not say what it is.
        """
        elements, at = {}, 0
        while at < len(data):
            if at + 8 > len(data):
                raise BrokenProtocol("a command set cut off")
            group, element, length = struct.unpack_from("<HHL", data, at)
            at += 8 + length
            if group or at > len(data):
                raise BrokenProtocol("a command set that cannot be read")
            elements[element] = data[at - length : at]
        field, kind = _number(elements, _FIELD), _number(elements, _DATA_SET_TYPE)
        if field is None or kind is None:
            raise BrokenProtocol("a command set that does not say what it is")
        return cls(elements, field, kind != _NO_DATA_SET)

    @property
    def is_request(self) -> bool:
        """Whether it asks for something; else it answers what nobody asked, or cancels it."""
        return not self.field & _ANSWER and self.field != _CANCEL

    @property
    def sop_class(self) -> str:
        """Affected SOP Class UID, without its padding; empty where there is none."""
        return self._uid(_AFFECTED_CLASS)

    @property
    def sop_instance(self) -> str:
        """Affected SOP Instance UID, without its padding; empty where there is none."""
        return self._uid(_AFFECTED_INSTANCE)

    def answered(self, status: int, *, negotiated: str) -> bytes:
        """The answer to this request, without a data set.

        Parameters
        ----------
        negotiated : SOP class of the presentation context, said where the request names none that could be repeated.
        """
        sop_class = self.sop_class or self._uid(_REQUESTED_CLASS)
        answer = {
            _AFFECTED_CLASS: _padded(sop_class if 0 < len(sop_class) <= MAX_UID_LENGTH else negotiated),
            _FIELD: struct.pack("<H", self.field | _ANSWER),
            _ANSWERED_ID: self.elements.get(_MESSAGE_ID, b"")[:2].ljust(2, b"\x00"),
            _DATA_SET_TYPE: struct.pack("<H", _NO_DATA_SET),
            _STATUS: struct.pack("<H", status),
        }
        if self.field != Field.C_ECHO and (uid := self._instance_answered):
            answer[_AFFECTED_INSTANCE] = _padded(uid if len(uid) <= MAX_UID_LENGTH else usable_uid(uid))
        for element in (_EVENT_TYPE, _ACTION_TYPE):
            if len(self.elements.get(element, b"")) == 2 and self.field != Field.C_STORE:
                answer[element] = self.elements[element]
        body = b"".join(struct.pack("<HHL", 0, tag, len(value)) + value for tag, value in sorted(answer.items()))
        return struct.pack("<HHLL", 0, 0, 4, len(body)) + body

    @property
    def _instance_answered(self) -> str:
        """What an answer names: of a C-STORE its own instance alone, else also the one that was asked about."""
        return self.sop_instance or ("" if self.field == Field.C_STORE else self._uid(_REQUESTED_INSTANCE))

    def _uid(self, element: int) -> str:
        return self.elements.get(element, b"").partition(b"\\")[0].decode("latin-1").strip(" \x00")


def _number(elements: dict[int, bytes], element: int) -> int | None:
    value = elements.get(element, b"")
    return int.from_bytes(value[:2], "little") if len(value) >= 2 else None


def _padded(uid: str) -> bytes:
    value = uid.encode("latin-1")
    return value + b"\x00" * (len(value) % 2)
