"""Connections: accepted within limits, secured, one thread with each until it has ended, however that comes about.

What pynetdicom lacks, and is added here: time limits on a blocked socket, a limit of connections, an end of each
association that cannot be missed. Written against pynetdicom 3.0; tests/integration/receive/test_network.py holds it to
that.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicomnode.receive.admission import Rejection
from dicomnode.receive.messages import SpoolingProvider
from dicomnode.receive.spool import Spool
from dicomnode.receive.upper_layer import ABORT, BoundedUpperLayer

log = logging.getLogger(__name__)

BACKLOG = 128
"""Connections that wait to be accepted; scanners open several at once."""
MAX_CONNECTIONS = 256
"""Open at a time beside the associations that are allowed: each costs three threads and a descriptor."""


@dataclass(eq=False, kw_only=True)
class Line:
    """One connection of the server, from accept to close.

    Attributes
    ----------
    names : that the peer's certificate gives it; empty without one.
    is_admitted : it counts towards the limit of associations.
    is_told : the log says already why it got no association.
    overdue : how often the reaper found that it should be gone.
    """

    assoc: Association
    socket: socket.socket
    names: frozenset[str] = frozenset()
    opened: float = field(default_factory=time.monotonic)
    is_admitted: bool = False
    is_told: bool = False
    overdue: int = 0

    @property
    def upper_layer(self) -> BoundedUpperLayer:
        """Of its association."""
        return cast(BoundedUpperLayer, self.assoc.dul)

    @property
    def messages(self) -> SpoolingProvider:
        """Of its association."""
        return cast(SpoolingProvider, self.assoc.dimse)

    def hang_up(self) -> None:
        """Wake whoever waits on the socket: to a peer that holds the line, nothing else helps."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class ReceptionServer(ThreadedAssociationServer):
    """Accepts connections; one thread stays with each until it has ended.

    Attributes
    ----------
    spool, idle_timeout_s, handshake_timeout_s, max_connections, on_end : set before the server serves; ``on_end`` is
        called once for each connection, with its line, after the association has ended, however it did.
    handshakes : since when each connection that is not secured yet has been open.
    """

    daemon_threads = True
    request_queue_size = BACKLOG

    spool: Spool
    idle_timeout_s: float
    handshake_timeout_s: float
    max_connections: int
    on_end: Callable[[Line], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.lock = threading.Lock()
        self.lines: dict[Association, Line] = {}
        self.handshakes: dict[socket.socket, float] = {}
        self._connections = 0
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """A connection; with TLS its handshake is left to its own thread, so that a silent peer holds up nobody."""
        connection, address = cast(socket.socket, self.socket).accept()
        if self.ssl_context is not None:
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection; said in the log where there is none."""
        with self.lock:
            has_room = self._connections < self.max_connections
            self._connections += has_room
        if not has_room:
            log.warning("association turned away", extra={"peer": client_address[0], "reason": "too many connections"})
            if not isinstance(request, ssl.SSLSocket):
                with contextlib.suppress(OSError):
                    request.sendall(ABORT)
        return has_room

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection its thread."""
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # this process may start no more threads
            self._forget_connection()
            log.error("association turned away", extra={"peer": client_address[0], "reason": "no more threads"})
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Run one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget_connection()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what broke; the base class prints a traceback to standard error."""
        fault = sys.exc_info()[0]
        log.error("connection broke", extra={"peer": client_address[0], "error": fault and fault.__name__})

    def _forget_connection(self) -> None:
        with self.lock:
            self._connections -= 1

    def admit(self, assoc: Association, rejection: Callable[[int], Rejection | None]) -> Rejection | None:
        """Count an association in unless ``rejection``, given the number of others, speaks against it."""
        with self.lock:
            refused = rejection(sum(line.is_admitted for line in self.lines.values()))
            if refused is None:
                self.lines[assoc].is_admitted = True
            return refused

    def open_lines(self) -> list[Line]:
        """All connections at this moment."""
        with self.lock:
            return list(self.lines.values())

    def late_handshakes(self) -> list[socket.socket]:
        """Connections that should have been secured by now."""
        since = time.monotonic() - self.handshake_timeout_s
        with self.lock:
            return [connection for connection, opened in self.handshakes.items() if opened < since]


class ReceptionHandler(RequestHandler):
    """One connection, in a thread of its own that ends with it."""

    server: ReceptionServer

    def handle(self) -> None:
        """Run the association and clean up behind it."""
        connection = cast(socket.socket, self.request)
        # pynetdicom sets no limit on an accepted socket: half a PDU would block its thread for ever.
        connection.settimeout(self.server.idle_timeout_s)
        if isinstance(connection, ssl.SSLSocket) and not self._secure(connection):
            return
        assoc = self._create_association()
        assoc.dul = BoundedUpperLayer.in_place_of(assoc.dul)
        assoc.dimse = SpoolingProvider(assoc, self.server.spool)
        line = Line(assoc=assoc, socket=connection, names=names_of(connection))
        with self.server.lock:
            self.server.lines[assoc] = line
        try:
            evt.trigger(assoc, evt.EVT_CONN_OPEN, {"address": self.client_address})
            assoc.start()
            assoc.join()
        finally:
            self._end(line)

    def _secure(self, connection: ssl.SSLSocket) -> bool:
        """Do the TLS handshake; False: there is nobody to talk to."""
        with self.server.lock:
            self.server.handshakes[connection] = time.monotonic()
        try:
            connection.do_handshake()
        except (OSError, ValueError) as fault:  # ValueError: the reaper was first
            reason = getattr(fault, "verify_message", "") or getattr(fault, "reason", "") or type(fault).__name__
            log.warning("TLS refused", extra={"peer": self.client_address[0], "reason": reason})
            connection.close()
            return False
        finally:
            with self.server.lock:
                del self.server.handshakes[connection]
        return True

    def _end(self, line: Line) -> None:
        assoc = line.assoc
        is_answered = assoc.is_released or assoc.is_aborted or assoc.is_rejected
        if line.upper_layer.has_read and not is_answered:
            line.upper_layer.abort_unanswered()
        line.hang_up()
        # pynetdicom leaves the descriptor open where the peer was the first to close.
        line.socket.close()
        if assoc.dul.is_alive():
            assoc.dul.join(self.server.idle_timeout_s)
        line.messages.discard_files()
        line.is_admitted = False
        try:
            self.server.on_end(line)
        finally:
            with self.server.lock:
                del self.server.lines[assoc]


def names_of(connection: socket.socket) -> frozenset[str]:
    """Common name and alternative names of the peer's certificate, lower case; empty where it showed none."""
    certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    fields: Any = certificate or {}
    common = [value for part in fields.get("subject", ()) for key, value in part if key == "commonName"]
    return frozenset(name.lower() for name in (*common, *(value for _, value in fields.get("subjectAltName", ()))))
