"""The HTTP port as a part of the node: a thread that may fail without the node, and few connections at a time."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy.exc import SQLAlchemyError
from uvicorn.protocols.http.h11_impl import H11Protocol

from dicomnode.config.operations import Operations
from dicomnode.config.sections import ReceptionTls
from dicomnode.config.tls import open_to_others, server_context
from dicomnode.config.whole import Config
from dicomnode.environment import said_by
from dicomnode.errors import ConfigError, EnvironmentFault
from dicomnode.ops.http.accounts import Accounts
from dicomnode.ops.http.board import Board
from dicomnode.ops.http.metrics import Metrics
from dicomnode.ops.http.site import Site

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
REQUEST_WITHIN_S = 10.0
"""A connection whose first request is not whole after this long is closed."""
STOP_S = 5.0
RESTART_S = 5.0
ACCOUNTS_EVERY_S = 10
WHERE = "operations.tls"


class FewConnections(socket.socket):
    """A listening socket that closes what comes while too many are open: the node's descriptors are not for guests."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._accepted: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        """As a socket does; one that is turned away raises BlockingIOError: to asyncio, nobody came."""
        connection, address = super().accept()
        if sum(one.fileno() >= 0 for one in self._accepted) >= MAX_CONNECTIONS:
            connection.close()
            raise BlockingIOError
        self._accepted.add(connection)
        return connection, address


class ImpatientProtocol(H11Protocol):
    """Closes connections that say nothing, or say it a byte at a time."""

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.loop.call_later(REQUEST_WITHIN_S, self._close_if_silent)

    def _close_if_silent(self) -> None:
        has_asked: bool = self.cycle is not None
        if not has_asked and not self.transport.is_closing():
            self.transport.close()


class HttpServer:
    """The HTTP port of a node.

    Parameters
    ----------
    board : what the pages ask; its store is the port's own, and closed by it.
    board_of : the same for another configuration, with the same store.

    Raises
    ------
    ConfigError : a certificate, the token or the accounts cannot be used.
    """

    def __init__(self, board: Board, board_of: Callable[[Config], Board]) -> None:
        operations = board.config.operations
        self._board, self._board_of = board, board_of
        self._metrics: Metrics | None = None
        self._tls = _tls_of(operations)
        self._token = _token_of(operations)
        self._accounts = Accounts(board.config.accounts_file)
        has_accounts = bool(self._accounts.all())
        if not operations.is_loopback and not has_accounts:
            says = "is reached from other machines, and nobody could log in: dicomnode operations password NAME"
            raise ConfigError([f"operations.host: {operations.host} {says}"])
        self._socket: FewConnections | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Listen.

        Raises
        ------
        EnvironmentFault : the port is in use.
        """
        operations = self._board.config.operations
        where = f"{operations.host}:{operations.port}"
        try:
            self._socket = _listening(operations)
        except OSError as fault:
            raise EnvironmentFault(f"operations.port: cannot listen on {where} ({fault.strerror or fault})") from fault
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()
        log.info("HTTP port open", extra={"host": operations.host, "port": operations.port, "tls": bool(self._tls)})

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._serve()
            except (SQLAlchemyError, OSError) as fault:
                log.error("HTTP port waits", extra={"error": said_by(fault)})
            except Exception:
                log.exception("HTTP port failed; the node goes on")
            self._stopping.wait(RESTART_S)

    def _serve(self) -> None:
        board = self._board
        self._metrics = metrics = Metrics(board.config, board.store, board.state_of, board.readiness)
        app = Site(board, metrics, self._accounts, self._token).app()
        config = uvicorn.Config(
            app,
            http=ImpatientProtocol,
            ws="none",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=16384,
            callback_notify=self._look_at_accounts,
            timeout_notify=ACCOUNTS_EVERY_S,
        )
        config.load()
        config.ssl = self._tls
        self._server = uvicorn.Server(config)
        if self._socket is None or self._socket.fileno() < 0:  # the server closes it when it ends
            self._socket = _listening(board.config.operations)
        metrics.warnings.install()
        try:
            self._server.run(sockets=[self._socket])
        finally:
            metrics.warnings.remove()

    def reload(self, config: Config) -> None:
        """Show another configuration; the port, its sessions and its counters stay."""
        self._board.become(self._board_of(config))
        if self._metrics is not None:
            self._metrics.reload(config, self._board.readiness)

    async def _look_at_accounts(self) -> None:
        """A change is told also while nobody logs in; a damaged file is told to who does."""
        with suppress(ConfigError):
            self._accounts.all()

    def stop(self) -> None:
        """Close the port."""
        self._stopping.set()
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_S)
        if self._socket is not None:
            self._socket.close()
        self._board.store.close()


def _listening(operations: Operations) -> FewConnections:
    family = socket.AF_INET6 if ":" in operations.host else socket.AF_INET
    listening = FewConnections(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((operations.host, operations.port))
        listening.listen(MAX_CONNECTIONS)
    except OSError:
        listening.close()
        raise
    return listening


def _tls_of(operations: Operations) -> ssl.SSLContext | None:
    tls = ReceptionTls(cert=operations.tls.cert, key=operations.tls.key, require_client_cert=False)
    return server_context(tls, WHERE)


def _token_of(operations: Operations) -> str:
    """The token for the metrics; empty where none is asked for."""
    path = operations.metrics_token_file
    if not path:
        return ""
    try:
        fault = open_to_others(Path(path))
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as why:
        raise ConfigError([f"operations.metrics_token_file: {path} cannot be read ({why})"]) from why
    if fault or len(token) < 16:
        raise ConfigError([f"operations.metrics_token_file: {fault or 'a token has 16 characters or more'}"])
    return token
