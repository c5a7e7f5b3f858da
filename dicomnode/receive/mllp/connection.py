"""One connection of an HL7 sender: read a message, hand it on, answer, within bounds of bytes and time."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dicomnode.receive.mllp.framing import Frame, Framer, framed

log = logging.getLogger(__name__)

READ_BYTES = 65_536
CLOSED, IDLE, HUNG_UP, NOT_MLLP = "closed", "idle", "hung_up", "not_mllp"
UNFINISHED, LEFT, LOST = "message_not_finished", "left_within_a_message", "connection_lost"
"""Why a connection ended."""
MAX_STRAYS = 65_536
"""Bytes outside of any message, after which whoever sends them is no HL7 sender."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end. ``names``: that its certificate gives it, lower case; empty without TLS."""

    address: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back; None: nothing. ``hangs_up``: the connection is closed then, and the sender tries again."""

    content: bytes | None
    hangs_up: bool = False


Handler = Callable[[Frame, Peer], Reply]
"""Takes one message; it raises nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of one connection. ``message_timeout_s``: for a message from its first byte on, and for taking the answer."""

    max_message_bytes: int
    message_timeout_s: float
    idle_timeout_s: float


@dataclass(eq=False, kw_only=True)
class Connection:
    """One socket and the thread that reads from it.

    Attributes
    ----------
    is_busy : a message is read or handled; otherwise it may be closed to make room.
    since : when it last became idle, monotonic.
    """

    socket: socket.socket
    peer: Peer
    bounds: Bounds
    handler: Handler
    is_busy: bool = False
    since: float = field(default_factory=time.monotonic)
    messages: int = 0

    def run(self) -> str:
        """Serve until the peer, a bound or a fault ends it; returns why it ended."""
        framer = Framer(self.bounds.max_message_bytes)
        began = time.monotonic()
        while True:
            try:
                data = self._receive(began, is_begun=framer.is_within or framer.strays > 0)
            except TimeoutError:
                return UNFINISHED if framer.is_within else IDLE
            except (OSError, ValueError):
                return LOST
            if not data:
                return LEFT if framer.is_within else CLOSED
            goes_on, is_new = self._take(framer, data)
            if not goes_on:
                return HUNG_UP
            if framer.strays > MAX_STRAYS:
                return NOT_MLLP
            if is_new:
                began = self.since = time.monotonic()
            self.is_busy = framer.is_within

    def _take(self, framer: Framer, data: bytes) -> tuple[bool, bool]:
        """Whether the connection goes on, and whether what is open now began with these bytes."""
        is_new = not framer.is_within
        for frame in framer.feed(data):
            self.is_busy = is_new = True
            if not self._serve(frame):
                return False, is_new
        return True, is_new

    def _receive(self, began: float, *, is_begun: bool) -> bytes:
        limit_s = self.bounds.message_timeout_s if is_begun else self.bounds.idle_timeout_s
        left_s = began + limit_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.socket.settimeout(left_s)
        return self.socket.recv(READ_BYTES)

    def _serve(self, frame: Frame) -> bool:
        """Hand a message on and answer it; whether the connection goes on."""
        reply = self.handler(frame, self.peer)
        self.messages += 1
        if reply.content is not None:
            try:
                self.socket.settimeout(self.bounds.message_timeout_s)
                self.socket.sendall(framed(reply.content))
            except (OSError, ValueError):
                log.warning("HL7 answer not taken", extra={"peer": self.peer.address})
                return False
        return not reply.hangs_up

    def secure(self, timeout_s: float) -> None:
        """Do the TLS handshake, where there is to be one.

        Raises
        ------
        OSError : the peer speaks no TLS, shows no certificate that is trusted, or takes too long.
        """
        self.socket.settimeout(timeout_s)
        if isinstance(self.socket, ssl.SSLSocket):
            self.socket.do_handshake()

    def hang_up(self) -> None:
        """Wake its thread, whatever it waits for; the descriptor is that thread's to close."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
