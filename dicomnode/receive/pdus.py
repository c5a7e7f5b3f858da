"""Protocol data units on the wire (DICOM PS3.8 9.3): read as they come, and written.

Data values are handed on in the pieces in which they arrive, so that a reader holds no image, however long its PDU.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

MAX_PDU_LENGTH = 1 << 20
"""Of any PDU. A request with 128 contexts of all syntaxes has 160 kB; of data the node announces 128 KiB, which a few
senders overlook."""
COMMAND, LAST = 1, 2
"""Bits of the message control header: a command fragment, and the last one (PS3.8 annex E.2)."""

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA_TF, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
_HEAD_BYTES, _VALUE_HEAD_BYTES = 6, 6
_MIN_DATA_BYTES = 6
"""One value with its head and no data."""

SERVICE_USER, SERVICE_PROVIDER = 0, 2
"""Who aborts (PS3.8 9.3.8)."""


class BrokenProtocol(Exception):
    """A peer breaks the rules such that its association cannot go on."""


class Taker(Protocol):
    """Whoever takes what a :class:`PduReader` reads."""

    def take_head(self, kind: int) -> None:
        """A PDU begins."""

    def take_pdu(self, kind: int, body: bytes) -> None:
        """A PDU of any kind but data is there, without the six bytes of its head."""

    def take_value(self, context_id: int, control: int, part: memoryview, *, is_end: bool) -> None:
        """A part of a presentation data value, to be used before this returns; ``is_end``: the value's last."""


class PduReader:
    """Cuts a stream of bytes into PDUs.

    Parameters
    ----------
    reserve : is asked for room for bytes that are kept (positive) and told of those that no longer are (negative); may
        raise BrokenProtocol.

    Attributes
    ----------
    is_stopped : set by the taker: nothing more is read until it is reset.
    is_within : in the middle of a PDU.
    """

    def __init__(self, taker: Taker, reserve: Callable[[int], None]) -> None:
        self.is_stopped = False
        self._taker = taker
        self._reserve = reserve
        self._kept = bytearray()
        self._kind = 0
        self._left = 0
        self._value_left = 0
        self._context_id = self._control = 0

    @property
    def is_within(self) -> bool:
        """Whether a PDU has begun that is not whole."""
        return bool(self._kind or self._kept)

    def feed(self, data: memoryview) -> int:
        """Read on; how many bytes were used, fewer than there are only where the taker stopped it.

        Raises
        ------
        BrokenProtocol : a PDU of no known type, longer than anything that makes sense, or of values that do not fit.
        """
        at = 0
        while at < len(data) and not self.is_stopped:
            if not self._kind:
                at += self._read_head(data[at:])
            elif self._kind != P_DATA_TF:
                at += self._read_body(data[at:])
            elif not self._value_left:
                at += self._read_value_head(data[at:])
            else:
                at += self._read_value(data[at:])
        return at

    def _keep(self, data: memoryview, wanted: int) -> int:
        """Keep bytes until there are as many as wanted; how many were used now."""
        used = min(wanted - len(self._kept), len(data))
        self._reserve(used)
        self._kept += data[:used]
        return used

    def _kept_bytes(self) -> bytes:
        kept = bytes(self._kept)
        self._kept.clear()
        self._reserve(-len(kept))
        return kept

    def _read_head(self, data: memoryview) -> int:
        used = self._keep(data, _HEAD_BYTES)
        if len(self._kept) == _HEAD_BYTES:
            kind, _, length = struct.unpack(">BBL", self._kept_bytes())
            if not ASSOCIATE_RQ <= kind <= ABORT:
                raise BrokenProtocol(f"no DICOM: a PDU of type {kind}")
            if length > MAX_PDU_LENGTH:
                raise BrokenProtocol(f"a PDU of {length} bytes")
            if kind == P_DATA_TF and length < _MIN_DATA_BYTES:
                raise BrokenProtocol("a PDU of data without any")
            self._kind, self._left = kind, length
            self._taker.take_head(kind)
            if kind != P_DATA_TF and not length:
                self._end_body()
        return used

    def _read_body(self, data: memoryview) -> int:
        used = self._keep(data, self._left)
        if len(self._kept) == self._left:
            self._end_body()
        return used

    def _end_body(self) -> None:
        kind, self._kind = self._kind, 0
        self._taker.take_pdu(kind, self._kept_bytes())

    def _read_value_head(self, data: memoryview) -> int:
        if self._left < _VALUE_HEAD_BYTES:
            raise BrokenProtocol("a data value cut off")
        used = self._keep(data, _VALUE_HEAD_BYTES)
        if len(self._kept) == _VALUE_HEAD_BYTES:
            length, self._context_id, self._control = struct.unpack(">LBB", self._kept_bytes())
            if not 2 <= length <= self._left - 4:
                raise BrokenProtocol("a data value that does not fit into its PDU")
            self._left -= _VALUE_HEAD_BYTES
            self._value_left = length - 2
            if not self._value_left:
                self._end_value(memoryview(b""))
        return used

    def _read_value(self, data: memoryview) -> int:
        part = data[: self._value_left]
        self._value_left -= len(part)
        self._left -= len(part)
        if self._value_left:
            self._taker.take_value(self._context_id, self._control, part, is_end=False)
        else:
            self._end_value(part)
        return len(part)

    def _end_value(self, part: memoryview) -> None:
        if not self._left:
            self._kind = 0
        self._taker.take_value(self._context_id, self._control, part, is_end=True)


def abort(source: int) -> bytes:
    """A-ABORT by the service user or the provider, reason not specified (PS3.8 9.3.8)."""
    return bytes((ABORT, 0, 0, 0, 0, 4, 0, 0, source, 0))


def reject(result: int, source: int, reason: int) -> bytes:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return bytes((ASSOCIATE_RJ, 0, 0, 0, 0, 4, 0, result, source, reason))


RELEASED = bytes((RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0))
"""A-RELEASE-RP (PS3.8 9.3.7)."""


def command_pdus(context_id: int, command: bytes, max_length: int) -> bytes:
    """A command set without a data set, cut as finely as the peer wants.

    Parameters
    ----------
    max_length : of a PDU that the peer takes, at least 8; 0: any.
    """
    size = max_length - _VALUE_HEAD_BYTES if max_length else len(command)
    parts = [command[at : at + size] for at in range(0, len(command), size)]
    return b"".join(
        struct.pack(">BBLLBB", P_DATA_TF, 0, len(part) + 6, len(part) + 2, context_id, COMMAND | is_last * LAST) + part
        for part, is_last in zip(parts, [*[False] * (len(parts) - 1), True], strict=True)
    )
