"""One connection, from its first byte to its last: the upper layer of PS3.8 driven by what a peer sends."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from dicomnode.dicom.acknowledging import acknowledge_at_once
from dicomnode.receive.admission import Rejection
from dicomnode.receive.certificates import names_in
from dicomnode.receive.intake import Peer
from dicomnode.receive.messages import Message, Messages
from dicomnode.receive.pdus import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    ASSOCIATE_RQ,
    P_DATA_TF,
    RELEASE_RP,
    RELEASE_RQ,
    RELEASED,
    SERVICE_PROVIDER,
    SERVICE_USER,
    BrokenProtocol,
    PduReader,
    abort,
    command_pdus,
    reject,
)
from dicomnode.receive.requests import AssociationRequest, UnreadableRequest
from dicomnode.receive.states import NEXT_STATE, TRANSITIONS, Action, Event, State
from dicomnode.store.receive import receptions

log = logging.getLogger(__name__)

MOST_UNSENT = 1 << 16
"""Bytes of answers that a peer has not taken; with more of them nothing is read from it."""

_WRONG_VERSION = (1, 2, 2)
"""Rejected for good by the service provider (ACSE): protocol version not supported (PS3.8 table 9-21)."""
_EVENTS = {
    ASSOCIATE_AC: Event.ACCEPT_PDU,
    ASSOCIATE_RJ: Event.REJECT_PDU,
    ASSOCIATE_RQ: Event.REQUEST_PDU,
    RELEASE_RQ: Event.RELEASE_REQUEST_PDU,
    RELEASE_RP: Event.RELEASE_RESPONSE_PDU,
    ABORT: Event.ABORT_PDU,
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """An association that is let in, and the PDU that says so."""

    pdu: bytes
    messages: Messages
    peer: Peer


class Service(Protocol):
    """Whom a line works for; called in the thread of the network, which must not wait."""

    def judge(self, line: Line, request: AssociationRequest) -> Accepted | Rejection:
        """Whether an association is accepted."""

    def serve(self, line: Line, message: Message) -> None:
        """A message is whole; :meth:`Line.answer` answers it, at once or, after :meth:`Line.hold`, later."""

    def ended(self, line: Line) -> None:
        """The association is over, or the connection where there was none."""


class Line(asyncio.BufferedProtocol):
    """One connection. All of it happens in one thread, but for reading attributes.

    Parameters
    ----------
    buffer : into which all lines read, one at a time.
    reserve : is asked for room for bytes that are kept; may raise BrokenProtocol.
    on_closed : called once the connection is gone.

    Attributes
    ----------
    names : that the peer's certificate gives it; empty without one.
    request : as it came; None before one came.
    peer : None until an association was accepted.
    outcome : how the association ended; None while it has not.
    is_admitted : it counts towards the limit of associations.
    is_told : the log says already why it got no association.
    broken : why the association was broken off, in words without values; empty while it was not.
    has_read : whether the peer has said anything.
    heard_at, closing_since, window_bytes : for whoever looks after time limits.
    """

    def __init__(
        self,
        service: Service,
        address: str,
        buffer: memoryview,
        reserve: Callable[[int], None],
        on_closed: Callable[[Line], None],
    ) -> None:
        self.address = address
        self.names: frozenset[str] = frozenset()
        self.opened = self.heard_at = self.window_since = time.monotonic()
        self.closing_since = 0.0
        self.window_bytes = 0
        self.state = State.IDLE
        self.request: AssociationRequest | None = None
        self.peer: Peer | None = None
        self.outcome: str | None = None
        self.broken = ""
        self.is_admitted = self.is_told = self.has_read = self.is_closed = self.is_recorded = False
        self.is_held = False
        self._service = service
        self._buffer = buffer
        self._budget = reserve
        self._reserved = 0
        self._on_closed = on_closed
        self._reader = PduReader(self, self.reserve)
        self._accepted: Accepted | None = None
        self._left = b""
        self._is_lost = False
        self._transport: asyncio.Transport | None = None
        self._connection: socket.socket | None = None

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands, and is secured where it is to be."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(MOST_UNSENT)
        self._connection = self._transport.get_extra_info("socket")
        self.names = names_in(self._transport.get_extra_info("peercert"))
        self.opened = time.monotonic()
        self._on(Event.CONNECTED)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        """Bytes have come."""
        self.has_read = True
        self.heard_at = time.monotonic()
        self.window_bytes += count
        acknowledge_at_once(self._connection)
        self._read(self._buffer[:count])

    def connection_lost(self, _fault: Exception | None) -> None:
        """The connection is gone, whoever closed it."""
        self._on(Event.CLOSED)
        if self.peer is None:
            self._service.ended(self)
        self._budget(-self._reserved)
        self.is_closed = True
        self._on_closed(self)

    def pause_writing(self) -> None:
        """A peer that takes no answers is not read from."""
        self._pause()

    def resume_writing(self) -> None:
        """It has taken them."""
        if not self.is_held:
            self._resume()

    # what the service and whoever looks after limits call

    @property
    def is_within(self) -> bool:
        """Whether the peer owes the rest of a PDU or of a message."""
        messages = None if self._accepted is None else self._accepted.messages
        return self._reader.is_within or (messages is not None and messages.is_within)

    def answer(self, message: Message, status: int) -> None:
        """Send the response to a message, where there is still somebody to hear it; its time to be idle begins."""
        self.heard_at = time.monotonic()
        event = Event.SEND_DATA
        if (event, self.state) in TRANSITIONS and self.request is not None:
            command = message.command.answered(status, negotiated=message.context.abstract_syntax)
            self._on(event)
            self._write(command_pdus(message.context.context_id, command, self.request.max_length))

    def hold(self) -> None:
        """Read nothing more until :meth:`go_on`: a message is in hand, and what comes meanwhile waits with its peer."""
        self.is_held = self._reader.is_stopped = True

    def go_on(self) -> None:
        """The message in hand is done."""
        self.is_held = False
        if self.outcome is not None:
            self._service.ended(self)
            return
        self._reader.is_stopped = self._is_lost
        left, self._left = self._left, b""
        self.reserve(-len(left))
        if left:
            self._read(memoryview(left))
        if not self.is_held:
            self._resume()

    def break_off(self, reason: str) -> None:
        """End the association, or a connection without one, from this side."""
        self.broken = self.broken or reason
        self._lose()
        in_association = (Event.ABORT, self.state) in TRANSITIONS
        self._on(Event.ABORT if in_association else Event.ARTIM_EXPIRED)

    def hang_up(self) -> None:
        """Close at once, whatever is on its way."""
        self._lose()
        if self._transport is not None:
            self._transport.abort()

    def reserve(self, count: int) -> None:
        """Account for bytes that are kept (positive) or no longer are (negative).

        Raises
        ------
        BrokenProtocol : the node has no room for them.
        """
        if not self.is_closed:  # then all was given back
            self._budget(count)
            self._reserved += count

    # what the reader calls

    def take_head(self, kind: int) -> None:
        """A PDU begins; one of data counts from its beginning."""
        if kind == P_DATA_TF:
            self._on(Event.DATA_PDU)

    def take_pdu(self, kind: int, body: bytes) -> None:
        """A PDU of any other kind is whole."""
        if kind == ASSOCIATE_RQ and self.state == State.AWAITING_REQUEST:
            self.request = AssociationRequest.of(body)
        self._on(_EVENTS[kind])

    def take_value(self, context_id: int, control: int, part: memoryview, *, is_end: bool) -> None:
        """A part of a data value."""
        if self.state != State.ESTABLISHED or self._accepted is None:
            return
        message = self._accepted.messages.take(context_id, control, part, is_end=is_end)
        if message is not None:
            self._service.serve(self, message)

    def _read(self, data: memoryview) -> None:
        if self._is_lost:
            return
        try:
            used = self._reader.feed(data)
            if used < len(data) and not self._is_lost:
                self.reserve(len(data) - used)
                self._left += bytes(data[used:])
                self._pause()
        except (BrokenProtocol, UnreadableRequest) as fault:
            self._break_down(str(fault))
        except Exception as fault:  # noqa: BLE001 (the boundary: nothing that a peer sends may end the thread of all)
            # Not the message: it may quote a value.
            log.error("connection broke", extra={"peer": self.address, "error": type(fault).__name__})
            self._break_down(f"protocol: {type(fault).__name__}")

    def _break_down(self, reason: str) -> None:
        self.broken = self.broken or reason
        self._lose()
        self._on(Event.INVALID_PDU)

    def _lose(self) -> None:
        """Where the next PDU begins is not known any more, or no longer matters: what still comes is dropped."""
        self._is_lost = self._reader.is_stopped = True
        self._resume()

    def _on(self, event: Event) -> None:
        action = TRANSITIONS.get((event, self.state))
        if action is None:
            return
        self.state = NEXT_STATE[action]
        self._act(action)
        if self.state in (State.AWAITING_CLOSE, State.IDLE):
            self.closing_since = self.closing_since or time.monotonic()
            self._end(receptions.RELEASED if action == Action.SEND_RELEASE_RESPONSE else receptions.ABORTED)

    def _act(self, action: Action) -> None:
        match action:
            case Action.JUDGE_REQUEST:
                self._judge()
            case Action.INDICATE_RELEASE:
                self._on(Event.RELEASE)
            case Action.SEND_RELEASE_RESPONSE:
                self._write(RELEASED)
            case Action.SEND_ABORT:
                self._write(abort(SERVICE_USER))
            case Action.SEND_ABORT_AGAIN | Action.SEND_PROVIDER_ABORT:
                self._write(abort(SERVICE_PROVIDER))
            case Action.CLOSE | Action.INDICATE_ABORT_AND_CLOSE:
                self.hang_up()

    def _judge(self) -> None:
        assert self.request is not None
        if not self.request.speaks_version_1:
            self.broken, self.state = "protocol version", State.AWAITING_CLOSE
            self._write(reject(*_WRONG_VERSION))
            return
        judged = self._service.judge(self, self.request)
        if isinstance(judged, Rejection):
            self._on(Event.REJECT)
            self._write(reject(*judged.of_pdu))
            return
        self._accepted, self.peer = judged, judged.peer
        self._on(Event.ACCEPT)
        self._write(judged.pdu)

    def _end(self, outcome: str) -> None:
        if self.peer is None or self.outcome is not None:
            return
        self.outcome, self.is_admitted = outcome, False
        if self._accepted is not None:
            self._accepted.messages.discard()
        if not self.is_held:
            self._service.ended(self)

    def _write(self, pdus: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(pdus)

    def _pause(self) -> None:
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_reading() and not self._transport.is_closing():
            self._transport.resume_reading()
