"""Which requests belong into a presentation context: to others pynetdicom says nothing, or answers as to a C-STORE."""

from __future__ import annotations

from dicomnode.dicom.commitment import STORAGE_COMMITMENT
from dicomnode.dicom.contexts import VERIFICATION, is_storage

_COMMAND_FIELD = b"\x00\x00\x00\x01\x02\x00\x00\x00"
"""Tag and length of (0000,0100), whose value follows (DICOM PS3.7 6.3.1: implicit VR, little endian)."""
_ANSWER, _CANCEL = 0x8000, 0x0FFF
_STORE = frozenset({0x0001})
_REQUESTS = {VERIFICATION: frozenset({0x0030}), STORAGE_COMMITMENT: frozenset({0x0100, 0x0130})}


def foreign_request(command: bytes, abstract_syntax: str) -> int | None:
    """The command field of a request (PS3.7 table E.1-1) for a service that a context is not for; else None.

    Answers to what nobody asked, cancellations, and commands without a field that can be read are no requests.

    >>> echo = _COMMAND_FIELD + b"\\x30\\x00"
    >>> foreign_request(echo, VERIFICATION), foreign_request(echo, "1.2.840.10008.5.1.4.1.1.2")
    (None, 48)
    """
    at = command.find(_COMMAND_FIELD)
    field = int.from_bytes(command[at + 8 : at + 10], "little")
    known = _STORE if is_storage(abstract_syntax) else _REQUESTS.get(abstract_syntax, frozenset())
    return None if at < 0 or field & _ANSWER or field in (_CANCEL, *known) else field
