"""Connections: accepted within limits, secured, driven by one thread for all of them until they have ended."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dicomnode.environment import said_by
from dicomnode.receive.limits import Limits, overdue
from dicomnode.receive.line import Line, Service
from dicomnode.receive.pdus import SERVICE_PROVIDER, BrokenProtocol, abort
from dicomnode.receive.states import State
from dicomnode.receive.turned_away import TurnedAway

log = logging.getLogger(__name__)

BACKLOG = 128
"""Connections that wait to be accepted; scanners open several at once."""
MAX_WAITING_PER_ADDRESS = 128
"""Connections of one address that have not asked for an association yet."""
MAKES_ROOM_S = 5.0
"""Where there is no room, the connection that has said nothing for the longest time, and at least so long, goes."""
READ_BYTES = 1 << 17
"""Of one connection at a time: all share one buffer, since they are read one after the other."""
MAX_BUFFERED_BYTES = 64 << 20
"""Kept of all connections together: halves of requests, commands and reports, and what came behind a message."""
TICK_S = 0.25
"""How often time limits are looked at."""
NO_ROOM_PAUSE_S = 0.5
"""After the system had no descriptor for one more connection."""

_ABORT = abort(SERVICE_PROVIDER)


@dataclass(slots=True)
class Budget:
    """Bytes that may be kept, and are."""

    most: int
    kept: int = 0

    def change(self, count: int) -> None:
        """Keep more, or fewer.

        Raises
        ------
        BrokenProtocol : there is no room for more.
        """
        if count > 0 and self.kept + count > self.most:
            raise BrokenProtocol("the node has no room for what is not whole")
        self.kept += count


class ReceptionServer:
    """Listens, and drives all lines in a thread of its own.

    Parameters
    ----------
    shared : other processes of this user may listen on the same port; the system deals the connections out.

    Raises
    ------
    OSError : the port is taken, or the address is not of this machine.

    Attributes
    ----------
    port : it listens on; the one the system chose where 0 was asked for.
    max_connections : open at a time.
    turned_away : tells the log of them.
    """

    def __init__(
        self, address: tuple[str, int], limits: Limits, ssl_context: ssl.SSLContext | None, *, shared: bool = False
    ) -> None:
        self._listener = _listener(*address, shared=shared)
        # asked by those who watch the node, also while it stops: the socket is closed then
        self.port = int(self._listener.getsockname()[1])
        self.max_connections = limits.max_connections
        self.turned_away = TurnedAway()
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(_tell_of_fault)
        self._service: Service | None = None
        self._limits = limits
        self._ssl_context = ssl_context
        self._lines: dict[Line, None] = {}
        self._securing: dict[Line, asyncio.Task[None]] = {}
        self._budget = Budget(MAX_BUFFERED_BYTES)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._thread = threading.Thread(target=self._run, name="scp-network", daemon=True)

    def set_limits(self, limits: Limits) -> None:
        """From now on these hold, for the lines that are open too; from any thread."""
        self._limits, self.max_connections = limits, limits.max_connections

    def open_lines(self) -> list[Line]:
        """All connections at this moment, and those whose end is not written yet; from any thread."""
        return list(self._lines)

    def start(self, service: Service) -> None:
        """Begin to accept, on behalf of a service."""
        self._service = service
        self.loop.call_soon(self._listen)
        self.loop.call_later(TICK_S, self._tick)
        self._thread.start()

    def close(self, reason: str, wait_s: float = 1.0) -> None:
        """Accept nobody any more, abort those who are there, and end once they are gone; not from the own thread."""
        self.call(self._abort_all, reason)
        self._wait_until_empty(wait_s)
        self.call(self._hang_up_all)
        self._wait_until_empty(10.0)
        self.call(self.loop.stop)
        self._thread.join(10.0)

    def call(self, work: Callable[..., object], *arguments: object) -> None:
        """Have something done in the thread of the network; from any other. Where that has ended, nothing is."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(work, *arguments)

    def is_over(self, line: Line) -> None:
        """Forget a line once its connection is closed and its end is written."""
        if line.is_closed and line.is_recorded:
            self._lines.pop(line, None)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.turned_away.flush_all()
            self._listener.close()
            self.loop.close()

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            self.loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(BACKLOG):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as fault:
                log.error("connections cannot be accepted", extra={"error": said_by(fault)})
                self.loop.remove_reader(self._listener.fileno())
                self.loop.call_later(NO_ROOM_PAUSE_S, self._listen)
                return
            connection.setblocking(False)
            self._take(connection, str(address[0]))

    def _take(self, connection: socket.socket, address: str) -> None:
        if not self._has_room(address):
            self.turned_away.tell("association turned away", "too many connections", {"peer": address})
            with contextlib.suppress(OSError):
                if self._ssl_context is None:
                    connection.send(_ABORT)
                connection.close()
            return
        assert self._service is not None  # nobody is accepted before the start
        line = Line(self._service, address, self._buffer, self._budget.change, self._closed)
        self._lines[line] = None
        task = self._securing[line] = self.loop.create_task(self._secure(line, connection))
        # Not within the task: one that is cancelled before its first step never runs.
        task.add_done_callback(partial(self._secured, line, connection))

    def _has_room(self, address: str) -> bool:
        """Whether there is room for one more; whoever has said nothing for long makes it."""
        waiting = [line for line in self._lines if line.peer is None and not line.is_closed]
        here = [line for line in waiting if line.address == address]
        is_crowd = len(here) >= MAX_WAITING_PER_ADDRESS
        if not is_crowd and len(self._lines) < self.max_connections:
            return True
        silent = [line for line in (here if is_crowd else waiting) if not line.has_read and line.closing_since == 0.0]
        oldest = min(silent, key=lambda line: line.opened, default=None)
        if oldest is None or time.monotonic() - oldest.opened < MAKES_ROOM_S:
            return False
        self._drop(oldest)
        return True

    def _drop(self, line: Line) -> None:
        task = self._securing.get(line)
        if task is not None:
            task.cancel()
        line.hang_up()

    async def _secure(self, line: Line, connection: socket.socket) -> None:
        """Hand the connection over to its line, behind a TLS handshake where there is to be one."""
        secured = self._ssl_context is not None
        await self.loop.connect_accepted_socket(
            lambda: line,
            connection,
            ssl=self._ssl_context,
            ssl_handshake_timeout=self._limits.handshake_timeout_s if secured else None,
            ssl_shutdown_timeout=self._limits.linger_s if secured else None,
        )

    def _secured(self, line: Line, connection: socket.socket, task: asyncio.Task[None]) -> None:
        """Let go of a connection that came to nothing."""
        del self._securing[line]
        fault = None if task.cancelled() else task.exception()
        if not task.cancelled() and fault is None:
            return
        if isinstance(fault, OSError):
            reason = getattr(fault, "verify_message", "") or getattr(fault, "reason", "") or type(fault).__name__
            self.turned_away.tell("TLS refused", reason, {"peer": line.address})
        elif fault is not None:
            log.error("connection broke", extra={"peer": line.address, "error": type(fault).__name__})
        connection.close()
        if line.state == State.IDLE:
            self._lines.pop(line, None)

    def _closed(self, line: Line) -> None:
        self.is_over(line)

    def _tick(self) -> None:
        now = time.monotonic()
        for line in self.open_lines():
            reason = overdue(line, now, self._limits)
            if reason is not None:
                line.break_off(reason)
        self.turned_away.flush()
        self.loop.call_later(TICK_S, self._tick)

    def _abort_all(self, reason: str) -> None:
        self.loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for line in self.open_lines():
            line.break_off(reason)

    def _hang_up_all(self) -> None:
        for line in self.open_lines():
            self._drop(line)

    def _wait_until_empty(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._lines and time.monotonic() < deadline:
            time.sleep(0.02)


def require_free(host: str, port: int) -> None:
    """That nobody listens there: where a port is shared, the system would not say so.

    Raises
    ------
    OSError : somebody does, or the address is not of this machine.
    """
    _listener(host, port, shared=False).close()


def _listener(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket that listens.

    Raises
    ------
    OSError : the port is taken, or the address is not of this machine.
    """
    is_six = ":" in host
    family = socket.AF_INET6 if is_six else socket.AF_INET
    try:
        listener = socket.create_server(
            (host, port), family=family, backlog=BACKLOG, reuse_port=shared, dualstack_ipv6=host == "::"
        )
    except OSError as fault:
        if fault.errno is None or fault.errno not in errno.errorcode:
            raise
        raise OSError(fault.errno, os.strerror(fault.errno)) from None  # what Python adds is said by the caller
    listener.setblocking(False)
    return listener


def _tell_of_fault(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    fault = context.get("exception")
    if not isinstance(fault, OSError):  # of a connection that is gone, of which its line hears
        log.error("connection broke", extra={"error": type(fault).__name__})
