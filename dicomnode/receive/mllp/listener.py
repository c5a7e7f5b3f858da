"""The port for HL7 v2 over MLLP: a thread for each connection, and bounds that one bad peer cannot use up."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections import Counter

from dicomnode.config.clinical import Hl7
from dicomnode.config.tls import server_context
from dicomnode.receive.certificates import names_of
from dicomnode.receive.mllp.connection import CLOSED, IDLE, Bounds, Connection, Handler, Peer, Reply
from dicomnode.receive.mllp.framing import Frame
from dicomnode.receive.mllp.peers import is_there, may_connect

log = logging.getLogger(__name__)

WHERE = "clinical.hl7"
BACKLOG = 64
HANDSHAKE_S = 10.0
ACCEPT_POLL_S = 0.2
JOIN_S = 5.0
TURNED_AWAY = "turned_away"


class MllpListener:
    """Receives messages for a handler.

    Parameters
    ----------
    handler : takes each message; called from several threads at once.
    """

    def __init__(self, config: Hl7, handler: Handler) -> None:
        self.config = config
        self._handler = handler
        self._context: ssl.SSLContext | None = None
        self._socket: socket.socket | None = None
        self._port = 0
        self._stopping = threading.Event()
        self._accepting: threading.Thread | None = None
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}

    @property
    def port(self) -> int:
        """The port it listens on; 0 where it does not. For any thread, also while it starts or stops."""
        return self._port

    def start(self) -> None:
        """Listen.

        Raises
        ------
        OSError : the port is taken.
        ConfigError : the certificates cannot be used.
        """
        self._context = server_context(self.config.tls, f"{WHERE}.tls")
        family = socket.AF_INET6 if ":" in self.config.host else socket.AF_INET
        self._socket = socket.create_server((self.config.host, self.config.port), family=family, backlog=BACKLOG)
        self._port = int(self._socket.getsockname()[1])
        self._socket.settimeout(ACCEPT_POLL_S)
        self._accepting = threading.Thread(target=self._accept, name="mllp-accept", daemon=True)
        self._accepting.start()
        log.info("listening for HL7", extra={"port": self.port, "tls": self._context is not None})
        if not self.config.senders:
            log.warning("no sender of [clinical.hl7] is listed: anyone may send", extra={"port": self.port})

    def reload(self, config: Hl7, handler: Handler) -> None:
        """From now on these senders and limits, and this handler, which open connections get too.

        Address and certificates stay.
        """
        self.config, self._handler = config, handler

    def _handle(self, frame: Frame, peer: Peer) -> Reply:
        return self._handler(frame, peer)

    def stop(self, drain_s: float = 0.0) -> None:
        """Accept nobody any more, finish for ``drain_s`` what is on its way, and hang up on the rest.

        What is not answered is sent again by its sender.
        """
        if self._socket is None:
            return
        self._stopping.set()
        self._port = 0
        if self._accepting is not None:
            self._accepting.join(JOIN_S)
        self._socket.close()
        deadline = time.monotonic() + drain_s
        while self._hang_up(only_idle=True) and time.monotonic() < deadline:
            time.sleep(0.05)
        self._hang_up(only_idle=False)
        with self._lock:
            threads = list(self._connections.values())
        deadline = time.monotonic() + JOIN_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._socket = None
        log.info("HL7 reception stopped")

    def _hang_up(self, *, only_idle: bool) -> int:
        """Hang up on connections; how many are still open that were busy."""
        with self._lock:
            busy = [one for one in self._connections if one.is_busy]
            for connection in self._connections:
                if not (only_idle and connection.is_busy):
                    connection.hang_up()
        return len(busy)

    def _accept(self) -> None:
        assert self._socket is not None
        while not self._stopping.is_set():
            try:
                accepted, address = self._socket.accept()
            except TimeoutError:
                continue
            except OSError as fault:
                # out of descriptors, say: who waits in the backlog is accepted when there are some again
                log.error("HL7 connection not accepted", extra={"error": type(fault).__name__})
                self._stopping.wait(ACCEPT_POLL_S)
                continue
            self._take(accepted, str(address[0]))

    def _take(self, accepted: socket.socket, address: str) -> None:
        """Give a connection its thread, where it may come and there is room for it."""
        if not is_there(self.config.senders, address):
            self._turn_away(accepted, address, "not listed in senders")
            return
        try:
            if self._context is not None:
                # the handshake is left to its own thread: a silent peer must hold up nobody
                accepted = self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        except OSError:
            accepted.close()  # gone again
            return
        connection = self._connection(accepted, address)
        thread = threading.Thread(target=self._run, args=(connection,), name="mllp", daemon=True)
        if not self._has_room(connection, thread):
            self._turn_away(accepted, address, "too many connections")
            return
        try:
            thread.start()
        except RuntimeError:  # this process may start no more threads
            self._forget(connection)
            self._turn_away(accepted, address, "no more threads")

    def _turn_away(self, accepted: socket.socket, address: str, reason: str) -> None:
        log.warning("HL7 connection turned away", extra={"peer": address, "reason": reason})
        accepted.close()

    def _connection(self, accepted: socket.socket, address: str) -> Connection:
        bounds = Bounds(
            max_message_bytes=self.config.max_message_bytes,
            message_timeout_s=self.config.message_timeout_s,
            idle_timeout_s=self.config.idle_timeout_s,
        )
        return Connection(socket=accepted, peer=Peer(address=address), bounds=bounds, handler=self._handle)

    def _has_room(self, newcomer: Connection, thread: threading.Thread) -> bool:
        """Whether it was let in; where all places are taken, for an idle one of whoever has most of them."""
        with self._lock:
            held = Counter(connection.peer.address for connection in self._connections)
            if len(self._connections) >= self.config.max_connections:
                address, most = held.most_common(1)[0]
                idle = [one for one in self._connections if one.peer.address == address and not one.is_busy]
                if not idle or (address != newcomer.peer.address and most <= held[newcomer.peer.address]):
                    return False
                longest = min(idle, key=lambda one: one.since)
                del self._connections[longest]
                longest.hang_up()
            self._connections[newcomer] = thread
            return True

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            self._connections.pop(connection, None)

    def _run(self, connection: Connection) -> None:
        ended = "broke"
        try:
            ended = self._serve(connection)
        except Exception as fault:  # noqa: BLE001 (the boundary, as for a C-STORE: it costs this connection alone)
            log.error("connection broke", extra={"peer": connection.peer.address, "error": type(fault).__name__})
        finally:
            connection.hang_up()
            connection.socket.close()
            self._forget(connection)
            facts = {"peer": connection.peer.address, "messages": connection.messages, "reason": ended}
            level = logging.DEBUG if ended in (CLOSED, IDLE, TURNED_AWAY) else logging.WARNING
            log.log(level, "HL7 connection ended", extra=facts)

    def _serve(self, connection: Connection) -> str:
        address = connection.peer.address
        try:
            connection.secure(HANDSHAKE_S)
        except (OSError, ValueError) as fault:
            reason = getattr(fault, "verify_message", "") or getattr(fault, "reason", "") or type(fault).__name__
            log.warning("TLS refused", extra={"peer": address, "reason": reason})
            return TURNED_AWAY
        connection.peer = Peer(address=address, names=names_of(connection.socket))
        if not may_connect(self.config.senders, connection.peer):
            log.warning("HL7 connection turned away", extra={"peer": address, "reason": "certificate not listed"})
            return TURNED_AWAY
        return connection.run()
