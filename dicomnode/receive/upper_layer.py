"""The upper layer of one association (DICOM PS3.8 chapter 9), bounded: pynetdicom's reads whatever length a peer names,
breaks off without a word for what it does not like, and dies with a traceback.
"""

from __future__ import annotations

import contextlib
import logging
import struct
import time
from typing import Self, cast

from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import A_P_ABORT
from pynetdicom.transport import AssociationSocket

from dicomnode.receive.requests import AssociationRequest, UnreadableRequest

log = logging.getLogger(__name__)

MAX_PDU_LENGTH = 1 << 20
"""Of any PDU. A request with 128 contexts of all syntaxes has 160 kB; of data the node announces 128 KiB, which a few
senders overlook."""
LINGER_S = 1.0
"""How long a peer has for reading the last word and closing, before the node closes; what it still sends is dropped."""

_REQUEST, _LAST_TYPE = 0x01, 0x07
_IDLE_STATE, _AWAITING_REQUEST, _CLOSING = "Sta1", "Sta2", "Sta13"
_CLOSED, _INVALID = "Evt17", "Evt19"
ABORT = bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 0))
"""A-ABORT by the service provider, reason not specified (PS3.8 9.3.8)."""
_DRAIN_BYTES = 1 << 16


class BrokenProtocol(Exception):
    """A peer breaks the rules such that its association cannot go on."""


class BoundedUpperLayer(DULServiceProvider):
    """pynetdicom's provider with limits, and with an answer to whatever comes.

    Attributes
    ----------
    request : as it came; None before one came.
    broken : why the association was broken off, in words without values; empty while it was not.
    has_read : whether the peer has said anything.
    """

    request: AssociationRequest | None = None
    broken = ""
    has_read = False
    _closing_since = 0.0

    @classmethod
    def in_place_of(cls, plain: DULServiceProvider) -> Self:
        """Take over the connection and the clocks of a provider that has not run yet."""
        bounded = cls(plain.assoc)
        bounded.socket, bounded.event_queue = plain.socket, plain.event_queue
        bounded.artim_timer, bounded._idle_timer = plain.artim_timer, plain._idle_timer
        return bounded

    def run_reactor(self) -> None:
        """Run until the association has ended; what pynetdicom does not survive ends it with an A-ABORT."""
        try:
            super().run_reactor()
        except Exception as fault:  # noqa: BLE001 (part of the SCP handler: pynetdicom raises anything on odd bytes)
            # Not the message: it may quote a value.
            self._break_off(str(fault) if isinstance(fault, BrokenProtocol) else f"protocol: {type(fault).__name__}")

    def abort_unanswered(self) -> None:
        """Tell a peer that has had no answer, where it can still be told."""
        with contextlib.suppress(OSError, AttributeError):
            cast(AssociationSocket, self.socket).socket.sendall(ABORT)  # type: ignore[union-attr]

    def _break_off(self, reason: str) -> None:
        self.broken = self.broken or reason
        self.abort_unanswered()
        self.assoc.is_aborted, self.assoc.is_established = True, False
        self.assoc._kill = True
        # Whoever waits for a request or a release gets this instead.
        self.to_user_queue.put(A_P_ABORT())

    def _is_transport_event(self) -> bool:
        if self.state_machine.current_state != _CLOSING:
            return super()._is_transport_event()
        self._closing_since = self._closing_since or time.monotonic()
        connection = cast(AssociationSocket, self.socket)
        if connection.socket is None or time.monotonic() - self._closing_since > LINGER_S:
            connection.close()
            return True
        if not connection.ready:
            return False
        try:
            is_closed = not connection.socket.recv(_DRAIN_BYTES)
        except OSError:
            is_closed = True
        if is_closed:
            connection.close()
        return True

    def _read_pdu_data(self) -> None:
        try:
            pdu = self._next_pdu()
            if pdu is None:
                self.event_queue.put(_CLOSED)
                return
            decoded, event = self._decode_pdu(bytearray(pdu))
        except OSError:
            self.event_queue.put(_CLOSED)
        except Exception as fault:  # noqa: BLE001 (as above; assertions, too, stand for "not as the standard has it")
            known = isinstance(fault, BrokenProtocol | UnreadableRequest)
            self.broken = self.broken or (str(fault) if known else "a PDU that cannot be read")
            self._end_unasked()
            self.event_queue.put(_INVALID)
        else:
            self._recv_pdu.put(decoded)
            self.event_queue.put(event)

    def _end_unasked(self) -> None:
        """Before a request, nobody but this thread knows of the association: let the one that waits for it go."""
        if self.state_machine.current_state == _AWAITING_REQUEST:
            self.assoc.is_aborted = True
            self.to_user_queue.put(None)

    def _next_pdu(self) -> bytes | None:
        """The next PDU; None where the connection was closed.

        Raises
        ------
        BrokenProtocol : it is of no known type, or longer than anything that makes sense.
        UnreadableRequest : it is an A-ASSOCIATE-RQ that says not even who asks.
        OSError : the connection is gone, or silent for too long in the middle of a PDU.
        """
        connection = cast(AssociationSocket, self.socket)
        head = bytes(connection.recv(6))
        self.has_read = self.has_read or bool(head)
        if len(head) < 6:
            return None
        kind, _, length = struct.unpack(">BBL", head)
        if not _REQUEST <= kind <= _LAST_TYPE:
            raise BrokenProtocol(f"no DICOM: a PDU of type {kind}")
        if length > MAX_PDU_LENGTH:
            raise BrokenProtocol(f"a PDU of {length} bytes")
        body = bytes(connection.recv(length))
        if len(body) < length:
            return None
        return self._understood(body) if kind == _REQUEST and self.request is None else head + body

    def _understood(self, body: bytes) -> bytes:
        self.request = AssociationRequest.of(body)
        if not self.request.speaks_version_1:
            self.broken = "protocol version"
        return self.request.for_pynetdicom()

    def _send(self, pdu) -> None:  # type: ignore[no-untyped-def]
        if isinstance(pdu, A_ASSOCIATE_AC) and self.request is not None and self.socket is not None:
            self.socket.send(self.request.answer(pdu.encode()))
            return
        super()._send(pdu)
